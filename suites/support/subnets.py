"""Subnets: those that nodes have, those that networks are given, and which of them overlap."""

from ipaddress import ip_network
from itertools import combinations

from swarmlab.errors import LabError

#: The document's own subnet first, then such as are rarely in use.
_CANDIDATES = ["172.30.0.0/16", "172.31.0.0/16", *(f"10.{second}.0.0/16" for second in range(230, 250))]


def routes(node):
    """The subnets that *node* has routes to, each with its line of ``ip route``; the way to all else is none."""
    lines = node.run("ip -4 route show table all").out.splitlines()
    found = {}
    for line in lines:
        words = line.split()
        # What is unreachable, or the machine's own address, has a word before its subnet.
        subnet = words[0] if words[0][0].isdigit() else words[1]
        if subnet[0].isdigit() and subnet != "0.0.0.0/0":
            found[ip_network(subnet, strict=False)] = line.strip()
    return found


def given(network):
    """The IPv4 subnets of a network, as an engine tells them."""
    subnets = [ip_network(one["Subnet"]) for one in network["IPAM"]["Config"] or []]
    return [subnet for subnet in subnets if subnet.version == 4]


def overlaps(subnets):
    """What overlaps, in words; *subnets* are pairs of a name and a subnet."""
    return [
        f"{one} ({this}) and {other} ({that})"
        for (one, this), (other, that) in combinations(subnets, 2)
        if this.overlaps(that)
    ]


def free_subnets(cluster, count=1):
    """Subnets that no node and no network of the cluster uses: the document's, unless the cluster has it elsewhere.

    Raises:
        LabError: too few are free.
    """
    taken = [subnet for node in cluster.nodes for subnet in routes(node)]
    taken += [subnet for network in cluster.manager.ask("GET", "/networks") for subnet in given(network)]
    free = [subnet for subnet in map(ip_network, _CANDIDATES) if not any(subnet.overlaps(one) for one in taken)]
    if len(free) < count:
        raise LabError(f"of the subnets {', '.join(_CANDIDATES)} are free on every node only {free}")
    return free[:count]
