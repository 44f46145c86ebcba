"""Events of containers and the history of tasks, with times and without gaps, for claims about order and pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.node import Node, at_once
from swarmlab.cluster.service import SERVICE_LABEL, TASK_LABEL, Service, Task
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.evidence import aside, record
from swarmlab.parallel import ELSEWHERE, parallel

#: An engine remembers so many events. With as many as the second at the first poll there may have been earlier ones.
_REMEMBERED, _MANY = 256, 200
#: Nanoseconds by which an event may be kept after one with a later time: an engine notes the time first. Asked since a
#: time, engines tell what they have kept after the last event before it.
#: Source: moby, daemon/events/events.go (Log, loadBufferedEvents).
_LATE = 5 * 10**9


def moment(text: str) -> float:
    """Return a time as engines write it (RFC 3339, up to nanoseconds) in seconds since 1970; 0 for an empty one."""
    return seconds_of(text) if text else 0.0


@dataclass(frozen=True)
class Event:
    """An event of a container.

    The clocks of nodes differ, and the difference is known within bounds only. The time of an event by this machine's
    clock is therefore known within bounds, too.

    Attributes:
        node: host name of the node.
        action: the engine's name of the event: create, start, kill, die, health_status: healthy …; exec for those of
            commands in it.
        container: id of the container.
        task: id of the container's task, empty if it belongs to none.
        service: id of the container's service, empty if it belongs to none.
        earliest: the earliest possible time, in seconds since 1970 by this machine's clock.
        latest: the latest possible time.
    """

    node: str
    action: str
    container: str
    task: str
    service: str
    earliest: float
    latest: float

    def before(self, other: Event) -> bool:
        """Whether it certainly came before *other*; the order of two events of one node is always certain."""
        if self.node == other.node:
            return self.earliest < other.earliest
        return self.latest < other.earliest

    def __str__(self) -> str:
        return f"{self.action} of {self.container[:12]} on {self.node}"


class _NodeEvents:
    """The events of one engine so far, and the offset of its clock."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.raw: list[dict[str, Any]] = []
        self.offsets: list[tuple[float, float]] = []
        self._polling = threading.Lock()
        self.measure()
        self.since = self._begun = int((time.time() + self.offsets[0][0]) * 1e9)

    def measure(self) -> None:
        """Measure by how many seconds the node's clock is ahead, at least and at most."""
        tries = []
        for _ in range(3):
            before = time.time()
            theirs = moment(self.node.info()["SystemTime"])
            tries.append((theirs - time.time(), theirs - before))
        self.offsets.append(min(tries, key=lambda bounds: bounds[1] - bounds[0]))

    def poll(self, *, last: bool = False) -> None:
        """Add the events since the last poll; the *last* poll takes all until now."""
        with self._polling:
            self._poll(last)

    def end(self) -> None:
        """Poll for the last time; the clock may have drifted or been set since it was measured."""
        self.measure()
        self.poll(last=True)

    def _poll(self, last: bool) -> None:
        # Ask until a time that has certainly passed by the node's clock, else the engine waits for it. Events after it
        # come with the next poll; the last poll therefore asks until a time that is certainly not before now.
        until = int((time.time() + self.offsets[-1][last]) * 1e9)
        if until <= self.since:
            return
        since = max(self._begun, self.since - _LATE) if self.raw else self.since
        batch = self.node.events(since, until)
        if self.raw:
            told = [event for event in self.raw[-2 * _REMEMBERED :] if int(event["timeNano"]) >= since]
            new = [event for event in batch if not any(_same(event, other) for other in told)]
            if len(new) == len(batch):
                raise LabError(f"between two polls {self.node} had more events than its engine remembers")
            batch = new
        elif len(batch) > _MANY:
            raise LabError(f"before the first poll {self.node} may have had more events than its engine remembers")
        self.raw += batch
        self.since = max([self.since, *(int(event["timeNano"]) for event in batch)])

    def bounds(self) -> tuple[float, float]:
        """Return the seconds by which the node's clock was ahead, at least and at most, over all measurements."""
        return min(least for least, _ in self.offsets), max(most for _, most in self.offsets)

    def events(self) -> list[Event]:
        least, most = self.bounds()
        found = []
        for event in self.raw:
            if event.get("Type") != "container":
                continue
            at = event["timeNano"] / 1e9
            labels = event["Actor"].get("Attributes") or {}
            ids = (event["Actor"]["ID"], labels.get(TASK_LABEL, ""), labels.get(SERVICE_LABEL, ""))
            # The event of an exec, as of a health check, has its whole command.
            action = "exec" if (action := event["Action"]).startswith("exec_") else action
            found.append(Event(self.node.name, action, *ids, earliest=at - most, latest=at - least))
        return found


