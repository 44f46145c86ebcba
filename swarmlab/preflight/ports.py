"""Checks of the network between the nodes: the swarm's ports, and the size of packets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.cluster.swarm import suspects
from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import (
    OPEN,
    REFUSED,
    START_THE_ENGINE,
    Arrivals,
    NodeView,
    Sight,
    addresses_of_others,
    by_node,
    data_addresses_of_others,
)

_AGAIN = "look again while the nodes have less to do: swarmlab preflight"
_COUNT = "let preflight be root on {nodes}, with nft, bash and timeout there: apt-get install nftables bash coreutils"


def _leaving(nodes: Iterable[str], pairs: Iterable[tuple[str, str]]) -> bool:
    """Whether what is lost is all from the suspected nodes, and what is for them arrives: they do not let it out."""
    return all(source in nodes and target not in nodes for source, target in pairs)


def _allow(port: int, protocol: str, *, leaving: bool = False) -> str:
    """Return the mend of a port that is closed between nodes.

    Args:
        port: the port.
        protocol: tcp or udp.
        leaving: whether the nodes do not let out what is for the port of others.
    """
    if leaving:
        return (
            f"on {{nodes}}: find the rule that drops what leaves for port {port}/{protocol} (iptables -S OUTPUT, nft "
            f"list ruleset) and let it out to every node: {_rules(port, protocol, leaving=True)}, or ufw allow out "
            f"{port}/{protocol}; and in every firewall between the nodes (security groups: what leaves)"
        )
    return (
        f"on {{nodes}}: find the rule that drops it (iptables -S, nft list ruleset) and allow port {port}/{protocol} "
        f"from every node: {_rules(port, protocol)}, ufw allow {port}/{protocol}, or "
        f"firewall-cmd --permanent --add-port={port}/{protocol} && firewall-cmd --reload; "
        "and in every firewall between the nodes (security groups)"
    )


def _rules(port: int, protocol: str, *, leaving: bool = False) -> str:
    """Return the line that opens a port, or lets out what is for it, and in what answers that."""
    if not leaving:
        return f"iptables -I INPUT -p {protocol} --dport {port} -j ACCEPT"
    out = f"iptables -I OUTPUT -p {protocol} --dport {port} -j ACCEPT"
    answers = f"iptables -I INPUT -p tcp --sport {port} -m conntrack --ctstate ESTABLISHED -j ACCEPT"
    return f"{out}; {answers}" if protocol == "tcp" else out


def _by_hand(port: int, protocol: str, *, leaving: bool = False) -> tuple[str, str]:
    """Return the lines that show why a port is closed, and that open it."""
    return (
        f'iptables -S | grep -nE "DROP|REJECT|{port}"; nft list ruleset | grep -nE "drop|reject|{port}"',
        _rules(port, protocol, leaving=leaving),
    )


def paths(sight: Sight) -> Iterator[Finding]:
    """Whether any packet passes between every two nodes, whatever its port."""
    cut, judged, seen = [], 0, []
    for view in sight.nodes:
        try:
            if (arrived := _arrived(view)).untried:
                raise Unknown(f"it could not connect: {arrived.untried}", _COUNT)
            seen.append(view)
        except Unknown as why:
            yield why.finding(view.name)
    for first, second in itertools.combinations(seen, 2):
        judged += 1
        if not _hears(first, second) and not _hears(second, first):
            cut.append((first.name, second.name))
    if cut:
        yield Finding(
            Level.ERROR,
            f"no packet passes between {few(f'{first} and {second}' for first, second in cut)}",
            "managers take a node for lost, and what runs there is not reached",
            nodes=_suspects(sight, cut),
            pairs=tuple(cut),
            mend="on {nodes}: ip -brief address; ip route; ping -c 1 ADDRESS of another node; then mend the interface, "
            "what is between the nodes (VLAN, security group), or a firewall that drops everything (iptables -S, "
            "nft list ruleset)",
            look="ip -brief address; ip route; iptables -S; nft list ruleset",
        )
    elif judged:
        yield Finding(Level.OK, f"packets pass between {judged} pairs of nodes")


def _hears(view: NodeView, other: NodeView) -> bool:
    """Whether anything of another node reaches a node: packets, or an answer to its own."""
    arrived = view.arrived or Arrivals()
    counted = arrived.gossip | arrived.small | arrived.large
    answers = [end for (address, _), end in arrived.tcp.items() if address == other.address]
    return other.address in counted or any(end in (OPEN, REFUSED) for end in answers)


def management(sight: Sight) -> Iterator[Finding]:
    """Whether every node reaches the management port of every manager, and of workers in case they are promoted."""
    managers = [view for view in sight.nodes if view.is_manager]
    workers = [view for view in sight.nodes if view.takes_part and view not in managers]
    risk = "a node that reaches no manager loses its tasks, and managers lose quorum"
    yield from _connections(sight, managers, lambda node: sight.management_port(node), (OPEN,), Level.ERROR, risk)
    later = "needed once the node is promoted"
    ends = (OPEN, REFUSED)
    yield from _connections(sight, workers, lambda node: sight.management_port(node), ends, Level.INFO, later)


def gossip_tcp(sight: Sight) -> Iterator[Finding]:
    """Whether every node reaches the gossip port of every other by TCP."""
    risk = "tasks on a new overlay network start half a minute late, and so do their names"
    yield from _connections(sight, sight.nodes, lambda _: GOSSIP_PORT, (OPEN,), Level.ERROR, risk)


def _connections(
    sight: Sight,
    targets: Iterable[NodeView],
    port: Callable[[NodeView], int],
    good: tuple[str, ...],
    level: Level,
    risk: str,
) -> Iterator[Finding]:
    closed: list[tuple[str, str, str]] = []
    tried = 0
    listed = [target for target in targets if target.takes_part and target.arrived is not None]
    for source in sight.nodes:
        try:
            arrived = _arrived(source)
            if arrived.untried:
                raise Unknown(f"it could not connect: {arrived.untried}", _COUNT)
        except Unknown as why:
            yield why.finding(source.name)
            continue
        for target in listed:
            if target is not source:
                end = arrived.tcp.get((target.address, port(target)), "not tried")
                tried += 1
                if end == "not tried":
                    summary = f"{source.name} did not try {target.name}"
                    yield Finding(Level.UNKNOWN, summary, nodes=(target.name,), mend=_AGAIN)
                elif end not in good:
                    closed.append((source.name, target.name, end))
    if closed:
        summary = few(f"{source} -> {target} ({end})" for source, target, end in closed)
        pairs = tuple((source, target) for source, target, _ in closed)
        yield _closed(sight, level, summary, risk, pairs, port(listed[0]), "tcp")
    elif tried:
        yield Finding(Level.OK, f"open ({tried} connections)")


def _closed(
    sight: Sight, level: Level, summary: str, risk: str, pairs: tuple[tuple[str, str], ...], port: int, protocol: str
) -> Finding:
    """Return the finding of a port that is closed between pairs of nodes (from, to)."""
    nodes = _suspects(sight, pairs)
    leaving = _leaving(nodes, pairs)
    mend = _allow(port, protocol, leaving=leaving)
    found = Finding(level, summary, risk, nodes=nodes, mend=mend, pairs=pairs)
    return found.by_hand(*_by_hand(port, protocol, leaving=leaving))


def gossip_udp(sight: Sight) -> Iterator[Finding]:
    """Whether the engines' gossip by UDP arrives at every node from every other."""
    risk = "other nodes learn names and addresses of tasks late or never"
    yield from _arrivals(sight, lambda arrived: arrived.gossip, "gossip", risk, GOSSIP_PORT, patient=True)


