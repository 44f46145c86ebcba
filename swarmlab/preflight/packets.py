"""Sends packets from every node to every other, and counts them where they arrive, behind every firewall.

Engines do not answer foreign packets on the ports of gossip and overlay data. So the packet filter of the receiving
node notes each packet's source, in a table of this look alone that comes last: a noted packet has passed every other
rule. To the port of gossip, each node sends packets that begin with a word no engine uses. The table notes and drops
them, so that no engine logs them. It also notes what engines send each other: where a firewall lets through only the
flows that it knows, that is all that arrives. In an idle swarm of twenty nodes, an engine may send nothing to another
for half a minute. To the port of overlay data, each node sends VXLAN packets with an unused network id, which the
receiving kernel drops: small packets, and packets of the largest size that overlay networks send. The size of the small
ones tells which node sent them, whatever source address they have on the way.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmlab.cluster import deadline, tables
from swarmlab.cluster.node import GOSSIP_PORT, Node
from swarmlab.errors import SwarmlabError
from swarmlab.parallel import parallel
from swarmlab.preflight.model import (
    OPEN,
    REFUSED,
    SILENT,
    TAGS,
    Arrivals,
    NodeView,
    Sight,
    addresses_of_others,
    data_addresses_of_others,
)
from swarmlab.wait import scaled

#: A VXLAN header with a network id that swarms do not assign.
_HEADER = r"\x08\x00\x00\x00\xff\xff\xfe\x00"
#: How the packets to the port of gossip begin: the first byte is no type of a message that engines send.
_WORD = "swarmlab"
#: Bytes of the headers of VXLAN, UDP and IPv4.
_VXLAN, _UDP, _IP = 8, 8, 20
_TRIES = 3
#: Most seconds to wait for engines' own gossip. With more nodes, one may not send to all others in time.
_MOST_PATIENCE = 30.0
#: Seconds at reference speed for the removal of a table.
_REMOVE = 10.0
#: Seconds at reference speed that a connection may take, at the first try and at the second.
_CONNECT = (3.0, 4.0)
#: What timeout ends with at its limit: of GNU, of a program that it had to kill, and of BusyBox.
TIMED_OUT = (124, 137, 143)
#: Whether a node has bash and a timeout that takes its seconds first, as that of BusyBox does from 1.30 on.
HAS_LIMITS = "timeout 5 bash -c : 2>/dev/null"


@dataclass(frozen=True)
class Counting:
    """The count of gossip on a node.

    Attributes:
        since: when it began, by the monotonic clock.
        unseen: why nothing can be counted; empty if it can.
        hangs: whether its shell does not answer in time: then nothing more is asked of it.
        took: how many seconds it took to begin.
    """

    since: float
    unseen: str = ""
    hangs: bool = False
    took: float = 0.0


def table() -> str:
    """Return the name of a table for a look."""
    return f"ip {tables.new()}"


def forget(table: str, nodes: Sequence[Node]) -> None:
    """Remove a look's table from nodes."""
    with deadline.within(scaled(_REMOVE), anew=True):
        parallel(lambda node: _forget(node, table), nodes, at_once=len(nodes) + 1)


def count(table: str, node: Node) -> Counting:
    """Begin to count gossip, in a *table* of the node's packet filter, and remove the tables of looks that were killed.

    It needs no answer of an engine. So it is counted while others are still waited for.
    """
    start = time.monotonic()
    present = tables.listed(_run(node, tables.LIST)[1].splitlines())
    for left in (known.name for known in present if known.look and known.left):
        _forget(node, f"ip {left}")
    lines = [f"add table {table}", *(f"add chain {table} {name}" for name in tables.signature())]
    lines.append(f"add chain {table} arrivals {{ type filter hook input priority 1000; }}")
    gossip = f"udp dport {GOSSIP_PORT}"
    lines += _rules(table, gossip=gossip)
    lines.append(f"add rule {table} arrivals {gossip} @th,64,64 0x{_WORD.encode().hex()} drop")
    code, output = _run(node, f"nft '{'; '.join(lines)}'")
    last = output.splitlines()[-1] if output else f"exit code {code}"
    now = time.monotonic()
    return Counting(now, f"nft cannot count there: {last}" if code else "", took=now - start)


def _rules(table: str, **rules: str) -> list[str]:
    lines = []
    for name, rule in rules.items():
        lines.append(f"add set {table} {name} {{ type ipv4_addr; flags dynamic; size 65535; }}")
        lines.append(f"add rule {table} arrivals {rule} add @{name} {{ ip saddr }}")
    return lines


