"""Checks of engines: their versions, the API, sockets that are open to everybody, and clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from swarmlab.cluster.clocks import BACKDATED, Clock, astray
from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.last_words import last_words, remedy
from swarmlab.preflight.model import START_BY_HAND, START_THE_ENGINE, NodeView, Sight, by_node
from swarmlab.preflight.options import Settings
from swarmlab.preflight.stopped import Stopped, stopped
from swarmlab.versions import parsed

#: The lowest newest API version of an engine that all clients of today speak to (docker/cli 29.3 on; 29.0: 1.44).
_SPOKEN_TODAY = (1, 40)
_ROOT = "everybody who reaches that address is root on the node"


def answers(sight: Sight) -> Iterator[Finding]:
    """Whether every engine answers, and the shell of every node."""
    for view in sight.nodes:
        if view.silent:
            risk = "its tasks are lost or cannot be changed, and nothing else is known about the engine"
            words, halted = last_words(view), _halted(view)
            known = remedy(words, view) or view.remedy
            summary = f"{view.silent}; it ended with: {words}" if words else view.silent
            if halted:
                summary, known = f"{summary}; {_names(halted)} stopped (SIGSTOP)", _continue(halted)
            found = Finding(Level.ERROR, summary, risk, nodes=(view.name,), mend=known or START_THE_ENGINE)
            yield found if known else found.by_hand(*START_BY_HAND)
        elif view.info["Swarm"]["LocalNodeState"] == "error":
            why = " ".join(str(view.info["Swarm"].get("Error") or "its engine does not say why").split())
            mend = (
                "on {nodes}: systemctl restart docker; if it says the same again and it is a manager: on another "
                "manager docker node demote NODE && docker node rm --force NODE, then on {nodes}: docker swarm leave "
                "--force, and docker swarm join with a token for managers"
            )
            summary = f"its engine takes no part in the swarm: {why}"
            risk = "the node has no tasks, and as a manager no vote"
            yield Finding(Level.ERROR, summary, risk, nodes=(view.name,), mend=mend).by_hand(*START_BY_HAND)
        elif view.unread:
            level = Level.ERROR if view.hangs else Level.UNKNOWN
            risk = "commands hang on the node, and what they would tell is not known" if view.hangs else ""
            yield Finding(level, view.unread, risk, nodes=(view.name,), mend=view.access)
        if view.info and not view.unread:
            yield from _stopped(view)


def _stopped(view: NodeView) -> Iterator[Finding]:
    """Yield a finding if processes of an engine that answers are stopped, or if that is not known."""
    try:
        stopped(view)
    except Unknown as why:
        yield why.finding(view.name)
    if halted := _halted(view):
        risk = "no container starts or ends on the node, and commands that ask for one hang"
        summary = f"{_names(halted)} stopped (SIGSTOP)"
        found = Finding(Level.ERROR, summary, risk, nodes=(view.name,), mend=_continue(halted))
        yield found.by_hand("ps -eo pid,stat,comm | grep -E 'docker|containerd'", "")


def _halted(view: NodeView) -> list[Stopped]:
    try:
        return [one for one in stopped(view) if one.engine]
    except Unknown:
        return []


def _names(halted: Sequence[Stopped]) -> str:
    return f"{' and '.join(one.program for one in halted)} {'is' if len(halted) == 1 else 'are'}"


def _continue(halted: Sequence[Stopped]) -> str:
    return f"on {{nodes}}: kill -CONT {' '.join(str(one.number) for one in halted)}"


def versions(sight: Sight) -> Iterator[Finding]:
    """Whether all engines have the same version."""
    by_version: dict[str, list[str]] = {}
    for view in sight.nodes:
        if view.version:
            by_version.setdefault(view.version["Version"], []).append(view.name)
    summary = few((f"{version} on {few(names)}" for version, names in by_version.items()), "; ")
    if len(by_version) < 2:
        yield Finding(Level.OK, summary or "no engine answered")
        return
    if len({parsed(version) for version in by_version}) < 2:
        risk = "packages of one release may differ in what is mended in them"
        yield Finding(Level.INFO, summary, risk, mend="nothing, where each distribution has its own package")
        return
    managers = {view.name for view in sight.nodes if view.manages}
    of_managers = {parsed(version) for version, names in by_version.items() if managers.intersection(names)}
    newest = max(map(parsed, by_version))
    risk = "several versions are meant for the hours of an upgrade: each pair of versions has defects of its own"
    mend = f"upgrade all engines to {'.'.join(map(str, newest))}"
    if of_managers and max(of_managers) < newest:
        mend += ", managers before workers"
    yield Finding(Level.WARNING, summary, risk, "moby#51798, docker/cli#2875", mend=mend)


def api_versions(sight: Sight) -> Iterator[Finding]:
    """Which versions of the API the engines support."""
    spoken = {
        view.name: (parsed(view.version["ApiVersion"]), parsed(view.version.get("MinAPIVersion", "1.12")))
        for view in sight.nodes
        if view.version
    }
    if not spoken:
        yield Finding(Level.UNKNOWN, "no engine answered", mend=START_THE_ENGINE)
        return
    newest = min(most for most, _ in spoken.values())
    oldest = max(least for _, least in spoken.values())
    summary = f"all support {'.'.join(map(str, oldest))} to {'.'.join(map(str, newest))}"
    if oldest > newest:
        yield Finding(
            Level.ERROR,
            "no version of the API is spoken by all engines",
            "no client works with all of them",
            "traefik#12253",
            mend="upgrade all engines to one version",
        )
    elif oldest >= (1, 40):
        risk = "they refuse older clients (proxies, dashboards, CI)"
        mend = "check the clients of these engines: docker version of each"
        yield Finding(Level.INFO, summary, risk, "traefik#12253, portainer#12934", mend=mend)
    elif newest < _SPOKEN_TODAY:
        risk = "command lines from 29.0 on, and other clients of today, refuse these engines"
        yield Finding(
            Level.INFO, summary, risk, mend="keep clients of the engines' time until the engines are upgraded"
        )
    else:
        yield Finding(Level.OK, summary)


@by_node
def sockets(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's API is open to everybody, according to its own warnings or, before 18.09, its options."""
    view.swarm  # noqa: B018
    if "Warnings" in view.info:
        found = [
            (match[1].rstrip("."), match[2].strip())
            for warning in view.info["Warnings"] or []
            if (match := re.search(r"API is accessible on (\S+) without ([\w ]+)", warning))
        ]
    else:
        found = _open(view.read("command line").splitlines(), view.read("daemon.json"))
    for address, lacking in found:
        mend = (
            f"on {{nodes}}: take {address} out of hosts in /etc/docker/daemon.json or of -H in systemctl cat docker, "
            "or require client certificates (tlsverify); then systemctl restart docker"
        )
        yield Finding(Level.ERROR, f"its API is open on {address} without {lacking}", _ROOT, mend=mend)