def data(sight: Sight) -> Iterator[Finding]:
    """Whether small packets to the overlay data port arrive at every node from every other."""
    risk = "containers on different nodes, and the routing mesh, do not reach each other"
    what = f"UDP to port {sight.data_port}"
    yield from _arrivals(sight, lambda arrived: arrived.small, what, risk, sight.data_port, told=True)


def path_mtu(sight: Sight) -> Iterator[Finding]:
    """Whether full-size packets of overlay networks arrive at every node from every other, unfragmented."""
    size = sight.packet_size
    risk = "small requests pass and large ones hang"
    incident = "moby#43673, moby#36689, libnetwork#2661"
    fits: dict[str, bool] = {}
    for view in sight.nodes:
        try:
            name, mtu, _ = view.interface(view.data_address)
        except Unknown as why:
            yield why.finding(view.name)
            continue
        fits[view.name] = mtu >= size
        if mtu < size:
            summary = f"{name} has an MTU of {mtu}, overlay networks send packets of {size}"
            mend = f"on {{nodes}}: ip link set {name} mtu {size}, also in its configuration; or {_smaller(mtu)}"
            # What is lost between nodes follows from it.
            yield Finding(Level.WARNING, summary, risk, incident, (view.name,), mend=mend, causes=("path-mtu: -> ",))
        for address, known in (view.arrived.routes if view.arrived else {}).items():
            if known < size:
                names = addresses_of_others(sight, view) | data_addresses_of_others(sight, view)
                summary = f"the path to {names.get(address, address)} has an MTU of {known}"
                yield Finding(
                    Level.WARNING,
                    f"{summary}, overlay networks send {size}",
                    risk,
                    incident,
                    (view.name,),
                    mend=f"raise the MTU of what is between them; or {_smaller(known)}",
                    causes=("path-mtu: -> ",),
                )
    judged, lost, without = 0, [], []
    for view in sight.nodes:
        try:
            arrived = _arrived(view)
            if arrived.unseen:
                raise Unknown(f"arriving packets were not counted: {arrived.unseen}", _COUNT)
        except Unknown as why:
            yield why.finding(view.name)
            continue
        for address, name in data_addresses_of_others(sight, view).items():
            came = {address} & arrived.small | arrived.senders.get(name, set())
            judged += bool(came)
            if not came:
                without.append((name, view.name))
            elif not came & arrived.large:
                lost.append((name, view.name))
    if without:
        summary = f"packets of {size} bytes were not checked, as small ones do not arrive: {_pairs(without)}"
        nodes = _suspects(sight, without)
        allow = _allow(sight.data_port, "udp", leaving=_leaving(nodes, without))
        mend = f"open the port of overlay data first: {allow}"
        yield Finding(Level.UNKNOWN, summary, nodes=nodes, mend=mend, pairs=tuple(without))
    if lost:
        summary = f"packets of {size} bytes are lost, small ones pass: {_pairs(lost)}"
        (first, second), *_ = lost
        address = next((view.address for view in sight.nodes if view.name == second), second)
        mend = (
            f"find the size that passes: on {first}: ping -c 1 -M do -s {size - 28} {address}, and smaller; then raise "
            f"the MTU of the path, or {_smaller(0)}"
        )
        yield Finding(Level.ERROR, summary, risk, incident, _suspects(sight, lost), mend=mend, pairs=tuple(lost))
    elif judged and all(fits.values()):
        yield Finding(Level.OK, f"packets of {size} bytes pass ({judged} paths)")


