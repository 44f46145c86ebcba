"""Whether each node's engine starts again with what is set now, and comes back with its state.

An engine reads its settings when it starts. What was written since bites at the next start, which may be an upgrade.
"""

from __future__ import annotations

from collections.abc import Iterator

from swarmlab.preflight.ahead import Ahead, Unreadable, of_view, parse
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import START_THE_ENGINE, NodeView, Sight, by_node
from swarmlab.preflight.options import refused_by_systemd
from swarmlab.preflight.pending import changes, loses
from swarmlab.preflight.refused import incompatible, refused, them

_LOST_SWARM = "the engine starts and is in no swarm, or cannot prove who it is"
_LOST_LOG = "when the engine starts next, it makes a new, empty swarm of its own, or does not come back as a manager"
_DEAD = "the engine does not start again: the node is lost at its next restart, upgrade or reboot"


@by_node
def restart(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine starts again in the swarm with what is set now, and with its state."""
    try:
        if not view.info:
            yield from _of_silent(view)
            return
        ahead = of_view(view)
    except Unreadable as broken:
        yield Finding(
            Level.ERROR,
            str(broken),
            _DEAD,
            mend="correct the file: python3 -m json.tool /etc/docker/daemon.json; dockerd --validate (from 23.0 on)",
        )
        return
    yield from _findings(ahead)
    for summary, mend in refused_by_systemd(view.read("unit")):
        yield Finding(Level.ERROR, summary, _DEAD, mend=f"on {{nodes}}: {mend}, then systemctl daemon-reload")


def _of_silent(view: NodeView) -> Iterator[Finding]:
    """Yield why an engine that does not answer cannot have started, as far as its file alone tells.

    Raises:
        Unknown: its file does not tell it.
        Unreadable: its daemon.json is not JSON.
    """
    why = view.silent or "its engine was not asked"
    mend = view.remedy or START_THE_ENGINE
    code, text = view.answers.get("daemon.json", (1, ""))
    if code:
        raise Unknown(why, mend)
    ahead = Ahead(parse(text, []), (), {}, {})
    bad = list(incompatible(ahead))
    if mistyped := ahead.settings.mistyped():
        bad.append((f"{', '.join(mistyped)}: of the wrong type in daemon.json", f"correct {them(mistyped)}"))
    bad += refused_by_systemd(view.answers.get("unit", (1, ""))[1])
    if not bad:
        raise Unknown(why, mend)
    for summary, correction in bad:
        yield Finding(
            Level.ERROR, f"{summary} (its engine does not answer)", _DEAD, mend=f"{correction}, and start the engine"
        )


def _findings(ahead: Ahead) -> Iterator[Finding]:
    """Yield what keeps an engine from starting again, what it loses then, and what changes then."""
    wrong = [*refused(ahead), *incompatible(ahead)]
    for summary, mend in dict(wrong).items():
        yield Finding(Level.ERROR, summary, _DEAD, mend=f"{mend}, then: dockerd --validate (from 23.0 on)")
    for summary, risk, mend in loses(ahead):
        yield Finding(Level.ERROR, summary, risk, mend=mend)
    yield from changes(ahead)
    for note in ahead.notes:
        kind, _, what = note.partition(" ")
        yield _lost(what.strip(), ahead.manages) if kind == "lost" else _noted(kind, what.strip())


def _lost(what: str, manages: bool) -> Finding:
    """Return the finding of a part of the swarm's state that is gone from an engine's data folder."""
    mend = "join the node to the swarm anew before its next restart (docker swarm leave, docker swarm join)"
    if manages:
        mend = (
            "before its next restart, on another manager: docker node demote {nodes} (promote a node first if there is "
            "no other); then on {nodes}: docker swarm leave, docker swarm join with a token for managers"
        )
    summary = f"swarm/{what} is gone from the engine's data folder"
    risk = _LOST_LOG if what == "raft" else _LOST_SWARM
    # Where the certificate is gone, nobody can say how long it is valid.
    return Finding(Level.ERROR, summary, risk, mend=mend, causes=("node-certificates: No such file",))


def _noted(kind: str, what: str) -> Finding:
    if kind == "states":
        state = what.split()[-1]
        mend = f"systemctl {'unmask' if state == 'masked' else 'enable'} docker.service"
        return Finding(Level.WARNING, f"docker.service is {state}", "the engine stays off after a reboot", mend=mend)
    if what:
        risk = "its next restart is an upgrade that nobody planned"
        mend = "restart the engine at a time of your choice, with the node drained: systemctl restart docker"
        return Finding(Level.WARNING, "the engine's program was replaced since the engine's start", risk, mend=mend)
    return Finding(Level.ERROR, "the engine's program is gone", _DEAD, mend="install the engine again")
