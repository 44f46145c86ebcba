"""Checks of the addresses by which nodes know each other, against what each node has, sends from and listens at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.cluster.swarm import manager_address
from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import OPEN, NodeView, Sight, addresses_of_others, by_managers, by_node
from swarmlab.preflight.ports import leaving

_LOST = "the other nodes send what is for it to an address that it does not have: to them it is down"
_RESTART = "when its engine starts again, it does not come back into the swarm"
#: Addresses that stand for no particular one.
_ANY = ("0.0.0.0", "::")


def _mend(view: NodeView, address: str, link: str) -> str:
    role = f"docker node demote {view.name} first; " if view.manages else ""
    return (
        f"put the address back on {view.name}: ip address add {address}/24 dev {link}, and in its network settings; or "
        f"have it join with one that it has: {role}docker swarm leave, then docker swarm join --advertise-addr ADDRESS "
        "--token TOKEN MANAGER:2377, and docker node rm the old entry"
    )


def _own(view: NodeView) -> list[tuple[str, IPv4Address | IPv6Address]]:
    """Return the addresses of a node that are neither local to it nor of its containers' bridges."""
    bridges = set(view.bridges.values())
    return [
        (name, address)
        for name, address in view.held()
        if not (address.is_loopback or address.is_link_local or name in bridges or name.startswith("veth"))
    ]


def _listed(own: Iterable[tuple[str, IPv4Address | IPv6Address]]) -> str:
    return ", ".join(f"{name} {address}" for name, address in own) or "no address"


