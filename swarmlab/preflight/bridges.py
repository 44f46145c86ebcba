"""The check of the bridges of each engine: what else of the node and of the cluster is in their subnets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from ipaddress import ip_address

from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import WAYS, NodeView, Sight, by_node
from swarmlab.preflight.networks import routes, subnets_of
from swarmlab.preflight.resolvers import servers


@by_node
def overlaps(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the subnet of a bridge holds a route, an address or a name server of the host, or another node."""
    view.swarm  # noqa: B018
    ways, held = routes(view.read("routes")), view.held()
    beside = routes(view.read("routes"), direct=True)
    own = {str(address) for _, address in held}
    tried = view.answers.get("name servers", (1, ""))[1].splitlines()
    # One that answers is a container there.
    asked = [server for server in servers(view) if str(server) not in own and f"{server} answers" not in tried]
    others = {
        address: other.name
        for other in sight.nodes
        if other is not view and other.active
        for address in (other.address, other.data_address)
        if address
    }
    # A bridge that the node itself is reached by joins its containers to the network of the nodes.
    joined = {link for link, address in held if str(address) in (view.address, view.data_address)}
    there = [line.split()[0] for line in view.read("links").splitlines() if line.strip()]
    links = {name: link for name, link in view.bridges.items() if link in there and link not in joined}
    bridged = [network for network in view.networks if network.get("Driver") == "bridge" and network["Name"] in links]
    for network in bridged:
        name, link = network["Name"], links[network["Name"]]
        mend = _mend(name, view)
        for subnet in subnets_of(network):
            whose = f"{name} ({link}) has {subnet}"
            for by, way in ways:
                if by != link and by not in links.values() and way.overlaps(subnet):
                    inside = way.prefixlen >= subnet.prefixlen
                    risk = "containers there are cut off" if inside else "that part of the network is cut off"
                    summary = f"{whose}, which overlaps the host's {way} by {by}"
                    # Behind a gateway there need be no machine with these addresses.
                    wide = Level.WARNING if (by, way) in beside else Level.INFO
                    yield Finding(Level.ERROR if inside else wide, summary, risk, mend=mend)
            for by, mine in held:
                if by != link and by not in links.values() and mine in subnet:
                    summary = f"{whose}, which the host's own address {mine} of {by} is in"
                    risk = "what is beyond that interface is cut off"
                    yield Finding(Level.ERROR, summary, risk, mend=mend, causes=(*WAYS, "membership"))
            for server in asked:
                if server in subnet:
                    summary = f"{whose}, which the name server {server} is in"
                    risk = "the node and its containers do not reach it"
                    yield Finding(Level.ERROR, summary, risk, mend=mend, causes=("name-servers",))
            for address, other in others.items():
                if ip_address(address) in subnet:
                    summary = f"{whose}, which {address} of {other} is in"
                    yield Finding(
                        Level.ERROR, summary, f"it does not reach {other}", mend=mend, causes=(*WAYS, "membership")
                    )
    pairs = [(network["Name"], subnet) for network in bridged for subnet in subnets_of(network)]
    for (first, one), (second, two) in itertools.combinations(pairs, 2):
        if first != second and one.overlaps(two):
            summary = f"{first} ({one}) and {second} ({two}) overlap"
            risk = "containers of one of them are cut off"
            yield Finding(Level.ERROR, summary, risk, mend=_mend(second, view))


def _mend(network: str, view: NodeView) -> str:
    if network == "bridge":
        return (
            'in daemon.json give docker0 another subnet ("bip": "ADDRESS/PREFIX", and "default-address-pools" for '
            "networks to come), and restart the engine; or take away the route or the address"
        )
    if network == "docker_gwbridge":
        return (
            f"take away the route or the address; or on {view.name}: docker swarm leave, docker network rm "
            "docker_gwbridge, docker network create --subnet SUBNET "
            "--opt com.docker.network.bridge.name=docker_gwbridge --opt com.docker.network.bridge.enable_icc=false "
            "--opt com.docker.network.bridge.enable_ip_masquerade=true docker_gwbridge, and let it join again"
        )
    return f"create {network} again with --subnet, or take away the route or the address"
