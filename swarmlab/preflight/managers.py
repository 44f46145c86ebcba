"""Checks of managers and members: agreement, quorum, autolock and availability."""

from __future__ import annotations

from collections.abc import Iterator

from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import Sight

#: More managers make every write slower and the cluster no safer.
_MOST = 7


def membership(sight: Sight) -> Iterator[Finding]:
    """Whether the swarm is ready: membership, agreement of managers, roles, roots of trust, the mesh's network."""
    if not sight.asked:
        mend = "services run on and cannot be changed; start managers until a majority is there"
        yield Finding(Level.ERROR, f"no manager answers: {sight.unasked}", mend)
    for name, state in sight.conditions.items():
        if not state:
            mend = "read the engines' logs: swarmlab logs DIR"
            yield Finding(Level.ERROR, f"not ready: {name}: {state.summary}", mend)
    if sight.strangers:
        summary = f"members that were not checked: {', '.join(sight.strangers)}"
        yield Finding(
            Level.UNKNOWN,
            summary,
            "trouble on them, and on the network to them, is not found; add them to the inventory",
        )
    if sight.asked and sight.conditions and all(sight.conditions.values()):
        yield Finding(Level.OK, ", ".join(sight.conditions))
    elif not sight.conditions:
        yield Finding(Level.UNKNOWN, "no engine answered about its membership")


def quorum(sight: Sight) -> Iterator[Finding]:
    """How many managers may be lost before quorum is lost."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    managers = [member for member in sight.members if member["Spec"]["Role"] == "manager"]
    there = [member for member in managers if (member.get("ManagerStatus") or {}).get("Reachability") == "reachable"]
    spare = len(there) - (len(managers) // 2 + 1)
    left = f"{spare} of them may be lost" if spare >= 0 else "quorum is lost"
    summary = f"{len(there)} of {len(managers)} managers can be reached, {left}"
    mend = "start them, or docker node demote those that are lost for good"
    if len(there) < len(managers):
        names = [sight.names[member["ID"]] for member in managers if member not in there]
        risk = f"without quorum nothing can be changed; {mend}"
        level = Level.ERROR if spare <= 0 else Level.WARNING
        yield Finding(level, summary, risk, nodes=tuple(names))
    elif len(managers) == 1:
        yield Finding(Level.INFO, "one manager", "the swarm's state is lost with it; use three, or back it up")
    elif len(managers) > _MOST:
        yield Finding(Level.INFO, f"{len(managers)} managers", "each one makes writes slower; five are enough")
    else:
        yield Finding(Level.OK, summary)


def odd_number(sight: Sight) -> Iterator[Finding]:
    """Whether the number of managers is odd."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    number = sum(member["Spec"]["Role"] == "manager" for member in sight.members)
    if number % 2:
        yield Finding(Level.OK, f"{number} of {len(sight.members)} nodes")
    else:
        risk = f"{number} managers survive no more losses than {number - 1}; promote or demote one"
        yield Finding(Level.WARNING, f"{number} managers, an even number", risk)


def autolock(sight: Sight) -> Iterator[Finding]:
    """Whether managers stay locked after a restart until somebody enters the key (autolock)."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
    elif sight.swarm["Spec"].get("EncryptionConfig", {}).get("AutoLockManagers"):
        risk = "after a restart a manager waits for docker swarm unlock; keep the key: docker swarm unlock-key"
        yield Finding(Level.INFO, "autolock is on", risk)
    else:
        yield Finding(Level.OK, "off")


def availability(sight: Sight) -> Iterator[Finding]:
    """Whether nodes are drained or paused."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    for member in sight.members:
        state = member["Spec"]["Availability"]
        if state != "active":
            manager = member["Spec"]["Role"] == "manager"
            mend = f"it gets no tasks; docker node update --availability active {sight.names[member['ID']]}"
            level = Level.INFO if manager and state == "drain" else Level.WARNING
            whose = "manager" if manager else "worker"
            yield Finding(level, f"{whose} with availability {state}", mend, nodes=(sight.names[member["ID"]],))
