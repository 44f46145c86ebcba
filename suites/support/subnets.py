"""Subnets: those that nodes and networks use, those that are free, and those that overlap.

Managers of older engines list the subnet that the swarm chose for a network only once a task uses the network: the
engine that runs the task lists it then, and the managers do with their tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network, ip_network
from itertools import combinations
from typing import Any

from suites.support.commands import accepted
from swarmlab.cluster.node import Node, on_each
from swarmlab.cluster.service import ENDED
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, DeadlineExceeded
from swarmlab.lists import few
from swarmlab.wait import State, wait

#: Subnets for tests of network devices (RFC 2544), in which a node has nothing to look for.
_OF_NOBODY = ["198.18.0.0/16", "198.19.0.0/16"]
#: The document's own subnet first, then subnets that are rarely in use.
_CANDIDATES = [
    *("172.30.0.0/16", "172.31.0.0/16", *(f"10.{second}.0.0/16" for second in range(230, 250))),
    *(*_OF_NOBODY, *(f"100.{second}.0.0/16" for second in range(100, 110))),
]

#: Bits of the mask of subnets that swarms choose, unless told otherwise; and how many addresses of a network are its
#: own, its gateway's and those of services.
_USUAL_SIZE, _SET_ASIDE = 24, 6


def create_overlay(cluster: Swarm, name: str, *options: str) -> str:
    """Create an overlay network with the document's command.

    Args:
        cluster: the swarm.
        name: the middle of the network's name.
        options: further options of ``docker network create``.

    Returns:
        The network's name.
    """
    full = cluster.unique(name)
    accepted(cluster.manager, " ".join(("network create", full, "--driver overlay --label", cluster.label, *options)))
    return full


def routes(node: Node) -> dict[IPv4Network, str]:
    """Return the line of ``ip route`` for each subnet that *node* has a route to, without its default route."""
    lines = node.run("ip -4 route show table all").out.splitlines()
    found: dict[IPv4Network, str] = {}
    for line in lines:
        fields = line.split()
        # Routes of another kind ("unreachable", "local") have the kind before the subnet. The ways of a route that has
        # several are on lines of their own, without a subnet.
        subnet = next((field for field in fields[:2] if field[0].isdigit()), "")
        if subnet and subnet != "0.0.0.0/0":
            found[IPv4Network(subnet, strict=False)] = line.strip()
    return found


def pools(asked: Node) -> dict[str, list[tuple[str, str]]]:
    """Return subnet and gateway of every pool of the networks that *asked* lists, by the network's name.

    There are none where the engine does not tell them, neither with the network nor with a task in it.
    """
    networks = asked.ask("GET", "/networks")
    told = {network["Name"]: _pairs(network["IPAM"]["Config"]) for network in networks}
    silent = {network["Id"]: network["Name"] for network in networks if _chosen_by_swarm(network)}
    if silent and asked.serves_cluster():
        for task in asked.ask("GET", "/tasks"):
            for attached in task.get("NetworksAttachments") or []:
                if name := silent.get(attached["Network"]["ID"]):
                    told[name] = _pairs((attached["Network"].get("IPAMOptions") or {}).get("Configs"))
    return told


def _chosen_by_swarm(network: Mapping[str, Any]) -> bool:
    return network["Scope"] == "swarm" and network["Driver"] == "overlay" and not network["IPAM"]["Config"]


def _pairs(listed: Iterable[Mapping[str, str]] | None) -> list[tuple[str, str]]:
    return [(pool["Subnet"], pool.get("Gateway", "")) for pool in listed or []]


def subnets(asked: Node) -> dict[str, list[IPv4Network]]:
    """Return the IPv4 subnets of the networks that *asked* lists, by the network's name (see `pools`)."""
    parsed = {name: [ip_network(subnet, strict=False) for subnet, _ in listed] for name, listed in pools(asked).items()}
    return {name: [subnet for subnet in each if isinstance(subnet, IPv4Network)] for name, each in parsed.items()}


def addresses_in_use(network: str, tasks: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]) -> int:
    """Return how many addresses of a network tasks that have not ended and services have; those of nodes come on top.

    Args:
        network: its id.
        tasks: the tasks of the swarm, as a manager lists them.
        services: the services of the swarm, as a manager lists them.
    """
    attached = [
        attachment["Network"]["ID"]
        for task in tasks
        if task["Status"]["State"] not in ENDED
        for attachment in task.get("NetworksAttachments") or []
    ]
    virtual = [
        address.get("NetworkID")
        for service in services
        for address in (service.get("Endpoint") or {}).get("VirtualIPs") or []
    ]
    return [*attached, *virtual].count(network)


