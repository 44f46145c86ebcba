"""How an update of a service went, judged from its tasks and their containers while it went on.

The judgements return what was wrong, as a sentence; empty if nothing was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from swarmlab.cluster.service import ENDED, Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.wait import State
from swarmlab.watching.events import History, Recorder, moment

#: Seconds by which times of one clock may be off: the clock may be corrected meanwhile.
CORRECTION = 0.3
#: A short `Monitor` of an update, in nanoseconds, for tests that do not judge how long the swarm looks at a new task.
AT_ONCE = int(1e8)


@dataclass(frozen=True)
class Replacement:
    """A task that replaced an older one of its slot.

    Attributes:
        old: the last task of the slot before the update.
        new: the slot's first task of the new image.
        began: when the managers made the new task, in seconds by the leader's clock.
        unfinished: the last moment at which it is known not to run yet, by the same clock.
    """

    old: Task
    new: Task
    began: float
    unfinished: float

    def __str__(self) -> str:
        """Slot and nodes, for messages."""
        return f"slot {self.new.slot} ({self.old.node} to {self.new.node or 'no node yet'})"


def replacements(history: History, image: str, recorder: Recorder | None = None, leader: str = "") -> list[Replacement]:
    """Return the replacements by tasks of *image*, one a slot, in the order in which they began.

    Args:
        history: the looks at the service's tasks during the update.
        image: the new image's reference.
        recorder: container events; they show more closely when a task runs where looks are rare.
        leader: host name of the leader, whose clock the times are converted to; needed with *recorder*.
    """
    lives = list(history.lives().values())
    first: dict[int, list[Task]] = {}
    for life in lives:
        if life[-1].image == image:
            first.setdefault(life[-1].slot, life)
    made = []
    for slot, life in first.items():
        old = [life[-1] for life in lives if life[-1].slot == slot and life[-1].image != image]
        waiting = [moment(task.updated) for task in life if task.state not in ENDED and task.state != "running"]
        if recorder:
            # The engine has both events before the managers know that the task runs.
            known = [recorder.of(action, life[0].id) for action in ("start", "health_status: healthy")]
            waiting += [recorder.clock(leader, event.earliest)[0] for event in known if event]
        began = moment(life[0].created)
        made.append(Replacement(old[-1] if old else life[-1], life[-1], began, max([began, *waiting])))
    return sorted(made, key=lambda replacement: replacement.began)


def pace(made: Sequence[Replacement], parallelism: int, delay: float) -> str:
    """Judge how replacements followed each other, by lower bounds that hold on a cluster of any speed.

    When a replacement begins, all earlier ones but at most *parallelism* - 1 already run, and have run for the delay.

    Args:
        made: the replacements, in the order in which they began.
        parallelism: the update's parallelism.
        delay: the update's delay, in seconds.
    """
    for place, replacement in enumerate(made):
        before = made[:place]
        under_way = [other for other in before if other.unfinished > replacement.began + CORRECTION]
        if len(under_way) >= parallelism:
            return (
                f"at most {parallelism} may be replaced at a time, and {replacement} was when "
                f"{' and '.join(map(str, under_way))} did not run yet"
            )
        rested = [other for other in before if other.unfinished + delay <= replacement.began + CORRECTION]
        if len(rested) < place - parallelism + 1:
            early = next(other for other in reversed(before) if other not in rested)
            return (
                f"{delay} s must pass between replacements of {parallelism} at a time, and {replacement} came "
                f"{replacement.began - early.unfinished:.1f} s after {early}"
            )
    return ""


def crowd(history: History, image: str, parallelism: int) -> str:
    """Judge that at no look more than *parallelism* tasks of *image* were starting."""
    for tasks in history.looks:
        coming = [task for task in tasks if task.image == image and task.state not in ENDED and task.state != "running"]
        if len(coming) > parallelism:
            return f"at most {parallelism} may be replaced at a time, and there were {'; '.join(map(str, coming))}"
    return ""


def shortage(history: History, wanted: int) -> str:
    """Judge that at every look at least *wanted* tasks ran."""
    fewest = min(history.looks, key=lambda tasks: sum(task.alive for task in tasks))
    count = sum(task.alive for task in fewest)
    recent = few((str(task) for task in fewest if task.state not in ENDED), "; ")
    return f"{count} tasks ran at a time, wanted were at least {wanted}: {recent}" if count < wanted else ""


def out_of_order(made: Sequence[Replacement], recorder: Recorder, order: str) -> str:
    """Judge by container events that every task was replaced in *order*: stop-first or start-first."""
    for replacement in made:
        first, second = (
            (recorder.of("die", replacement.old.id), recorder.of("start", replacement.new.id))
            if order == "stop-first"
            else (recorder.of("health_status: healthy", replacement.new.id), recorder.of("kill", replacement.old.id))
        )
        if first is None or second is None:
            lacking = "second" if first else "first"
            return f"{replacement}: with {order}, the {lacking} event is missing: {_events(recorder, replacement)}"
        if second.before(first):
            return f"{replacement}: with {order}, {second} came before {first}"
    return ""


def _events(recorder: Recorder, replacement: Replacement) -> str:
    mine = [event for event in recorder.events if event.task in (replacement.old.id, replacement.new.id)]
    return ", ".join(map(str, mine)) or "no events"


def lacking(cluster: Swarm, service: Service, variable: str) -> list[str]:
    """Return the service's running containers without an environment variable ("RELEASE=2"), and what they have."""
    wrong = []
    for node in cluster.nodes:
        for container in service.containers(node):
            has = node.ask("GET", f"/containers/{container['Id']}/json")["Config"]["Env"]
            if variable not in has:
                wrong.append(f"{container['Id'][:12]} on {node} has {', '.join(has)}")
    return wrong


def status(service: Service) -> str:
    """Return the state of the service's update or rollback (updating, paused, completed …); empty before the first."""
    return str((service.inspect().get("UpdateStatus") or {}).get("State", ""))


def updated(history: History, recorder: Recorder, replicas: int, image: str) -> State:
    """Look at the tasks; whether all of them run *image*. Hopeless if the swarm gave the update up."""
    recorder.poll()
    tasks = history.look()
    state = history.service.replaced(replicas, lambda task: task.image == image, tasks)
    if not state and (errors := history.errors()):
        return replace(state, summary=f"failed: {'; '.join(errors)}; {state.summary}")
    return state


def differences(wanted: Any, got: Any, path: str = "") -> list[str]:
    """Return a line for each key in which two specifications differ, with its value in *got* and in *wanted*."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys = dict.fromkeys([*wanted, *got])
        return [line for key in keys for line in differences(wanted.get(key), got.get(key), f"{path}.{key}".strip("."))]
    return [] if wanted == got else [f"{path} is {got} and was {wanted}"]
