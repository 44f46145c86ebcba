"""Whether the rules that engines make in the packet filter are there, and let the traffic of tasks through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_address
from typing import Any

from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.ahead import FIND_SAVER, TO_NAMESPACES
from swarmlab.preflight.ahead import read as answer
from swarmlab.preflight.filters import Packet, Rules, sets
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import GATEWAY_BRIDGE, NodeView, Sight
from swarmlab.preflight.networks import subnets_of
from swarmlab.preflight.options import Settings

#: Of both programs where a node has both: rules of either are in force. The one of old is asked only where it has
#: tables already, as it would load its modules.
QUESTION = (
    f"{FIND_SAVER}; "
    'for T in filter nat; do echo "# by $A"; $A -t $T || exit; done; '
    "[ $A = iptables-save ] || for T in $(cat /proc/net/ip_tables_names 2>/dev/null | grep -xE 'filter|nat'); do "
    'echo "# by iptables-legacy-save"; iptables-legacy-save -t $T || exit; done'
)
#: The rules in the network namespace in which the engine takes what comes for published ports.
MESH_QUESTION = (
    f"{TO_NAMESPACES} 2>/dev/null || exit 0; N=ingress_sbox; [ -e $N ] || exit 0; {FIND_SAVER}; "
    "nsenter --net=$N $A -t mangle || exit; "
    "[ $A = iptables-save ] || ! nsenter --net=$N grep -qx mangle /proc/net/ip_tables_names 2>/dev/null || "
    "nsenter --net=$N iptables-legacy-save -t mangle"
)
_ROOT = "let preflight be root there (in the inventory: sudo: true), with iptables-save installed"
#: The chain that engines leave to the owner of the node.
_OWNERS = "DOCKER-USER"
#: Ports to which tasks usually speak.
_USUAL = (53, 80, 443, 3128)
_RISK = "published ports do not answer on the node, or its tasks do not reach addresses outside the cluster"
_MEND = (
    "restart the engine, which makes its rules again: docker node update --availability drain NODE, then "
    "systemctl restart docker; have firewall scripts change no chains but their own and DOCKER-USER"
)


def rules(sight: Sight) -> Iterator[Finding]:
    """Whether the engine's own rules of iptables are there on each node, and let its traffic through."""
    read: dict[str, list[Rules]] = {}
    marked: dict[str, set[tuple[str, int]]] = {}
    whole: set[str] = set()
    for view in sight.nodes:
        try:
            view.swarm  # noqa: B018
            off = _off(view)
            try:
                text = view.read("rules")
                if "incompatible" in text:
                    raise Unknown("rules: iptables cannot list tables that nft has made", "nft list ruleset lists them")
                found = list(sets(text))
                marks = _marks(Rules.read(view.read("mesh rules")))
            except Unknown as why:
                raise Unknown(str(why), why.mend or _ROOT) from None
        except Unknown as why:
            yield why.finding(view.name)
            continue
        if not _judged(view):
            continue
        long_there = not sight.asked or work.long_there(sight, view)
        if view.early and not long_there:
            continue  # its engine has just started, and may have made its rules after they were read
        if off:
            since = ", from its next start on" if any(_leads(each) for each in found) else ""
            yield Finding(
                Level.ERROR,
                f"the engine is set to make no rules{since} (iptables: false)",
                _RISK,
                nodes=(view.name,),
                mend='remove "iptables": false from /etc/docker/daemon.json or the unit, and restart the engine',
            )
            if not since:
                continue
        read[view.name], marked[view.name] = found, marks
        if long_there:
            whole.add(view.name)
    expected = {view.name: Expected.of(sight, view) for view in sight.nodes if view.name in read}
    common = _common(sight, read)
    for name in read.keys() - whole:
        # An engine that has just started makes the rules of the mesh anew, port by port as it hears of tasks.
        expected[name], common[name] = replace(expected[name], mesh=(), own=()), set()
    for view in sight.nodes:
        if view.name not in read:
            continue
        found_here = [*_lacking(read[view.name], expected[view.name], common.get(view.name, set()))]
        lacking = [lack.text for lack in found_here if not lack.owner]
        lacking += [
            f"port {port}/{protocol}, published by the mesh, is not marked in the engine's own namespace"
            for protocol, port in expected[view.name].mesh
            if (protocol, port) not in marked[view.name] and any((protocol, port) in other for other in marked.values())
        ]
        if lacking:
            mend = _MEND.replace("NODE", view.name)
            summary = f"the engine's rules are not whole: {few(lacking, '; ')}"
            yield Finding(Level.ERROR, summary, _RISK, "", (view.name,), mend=mend)
        if owned := [lack for lack in found_here if lack.owner]:
            yield _of_owner(view.name, owned)


