"""The names and addresses that the document gives to its hosts, and their continuation for larger clusters."""

from __future__ import annotations

#: The last octets of the nodes' addresses; the first three are the document's.
OCTETS = (101, 104, 103, 102, 105, 106, 107, 108, 109, 110)
#: The most nodes that one cluster has addresses for.
MOST = len(OCTETS)
#: The third octets of the networks that a lab may have, in the order in which they are tried. The document has 56.
NETWORKS = range(56, 72)


def host_names(count: int) -> list[str]:
    """Return the host names of a cluster of *count* nodes: master, slave01, slave02, and so on."""
    return ["master", *(f"slave{number:02}" for number in range(1, count))][:count]
