"""What the tests of chapter 5 share."""

import pytest

from suites.ch5_compose.stacks import Stack, listed
from swarmlab.wait import State, wait
from swarmlab.workbench import unique


@pytest.fixture
def stack(cluster):
    """A stack of the test's own, by name; whatever it deploys is removed, its networks, configs and volumes too."""
    manager = cluster.manager
    bench = cluster.bench(manager)
    stack = Stack(cluster, bench, unique("stack"))
    yield stack
    manager.docker(f"stack rm {stack.name}")
    wait(lambda: State(not (left := listed(stack)), f"{len(left)} left"), f"the services of {stack.name} to be gone")
    bench.clear()