def _same(event: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(event.get(key) == other.get(key) for key in ("timeNano", "Type", "Action", "Actor"))


class Recorder:
    """Records the events of containers on all nodes while its context is open.

    An engine remembers 256 events only, so it must be polled. Call `poll` on each poll of a wait, or let the recorder
    do it (*every*). A gap between two polls is noticed: each answer must begin with the end of the one before.

    Args:
        nodes: the nodes to record.
        every: seconds between two polls by threads of the recorder, at most; 0 leaves polling to the caller.

    Raises:
        LabError: by `poll`, and at the end of the context: an engine forgot events, or does not answer.

    Example:
        with Recorder(cluster.nodes) as recorder:
            service.scale(3)
            wait(lambda: recorder.poll() or service.converged(3), "3 tasks")
        started = recorder.of("start", task.id)
    """

    def __init__(self, nodes: Sequence[Node], *, every: float = 0.0) -> None:
        self._nodes = list(nodes)
        # Of nodes that share processors, clocks are known more closely if they are asked one after the other.
        self._at_once = ELSEWHERE if at_once(self._nodes) == ELSEWHERE else 1
        self._every = every
        self._by_node: list[_NodeEvents] = []
        self._threads: list[threading.Thread] = []
        self._end = threading.Event()
        self._failed: SwarmlabError | None = None

    def __enter__(self) -> Recorder:
        self._by_node = parallel(_NodeEvents, self._nodes, at_once=self._at_once)
        if self._every:
            self._threads = [
                threading.Thread(target=self._keep_polling, args=(engine,), daemon=True) for engine in self._by_node
            ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if kind is not None:
            return
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed
        parallel(_NodeEvents.end, self._by_node, at_once=self._at_once)
        lines = [f"{event.earliest:.3f} {event} (task {event.task})" for event in self.events if event.task]
        record("suite", "events of tasks' containers, by this machine's clock", "\n".join(lines) or "(none)")

    def _keep_polling(self, engine: _NodeEvents) -> None:
        with aside():  # the events are recorded as a whole when the context ends
            while not self._end.wait(self._every):
                try:
                    engine.poll()
                except SwarmlabError as failed:
                    self._failed = failed
                    return

    def poll(self) -> None:
        """Take the events since the last poll from every engine."""
        parallel(_NodeEvents.poll, self._by_node, at_once=self._at_once)

    @property
    def events(self) -> list[Event]:
        """All events so far, by time."""
        return sorted(
            (event for engine in self._by_node for event in engine.events()), key=lambda event: event.earliest
        )

    def clock(self, node: str, at: float) -> tuple[float, float]:
        """Return the time that a node's clock showed, at least and at most, at the time *at* of this machine's."""
        least, most = next(engine.bounds() for engine in self._by_node if engine.node.name == node)
        return at + least, at + most

    def of(self, action: str, task: str) -> Event | None:
        """Return the first event *action* of a container of the task with the id *task*, if there is one."""
        return next((event for event in self.events if event.task == task and event.action == action), None)

    def started_again(self) -> list[str]:
        """Return a sentence for each start of a container whose task had a container started before.

        Raises:
            LabError: a node had no event of a task's container, so nothing is known about the node.
        """
        events = [event for event in self.events if event.task]
        silent = {node.name for node in self._nodes} - {event.node for event in events}
        if silent:
            raise LabError(f"no event of a task's container came from {', '.join(sorted(silent))}")
        started: dict[str, Event] = {}
        found = []
        for event in [event for event in events if event.action == "start"]:
            if before := started.get(event.task):
                found.append(
                    f"task {event.task} on {event.node} was started again: container {event.container[:12]}, "
                    f"after {before.container[:12]} on {before.node}"
                )
            started[event.task] = event
        return found


class History:
    """A service's tasks over time, also those that the managers have forgotten since.

    Attributes:
        service: the service.
        looks: the service's tasks at each `look`.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.looks: list[list[Task]] = []

    def look(self) -> list[Task]:
        """Ask for the tasks now, add them to `looks` and return them."""
        tasks = self.service.tasks()
        self.looks.append(tasks)
        return tasks

    def lives(self) -> dict[str, list[Task]]:
        """Return each task as it was at each look, by task id, in the order in which the tasks were created."""
        lives: dict[str, list[Task]] = {}
        for tasks in self.looks:
            for task in tasks:
                lives.setdefault(task.id, []).append(task)
        return dict(sorted(lives.items(), key=lambda life: moment(life[1][0].created)))

    def errors(self) -> list[str]:
        """Return the last known state of each task that failed, with its node and error."""
        return [str(life[-1]) for life in self.lives().values() if life[-1].error]
