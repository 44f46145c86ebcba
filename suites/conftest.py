"""What tests of several chapters share."""

import pytest

from suites.support.stacks import Stack, remains, removed
from swarmlab.cluster.workbench import unique
from swarmlab.wait import State, wait


@pytest.fixture
def new_stack(cluster):
    """Gives stacks of the test's own, by the middle of their name; whatever they deploy is removed, volumes too."""
    made = []

    def new(name="stack"):
        made.append(Stack(cluster, cluster.bench(cluster.manager), unique(name)))
        return made[-1]

    yield new
    for stack in made:
        wait(lambda stack=stack: removed(stack), f"{stack.name} to be removed", deadline=60)
    for stack in made:
        wait(lambda stack=stack: nothing_of(stack), f"what runs of {stack.name} to be gone", deadline=60)
        for node in cluster.nodes:
            for volume in stack.volumes(node):
                node.ask("DELETE", f"/volumes/{volume['Name']}")
        stack.bench.clear()


@pytest.fixture
def stack(new_stack):
    """A stack of the test's own, not deployed yet."""
    return new_stack()


def nothing_of(stack):
    left = remains(stack)
    return State(not left, f"there are still {'; '.join(left)}")
