"""Writes through every manager, without pause, while the cluster is changed."""

from __future__ import annotations

import base64
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any

from swarmlab.cluster.marks import SUITE_LABEL, unique
from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError
from swarmlab.evidence import picture, provisional, record
from swarmlab.wait import State, scaled
from swarmlab.watching.timeline import Mark, Request, draw

#: Seconds after which a write's outcome is unknown, not scaled. An engine gives up after 20.
_PATIENCE = 25.0
#: Seconds between two writes through one manager, and bytes of every tenth write: large writes make differences between
#: the managers' states show sooner.
_PAUSE = 0.5
_LARGE = 3_000


class Outcome(Enum):
    """The outcome of a write, as far as its writer knows."""

    ACKNOWLEDGED = "acknowledged"  #: the config must exist on every manager from then on
    REFUSED = "refused"  #: the config does not exist, but may come to exist as a whole when quorum is back
    UNKNOWN = "unknown"  #: no answer came: either of the two


@dataclass(frozen=True)
class Write:
    """One write.

    Attributes:
        name: name of the config that it creates.
        manager: host name of the manager that it was sent to.
        outcome: its outcome.
        began: when it was sent, in seconds since the writer began.
        ended: when its outcome was known, in seconds since the writer began.
        answer: the config's id, or the message of the refusal or failure.
        payload: the config's data, in base64.
    """

    name: str
    manager: str
    outcome: Outcome
    began: float
    ended: float
    answer: str
    payload: str

    def __str__(self) -> str:
        return f"{self.name} through {self.manager} from {self.began:.1f} to {self.ended:.1f} s: {self.outcome.value}"


def found(writes: Iterable[Write], configs: Iterable[dict[str, Any]]) -> State:
    """Whether a manager's *configs* agree with the outcomes of *writes*.

    The config of every acknowledged write must exist; the others may. Each config that exists must be complete, with
    the name, labels and payload that were sent and the id that was returned, and must exist once.
    """
    held: dict[str, list[dict[str, Any]]] = {}
    for config in configs:
        held.setdefault(config["Spec"]["Name"], []).append(config)
    wrong = []
    known = list(writes)
    for write in known:
        copies = held.get(write.name, [])
        if not copies and write.outcome is Outcome.ACKNOWLEDGED:
            wrong.append(f"{write} and is not there")
        elif len(copies) > 1:
            wrong.append(f"{write} and is there {len(copies)} times")
        elif copies and (flaw := _flaw(write, copies[0])):
            wrong.append(f"{write} and is there with {flaw}")
    kinds = Counter(write.outcome.value for write in known)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return State(
        not wrong, f"{'; '.join(wrong[:3])}{more}; of the writes are {counts}" if wrong else f"whole: {counts}"
    )


def _flaw(write: Write, config: dict[str, Any]) -> str:
    spec = config["Spec"]
    if write.outcome is Outcome.ACKNOWLEDGED and config["ID"] != write.answer:
        return f"the id {config['ID']}, where {write.answer} was given"
    if spec.get("Data") != write.payload:
        return f"{len(spec.get('Data') or '')} bytes of payload, where {len(write.payload)} were sent"
    if spec.get("Labels") != _labels(write.manager):
        return f"the labels {spec.get('Labels')}"
    return ""


def _labels(manager: str) -> dict[str, str]:
    return {SUITE_LABEL: "", "written-through": manager}


