"""The names and addresses that the document gives to its hosts, and their continuation for larger clusters."""

from __future__ import annotations

#: The document's three nodes: host names, and the last octets of their cluster addresses.
DOCUMENT = {"master": 101, "slave01": 104, "slave02": 103}
#: The document's cluster user.
USER = "hadoop"
#: The release of docker-compose that the document installs.
COMPOSE = "1.29.2"
#: The last octet of the address of a lab's registry.
REGISTRY_OCTET = 250
#: The last octets of the addresses of containers that are guests on a lab's network: those that runs work in.
GUESTS = range(2, 10)
#: The last octets of the nodes' addresses, in the order in which clusters take them; the first three octets, and the
#: first three of these, are the document's. The network's gateway has 1.
OCTETS = (
    *DOCUMENT.values(),
    *(
        octet
        for octet in (*range(101, 255), *range(100, GUESTS[-1], -1))
        if octet not in (*DOCUMENT.values(), REGISTRY_OCTET)
    ),
)
#: The most nodes of one cluster.
MOST = 60
#: The third octets of the networks that a lab may have, in the order in which they are tried. The document has 56.
NETWORKS = range(56, 72)
#: The first three octets of the document's network.
NETWORK = f"192.168.{NETWORKS[0]}"


def host_names(count: int) -> list[str]:
    """Return the host names of a cluster of *count* nodes: master, slave01, slave02, and so on."""
    return ["master", *(f"slave{number:02}" for number in range(1, count))][:count]