def _of_owner(name: str, lacks: Sequence[Lack]) -> Finding:
    """Return the finding of what the owner's own rules stop: to isolate a network of the node's may be meant."""
    listed = few((lack.text for lack in lacks), "; ")
    if any(lack.of_swarm for lack in lacks):
        mend = f"on {{nodes}}: iptables -S {_OWNERS}: narrow or remove the rule"
        return Finding(
            Level.ERROR, f"rules in {_OWNERS} stop what the swarm needs: {listed}", _RISK, "", (name,), mend=mend
        )
    mend = f"nothing, where it is meant; on {{nodes}}: iptables -S {_OWNERS}"
    return Finding(Level.INFO, f"rules in {_OWNERS} isolate networks: {listed}", nodes=(name,), mend=mend)


def _marks(rules: Rules) -> set[tuple[str, int]]:
    """Return the ports whose packets are marked for the kernel's load balancer."""
    found = set()
    for rule in rules.chains.get(("mangle", "PREROUTING"), []):
        match = {option: value for _, option, value in rule.matches}
        if rule.target == "MARK" and match.get("--dport", "").isdigit():
            found.add((match.get("-p", ""), int(match["--dport"])))
    return found


def _judged(view: NodeView) -> bool:
    """Whether the node's engine makes its rules in the node's own network namespace with iptables."""
    driver = str((view.info.get("FirewallBackend") or {}).get("Driver", ""))
    rootless = any(str(option).startswith("name=rootless") for option in view.info.get("SecurityOptions") or [])
    return view.active and not driver.startswith("nftables") and not rootless


def _off(view: NodeView) -> bool:
    command = [word for word in answer(view, "command line").splitlines()[1:] if word]
    try:
        settings = Settings.read(answer(view, "daemon.json").strip(), command)
    except ValueError:  # engine-restart says so
        return False
    return settings.get("iptables") is False


@dataclass
class Bridge:
    """A bridge network of a node."""

    name: str
    interface: str
    subnets: Sequence[IPv4Network]
    masquerades: bool


@dataclass
class Expected:
    """What a node's rules must do.

    Attributes:
        uplink: the interface by which the node reaches the others; empty if it is not known.
        way_out: the interface by which it reaches addresses outside the cluster.
        address: the node's address.
        bridges: its bridge networks from which packets leave.
        mesh: ports that the routing mesh publishes on it, each as (protocol, port).
        own: ports that its tasks publish on it alone.
    """

    uplink: str
    way_out: str
    address: str
    bridges: Sequence[Bridge]
    mesh: Sequence[tuple[str, int]]
    own: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, sight: Sight, view: NodeView) -> Expected:
        """Return what the rules of a node must do."""
        try:
            uplink = view.interface()[0]
        except Unknown:
            uplink = ""
        default = [line.split() for line in view.answers.get("routes", (1, ""))[1].splitlines()[1:]]
        way_out = next((fields[0] for fields in default if fields[1] == fields[7] == "00000000"), uplink)
        bridges = [bridge for network in view.networks for bridge in _bridges(network)]
        heard = work.heard(sight) if sight.tasks else 0.0
        serving = [task for task in sight.tasks if work.serves(task, heard)]
        return cls(uplink, way_out, view.address, bridges, _mesh(sight, view, serving), _own(view, serving))


def _bridges(network: dict[str, Any]) -> Iterator[Bridge]:
    options = network.get("Options") or {}
    mode = options.get("com.docker.network.bridge.gateway_mode_ipv4") or "nat"
    if network.get("Driver") != "bridge" or network.get("Scope", "local") != "local":
        return
    if network.get("Internal") or mode != "nat":
        return
    plain = GATEWAY_BRIDGE if network["Name"] == GATEWAY_BRIDGE else f"br-{network['Id'][:12]}"
    name = options.get("com.docker.network.bridge.name") or plain
    masquerades = str(options.get("com.docker.network.bridge.enable_ip_masquerade", "true")).lower() == "true"
    if subnets := subnets_of(network):
        yield Bridge(network["Name"], name, subnets, masquerades)


