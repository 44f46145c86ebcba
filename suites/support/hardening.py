"""A swarm that is made as the CIS Docker Benchmark recommends."""

from __future__ import annotations

import pytest

from suites.support.commands import accepted
from suites.support.locking import restart
from suites.support.membership import init_with, join_with
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.parallel import parallel

#: Marks a test of the benchmark: a swarm that exists is taken as it stands, whatever its shape. A lab of the run's own
#: gives a cluster apart from the document's, as `make_anew` changes it.
as_it_stands = pytest.mark.cluster(managers=1, workers=2, standing=True, apart=True)
#: The network of the data plane: addresses of documentation, which nobody uses (RFC 5737).
_DATA = "198.51.100"


def data_address(node: Node) -> str:
    """Return the address of a node of the run's own in the network of the data plane."""
    return f"{_DATA}.{node.address.rpartition('.')[2]}"


def give_data_address(node: Node) -> None:
    """Give *node* its address in the network of the data plane, until it restarts."""
    device = f"$(ip -4 -oneline address show to {node.address} | awk '{{ print $2; exit }}')"
    given = f"ip address replace {data_address(node)}/24 dev {device}"
    node.run(given).expect(f"giving {node} an address for data")


def make_anew(cluster: Swarm) -> bool:
    """Make the swarm of *cluster* anew, with autolock, and with an address for data beside the one for management."""
    first, *others = cluster.nodes
    parallel(lambda node: accepted(node, "swarm leave --force"), cluster.nodes)
    # Engines that leave at the same time may keep the port of gossip open, and are then in the next swarm without it.
    restart(*cluster.nodes)
    parallel(give_data_address, cluster.nodes)
    accepted(first, init_with(first, f"--autolock --data-path-addr {data_address(first)}"))
    token = cluster.tokens()["Worker"]
    parallel(
        lambda node: accepted(node, join_with(node, first, token, f"--data-path-addr {data_address(node)}")), others
    )
    cluster.wait_ready()
    return True
