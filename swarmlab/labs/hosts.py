"""The names and addresses that the document gives to its hosts, and their continuation for larger clusters."""

from __future__ import annotations

#: The document's three nodes: host names, and the last octets of their cluster addresses.
DOCUMENT = {"master": 101, "slave01": 104, "slave02": 103}
#: The document's cluster user.
USER = "hadoop"
#: The release of docker-compose that the document installs.
COMPOSE = "1.29.2"
#: The last octets of the nodes' addresses; the first three are the document's.
OCTETS = (*DOCUMENT.values(), 102, 105, 106, 107, 108, 109, 110)
#: The most nodes that one cluster has addresses for.
MOST = len(OCTETS)
#: The third octets of the networks that a lab may have, in the order in which they are tried. The document has 56.
NETWORKS = range(56, 72)


def host_names(count: int) -> list[str]:
    """Return the host names of a cluster of *count* nodes: master, slave01, slave02, and so on."""
    return ["master", *(f"slave{number:02}" for number in range(1, count))][:count]
