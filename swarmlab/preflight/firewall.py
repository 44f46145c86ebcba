"""The nodes' firewalls: the backend of their rules, and what else sets rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from swarmlab.preflight.finding import Finding, Level, Untold
from swarmlab.preflight.sight import Seen, Sight, by_node
from swarmlab.versions import parsed


def backends(sight: Sight) -> Iterator[Finding]:
    """Whether iptables writes to the same backend on all nodes."""
    found: dict[str, list[str]] = {}
    for seen in sight.nodes:
        try:
            found.setdefault(_backend(seen), []).append(seen.name)
        except Untold as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(seen.name,))
    told = "; ".join(f"{backend} on {', '.join(names)}" for backend, names in found.items())
    if len(found) > 1:
        few = min(found.values(), key=len)
        risk = (
            "rules of two backends hold side by side, and published ports have been dead on hosts with legacy; "
            "choose one on all nodes (update-alternatives --set iptables …), then restart their engines"
        )
        yield Finding(Level.WARNING, told, risk, "moby#46636", tuple(few))
    elif found:
        yield Finding(Level.OK, told)


def _backend(seen: Seen) -> str:
    version = seen.read("iptables")
    if not re.search(r"iptables v[\d.]+", version):
        raise Untold(f"iptables: {version[-100:]}")
    return "nf_tables" if "nf_tables" in version else "legacy"


@by_node
def leftovers(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether a node whose iptables writes to nf_tables still has rules of the legacy backend, which hold as well."""
    if _backend(seen) == "legacy":
        return
    try:
        rules = seen.numbers("legacy rules")[0]
    except Untold:
        raise Untold("whether there are rules of iptables-legacy, which is not there or may not be asked") from None
    if rules:
        risk = "they hold beside the engine's own, and nobody sees them; iptables-legacy -F for each table, or reboot"
        yield Finding(Level.WARNING, f"{rules} rules of iptables-legacy beside nf_tables", risk, "moby#46636")


@by_node
def engine_backend(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether the engine is set to write to nftables by itself, which swarms do not work with."""
    now = (seen.info.get("FirewallBackend") or {}).get("Driver", "")
    text = seen.read("daemon.json")
    try:
        settings = json.loads(text or "{}")
    except ValueError:
        risk = "the engine does not start again; mend the file"
        yield Finding(Level.ERROR, "/etc/docker/daemon.json is no JSON", risk)
        return
    if now.startswith("nftables") or settings.get("firewall-backend") == "nftables":
        since = "" if now.startswith("nftables") else ", from its next start on"
        risk = "swarm init is refused, and an engine in a swarm exits at its start; take firewall-backend out"
        yield Finding(Level.ERROR, f"the engine's firewall-backend is nftables{since}", risk, "moby#50467")


@by_node
def firewalld(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether firewalld runs."""
    if not seen.read("firewalld"):
        return
    version = parsed(seen.version.get("Version", "0"))
    if version >= (29,) or (25, 0, 13) <= version < (26,):
        yield Finding(Level.INFO, "firewalld runs", "its zones have to let the swarm's ports in")
    else:
        risk = (
            "firewall-cmd --reload takes the mesh's rules away until the engine is restarted; "
            "do not reload it, or take an engine from 29.0 on"
        )
        yield Finding(Level.WARNING, "firewalld runs", risk, "moby#50443")
