"""Journals: the requests and answers from which verdicts are judged, redacted when they are added."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from swarmlab.evidence.redaction import redact

#: Characters kept of one answer, and of one attachment.
ANSWER_LIMIT = 10_000
ATTACHMENT_LIMIT = 400_000
#: Characters of the largest picture that is kept; a larger one is left out, as part of a picture shows nothing.
PICTURE_LIMIT = 150_000
#: Entries kept from a journal's beginning and from its end; those between are left out, as in a long poll.
FIRST_ENTRIES = 200
LAST_ENTRIES = 400


@dataclass(frozen=True)
class Entry:
    """One request and its answer.

    Attributes:
        offset: seconds since the journal was opened.
        source: who was asked, such as a node's name.
        request: the command, or method and path such as "GET /services".
        answer: the answer's text.
    """

    offset: float
    source: str
    request: str
    answer: str

    def __str__(self) -> str:
        lines = self.answer.splitlines() or ["(no answer)"]
        return "\n".join([f"{self.offset:+.2f} s  {self.source}  {self.request}", *(f"    {line}" for line in lines)])


class Journal:
    """Requests and answers from which a verdict was judged. Entries are redacted when added; threads may share it.

    Attributes:
        began: when it was opened; the offsets of its entries count from then.
    """

    def __init__(self) -> None:
        self.began = datetime.now(timezone.utc)
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._first: list[Entry] = []
        self._last: deque[Entry] = deque(maxlen=LAST_ENTRIES)
        self._count = 0
        self._attachments: dict[str, str] = {}
        self._pictures: dict[str, str] = {}

    def add(self, source: str, request: str, answer: str) -> None:
        """Add an entry: *source* was asked *request* and gave *answer*."""
        offset = time.monotonic() - self._start
        request, answer = (_shortened(redact(text).strip(), ANSWER_LIMIT) for text in (request, answer))
        entry = Entry(offset, source, request, answer)
        with self._lock:
            self._count += 1
            (self._first if len(self._first) < FIRST_ENTRIES else self._last).append(entry)

    def attach(self, name: str, text: str) -> None:
        """Attach a long *text* under a *name* such as "firewall of slave01"; a second text of that name replaces it."""
        text = _shortened(redact(text), ATTACHMENT_LIMIT)
        with self._lock:
            self._attachments[name] = text

    def picture(self, name: str, svg: str) -> None:
        """Attach a picture (SVG) under a *name* such as "requests to port 8888"; a name in use gets a number."""
        svg = redact(svg)
        if len(svg) > PICTURE_LIMIT:
            self.add("suite", f"picture {name}", f"left out: its {len(svg)} characters are more than {PICTURE_LIMIT}")
            return
        with self._lock:
            number, free = 1, name
            while free in self._pictures:
                number += 1
                free = f"{name} ({number})"
            self._pictures[free] = svg

    def adopt(self, other: Journal) -> None:
        """Append the entries of a journal that was opened after this one, such as that of a wait's last poll."""
        with self._lock:
            for entry in [*other._first, *other._last]:
                self._count += 1
                late = replace(entry, offset=entry.offset + other._start - self._start)
                (self._first if len(self._first) < FIRST_ENTRIES else self._last).append(late)

    @property
    def attachments(self) -> dict[str, str]:
        """Attached texts by name."""
        with self._lock:
            return dict(self._attachments)

    @property
    def pictures(self) -> dict[str, str]:
        """Attached pictures (SVG) by name."""
        with self._lock:
            return dict(self._pictures)

    def text(self) -> str:
        """Return all entries as readable text."""
        with self._lock:
            first, last, left_out = list(self._first), list(self._last), self._count - len(self._first)
        left_out -= len(last)
        note = [f"({left_out} entries left out here)"] if left_out else []
        return "\n\n".join([*map(str, first), *note, *map(str, last)]) or "(nothing was asked)"


_current: Journal | None = None
#: Name of the part that the calling thread belongs to, where several run at the same time (see `part`).
_part: ContextVar[str] = ContextVar("_part", default="")
#: A journal of the calling thread alone, which takes its entries instead of the current one (see `aside`).
_apart: ContextVar[Journal | None] = ContextVar("_apart", default=None)


@contextlib.contextmanager
def recording() -> Iterator[Journal]:
    """Open a journal that takes all entries until the context ends; then the previous journal is current again."""
    global _current
    # It is the process's, not the thread's: threads of a test (load generators) record into the test's journal.
    before, _current = _current, Journal()
    try:
        yield _current
    finally:
        _current = before


def record(source: str, request: str, answer: str) -> None:
    """Add an entry to the current journal, if there is one: *source* was asked *request* and gave *answer*."""
    into = _apart.get() or _current
    if into is not None:
        into.add(f"{part}: {source}" if (part := _part.get()) else source, request, answer)


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Prefix this thread's entries with *name*, because nodes of several clusters have the same names."""
    token = _part.set(name)
    try:
        yield
    finally:
        _part.reset(token)


def picture(name: str, svg: str) -> None:
    """Attach a picture (SVG) to the current journal, if there is one."""
    if _current is not None:
        _current.picture(name, svg)


@contextlib.contextmanager
def provisional() -> Iterator[Callable[[], None]]:
    """Record this thread's entries in a scratch journal. Call the yielded function to keep them; else they are dropped.

    Example:
        with provisional() as keep:
            if predicate():
                keep()
    """
    outer = _apart.get() or _current
    with aside() as scratch:
        yield lambda: outer.adopt(scratch) if outer else None


@contextlib.contextmanager
def aside() -> Iterator[Journal]:
    """Record this thread's entries in a separate journal; pass it to `take_over` to keep them."""
    apart = Journal()
    token = _apart.set(apart)
    try:
        yield apart
    finally:
        _apart.reset(token)


def take_over(journal: Journal) -> None:
    """Append the entries of a journal from `aside` to the current journal."""
    if _current is not None:
        _current.adopt(journal)


# Diagnosis of a test that did not pass

#: Called after a test that did not pass, while its cluster still exists; each attaches what it finds to the journal.
on_failure: list[Callable[[Journal], None]] = []


def diagnose(into: Journal) -> None:
    """Call everything in `on_failure`. An error of a call becomes an entry of the journal and is not raised."""
    for ask in list(on_failure):
        try:
            with aside():  # its answers are attached, so their entries are dropped
                ask(into)
        except Exception as failed:
            into.add("suite", "diagnosis", f"could not be collected: {type(failed).__name__}: {failed}")


def _shortened(text: str, limit: int) -> str:
    cut = len(text) - limit
    if cut <= 0:
        return text
    head = limit * 2 // 3
    return f"{text[:head]}\n[… {cut} characters left out …]\n{text[head + cut :]}"
