"""How far a run is: which claims are judged, what is waited for, and when it is likely to end.

The plugin `fixtures.progress` tells it what happens. `swarmlab.report.live` shows it on a terminal.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swarmlab.errors import LabError, UsageError
from swarmlab.files import named, reason, shown
from swarmlab.verdicts.parts import DOCUMENT, chapter_of, part_of
from swarmlab.verdicts.seconds import Seconds
from swarmlab.verdicts.verdict import Verdict

#: Version of the layout of events. Keys and events may be added within a version.
SCHEMA = 1
#: The least seconds of tests that have ended to tell how fast this machine is.
_ENOUGH = 20.0
#: How much slower or faster than before a machine is taken to be at most.
_PACES = (0.3, 5.0)
#: Characters of a reason in a line.
_REASON = 160


#: Begins a step of the lab.
OF_LAB = "lab: "


@dataclass(frozen=True)
class Doing:
    """What a process of a run is at.

    Attributes:
        test: The node id of its test; empty between tests.
        since: When that began, as `time.time`.
        waits_for: What it waits for, or after `OF_LAB` the step of the lab that it is at; empty for neither.
        waits_since: When that began.
    """

    test: str = ""
    since: float = 0.0
    waits_for: str = ""
    waits_since: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; `Doing(**raw)` reads it back."""
        return dict(self.__dict__)

    def waits(self, now: float) -> str:
        """Return how long it has waited for what.

        Args:
            now: The time, as `time.time`.

        Example:
            >>> Doing(waits_for="3 running tasks of web", waits_since=10).waits(22)
            'waits 12 s for 3 running tasks of web'
        """
        took = span(now - self.waits_since)
        return (
            f"{self.waits_for} ({took})" if self.waits_for.startswith(OF_LAB) else f"waits {took} for {self.waits_for}"
        )


@dataclass
class Area:
    """The claims of a chapter of the document or an area of Swarm.

    Attributes:
        title: Its name.
        claims: How many of its claims the run judges.
        verdicts: How many were judged so far, by verdict.
    """

    title: str
    claims: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)

    @property
    def judged(self) -> int:
        """How many were judged so far."""
        return self.verdicts.total()


class Progress:
    """How far a run is.

    Attributes:
        areas: The chapters and areas that it judges claims of, in the order of the catalogue.
        doing: What each of its processes is at, by its name.
    """

    def __init__(self, titles: Mapping[str, str], seconds: Seconds, *, clock: Callable[[], float] = time.time) -> None:
        """Begin without tests.

        Args:
            titles: The titles of chapters, by chapter.
            seconds: The seconds that tests take.
            clock: Returns the time, in seconds.
        """
        self.areas: dict[str, Area] = {}
        self.doing: dict[str, Doing] = {}
        self._titles, self._seconds, self._clock = titles, seconds, clock
        self._pending: dict[str, set[str]] = {}
        self._left: set[str] = set()
        self._ended: set[str] = set()
        self._verdicts: dict[str, Verdict] = {}
        self._expected = self._took = 0.0
        self._longest = 0.0

    def select(self, tests: Mapping[str, Collection[str]], order: Iterable[str]) -> None:
        """Take the tests of the run.

        Args:
            tests: The claims that each test judges, by its node id. Tests that are known already do not count again,
                also where they have ended: a process that replaces one that died names all.
            order: Ids of the claims in the order of the catalogue.
        """
        for test, claims in tests.items():
            if test in self._left or test in self._ended or not claims:
                continue
            self._left.add(test)
            for id in claims:
                self._pending.setdefault(id, set()).add(test)
        self.areas.clear()
        for id in order:
            if id in self._pending:
                area = self.areas.setdefault(_area(id), Area(_title(id, self._titles)))
                area.claims += 1
        for id, verdict in self._verdicts.items():
            self.areas[_area(id)].verdicts[verdict] += 1

    def ended(self, test: str, seconds: float) -> list[str]:
        """Note that a test has ended; return the claims whose last test it was.

        Args:
            test: Its node id.
            seconds: How long it took.
        """
        self._ended.add(test)
        if test in self._left:
            self._left.discard(test)
            self._expected += self._seconds.of(test)
            self._took += seconds
        last = []
        for id, tests in self._pending.items():
            if test in tests:
                tests.discard(test)
                if not tests:
                    last.append(id)
        return last

    def judged(self, id: str, verdict: Verdict) -> bool:
        """Note the verdict of a claim; return whether it is new."""
        before = self._verdicts.get(id)
        if before is verdict or _area(id) not in self.areas:
            return before is None
        self._verdicts[id] = verdict
        verdicts = self.areas[_area(id)].verdicts
        verdicts[verdict] += 1
        if before:  # a later test has contradicted it
            verdicts[before] -= 1
        return True

    def pending(self, id: str) -> bool:
        """Whether a claim has tests that have not ended."""
        return bool(self._pending.get(id))

    @property
    def number(self) -> int:
        """How many claims were judged so far."""
        return len(self._verdicts)

    @property
    def of(self) -> int:
        """How many claims the run is to judge."""
        return len(self._pending)

    @property
    def tests_left(self) -> int:
        """How many tests have not ended."""
        return len(self._left)

    def left(self, processes: int) -> float | None:
        """Return the seconds that the run is likely to take still, by what earlier runs took; None if that is used up.

        Args:
            processes: How many processes run tests.
        """
        now, pace = self._clock(), self._pace()
        begun = {doing.test: now - doing.since for doing in self.doing.values() if doing.test in self._left}
        each = [max(0.0, self._seconds.of(test) * pace - begun.get(test, 0.0)) for test in self._left]
        likely = max(sum(each) / max(1, processes), max(each, default=0.0))
        return likely if likely >= 1 else None

    def _pace(self) -> float:
        """Return how many times as long tests take here as they took before."""
        if self._expected < _ENOUGH:
            return 1.0
        least, most = _PACES
        return min(most, max(least, self._took / self._expected))


