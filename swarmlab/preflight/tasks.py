"""Checks of tasks that make no progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from swarmlab.cluster.service import ENDED, SERVICE_NAME_LABEL
from swarmlab.preflight import content, work
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import PULL_FAILS, Sight, by_managers

#: Seconds after which a task that is still in a state counts as stuck.
_LIMITS = {
    "new": 30.0,
    "allocated": 30.0,
    "pending": 30.0,
    "assigned": 30.0,
    "accepted": 30.0,
    "preparing": 120.0,
    "ready": 60.0,
    "starting": 60.0,
}
#: The same for a task that prepares where the engine cannot have its image from the registry.
_NO_IMAGE = 20.0
#: The same where the engine lacks the image, and the registry answers: a large one takes long on a slow line.
_PULLING = 1800.0
#: Seconds that an engine may take to end a task beside its grace period, and that period if the service sets none.
_ENDING, _GRACE = 30.0, 10.0
_UNWANTED = ("shutdown", "remove")
_WORDS = {
    "new": (
        "the swarm has no address or port for it",
        "check free addresses of its networks, and read the leader's log: journalctl -u docker",
    ),
    "pending": ("no node fits", "check constraints, reservations and availability: docker service ps --no-trunc"),
    "assigned": (
        "the node's engine does not take its tasks",
        "read the node's log: journalctl -u docker; restart its engine: systemctl restart docker",
    ),
    "preparing": (
        "its image, networks or volumes are not there yet; a large image takes long",
        "pull the image by hand on the node, and read what the engine says: docker pull",
    ),
    "pulling": (
        "it does not run until its node has the image",
        "nothing, if the image is large: wait; how far it is: on the node: docker pull",
    ),
    "starting": (
        "its container starts and does not become healthy, or its engine hangs",
        "look at its health on the node: docker ps, docker inspect --format '{{json .State.Health}}' CONTAINER",
    ),
}
_AS = {"allocated": "pending", "accepted": "assigned", "ready": "starting"}


@by_managers
def stuck(sight: Sight) -> Iterator[Finding]:
    """Whether tasks stay in one state for too long, on their way up or down, or stay though nobody wants them."""
    now = work.now(sight)
    known = {each.service["ID"]: each for each in work.works(sight)}
    hung: dict[tuple[str, str, str, str, str], list[dict[str, Any]]] = {}
    left: dict[tuple[str, str], int] = {}
    lost: dict[str, list[dict[str, Any]]] = {}
    for task in sight.tasks:
        of = known.get(task.get("ServiceID", ""))
        name, state = of.name if of else _removed(sight, task), task["Status"]["State"]
        if state == "orphaned":
            lost.setdefault(name, []).append(task)
        elif state in ("new", "pending", "allocated") and task["DesiredState"] not in work.WANTED:
            if now - work.created(task) > _LIMITS[state]:
                left[name, state] = left.get((name, state), 0) + 1
        elif most := _limit(sight, task, now):
            kind = "ending" if task["DesiredState"] in _UNWANTED else state
            kind = "pulling" if state == "preparing" and now - work.changed(task) < may_take(sight, task) else kind
            key = (name, kind, f"{most:.0f}", work.reason(task), work.count(of, sight) if of else "")
            hung.setdefault(key, []).append(task)
    for (name, state, limit, why, number), tasks in hung.items():
        yield _hung(sight, name, state, limit, why, number, tasks)
    for (name, state), unwanted in left.items():
        summary = f"tasks of {name} that nobody wants stay {state}: {unwanted}"
        risk = "they are listed for ever and run nowhere"
        yield Finding(Level.INFO, summary, risk, "swarmkit#2555, moby#36699", mend="upgrade the managers")
    for name, tasks in lost.items():
        summary = f"tasks of {name} are orphaned: {len(tasks)}"
        risk = "their node was away for a day; if it comes back, its containers may still run"
        yield Finding(Level.INFO, summary, risk, nodes=_on(sight, tasks), mend="start the node, or docker node rm it")
    if not (hung or left or lost):
        yield Finding(Level.OK, f"none of {len(sight.tasks)} tasks")


def _limit(sight: Sight, task: Mapping[str, Any], now: float) -> float:
    """Return the limit in seconds that a task has exceeded in its state; 0 if it has exceeded none."""
    state, desired = task["Status"]["State"], task["DesiredState"]
    member = work.members_by_id(sight).get(task.get("NodeID", ""))
    if state in ENDED or (member and not work.ready(member)):
        return 0.0
    age = now - (work.created(task) if state in ("new", "pending", "allocated") else work.changed(task))
    if desired in _UNWANTED:
        limit = _ENDING + may_take(sight, task)
    elif state == "running" or (state == "ready" and desired == "ready"):  # the latter waits, as it is told to
        return 0.0
    else:
        limit = _LIMITS.get(state, 0.0)
        if state != "preparing":
            limit += may_take(sight, task)
        elif _pull(sight, task):
            limit = _NO_IMAGE
    return limit if 0 < limit < age else 0.0


def may_take(sight: Sight, task: Mapping[str, Any]) -> float:
    """Return the seconds that a task may take for its next step by its own settings; 0 if they give it none."""
    state, desired = task["Status"]["State"], task["DesiredState"]
    if state in ENDED:
        return 0.0
    if desired in _UNWANTED:
        return work.seconds(work.container(task).get("StopGracePeriod"), _GRACE)
    if state == "preparing":
        return _PULLING if content.pulls(sight, task) else 0.0
    if state in ("starting", "ready"):
        return work.patience(sight, task)
    if state == "pending" and desired == "ready":  # its node, or a port there, may be that of the task before it
        same = (other for other in sight.tasks if other.get("ServiceID") == task.get("ServiceID"))
        return max((may_take(sight, other) for other in same if other["DesiredState"] in _UNWANTED), default=0.0)
    return 0.0


def _removed(sight: Sight, task: Mapping[str, Any]) -> str:
    """Return the name of a service that was removed, as the container of its task has it."""
    identity = work.container_id(task)
    listed = (one for view in sight.nodes for one in view.containers or [] if one["Id"] == identity)
    labels = next(listed, {}).get("Labels") or {}
    return str(labels.get(SERVICE_NAME_LABEL) or "no service")


def _hung(
    sight: Sight, name: str, state: str, limit: str, why: str, number: str, tasks: list[dict[str, Any]]
) -> Finding:
    plural = "s" if len(tasks) > 1 else ""
    nodes = _on(sight, tasks)
    if state == "ending":
        states = "/".join(sorted({task["Status"]["State"] for task in tasks}))
        summary = f"{len(tasks)} task{plural} of {name} {states}, though to be removed for over {limit} s"
        risk = "its engine does not end it: addresses, ports, networks and volumes stay in use"
        held = [work.container_id(task)[:12] for task in tasks]
        mend = f"on the node: docker rm -f {' '.join(filter(None, held)) or 'CONTAINER'}; else restart its engine"
        return Finding(Level.WARNING, summary, risk, nodes=nodes, mend=mend)
    told = "preparing" if state == "pulling" else state
    summary = f"{len(tasks)} task{plural} of {name} {told} for over {limit} s: {why}"
    summary += f" ({number} {'done' if number.endswith('tasks') else 'run'})" if number else ""
    risk, mend = _WORDS[_AS.get(state, state)]
    if state == "pulling":
        summary += f"; its node lacks {_image(tasks[0])}, and the registry answers"
        return Finding(Level.INFO, summary, risk, nodes=nodes, mend=f"{mend} {_image(tasks[0])}")
    level = Level.WARNING if state in ("pending", "allocated", "preparing", "starting", "ready") else Level.ERROR
    pull = next(filter(None, (_pull(sight, task) for task in tasks)), "")
    if state == "preparing" and pull:
        summary += f"; {pull}"
        risk, level = "its image cannot be pulled there", Level.ERROR
        mend = f"open the way to the registry, or push the image; then on the node: docker pull {_image(tasks[0])}"
        if content.limited(sight, _image(tasks[0])):
            mend = content.more_requests(content.parse(_image(tasks[0])).registry, [name])
    incidents = "moby#37338, moby#43052" if state == "new" else ""
    return Finding(level, summary, risk, incidents, nodes=nodes, mend=mend)


def _pull(sight: Sight, task: Mapping[str, Any]) -> str:
    """Return what the task's node says of its image, if it lacks it and cannot have it from the registry."""
    view = sight.members_read.get(task.get("NodeID", ""))
    answer = view.pulls.get(_image(task)) if view else None
    return f"{_image(task)} cannot be pulled: {answer.words}" if answer and answer.kind in PULL_FAILS else ""


def _image(task: Mapping[str, Any]) -> str:
    return work.image_of(task.get("Spec", {}))


def _on(sight: Sight, tasks: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the host names of the nodes that tasks are on."""
    names = sight.names
    return tuple(dict.fromkeys(names.get(task["NodeID"], task["NodeID"]) for task in tasks if task.get("NodeID")))
