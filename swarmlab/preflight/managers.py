"""Managers and members: agreement, quorum, autolock and availability."""

from __future__ import annotations

from collections.abc import Iterator

from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.sight import Sight

#: More managers than that make every write slower, and no cluster safer.
_MOST = 7


def membership(sight: Sight) -> Iterator[Finding]:
    """What makes a swarm ready: every engine in it, managers that agree, roles, roots of trust, the mesh's network."""
    if not sight.asked:
        mend = "services go on as they are and cannot be changed; bring managers back until a majority is there"
        yield Finding(Level.ERROR, f"no manager answers: {sight.unasked}", mend)
    for name, state in sight.conditions.items():
        if not state:
            yield Finding(Level.ERROR, f"not so: {name}: {state.seen}", "see what the engines log: swarmlab logs DIR")
    if sight.strangers:
        told = f"members that are not looked at: {', '.join(sight.strangers)}"
        yield Finding(Level.UNKNOWN, told, "what they are like, and the ways to them, is not judged; name them too")
    if sight.asked and sight.conditions and all(sight.conditions.values()):
        yield Finding(Level.OK, ", ".join(sight.conditions))
    elif not sight.conditions:
        yield Finding(Level.UNKNOWN, "no engine told of its membership")


def quorum(sight: Sight) -> Iterator[Finding]:
    """How many managers may be lost before nothing can be changed any more."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    managers = [member for member in sight.members if member["Spec"]["Role"] == "manager"]
    there = [one for one in managers if (one.get("ManagerStatus") or {}).get("Reachability") == "reachable"]
    spare = len(there) - (len(managers) // 2 + 1)
    left = f"{spare} of them may be lost" if spare >= 0 else "quorum is lost"
    told = f"{len(there)} of {len(managers)} managers can be reached, {left}"
    mend = "bring them back, or docker node demote what is lost for good"
    if len(there) < len(managers):
        names = [sight.names[one["ID"]] for one in managers if one not in there]
        risk = f"nothing can be changed once quorum is lost; {mend}"
        level = Level.ERROR if spare <= 0 else Level.WARNING
        yield Finding(level, told, risk, nodes=tuple(names))
    elif len(managers) == 1:
        yield Finding(Level.INFO, "one manager", "if it is lost the swarm's state is; have three, or back it up")
    elif len(managers) > _MOST:
        yield Finding(Level.INFO, f"{len(managers)} managers", "each makes writes slower; five are enough")
    else:
        yield Finding(Level.OK, told)


def odd_number(sight: Sight) -> Iterator[Finding]:
    """Whether the number of managers is odd."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
        return
    number = sum(member["Spec"]["Role"] == "manager" for member in sight.members)
    if number % 2:
        yield Finding(Level.OK, f"{number} of {len(sight.members)} nodes")
    else:
        risk = f"no more of {number} may be lost than of {number - 1}, and one more can be; promote or demote one"
        yield Finding(Level.WARNING, f"{number} managers, an even number", risk)


def autolock(sight: Sight) -> Iterator[Finding]:
    """Whether managers stay locked after a restart until somebody gives them the key."""
    if not sight.asked:
        yield Finding(Level.UNKNOWN, sight.unasked)
    elif sight.swarm["Spec"].get("EncryptionConfig", {}).get("AutoLockManagers"):
        risk = "a manager whose engine restarts is out until docker swarm unlock; have the key: docker swarm unlock-key"
        yield Finding(Level.INFO, "managers lock themselves (autolock)", risk)
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
            mend = f"it is given no tasks; docker node update --availability active {sight.names[member['ID']]}"
            level = Level.INFO if manager and state == "drain" else Level.WARNING
            whose = "manager" if manager else "worker"
            yield Finding(level, f"{whose} with availability {state}", mend, nodes=(sight.names[member["ID"]],))
