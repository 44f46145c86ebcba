"""The course of a rehearsal: one cluster, the watching of its availability, and the steps of its upgrade."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from suites.support.placement import set_availability
from suites.support.traffic import GOSSIP
from suites.support.upgrade.copied_services import Copied
from suites.support.upgrade.estate import REPLICAS, Estate
from suites.support.upgrade.kept import Kept
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import over
from swarmlab.cluster.swarm import Swarm, leads
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.evidence import picture, record
from swarmlab.labs.base import Lab
from swarmlab.parallel import parallel
from swarmlab.rehearsal.plan import Plan
from swarmlab.wait import State, eventually, scaled, wait
from swarmlab.watching.asker import Heard
from swarmlab.watching.datagrams import Datagrams
from swarmlab.watching.timeline import Mark, Request, draw
from swarmlab.watching.watch import Watch
from swarmlab.watching.writer import Writer

#: Seconds between two requests to a node, and between two writes through a manager, where nodes are containers. Slower
#: nodes are asked less often: a load that they cannot carry makes engines miss their own deadlines.
_EVERY, _PAUSE = 0.2, 2.0


@dataclass
class Step:
    """One step: a node that gets another engine. The node is away from `began` until `ended`.

    Attributes:
        number: its place in the order of steps, from 1.
        node: host name of the node.
        role: manager or worker.
        leads: whether the node is the leader when the step begins.
        before: the version of its engine before the step.
        engine: the version that it gets.
        began: when the step began, in seconds of the monotonic clock.
        ended: when it ended, by the same clock; 0 before.
        drain: seconds until its tasks had left.
        change: seconds until the new engine was a member again.
        activate: seconds until it had tasks again.
        leaving: addresses of the replicas that it had when the step began.
        cut: a line for each download between other nodes that did not go on.
        again: whether its engine had to be started a second time.
    """

    number: int
    node: str
    role: str
    leads: bool
    before: str
    engine: str
    began: float
    ended: float = 0.0
    drain: float = 0.0
    change: float = 0.0
    activate: float = 0.0
    leaving: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    again: bool = False


class Course(Kept):
    """One cluster on its way from engine to engine.

    Attributes:
        lab: the lab of the cluster.
        plan: the plan of the rehearsal (see `swarmlab.rehearsal.plan`).
        done: the number of steps that are done.
        steps: the steps that were begun.
        engines: every engine's account of itself, by stage and host name (see `about`).
        datagrams: the datagrams that are sent through every node during the steps.
        writer: writes through every manager during the steps; None before.
    """

    def __init__(self, lab: Lab, cluster: Swarm, plan: Plan, file: Path) -> None:
        """Make what the cluster must keep.

        Args:
            lab: the lab of the cluster.
            cluster: a new swarm with the plan's first engine.
            plan: the plan of the rehearsal.
            file: the file that the page is made from, written after every step.
        """
        super().__init__(cluster, Estate(cluster, Copied(cluster, lab, plan.likeness) if plan.likeness else None))
        self.lab, self.plan = lab, plan
        self.done = 0
        self.steps: list[Step] = []
        self.engines: dict[str, dict[str, dict[str, Any]]] = {}
        self._file = file
        self._queue: list[str] = []
        self._watches = {node.name: Watch([node], self.estate.port, every=scaled(_EVERY)) for node in cluster.nodes}
        self.datagrams = Datagrams(cluster.nodes, self.estate.datagrams)
        self.writer: Writer | None = None
        self._start = time.monotonic()
        self._watching = contextlib.ExitStack()
        self.look()

    def look(self) -> None:
        """Note every engine's account of itself at this stage."""
        nodes = self.cluster.nodes
        self.engines[self.plan.stage(self.done)] = dict(zip(map(str, nodes), parallel(about, nodes), strict=True))
        self.write()

    @property
    def versions(self) -> dict[str, str]:
        """The version of every node's engine at this stage, by host name."""
        return {name: engine["version"] for name, engine in self.engines[self.plan.stage(self.done)].items()}

    # Watching

    def watch(self) -> None:
        """Begin to ask every node, to send it datagrams, and to write through every manager, without pause."""
        self._start = time.monotonic()
        for watch in self._watches.values():
            self._watching.enter_context(watch)
        self._watching.enter_context(self.datagrams)
        self.writer = self._watching.enter_context(Writer(self.cluster.managers, pause=scaled(_PAUSE)))
        for watch in self._watches.values():
            watch.rounds(3)

    def rest(self) -> None:
        """Stop watching, and draw the requests."""
        if self.writer is None:
            return
        with contextlib.suppress(LabError):  # `lost` raises it again
            self._watching.close()
        summary = "; ".join(f"{name}: {watch.summary}" for name, watch in self._watches.items())
        requests = [
            Request(request.at - self._start, request.end - self._start, name, request.container, self.why(request))
            for name, watch in self._watches.items()
            for request in watch.heard
        ]
        marks = [Mark(step.began - self._start, f"{step.node} ({step.role}) is drained") for step in self.steps]
        marks += [
            Mark(step.ended - self._start, f"{step.node} is back, {step.engine}") for step in self.steps if step.ended
        ]
        marks.sort(key=lambda mark: mark.at)
        title = f"Requests by name through every node, {' to '.join(choice.version for choice in self.plan.path)}"
        picture("availability", draw(title, summary, list(self._watches), requests, marks))
        record("suite", "requests by name through every node, without pause", summary)
        self.write(svg=draw(title, summary, list(self._watches), requests, marks))

    @staticmethod
    def why(request: Heard) -> str:
        """Why a request is lost; empty if it is not."""
        if 200 <= request.status < 300:
            return ""
        return request.error or f"HTTP {request.status}"

    def away(self, name: str) -> list[tuple[float, float]]:
        """Return the spans (begin, end) in which a node was drained, away or coming back, by the monotonic clock."""
        return [(step.began, step.ended or time.monotonic()) for step in self.steps if step.node == name]

    def when(self, at: float) -> str:
        """Return a moment of the monotonic clock for messages: seconds since the watching began, and the step."""
        for step in self.steps:
            if step.began <= at <= (step.ended or at):
                return f"{at - self._start:.1f} s, while {step.node} got {step.engine}"
        before = [step for step in self.steps if step.ended and step.ended < at]
        after = f"after {before[-1].node} had got {before[-1].engine}" if before else "before the first step"
        return f"{at - self._start:.1f} s, {after}"

    def elsewhere(self, name: str, losses: Iterable[Heard]) -> list[Heard]:
        """Return those of the requests lost through a node that were not lost while it was being upgraded."""
        away = self.away(name)
        return [
            request for request in losses if not any(begin <= request.end and request.at <= end for begin, end in away)
        ]

    def lost(self) -> dict[str, list[Heard]]:
        """Return the lost requests by the host name of the node that they went through.

        Requests through a node that was being upgraded, and to a replica that was leaving one, do not count.

        Raises:
            LabError: the watching was not whole.
        """
        return {
            name: [request for request in self.elsewhere(name, watch.lost) if not was_leaving(request, self.steps)]
            for name, watch in self._watches.items()
        }

    def asked(self) -> int:
        """Return the number of all requests."""
        return sum(len(watch.heard) for watch in self._watches.values())

    # Stepping

    def next(self, number: int) -> Node:
        """Return the node of a step. A round's order is decided when the round begins, as the leader may change."""
        engine, place = self.plan.turn(number)
        if place == 0:
            queue = self.plan.queue(self.cluster.roles(), self.cluster.leader.name)
            self._queue = self.plan.given(engine, queue)
        return self.cluster.node(self._queue[place])

    def take(self, number: int) -> None:
        """Take one step as an operator does: drain, stop, the new engine on the same state and address, active again.

        Raises:
            AssertionError: the node did not leave, or did not come back as it was.
        """
        if self.writer is None:
            self.watch()
        node = self.next(number)
        members = {member["Description"]["Hostname"]: member for member in self.cluster.members()}
        engine = self.plan.engine(number)
        streams, web = self.estate.streams(), self.estate.web
        step = Step(
            number,
            node.name,
            members[node.name]["Spec"]["Role"],
            leads(members[node.name]),
            self.versions[node.name],
            engine.version,
            time.monotonic(),
            leaving=tuple(ip for task in web.running() if task.node == node.name for ip in task.addresses.values()),
        )
        self.steps.append(step)
        set_availability(self.cluster, node, "drain")
        eventually(lambda: self.left(node), f"tasks to leave {node}, which is drained", deadline=90)
        step.drain = time.monotonic() - step.began
        begin = time.monotonic()
        try:
            self.lab.upgrade(node, engine.name, reboot=self.plan.reboot)
        except LabError as failed:
            raise AssertionError(f"{node} did not come back with engine {engine.version}: {failed}") from failed
        step.again = self.expect_same(node, engine.version)
        step.change = time.monotonic() - begin
        begin = time.monotonic()
        set_availability(self.cluster, node, "active")
        self.expect_whole(f"{node} to be given tasks again, and services to be whole", deadline=120)
        eventually(
            lambda: State(bool(self.estate.agent_state(node)), "silent"), f"the agent on {node} to answer", deadline=60
        )
        # Names and ways to other nodes have claims of their own, which say more closely what is wrong.
        with contextlib.suppress(DeadlineExceeded):
            wait(lambda: answers(node, self.estate.port), f"requests by name through {node}", deadline=30, stable=3)
        step.activate = time.monotonic() - begin
        step.ended = time.monotonic()
        step.cut = tuple(self.cut_streams(node, streams))
        self.done = number
        with contextlib.suppress(DeadlineExceeded):
            wait(self.estate.streams_run, "downloads between all nodes to run again", deadline=30)
        self.look()
        version = self.versions[node.name]
        assert version.startswith(engine.version), f"{node} was given engine {engine.version} and has {version}"

    def left(self, node: Node) -> State:
        """Whether no task runs on *node*, and all replicas run elsewhere."""
        identity = self.estate.member(node.name)["id"]
        tasks = self.cluster.manager.ask("GET", "/tasks", filters={"node": [identity]})
        states = [(task["Status"]["State"], task["DesiredState"]) for task in tasks]
        staying = [state for state, desired in states if not over(state, desired)]
        if staying:
            return State(False, f"{node} still has tasks that are {dict(Counter(staying))}")
        return self.estate.web.converged(REPLICAS, lambda task: task.node != node.name)

    def cut_streams(self, node: Node, before: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[str]:
        """A line for each download between other nodes than *node* that did not go on.

        Args:
            node: the node that was upgraded.
            before: `Estate.streams` before the step.
        """
        now = self.estate.streams()
        for (source, to), stream in before.items():
            if node.name in (source, to):
                continue
            after = now.get((source, to))
            if after is None or (after["agent"], after["id"]) != (stream["agent"], stream["id"]):
                yield f"from {source} to {to}, after {stream['bytes']} bytes"
            elif after["bytes"] <= stream["bytes"]:
                yield f"from {source} to {to}, which stood still at {stream['bytes']} bytes"

    # Reporting

    def write(self, svg: str = "") -> None:
        """Write what is known so far to the file that the page is made from; with *svg* also the picture."""
        known = {
            "path": [str(choice) for choice in self.plan.path],
            "order": list(self.plan.order),
            "managers": self.plan.managers,
            "workers": self.plan.workers,
            "wanted": self.plan.steps,
            "done": self.done,
            "steps": [
                {**asdict(step), "began": step.began - self._start, "ended": max(0.0, step.ended - self._start)}
                for step in self.steps
            ],
            "engines": self.engines,
            "requests": {
                name: {
                    "asked": len(watch.heard),
                    "lost": len(watch.losses),
                    "gap": round(watch.gap(), 1),
                    "lost elsewhere": [
                        {
                            "at": self.when(request.at),
                            "why": self.why(request),
                            "leaving": was_leaving(request, self.steps),
                        }
                        for request in self.elsewhere(name, watch.losses)
                    ][:50],
                }
                for name, watch in self._watches.items()
            }
            if svg
            else {},
            "datagrams": self.datagrams.summary if svg else "",
            "writes": self.writer.summary if svg and self.writer else "",
            "picture": "availability.svg" if svg else "",
            "likeness": self.estate.copied.to_json() if self.estate.copied else {},
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        if svg:
            self._file.with_name("availability.svg").write_text(svg, encoding="utf-8")


def was_leaving(lost: Heard, steps: Sequence[Step]) -> bool:
    """Whether a request was lost to a replica that was leaving a node which had just been drained.

    The news that a replica is being stopped goes by gossip, and some gossip is lost when a node has much to send at
    once. Then the replica is still asked until it has ended, at most until engines compare all that they know.
    """
    return any(
        step.began <= lost.at <= step.began + scaled(GOSSIP)
        and any(f" at {address}: " in lost.error for address in step.leaving)
        for step in steps
    )


def answers(node: Node, port: int) -> State:
    """Whether the agent on *node* relays an answer."""
    answer = node.get(port)
    return State(answer.ok, f"{node} answers {answer}")


#: Settings of an engine that may differ between engines, and matter to its users.
_SETTINGS = ("Driver", "LoggingDriver", "CgroupDriver", "CgroupVersion", "DefaultRuntime", "FirewallBackend")
#: Times, ids and durations in a line of an engine's log, without which lines of one kind are equal.
_TIME = re.compile(r'^time="?\S+"? |\b[0-9a-z]{25}\b|\b[0-9a-f]{12,64}\b|\d{4}-\d\d-\d\dT\S+|\b\d+(\.\d+)?(ms|s|µs)\b')


def about(node: Node) -> dict[str, Any]:
    """Return an engine's account of itself: versions, settings, warnings, and the warnings in its log."""
    version, info = node.ask("GET", "/version"), node.info()
    lines = [line for line in node.log().splitlines() if re.search(r"level=(warning|error|fatal)|DEPRECAT", line)]
    counts = Counter(_TIME.sub("…", line)[:300] for line in lines)
    return {
        "version": version["Version"],
        "api": version["ApiVersion"],
        "min_api": version.get("MinAPIVersion", ""),
        "parts": {component["Name"]: component["Version"] for component in version.get("Components", [])},
        "settings": {key: info[key] for key in _SETTINGS if info.get(key)},
        "warnings": list(info.get("Warnings") or []),
        "log": [f"{line} ({count} times)" if count > 1 else line for line, count in counts.most_common(40)],
    }
