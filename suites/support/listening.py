"""Where managers listen, and whether a port takes connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked

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
