"""The course of a rehearsal: one cluster, what it has, who watches it, and the steps."""

import contextlib
import json
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass

from suites.support.commands import accepted
from suites.support.traffic import GOSSIP
from suites.support.upgrade.copied import Copied
from suites.support.upgrade.estate import REPLICAS, Estate
from suites.support.upgrade.kept import Kept
from swarmlab.cluster.service import over
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.evidence import picture, record
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled, wait
from swarmlab.watching.datagrams import Datagrams
from swarmlab.watching.timeline import Mark, Request, draw
from swarmlab.watching.watch import Watch
from swarmlab.watching.writer import Writer

#: Seconds between two requests to a node, and between two writes through a manager, where nodes are containers. Slower
#: nodes are asked more rarely: under more than they can carry engines miss deadlines of their own.
_EVERY, _PAUSE = 0.2, 2.0


@dataclass
class Step:
    """One step: which node is given which engine, and when, in seconds of the monotonic clock.

    The node is away from `began` until `ended`; times of its parts are in seconds. `leaving` has the addresses of the
    replicas that it had. `again` tells that its engine had to be started twice.
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
    leaving: tuple = ()
    cut: tuple = ()
    again: bool = False


class Course(Kept):
    """One cluster on its way from engine to engine.

    Attributes:
        lab: what it is of.
        plan: what is to be done (see `swarmlab.rehearsal.plan`).
        done: how many steps are.
        steps: those that were begun.
        engines: what each node told of its engine, by stage and node.
    """

    def __init__(self, lab, cluster, plan, file):
        super().__init__(cluster, Estate(cluster, Copied(cluster, lab, plan.likeness) if plan.likeness else None))
        self.lab, self.plan = lab, plan
        self.done = 0
        self.steps = []
        self.engines = {}
        self._file = file
        self._queue = []
        self._watches = {node.name: Watch([node], self.estate.port, every=scaled(_EVERY)) for node in cluster.nodes}
        self.datagrams = Datagrams(cluster.nodes, self.estate.datagrams)
        self.writer = None
        self._start = time.monotonic()
        self._going_on = contextlib.ExitStack()
        self.look()

    def look(self):
        """Note what every engine tells of itself at this stage."""
        nodes = self.cluster.nodes
        told = dict(zip(map(str, nodes), parallel(about, nodes), strict=True))
        self.engines[self.plan.stage(self.done)] = told
        self.write()

    @property
    def versions(self):
        """The version of every node's engine, by host name."""
        return {name: told["version"] for name, told in self.engines[self.plan.stage(self.done)].items()}

    # Watching

    def watch(self):
        """Begin to ask every node, to send it datagrams, and to write through every manager, without pause."""
        self._start = time.monotonic()
        for watch in self._watches.values():
            self._going_on.enter_context(watch)
        self._going_on.enter_context(self.datagrams)
        self.writer = self._going_on.enter_context(Writer(self.cluster.managers, pause=scaled(_PAUSE)))
        for watch in self._watches.values():
            watch.rounds(3)

    def rest(self):
        """Stop watching, and draw what was seen."""
        if self.writer is None:
            return
        with contextlib.suppress(LabError):  # which is found again by whoever asks what was lost
            self._going_on.close()
        words = "; ".join(f"{name}: {watch.told}" for name, watch in self._watches.items())
        seen = [
            Request(one.at - self._start, one.end - self._start, name, one.container, self.why(one))
            for name, watch in self._watches.items()
            for one in watch.heard
        ]
        marks = [Mark(step.began - self._start, f"{step.node} ({step.role}) is drained") for step in self.steps]
        marks += [
            Mark(step.ended - self._start, f"{step.node} is back, {step.engine}") for step in self.steps if step.ended
        ]
        marks.sort(key=lambda mark: mark.at)
        title = f"Requests by name through every node, {' to '.join(choice.version for choice in self.plan.path)}"
        picture("availability", draw(title, words, list(self._watches), seen, marks))
        record("suite", "requests by name through every node, without pause", words)
        self.write(svg=draw(title, words, list(self._watches), seen, marks))

    @staticmethod
    def why(heard):
        """Why a request is lost; empty if it is not."""
        if 200 <= heard.status < 300:
            return ""
        return heard.error or f"HTTP {heard.status}"

    def away(self, name):
        """The times in which a node was on its way out, away or on its way back, as (begin, end)."""
        return [(step.began, step.ended or time.monotonic()) for step in self.steps if step.node == name]

    def when(self, at):
        """A moment of the monotonic clock in words: the seconds since the beginning, and the step."""
        for step in self.steps:
            if step.began <= at <= (step.ended or at):
                return f"{at - self._start:.1f} s, while {step.node} got {step.engine}"
        before = [step for step in self.steps if step.ended and step.ended < at]
        after = f"after {before[-1].node} had got {before[-1].engine}" if before else "before the first step"
        return f"{at - self._start:.1f} s, {after}"

    def elsewhere(self, name, losses):
        """Those of the requests lost through a node that were not lost while it was being upgraded."""
        away = self.away(name)
        return [one for one in losses if not any(begin <= one.end and one.at <= end for begin, end in away)]

    def lost(self):
        """The requests that were lost other than through the node that was being upgraded, or to one that left it.

        Raises:
            LabError: the watching was not whole.
        """
        return {
            name: [one for one in self.elsewhere(name, watch.lost) if not was_leaving(one, self.steps)]
            for name, watch in self._watches.items()
        }

    def asked(self):
        """How many requests there were in all."""
        return sum(len(watch.heard) for watch in self._watches.values())

    # Stepping

    def next(self, number):
        """The node of a step; the order is told when its round of all nodes begins."""
        engine, place = self.plan.turn(number)
        if place == 0:
            leading = [one for one in self.cluster.members() if (one.get("ManagerStatus") or {}).get("Leader")]
            queue = self.plan.queue(self.cluster.roles(), leading[0]["Description"]["Hostname"])
            self._queue = self.plan.given(engine, queue)
        return self.cluster.node(self._queue[place])

    def take(self, number):
        """One step, as an operator does it: drain, stop, the new engine on the same state and address, active again."""
        if self.writer is None:
            self.watch()
        node = self.next(number)
        members = {one["Description"]["Hostname"]: one for one in self.cluster.members()}
        leads = bool((members[node.name].get("ManagerStatus") or {}).get("Leader"))
        wanted = self.plan.engine(number).version
        streams, web = self.estate.streams(), self.estate.web
        step = Step(
            number,
            node.name,
            members[node.name]["Spec"]["Role"],
            leads,
            self.versions[node.name],
            wanted,
            time.monotonic(),
            leaving=tuple(ip for task in web.running() if task.node == node.name for ip in task.addresses.values()),
        )
        self.steps.append(step)
        accepted(self.cluster.manager, f"node update --availability drain {node}")
        eventually(lambda: self.left(node), f"tasks to leave {node}, which is drained", deadline=90)
        step.drain = time.monotonic() - step.began
        begin = time.monotonic()
        try:
            self.lab.upgrade(node, self.plan.engine(number).suite, reboot=self.plan.reboot)
        except LabError as failed:
            raise AssertionError(f"{node} did not come back with engine {wanted}: {failed}") from failed
        step.again = self.expect_same(node, wanted)
        step.change = time.monotonic() - begin
        begin = time.monotonic()
        accepted(self.cluster.manager, f"node update --availability active {node}")
        self.expect_whole(f"{node} to be given tasks again, and services to be whole", deadline=120)
        eventually(
            lambda: State(bool(self.estate.told_by(node)), "silent"), f"the agent on {node} to answer", deadline=60
        )
        # Names and ways to other nodes are judged by themselves, where what is wrong is told more closely.
        with contextlib.suppress(DeadlineExceeded):
            wait(lambda: answers(node, self.estate.port), f"requests by name through {node}", deadline=30, stable=3)
        step.activate = time.monotonic() - begin
        step.ended = time.monotonic()
        step.cut = tuple(self.cut_streams(node, streams))
        self.done = number
        with contextlib.suppress(DeadlineExceeded):
            wait(self.estate.streams_run, "downloads between all nodes to run again", deadline=30)
        self.look()
        told = self.versions[node.name]
        assert told.startswith(wanted), f"{node} was given engine {wanted} and has {told}"

    def left(self, node):
        """Whether no task runs on *node*, and the replicas run elsewhere."""
        identity = self.estate.member(node.name)["id"]
        tasks = self.cluster.manager.ask("GET", "/tasks", filters={"node": [identity]})
        states = [(task["Status"]["State"], task["DesiredState"]) for task in tasks]
        staying = [state for state, desired in states if not over(state, desired)]
        if staying:
            return State(False, f"{node} still has tasks that are {dict(Counter(staying))}")
        return self.estate.web.converged(REPLICAS, lambda task: task.node != node.name)

    def cut_streams(self, node, before):
        """The downloads between other nodes than *node* that did not go on through the step, in words."""
        now = self.estate.streams()
        for (source, to), one in before.items():
            if node.name in (source, to):
                continue
            after = now.get((source, to))
            if after is None or (after["agent"], after["id"]) != (one["agent"], one["id"]):
                yield f"from {source} to {to}, after {one['bytes']} bytes"
            elif after["bytes"] <= one["bytes"]:
                yield f"from {source} to {to}, which stood still at {one['bytes']} bytes"

    # Telling

    def write(self, svg=""):
        """Write what is known until now, for the page that tells of the rehearsal."""
        told = {
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
                        {"at": self.when(one.at), "why": self.why(one), "leaving": was_leaving(one, self.steps)}
                        for one in self.elsewhere(name, watch.losses)
                    ][:50],
                }
                for name, watch in self._watches.items()
            }
            if svg
            else {},
            "datagrams": self.datagrams.told if svg else "",
            "writes": self.writer.told if svg and self.writer else "",
            "picture": "availability.svg" if svg else "",
            "likeness": self.estate.copied.told() if self.estate.copied else {},
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if svg:
            self._file.with_name("availability.svg").write_text(svg, encoding="utf-8")


