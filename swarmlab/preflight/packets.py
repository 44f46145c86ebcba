"""Sends packets from every node to every other, and counts them where they arrive, behind every firewall.

Engines do not answer foreign packets on the ports of gossip and overlay data. So the packet filter of the receiving
node notes each packet's source, in a table of this look alone that accepts everything and comes last: a noted packet
has passed every other rule. For gossip, it notes the packets that engines send to each other every few seconds. To the
port of overlay data, each node sends VXLAN packets with an unused network id, which the receiving kernel drops: small
packets, and packets of the largest size that overlay networks send. The size of the small ones tells which node sent
them, whatever source address they have on the way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from swarmlab.cluster import tables
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
#: Bytes of the headers of VXLAN, UDP and IPv4.
_VXLAN, _UDP, _IP = 8, 8, 20
_TRIES = 3
#: Most seconds to wait for gossip. In a swarm with more nodes than seconds, a node may not send to all others in time.
_MOST_PATIENCE = 30.0


def send(sight: Sight, nodes: Sequence[tuple[Node, NodeView]]) -> None:
    """Send packets from each of *nodes* to every other, and set `NodeView.arrived` of each."""
    for _, view in nodes:
        view.arrived = Arrivals()
    pairs = [(node, view, view.arrived) for node, view in nodes if view.arrived is not None]
    table = f"ip {tables.new()}"
    count = functools.partial(_count, sight, table)
    connect = functools.partial(_send, sight)
    try:
        parallel(lambda pair: count(*pair), pairs)
        for last in (False, True):
            parallel(lambda pair: connect(*pair), pairs)
            wait = min(scaled(len(nodes) + 4), _MOST_PATIENCE)
            parallel(lambda pair: _read(sight, table, *pair, wait=wait), pairs)  # noqa: B023
            if last or all(_all_there(sight, view, arrived) for _, view, arrived in pairs):
                break
    finally:
        parallel(lambda pair: _forget(pair[0], table), pairs)
    for _, _, arrived in pairs:
        arrived.patient = len(nodes) + 4 <= _MOST_PATIENCE


def _all_there(sight: Sight, view: NodeView, arrived: Arrivals) -> bool:
    others = set(addresses_of_others(sight, view))
    connected = all(end in (OPEN, REFUSED) for end in arrived.tcp.values())
    data = set(data_addresses_of_others(sight, view))
    counted = arrived.unseen or (others <= arrived.gossip and data <= arrived.small and data <= arrived.large)
    return connected and bool(counted)


def _run(node: Node, script: str) -> tuple[int, str]:
    try:
        # What these scripts print are addresses and packets.
        done = node.run(f"export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin\n{script}", shown=str)
    except SwarmlabError as failed:
        return 255, str(failed)
    return done.code, done.out if done.ok else done.output


def _count(sight: Sight, table: str, node: Node, _: NodeView, arrived: Arrivals) -> None:
    data = f"udp dport {sight.data_port} udp length"
    rules = {
        "gossip": f"udp dport {GOSSIP_PORT}",
        **{f"small_{tag}": f"{data} {_VXLAN + _UDP + tag}" for tag in range(min(len(sight.nodes), TAGS))},
        "large": f"{data} {sight.packet_size - _IP}",
    }
    present = tables.listed(_run(node, tables.LIST)[1].splitlines())
    for left in (known.name for known in present if known.look and known.left):
        _forget(node, f"ip {left}")
    lines = [f"add table {table}", *(f"add chain {table} {name}" for name in tables.signature())]
    lines.append(f"add chain {table} arrivals {{ type filter hook input priority 1000; }}")
    for name, rule in rules.items():
        lines.append(f"add set {table} {name} {{ type ipv4_addr; flags dynamic; size 65535; }}")
        lines.append(f"add rule {table} arrivals {rule} add @{name} {{ ip saddr }}")
    code, output = _run(node, f"nft '{'; '.join(lines)}'")
    if code:
        arrived.unseen = f"nft cannot count there: {output.splitlines()[-1] if output else f'exit code {code}'}"


def _send(sight: Sight, node: Node, view: NodeView, arrived: Arrivals) -> None:
    targets, data = addresses_of_others(sight, view), data_addresses_of_others(sight, view)
    fill = sight.packet_size - _IP - _UDP - _VXLAN
    limit = f"{max(5.0, scaled(5)):.0f}"
    others = [other for other in sight.nodes if other.active and other.address in targets]
    ports = {(other.address, port) for other in others for port in (sight.management_port(other), GOSSIP_PORT)}
    script = [
        "command -v bash timeout >/dev/null || { echo bash and timeout are not there; exit 9; }",
        "for A in " + " ".join(dict.fromkeys([*targets, *data])) + '; do echo "route $A $(ip route get $A)"; done',
        "try() { SAID=$(timeout " + limit + ' bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1); '
        'echo "tcp $1 $2 $? $(echo $SAID)"; }',
        "shoot() { bash -c \"printf '" + _HEADER + "0" * sight.tagged(view) + "' >/dev/udp/$1/$2; "
        "printf '" + _HEADER + f"%0{fill}d' 0 >/dev/udp/$1/$2\" 2>/dev/null; }}",
        *(f"try {address} {port} &" for address, port in sorted(ports)),
        *(f"shoot {address} {sight.data_port}" for _ in range(_TRIES) for address in data),
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
    neighbours = re.findall(r"^neighbour (\S+) .*\blladdr (\S+)", output, re.MULTILINE)
    arrived.neighbours |= {address: hardware for address, hardware in neighbours if address in targets}
    for address, port, ended, message in re.findall(r"^tcp (\S+) (\d+) (\d+) ?(.*)$", output, re.MULTILINE):
        arrived.tcp[address, int(port)] = _outcome(int(ended), message)


def _outcome(code: int, message: str) -> str:
    if code == 0:
        return OPEN
    if code == 124:  # the exit code of timeout
        return SILENT
    return REFUSED if "refused" in message else message.rpartition(": ")[2] or f"exit code {code}"


def _read(sight: Sight, table: str, node: Node, view: NodeView, arrived: Arrivals, *, wait: float) -> None:
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
        if other is not view and other.active and (came := found.get(f"small_{sight.tagged(other)}")):
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
