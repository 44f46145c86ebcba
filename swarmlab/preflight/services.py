"""Checks of services: whether they have the tasks that they are to have, and how their last update went."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.quotes import said
from swarmlab.cluster.refusals import kind
from swarmlab.preflight import content, work
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import NodeView, Sight, by_managers
from swarmlab.preflight.tasks import may_take
from swarmlab.preflight.work import Work

#: So many tasks of one slot that ended in a row, within so many seconds, are a loop.
_ROW, _WINDOW = 3, 900.0
#: Seconds after which a slot that has had failures and no running task counts as short; the same for a service that
#: lacks tasks altogether, and for one whose tasks are not started again.
_SHORT, _LACKING, _SETTLED = 45.0, 60.0, 15.0
#: Seconds that a task has to run before it has recovered, at least.
_RECOVERED = 60.0
#: Seconds between tasks that end well from which on they are meant to, as a service that does something now and then.
_PERIODIC = 60.0
#: Seconds without any change of a task after which an update that goes on counts as stuck, beside its own pauses.
_STALLED = 120.0
_DELAY, _MONITOR = 5.0, 30.0
#: The most containers whose end is looked at.
_INSPECTED = 10
#: The exit code of a process that was killed, as by the kernel for lack of memory.
_KILLED = 137
_OF_IMAGES = re.compile(r"no such image|pull|manifest|registry|repository", re.IGNORECASE)


@dataclass(frozen=True)
class _Short:
    """Why a slot of a service has no task that runs.

    Attributes:
        how: rejected, failed, ended (with exit code 0), used up, or none (there is no task).
        words: the engine's words about the last task.
        node: id of the node of the last task; empty if there is none.
        tasks: how many tasks ended in a row.
        lasted: seconds since the first of them was made.
        container: id of the last one's container, if it had one.
        code: its exit code; None if there is none.
        starved: whether it was killed for lack of memory.
        image: the image of the last task.
    """

    how: str
    words: str = ""
    node: str = ""
    tasks: int = 0
    lasted: float = 0.0
    container: str = ""
    code: int | None = None
    starved: bool = False
    image: str = ""


@by_managers
def replicas(sight: Sight) -> Iterator[Finding]:
    """Whether services have all their replicas, jobs can complete, and no task fails again and again."""
    now = work.now(sight)
    healthy = 0
    for each in work.works(sight):
        found = list(_short(sight, each, now))
        if not found:
            healthy += 1
        groups: dict[tuple[str, str], list[_Short]] = {}
        for short in found:
            groups.setdefault((short.how, kind(short.words)), []).append(short)
        for (how, _), alike in groups.items():
            yield _finding(sight, each, how, alike)
        if each.everywhere and not each.wanted(sight):
            mend = f"unless it is meant: docker service inspect --pretty {each.name}, and change its constraints"
            yield Finding(Level.INFO, f"global service {each.name} fits no node that takes tasks", mend=mend)
    if healthy == len(sight.services):
        yield Finding(Level.OK, f"none of {healthy} services lacks any")


def _short(sight: Sight, each: Work, now: float) -> Iterator[_Short]:
    slots = each.slots()
    if each.everywhere:
        eligible = set(each.nodes(sight))
        slots = {node: tasks for node, tasks in slots.items() if node in eligible}
    wanted = each.wanted(sight)
    if not wanted:
        return
    for tasks in slots.values():
        if loop := _loop(sight, each, tasks, now):
            yield loop
    live = {key for key, tasks in slots.items() if any(map(work.alive, tasks)) or _comes(tasks[-1])}
    done = {key for key, tasks in slots.items() if key not in live and _completed(each, tasks)}
    missing = wanted - len(live) - len(done)
    if each.job and live and not each.everywhere:
        return  # a job starts further tasks when others complete
    ended = {key: tasks for key, tasks in slots.items() if key not in live | done}
    for tasks in sorted(ended.values(), key=lambda tasks: -work.created(tasks[-1]))[: max(missing, 0)]:
        last = tasks[-1]
        if last["Status"]["State"] in ("failed", "rejected") and now - work.changed(last) > _SETTLED:
            missing -= 1
            yield _ended(sight, "used up", work.reason(last), tasks, now)
    if missing <= 0 or now - work.changed(each.service) < _LACKING or (_condition(each) != "any" and not each.job):
        return
    if sight.steady is not None and each.service["ID"] not in sight.steady:
        return  # it was changed or removed while its tasks were read
    if not each.everywhere:
        yield _Short("none", tasks=missing)
        return
    members = work.members_by_id(sight)
    for node in each.nodes(sight):
        states = [task["Status"]["State"] for task in slots.get(node, [])]
        failed = bool(states) and states[-1] in ("failed", "rejected")
        if node not in live | done and not failed and now - work.changed(members[node]) > _LACKING:
            yield _Short("none", node=node, tasks=1)


def _condition(each: Work) -> str:
    return str((work.template(each.service).get("RestartPolicy") or {}).get("Condition") or "any")


def _delay(each: Work) -> float:
    delay = (work.template(each.service).get("RestartPolicy") or {}).get("Delay")
    return _DELAY if delay is None else float(delay) / 1e9


def _comes(task: Mapping[str, Any]) -> bool:
    """Whether a task that failed is about to be followed by another.

    A task is prepared while its start is delayed. If that fails, managers follow it up only after the delay.
    """
    return task["DesiredState"] in work.WANTED and task["Status"]["State"] in ("failed", "rejected")


def _completed(each: Work, tasks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last task of a slot ended well, and is not to be started again."""
    return tasks[-1]["Status"]["State"] == "complete" and (each.job or _condition(each) != "any")


