"""Lifelines: what was seen of every task of a cluster through its whole life, and whether any went back.

Every answer to ``GET /tasks`` counts, whoever asked for it; samplers ask beside the tests, on connections of their own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmlab.errors import LabError
from swarmlab.wait import scaled

if TYPE_CHECKING:
    from swarmlab.cluster.node import Node

#: The states of a task in the order in which they may follow one another (swarmkit's TaskState).
ORDER = (
    "new",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
    "complete",
    "shutdown",
    "failed",
    "rejected",
    "remove",
    "orphaned",
)
_RANK = {state: rank for rank, state in enumerate(ORDER)}
#: The label on a task's container.
_TASK_LABEL = "com.docker.swarm.task.id"
#: Seconds until a node is asked again that did not answer, or that is no manager.
_AGAIN = 2.0


@dataclass(frozen=True)
class Seen:
    """One task in one answer of one manager.

    Attributes:
        task: its id.
        service: its service's id.
        slot: its place among the replicas, 0 in a global service.
        node: id of the node that it was given to, empty before.
        manager: host name of the manager that told it.
        at: seconds since the record began.
        version: the task's version, which grows with every change that the managers agree on.
        state: where it was.
        message: what is said of that state.
    """

    task: str
    service: str
    slot: int
    node: str
    manager: str
    at: float
    version: int
    state: str
    message: str


class Lifelines:
    """What was seen of the tasks of one cluster.

    Example:
        with cluster.lifelines.sampled(cluster.nodes, every=0.02, share=1.0):
            web.scale(20)
        assert not cluster.lifelines.went_back()
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._lives: dict[str, list[Seen]] = {}
        self._last: dict[tuple[str, str], Seen] = {}
        self._names: dict[str, str] = {}
        self._told: set[str] = set()

    # What was seen

    def note(self, manager: str, tasks: Any) -> None:
        """Take over an answer to ``GET /tasks``; what cannot be read as one is left out."""
        at = time.monotonic() - self._start
        with self._lock:
            for raw in tasks if isinstance(tasks, list) else []:
                with contextlib.suppress(KeyError, TypeError):
                    self._add(_read(raw, manager, at))

    def _add(self, seen: Seen) -> None:
        last = self._last.get((seen.task, seen.manager))
        if last is None or (last.version, last.state) != (seen.version, seen.state):
            self._last[seen.task, seen.manager] = seen
            self._lives.setdefault(seen.task, []).append(seen)

    def lives(self, service: str = "") -> dict[str, list[Seen]]:
        """What was seen of each task, by its id and in order of time; of one service's tasks, if its id is given."""
        with self._lock:
            return {task: list(life) for task, life in self._lives.items() if not service or life[0].service == service}

    def count(self) -> tuple[int, int]:
        """How many tasks were seen, of how many services."""
        lives = self.lives()
        return len(lives), len({life[0].service for life in lives.values()})

    def went_back(self) -> list[str]:
        """Each task that went back, and was not told of before: which, from where to where, and who says so.

        Versions order what was seen, as managers may answer from an older state (when a new leader has just been
        elected, say). Within one version, it is one manager's answers that may not go back.
        """
        told = []
        for task, life in self.lives().items():
            if task in self._told or not (pair := _backward(life)):
                continue
            self._told.add(task)
            before, after = pair
            node = self._named(after.node or before.node) or "no node"
            whose = (
                f"of slot {after.slot} of {self._named(after.service)}"
                if after.slot
                else (f"of {self._named(after.service)}")
            )
            told.append(
                f"task {task} {whose} on {node} went back from {before.state} (as {before.manager} told it, "
                f"version {before.version}) to {after.state} (as {after.manager} told it, version {after.version})"
            )
        return told

    def _named(self, id: str) -> str:
        return self._names.get(id, id)

    # Sampling

    @contextlib.contextmanager
    def sampled(self, nodes: Sequence[Node], *, every: float = 0.3, share: float = 0.03) -> Iterator[None]:
        """Ask every node that is a manager again and again, until the context ends.

        Nothing of it goes into the evidence. Nodes that are down, frozen or no managers are asked less often.

        Args:
            nodes: whom to ask, each in a thread of its own.
            every: seconds between two questions, at reference speed.
            share: most of the time that may be spent on asking one node: 1.0 for without pause.
        """
        end = threading.Event()
        threads = [threading.Thread(target=self._sample, args=(node, end, every, share), daemon=True) for node in nodes]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            end.set()
            for thread in threads:
                # One whose node is frozen ends when its question has timed out; nobody waits for that.
                thread.join(timeout=1.0)

    def _sample(self, node: Node, end: threading.Event, every: float, share: float) -> None:
        ask: Callable[[str], Any] | None = None
        pause = 0.0
        while not end.wait(pause):
            start = time.monotonic()
            try:
                ask = ask or _questions(node)
                tasks = ask("/tasks")
                self.note(node.name, tasks)
                self._learn_names(ask, tasks)
            except Exception:  # a node may be in any state, and none of them is this thread's to judge
                pause = scaled(_AGAIN)
                continue
            taken = time.monotonic() - start
            pause = max(scaled(every) - taken, taken / share - taken, 0.0)

    def _learn_names(self, ask: Callable[[str], Any], tasks: Any) -> None:
        ids = {task.get(key) for task in tasks for key in ("ServiceID", "NodeID")} - {None, ""}
        if not ids <= self._names.keys():
            named = {one["ID"]: one["Spec"]["Name"] for one in ask("/services")}
            named |= {one["ID"]: one["Description"]["Hostname"] for one in ask("/nodes")}
            # What was removed meanwhile is not asked for again.
            self._names = {id: id for id in ids} | self._names | named


