"""The table of all checks of a cluster, and the functions that run them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.evidence import redact
from swarmlab.files import shown
from swarmlab.nearest import hint
from swarmlab.preflight import (
    addresses,
    alike,
    balancers,
    bridges,
    certificates,
    content,
    defects,
    engines,
    firewall,
    holdings,
    identities,
    kernel,
    managers,
    networks,
    ports,
    resolvers,
    rules,
    seccomp,
    services,
    settings,
    swarm_settings,
    tasks,
    tunnels,
    unlike,
    volumes,
)
from swarmlab.preflight.causes import folded, grouped
from swarmlab.preflight.finding import Finding, Level, Look, Unknown, merged
from swarmlab.preflight.model import WAYS, Sight, unreachable
from swarmlab.preflight.sight import gather


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        look: the function that makes the check.
        explains: a regular expression; if it matches a claim's id or reason, a finding of the check may be the cause.
        sends: whether it needs packets between the nodes.
        asks: whether it needs what registries have.
        causes: names of the checks whose findings, on the same nodes, may follow from a finding of this one. A colon
            and a regular expression may follow the name: then the summary of what follows must match.
    """

    look: Look
    explains: str
    sends: bool = False
    asks: bool = False
    causes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """A description of the check in one line."""
        return (self.look.__doc__ or "").splitlines()[0].rstrip(".")