def _loop(sight: Sight, each: Work, tasks: Sequence[Mapping[str, Any]], now: float) -> _Short | None:
    """Return how a slot's tasks end again and again; None if they do not.

    Args:
        sight: what was read of the cluster.
        each: the service.
        tasks: the slot's tasks, the oldest first.
        now: the time by the leader's clock.
    """
    present = tasks[-1]
    if not work.alive(present) and not _comes(present):
        return None  # nothing is started again
    row: list[Mapping[str, Any]] = []
    for task in reversed(tasks if _comes(present) else tasks[:-1]):
        state = task["Status"]["State"]
        meant = state == "complete" and (_delay(each) >= _PERIODIC or each.job)
        if state not in work.ENDED_ALONE or meant or task.get("Spec") != present.get("Spec"):
            break
        row.insert(0, task)
    row = [task for task in row if now - work.created(task) < _WINDOW]
    if not row:
        return None
    last, lasted, runs = row[-1], now - work.created(row[0]), work.runs(present)
    rejected = sum(task["Status"]["State"] == "rejected" for task in row)
    again = (work.created(present) - work.created(row[0])) / len(row)
    recovered = runs and now - work.changed(present) > max(_RECOVERED, 2 * again)
    takes = max(work.patience(sight, present), may_take(sight, present))
    down = not runs and now - work.changed(last) > _LACKING + takes
    # Two that ran for long may have ended with their node's engine.
    soon = rejected or (len(row) > 1 and again <= _LACKING)
    enough = len(row) >= _ROW or down or (not runs and lasted > _SHORT and soon)
    if recovered or not enough:
        return None
    how = {"complete": "ended"}.get(last["Status"]["State"], last["Status"]["State"])
    held = [work.container_id(task) for task in row]
    words = _words(last)
    if any(view.health.get(identity) == "unhealthy" for view in sight.nodes for identity in held):
        how, words = "failed", words if "unhealthy" in words else f"unhealthy container; {words}"
    return _ended(sight, how, words, row, now)


def _ended(sight: Sight, how: str, words: str, tasks: Sequence[Mapping[str, Any]], now: float) -> _Short:
    """Return why a slot is short by the tasks that ended there, the oldest first."""
    last = tasks[-1]
    identity, code = work.container_id(last), work.exit_code(last)
    starved = code == _KILLED and any(last.get("ServiceID") in view.starved for view in sight.nodes)
    if starved:
        words = f"killed for lack of memory ({_memory(last)}): {words}"
    lasted, image = now - work.created(tasks[0]), work.image_of(last.get("Spec", {}))
    return _Short(how, words, last.get("NodeID", ""), len(tasks), lasted, identity, code, starved, image)


