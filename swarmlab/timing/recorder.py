"""Records how long each part of a run takes: what asks or waits calls `span`, which does nothing unless one records.

Spans of a thread lie within each other. Of each kind the innermost counts, so that the seconds of a kind add up. A
span's own seconds are what is left without the spans in it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from typing_extensions import ParamSpec

from swarmlab.timing import names
from swarmlab.timing.processors import Busy, Meter, Processors

P = ParamSpec("P")
T = TypeVar("T")

#: The kinds of spans: a test and its three phases, a fixture of pytest's, a wait, a command on a node, a call of a
#: node's engine, and a call of the outer engine.
KINDS = ("test", "phase", "fixture", "wait", "command", "call", "outer")


@dataclass(frozen=True)
class Entry:
    """All spans of one kind and name.

    Attributes:
        kind: one of `KINDS`.
        name: what it was, without names of nodes and the like (see `swarmlab.timing.names`).
        count: how many there were.
        seconds: their duration together, without others of the same kind within them.
        own: their duration without any other span within them.
        busy: what the processors did meanwhile, counted as *seconds* is.
        beside: they were in other threads than the test, beside it.
    """

    kind: str
    name: str
    count: int
    seconds: float
    own: float
    busy: Busy
    beside: bool = False


@dataclass
class _Open:
    kind: str
    name: str
    at: float
    busy: Busy
    inside: float = 0.0
    by_kind: dict[str, tuple[float, Busy]] = field(default_factory=dict)


class Recorder:
    """Adds up spans.

    Attributes:
        lab: the name of the lab; empty before there is one.
    """

    def __init__(self, processors: Processors, clock: Callable[[], float] = time.monotonic) -> None:
        """Record in the calling thread; spans of other threads count as beside it.

        Args:
            processors: counts what the processors do.
            clock: returns the time, in seconds.
        """
        self.lab = ""
        self.processors = processors
        self._clock = clock
        self._main = threading.get_ident()
        self._open = threading.local()
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, bool], Entry] = {}

    def begin(self, kind: str, name: str) -> None:
        """Begin a span in the calling thread; call `end` when it has ended, in reverse order of the beginnings."""
        self._stack().append(_Open(kind, name, self._clock(), self.processors.busy()))

    def end(self) -> None:
        """End the span of the calling thread that began last."""
        stack = self._stack()
        span = stack.pop()
        seconds, busy = self._clock() - span.at, self.processors.busy().less(span.busy)
        same, same_busy = span.by_kind.pop(span.kind, (0.0, Busy()))
        beside = threading.get_ident() != self._main
        entry = Entry(
            span.kind,
            names.normal(span.kind, span.name),
            1,
            seconds - same,
            seconds - span.inside,
            busy.less(same_busy),
            beside,
        )
        key = (entry.kind, entry.name, beside)
        with self._lock:
            self._entries[key] = together(self._entries[key], entry) if key in self._entries else entry
        if stack:
            outer = stack[-1]
            outer.inside += seconds
            for kind, (inner, inner_busy) in [*span.by_kind.items(), (span.kind, (seconds, busy))]:
                before, before_busy = outer.by_kind.get(kind, (0.0, Busy()))
                outer.by_kind[kind] = (before + inner, before_busy.plus(inner_busy))

    def take(self) -> list[Entry]:
        """Return what has ended since this was called last, and forget it."""
        with self._lock:
            found, self._entries = list(self._entries.values()), {}
        return found

    def _stack(self) -> list[_Open]:
        if not hasattr(self._open, "stack"):
            self._open.stack = []
        stack: list[_Open] = self._open.stack
        return stack


def together(one: Entry, other: Entry) -> Entry:
    """Return two entries of the same kind and name as one."""
    return Entry(
        one.kind,
        one.name,
        one.count + other.count,
        one.seconds + other.seconds,
        one.own + other.own,
        one.busy.plus(other.busy),
        one.beside,
    )


class _Span:
    """A span, as a context."""

    def __init__(self, recorder: Recorder, kind: str, name: str) -> None:
        self._recorder, self._kind, self._name = recorder, kind, name

    def __enter__(self) -> None:
        self._recorder.begin(self._kind, self._name)

    def __exit__(self, *_: object) -> None:
        self._recorder.end()


_current: Recorder | None = None
_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Let a recorder take all spans until the context ends."""
    global _current
    before, _current = _current, recorder
    try:
        yield recorder
    finally:
        _current = before


def span(kind: str, name: str) -> AbstractContextManager[None]:
    """Return a context that is timed, if a recorder is there.

    Args:
        kind: one of `KINDS`.
        name: what it is, in full; it is shortened (see `swarmlab.timing.names`).

    Example:
        with span("command", "docker node ls"):
            host.run("docker node ls")
    """
    return _Span(_current, kind, name) if _current else _NOTHING


def spanned(kind: str, name: Callable[..., str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that times each call of a function as a span.

    Args:
        kind: one of `KINDS`.
        name: returns the span's name for the arguments of a call.
    """

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def called(*args: P.args, **how: P.kwargs) -> T:
            if _current is None:
                return function(*args, **how)
            with span(kind, name(*args, **how)):
                return function(*args, **how)

        return called

    return decorated


def timed(kind: str, send: Callable[..., T]) -> Callable[..., T]:
    """Return the function that sends a request of a session of `requests`, each timed as a span."""

    @functools.wraps(send)
    def sending(request: Any, **how: Any) -> T:
        with span(kind, f"{request.method} {request.path_url}"):
            return send(request, **how)

    return sending


def watch(lab: str, source: Callable[[], Sequence[Meter]] | None = None, *, anew: bool = False) -> None:
    """Tell the recorder, if there is one, of the lab, and let it count the processor time of the lab's nodes.

    Args:
        lab: the lab's name.
        source: see `Processors.watch`; None for a lab whose nodes are on other machines.
        anew: see `Processors.watch`.
    """
    if _current:
        _current.lab = lab
        if source:
            _current.processors.watch(source, anew=anew)
