"""Checks of the nodes' firewalls: the backend of iptables, and others that set rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node
from swarmlab.versions import parsed


def backends(sight: Sight) -> Iterator[Finding]:
    """Whether iptables has the same backend on all nodes."""
    found: dict[str, list[str]] = {}
    for view in sight.nodes:
        try:
            found.setdefault(_backend(view), []).append(view.name)
        except Unknown as why:
            yield Finding(Level.UNKNOWN, str(why), nodes=(view.name,))
    summary = "; ".join(f"{backend} on {', '.join(names)}" for backend, names in found.items())
    if len(found) > 1:
        few = min(found.values(), key=len)
        risk = (
            "published ports have failed on nodes with the legacy backend; "
            "set one backend on all nodes (update-alternatives --set iptables …), then restart their engines"
        )
        yield Finding(Level.WARNING, summary, risk, "moby#46636", tuple(few))
    elif found:
        yield Finding(Level.OK, summary)


def _backend(view: NodeView) -> str:
    version = view.read("iptables")
    if not re.search(r"iptables v[\d.]+", version):
        raise Unknown(f"iptables: {version[-100:]}")
    return "nf_tables" if "nf_tables" in version else "legacy"


@by_node
def leftovers(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether a node with the backend nf_tables also has rules of the legacy backend, which are in force too."""
    if _backend(view) == "legacy":
        return
    try:
        rules = view.numbers("legacy rules")[0]
    except Unknown:
        raise Unknown("the rules of iptables-legacy cannot be listed: it is missing, or needs root") from None
    if rules:
        risk = "they are in force, and iptables does not list them; iptables-legacy -F for each table, or reboot"
        yield Finding(Level.WARNING, f"{rules} rules of iptables-legacy beside nf_tables", risk, "moby#46636")


@by_node
def engine_backend(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's firewall backend is nftables, which swarms do not support."""
    now = (view.info.get("FirewallBackend") or {}).get("Driver", "")
    text = view.read("daemon.json")
    try:
        settings = json.loads(text or "{}")
    except ValueError:  # engine-restart says so
        settings = {}
    settings = settings if isinstance(settings, dict) else {}
    if now.startswith("nftables") or settings.get("firewall-backend") == "nftables":
        since = "" if now.startswith("nftables") else ", from its next start on"
        risk = "the engine refuses swarm init, and exits at its start in a swarm; remove firewall-backend"
        yield Finding(Level.ERROR, f"the engine's firewall-backend is nftables{since}", risk, "moby#50467")


@by_node
def firewalld(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether firewalld runs."""
    if not view.read("firewalld"):
        return
    version = parsed(view.version.get("Version", "0"))
    if version >= (29,) or (25, 0, 13) <= version < (26,):
        yield Finding(Level.INFO, "firewalld runs", "its zones must allow the swarm's ports")
    else:
        risk = (
            "firewall-cmd --reload removes the mesh's rules until the engine is restarted; "
            "do not reload firewalld, or upgrade the engine to 29.0 or later"
        )
        yield Finding(Level.WARNING, "firewalld runs", risk, "moby#50443")
