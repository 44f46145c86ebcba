"""Nodes that join and leave, their tokens, and what the swarm has on a node."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from swarmlab.cluster.node import MANAGEMENT_PORT, Node
from swarmlab.cluster.service import SERVICE_LABEL
from swarmlab.cluster.swarm import Swarm
from swarmlab.wait import State


def init_with(node: Node, options: str) -> str:
    """Return the command that makes a swarm on *node*, which listens on its own address, with further options."""
    return f"swarm init --advertise-addr {node.address} --listen-addr {node.address}:{MANAGEMENT_PORT} {options}"


def join_with(node: Node, manager: Node, token: str, options: str = "") -> str:
    """Return the command by which *node* joins the swarm of *manager*, with further options."""
    own = f"--advertise-addr {node.address} --listen-addr {node.address}:{MANAGEMENT_PORT}"
    return f"swarm join --token {token} {own} {options} {manager.address}:{MANAGEMENT_PORT}"


def random_secret() -> str:
    """Return a random secret of the form in a join token's last field."""
    return secrets.token_hex(13)[:25]


def with_field(token: str, place: int, value: str) -> str:
    """Return a join token with another digest (place 2) or secret (place 3)."""
    fields = token.split("-")
    fields[place] = value
    return "-".join(fields)


def availability(cluster: Swarm, node: Node) -> str:
    """Return the availability of *node* as the managers list it; empty if they do not list the node."""
    identity = node.node_id()
    return next((member["Spec"]["Availability"] for member in cluster.members() if member["ID"] == identity), "")


def remains(node: Node) -> State:
    """Whether *node* has no network of a swarm and no container of a service, running or not."""
    networks = [network["Name"] for network in node.ask("GET", "/networks", filters={"scope": ["swarm"]})]
    containers = [entry["Names"][0].strip("/") for entry in node.containers(all=True, label=SERVICE_LABEL)]
    left = [f"network {name}" for name in networks] + [f"container {name}" for name in containers]
    return State(not left, f"left there: {', '.join(left) or 'nothing'}")


def ping(node: Node) -> Mapping[str, str]:
    """Return the headers of the engine's answer to a ping."""
    api = node.engine.api
    headers: Mapping[str, str] = api.get(f"{api.base_url}/_ping", timeout=60).headers
    return headers
