"""All checks of a cluster, by name, and how they are made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.preflight import certificates, engines, firewall, kernel, managers, networks, ports, tasks
from swarmlab.preflight.finding import Finding, Level, Look, Untold, merged
from swarmlab.preflight.sight import Sight, gather


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Attributes:
        look: looks at it.
        explains: a regular expression; what goes wrong in a claim whose id or reason it fits may come of its findings.
        sends: it needs packets between the nodes.
    """

    look: Look
    explains: str
    sends: bool = False

    @property
    def told(self) -> str:
        """What it looks at, in a line."""
        return (self.look.__doc__ or "").splitlines()[0].rstrip(".")


#: What an answer leads to that is not like those of the engines that are known: it is not looked at, and never well.
_STRANGE = (KeyError, IndexError, TypeError, ValueError, AttributeError)
_TRAFFIC = r"^7\.|^8\.\d|HTTP|timed out|reach|resolve|arriv|overlay|mesh|address"
_ANY = r""
#: The checks, by the name by which they are skipped.
CHECKS: dict[str, Check] = {
    "engines-answer": Check(engines.answers, _ANY),
    "membership": Check(managers.membership, _ANY),
    "engine-versions": Check(engines.versions, _ANY),
    "api-versions": Check(engines.api_versions, r"API|version"),
    "known-defects": Check(engines.defects, _TRAFFIC),
    "daemon-sockets": Check(engines.sockets, r"socket|tcp://"),
    "clocks": Check(engines.clocks, r"8\.3|8\.4/service-ps|time|clock|certificate|valid|ago|since|join"),
    "kernel-modules": Check(kernel.modules, r"mesh|virtual|publish|encrypt|ipvs"),
    "forwarding": Check(kernel.forwarding, _TRAFFIC),
    "iptables-backend": Check(firewall.backends, _TRAFFIC),
    "legacy-rules": Check(firewall.leftovers, _TRAFFIC),
    "engine-firewall": Check(firewall.engine_backend, _ANY),
    "firewalld": Check(firewall.firewalld, _TRAFFIC),
    "port-management-tcp": Check(ports.management, _ANY, sends=True),
    "port-gossip-tcp": Check(ports.gossip_tcp, _TRAFFIC, sends=True),
    "port-gossip-udp": Check(ports.gossip_udp, _TRAFFIC, sends=True),
    "port-data-udp": Check(ports.data, _TRAFFIC, sends=True),
    "path-mtu": Check(ports.path_mtu, _TRAFFIC, sends=True),
    "checksum-offload": Check(ports.offload, _TRAFFIC),
    "subnets-and-routes": Check(networks.host_routes, _TRAFFIC),
    "subnets": Check(networks.each_other, _TRAFFIC),
    "free-addresses": Check(networks.free_addresses, r"task|running|replica|new|pending"),
    "gateway-bridge": Check(networks.gateway_bridge, _TRAFFIC),
    "node-certificates": Check(certificates.of_nodes, r"certificate|8\.3|join|TLS"),
    "root-certificate": Check(certificates.of_root, r"certificate|8\.3|join|TLS"),
    "quorum": Check(managers.quorum, r"quorum|leader|manager"),
    "odd-managers": Check(managers.odd_number, r"quorum|leader|manager"),
    "autolock": Check(managers.autolock, r"lock|restart|manager"),
    "availability": Check(managers.availability, r"task|running|replica|node"),
    "stuck-tasks": Check(tasks.stuck, r"task|running|replica|pending"),
    "disk": Check(kernel.disk, _ANY),
    "limits": Check(kernel.limits, r"open files|connection|reach|timed out"),
}


def reasons(words: Iterable[str], known: Iterable[str] = CHECKS) -> dict[str, str]:
    """What is not to be looked at and why, from words NAME=REASON.

    Raises:
        UsageError: a name that no check has, or no reason.
    """
    told = {}
    names = list(known)
    for word in words:
        name, _, reason = (part.strip() for part in word.partition("="))
        if name not in names:
            raise UsageError(f"no check {name!r}; checks: {', '.join(names)}")
        if not reason:
            raise UsageError(f"{name} is skipped for a reason: {name}=REASON")
        told[name] = reason
    return told


def preflight(swarm: Swarm, skip: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at a cluster; what was found, by check in the order of `CHECKS`, at least one finding each.

    It takes a few seconds. What cannot be looked at is a finding as well, so nothing is raised.

    Args:
        swarm: the cluster.
        skip: reasons by name of checks that are not made.
    """
    skip = skip or {}
    probe = any(check.sends for name, check in CHECKS.items() if name not in skip)
    try:
        sight = gather(swarm, probe=probe)
    except (SwarmlabError, Untold, *_STRANGE) as failed:
        why = f"the cluster could not be looked at: {type(failed).__name__}: {failed}"
        return [
            Finding(*((Level.SKIPPED, skip[name]) if name in skip else (Level.UNKNOWN, why)), check=name)
            for name in CHECKS
        ]
    return [finding for name in CHECKS for finding in look(name, sight, skip.get(name, ""))]


def look(name: str, sight: Sight, skipped: str = "") -> list[Finding]:
    """What one check finds in what was read; *skipped* is the reason why it is not made."""
    if skipped:
        return [Finding(Level.SKIPPED, skipped, check=name)]
    try:
        found = merged(CHECKS[name].look(sight))
    except (SwarmlabError, Untold, *_STRANGE) as failed:
        found = [Finding(Level.UNKNOWN, f"could not be made: {type(failed).__name__}: {failed}")]
    return [replace(finding, check=name) for finding in found or [Finding(Level.OK, "nothing found")]]


def explaining(findings: Sequence[Mapping[str, object]], claim: str, reason: str) -> list[Mapping[str, object]]:
    """Those of *findings* (as `Finding.told`) that may be why a claim failed for this reason."""
    named = {
        str(node)
        for finding in findings
        for node in _nodes(finding)
        if re.search(rf"\b{re.escape(str(node))}\b", reason)
    }
    return [
        finding
        for finding in findings
        if Level(str(finding["level"])).trouble
        and (check := CHECKS.get(str(finding["check"])))
        and re.search(check.explains, f"{claim} {reason}", re.IGNORECASE)
        and (not named or not _nodes(finding) or named.intersection(_nodes(finding)))
    ]


def _nodes(finding: Mapping[str, object]) -> list[str]:
    nodes = finding.get("nodes")
    return [str(node) for node in nodes] if isinstance(nodes, list) else []
