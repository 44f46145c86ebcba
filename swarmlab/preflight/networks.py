"""Checks of networks: subnets that overlap, addresses that run out, and the gateway bridge of each node."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any

from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import ASK_A_MANAGER, GATEWAY_BRIDGE, NodeView, Sight, by_managers, by_node
from swarmlab.preflight.resolvers import servers

#: The default pools of subnets for overlay networks, which newer engines do not list.
_POOLS = ["10.0.0.0/8"]
#: An update may find no free address in a network with no more than this number or share of addresses.
_FEW, _PART = 2, 0.1


def pools_of(network: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of a network's address management that tell a subnet."""
    return [pool for pool in (network.get("IPAM") or {}).get("Config") or [] if pool.get("Subnet")]


def subnets_of(network: dict[str, Any]) -> list[IPv4Network]:
    """Return the IPv4 subnets of a network."""
    found = [ip_network(pool["Subnet"], strict=False) for pool in pools_of(network)]
    return [subnet for subnet in found if isinstance(subnet, IPv4Network)]


def complete(sight: Sight) -> None:
    """Give the overlay networks whose subnet the manager does not tell the subnet that is told elsewhere.

    Managers before 18.06 list a network's subnet only if its creator chose it. Nodes with a task on the network tell
    it, and so do the managers' accounts of tasks and of services' virtual addresses.
    """
    for network in sight.overlays:
        if not pools_of(network):
            network["IPAM"] = {**(network.get("IPAM") or {}), "Config": _told(sight, network["Id"])}


def _told(sight: Sight, id: str) -> list[dict[str, Any]]:
    """Return the entries of address management that nodes, tasks or services have of a network."""
    for known in (network for view in sight.nodes for network in view.networks):
        if known.get("Id") == id and pools_of(known):
            return pools_of(known)
    for attachment in (one for task in sight.tasks for one in task.get("NetworksAttachments") or []):
        if attachment["Network"]["ID"] == id:
            options = attachment["Network"].get("IPAMOptions") or {}
            if told := [pool for pool in options.get("Configs") or [] if pool.get("Subnet")]:
                return told
    addresses = {
        str(ip_interface(virtual["Addr"]).network)
        for service in sight.services
        for virtual in service.get("Endpoint", {}).get("VirtualIPs") or []
        if virtual.get("NetworkID") == id and virtual.get("Addr")
    }
    return [{"Subnet": subnet} for subnet in sorted(addresses)]


def _untold(sight: Sight) -> Iterator[Finding]:
    """Yield a finding that names the overlay networks of which nobody tells the subnet."""
    names = [network["Name"] for network in sight.overlays if not pools_of(network)]
    if names:
        mend = (
            f"upgrade the managers to 18.06 or later, or run a task on it: docker service create --network {names[0]} …"
        )
        summary = f"no manager and no node tells the subnet of network {', '.join(names)}"
        yield Finding(Level.UNKNOWN, summary, mend=mend)


def routes(text: str, *, direct: bool = False) -> list[tuple[str, IPv4Network]]:
    """Return interface and destination of each route in /proc/net/route, or of each without a gateway.

    The default route is left out.
    """
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        target, mask = (socket.inet_ntoa(struct.pack("<I", int(fields[place], 16))) for place in (1, 7))
        if mask != "0.0.0.0" and not (direct and int(fields[2], 16)):
            found.append((fields[0], ip_network(f"{target}/{mask}", strict=False)))
    return [(name, subnet) for name, subnet in found if isinstance(subnet, IPv4Network)]


def host_routes(sight: Sight) -> Iterator[Finding]:
    """Whether the subnet of an overlay network has a node or a name server in it, or overlaps a route or a bridge."""
    taken: set[IPv4Network] = set()
    own = {view.name: _own_addresses(view) for view in sight.nodes}
    for network in sight.overlays:
        for subnet in subnets_of(network):
            within = {name: [str(one) for one in held if one in subnet] for name, held in own.items()}
            if names := tuple(name for name, held in within.items() if held):
                taken.add(subnet)
                listed = few(f"{', '.join(within[name])} of {name}" for name in names)
                plural = sum(map(len, within.values())) > 1
                yield Finding(
                    Level.ERROR,
                    f"network {network['Name']} has {subnet}, which {listed} {'are' if plural else 'is'} in",
                    "published ports do not answer these machines, and tasks do not reach them",
                    "moby#48069",
                    names,
                    mend=_again(network),
                )
    yield from by_node(lambda sight, view: _of_routes(sight, view, taken))(sight)


def _own_addresses(view: NodeView) -> set[IPv4Address | IPv6Address]:
    """Return the addresses by which others reach a node, as far as they are known, without the engine's bridges."""
    within = {*view.bridges.values(), "docker0", GATEWAY_BRIDGE, "lo"}
    found: set[IPv4Address | IPv6Address] = set()
    with contextlib.suppress(Unknown):
        found |= {
            address for link, address in view.held() if link not in within and not link.startswith(("br-", "ov-"))
        }
    with contextlib.suppress(Unknown, ValueError):
        found |= {ip_address(address) for address in (view.address, view.data_address) if address}
    return found