def _smaller(mtu: int) -> str:
    """Return the mend that has overlay networks send packets of *mtu* bytes; 0 if the number is not known."""
    option = f"--opt com.docker.network.driver.mtu={mtu or 'BYTES'}"
    return (
        "create every overlay network again with a smaller MTU, also ingress: docker network rm ingress && "
        f"docker network create --driver overlay --ingress {option} ingress"
    )


def _arrivals(
    sight: Sight,
    which: Callable[[Arrivals], set[str]],
    what: str,
    risk: str,
    port: int,
    *,
    patient: bool = False,
    told: bool = False,
) -> Iterator[Finding]:
    """Yield a finding that names the nodes whose packets do not arrive at others.

    Args:
        sight: what was read of the cluster.
        which: the source addresses of the packets that arrived.
        what: the packets, for messages.
        risk: the possible consequences.
        port: the port that they go to.
        patient: whether all nodes send such packets only after a while.
        told: whether the packets tell who sent them, and go to the nodes' addresses for overlay networks' data.
    """
    others = data_addresses_of_others if told else addresses_of_others
    lost = []
    counted = 0
    known = {address for view in sight.nodes if view.takes_part for address in (view.address, view.data_address)}
    known |= {member["Status"].get("Addr", "") for member in sight.members}
    # The other addresses that a node's packets leave with, which is the matter of another check.
    also = {view.name: leaving(sight, view) - known for view in sight.nodes if view.takes_part}
    known |= set().union(*also.values())
    for view in sight.nodes:
        try:
            arrived = _arrived(view)
            if arrived.unseen:
                raise Unknown(f"{what} was not counted: {arrived.unseen}", _COUNT)
            if ":" in view.address:
                raise Unknown(
                    f"{what} was not counted, as its address is not IPv4: {view.address}",
                    "preflight counts IPv4 alone; on {nodes}: tcpdump -ni any udp, while others send",
                )
            came = which(arrived)
            also_here = arrived.senders if told else also
            missing = [
                name
                for address, name in others(sight, view).items()
                if address not in came and not also_here.get(name, set()) & came
            ]
            if missing and came - known:
                summary = f"{what} came from {few(sorted(came - known))}, which is not a node's address"
                mend = "find out where these packets come from: tcpdump -ni any udp, on the node that they arrive at"
                yield Finding(Level.UNKNOWN, f"to {view.name} {summary}", nodes=tuple(missing), mend=mend)
                continue
            if missing and patient and not arrived.patient:
                raise Unknown(f"the wait for {what} was too short: it did not come from {len(missing)} nodes", _AGAIN)
        except Unknown as why:
            yield why.finding(view.name)
            continue
        counted += 1
        lost += [(name, view.name) for name in missing]
    if lost:
        summary = f"{what} does not arrive: {_pairs(lost)}"
        yield _closed(sight, Level.ERROR, summary, risk, tuple(lost), port, "udp")
    elif counted:
        yield Finding(Level.OK, f"{what} arrives at {counted} nodes from all others")


