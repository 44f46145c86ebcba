"""Whether what encrypted overlay networks send between nodes is encrypted, and arrives: the kernel's IPsec (ESP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swarmlab.cluster.swarm import suspects
from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight

#: The IPsec associations that an engine makes (it marks them with 0xd0c4e3), each with the packets that it has
#: encrypted or decrypted. The keys, which are listed with them, stay on the node. Where the kernel's part for them (6)
#: is not loaded there are none, and to list them would load it.
QUESTION = (
    "[ $(id -u) = 0 ] || { echo be root; exit 1; }; "
    "awk '$2 == 6 { N = 1 } END { exit !N }' /proc/net/netlink || exit 0; "
    "X=$(ip -s xfrm state 2>/dev/null) || { echo ip does not list them; exit 3; }; "
    "printf '%s\\n' \"$X\" | awk '/^src / { S = $2; D = $4 } "
    '$1 == "proto" { N = $2 == "esp" && /reqid 13681891/ ? $4 : "" } '
    'N && $1 ~ /^[0-9]+[(]bytes[)]/ { split($2, P, "("); print S, D, N, P[1] }\''
)
#: Packets that a node sends while it is looked at, after which one of them must have arrived.
_ENOUGH = 2
_RISK = "tasks on these nodes do not reach each other in encrypted networks"


@dataclass(frozen=True)
class Association:
    """An association of IPsec, which encrypts or decrypts the packets from one node to another.

    Attributes:
        source: the address of the node that sends.
        target: the address of the node to which it sends.
        index: what tells it from others of the same nodes: keys change every twelve hours.
        packets: how many packets it has encrypted or decrypted.
    """

    source: str
    target: str
    index: str
    packets: int


def associations(text: str) -> list[Association]:
    """Return the associations in an answer to `QUESTION`."""
    lines = [line.split() for line in text.splitlines()]
    return [Association(words[0], words[1], words[2], int(words[3])) for words in lines if len(words) == 4]


def secrecy(sight: Sight, there: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Yield findings where encrypted networks do not encrypt between two nodes with tasks, or where that is lost.

    Args:
        sight: what was read of the cluster.
        there: the ids of the networks that have a namespace on a node, by its host name; of nodes that know of all
            tasks.
    """
    read: dict[str, tuple[list[Association], list[Association]]] = {}
    beside = _beside(sight, there)
    for view in sight.nodes:
        if view.name not in beside:
            continue
        try:
            read[view.name] = associations(view.read("ipsec before")), associations(view.read("ipsec after"))
        except Unknown as why:
            yield why.finding(view.name)
            continue
        if lacking := [other.name for other in beside[view.name] if not _made(read[view.name][1], other)]:
            summary = f"the kernel has no IPsec association with {few(lacking)}, which encrypted networks need"
            drain = f"docker node update --availability drain {view.name}"
            mend = f"restart the engine: {drain}, then systemctl restart docker"
            found = Finding(Level.ERROR, summary, _RISK, nodes=(view.name,), mend=mend)
            yield found.by_hand("ip xfrm state list nokeys; ip xfrm policy", "")
    lost = [
        (view.name, other.name)
        for view in sight.nodes
        for other in beside.get(view.name, [])
        if view.name in read and other.name in read
        if _sends(*read[view.name], other) and _got(read[other.name][1], view) == 0
    ]
    if lost:
        yield _lost(sight, lost)


def _lost(sight: Sight, pairs: list[tuple[str, str]]) -> Finding:
    listed = few(f"{source} -> {target}" for source, target in pairs)
    mend = (
        "on {nodes}: find the rule that drops it (iptables -S, nft list ruleset) and allow protocol 50 from every "
        "node: iptables -I INPUT -p esp -j ACCEPT; and in every firewall between the nodes (security groups)"
    )
    nodes = tuple(suspects(pairs, [view.name for view in sight.nodes]))
    summary = f"ESP (IP protocol 50) does not arrive: {listed}"
    found = Finding(Level.ERROR, summary, _RISK, nodes=nodes, mend=mend, pairs=tuple(pairs))
    return found.by_hand("iptables -S | grep -nE 'DROP|REJECT|esp'; ip -s xfrm state list nokeys", "")


def _beside(sight: Sight, there: Mapping[str, list[str]]) -> dict[str, list[NodeView]]:
    """Return by node the others with which it must encrypt: both have tasks in an encrypted network."""
    heard = work.heard(sight)
    found: dict[str, dict[str, NodeView]] = {}
    for network in sight.overlays:
        if network["Name"] not in sight.encrypted:
            continue
        serving = {task.get("NodeID") for task in sight.tasks if _in(task, network["Id"], heard)}
        views = [
            view
            for view in sight.nodes
            if view.active and view.node_id in serving and network["Id"] in there.get(view.name, [])
            if not view.answers.get("member", (1, ""))[0]  # else it may have another address for data
        ]
        for view in views:
            found.setdefault(view.name, {}).update({other.name: other for other in views if other is not view})
    return {name: list(others.values()) for name, others in found.items() if others}


def _in(task: Mapping[str, object], network: str, heard: float) -> bool:
    return work.serves(task, heard) and bool(work.address_in(task, network))


def _made(associations: list[Association], other: NodeView) -> bool:
    """Whether there are associations to another node, and from it."""
    ends = {one.source for one in associations}, {one.target for one in associations}
    return all(other.data_address in each for each in ends)


def _sends(before: list[Association], after: list[Association], other: NodeView) -> bool:
    """Whether a node has sent to another all the while: before it was looked at, and while it was."""
    known = {one.index: one.packets for one in before if one.target == other.data_address}
    return any(
        known.get(one.index, 0) and one.packets - known[one.index] >= _ENOUGH
        for one in after
        if one.target == other.data_address
    )


def _got(associations: list[Association], other: NodeView) -> int | None:
    """Return how many packets of another node a node has decrypted; None if it has nothing to do that with."""
    found = [one.packets for one in associations if one.source == other.data_address]
    return sum(found) if found else None
