"""The course of a rehearsal: one cluster, the watching of its availability, the control, and the steps of its upgrade.

The control comes before the first step: each node's engine is restarted as it is, in the same way and under the same
traffic as in a step, so that what an upgrade loses can be told from what any restart loses.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from suites.support.placement import set_availability
from suites.support.traffic import GOSSIP
from suites.support.upgrade.copied_services import Copied
from suites.support.upgrade.estate import REPLICAS, Estate
from suites.support.upgrade.kept import Kept
from suites.support.upgrade.leftovers import LEFT
from suites.support.upgrade.lost import losses
from swarmlab import layouts
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service, over
from swarmlab.cluster.swarm import Swarm, leads
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.evidence import picture, record
from swarmlab.images.engines import EngineChoice
from swarmlab.labs.base import Lab
from swarmlab.parallel import parallel
from swarmlab.rehearsal.losses import LEAST, MOST
from swarmlab.rehearsal.permitted import RESTARTED
from swarmlab.rehearsal.plan import SCHEMA, Plan
from swarmlab.versions import parsed
from swarmlab.wait import State, eventually, scaled, wait
from swarmlab.watching.asker import Heard
from swarmlab.watching.datagrams import Datagrams
from swarmlab.watching.timeline import Mark, Request, draw
from swarmlab.watching.watch import Watch
from swarmlab.watching.writer import Outcome, Writer

#: Seconds between two requests to a node, and between two writes through a manager, where nodes are containers. Slower
#: nodes are asked less often: a load that they cannot carry makes engines miss their own deadlines.
_EVERY, _PAUSE = 0.2, 2.0
#: How often a lone manager is restarted in the control until names are away on it for longer than a moment.
_TRIES = 3


@dataclass
class Step:
    """One step: a node that gets another engine. The node is away from `began` until `ended`.

    In the control a node's engine is restarted as it is; all else is as in a step.

    Attributes:
        number: its place in the order of steps, or of the control, from 1.
        node: host name of the node.
        role: manager or worker.
        leads: whether the node is the leader when the step begins.
        before: the version of its engine before the step.
        engine: the version that it gets.
        began: when the step began, in seconds of the monotonic clock.
        ended: when it ended, by the same clock; 0 before.
        back: when the node had its tasks again, by the same clock; 0 before.
        drain: seconds until its tasks had left.
        change: seconds until the new engine was a member again.
        activate: seconds until it had tasks again.
        leaving: addresses of the replicas that it had when the step began.
        cut: a line for each download between other nodes that did not go on.
        again: whether its engine had to be started a second time.
        settled: in the control, seconds from `back` until every name resolved on every node, or until nobody waited on.
    """

    number: int
    node: str
    role: str
    leads: bool
    before: str
    engine: str
    began: float
    ended: float = 0.0
    back: float = 0.0
    drain: float = 0.0
    change: float = 0.0
    activate: float = 0.0
    leaving: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    again: bool = False
    settled: float = 0.0


class Course(Kept):
    """One cluster on its way from engine to engine.

    Attributes:
        lab: the lab of the cluster.
        plan: the plan of the rehearsal (see `swarmlab.rehearsal.plan`).
        done: the number of steps that are done.
        steps: the steps that were begun.
        control: the restarts of the control that were begun.
        missing: a line for each manager that lacks an acknowledged write.
        unwatched: a line for each download between other nodes that did not run when a step began.
        mesh: a service that publishes a port through the mesh while the steps are taken; None if there is none.
        tasks: what a task on every node may do, by stage, host name, group and name (see `Witness`).
        engines: every engine's account of itself, by stage and host name (see `about`).
        datagrams: the datagrams that are sent through every node during control and steps.
        writer: writes through every manager during control and steps; None before.
        watches: the requests by name through every node, by host name.
        every: seconds between two requests.
        ended: when the watching ended, in seconds of the monotonic clock.
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
        self.control: list[Step] = []
        self.missing: list[str] = []
        self.unwatched: list[str] = []
        self.mesh: Service | None = None
        self.tasks: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
        self.engines: dict[str, dict[str, dict[str, Any]]] = {}
        self._file = file
        self._queue: list[str] = []
        self._svg = ""
        self.every = scaled(_EVERY)
        self.watches = {
            node.name: Watch([node], self.estate.port, every=self.every, losses_expected=True) for node in cluster.nodes
        }
        self.datagrams = Datagrams(cluster.nodes, self.estate.datagrams, names=self.estate.names)
        self.writer: Writer | None = None
        self._start = self.ended = time.monotonic()
        self._watching = contextlib.ExitStack()
        self.look()

    def look(self) -> None:
        """Note every engine's account of itself at this stage, and what tasks may do."""
        nodes, stage = self.cluster.nodes, self.plan.stage(self.done)
        self.engines[stage] = dict(zip(map(str, nodes), parallel(about, nodes), strict=True))
        self.tasks[stage] = self.estate.witness.measured()
        self.write()

    @property
    def versions(self) -> dict[str, str]:
        """The version of every node's engine at this stage, by host name."""
        return {name: engine["version"] for name, engine in self.engines[self.plan.stage(self.done)].items()}

    def new_lines(self) -> dict[str, str]:
        """Return the warnings and errors that engines have logged since before the first step, by host name."""
        old = {line.partition(" (")[0] for account in self.engines["before"].values() for line in account["log"]}
        lines: dict[str, list[str]] = {node.name: [] for node in self.cluster.nodes}
        for accounts in self.engines.values():
            for name, account in accounts.items():
                lines[name] += [line for line in account["log"] if line.partition(" (")[0] not in old]
        return {name: "\n".join(logged) for name, logged in lines.items()}

    # Watching

    def watch(self) -> None:
        """Begin to ask every node, to send it datagrams, and to write through every manager, without pause."""
        self._start = time.monotonic()
        for watch in self.watches.values():
            self._watching.enter_context(watch)
        self._watching.enter_context(self.datagrams)
        self.writer = self._watching.enter_context(Writer(self.cluster.managers, pause=scaled(_PAUSE)))
        for watch in self.watches.values():
            watch.rounds(3)

    def rest(self) -> None:
        """Stop watching, and draw the requests."""
        if self.writer is None or self.ended > self._start:
            return
        self.ended = time.monotonic()
        with contextlib.suppress(LabError):  # `lost` raises it again
            self._watching.close()
        summary = "; ".join(f"{name}: {watch.summary}" for name, watch in self.watches.items())
        requests = [
            Request(request.at - self._start, request.end - self._start, name, request.container, self.why(request))
            for name, watch in self.watches.items()
            for request in watch.heard
        ]
        marks = [Mark(step.began - self._start, f"{step.node} ({step.role}) is drained") for step in self.moves]
        marks += [
            Mark(step.ended - self._start, f"{step.node} is back, {step.engine}") for step in self.moves if step.ended
        ]
        marks.sort(key=lambda mark: mark.at)
        title = f"Requests by name through every node, {' to '.join(choice.version for choice in self.plan.path)}"
        picture("availability", draw(title, summary, list(self.watches), requests, marks))
        record("suite", "requests by name through every node, without pause", summary)
        self._svg = draw(title, summary, list(self.watches), requests, marks)
        self.write()

    @property
    def moves(self) -> list[Step]:
        """The restarts of the control and the steps, in their order."""
        return [*self.control, *self.steps]

    @staticmethod
    def why(request: Heard) -> str:
        """Why a request is lost; empty if it is not."""
        if 200 <= request.status < 300:
            return ""
        return request.error or f"HTTP {request.status}"

    def away(self, name: str) -> list[tuple[float, float]]:
        """Return the spans (begin, end) in which a node was drained, away or coming back, by the monotonic clock."""
        return [(step.began, step.ended or time.monotonic()) for step in self.moves if step.node == name]

    def when(self, at: float) -> str:
        """Return a moment of the monotonic clock for messages: seconds since the watching began, and the step."""
        for step in self.moves:
            if step.began <= at <= (step.ended or at):
                what = "was restarted" if step in self.control else f"got {step.engine}"
                return f"{at - self._start:.1f} s, while {step.node} {what}"
        before = [step for step in self.moves if step.ended and step.ended < at]
        if not before:
            return f"{at - self._start:.1f} s, before the first step"
        last = before[-1]
        what = "was restarted" if last in self.control else f"had got {last.engine}"
        return f"{at - self._start:.1f} s, after {last.node} {what}"

    def elsewhere(self, name: str, losses: Iterable[Heard]) -> list[Heard]:
        """Return those of the requests lost through a node that were not lost while it was being upgraded."""
        away = self.away(name)
        return [
            request for request in losses if not any(begin <= request.end and request.at <= end for begin, end in away)
        ]

    def lost(self) -> dict[str, list[Heard]]:
        """Return the requests lost since the first step, by the host name of the node that they went through.

        Requests through a node that was being upgraded, and to a replica that was leaving one, do not count.

        Raises:
            LabError: the watching was not whole.
        """
        begin = self.steps[0].began
        return {
            name: [
                request
                for request in self.elsewhere(name, watch.lost)
                if request.at >= begin and not was_leaving(request, self.moves)
            ]
            for name, watch in self.watches.items()
        }

    def losses_through(self, name: str) -> list[Heard]:
        """Return the requests lost through a node, also while it was away, but to replicas that were leaving."""
        return [request for request in self.watches[name].losses if not was_leaving(request, self.moves)]

    def idle_managers(self, step: Step) -> list[Node]:
        """Return the other managers that took no write while the node of *step* was away."""
        if self.writer is None:
            return []
        # Times of a writer are seconds since it began.
        begun = time.monotonic() - self.writer.now
        since, until = step.began - begun, (step.ended or time.monotonic()) - begun
        return [
            manager
            for manager in self.cluster.managers
            if manager.name != step.node
            and not any(
                write.ended <= until and write.outcome is Outcome.ACKNOWLEDGED
                for write in self.writer.since(since, manager)
            )
        ]

    def asked(self) -> int:
        """Return the number of all requests."""
        return sum(len(watch.heard) for watch in self.watches.values())

    # Stepping

    def restart_each(self) -> None:
        """Hold the control: restart every node's engine as it is, in the order and in the way of a round of steps.

        Raises:
            AssertionError: a node did not leave, or did not come back as it was.
        """
        self.watch()
        managers = len(self.cluster.managers)
        for name in self.plan.queue(self.cluster.roles(), self.cluster.leader.name):
            node = self.cluster.node(name)
            # The other nodes look for a lone manager that they lost once a minute. Where that was just then, the
            # restart shows nothing of what another one loses.
            tries = _TRIES if managers == 1 and node in self.cluster.managers else 1
            while tries and self._restart(node).settled < scaled(LEAST):
                tries -= 1
        with contextlib.suppress(DeadlineExceeded):
            wait(self._calm, "requests through every node to be answered again", deadline=GOSSIP, stable=3)
        self.tasks[RESTARTED] = self.estate.witness.measured()
        self.write()

    def _restart(self, node: Node) -> Step:
        """Restart one engine, and note how long names take until they resolve everywhere."""
        step = self._begin(len(self.control) + 1, node, self.versions[node.name])
        self.control.append(step)
        self._pass(step, node, partial(self.lab.restart, node, reboot=self.plan.reboot))
        probes = [self.cluster.probe(task) for task in self.estate.site.running()]
        with contextlib.suppress(DeadlineExceeded):
            wait(partial(self.estate.names_resolve, probes), "every name on every node", deadline=2 * GOSSIP)
        step.settled = time.monotonic() - step.back
        return step

    @property
    def patience(self) -> float:
        """Seconds, at reference speed, until names must resolve on every node after a step.

        It is as long as gossip takes, or as the control took, and what two restarts may differ by. What is lost
        meanwhile is judged by the claims of losses.
        """
        return max(GOSSIP, max((step.settled for step in self.control), default=0.0) / scaled(1.0) + MOST)

    def _calm(self) -> State:
        """Whether requests are answered through every node, so that no loss of the control counts as one of a step."""
        states = [answers(node, self.estate.port) for node in self.cluster.nodes]
        return next((state for state in states if not state), State(True, "all answer"))

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
        node, engine = self.next(number), self.plan.engine(number)
        step = self._begin(number, node, engine.version)
        self.steps.append(step)
        self.unwatched += self.without_stream(node, engine.version)
        self._pass(step, node, lambda: self.lab.upgrade(node, engine.name, reboot=self.plan.reboot))
        self.done = number
        self.look()
        version = self.versions[node.name]
        assert got(engine, step.before, version), f"{node} was given engine {engine.version} and has {version}"

    def _begin(self, number: int, node: Node, engine: str) -> Step:
        """Return a step of *node* that begins now."""
        members = {member["Description"]["Hostname"]: member for member in self.cluster.members()}
        return Step(
            number,
            node.name,
            members[node.name]["Spec"]["Role"],
            leads(members[node.name]),
            self.versions[node.name],
            engine,
            time.monotonic(),
            leaving=tuple(
                ip for task in self.estate.web.running() if task.node == node.name for ip in task.addresses.values()
            ),
        )

    def _pass(self, step: Step, node: Node, change: Callable[[], None]) -> None:
        """Drain a node, change its engine, and make it active again, as an operator does.

        Args:
            step: the step, which has just begun; its times are noted.
            node: the node.
            change: stops the engine, and starts it or another one in its place.

        Raises:
            AssertionError: the node did not leave, or did not come back as it was.
        """
        streams = self.estate.streams()
        set_availability(self.cluster, node, "drain")
        eventually(lambda: self.left(node), f"tasks to leave {node}, which is drained", deadline=90)
        step.drain = time.monotonic() - step.began
        begin = time.monotonic()
        try:
            change()
        except LabError as failed:
            raise AssertionError(f"{node} did not come back with engine {step.engine}: {failed}") from failed
        step.again = self.expect_same(node, step.engine)
        step.change = time.monotonic() - begin
        begin = time.monotonic()
        set_availability(self.cluster, node, "active")
        self.expect_whole(f"{node} to be given tasks again, and services to be whole", deadline=120)
        eventually(
            lambda: State(bool(self.estate.agent_state(node)), "silent"), f"the agent on {node} to answer", deadline=60
        )
        step.back = time.monotonic()
        # Names and ways to other nodes have claims of their own, which say more closely what is wrong.
        with contextlib.suppress(DeadlineExceeded):
            wait(lambda: answers(node, self.estate.port), f"requests by name through {node}", deadline=30, stable=3)
        step.activate = time.monotonic() - begin
        step.ended = time.monotonic()
        step.cut = tuple(self.cut_streams(node, streams))
        with contextlib.suppress(DeadlineExceeded):
            wait(self.estate.streams_run, "downloads between all nodes to run again", deadline=30)

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

    def without_stream(self, node: Node, engine: str) -> list[str]:
        """Return a line for each download between other nodes than *node* that does not run as *node* gets *engine*."""
        others = [other.name for other in self.cluster.nodes if other is not node]
        going = self.estate.streams()
        lacking = [pair for pair in itertools.permutations(others, 2) if pair not in going]
        return [f"from {source} to {to} when {node.name} was to get {engine}" for source, to in lacking]

    # Reporting

    def write(self) -> None:
        """Write what is known to the file that the page is made from; once the watching ended, also the picture."""
        svg = self._svg
        known = {
            layouts.KEY: SCHEMA,
            "path": [str(choice) for choice in self.plan.path],
            "order": list(self.plan.order),
            "managers": self.plan.managers,
            "workers": self.plan.workers,
            "wanted": self.plan.steps,
            "done": self.done,
            "steps": list(map(self._noted, self.steps)),
            "control": list(map(self._noted, self.control)),
            "losses": losses(self) if svg else {},
            "tasks": self.tasks,
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
                            "leaving": was_leaving(request, self.moves),
                        }
                        for request in self.elsewhere(name, watch.losses)
                    ][:50],
                }
                for name, watch in self.watches.items()
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

    def _noted(self, step: Step) -> dict[str, Any]:
        """Return a step for the file: its times are seconds since the watching began."""
        times = {name: max(0.0, getattr(step, name) - self._start) for name in ("began", "ended", "back")}
        return {**asdict(step), **times}


