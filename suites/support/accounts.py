"""Throw-away users of a node, so that nothing is tried on the cluster's own user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from swarmlab.cluster.marks import unique
from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked, LabError

#: Options with which ssh asks nothing, neither for a password nor about an unknown host key, and notes no host key.
NO_QUESTIONS = (
    "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null"
    " -o LogLevel=ERROR"
)


def ssh_port(node: Node) -> int:
    """Return the TCP port of the node's sshd, by its settings; 22 where it does not print them."""
    printed = node.run("sshd -T").out.lower().split("\n")
    # Its "port" is only that of the addresses which name none.
    places = [line.split()[1].rpartition(":") for line in printed if line.startswith("listenaddress ")]
    ports = [port for at, _, port in places if at.strip("[]") in (node.address, "0.0.0.0", "::")]
    return int(ports[0]) if ports else 22


@contextlib.contextmanager
def throwaway(node: Node) -> Iterator[str]:
    """Make a user with a home, a group of the same name and no password; remove it when the context ends.

    Args:
        node: the machine that gets the user.

    Yields:
        The user's name.

    Raises:
        Blocked: the machine has no useradd.
        LabError: the user cannot be made or removed.
    """
    if not node.host.exists("useradd"):
        raise Blocked(f"{node} has no useradd, with which a user of the test is made")
    name = unique("user")
    # "*" is a password that nothing matches. A locked password would refuse keys too where sshd does not use PAM.
    made = node.run(f"useradd --create-home --user-group --shell /bin/sh --password '*' {name}")
    made.expect(f"useradd on {node}")
    try:
        yield name
    finally:
        node.run(f"pkill -KILL -u {name}; userdel --force --remove {name}")
        if node.run(f"getent passwd {name}").ok:
            raise LabError(f"{name} of {node} could not be removed")
