"""Checks of managers and members: agreement, quorum, autolock and availability."""

from __future__ import annotations

import re
from collections.abc import Iterator

from swarmlab.lists import few
from swarmlab.preflight import strays
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import Sight, by_managers

#: More managers make every write slower and the cluster no safer.
_MOST = 7
_LOGS = "read the engines' logs: on each node: journalctl -u docker -n 100"
_START = "on {nodes}: systemctl start docker; a node that is gone for good: docker node rm --force NODE"
#: The condition that every node has the network of the routing mesh.
_MESH = "ingress present"
#: What it risks that a condition of a ready swarm does not hold, and the mend.
_NOT_READY = {
    "every engine is in the swarm": (
        "the node runs no tasks",
        "on {nodes}: what docker info says below Swarm; locked: docker swarm unlock; inactive: docker swarm join",
    ),
    "managers answer": ("the swarm cannot be changed from that manager", _LOGS),
    "agreed leader": ("nothing can be changed until managers agree", "wait for the election, then: docker node ls"),
    "all managers reachable": ("the fewer managers are left, the sooner quorum is lost", _START),
    "all nodes ready": ("they run no tasks", _START),
    "CA agreed": ("nodes refuse each other's certificates", "on a manager: docker swarm ca --rotate"),
    "role equals certificate": (
        "the node does not do what managers believe",
        "on {nodes}: systemctl restart docker; or demote and promote it: docker node demote, docker node promote",
    ),
    _MESH: (
        "published ports do not answer on the node",
        "on {nodes}: systemctl restart docker; if nobody has it: docker network create --driver overlay --ingress "
        "ingress",
    ),
}


def _named(sight: Sight, summary: str) -> tuple[str, ...]:
    """Return the nodes that the summary of a condition tells of: where one sees others, those others."""
    text = " ".join(re.findall(r"sees (\S+) ", summary)) or summary
    return tuple(name for name in sight.names.values() if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text))


def membership(sight: Sight) -> Iterator[Finding]:
    """Whether all nodes are of one swarm, and it is ready: managers, roles, roots of trust, the mesh's network."""
    if not sight.asked:
        risk = "services run on and cannot be changed, and no task that fails is replaced"
        mend = (
            "start managers until more than half of them are up (on each: systemctl start docker); if they are lost "
            "for good: on one manager: docker swarm init --force-new-cluster"
        )
        yield Finding(Level.ERROR, f"no manager answers: {sight.unasked}", risk, mend=mend)
    yield from strays.findings(sight)
    meshless = _meshless(sight)
    if meshless:
        mend = "nothing, where it is meant; else: docker network create --driver overlay --ingress ingress"
        yield Finding(Level.INFO, "the swarm has no network of the routing mesh, and no service needs it", mend=mend)
    for name, state in sight.conditions.items():
        if name == _MESH and meshless:
            continue
        if not state and not (name == "managers answer" and not sight.asked):
            risk, mend = _NOT_READY.get(name, ("what tests and services do here cannot be relied on", _LOGS))
            nodes = _named(sight, state.summary)
            yield Finding(Level.ERROR, f"not ready: {name}: {state.summary}", risk, nodes=nodes, mend=mend)
    if sight.strangers:
        summary = f"members that were not checked: {few(sight.strangers)}"
        risk = "trouble on them, and on the network to them, is not found"
        mend = "add them to the inventory; if they are gone for good: docker node rm " + " ".join(sight.strangers)
        yield Finding(Level.UNKNOWN, summary, risk, mend=mend)
    kept = {name: state for name, state in sight.conditions.items() if not (name == _MESH and meshless)}
    if sight.asked and kept and all(kept.values()) and not sight.strays:
        yield Finding(Level.OK, ", ".join(kept))
    elif not sight.conditions:
        mend = "start the engines: on each node: systemctl start docker"
        yield Finding(Level.UNKNOWN, "no engine answered about its membership", mend=mend)


def _meshless(sight: Sight) -> bool:
    """Whether the routing mesh was removed from the whole swarm, and no service publishes a port by it."""
    present = sight.conditions.get(_MESH)
    if not sight.asked or present or present is None or any(network.get("Ingress") for network in sight.networks):
        return False
    ports = [(service.get("Endpoint") or {}).get("Ports") for service in sight.services]
    specs = [((service.get("Spec") or {}).get("EndpointSpec") or {}).get("Ports") for service in sight.services]
    return not any(port.get("PublishMode", "ingress") == "ingress" for listed in ports + specs for port in listed or [])


@by_managers
def quorum(sight: Sight) -> Iterator[Finding]:
    """How many managers may be lost before quorum is lost."""
    managers = [member for member in sight.members if member["Spec"]["Role"] == "manager"]
    there = [member for member in managers if (member.get("ManagerStatus") or {}).get("Reachability") == "reachable"]
    spare = len(there) - (len(managers) // 2 + 1)
    left = f"{spare} of them may be lost" if spare >= 0 else "quorum is lost"
    summary = f"{len(there)} of {len(managers)} managers can be reached, {left}"
    if len(there) < len(managers):
        names = [sight.names[member["ID"]] for member in managers if member not in there]
        mend = (
            f"on {{nodes}}: systemctl start docker; those that are lost for good: docker node demote {' '.join(names)}"
        )
        level = Level.ERROR if spare <= 0 else Level.WARNING
        yield Finding(level, summary, "without quorum nothing can be changed", nodes=tuple(names), mend=mend)
    elif len(managers) == 1:
        mend = "use three: docker node promote NODE NODE; or back up /var/lib/docker/swarm while its engine is stopped"
        yield Finding(Level.INFO, "one manager", "the swarm's state is lost with it", mend=mend)
    elif len(managers) > _MOST:
        mend = "five are enough: docker node demote NODE"
        yield Finding(Level.INFO, f"{len(managers)} managers", "each one makes writes slower", mend=mend)
    else:
        yield Finding(Level.OK, summary)


@by_managers
def odd_number(sight: Sight) -> Iterator[Finding]:
    """Whether the number of managers is odd."""
    number = sum(member["Spec"]["Role"] == "manager" for member in sight.members)
    if number % 2:
        yield Finding(Level.OK, f"{number} of {len(sight.members)} nodes")
    else:
        risk = f"{number} managers survive no more losses than {number - 1}"
        mend = "docker node promote NODE, or docker node demote NODE"
        yield Finding(Level.WARNING, f"{number} managers, an even number", risk, mend=mend)


@by_managers
def autolock(sight: Sight) -> Iterator[Finding]:
    """Whether managers stay locked after a restart until somebody enters the key (autolock)."""
    if sight.swarm["Spec"].get("EncryptionConfig", {}).get("AutoLockManagers"):
        risk = "after a restart a manager waits for docker swarm unlock"
        yield Finding(Level.INFO, "autolock is on", risk, mend="keep the key: docker swarm unlock-key")
    else:
        yield Finding(Level.OK, "off")


@by_managers
def availability(sight: Sight) -> Iterator[Finding]:
    """Whether nodes are drained or paused."""
    for member in sight.members:
        state = member["Spec"]["Availability"]
        if state != "active":
            manager = member["Spec"]["Role"] == "manager"
            name = sight.names[member["ID"]]
            mend = f"on a manager: docker node update --availability active {name}"
            level = Level.INFO if manager and state == "drain" else Level.WARNING
            whose = "manager" if manager else "worker"
            yield Finding(level, f"{whose} with availability {state}", "it gets no tasks", nodes=(name,), mend=mend)
