"""Checks of the nodes' firewalls: the backend of iptables, and others that set rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node
from swarmlab.preflight.options import Settings
from swarmlab.versions import parsed

#: The programs of iptables, by their backends.
_PROGRAMS = {"nf_tables": "/usr/sbin/iptables-nft", "legacy": "/usr/sbin/iptables-legacy"}


def backends(sight: Sight) -> Iterator[Finding]:
    """Whether iptables has the same backend on all nodes, and on each the one in which the engine's rules are."""
    found: dict[str, list[str]] = {}
    elsewhere: dict[tuple[str, str], list[str]] = {}
    for view in sight.nodes:
        try:
            backend = _backend(view)
        except Unknown as why:
            yield why.finding(view.name)
            continue
        found.setdefault(backend, []).append(view.name)
        holding = _holding(view)
        if backend not in holding:
            for other in holding:
                elsewhere.setdefault((backend, other), []).append(view.name)
    for (backend, other), names in elsewhere.items():
        yield Finding(
            Level.WARNING,
            f"iptables is {backend}, and the engine's rules are in {other}",
            "from its next start on the engine makes its rules in the other backend, and those of now stay in force",
            "moby#46636",
            tuple(names),
            mend=f"on {{nodes}}: update-alternatives --set iptables {_PROGRAMS[other]}; or drain the node and boot it",
        )
    summary = few((f"{backend} on {few(names)}" for backend, names in found.items()), "; ")
    if len(found) > 1:
        odd = min(found.values(), key=len)
        risk = "programs that list or change rules see other ones on these nodes"
        yield Finding(Level.INFO, summary, risk, "", tuple(odd), mend="nothing, where each distribution has its own")
    elif found:
        yield Finding(Level.OK, summary)


def _holding(view: NodeView) -> set[str]:
    """Return the backends in which the engine's rules are, as far as the node tells of both."""
    code, text = view.answers.get("rules", (1, ""))
    parts = [part.partition("\n") for part in text.split("# by ") if part.strip()] if not code else []
    # Where there is one program for both, its backend is that of iptables itself.
    names = {"iptables-nft-save": "nf_tables", "iptables-legacy-save": "legacy"}
    holding = {program.strip() for program, _, rules in parts if re.search(r"^:DOCKER ", rules, re.MULTILINE)}
    return {names[program] for program in holding} if holding <= names.keys() else set()


def _backend(view: NodeView) -> str:
    version = view.read("iptables")
    if not re.search(r"iptables v[\d.]+", version):
        raise Unknown(f"iptables: {version[-100:]}", "on {nodes}: see what iptables --version prints")
    return "nf_tables" if "nf_tables" in version else "legacy"


@by_node
def leftovers(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether a node with the backend nf_tables also has rules of the legacy backend, which are in force too."""
    if _backend(view) == "legacy":
        return
    try:
        rules = view.numbers("legacy rules")[0]
    except Unknown:
        raise Unknown(
            "the rules of iptables-legacy cannot be listed: it is missing, or needs root",
            "let preflight be root on {nodes}, and have iptables-legacy there: apt-get install iptables",
        ) from None
    if rules:
        risk = "they are in force, and iptables does not list them"
        mend = (
            "on {nodes}: look at them (iptables-legacy-save), then "
            "for T in $(cat /proc/net/ip_tables_names); do iptables-legacy -t $T -F; done"
        )
        yield Finding(
            Level.WARNING, f"{rules} rules of iptables-legacy beside nf_tables", risk, "moby#46636", mend=mend
        )


@by_node
def engine_backend(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's firewall backend is nftables, which swarms do not support."""
    now = (view.info.get("FirewallBackend") or {}).get("Driver", "")
    settings = Settings.as_far_as_read(view.read("daemon.json"), [])  # engine-restart tells of a broken file
    if now.startswith("nftables") or settings.get("firewall-backend") == "nftables":
        since = "" if now.startswith("nftables") else ", from its next start on"
        risk = "the engine refuses swarm init, and exits at its start in a swarm"
        mend = "on {nodes}: take firewall-backend out of /etc/docker/daemon.json, then systemctl restart docker"
        yield Finding(Level.ERROR, f"the engine's firewall-backend is nftables{since}", risk, "moby#50467", mend=mend)


@by_node
def firewalld(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether firewalld runs."""
    if not view.read("firewalld"):
        return
    version = parsed(view.version.get("Version", "0"))
    if version >= (29,) or (25, 0, 13) <= version < (26,):
        mend = (
            "on {nodes}: firewall-cmd --permanent --add-port=2377/tcp --add-port=7946/tcp --add-port=7946/udp "
            "--add-port=4789/udp && firewall-cmd --reload"
        )
        yield Finding(Level.INFO, "firewalld runs", "its zones must allow the swarm's ports", mend=mend)
    else:
        risk = "firewall-cmd --reload removes the mesh's rules until the engine is restarted"
        mend = "after each reload: on {nodes}: systemctl restart docker; or upgrade the engine to 29.0 or later"
        yield Finding(Level.WARNING, "firewalld runs", risk, "moby#50443", mend=mend)