def _memory(task: Mapping[str, Any]) -> str:
    """Return how much memory a task may have."""
    limits = (task.get("Spec", {}).get("Resources") or {}).get("Limits") or {}
    most = limits.get("MemoryBytes")
    return f"limit {most / 2**20:.0f} MiB" if most else "of its node, as it has no limit"


def bare(sight: Sight) -> bool:
    """Whether a service seems to lack tasks without any that ended, as one does that is just being removed."""
    now = work.now(sight)
    return any(short.how == "none" for each in work.works(sight) for short in _short(sight, each, now))


def ended(sight: Sight) -> list[tuple[NodeView, str, str]]:
    """Return the nodes and ids of containers whose end the managers do not explain, and the ids of their services.

    The health of those that end well again and again says whether they are to; of those that were killed, the engine
    knows whether it was for lack of memory.
    """
    views = sight.members_read
    now = work.now(sight)
    found = [
        (views[short.node], short.container, each.service["ID"])
        for each in work.works(sight)
        for short in _short(sight, each, now)
        if short.container and short.node in views and (short.how == "ended" or short.code == _KILLED)
    ]
    return found[:_INSPECTED]


def _words(task: Mapping[str, Any]) -> str:
    code, words = work.exit_code(task), work.reason(task)
    told = code is None or f"({code})" in words or (task["Status"]["State"] == "rejected" and not code)
    return words if told else f"{words}, exit code {code}"


def _finding(sight: Sight, each: Work, how: str, alike: Sequence[_Short]) -> Finding:
    name, names = each.name, sight.names
    nodes = tuple(dict.fromkeys(names.get(one.node, one.node) for one in alike if one.node))
    number = sum(one.tasks for one in alike)
    lasted = max(one.lasted for one in alike)
    words, (cause, known) = alike[0].words, _known(sight, each, alike[0])
    counted = f"{name} {'has done' if each.job else 'runs' if not each.everywhere else 'runs on'} "
    counted += work.count(each, sight)
    ps = f"docker service ps --no-trunc {name}"
    wanted = each.wanted(sight)
    level = Level.ERROR if how != "rejected" or f" {wanted} of {wanted} " not in counted else Level.WARNING
    if how == "none":
        summary = f"{counted}: {'no task there' if nodes else f'{number} have no task'}"
        risk = "the managers made no task for it, and say no reason"
        mend = f"read the leader's log: journalctl -u docker; then docker service update --force {name}"
        return Finding(Level.ERROR, summary, risk, nodes=nodes, mend=mend)
    if how == "used up":
        summary = f"{counted}: its restarts are used up ({_policy(each)}), the last task: {words}"
        risk = "the swarm does not start it again"
        mend = known or f"{ps}; mend the cause, then docker service update --force {name}"
        return Finding(Level.ERROR, summary + cause, risk, nodes=nodes, mend=mend)
    plural = "s" if number > 1 else ""
    summary = f"{counted}: {number} task{plural} {how} within {lasted:.0f} s: {words}"
    if how == "rejected":
        risk = "the engine refuses it again and again, before its container starts"
        mend = f"{ps}; mend on the node what the engine says, or change the service: docker service update"
        if _OF_IMAGES.search(words):
            mend = f"push the image, or open the way to its registry; on the node: docker pull IMAGE; {ps}"
    elif how == "ended":
        level = Level.WARNING
        risk = "its process ends by itself and is started again and again; a service's is to run on"
        mend = f"docker service logs {name}; if it is to end: docker service update --restart-condition none {name}"
    else:
        risk = "it fails and is started again and again"
        mend = f"docker service logs {name}; {ps}"
    return Finding(level, summary + cause, risk, nodes=nodes, mend=known or mend)


def _known(sight: Sight, each: Work, short: _Short) -> tuple[str, str]:
    """Return what else is known of the cause beside the engine's words, and what mends it; empty if nothing is."""
    if short.starved:
        return "", _more_memory(each)
    if _OF_IMAGES.search(short.words) and content.wants_login(sight, short.image):
        return "; the registry wants a login", _login(each, short.image)
    if _OF_IMAGES.search(short.words) and content.limited(sight, short.image):
        mend = content.more_requests(content.parse(short.image).registry, [each.name])
        return "; the registry takes no more requests for now", mend
    return "", ""