#: Errors that an answer of an unexpected form causes. The check then counts as *unknown*, never as *ok*.
_STRANGE = (KeyError, IndexError, TypeError, ValueError, AttributeError)
_MADE = "mend what the reason names, and look again; a KeyError or the like is a fault of preflight: report it"
_WORDS = r"HTTP|timed out|reach|resolve|arriv|overlay|mesh|address"
_TRAFFIC = rf"^7\.|^8\.\d|{_WORDS}"
#: Chapters 1 to 5 are about machines and single engines: nothing of theirs passes between nodes by gossip or VXLAN.
_BETWEEN_NODES = rf"^(?![1-5]\.)(?:7\.|8\.\d|(?s:.*)(?:{_WORDS}))"
_ANY = r""
_NAMES = r"resol|name|DNS|lookup|pull"
#: What a node knows by gossip.
_OF_GOSSIP = ("tunnels", "load-balancers")
_OF_A_SOURCE = ("known-addresses", "port-gossip-udp", "port-data-udp", "path-mtu")
_OF_AN_ADDRESS = (
    *WAYS,
    "membership",
    "quorum",
    "source-addresses",
    "known-addresses",
    "checksum-offload",
    "stuck-tasks",
)
_OF_A_COPY = (*_OF_AN_ADDRESS, "host-names", "advertised-addresses", "same-addresses")
#: How the programs of an image fail where the profile refuses what they call.
_TOOLS = r"not permitted|\bthread|cannot access|no (such )?file|exit(ed)?( with)?( code)? [1-9]|ended with [1-9]"
#: A manager that looks for a leader.
_HESITATES = "engines-answer: looks for a leader"
#: Tasks that no node is found for.
_WAITING = "stuck-tasks: pending for"
_PORTS = tuple(name for name in WAYS if name != "path-mtu")
#: The checks of what nodes hold of the swarm's work.
_OF_NODES = ("replicas", "task-containers", "task-networks", "task-names")
#: The checks, by name.
CHECKS: dict[str, Check] = {
    "engines-answer": Check(engines.answers, _ANY, causes=("quorum", "membership", _WAITING, *_OF_NODES)),
    "membership": Check(managers.membership, _ANY, causes=(_WAITING,)),
    "host-names": Check(identities.host_names, r"host ?name|constraint|ambiguous|placement"),
    "copies": Check(identities.copies, _ANY, causes=_OF_A_COPY),
    "engine-versions": Check(engines.versions, _ANY),
    "api-versions": Check(engines.api_versions, r"API|version"),
    # Which claims fail by a defect is said where it is described; these are those of which not all is known.
    "known-defects": Check(defects.known, r"encrypt|preference"),
    "seccomp-profile": Check(seccomp.refused, _TOOLS),
    "daemon-sockets": Check(engines.sockets, r"socket|tcp://"),
    "engine-restart": Check(
        settings.restart,
        r"restart|reboot|upgrade|power|8\.1|does not answer|start",
        causes=("engines-answer", "engine-settings"),
    ),
    "engine-settings": Check(alike.alike, r"log|pull|image|registry|resolve|limit|ulimit|proxy|start"),
    "clocks": Check(engines.clocks, r"8\.3|8\.4/service-ps|time|clock|certificate|valid|ago|since|join"),
    "kernel-modules": Check(
        kernel.modules, r"mesh|virtual|publish|encrypt|ipvs", causes=("membership: ingress", "load-balancers: no IPVS")
    ),
    "forwarding": Check(kernel.forwarding, _TRAFFIC),
    "iptables-backend": Check(firewall.backends, _TRAFFIC),
    "legacy-rules": Check(firewall.leftovers, _TRAFFIC, causes=_PORTS),
    "engine-firewall": Check(firewall.engine_backend, _ANY, causes=("engines-answer", "daemon-sockets")),
    "reverse-path": Check(kernel.reverse_path, _ANY),
    "engine-rules": Check(rules.rules, _TRAFFIC),
    "load-balancers": Check(balancers.tables, _TRAFFIC),
    "tunnels": Check(tunnels.entries, _BETWEEN_NODES),
    "packets": Check(unlike.unlike, _TRAFFIC),
    "firewalld": Check(firewall.firewalld, _TRAFFIC, causes=_PORTS),
    "advertised-addresses": Check(addresses.advertised, _ANY, sends=True, causes=_OF_AN_ADDRESS),
    "same-addresses": Check(addresses.shared, _ANY, sends=True, causes=_OF_AN_ADDRESS),
    "source-addresses": Check(addresses.sources, _TRAFFIC, sends=True, causes=_OF_A_SOURCE),
    "known-addresses": Check(addresses.known, _ANY),
    "paths": Check(
        ports.paths,
        _ANY,
        sends=True,
        causes=(_HESITATES, *WAYS[1:], *_OF_GOSSIP, "node-certificates", "membership", "quorum", _WAITING),
    ),
    "port-management-tcp": Check(
        ports.management, _ANY, sends=True, causes=(_HESITATES, "node-certificates", "membership", "quorum")
    ),
    "port-gossip-tcp": Check(ports.gossip_tcp, _BETWEEN_NODES, sends=True, causes=_OF_GOSSIP),
    "port-gossip-udp": Check(ports.gossip_udp, _BETWEEN_NODES, sends=True, causes=_OF_GOSSIP),
    "port-data-udp": Check(ports.data, _BETWEEN_NODES, sends=True, causes=("path-mtu: not checked",)),
    "path-mtu": Check(ports.path_mtu, _BETWEEN_NODES, sends=True),
    "checksum-offload": Check(ports.offload, _BETWEEN_NODES),
    "subnets-and-routes": Check(networks.host_routes, _TRAFFIC),
    "subnets": Check(networks.each_other, _TRAFFIC, causes=(r"stuck-tasks: \bnew for",)),
    "subnets-host-bits": Check(networks.host_bits, r"7\.3|rejected|subnet|network"),
    "bridges": Check(bridges.overlaps, _TRAFFIC),
    "name-servers": Check(resolvers.of_node, _NAMES),
    "name-servers-alike": Check(resolvers.alike, _NAMES),
    "free-addresses": Check(
        networks.free_addresses, r"task|running|replica|new|pending", causes=(r"stuck-tasks: \bnew for",)
    ),
    "gateway-bridge": Check(networks.gateway_bridge, _TRAFFIC, causes=("replicas: docker_gwbridge|GW Network",)),
    "node-certificates": Check(certificates.of_nodes, r"certificate|8\.3|join|TLS"),
    "root-certificate": Check(certificates.of_root, r"certificate|8\.3|join|TLS"),
    "quorum": Check(managers.quorum, r"quorum|leader|manager", causes=("membership",)),
    "odd-managers": Check(managers.odd_number, r"quorum|leader|manager"),
    "autolock": Check(managers.autolock, r"lock|restart|manager"),
    "availability": Check(managers.availability, r"task|running|replica|node", causes=(_WAITING,)),
    "swarm-settings": Check(swarm_settings.swarm, r"certificate|8\.3|heartbeat|history|down|lost|ago"),
    "address-pool": Check(swarm_settings.address_pool, r"network|subnet|address|task|new"),
    "registries": Check(
        content.registries,
        r"image|pull|registry|content|digest|prepar|reject",
        asks=True,
        causes=("replicas: No such image|pull|manifest|registry", "stuck-tasks: preparing"),
    ),
    "service-needs": Check(swarm_settings.demands, r"task|running|replica|volume|logs?\b|reserv"),
    "images": Check(content.images, r"image|content|version|pull|digest|prepar|reject", asks=True),
    "replicas": Check(services.replicas, rf"task|running|replica|service|{_TRAFFIC}"),
    "updates": Check(services.updates, r"update|roll|image|version|task|running|replica"),
    "stuck-tasks": Check(tasks.stuck, r"task|running|replica|pending|network|volume"),
    "task-containers": Check(holdings.containers, rf"task|running|replica|container|{_TRAFFIC}"),
    "task-networks": Check(holdings.networks, _BETWEEN_NODES, causes=("task-names", "tunnels")),
    "task-names": Check(holdings.names, _BETWEEN_NODES),
    "volumes": Check(volumes.differing, r"volume|mount|7\.3"),
    "disk": Check(kernel.disk, _ANY),
    "disk-speed": Check(kernel.disk_speed, _ANY),
    "limits": Check(kernel.limits, r"open files|connection|reach|timed out"),
}
#: The checks that may name the cause where packets between nodes or requests to services are lost.
OF_TRAFFIC = (
    "engines-answer",
    "membership",
    "clocks",
    "kernel-modules",
    "forwarding",
    "legacy-rules",
    "reverse-path",
    "engine-rules",
    "load-balancers",
    "tunnels",
    "packets",
    "firewalld",
    "same-addresses",
    *WAYS,
    "checksum-offload",
    "subnets-and-routes",
    "gateway-bridge",
    "task-containers",
    "task-networks",
    "task-names",
    "disk",
    "disk-speed",
    "limits",
)


