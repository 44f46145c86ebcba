"""Whether packets pass between the nodes of a new lab, and from this process to them.

An engine lets the packets of its networks through the firewall of its host. Where it is told not to, by "iptables":
false, or where the firewall is loaded anew afterwards, a host that forwards nothing drops what nodes send each other.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from functools import partial

from swarmlab.cluster.node import Node
from swarmlab.errors import DeadlineExceeded, UsageError
from swarmlab.wait import wait

#: A port on which something listens before the engine of a node does: sshd's.
_PORT = 22
#: Seconds that a connection may take, and after which the way is taken for closed.
_PATIENCE, _DEADLINE = 2, 10


def check(nodes: Sequence[Node], subnet: str) -> None:
    """Check that the nodes of a new lab are reached.

    Args:
        nodes: its nodes, which answer.
        subnet: their network, as 192.168.56.0/24.

    Raises:
        UsageError: they are not; the message says how that is mended.
    """
    first, others = nodes[0], nodes[1:2]
    ways = [("this process does not reach the lab's nodes", f"OUTPUT -d {subnet}", partial(_reached, first.address))]
    for other in others:
        rule = f"FORWARD -s {subnet} -d {subnet}"
        ways.append(("the lab's nodes do not reach each other", rule, partial(_reaches, other, first)))
    for what, rule, passes in ways:
        try:
            wait(passes, "packets to pass", deadline=_DEADLINE)
        except DeadlineExceeded:
            raise UsageError(
                f"{what}: the firewall of the engine's host drops their packets; let the engine make its rules (take "
                f'"iptables": false out of daemon.json, or systemctl restart docker), or as root: iptables -I {rule} '
                "-j ACCEPT"
            ) from None


def _reached(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, _PORT), timeout=_PATIENCE):
        return True
    return False


def _reaches(node: Node, other: Node) -> bool:
    return node.look(f"timeout {_PATIENCE} bash -c '</dev/tcp/{other.address}/{_PORT}'").ok
