"""An encrypted overlay network as the wire between the nodes shows it."""

import re
import shlex
from contextlib import contextmanager

from swarmlab.cluster.node import DATA_PORT
from swarmlab.errors import LabError

_TABLE = "swarmlab_sealed"


@contextmanager
def counting(node, vxlan):
    """Count on *node* what arrives of a VXLAN while the context lasts; gives how that is read.

    A packet that was encrypted comes past the packet filter again once it is decrypted, and has a security path then.

    Args:
        node: where to count.
        vxlan: the VXLAN's number.

    Raises:
        LabError: the node cannot count.
    """
    packets = f"add rule ip {_TABLE} arriving udp dport {DATA_PORT} @th,96,24 {vxlan} meta secpath"
    rules = (
        f"add table ip {_TABLE}",
        f"delete table ip {_TABLE}",  # which an earlier run left
        f"add table ip {_TABLE}",
        f"add chain ip {_TABLE} arriving {{ type filter hook prerouting priority -290; }}",
        f"{packets} missing counter",
        f"{packets} exists counter",
    )
    done = node.run(f"nft {shlex.quote('; '.join(rules))}")
    if not done.ok:
        raise LabError(f"{node} cannot count packets: {done.said[-300:]}")

    def read():
        """How many packets arrived in clear, and how many encrypted."""
        clear, encrypted = re.findall(r"counter packets (\d+)", node.run(f"nft list table ip {_TABLE}").out)
        return int(clear), int(encrypted)

    try:
        yield read
    finally:
        node.run(f"nft delete table ip {_TABLE}")