class Writer:
    """Creates configs through each of several managers, and records the outcome of each write.

    Each manager has a thread, so a manager that hangs delays no other. A write to a manager that is cut off, frozen or
    killed ends after 25 seconds and `scaled(2)` at the latest. A picture of all writes goes into the evidence.

    Args:
        managers: the managers.
        pause: seconds between two writes through one manager.

    Example:
        with Writer(cluster.nodes) as writer:
            leader.kill()
            eventually(lambda: writer.served(survivors, since=writer.now), "writes through every survivor")
        assert found(writer.writes, survivor.ask("GET", "/configs"))
    """

    def __init__(self, managers: Sequence[Node], *, pause: float = _PAUSE) -> None:
        self._managers = list(managers)
        self._pause = pause
        self._end = threading.Event()
        self._start = time.monotonic()
        self._writes: list[Write] = []
        self._marks: list[Mark] = []
        self._numbers = itertools.count()
        self._prefix = unique("write")
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._go_on, manager), daemon=True)
            for manager in self._managers
        ]

    def __enter__(self) -> Writer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop writing, and wait for the outcomes of the last writes."""
        self._end.set()
        for thread in self._threads:
            thread.join()
        title = f"writes through {', '.join(map(str, self._managers))}"
        record("suite", f"{title} without pause", self.summary)
        requests = [
            Request(
                write.began,
                write.ended,
                write.manager,
                write.outcome.value,
                write.answer if write.outcome is Outcome.UNKNOWN else "",
            )
            for write in self.writes
        ]
        description = self.summary.replace("\n", "; ")
        managers = [manager.name for manager in self._managers]
        picture("writes", draw(title.capitalize(), description, managers, requests, self._marks, lost="without answer"))

    def mark(self, event: str) -> None:
        """Mark an event in the picture, such as "master is killed"."""
        self._marks.append(Mark(self.now, event))

    @property
    def now(self) -> float:
        """Seconds since the writer began."""
        return time.monotonic() - self._start

    @property
    def writes(self) -> list[Write]:
        """All writes whose outcome is known, in the order in which it became known."""
        return list(self._writes)

    def since(self, began: float, *managers: Node) -> list[Write]:
        """Return the writes that were sent after *began* (see `now`), through one of *managers* if given."""
        names = {manager.name for manager in managers}
        return [write for write in self.writes if write.began > began and (not names or write.manager in names)]

    def served(self, managers: Sequence[Node], since: float) -> State:
        """Whether each of *managers* acknowledged a write that was sent after *since*."""
        return self._each(managers, since, Outcome.ACKNOWLEDGED)

    def refused(self, managers: Sequence[Node], since: float) -> State:
        """Whether each of *managers* refused a write that was sent after *since*."""
        return self._each(managers, since, Outcome.REFUSED)

    def _each(self, managers: Sequence[Node], since: float, outcome: Outcome) -> State:
        last = {write.manager: write for write in self.since(since)}
        got = {write.manager for write in self.since(since) if write.outcome is outcome}
        lacking = [manager.name for manager in managers if manager.name not in got]
        answers = [f"{name}: {last[name].answer if name in last else 'no answer yet'}" for name in lacking]
        return State(not lacking, "; ".join(answers) or f"{outcome.value} by all")

    @property
    def summary(self) -> str:
        """The writes, a line for each series of one outcome of one manager: when, how many, and the last answer."""
        lines = []
        for manager in self._managers:
            mine = [write for write in self.writes if write.manager == manager.name]
            rows = [list(row) for _, row in itertools.groupby(mine, key=lambda write: (write.outcome, _kind(write)))]
            lines += [
                f"{manager}, {row[0].began:.1f} to {row[-1].ended:.1f} s: {len(row)} {row[0].outcome.value}"
                f"{'' if row[0].outcome is Outcome.ACKNOWLEDGED else f' ({row[-1].answer})'}"
                for row in rows
            ]
        return "\n".join(lines) or "nothing was written"

    def _go_on(self, manager: Node) -> None:
        while not self._end.is_set():
            self._writes.append(self._write(manager))
            self._end.wait(self._pause)

    def _write(self, manager: Node) -> Write:
        number = next(self._numbers)
        name = f"{self._prefix}-{number}"
        text = name.ljust(_LARGE, ".") if number % 10 == 9 else name
        payload = base64.b64encode(text.encode()).decode()
        body = {"Name": name, "Labels": _labels(manager.name), "Data": payload}
        began = self.now
        try:
            with provisional():  # there are hundreds; the evidence has the summary
                made = manager.ask("POST", "/configs/create", body=body, timeout=_PATIENCE + scaled(2))
            outcome, answer = Outcome.ACKNOWLEDGED, str(made["ID"])
        except EngineRefused as refused:
            outcome, answer = Outcome.REFUSED, refused.explanation
        except LabError as silent:
            outcome, answer = Outcome.UNKNOWN, str(silent)
        except Exception as broken:  # an answer that is cut short, or another sign of an engine that ends
            outcome, answer = Outcome.UNKNOWN, f"{type(broken).__name__}: {broken}"
        return Write(name, manager.name, outcome, began, self.now, answer, payload)


def _kind(write: Write) -> str:
    return "" if write.outcome is Outcome.ACKNOWLEDGED else write.answer