def _area(id: str) -> str:
    return chapter_of(id) if part_of(id) == DOCUMENT else id.partition("/")[0]


def _title(id: str, titles: Mapping[str, str]) -> str:
    title = titles.get(chapter_of(id), chapter_of(id))
    area = id.partition("/")[0]
    if part_of(id) == DOCUMENT or area == chapter_of(id):
        return title
    return f"{title.partition(':')[0]}: {area}"


def span(seconds: float) -> str:
    """Return a duration in words that are short and no more exact than an estimate is.

    Example:
        >>> span(5), span(200), span(5400)
        ('5 s', '3 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 - 30 else f"{seconds / 3600:.1f} h"


def line(event: Mapping[str, Any]) -> str:
    """Return the line of a claim that was judged.

    Args:
        event: Its event.
    """
    width = len(str(event["of"]))
    count = f"{event['judged']:{width}}/{event['of']}"
    head = f"{count}  {event['verdict']:8} {event['claim']}  {event['seconds']:.1f} s"
    return f"{head}  {shown(event['reason'], _REASON)}" if event["reason"] else head


class Events:
    """Appends events of a run to a file, a JSON object a line. Without a file it does nothing."""

    def __init__(self, file: Path | None) -> None:
        """Append to *file*; None for nowhere."""
        self._file = file

    def add(self, event: str, **fields: Any) -> dict[str, Any]:
        """Append an event; return it.

        Raises:
            LabError: The file cannot be written. Later events are not tried any more.
        """
        made = {"event": event, "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **fields}
        if self._file:
            text = json.dumps(made, ensure_ascii=False).encode() + b"\n"
            try:
                descriptor = _open(self._file)
                try:
                    os.write(descriptor, text)  # one call, so that lines of two runs do not mix
                finally:
                    os.close(descriptor)
            except BlockingIOError:  # a pipe whose reader is slow: an event less
                pass
            except OSError as failed:
                file, self._file = self._file, None
                raise LabError(f"{file} cannot be written: {reason(failed)}; the run goes on without it") from None
        return made


def _open(file: Path) -> int:
    # Without O_NONBLOCK the opening of a pipe that nobody reads never ends.
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)


def events_file(given: str, start: Path) -> Path:
    """Return the file that an option names for events, if it can be appended to. It is not made.

    Args:
        given: The path as it was written.
        start: The folder that a relative path starts from.

    Raises:
        UsageError: It is a folder, is in no folder, cannot be written, or is a pipe that nobody reads.
    """
    file = start / named(given, "file")
    about = shown(given)
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        folder = file.parent
        if not folder.is_dir():
            raise UsageError(f"{about}: there is no folder {shown(folder)}; make it, or name another file") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{about}: {shown(folder)} cannot be written; name another file") from None
        return file
    except (OSError, ValueError) as failed:
        raise UsageError(f"{about}: cannot be written: {reason(failed)}; name another file") from None
    if stat.S_ISDIR(mode):
        raise UsageError(f"{about}: is a folder; name a file in it")
    if stat.S_ISSOCK(mode):
        raise UsageError(f"{about}: is a socket; name a file or a pipe")
    try:
        os.close(_open(file))
    except OSError as failed:
        why = "nobody reads this pipe; start its reader first" if stat.S_ISFIFO(mode) else reason(failed)
        raise UsageError(f"{about}: cannot be written: {why}, or name another file") from None
    return file
