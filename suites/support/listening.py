"""Where managers and engines listen, whether a port takes connections, and whether an engine answers there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from swarmlab.cluster.node import GOSSIP_PORT, MANAGEMENT_PORT, Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.wait import scaled

#: The exit code of the script of `answers` where the node has no program that connects.
_NO_PROGRAM = 99


def manager_ports(members: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the port on which each manager among *members* (see `Swarm.members`) listens, by host name."""
    statuses = {member["Description"]["Hostname"]: member.get("ManagerStatus") or {} for member in members}
    return {name: int(status["Addr"].rpartition(":")[2]) for name, status in statuses.items() if status.get("Addr")}


def answers(node: Node, address: str, port: int) -> bool:
    """Return whether a TCP port of *node* takes connections to this address of it.

    Raises:
        Blocked: the node has no program that connects.
    """
    connect = (
        f"if command -v bash >/dev/null; then timeout 3 bash -c '</dev/tcp/{address}/{port}';"
        f" elif command -v nc >/dev/null; then nc -z -w 3 {address} {port}; else exit {_NO_PROGRAM}; fi"
    )
    done = node.look(connect)
    if done.code == _NO_PROGRAM:
        raise Blocked(f"{node} has neither bash nor nc, with which its ports are tried")
    return done.ok


def besides_the_swarm(cluster: Swarm, node: Node, places: Iterable[str]) -> list[str]:
    """Return those places at which what answers may be the engine of *node*.

    At the others it is no engine: at the ports of managers, of gossip, of the routing mesh, and where containers of the
    node publish ports. There, an engine without a proxy for each port listens itself.

    Args:
        cluster: the swarm.
        node: the node.
        places: addresses of the node at which its engine listens by TCP, each with its port.
    """
    listed = [port for service in cluster.manager.ask("GET", "/services") for port in _published(service)]
    mesh = {port.get("PublishedPort", 0) for port in listed if port.get("PublishMode", "ingress") == "ingress"}
    mapped = {
        (_everywhere(port.get("IP", "")), port.get("PublicPort", 0))
        for container in node.containers()
        for port in container.get("Ports") or []
        if port.get("Type", "tcp") == "tcp"
    }
    swarms = {MANAGEMENT_PORT, GOSSIP_PORT, *manager_ports(cluster.members()).values(), *mesh}

    def may_be_engine(place: str) -> bool:
        address, _, number = place.rpartition(":")
        taken = {(address.strip("[]"), int(number)), ("", int(number))}
        return int(number) not in swarms and not mapped & taken

    return list(filter(may_be_engine, places))


def _everywhere(address: str) -> str:
    """Return an address of a published port; empty if it is any of the node's."""
    return "" if address in ("0.0.0.0", "::") else address


def _published(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of TCP ports that a service publishes now, and after an update that is under way."""
    places = service.get("Endpoint"), service["Spec"].get("EndpointSpec")
    entries = [port for place in places for port in (place or {}).get("Ports") or []]
    return [port for port in entries if port.get("Protocol", "tcp") == "tcp"]


def engine_answers(node: Node, place: str, user: str) -> bool:
    """Return whether the engine of *node* answers a user at an address with a port, plainly or by TLS.

    An engine with TLS that verifies no client answers anybody, so the user needs no certificate.
    """
    limit = f"timeout {scaled(10):.0f}"
    asked = node.run(
        "; ".join(f"{limit} docker {tls}-H tcp://{place} info --format {{{{.ID}}}}" for tls in ("", "--tls ")),
        user=user,
    )
    return node.info()["ID"] in asked.out.split()