def was_leaving(lost, steps):
    """Whether a request was lost to a replica on its way out of a node that was just being drained.

    The news that a replica is being stopped goes by gossip, and some of it is lost where a node has much to tell at
    once; the replica is asked then until it has ended, or at the latest until engines compare all that they know.
    """
    return any(
        step.began <= lost.at <= step.began + scaled(GOSSIP)
        and any(f" at {address}: " in lost.error for address in step.leaving)
        for step in steps
    )


def answers(node, port):
    """Whether the agent on *node* hands on an answer."""
    answer = node.get(port)
    return State(answer.ok, f"{node} answers {answer}")


#: What an engine says of itself that may differ between engines and matter to who runs on it.
_SETTINGS = ("Driver", "LoggingDriver", "CgroupDriver", "CgroupVersion", "DefaultRuntime", "FirewallBackend")
_TIME = re.compile(r'^time="?\S+"? |\b[0-9a-z]{25}\b|\b[0-9a-f]{12,64}\b|\d{4}-\d\d-\d\dT\S+|\b\d+(\.\d+)?(ms|s|µs)\b')


def about(node):
    """What a node's engine tells of itself: versions, settings, warnings, and what it warns of in its log."""
    version, info = node.ask("GET", "/version"), node.info()
    lines = [line for line in node.log().splitlines() if re.search(r"level=(warning|error|fatal)|DEPRECAT", line)]
    heard = Counter(_TIME.sub("…", line)[:300] for line in lines)
    return {
        "version": version["Version"],
        "api": version["ApiVersion"],
        "min_api": version.get("MinAPIVersion", ""),
        "parts": {one["Name"]: one["Version"] for one in version.get("Components", [])},
        "settings": {key: info[key] for key in _SETTINGS if info.get(key)},
        "warnings": list(info.get("Warnings") or []),
        "log": [f"{words} ({count} times)" if count > 1 else words for words, count in heard.most_common(40)],
    }