def _login(each: Work, image: str) -> str:
    """Return the mend of a service whose image a registry gives only after a login."""
    registry = content.parse(image).registry
    where = "" if registry == content.HUB else f" {registry}"
    return (
        f"on a manager: docker login{where}; docker pull {image}; then docker service update --with-registry-auth "
        f"{each.name}, as the nodes have no login of their own; if it cannot be pulled there, push it, or mend its name"
    )


def _more_memory(each: Work) -> str:
    """Return the mend of a service whose processes are killed for lack of memory."""
    limits = (work.template(each.service).get("Resources") or {}).get("Limits") or {}
    name = each.name
    if limits.get("MemoryBytes"):
        return f"give it more, or have it take less: docker service update --limit-memory MORE {name}"
    return (
        "the node had no memory left: free -m, dmesg | grep -i oom; have it run where there is some: "
        f"docker service update --reserve-memory AMOUNT {name}, and limit what else runs there (--limit-memory)"
    )


def _policy(each: Work) -> str:
    attempts = (work.template(each.service).get("RestartPolicy") or {}).get("MaxAttempts")
    return f"condition {_condition(each)}" + (f", {attempts} attempts" if attempts else "")


@by_managers
def updates(sight: Sight) -> Iterator[Finding]:
    """Whether updates of services are paused, were rolled back, or go on for too long."""
    now = work.now(sight)
    quiet = True
    for each in work.works(sight):
        status = each.service.get("UpdateStatus") or {}
        for finding in _update(sight, each, str(status.get("State") or ""), str(status.get("Message") or ""), now):
            quiet = False
            yield finding
    if quiet:
        yield Finding(Level.OK, f"none of {len(sight.services)} services")


def _update(sight: Sight, each: Work, state: str, message: str, now: float) -> Iterator[Finding]:
    name, counted = each.name, work.count(each, sight)
    nodes = tuple(
        dict.fromkeys(
            sight.names.get(task["NodeID"], task["NodeID"])
            for task in each.tasks
            if task.get("NodeID") and task["ID"] in message
        )
    )
    again = f"docker service ps --no-trunc {name}; mend the cause, then docker service update --force {name}"
    why = f": {said(message)}" if message else ""
    if state in ("paused", "rollback_paused"):
        what = "update" if state == "paused" else "rollback"
        summary = f"the {what} of {name} is paused, {counted} run{why}"
        risk = "its tasks have two specifications, and nothing goes on by itself"
        mend = f"{again}; or docker service rollback {name}" if state == "paused" else again
        level = Level.WARNING if state == "paused" else Level.ERROR
        yield Finding(level, summary, risk, nodes=nodes, mend=mend)
    elif state == "rollback_completed" and not each.service.get("PreviousSpec"):
        # A rollback by hand leaves the specification that it replaced, one of a failed update does not.
        summary = f"the last update of {name} failed and was rolled back"
        risk = "it has its old specification, not the one that was asked for"
        yield Finding(Level.WARNING, summary, risk, nodes=nodes, mend=again)
    elif state in ("updating", "rollback_started"):
        config = each.service["Spec"].get("UpdateConfig" if state == "updating" else "RollbackConfig") or {}
        pauses = (config.get("Delay") or 0) / 1e9 + (config.get("Monitor") or _MONITOR * 1e9) / 1e9
        quiet = now - max([work.changed(each.service), *map(work.changed, each.tasks)])
        if quiet > _STALLED + pauses + max((may_take(sight, task) for task in each.tasks), default=0.0):
            what = "update" if state == "updating" else "rollback"
            summary = f"the {what} of {name} goes on, {counted} run, and no task has changed for {quiet:.0f} s"
            risk = "it waits for a task that does not start or end, or the leader does not go on with it"
            mend = f"docker service ps --no-trunc {name}; or give up: docker service rollback {name}"
            yield Finding(Level.WARNING, summary, risk, mend=mend)
