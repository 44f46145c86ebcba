"""Fixtures of several chapters."""

import pytest

from suites.support.node_labels import NodeLabels
from suites.support.stacks import Stack, dissolve, swept
from suites.support.subnets import wide_subnet
from swarmlab.cluster.marks import unique
from swarmlab.wait import wait


@pytest.fixture
def user(cluster, lab):
    """The cluster user that the lab declares; empty if it declares none."""
    return lab.declared(cluster.nodes[0].name).user


@pytest.fixture
def network(cluster):
    """The name of an attachable overlay network, with addresses for containers of the test on every node."""
    wide = wide_subnet(cluster)
    return cluster.create_network("net", **({"IPAM": {"Config": [{"Subnet": str(wide)}]}} if wide else {}))


@pytest.fixture
def node_labels(cluster):
    """Labels that the test gives to nodes; they are removed afterwards."""
    labels = NodeLabels(cluster)
    yield labels
    labels.clear()


@pytest.fixture
def new_stack(cluster):
    """A function that makes a stack of the test, given the middle of its name; all of it is removed, volumes too."""
    made = []

    def new(name="stack"):
        made.append(Stack(cluster, cluster.bench(cluster.manager), unique(name)))
        return made[-1]

    yield new
    for stack in made:
        dissolve(stack)
    for stack in made:
        wait(lambda stack=stack: swept(stack), f"what runs of {stack.name} to be gone", deadline=60)
        for node in cluster.nodes:
            for volume in stack.volumes(node):
                node.ask("DELETE", f"/volumes/{volume['Name']}")
        stack.bench.clear()


@pytest.fixture
def stack(new_stack):
    """A stack of the test, not deployed yet."""
    return new_stack()