def _questions(node: Node) -> Callable[[str], Any]:
    api = node.client().api

    def ask(path: str) -> Any:
        reply = api.get(f"{api.base_url}/v{api.api_version}{path}", timeout=api.timeout)
        reply.raise_for_status()
        return reply.json()

    return ask


def _read(raw: dict[str, Any], manager: str, at: float) -> Seen:
    status = raw["Status"]
    return Seen(
        task=raw["ID"],
        service=raw.get("ServiceID", ""),
        slot=raw.get("Slot", 0),
        node=raw.get("NodeID", ""),
        manager=manager,
        at=at,
        version=raw["Version"]["Index"],
        state=status["State"],
        message=status.get("Message", ""),
    )


@dataclass(frozen=True)
class Happened:
    """Something that happened to a task's container, as the event stream of its engine tells it.

    Attributes:
        node: host name of the engine's node.
        task: the task's id.
        container: the container's id.
        what: create, start or die.
    """

    node: str
    task: str
    container: str
    what: str


class ContainerEvents:
    """Follows the event streams of engines: what becomes of the containers of tasks.

    Example:
        with ContainerEvents(cluster.nodes) as events:
            web.scale(5)
        assert not events.started_again()
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._streams: list[Any] = []
        self._nodes = list(nodes)
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._broken: dict[str, str] = {}
        self.happened: list[Happened] = []

    def __enter__(self) -> ContainerEvents:
        wanted = {"type": "container", "label": _TASK_LABEL, "event": ["create", "start", "die"]}
        for node in self._nodes:
            stream = node.client().api.events(decode=True, filters=wanted)
            self._streams.append(stream)
            self._threads.append(threading.Thread(target=self._follow, args=(node, stream), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        for stream in self._streams:
            with contextlib.suppress(Exception):  # one that has ended by itself
                stream.close()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _follow(self, node: Node, stream: Any) -> None:
        why = "it came to an end"
        try:
            for event in stream:
                actor = event["Actor"]
                task = actor["Attributes"][_TASK_LABEL]
                self.happened.append(Happened(node.name, task, actor["ID"], event["Action"]))
        except Exception as broken:  # an engine that ends; a stream that is closed here may end so too
            why = str(broken)
        if not self._closing:
            self._broken[node.name] = why

    def started_again(self) -> list[str]:
        """Each task that had a container started after one of its containers had been started before.

        Raises:
            LabError: an engine's stream ended too early, or told of no container, so that nothing is known of its node.
        """
        for node, why in self._broken.items():
            raise LabError(f"the events of {node}'s engine were not seen to the end: {why}")
        silent = {node.name for node in self._nodes} - {event.node for event in self.happened}
        if silent:
            raise LabError(f"no event of a task's container came from {', '.join(sorted(silent))}")
        started: dict[str, Happened] = {}
        told = []
        for event in [event for event in self.happened if event.what == "start"]:
            if before := started.get(event.task):
                told.append(
                    f"task {event.task} on {event.node} was started again: container {event.container[:12]}, "
                    f"after {before.container[:12]} on {before.node}"
                )
            started[event.task] = event
        return told


def _backward(life: Sequence[Seen]) -> tuple[Seen, Seen] | None:
    """The first two of what was seen of a task that are the wrong way round."""
    known = [seen for seen in life if seen.state in _RANK]
    ordered = sorted(known, key=lambda seen: seen.version)  # stable: within one version by time
    for index, after in enumerate(ordered):
        for before in ordered[:index]:
            comparable = before.version < after.version or before.manager == after.manager
            if comparable and _RANK[before.state] > _RANK[after.state]:
                return before, after
    return None