def reasons(options: Iterable[str], known: Iterable[str] = CHECKS) -> dict[str, str]:
    """Parse options NAME=REASON that skip checks; return the reasons by name.

    Args:
        options: the options.
        known: names of checks that may be skipped.

    Raises:
        UsageError: there is no such check, or the reason is missing.
    """
    skipped = {}
    names = list(known)
    for option in options:
        name, _, reason = (part.strip() for part in option.partition("="))
        if name not in names:
            raise UsageError(f"no check {shown(name, 60)!r}{hint(name, names)}; checks: {', '.join(names)}")
        if not reason:
            raise UsageError(f"to skip {name}, give a reason: {name}=REASON")
        if name in skipped:
            raise UsageError(f"{name} is skipped twice; give one reason")
        skipped[name] = reason
    return skipped


def preflight(
    swarm: Swarm,
    skip: Mapping[str, str] | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
    unreached: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Check a cluster, which takes seconds, and return at least one finding for each of `CHECKS`.

    A finding that may be the cause of others comes first, with those after it; the rest follow in the order of
    `CHECKS`.

    What cannot be checked becomes a finding of level *unknown*; no error of the cluster is raised.

    Args:
        swarm: the cluster.
        skip: names of checks to skip, each with a reason.
        progress: called with a line where nodes let others wait.
        unreached: the reasons by name of further nodes that could not be reached.

    Example:
        trouble = [finding for finding in preflight(cluster) if finding.level.trouble]
    """
    skip = skip or {}
    looks = [check for name, check in CHECKS.items() if name not in skip]
    probe, registries = any(check.sends for check in looks), any(check.asks for check in looks)
    try:
        sight = gather(swarm, probe=probe, registries=registries, progress=progress)
        sight.nodes += [unreachable(name, why) for name, why in unreached.items()]
    except (SwarmlabError, Unknown, *_STRANGE) as failed:
        why = f"the cluster could not be read: {type(failed).__name__}: {failed}"
        read = [
            Finding(Level.SKIPPED, skip[name], check=name)
            if name in skip
            else Finding(Level.UNKNOWN, why, check=name, mend=_MADE)
            for name in CHECKS
        ]
        return folded(read, {})
    found = [finding for name in CHECKS for finding in look(name, sight, skip.get(name, ""))]
    return folded(found, {name: check.causes for name, check in CHECKS.items()})


def look(name: str, sight: Sight, skipped: str = "") -> list[Finding]:
    """Run one check.

    Args:
        name: its name.
        sight: what was read of the cluster.
        skipped: the reason to skip it; empty to run it.
    """
    if skipped:
        return [Finding(Level.SKIPPED, skipped, check=name)]
    try:
        found = merged(CHECKS[name].look(sight))
    except (SwarmlabError, Unknown, *_STRANGE) as failed:
        mend = (failed.mend if isinstance(failed, Unknown) else "") or _MADE
        found = merged([Finding(Level.UNKNOWN, f"could not be made: {type(failed).__name__}: {failed}", mend=mend)])
    return [
        replace(
            finding,
            check=name,
            summary=redact(finding.summary),
            risk=redact(finding.risk),
            mend=redact(finding.mend),
        )
        for finding in found or [Finding(Level.OK, "nothing found")]
    ]


def explaining(findings: Sequence[Mapping[str, object]], claim: str, reason: str) -> list[Mapping[str, object]]:
    """Return those of *findings* that may be the cause of a claim's failure.

    A finding must be trouble and its check must explain the claim or the reason. If the reason and the finding both
    name nodes, they must have one in common. A finding from which one of these may follow comes before it, also if its
    own check explains other claims.

    Args:
        findings: findings as `Finding.to_json` returns them, in the order of `preflight`.
        claim: the claim's id.
        reason: the reason of its verdict.
    """
    named = {
        str(node)
        for finding in findings
        for node in _nodes(finding)
        if re.search(rf"\b{re.escape(str(node))}\b", reason)
    }

    def concerns(finding: Mapping[str, object]) -> bool:
        nodes = _nodes(finding)
        return Level(str(finding["level"])).trouble and (not named or not nodes or bool(named.intersection(nodes)))

    def explains(finding: Mapping[str, object]) -> bool:
        check = CHECKS.get(str(finding["check"]))
        return bool(check and re.search(check.explains, f"{claim} {reason}", re.IGNORECASE)) and concerns(finding)

    found: list[Mapping[str, object]] = []
    for head, followers in grouped(findings):
        following = [finding for finding in followers if explains(finding)]
        if explains(head) or (following and concerns(head)):
            found.append(head)
        found += following
    return found


def _nodes(finding: Mapping[str, object]) -> list[str]:
    nodes = finding.get("nodes")
    return [str(node) for node in nodes] if isinstance(nodes, list) else []
