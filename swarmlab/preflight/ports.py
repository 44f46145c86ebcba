"""The ways between the nodes: the swarm's ports, and how large packets may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.preflight.finding import Finding, Level, Untold
from swarmlab.preflight.packets import OPEN, REFUSED, Arrivals, addresses_of_others
from swarmlab.preflight.sight import Seen, Sight, by_node

_MEND = "a firewall between the nodes, or on one of them: each has to let it in from all others"


def management(sight: Sight) -> Iterator[Finding]:
    """Whether every node reaches every manager's port, and every other node's for the day when it is promoted."""
    managers = [seen for seen in sight.nodes if seen.info.get("Swarm", {}).get("ControlAvailable")]
    workers = [seen for seen in sight.nodes if seen.active and seen not in managers]
    risk = f"nodes that do not reach a manager lose their tasks, or quorum is lost; {_MEND}"
    yield from _connections(sight, managers, lambda one: sight.management_port(one), (OPEN,), Level.ERROR, risk)
    later = f"needed once the node is promoted; {_MEND}"
    ends = (OPEN, REFUSED)
    yield from _connections(sight, workers, lambda one: sight.management_port(one), ends, Level.INFO, later)


def gossip_tcp(sight: Sight) -> Iterator[Finding]:
    """Whether every node reaches every other by TCP on the port of gossip."""
    risk = f"tasks on a new overlay network take half a minute to start, and names come late; {_MEND}"
    yield from _connections(sight, sight.nodes, lambda _: GOSSIP_PORT, (OPEN,), Level.ERROR, risk)


def _connections(
    sight: Sight,
    targets: Iterable[Seen],
    port: Callable[[Seen], int],
    good: tuple[str, ...],
    level: Level,
    risk: str,
) -> Iterator[Finding]:
    closed: list[tuple[str, str, str]] = []
    tried = 0
    listed = [target for target in targets if target.active]
    for source in sight.nodes:
        try:
            arrived = _arrived(source)
            if arrived.untried:
                raise Untold(f"it could not try: {arrived.untried}")
        except Untold as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(source.name,))
            continue
        for target in listed:
            if target is not source:
                end = arrived.tcp.get((target.address, port(target)), "not tried")
                tried += 1
                if end == "not tried":
                    yield Finding(Level.UNKNOWN, f"{source.name} did not try {target.name}", nodes=(target.name,))
                elif end not in good:
                    closed.append((source.name, target.name, end))
    if closed:
        told = ", ".join(f"{source} -> {target} ({end})" for source, target, end in closed)
        yield Finding(level, told, risk, nodes=_blamed(sight, [(one, other) for one, other, _ in closed]))
    elif tried:
        yield Finding(Level.OK, f"open ({tried} connections)")


def gossip_udp(sight: Sight) -> Iterator[Finding]:
    """Whether the gossip that engines send to each other by UDP arrives at every node from every other."""
    risk = f"names and addresses of tasks come late or never on other nodes; {_MEND}"
    yield from _arrivals(sight, lambda arrived: arrived.gossip, "gossip", risk, patient=True)


def data(sight: Sight) -> Iterator[Finding]:
    """Whether small packets to the port of overlay data arrive at every node from every other."""
    risk = f"containers on different nodes do not reach each other, nor does the mesh; {_MEND}"
    yield from _arrivals(sight, lambda arrived: arrived.small, f"UDP to port {sight.data_port}", risk)


def path_mtu(sight: Sight) -> Iterator[Finding]:
    """Whether the largest packets of overlay networks pass from every node to every other in one piece."""
    size = sight.packet_size
    risk = (
        "small requests pass and large ones hang; make networks with a smaller MTU "
        "(--opt com.docker.network.driver.mtu=…, ingress too), or raise that of the way"
    )
    incident = "moby#43673, moby#36689, libnetwork#2661"
    fits: dict[str, bool] = {}
    for seen in sight.nodes:
        try:
            name, mtu, _ = seen.interface()
        except Untold as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(seen.name,))
            continue
        fits[seen.name] = mtu >= size
        if mtu < size:
            told = f"{name} has an MTU of {mtu}, overlay networks send packets of {size}"
            yield Finding(Level.WARNING, told, risk, incident, (seen.name,))
        for address, known in (seen.arrived.routes if seen.arrived else {}).items():
            if known < size:
                told = f"the way to {addresses_of_others(sight, seen).get(address, address)} has an MTU of {known}"
                yield Finding(Level.WARNING, f"{told}, overlay networks send {size}", risk, incident, (seen.name,))
    judged, lost, without = 0, [], []
    for seen in sight.nodes:
        try:
            arrived = _arrived(seen)
            if arrived.unseen:
                raise Untold(f"what arrives there is not judged: {arrived.unseen}")
        except Untold as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(seen.name,))
            continue
        for address, name in addresses_of_others(sight, seen).items():
            judged += address in arrived.small
            if address not in arrived.small:
                without.append((name, seen.name))
            elif address not in arrived.large:
                lost.append((name, seen.name))
    if without:
        told = f"packets of {size} bytes are not judged where not even small ones arrive: {_pairs(without)}"
        yield Finding(Level.UNKNOWN, told, nodes=_blamed(sight, without))
    if lost:
        told = f"packets of {size} bytes are lost, small ones pass: {_pairs(lost)}"
        yield Finding(Level.ERROR, told, risk, incident, _blamed(sight, lost))
    elif judged and all(fits.values()):
        yield Finding(Level.OK, f"packets of {size} bytes pass ({judged} ways)")


def _arrivals(
    sight: Sight, which: Callable[[Arrivals], set[str]], what: str, risk: str, *, patient: bool = False
) -> Iterator[Finding]:
    lost = []
    counted = 0
    known = {seen.address for seen in sight.nodes if seen.active}
    known |= {member["Status"].get("Addr", "") for member in sight.members}
    for seen in sight.nodes:
        try:
            arrived = _arrived(seen)
            if arrived.unseen:
                raise Untold(f"whether {what} arrives there is not judged: {arrived.unseen}")
            if ":" in seen.address:
                raise Untold(f"whether {what} arrives there is not judged, its address is {seen.address}")
            came = which(arrived)
            missing = [name for address, name in addresses_of_others(sight, seen).items() if address not in came]
            if missing and came - known:
                raise Untold(f"{what} came from {', '.join(sorted(came - known))}, which is no node's address")
            if missing and patient and not arrived.patient:
                raise Untold(f"{what} from {len(missing)} nodes was not waited for long enough")
        except Untold as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(seen.name,))
            continue
        counted += 1
        lost += [(name, seen.name) for name in missing]
    if lost:
        yield Finding(Level.ERROR, f"{what} does not arrive: {_pairs(lost)}", risk, nodes=_blamed(sight, lost))
    elif counted:
        yield Finding(Level.OK, f"{what} arrives at {counted} nodes from all others")


def _arrived(seen: Seen) -> Arrivals:
    if seen.arrived is None:
        raise Untold(seen.silent or "no packets were sent there")
    return seen.arrived


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{source} -> {target}" for source, target in pairs)


def _blamed(sight: Sight, pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    """The nodes that explain the pairs (from, to): those in most of them first, until no pair is left."""
    left = list(pairs)
    blamed: list[str] = []
    while left:
        share = {seen.name: sum(seen.name in pair for pair in left) for seen in sight.nodes}
        worst = [name for name, count in share.items() if count == max(share.values())]
        blamed += worst
        left = [pair for pair in left if not set(worst).intersection(pair)]
    return tuple(blamed)


@by_node
def offload(sight: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether a virtual network card of VMware computes checksums of what it takes for its own VXLAN."""
    own, _, driver = seen.interface()
    links = [line.split() for line in seen.read("links").splitlines()]
    cards = [words[0] for words in links if words[2:] == ["vmxnet3"]]
    if driver:
        cards = [name for name in cards if name == own]
    # Else it is made of others (a bond, a bridge, a VLAN), and any of them may be below.
    states = seen.read("offload").splitlines() if cards else []
    for name in cards:
        state = next((line for line in states if line.startswith(f"{name} ")), "")
        if ": on" in state and sight.data_port in (4789, 8472):
            risk = (
                "between nodes pings pass and TCP hangs; ethtool -K "
                f"{name} tx-checksum-ip-generic off at every boot, or a swarm with --data-path-port 7789"
            )
            yield Finding(Level.WARNING, f"{name} is vmxnet3 with tx-checksum-ip-generic on", risk, "moby#41775")
        elif ": o" not in state:
            raise Untold(f"{name} is vmxnet3, and ethtool does not tell of tx-checksum-ip-generic")