@by_node
def advertised(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the node has the addresses that it advertises, listens at, and takes overlay networks' data at."""
    view.check_active()
    own = _own(view)
    held = {str(address) for _, address in view.held()}
    settings = view.settings()
    link = own[0][0] if own else "eth0"
    listing = settings.get("ListenAddr", "").rpartition(":")[0].strip("[]")
    wanted = {view.address: "advertises"}
    if view.data_address != view.address:
        wanted[view.data_address] = "takes the data of overlay networks at"
    for address, verb in wanted.items():
        if address in held:
            continue
        summary = f"{verb} {address}, which none of its interfaces has; it has {_listed(own)}"
        if _reached(sight, view, address):
            risk = "the other nodes reach it there, so something translates the address (NAT)"
            yield Finding(Level.INFO, summary, risk, mend="nothing to mend, if that translation is meant")
        else:
            risk = f"{_LOST}; {_RESTART}" if listing == address else _LOST
            yield Finding(Level.ERROR, summary, risk, "moby#30455", mend=_mend(view, address, link))
    if listing and listing not in (*_ANY, *held, *wanted):
        summary = f"is set to listen at {listing}, which none of its interfaces has; it has {_listed(own)}"
        yield Finding(Level.ERROR, summary, _RESTART, mend=_mend(view, listing, link))
    at = _listening(view.read("listening"))
    if at and view.address in held and not {view.address, *_ANY} & at:
        summary = f"advertises {view.address}, and listens at {', '.join(sorted(at))} alone (port {GOSSIP_PORT})"
        mend = (
            "have it join again with --advertise-addr and --listen-addr of one interface: docker swarm leave, "
            "docker swarm join"
        )
        yield Finding(Level.ERROR, summary, "the other nodes do not reach it at its address", mend=mend)
    if "ListenAddr" not in settings:
        raise Unknown(
            f"the addresses that it was made a member with are not known: {_why_not(view)}",
            "let the suite be root there",
        )


def _why_not(view: NodeView) -> str:
    try:
        return f"{view.read('member')[:60] or 'docker-state.json has none'}"
    except Unknown as why:
        return str(why)


def _reached(sight: Sight, view: NodeView, address: str) -> bool:
    """Whether another node reaches one at an address, for gossip or for data, that none of its interfaces has."""
    others = [other for other in sight.nodes if other is not view and other.active]
    if any(str(held) == address for other in others for _, held in other.held()):
        return False
    if not others:
        return True  # nobody has to reach it there
    if address != view.address and view.arrived and not view.arrived.unseen:
        return bool(view.arrived.small)
    tried = [other.arrived for other in others if other.arrived and not other.arrived.untried]
    if not tried or address != view.address:
        raise Unknown(
            f"none of its interfaces has its address {address}; whether it is reached there was not tried",
            "let preflight send and count packets: bash, timeout and nft on the nodes, and root there",
        )
    return any(arrived.tcp.get((address, GOSSIP_PORT)) == OPEN for arrived in tried)


def _listening(text: str) -> set[str]:
    """Return the addresses at which a process listens, from lines of /proc/net/tcp and tcp6."""
    found = set()
    for line in text.splitlines():
        if len(fields := line.split()) > 1:
            raw = bytes.fromhex(fields[1].partition(":")[0])
            # Each group of four bytes is in the byte order of the machine, which is taken for little-endian.
            ordered = b"".join(raw[place : place + 4][::-1] for place in range(0, len(raw), 4))
            address = ip_address(ordered)
            mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
            found.add(str(mapped or address))
    return found


@by_node
def sources(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the node's packets arrive at the others with its own address as their source."""
    view.check_active()
    others = [other for other in sight.nodes if other is not view and other.active and other.arrived]
    if not others or not view.arrived:
        return
    seen = [other for other in others if other.arrived and not other.arrived.unseen]
    own = {str(address) for _, address in view.held()}
    for source in sorted(leaving(sight, view)):
        at = [other.name for other in seen if other.arrived and source in other.arrived.senders.get(view.name, ())]
        names = addresses_of_others(sight, view)
        by = [
            names.get(target, target)
            for target, (routed, _) in view.arrived.leaving.items()
            if routed == source and target not in own
        ]
        link = next((name for name, address in view.held() if str(address) == source), "")
        whose = f"{source} of its {link}" if link else f"{source}, which none of its interfaces has"
        where = f"arrive at {', '.join(at)} from" if at else f"leave to {', '.join(by)} with"
        summary = f"its packets {where} {whose}, and not from its address {view.data_address if at else view.address}"
        yield Finding(
            Level.ERROR if sight.encrypted else Level.WARNING,
            summary,
            "gossip is answered where it came from, so nodes take each other for dead; firewalls that let only the "
            "nodes' addresses in drop it; encrypted networks pass nothing",
            mend=_way_back(view, bool(by), next(iter(view.arrived.leaving), "ADDRESS"), bool(link)),
        )
    if not seen:
        raise Unknown("what arrives from it was not counted on any other node", "install nft on the nodes, or be root")


def _way_back(view: NodeView, routed: bool, target: str, own: bool) -> str:
    if routed:
        return (
            f"on {view.name}: ip route get {target} shows the route that is taken; take it away, or give it the node's "
            f"address: ip route change … src {view.address}; or have the node leave the swarm and join with "
            "--advertise-addr of the interface that the route takes"
        )
    place = f"on {view.name}" if own else f"on {view.name} and on the routers between the nodes"
    return (
        f"{place}: take the nodes' addresses out of what is translated (SNAT, MASQUERADE; the rules are shown by "
        "iptables -t nat -S POSTROUTING and nft list ruleset)"
    )


def shared(sight: Sight) -> Iterator[Finding]:
    """Whether another machine has the address of a node: another node, or one that answers for it on the network."""
    active = [view for view in sight.nodes if view.active]
    unknown: list[str] = []
    links: dict[str, set[str]] = {}
    for view in active:
        try:
            links[view.name] = hardware(view)
        except Unknown as why:
            unknown.append(view.name)
            yield why.finding(view.name)
    mend = "give one of the two machines another address, and have it leave the swarm and join again if it is a node"
    risk = "what is for one of them goes to the other: the node is up and down by turns, and connections break"
    for view in active:
        for other in active:
            if other is view or other.name in unknown:
                continue
            if any(str(address) == view.address for _, address in _own(other)):
                summary = f"the address {view.address} of {view.name} is also on {other.name}"
                yield Finding(Level.ERROR, summary, risk, nodes=(view.name, other.name), mend=mend)
        others = {
            other.name: other.arrived.neighbours[view.address]
            for other in active
            if other is not view and other.arrived and view.address in other.arrived.neighbours
        }
        wrong = {name: seen for name, seen in others.items() if seen not in links.get(view.name, {seen})}
        # Where a router or a cloud answers for all addresses, no node is seen with a hardware address of its own.
        proxied = {name for name in wrong if not _sees_any(sight, name, links)}
        for name, seen in wrong.items():
            owner = next((f", which is of {other}" for other, own in links.items() if seen in own), "")
            if owner or name not in proxied:
                summary = f"{name} reaches {view.address} of {view.name} at the hardware address {seen}{owner}"
                summary += f", and {view.name} has {', '.join(sorted(links[view.name]))}"
                yield Finding(Level.ERROR, summary, risk, nodes=(view.name,), mend=mend)


def hardware(view: NodeView) -> set[str]:
    """Return the hardware addresses of a node's interfaces.

    Raises:
        Unknown: the node's command failed, or tells of none.
    """
    lines = [line.split() for line in view.read("machine").splitlines()]
    found = {fields[2] for fields in lines if len(fields) == 3 and fields[0] == "link" and fields[2].strip("0:")}
    if not found:
        raise Unknown("its interfaces have no hardware address", "on {nodes}: ip link")
    return found


def _sees_any(sight: Sight, name: str, links: dict[str, set[str]]) -> bool:
    """Whether a node sees another one at a hardware address that this one has."""
    seeing = next(view for view in sight.nodes if view.name == name)
    seen = seeing.arrived.neighbours if seeing.arrived else {}
    return any(seen.get(other.address) in links.get(other.name, ()) for other in sight.nodes if other.active)


@by_managers
def known(sight: Sight) -> Iterator[Finding]:
    """Whether nodes and managers know each node by the address that it advertises."""
    advertising = sight.members_read
    listed = {member["ID"]: manager_address(member) for member in sight.members}
    everybody = {view.address for view in advertising.values()} | set(listed.values())
    untold = {identity for identity, address in listed.items() if not address and identity not in advertising}
    mend = "have the node leave the swarm and join again (a manager is demoted first), so that all learn its address"
    for identity, address in listed.items():
        view = advertising.get(identity)
        if view and address and address not in (view.address, *_ANY):
            summary = f"managers know it at {address}, and it advertises {view.address}"
            risk = "managers do not reach it for the swarm's log, and lose quorum with it"
            yield Finding(Level.ERROR, summary, risk, "moby#30455", nodes=(view.name,), mend=mend)
    for view in advertising.values():
        wrong = {}
        for manager in view.swarm.get("RemoteManagers") or []:
            address = str(manager["Addr"]).rpartition(":")[0].strip("[]")
            if address not in everybody and manager["NodeID"] not in untold:
                wrong[manager["NodeID"]] = address
        if wrong:
            named = few(f"{sight.names.get(id, id)} at {address}" for id, address in wrong.items())
            summary = f"it looks for managers where none is: {named}"
            risk = "once it loses the manager that it talks to, it may find no other"
            mend_list = "restart its engine, which makes it ask for the list again; else have it leave and join again"
            yield Finding(Level.WARNING, summary, risk, nodes=(view.name,), mend=mend_list)
    for member in sight.members:
        view = advertising.get(member["ID"])
        address = str(member["Status"].get("Addr", ""))
        if view and _strange(view, address):
            own = address in view.answers.get("addresses", (1, ""))[1].replace("/", " ").split()
            whose = "another address of it" if own else "which none of its interfaces has"
            summary = f"its connection to the managers came from {address}, {whose}; it advertises {view.address}"
            risk = "something translates its address, or another machine has its identity"
            mend_way = "see the checks source-addresses and copies; restart its engine once they are mended"
            yield Finding(Level.WARNING, summary, risk, nodes=(view.name,), mend=mend_way)


def _strange(view: NodeView, address: str) -> bool:
    if not address or address == view.address:
        return False
    seen = ip_address(address)
    return not (seen.is_unspecified or seen.is_loopback)