@contextmanager
def told(cluster: Swarm, networks: Sequence[str]) -> Iterator[None]:
    """Have the managers tell the subnets of *networks* in this context: if they do not by themselves, a service does.

    Args:
        cluster: the swarm.
        networks: names of networks for which the swarm chose the subnets.
    """

    def by_themselves() -> bool:
        return all(subnets(manager).get(name) for manager in cluster.managers for name in networks)

    service = None
    with suppress(DeadlineExceeded):
        wait(by_themselves, "the managers to list the subnets that the swarm chose", deadline=5)
    if not by_themselves():
        service = cluster.create_service("user", "idle", everywhere=True, networks=networks)
        service.expect_running(len(cluster.nodes))
    yield
    if service:
        service.remove()


def overlaps(subnets: Iterable[tuple[str, IPv4Network]]) -> list[str]:
    """Return a line for each two of *subnets* (name, subnet) that overlap."""
    return [
        f"{first} ({this}) and {other} ({that})"
        for (first, this), (other, that) in combinations(subnets, 2)
        if this.overlaps(that)
    ]


def free_subnets(cluster: Swarm, count: int = 1, *, routed: bool = False) -> list[IPv4Network]:
    """Subnets that no node and no network of the cluster uses, the document's first if it is free.

    Args:
        cluster: the swarm.
        count: the number of subnets.
        routed: whether they become routes of nodes, as those of an overlay network do not. They are then none at which
            a node could look for anything.

    Raises:
        Blocked: fewer than *count* are free.
    """
    candidates = _OF_NOBODY if routed else _CANDIDATES
    taken = [subnet for found in on_each(routes, cluster.nodes) for subnet in found]
    taken += [subnet for found in on_each(subnets, cluster.nodes) for listed in found.values() for subnet in listed]
    free = [subnet for subnet in map(IPv4Network, candidates) if not any(subnet.overlaps(other) for other in taken)]
    if len(free) < count:
        raise Blocked(
            f"of the subnets {', '.join(candidates)}, {count} must be free on every node, and are:"
            f" {', '.join(map(str, free)) or 'none'}"
        )
    return free[:count]


def wide_subnet(cluster: Swarm) -> IPv4Network | None:
    """Return a free subnet for a network with containers on every node; None if one that the swarm chooses has room.

    A network has an address on each node beside those of its containers there, of which tests have up to three.
    """
    size = cluster.manager.ask("GET", "/swarm").get("SubnetSize") or _USUAL_SIZE
    return free_subnets(cluster)[0] if 4 * len(cluster.nodes) > 2 ** (32 - size) - _SET_ASIDE else None


def subnet_options(cluster: Swarm, count: int = 1) -> list[str]:
    """Return an option of `create_overlay` for each of *count* networks with containers on every node.

    It is empty where a subnet that the swarm chooses has room (see `wide_subnet`).
    """
    return [f"--subnet {wide}" for wide in free_subnets(cluster, count)] if wide_subnet(cluster) else [""] * count


def disjoint(cluster: Swarm, networks: Sequence[str]) -> State:
    """Whether the subnets of *networks* overlap neither each other, nor other networks', nor the nodes' routes."""
    wrong: list[str] = []
    chosen: dict[str, list[IPv4Network]] = {}
    for asked in cluster.managers:
        listed = subnets(asked)
        if lacking := [name for name in networks if not listed.get(name)]:
            return State(False, f"{asked} lists no subnet of {lacking}")
        mine = {name: listed[name] for name in networks}
        chosen = chosen or mine
        if mine != chosen:
            return State(False, f"{asked} lists the subnets {mine}, and another manager lists {chosen}")
    every_list, every_route = on_each(subnets, cluster.nodes), on_each(routes, cluster.nodes)
    for node, listed, ways in zip(cluster.nodes, every_list, every_route, strict=True):
        if other := {name: listed[name] for name in networks if listed.get(name) and listed[name] != chosen[name]}:
            wrong.append(f"{node} lists other subnets than the managers: {other}")
        every = {**listed, **chosen}
        pairs = overlaps([(name, subnet) for name, subnets in every.items() for subnet in subnets])
        wrong += [f"on {node} {pair}" for pair in pairs if any(name in pair for name in networks)]
        wrong += [
            f"{name} ({subnet}) and what {node} has by itself, {line}"
            for name in networks
            for subnet in chosen[name]
            for route, line in ways.items()
            if subnet.overlaps(route)
        ]
    return State(not wrong, f"these overlap: {few(wrong, '; ')}" if wrong else "disjoint")