def got(engine: EngineChoice, before: str, version: str) -> bool:
    """Whether a node that had one version got this engine with the other.

    A Debian release moves on, so that its engine may be another than images/engines.yaml says; the page tells it as a
    limit.
    """
    return parsed(version) > parsed(before) if engine.source == "debian" else parsed(version) == engine.numbers


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
#: Kinds of lines of an engine's log that are noted.
_KINDS = 40
#: Times, ids and durations in a line of an engine's log, without which lines of one kind are equal.
_TIME = re.compile(r'^time="?\S+"? |\b[0-9a-z]{25}\b|\b[0-9a-f]{12,64}\b|\d{4}-\d\d-\d\dT\S+|\b\d+(\.\d+)?(ms|s|µs)\b')


def about(node: Node) -> dict[str, Any]:
    """Return an engine's account of itself: versions, settings, warnings, and the warnings in its log."""
    version, info = node.ask("GET", "/version"), node.info()
    return {
        "version": version["Version"],
        "api": version["ApiVersion"],
        "min_api": version.get("MinAPIVersion", ""),
        "parts": {component["Name"]: component["Version"] for component in version.get("Components", [])},
        "settings": {key: info[key] for key in _SETTINGS if info.get(key)},
        "warnings": list(info.get("Warnings") or []),
        "log": warned(node.log()),
    }


def warned(log: str) -> list[str]:
    """Return the warnings and errors of an engine's log: the most common kinds, and all that tell of an incident."""
    lines = [line for line in log.splitlines() if re.search(r"level=(warning|error|fatal)|DEPRECAT", line)]
    counts = Counter(line if _telling(line) else line[:300] for line in (_TIME.sub("…", line) for line in lines))
    kinds = counts.most_common()
    kept = kinds[:_KINDS] + [kind for kind in kinds[_KINDS:] if _telling(kind[0])]
    return [f"{line} ({count} times)" if count > 1 else line for line, count in kept]


def _telling(line: str) -> bool:
    return any(words in line for words in LEFT)