def _open(command: Sequence[str], settings: str) -> list[tuple[str, str]]:
    """Return the addresses at which an engine listens to everybody, each with what it lacks.

    Args:
        command: the engine's command line, an argument each.
        settings: the text of its daemon.json.
    """
    try:
        known = Settings.read(settings, command[1:])
    except ValueError:
        raise Unknown(
            "/etc/docker/daemon.json is not JSON, so its addresses are not known",
            "on {nodes}: correct the line that python3 -m json.tool /etc/docker/daemon.json names",
        ) from None
    if known.get("tlsverify") is True:
        return []
    lacking = "client certificates" if known.get("tls") is True else "encryption"
    return [(host, lacking) for host in known.listed("hosts") if host.startswith("tcp://")]


def clocks(sight: Sight) -> Iterator[Finding]:
    """Whether the clocks of the nodes agree."""
    read = {view.name: view.clock for view in sight.nodes if view.clock}
    yield agreement(read)


def _long(seconds: float) -> str:
    """Return a time in the unit that is read at a glance."""
    for length, unit in ((86400, "days"), (3600, "hours")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def agreement(read: Mapping[str, Clock]) -> Finding:
    """Return whether these clocks agree; if not, the finding names the nodes whose clocks are wrong."""
    wrong = astray(read)
    if not wrong:
        return Finding(Level.OK, few(f"{name} {clock}" for name, clock in read.items()))
    late = any(abs(seconds) > BACKDATED for seconds in wrong.values())
    summary = ", ".join(
        f"{name} is {_long(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}" for name, seconds in wrong.items()
    )
    risk = "times and ages of tasks are wrong, and a node that is far behind cannot join"
    mend = "on {nodes}: timedatectl set-ntp true, or with chrony: chronyc makestep"
    return Finding(
        Level.ERROR if late else Level.WARNING,
        summary,
        risk,
        nodes=tuple(wrong),
        mend=mend,
        # A smaller difference keeps no certificate from being accepted.
        causes=("node-certificates: not valid yet|ended", "root-certificate: ended", "membership", "quorum")
        if late
        else (),
    )