def _mesh(sight: Sight, view: NodeView, serving: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the ports that the mesh publishes: of services with serving tasks, where the kernel has IPVS."""
    code, modules = view.answers.get("modules", (1, ""))
    if code or "/proc/net/ip_vs" not in modules.splitlines():
        return []  # without it an engine makes no rules for the mesh
    running = {task.get("ServiceID") for task in serving}
    return sorted({port for each in sight.services if each["ID"] in running for port in work.mesh_ports(each)})


def _own(view: NodeView, serving: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    here = [task["Status"].get("PortStatus") or {} for task in serving if task.get("NodeID") == view.node_id]
    return sorted({port for status in here for port in work.published(status.get("Ports"), "host")})


def _leads(rules: Rules) -> bool:
    return any(chain.startswith("DOCKER") for chain in rules.reached("filter", "FORWARD"))


def _common(sight: Sight, read: dict[str, list[Rules]]) -> dict[str, set[str]]:
    """Return by node the engine's chains that most other nodes of its engine's version use."""
    made: dict[str, set[str]] = {}
    for view in sight.nodes:
        alike = [
            other.name
            for other in sight.nodes
            if other.name in read and other is not view and other.release == view.release
        ]
        counts: dict[str, int] = {}
        for name in alike:
            for chain in {chain for each in read[name] for chain in each.reached("filter", "FORWARD")}:
                counts[chain] = counts.get(chain, 0) + 1
        # That of the mesh is there only where a port was published.
        made[view.name] = {
            chain
            for chain, count in counts.items()
            if chain.startswith("DOCKER") and chain != "DOCKER-INGRESS" and len(alike) > 1 and count == len(alike)
        }
    return made


@dataclass(frozen=True)
class Lack:
    """What the rules of a node lack, or stop.

    Attributes:
        text: what it is.
        owner: whether rules of the node's owner alone stop it.
        of_swarm: whether tasks of the swarm, or its mesh, need it.
    """

    text: str
    owner: bool = False
    of_swarm: bool = True


def _lacking(found: Sequence[Rules], expected: Expected, common: set[str]) -> Iterator[Lack]:
    """Yield what the rules of a node lack, or what they stop."""
    reached = {chain for each in found for chain in each.reached("filter", "FORWARD")}
    if not any(chain.startswith("DOCKER") for chain in reached):
        yield Lack("chain FORWARD leads to none of the engine's chains")
    elif gone := sorted(common - reached):
        yield Lack(f"chain FORWARD does not lead to {', '.join(gone)}, as on the other nodes")
    for chain in ("PREROUTING", "OUTPUT"):
        if not any("DOCKER" in each.reached("nat", chain) for each in found):
            yield Lack(f"chain {chain} of table nat does not lead to DOCKER")
    for bridge in expected.bridges:
        yield from _of_bridge(found, bridge, expected)
    for protocol, port in expected.mesh:
        yield from _of_port(found, protocol, port, expected, "published by the mesh", locally=True)
    for protocol, port in expected.own:
        yield from _of_port(found, protocol, port, expected, "published on the node", locally=False)


def _of_bridge(found: Sequence[Rules], bridge: Bridge, expected: Expected) -> Iterator[Lack]:
    if not expected.way_out:
        return
    # To which addresses and ports tasks may go is for whoever runs the node to say: nothing passes if none of these do.
    source = str(bridge.subnets[0][2])
    packets = [Packet(bridge.interface, expected.way_out, source, protocol="tcp", port=port) for port in _USUAL]
    if stopped := _stopped(found, packets):
        of_swarm = bridge.interface == GATEWAY_BRIDGE
        yield Lack(f"what leaves network {bridge.name} is dropped in chain FORWARD", _owned(stopped), of_swarm)
    packet = Packet("", expected.way_out, source, protocol="tcp")
    hidden = {"MASQUERADE", "SNAT", "NETMAP"}
    if bridge.masquerades and not any(hidden & each.outcomes("nat", "POSTROUTING", packet) for each in found):
        yield Lack(f"no masquerading of {bridge.subnets[0]} (network {bridge.name})")


def _stopped(found: Sequence[Rules], packets: Sequence[Packet]) -> list[tuple[Rules, set[str]]]:
    """Return the rules that let none of these packets through, each with the chains in which they are stopped."""
    stopped = []
    for each in found:
        ends = [each.ends("filter", "FORWARD", packet) for packet in packets]
        if all(end and end.keys() <= {"DROP", "REJECT"} for end in ends):
            stopped.append((each, {chain for end in ends for chains in end.values() for chain in chains}))
    return stopped


def _owned(stopped: Sequence[tuple[Rules, set[str]]]) -> bool:
    """Whether packets are stopped in the owner's chain alone, or in chains to which that leads."""
    return all(chains <= {_OWNERS, *each.reached("filter", _OWNERS)} for each, chains in stopped)


def _of_port(
    found: Sequence[Rules], protocol: str, port: int, expected: Expected, what: str, *, locally: bool
) -> Iterator[Lack]:
    outside = Packet(expected.uplink, "", "", expected.address, protocol, port, "target")
    inside = Packet("", "", expected.address, expected.address, protocol, port, "target")
    ways = {"PREROUTING": outside} | ({"OUTPUT": inside} if locally else {})
    for chain, packet in ways.items():
        if not any("DNAT" in each.outcomes("nat", chain, packet) for each in found):
            yield Lack(f"port {port}/{protocol}, {what}, is not led on in chain {chain} of table nat")
    bridge = next((bridge for bridge in expected.bridges if bridge.interface == GATEWAY_BRIDGE), None)
    if locally and bridge and expected.uplink:
        led = {address for each in found for address in each.led_to(Packet(protocol=protocol, port=port))}
        ends = [address for address in led if ip_address(address) in bridge.subnets[0]] or [str(bridge.subnets[0][2])]
        packets = [Packet(expected.uplink, GATEWAY_BRIDGE, "", address, protocol, port) for address in ends]
        if stopped := _stopped(found, packets):
            yield Lack(f"port {port}/{protocol}, {what}, is dropped in chain FORWARD", _owned(stopped))