def send(sight: Sight, table: str, nodes: Sequence[tuple[Node, NodeView, Counting]], factor: float = 1.0) -> None:
    """Send packets from each of *nodes* to every other, and set `NodeView.arrived` of each.

    Args:
        sight: what the engines and a manager have told.
        table: the table in which gossip is counted.
        nodes: the nodes, each with its count of gossip.
        factor: how many times slower than others the nodes are, besides the speed of the lab.
    """
    for _, view, counting in nodes:
        view.arrived = Arrivals(unseen=counting.unseen, untried=counting.unseen if counting.hangs else "")
    triples = [(node, view, view.arrived) for node, view, counting in nodes if view.arrived and not counting.hangs]
    patience = min(scaled(len(nodes) + 4) * factor, _MOST_PATIENCE)
    until = max(counting.since for *_, counting in nodes) + patience
    at_once = functools.partial(parallel, at_once=len(nodes) + 1)
    at_once(lambda triple: _count(sight, table, *triple), triples)
    for seconds in _CONNECT:
        limit = max(seconds, scaled(seconds) * factor)
        at_once(lambda triple: _send(sight, *triple, limit=limit), triples)  # noqa: B023
        at_once(lambda triple: _read(sight, table, *triple), triples)
        if all(_all_there(sight, view, arrived) for _, view, arrived in triples):
            break
    if not all(_gossip_there(sight, view, arrived) for _, view, arrived in triples):  # known flows alone may pass
        wait = max(until - time.monotonic(), 0.0)
        at_once(lambda triple: _read(sight, table, *triple, wait=wait), triples)
    for _, _, arrived in triples:
        arrived.patient = len(nodes) + 4 <= _MOST_PATIENCE


def _all_there(sight: Sight, view: NodeView, arrived: Arrivals) -> bool:
    """Whether all packets arrived that are sent for this look."""
    connected = all(end in (OPEN, REFUSED) for end in arrived.tcp.values())
    data = set(data_addresses_of_others(sight, view))
    sent = all(data <= came for came in (arrived.small, arrived.large)) and _gossip_there(sight, view, arrived)
    return connected and (bool(arrived.unseen) or sent)


def _gossip_there(sight: Sight, view: NodeView, arrived: Arrivals) -> bool:
    return bool(arrived.unseen) or set(addresses_of_others(sight, view)) <= arrived.gossip


def _run(node: Node, script: str) -> tuple[int, str]:
    try:
        # What these scripts print are addresses and packets.
        done = node.run(f"export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin\n{script}", shown=str)
    except SwarmlabError as failed:
        # Without its name, so that findings of nodes that differ in nothing else are one.
        return 255, str(failed).replace(f"the shell of {node.name}", "its shell")
    return done.code, done.out if done.ok else done.output


def _count(sight: Sight, table: str, node: Node, _: NodeView, arrived: Arrivals) -> None:
    """Count the packets of overlay data too: their port and size are known by now."""
    if arrived.unseen:
        return
    data = f"udp dport {sight.data_port} udp length"
    small = {f"small_{tag}": f"{data} {_VXLAN + _UDP + tag}" for tag in range(min(len(sight.nodes), TAGS))}
    rules = _rules(table, **small, large=f"{data} {sight.packet_size - _IP}")
    code, output = _run(node, f"nft '{'; '.join(rules)}'")
    if code:
        arrived.unseen = f"nft cannot count there: {output.splitlines()[-1] if output else f'exit code {code}'}"


