"""Nodes that are not of the swarm: removed ones, and those of a swarm of their own.

Managers of one swarm list each other as managers. Those that do not are of two swarms, also where both have the id of
one, as after ``docker swarm init --force-new-cluster``. Managers that are cut off from each other, or that are about to
choose a leader, go on listing each other: they are of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import NodeView, Sight
from swarmlab.preflight.work import ready

#: What is found of a node for no other reason than that it is not of the swarm. Packets pass to it and from it.
_OF_A_STRAY = (
    "membership: not ready",
    "quorum",
    "host-names",
    "known-addresses",
    "engine-rules",
    "load-balancers",
    "tunnels",
    "task-containers",
    "task-networks",
    "task-names",
    "stuck-tasks: pending for",
)


def groups(sight: Sight) -> list[list[NodeView]]:
    """Return the managers that tell their nodes, by swarm; that with the most of the nodes comes first."""
    made: list[list[NodeView]] = []
    for view in sight.nodes:
        if not _lists(sight, view, view):
            continue  # it tells nothing, or is just becoming a manager or a worker
        near = [any(_alike(sight, view, other) for other in group) for group in made]
        joined = [other for group, fits in zip(made, near, strict=True) if fits for other in group]
        made = [group for group, fits in zip(made, near, strict=True) if not fits] + [[*joined, view]]
    return sorted(made, key=lambda group: _size(sight, group), reverse=True)


def _told(sight: Sight, view: NodeView) -> list[dict[str, Any]]:
    """Return the nodes of its swarm that a manager tells; none if it tells none."""
    return sight.members if view.name == sight.asked else view.told or []


def _lists(sight: Sight, view: NodeView, other: NodeView) -> bool:
    """Whether a manager lists another one as a manager."""
    return view.manages and any(
        member["ID"] == other.node_id and member.get("ManagerStatus") for member in _told(sight, view)
    )


def _alike(sight: Sight, view: NodeView, other: NodeView) -> bool:
    return _lists(sight, view, other) and _lists(sight, other, view)


def _size(sight: Sight, group: list[NodeView]) -> tuple[int, int, int]:
    """Return how many nodes a swarm hears of those that were read, its managers, and all nodes that it lists."""
    members = {member["ID"]: member for member in _told(sight, group[0])}
    heard = sum(id in members and ready(members[id]) for id in sight.members_read)
    return heard, len(group), len(members)


def astray(sight: Sight) -> dict[str, str]:
    """Return what is to be said of each node that is not of the swarm whose manager was asked, by host name."""
    made = groups(sight)
    own = next((group for group in made if sight.asked in _names(group)), [])
    others = [group for group in made if group is not own]
    if not own:
        return {}
    members = {member["ID"]: member for member in sight.members}
    # While some tell nothing, it may be of their swarm.
    whole = all(view.info and (_told(sight, view) or not view.manages) for view in sight.nodes)
    found = {}
    for id, view in sight.members_read.items():
        other = next((group for group in others if _is_of(sight, view, group, members.get(id, {}))), None)
        if other:
            found[view.name] = _elsewhere(view, other, own)
        elif id and id not in members:
            removed = f"it was removed from the swarm of {few(_names(own))}"
            found[view.name] = f"{removed}, and its engine does not know" if whole else f"{removed}, or is in another"
    return found


def _is_of(sight: Sight, view: NodeView, group: list[NodeView], listed: dict[str, Any]) -> bool:
    """Whether a node is a manager of another swarm, or one that hears that swarm and not the one that lists it."""
    if view.name in _names(group):
        return True
    there = next((member for member in _told(sight, group[0]) if member["ID"] == view.node_id), {})
    return not view.manages and ready(there) and not ready(listed)


def _elsewhere(view: NodeView, group: list[NodeView], own: list[NodeView]) -> str:
    alone = _names(group) == [view.name]
    swarm = "a swarm of its own" if alone else f"the swarm of {few(_names(group))}"
    forced = alone and _cluster(view) and _cluster(view) == _cluster(own[0])
    began = ", which was made from that one's state (docker swarm init --force-new-cluster)" if forced else ""
    return f"it is in {swarm}, and not in that of {few(_names(own))}{began}"


def _names(views: Iterable[NodeView]) -> list[str]:
    return [view.name for view in views]


def _cluster(view: NodeView) -> str:
    return str((view.swarm.get("Cluster") or {}).get("ID", ""))


def findings(sight: Sight) -> Iterator[Finding]:
    """Yield a finding for each node that is not of the swarm."""
    for name, summary in sight.strays.items():
        risk = "the swarm gives it no tasks, and what still runs there is neither kept up nor reached by the mesh"
        mend = (
            f"if the swarm of {sight.asked} is to stay: on {{nodes}}: docker swarm leave --force (what was changed in "
            f"another swarm is lost with it); on {sight.asked}: docker swarm join-token worker (or manager), and its "
            "command on {nodes}; the old entry: docker node demote, docker node rm"
        )
        yield Finding(Level.ERROR, summary, risk, nodes=(name,), mend=mend, causes=_OF_A_STRAY)