def _of_routes(sight: Sight, view: NodeView, taken: Collection[IPv4Network]) -> Iterator[Finding]:
    """Yield what of a node's routes, bridges and name servers is in the subnet of a network.

    Args:
        sight: what was read of the cluster.
        view: the node.
        taken: subnets in which nodes have their addresses, which is told already.
    """
    ways = routes(view.read("routes"))
    beside = routes(view.read("routes"), direct=True)
    links = {*view.bridges.values(), "docker0", GATEWAY_BRIDGE}
    asked = servers(view)
    risk = "tasks do not start, or reach the wrong machine"
    if not sight.asked:
        raise Unknown(sight.unasked, ASK_A_MANAGER)
    for network in sight.overlays:
        for subnet in subnets_of(network):
            for name, way in ways:
                if not subnet.overlaps(way):
                    continue
                summary = f"network {network['Name']} has {subnet}, which overlaps the host's {way} by {name}"
                if name in links or way.prefixlen >= subnet.prefixlen:
                    yield Finding(Level.ERROR, summary, risk, "moby#50011, moby#48069", mend=_again(network))
                elif subnet not in taken:
                    # The node's own way to that part goes on; only what is beyond it is hidden from the tasks.
                    hidden = f"tasks in the network do not reach machines behind {name} with addresses in {subnet}"
                    level = Level.WARNING if (name, way) in beside else Level.INFO
                    yield Finding(level, summary, hidden, mend=_again(network))
            for server in asked:
                if server in subnet:
                    summary = f"network {network['Name']} has {subnet}, which the name server {server} is in"
                    yield Finding(Level.WARNING, summary, risk, "moby#50011", mend=_again(network))
    pools = [ip_network(pool, strict=False) for pool in sight.swarm.get("DefaultAddrPool") or _POOLS]
    for (name, way), pool in itertools.product(ways, pools):
        if isinstance(pool, IPv4Network) and way.overlaps(pool):
            summary = f"the swarm's pool {pool} has the host's {way} by {name} in it"
            mend = (
                "create networks with --subnet; a new swarm: docker swarm init --default-addr-pool SUBNET with a range "
                "that no node has a route to"
            )
            yield Finding(Level.INFO, summary, "a new network may get it", "moby#50011", mend=mend)
    yield from _untold(sight)


def _again(network: dict[str, Any]) -> str:
    """Return the mend that creates a network anew with another subnet."""
    name = network["Name"]
    ingress = " --ingress" if network.get("Ingress") else ""
    return (
        f"take services off it, then docker network rm {name} && docker network create --driver overlay{ingress} "
        f"--subnet SUBNET {name}, with a subnet that no node has a route to"
    )


@by_managers
def each_other(sight: Sight) -> Iterator[Finding]:
    """Whether the subnets of two networks overlap, or a network was given no subnet."""
    for network in sight.networks:
        if network["Scope"] == "swarm" and not network["Driver"]:
            summary = f"network {network['Name']} was given no subnet"
            risk = "its tasks stay new; often another network has a part of its subnet"
            yield Finding(
                Level.ERROR,
                summary,
                risk,
                mend=f"{_again(network)}; why it got none: on the leader: journalctl -u docker | grep -i alloc",
            )
    held = [(network["Name"], subnet) for network in sight.overlays for subnet in subnets_of(network)]
    for (first, subnet), (other, second) in itertools.combinations(held, 2):
        if subnet.overlaps(second):
            yield Finding(
                Level.ERROR,
                f"networks {first} ({subnet}) and {other} ({second}) overlap",
                "containers on both reach only one of them",
                "moby#48069",
                mend=f"create one again: docker network rm {other} && docker network create --driver overlay "
                f"--subnet SUBNET {other}",
            )
    yield from _untold(sight)


def with_host_bits(sight: Sight) -> dict[str, list[str]]:
    """Return the subnets with bits beyond their mask, such as 10.90.0.1/24, by the name of their overlay network."""
    found = {
        network["Name"]: [
            pool["Subnet"]
            for pool in pools_of(network)
            if ip_interface(pool["Subnet"]).ip != ip_interface(pool["Subnet"]).network.network_address
        ]
        for network in sight.overlays
    }
    return {name: subnets for name, subnets in found.items() if subnets}


