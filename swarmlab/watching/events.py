"""What happened to containers and tasks, with times, without holes: for claims about order and pace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service, Task
from swarmlab.errors import LabError
from swarmlab.evidence import record

_TASK, _SERVICE = "com.docker.swarm.task.id", "com.docker.swarm.service.id"
#: An engine remembers 256 events; so many at once, without any that is known from before, may be the rest of more.
_MANY = 200


def moment(text: str) -> float:
    """A time as engines write it (RFC 3339, up to nanoseconds) in seconds since 1970; 0 for an empty one."""
    return seconds_of(text) if text else 0.0


@dataclass(frozen=True)
class Event:
    """Something that happened to a container.

    Nodes' clocks differ, and how much is known within bounds only; so is when it was by this machine's clock.

    Attributes:
        node: host name of the node.
        action: what happened, in the engine's words: create, start, kill, die, health_status: healthy …
        container: the container's id.
        task: the id of its task, empty if it is none of the swarm's.
        service: the id of its service, likewise.
        earliest: when it was, at the earliest, in seconds since 1970 by this machine's clock.
        latest: when it was, at the latest.
    """

    node: str
    action: str
    container: str
    task: str
    service: str
    earliest: float
    latest: float

    def before(self, other: Event) -> bool:
        """Whether it was certainly before *other*; of one node's events the order is always certain."""
        if self.node == other.node:
            return self.earliest < other.earliest
        return self.latest < other.earliest

    def __str__(self) -> str:
        return f"{self.action} of {self.container[:12]} on {self.node}"


class _Told:
    """What one engine told so far, and how far its clock is from this machine's."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.raw: list[dict[str, Any]] = []
        self.ahead: list[tuple[float, float]] = []
        self.measure()
        self.since = int((time.time() + self.ahead[0][0]) * 1e9)

    def measure(self) -> None:
        """Look how far the node's clock is ahead, at least and at most."""
        tries = []
        for _ in range(3):
            before = time.time()
            theirs = moment(self.node.info()["SystemTime"])
            tries.append((theirs - time.time(), theirs - before))
        self.ahead.append(min(tries, key=lambda bounds: bounds[1] - bounds[0]))

    def poll(self, *, last: bool = False) -> None:
        # Until a time that the node's clock has passed for sure, else the engine would wait for it; the rest comes with
        # the next answer, and what is asked last is asked until now for sure.
        until = int((time.time() + self.ahead[-1][last]) * 1e9)
        if until <= self.since:
            return
        batch = self.node.events(self.since, until)
        if self.raw:
            known = [place for place, event in enumerate(batch) if _same(event, self.raw[-1])]
            if not known:
                raise LabError(f"more happened on {self.node} between two looks than its engine remembers")
            batch = batch[known[-1] + 1 :]
        elif len(batch) > _MANY:
            raise LabError(f"more may have happened on {self.node} before the first look than its engine remembers")
        self.raw += batch
        if batch:
            self.since = int(batch[-1]["timeNano"])

    def bounds(self) -> tuple[float, float]:
        """How far the node's clock was ahead all the time, at least and at most."""
        return min(least for least, _ in self.ahead), max(most for _, most in self.ahead)

    def events(self) -> list[Event]:
        least, most = self.bounds()
        found = []
        for event in self.raw:
            if event.get("Type") != "container":
                continue
            at = event["timeNano"] / 1e9
            about = event["Actor"].get("Attributes") or {}
            who = (self.node.name, event["Action"], event["Actor"]["ID"], about.get(_TASK, ""), about.get(_SERVICE, ""))
            found.append(Event(*who, earliest=at - most, latest=at - least))
        return found


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("timeNano", "Type", "Action", "Actor"))


class Recorder:
    """The events of containers on all nodes, from when it is entered until it is left.

    An engine remembers 256 events only, so it has to be asked now and then, best on each poll of a wait; that nothing
    was forgotten in between is told from each answer's beginning with the end of the one before.

    Example:
        with Recorder(cluster.nodes) as recorder:
            service.scale(3)
            wait(lambda: recorder.poll() or service.converged(3), "3 tasks")
        started = recorder.of("start", task.id)

    Raises:
        LabError: by `poll`, and on leaving where nothing else went wrong: an engine forgot events, or does not answer.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = list(nodes)
        self._told: list[_Told] = []

    def __enter__(self) -> Recorder:
        self._told = [_Told(node) for node in self._nodes]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        for told in self._told:
            told.measure()  # clocks may drift meanwhile, or be set
            told.poll(last=True)
        lines = [f"{one.earliest:.3f} {one} (task {one.task})" for one in self.events if one.task]
        record("suite", "events of tasks' containers, by this machine's clock", "\n".join(lines) or "(none)")

    def poll(self) -> None:
        """Take over what happened since the last time."""
        for told in self._told:
            told.poll()

    @property
    def events(self) -> list[Event]:
        """All that is known, by time."""
        return sorted((event for told in self._told for event in told.events()), key=lambda event: event.earliest)

    def clock(self, node: str, at: float) -> tuple[float, float]:
        """What the clock of a node showed at a time of this machine's clock, at least and at most."""
        least, most = next(told.bounds() for told in self._told if told.node.name == node)
        return at + least, at + most

    def of(self, action: str, task: str) -> Event | None:
        """The first event of this action that happened to the container of the task of this id."""
        return next((event for event in self.events if event.task == task and event.action == action), None)


class History:
    """A service's tasks over time: every look at them, so that also those are known that the managers have forgotten.

    Attributes:
        looks: the tasks at each look; each is what the managers held at one moment.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.looks: list[list[Task]] = []

    def look(self) -> list[Task]:
        """Look at the tasks now."""
        tasks = self.service.tasks()
        self.looks.append(tasks)
        return tasks

    def lives(self) -> dict[str, list[Task]]:
        """Each task by its id as it was at each look, the tasks by when they were made."""
        lives: dict[str, list[Task]] = {}
        for tasks in self.looks:
            for task in tasks:
                lives.setdefault(task.id, []).append(task)
        return dict(sorted(lives.items(), key=lambda life: moment(life[1][0].created)))

    def errors(self) -> list[str]:
        """What became of tasks that failed, each with its node."""
        return [str(life[-1]) for life in self.lives().values() if life[-1].error]
