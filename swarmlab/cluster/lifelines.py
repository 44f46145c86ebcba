"""Lifelines: the states of every task of a cluster over its life, and whether any went back to an earlier state.

Every answer to ``GET /tasks`` counts, whoever asked for it. Samplers ask beside the tests, on connections of their own.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.wait import scaled

#: The states of a task, in the one order in which they may follow each other (TaskState of swarmkit's types.proto).
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
#: Seconds until a node that did not answer is asked again, and until a worker is asked whether it is a manager by now.
#: An engine works longer on that answer than on any other, and the other managers tell of the same tasks.
_AGAIN, _PROMOTED = 2.0, 10.0


@dataclass(frozen=True)
class Observation:
    """One task in one manager's answer.

    Attributes:
        task: the task's id.
        service: its service's id.
        slot: its slot, 0 in a global service.
        node: id of its node, empty before it is assigned to one.
        manager: host name of the manager that answered.
        at: seconds since the lifelines began.
        version: the task's version, which grows with every change that the managers agree on.
        state: its state.
        message: the message about the state.
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
    """The states of the tasks of one cluster, as its managers answered.

    Example:
        with cluster.lifelines.sampled(cluster.nodes, every=0.02, share=1.0, label=cluster.label):
            web.scale(20)
        assert not cluster.lifelines.went_back()
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._lives: dict[str, list[Observation]] = {}
        self._last: dict[tuple[str, str], Observation] = {}
        self._unjudged: set[str] = set()  # the tasks with states that came since the last judgement
        self._names: dict[str, str] = {}
        self._reported: set[str] = set()
        #: Of the nodes that are sampled: which are managers, and when the others are asked again.
        self._managers: set[str] = set()
        self._due: dict[str, float] = {}

    def note(self, manager: str, tasks: Any) -> None:
        """Add the tasks of an answer to ``GET /tasks``; anything else in the answer is ignored."""
        at = time.monotonic() - self._start
        with self._lock:
            for raw in tasks if isinstance(tasks, list) else []:
                with contextlib.suppress(KeyError, TypeError):
                    self._add(_read(raw, manager, at))

    def _add(self, observation: Observation) -> None:
        last = self._last.get((observation.task, observation.manager))
        if last is None or (last.version, last.state) != (observation.version, observation.state):
            self._last[observation.task, observation.manager] = observation
            self._lives.setdefault(observation.task, []).append(observation)
            self._unjudged.add(observation.task)

    def lives(self, service: str = "") -> dict[str, list[Observation]]:
        """Return the states of each task, by time, by the task's id; of one *service* only, if its id is given."""
        with self._lock:
            return {task: list(life) for task, life in self._lives.items() if not service or life[0].service == service}

    def count(self) -> tuple[int, int]:
        """Return the number of tasks, and of their services."""
        lives = self.lives()
        return len(lives), len({life[0].service for life in lives.values()})

    def went_back(self) -> list[str]:
        """Return a sentence for each task that went back to an earlier state and was not returned before.

        The order is that of the task's versions, not of the answers: a manager may answer from an older state, for
        example when a leader has just been elected. Within one version, one manager's answers must not go back.
        """
        with self._lock:
            lives = {task: list(self._lives[task]) for task in sorted(self._unjudged)}
            self._unjudged.clear()
        found = []
        for task, life in lives.items():
            if task in self._reported or not (pair := _backward(life)):
                continue
            self._reported.add(task)
            before, after = pair
            node = self._named(after.node or before.node) or "no node"
            whose = (
                f"of slot {after.slot} of {self._named(after.service)}"
                if after.slot
                else (f"of {self._named(after.service)}")
            )
            found.append(
                f"task {task} {whose} on {node} went back from {before.state} (reported by {before.manager}, "
                f"version {before.version}) to {after.state} (reported by {after.manager}, version {after.version})"
            )
        return found

    def _named(self, id: str) -> str:
        return self._names.get(id, id)

    # Sampling

    @contextlib.contextmanager
    def sampled(
        self, nodes: Sequence[Node], *, every: float = 0.5, share: float = 0.03, label: str = ""
    ) -> Iterator[None]:
        """List the tasks at every manager, again and again, until the context ends.

        The requests do not go into the evidence. A node that does not answer, or is not a manager, is asked again
        after a while whether it is a manager now. It is not asked for tasks: a worker's engine logs that as an error.

        Args:
            nodes: the nodes to ask, each by a thread.
            every: seconds between two requests to a node, at reference speed.
            share: largest part of the time that one node may spend on these requests; 1.0 for no pause at all.
            label: label of the services whose tasks are listed; empty for all. Name one where the pauses are short: a
                manager may have many tasks of others.
        """
        end = threading.Event()
        query = {"filters": json.dumps({"label": [label]})} if label else {}
        given = (end, every, share, query)
        threads = [threading.Thread(target=self._sample, args=(node, *given), daemon=True) for node in nodes]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            end.set()
            for thread in threads:
                # The thread of a frozen node ends when its request times out, which is not waited for.
                thread.join(timeout=1.0)

    def _sample(self, node: Node, end: threading.Event, every: float, share: float, query: Mapping[str, str]) -> None:
        ask: Callable[..., Any] | None = None
        pause = 0.0
        while not end.wait(pause):
            start = time.monotonic()
            pause = max(self._due.get(node.name, start) - start, 0.0)
            if pause:
                continue
            try:
                ask = ask or _reader(node)
                if node.name not in self._managers:
                    if not ask("/info")["Swarm"]["ControlAvailable"]:
                        self._due[node.name] = start + scaled(_PROMOTED)
                        continue
                    self._managers.add(node.name)
                tasks = ask("/tasks", **query)
                self.note(node.name, tasks)
                self._learn_names(ask, tasks)
            except Exception:  # a node may be in any state, and this thread judges none
                self._managers.discard(node.name)
                self._due[node.name] = time.monotonic() + scaled(_AGAIN)
                continue
            taken = time.monotonic() - start
            pause = max(scaled(every) - taken, taken / share - taken, 0.0)

    def _learn_names(self, ask: Callable[..., Any], tasks: Any) -> None:
        ids = {task.get(key) for task in tasks for key in ("ServiceID", "NodeID")} - {None, ""}
        if not ids <= self._names.keys():
            named = {listed["ID"]: listed["Spec"]["Name"] for listed in ask("/services")}
            named |= {listed["ID"]: listed["Description"]["Hostname"] for listed in ask("/nodes")}
            # What was removed meanwhile keeps its id as its name, so that it is not looked up again.
            self._names = {id: id for id in ids} | self._names | named


def _reader(node: Node) -> Callable[..., Any]:
    api = node.client().api

    def ask(path: str, **query: str) -> Any:
        reply = api.get(f"{api.base_url}/v{api.api_version}{path}", params=query, timeout=api.timeout)
        reply.raise_for_status()
        return reply.json()

    return ask


def _read(raw: dict[str, Any], manager: str, at: float) -> Observation:
    status = raw["Status"]
    return Observation(
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


def _backward(life: Sequence[Observation]) -> tuple[Observation, Observation] | None:
    """Return the first two states of a task that are in the wrong order, if there are any."""
    known = [observation for observation in life if observation.state in _RANK]
    ordered = sorted(known, key=lambda observation: observation.version)  # stable: within one version by time
    for index, after in enumerate(ordered):
        for before in ordered[:index]:
            comparable = before.version < after.version or before.manager == after.manager
            if comparable and _RANK[before.state] > _RANK[after.state]:
                return before, after
    return None