def _send(sight: Sight, node: Node, view: NodeView, arrived: Arrivals, *, limit: float) -> None:
    targets, data = addresses_of_others(sight, view), data_addresses_of_others(sight, view)
    fill = sight.packet_size - _IP - _UDP - _VXLAN
    others = [other for other in sight.nodes if other.takes_part and other.address in targets]
    # Where nothing counts and drops them, the engine would log them.
    counted = " ".join(["to", *(other.address for other in others if other.arrived and not other.arrived.unseen)])
    # Rules of routing may choose another way for what has an address of the node already, as answers have.
    answers = {(own, to) for own, all in ((view.address, targets), (view.data_address, data)) for to in all}
    ports = {(other.address, port) for other in others for port in (sight.management_port(other), GOSSIP_PORT)}
    script = [
        f"{HAS_LIMITS} || {{ echo there is no bash, or no timeout that takes seconds first; exit 9; }}",
        "for A in " + " ".join(dict.fromkeys([*targets, *data])) + '; do echo "route $A $(ip route get $A)"; done',
        *(
            f'echo "back {own} {to} $(ip route get {to} from {own})"'
            for own, to in sorted(answers)
            if ":" not in own + to
        ),
        "try() { SAID=$(timeout " + f"{limit:.0f}" + ' bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1); '
        'echo "tcp $1 $2 $? $(echo $SAID)"; }',
        "shoot() { bash -c \"printf '" + _HEADER + "0" * sight.tagged(view) + "' >/dev/udp/$1/$2; "
        "printf '" + _HEADER + f"%0{fill}d' 0 >/dev/udp/$1/$2\" 2>/dev/null; }}",
        *(f"try {address} {port} &" for address, port in sorted(ports)),
        *(f"shoot {address} {sight.data_port}" for _ in range(_TRIES) for address in data),
        *(f"bash -c 'for A; do printf {_WORD} >/dev/udp/$A/{GOSSIP_PORT}; done' {counted} 2>/dev/null",) * _TRIES,
        "wait",
        "ip neigh show | grep -E 'REACHABLE|STALE|DELAY|PROBE' | sed 's/^/neighbour /'",
        "true",
    ]
    code, output = _run(node, "\n".join(script))
    if code:
        arrived.untried = output.splitlines()[-1] if output else f"exit code {code}"
        return
    for address, way in re.findall(r"^route (\S+) (.*)$", output, re.MULTILINE):
        if mtu := re.search(r"\bmtu (?:lock )?(\d+)", way):
            arrived.routes[address] = int(mtu[1])
        source, interface = re.search(r"\bsrc (\S+)", way), re.search(r"\bdev (\S+)", way)
        if source and interface and interface[1] != "lo":  # where it is the node's own too, nothing leaves
            arrived.leaving[address] = source[1], interface[1]
    for own, address, interface in re.findall(r"^back (\S+) (\S+) .*\bdev (\S+)", output, re.MULTILINE):
        if interface != "lo":  # where it is the node's own too, nothing leaves
            arrived.answering[own, address] = interface
    neighbours = re.findall(r"^neighbour (\S+) .*\blladdr (\S+)", output, re.MULTILINE)
    arrived.neighbours |= {address: hardware for address, hardware in neighbours if address in targets}
    for address, port, ended, message in re.findall(r"^tcp (\S+) (\d+) (\d+) ?(.*)$", output, re.MULTILINE):
        arrived.tcp[address, int(port)] = _outcome(int(ended), message)


def _outcome(code: int, message: str) -> str:
    if code == 0:
        return OPEN
    if code in TIMED_OUT:
        return SILENT
    return REFUSED if "refused" in message else message.rpartition(": ")[2] or f"exit code {code}"


def _read(sight: Sight, table: str, node: Node, view: NodeView, arrived: Arrivals, *, wait: float = 0.0) -> None:
    if arrived.unseen:
        return
    wanted = " ".join(addresses_of_others(sight, view))
    script = (
        f"END=$(($(date +%s) + {wait:.0f})); while :; do"
        f" SEEN=$(nft list set {table} gossip | tr -s ' ,{{}}' '\\n');"
        f' MISSING=; for A in {wanted}; do echo "$SEEN" | grep -qx $A || MISSING=$A; done;'
        ' [ "$MISSING" ] && [ $(date +%s) -lt $END ] || break; sleep 0.3; done;'
        f" nft list table {table}"
    )
    code, output = _run(node, script)
    if code:
        arrived.unseen = f"nft does not list what it counted: {output[-100:]}"
        return
    found = elements(output)
    arrived.gossip |= found.get("gossip", set())
    arrived.large |= found.get("large", set())
    for other in sight.nodes:
        if other is not view and other.takes_part and (came := found.get(f"small_{sight.tagged(other)}")):
            arrived.small |= came
            alike = {one.data_address for one in sight.nodes if sight.tagged(one) == sight.tagged(other)}
            arrived.senders.setdefault(other.name, set()).update(came - (alike - {other.data_address}))


def elements(table: str) -> Mapping[str, set[str]]:
    """Return the IPv4 addresses in each set of a table, as nft lists it."""
    return {
        name: set(re.findall(r"\d+\.\d+\.\d+\.\d+", body))
        for name, body in re.findall(r"set (\w+) \{(.*?)\n\t\}", table, re.DOTALL)
    }


def _forget(node: Node, table: str) -> None:
    _run(node, f"nft delete table {table}")
