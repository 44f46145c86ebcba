"""Networks: subnets that overlap, addresses that run out, and the bridge by which containers leave a node."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

from swarmlab.cluster.service import ENDED
from swarmlab.preflight.finding import Finding, Level, Untold
from swarmlab.preflight.sight import GATEWAY_BRIDGE, Seen, Sight, by_node

#: What overlay networks are given subnets of where the swarm has no pools of its own; newer engines do not tell these.
_POOLS = ["10.0.0.0/8"]
#: Free addresses of a network below which an update may find none.
_FEW, _PART = 2, 0.1


def subnets_of(network: dict[str, Any]) -> list[IPv4Network]:
    """The IPv4 subnets of a network."""
    pools = (network.get("IPAM") or {}).get("Config") or []
    found = [ip_network(pool["Subnet"], strict=False) for pool in pools if pool.get("Subnet")]
    return [subnet for subnet in found if isinstance(subnet, IPv4Network)]


def routes(text: str) -> list[tuple[str, IPv4Network]]:
    """Interface and destination of the routes in the kernel's own list (/proc/net/route), but for the default route."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        target, mask = (socket.inet_ntoa(struct.pack("<I", int(words[place], 16))) for place in (1, 7))
        if mask != "0.0.0.0":
            found.append((words[0], ip_network(f"{target}/{mask}", strict=False)))
    return [(name, subnet) for name, subnet in found if isinstance(subnet, IPv4Network)]


@by_node
def host_routes(sight: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether an overlay network has a subnet that the node has a route, a bridge or a name server in."""
    ways = routes(seen.read("routes"))
    servers = _servers(seen.read("resolvers"))
    mend = "tasks do not start, or reach the wrong machine; make the network anew with --subnet"
    if not sight.asked:
        raise Untold(sight.unasked)
    for network in sight.overlays:
        for subnet in subnets_of(network):
            for name, way in ways:
                if subnet.overlaps(way):
                    told = f"network {network['Name']} has {subnet}, which the host has a route in: {way} by {name}"
                    yield Finding(Level.ERROR, told, mend, "moby#50011, moby#48069")
            for server in servers:
                if server in subnet:
                    told = f"network {network['Name']} has {subnet}, which the name server {server} is in"
                    yield Finding(Level.WARNING, told, mend, "moby#50011")
    pools = [ip_network(pool) for pool in sight.swarm.get("DefaultAddrPool") or _POOLS]
    for (name, way), pool in itertools.product(ways, pools):
        if isinstance(pool, IPv4Network) and way.overlaps(pool):
            risk = "a network to come may be given it; make networks with --subnet, or a swarm with --default-addr-pool"
            yield Finding(
                Level.INFO, f"the swarm's pool {pool} has the host's {way} by {name} in it", risk, "moby#50011"
            )


def _servers(text: str) -> list[IPv4Address]:
    words = [line.split() for line in text.splitlines()]
    found = []
    for line in words:
        if len(line) > 1 and line[0] == "nameserver" and ":" not in line[1]:
            address = ip_address(line[1])
            if isinstance(address, IPv4Address):
                found.append(address)
    return found


def each_other(sight: Sight) -> Iterator[Finding]:
    """Whether two networks of the swarm have subnets that overlap, or one is given none for that."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    for network in sight.networks:
        if network["Scope"] == "swarm" and not network["Driver"]:
            seen = f"network {network['Name']} was given no subnet"
            risk = "its tasks stay new; as a rule another network has a part of what it asks for: see the leader's log"
            yield Finding(Level.ERROR, seen, risk)
    held = [(network["Name"], subnet) for network in sight.overlays for subnet in subnets_of(network)]
    for (one, subnet), (other, second) in itertools.combinations(held, 2):
        if subnet.overlaps(second):
            risk = "containers on both reach one of them only; make one anew with --subnet"
            yield Finding(Level.ERROR, f"networks {one} ({subnet}) and {other} ({second}) overlap", risk, "moby#48069")


def free_addresses(sight: Sight) -> Iterator[Finding]:
    """How many addresses the overlay networks have left."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    told = []
    for network in sight.overlays:
        room = sum(max(subnet.num_addresses - 2, 0) for subnet in subnets_of(network))
        if not room:
            continue
        used = addresses_used(sight, network)
        free = max(room - used, 0)
        told.append(f"{network['Name']} {free} of {room}")
        if free <= max(_FEW, _PART * room):
            level = Level.WARNING if free else Level.ERROR
            seen = f"network {network['Name']} has {free} of {room} addresses left"
            risk = "tasks stay in the state new without a word; make a network with a larger --subnet and move services"
            yield Finding(level, seen, risk, "moby#37338, moby#43052, moby#35849")
    if told:
        yield Finding(Level.OK, f"free: {', '.join(told)}")


def addresses_used(sight: Sight, network: dict[str, Any]) -> int:
    """How many addresses of an overlay network are given out, as far as managers tell.

    Those of its gateway, of services, of tasks that have not ended, and one of each node that has such a task (that of
    its load balancer; of the routing mesh's network every node has one).
    """
    services: int = sum(
        virtual["NetworkID"] == network["Id"] and bool(virtual.get("Addr"))
        for service in sight.services
        for virtual in service.get("Endpoint", {}).get("VirtualIPs") or []
    )
    attached = [
        (task.get("NodeID", ""), len(attachment.get("Addresses") or []))
        for task in sight.tasks
        if task["Status"]["State"] not in ENDED
        for attachment in task.get("NetworksAttachments") or []
        if attachment["Network"]["ID"] == network["Id"]
    ]
    nodes = {node for node, _ in attached if node}
    balancers = len(sight.members) if network.get("Ingress") else len(nodes)
    gateways: int = sum(1 for pool in network["IPAM"].get("Config") or [] if pool.get("Gateway"))
    return gateways + services + sum(number for _, number in attached) + balancers


@by_node
def gateway_bridge(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether the node has the bridge by which containers of overlay networks leave it."""
    if seen.swarm.get("LocalNodeState") != "active":
        raise Untold(f"its engine is in no swarm: {seen.swarm.get('LocalNodeState')}")
    links = [line.split()[0] for line in seen.read("links").splitlines()]
    known = any(network["Name"] == GATEWAY_BRIDGE for network in seen.networks)
    if known and GATEWAY_BRIDGE in links:
        yield Finding(Level.OK, "there")
        return
    lacking = "the engine knows no network of that name" if not known else "there is no interface of that name"
    risk = "containers have no way out, and published ports are dead; leave the swarm, restart the engine, join again"
    yield Finding(Level.ERROR, f"no {GATEWAY_BRIDGE}: {lacking}", risk, "moby#41775")
