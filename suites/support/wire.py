"""Packets of one overlay network as they arrive at a node: at which of its addresses, at which port, and how."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from swarmlab.cluster import tables
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.rehearsal.likeness.services import VXLAN_ID


def vxlan_of(cluster: Swarm, network: str) -> str:
    """Return the number of an overlay network's VXLAN, as the managers know it."""
    return str(cluster.manager.ask("GET", f"/networks/{network}")["Options"][VXLAN_ID]).partition(",")[0]


def of_vxlan(port: int, vxlan: str) -> str:
    """Return nft's expression for packets of a VXLAN that are sent to *port*."""
    return f"udp dport {port} @th,96,24 {vxlan}"


@contextmanager
def counted(node: Node, kinds: Mapping[str, str]) -> Iterator[Callable[[], dict[str, int]]]:
    """Count packets that arrive at *node*, before its other rules see them, while the context lasts.

    Args:
        node: the node that counts.
        kinds: nft's expression for each kind of packets, by a name of letters.

    Yields:
        A function that returns how many packets of each kind have arrived.

    Raises:
        Blocked: the node cannot count.
    """
    table = f"ip {tables.new()}"
    lines = [f"add table {table}", *(f"add chain {table} {name}" for name in tables.signature())]
    lines.append(f"add chain {table} arriving {{ type filter hook prerouting priority -290; }}")
    for kind, match in kinds.items():
        lines += [f"add counter {table} {kind}", f"add rule {table} arriving {match} counter name {kind}"]
    begun = node.run(f"PATH=$PATH:/usr/sbin:/sbin nft {shlex.quote('; '.join(lines))}")
    if not begun.ok:
        raise Blocked(f"{node} cannot count packets with nft: {(begun.output.splitlines() or ['no word'])[-1]}")

    def read() -> dict[str, int]:
        listed = node.run(f"PATH=$PATH:/usr/sbin:/sbin nft list table {table}").out
        found = re.findall(r"counter (\w+) \{\s*packets (\d+)", listed)
        return {kind: int(packets) for kind, packets in found}

    try:
        yield read
    finally:
        node.run(f"PATH=$PATH:/usr/sbin:/sbin nft delete table {table}")