def leaving(sight: Sight, view: NodeView) -> set[str]:
    """Return the addresses that a node's packets have where they arrive, other than the one that they should have."""
    came = {
        source
        for other in sight.nodes
        if other is not view and other.arrived
        for source in other.arrived.senders.get(view.name, ())
    }
    routed = {source for source, _ in view.arrived.leaving.values()} if view.arrived else set()
    return (came | routed) - {view.address, view.data_address}


def _arrived(view: NodeView) -> Arrivals:
    """Return what arrived at a node.

    Raises:
        Unknown: its engine or its shell did not answer, so that nothing was sent or counted there.
    """
    if view.arrived and view.unread and (view.arrived.unseen or view.arrived.untried):
        raise Unknown(view.unread, view.access)
    if view.arrived is None:
        if view.silent or not view.takes_part:
            raise Unknown(view.silent or "no packets were sent to it", view.remedy or START_THE_ENGINE)
        raise Unknown(view.alone or "its engine answered too late for packets to be sent to it", _AGAIN)
    return view.arrived


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return few(f"{source} -> {target}" for source, target in pairs)


def _suspects(sight: Sight, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(suspects(pairs, [view.name for view in sight.nodes]))


@by_node
def offload(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether VMware's virtual network card computes checksums of VXLAN packets, which it gets wrong."""
    own, _, driver = view.interface()
    links = [line.split() for line in view.read("links").splitlines()]
    cards = [fields[0] for fields in links if fields[2:] == ["vmxnet3"]]
    if driver:
        cards = [name for name in cards if name == own]
    # An interface without a driver is made of others (a bond, a bridge, a VLAN): any of them may be below it.
    states = view.read("offload").splitlines() if cards else []
    for name in cards:
        state = next((line for line in states if line.startswith(f"{name} ")), "")
        if ": on" in state and sight.data_port in (4789, 8472):
            mend = (
                f"on {{nodes}}: ethtool -K {name} tx-checksum-ip-generic off, at every boot; or a new swarm: "
                "docker swarm init --data-path-port 7789"
            )
            summary = f"{name} is vmxnet3 with tx-checksum-ip-generic on"
            risk = "between nodes pings pass and TCP hangs"
            yield Finding(Level.WARNING, summary, risk, "moby#41775", mend=mend)
        elif ": o" not in state:
            raise Unknown(
                f"{name} is vmxnet3, and ethtool does not show tx-checksum-ip-generic",
                f"on {{nodes}}: apt-get install ethtool, then ethtool -k {name}",
            )
