"""Packets of an encrypted overlay network as they arrive at a node."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarmlab.cluster.node import DATA_PORT, Node

_TABLE = "swarmlab_sealed"


@contextmanager
def counting(node: Node, vxlan: str) -> Iterator[Callable[[], tuple[int, int]]]:
    """Count the packets of a VXLAN that arrive at *node* while the context lasts.

    A packet that arrived encrypted passes the packet filter again after it is decrypted, and then has a security path.

    Args:
        node: the node that counts.
        vxlan: the VXLAN's number.

    Yields:
        A function that returns how many packets have arrived in clear, and how many encrypted.

    Raises:
        LabError: the node cannot count.
    """
    packets = f"add rule ip {_TABLE} arriving udp dport {DATA_PORT} @th,96,24 {vxlan} meta secpath"
    rules = (
        f"add table ip {_TABLE}",
        f"delete table ip {_TABLE}",  # an earlier run may have left one
        f"add table ip {_TABLE}",
        f"add chain ip {_TABLE} arriving {{ type filter hook prerouting priority -290; }}",
        f"{packets} missing counter",
        f"{packets} exists counter",
    )
    node.run(f"nft {shlex.quote('; '.join(rules))}").expect(f"nft, which counts packets on {node},")

    def read() -> tuple[int, int]:
        clear, encrypted = re.findall(r"counter packets (\d+)", node.run(f"nft list table ip {_TABLE}").out)
        return int(clear), int(encrypted)

    try:
        yield read
    finally:
        node.run(f"nft delete table ip {_TABLE}")