@by_managers
def host_bits(sight: Sight) -> Iterator[Finding]:
    """Whether the subnet of an overlay network has bits beyond its mask, which some engines reject."""
    refusing = [view.name for view in sight.nodes if (25,) <= view.release[:3] < (25, 0, 4)]
    for name, subnets in with_host_bits(sight).items():
        right = ", ".join(str(ip_interface(subnet).network) for subnet in subnets)
        yield Finding(
            Level.ERROR if refusing else Level.INFO,
            f"network {name} has {', '.join(subnets)}, with bits beyond the mask: its subnet is {right}",
            "engines 25.0.0 to 25.0.3 reject its tasks, and engines from 25.0 on do not create it again",
            "moby#47331",
            tuple(refusing),
            mend=f"create it again with --subnet {right}" + ("; upgrade the engines" if refusing else ""),
        )
    yield from _untold(sight)


@by_managers
def free_addresses(sight: Sight) -> Iterator[Finding]:
    """How many addresses the overlay networks have left."""
    free_by_network = []
    for network in sight.overlays:
        room = _room(network)
        if not room:
            continue
        used = addresses_used(sight, network)
        free = max(room - used, 0)
        free_by_network.append(f"{network['Name']} {free} of {room}")
        if free <= max(_FEW, _PART * room):
            level = Level.WARNING if free else Level.ERROR
            summary = f"network {network['Name']} has {free} of {room} addresses left"
            name = network["Name"]
            mend = (
                f"docker network create --driver overlay --subnet SUBNET larger, then for each service there: "
                f"docker service update --network-add larger --network-rm {name} SERVICE"
            )
            risk = "tasks stay new without a message"
            yield Finding(level, summary, risk, "moby#37338, moby#43052, moby#35849", mend=mend)
    if free_by_network:
        yield Finding(Level.OK, f"free: {', '.join(free_by_network)}")
    yield from _untold(sight)


def _room(network: dict[str, Any]) -> int:
    """Return how many addresses an overlay network has, of all of its subnets or of their parts (--ip-range)."""
    room = 0
    for pool in pools_of(network):
        subnet = ip_network(pool["Subnet"], strict=False)
        part = ip_network(pool.get("IPRange") or pool.get("Range") or subnet, strict=False)
        if not isinstance(subnet, IPv4Network) or not isinstance(part, IPv4Network):
            continue
        ends = sum(end in part for end in (subnet.network_address, subnet.broadcast_address))
        gateway = str(pool.get("Gateway") or "").partition("/")[0]
        # A gateway beside the part takes none of its addresses.
        beside = bool(gateway) and ip_address(gateway) not in part
        room += max(part.num_addresses - ends + beside, 0)
    return room


def addresses_used(sight: Sight, network: dict[str, Any]) -> int:
    """Return the number of allocated addresses of an overlay network, as far as the API shows.

    They are those of the gateway, of services, of tasks that have not ended, and of load balancers.
    """
    services: int = sum(
        virtual.get("NetworkID") == network["Id"] and bool(virtual.get("Addr"))
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
    balancers = _balancers(sight, network, len(nodes))
    return len(subnets_of(network)) + services + sum(number for _, number in attached) + balancers


def _balancers(sight: Sight, network: dict[str, Any], nodes: int) -> int:
    """Return how many nodes have an address in a network for their load balancer, given how many have a task there.

    Every node has one in the network of the routing mesh. In others a node has one while it has a task; from 17.10 to
    18.06 every node has one, and before there were none (swarmkit#2363, swarmkit#2725).
    """
    release = next(view.release for view in sight.nodes if view.name == sight.asked)
    if network.get("Ingress") or (17, 10) <= release < (18, 9):
        return len(sight.members)
    return nodes if release >= (18, 9) else 0


@by_node
def gateway_bridge(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the node has the bridge through which containers of overlay networks reach the outside, and it is up."""
    view.check_active()
    if not view.networks:  # every engine has some
        raise Unknown("its engine did not list its networks in time", "on {nodes}: docker network ls; look again")
    links = [line.split()[0] for line in view.read("links").splitlines()]
    bridge = next((network for network in view.networks if network["Name"] == GATEWAY_BRIDGE), None)
    risk = "outgoing connections and published ports fail"
    if bridge is None or GATEWAY_BRIDGE not in links:
        lacking = "the engine has no network of that name" if bridge is None else "there is no interface of that name"
        mend = (
            "on {nodes}: systemctl restart docker; if it does not come back: docker swarm leave, "
            f"docker network rm {GATEWAY_BRIDGE}, docker swarm join"
        )
        yield Finding(Level.ERROR, f"no {GATEWAY_BRIDGE}: {lacking}", risk, "moby#41775", mend=mend)
    # A bridge that is up has this route also while nothing is attached to it.
    elif bridge.get("EnableIPv4", True) and GATEWAY_BRIDGE not in dict(routes(view.read("routes"))):
        mend = f"on {{nodes}}: ip link set {GATEWAY_BRIDGE} up; if it has no address: systemctl restart docker"
        yield Finding(Level.ERROR, f"{GATEWAY_BRIDGE} is down or has no address", risk, mend=mend)
    else:
        yield Finding(Level.OK, "there")
