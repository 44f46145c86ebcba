"""The one wait: polls a condition that has a name and a deadline. Nothing in this project sleeps for an outcome."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import ParamSpec

from swarmlab.errors import DeadlineExceeded, LabError, TasksRefused
from swarmlab.evidence import provisional, record
from swarmlab.lists import few
from swarmlab.signals import given_up
from swarmlab.timing import spanned

#: The speed factor: every deadline is scaled by it. A run sets it once, as measured (1.0: container nodes, two cores).
_scale = 1.0
#: The largest factor by which the time between two polls is scaled.
_RARER = 5.0
#: The first pause between two polls is this part of what the caller asks for; each later one is twice the one before.
_FIRST = 1 / 10
#: What has been waited for long is looked at less often: the longest pause as a part of the time waited so far, and its
#: most seconds.
_LATER, _LONGEST = 1 / 20, 1.0
#: Of many equal things, the last may take so many times as long as the slowest of those that came; and so many polls
#: must have found it missing while most were there.
_TIMES, _MISSES = 10.0, 4
#: A condition that holds at the deadline has so many times the deadline to hold on as many polls as it must.
_SLOWEST = 4
#: So many of them say something of the others where no more than half came.
_ENOUGH = 3
#: Called while something is waited for, in every thread; the seconds between two calls.
_guards: list[Callable[[], None]] = []
_GUARDED = 5.0
#: What the main thread waits for now, each within the one before it: the reason, and since when (as `time.monotonic`).
_under_way: list[tuple[str, float]] = []
P = ParamSpec("P")
T = TypeVar("T")


@contextlib.contextmanager
def guarded(guard: Callable[[], None]) -> Iterator[None]:
    """Let every wait call *guard* every few seconds until the context ends; what it raises ends the wait."""
    _guards.append(guard)
    try:
        yield
    finally:
        _guards.remove(guard)


def under_way() -> tuple[str, float] | None:
    """Return what the main thread waits for now, and since when (as `time.monotonic`); None if it does not wait.

    Call it from any thread, to show what a run is at.
    """
    try:
        return _under_way[0]
    except IndexError:
        return None


def _noted(call: Callable[P, T]) -> Callable[P, T]:
    """Let `under_way` know of a wait."""

    @functools.wraps(call)
    def noted(*args: P.args, **how: P.kwargs) -> T:
        if threading.current_thread() is not threading.main_thread():  # beside a test, which does not wait for it
            return call(*args, **how)
        _under_way.append((str(how.get("reason") or args[1]), time.monotonic()))
        try:
            return call(*args, **how)
        finally:
            _under_way.pop()

    return noted


def set_scale(factor: float) -> None:
    """Set the factor by which all deadlines are scaled; emulated machines are many times slower than containers.

    Raises:
        ValueError: *factor* is not positive.
    """
    global _scale
    if factor <= 0:
        raise ValueError(f"a speed factor must be positive, not {factor}")
    _scale = factor


def scaled(seconds: float) -> float:
    """Return *seconds* at reference speed scaled to the speed of this lab."""
    return seconds * _scale


@dataclass(frozen=True)
class State:
    """The state of a condition, as a predicate returns it. As a bool it is true if the condition holds.

    Attributes:
        done: whether the condition holds.
        summary: the state in a few words, for the error that a missed deadline raises.
        hopeless: whether the condition can never hold any more, so that waiting is pointless.
        refused: whether it is hopeless because an engine refuses tasks for good.
        each: whether it holds for each of the things that it is about, by name; empty where they are not told apart.
    """

    done: bool
    summary: str = ""
    hopeless: bool = False
    refused: bool = False
    each: Mapping[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.done


def _as_state(found: State | bool) -> State:
    return found if isinstance(found, State) else State(bool(found), str(found))


def of_each(states: Mapping[str, State]) -> State:
    """Return whether a condition holds for each of many things, by name; the summary has those of which it does not.

    Where it is itself about several, as a node that is to reach all tasks, each of these counts.
    """
    wrong = [state.summary for state in states.values() if not state]
    each: dict[str, bool] = {}
    for name, state in states.items():
        each |= {f"{name}: {part}": done for part, done in state.each.items()} if state.each else {name: state.done}
    return State(
        not wrong,
        few(wrong, "; ") or "so for each",
        hopeless=any(state.hopeless for state in states.values()),
        refused=any(state.refused for state in states.values()),
        each=each,
    )


class _Alike:
    """Many equal things that are waited for, and when each came; by what most took, the last are judged.

    On slow machines a deadline is long, as all is slow there. If most of many equal things came soon, the machines are
    not that slow, and what is still missing does not come. So once more than half have come, or half and at least
    `_ENOUGH`, the last have `_TIMES` times what the slowest of those took, and never less than twice the deadline at
    reference speed: timers, such as those of gossip, take as long on any machine. Both count from the moment the first
    came, so that what delayed all is nobody's fault.

    Args:
        floor: the least that the last have, in seconds.
    """

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._came: dict[str, float] = {}
        self._misses = 0

    def note(self, each: Mapping[str, bool], at: float) -> None:
        """Note which things are there at a poll.

        Args:
            each: whether it is there, of each thing by name; empty if this poll does not tell them apart.
            at: when the poll began, in seconds since the wait did. That the things took no longer is an estimate that
                favours none: how long the poll itself takes depends on those that are missing.
        """
        self._came = {name: self._came.get(name, at) for name, there in each.items() if there}
        came = len(self._came)
        most = 2 * came > len(each) or (came >= _ENOUGH and 2 * came == len(each))
        self._misses = self._misses + 1 if most and came < len(each) else 0

    @property
    def limit(self) -> float | None:
        """Seconds since the wait began that the last things have; None as long as the others say nothing of it."""
        if self._misses < _MISSES:
            return None
        first, slowest = min(self._came.values()), max(self._came.values())
        return first + max(self._floor, _TIMES * slowest)

    def __str__(self) -> str:
        return (
            f"the other {len(self._came)} came within {max(self._came.values()):.0f} s, so the last were not waited "
            "for longer"
        )


@_noted
@spanned("wait", lambda _, reason, **how: reason)  # noqa: ARG005 - as `wait` is called
def wait(
    predicate: Callable[[], State | bool],
    reason: str,
    *,
    deadline: float = 30.0,
    stable: int = 1,
    every: float = 0.2,
    alike: bool = False,
    error: type[Exception] = DeadlineExceeded,
) -> State:
    """Poll *predicate* until it holds on *stable* polls in a row.

    Much comes about at once, so the first polls follow each other sooner. What takes long is noticed a twentieth of its
    time late, and a second at most.

    Args:
        predicate: returns whether the condition holds now, as a bool or as a `State` with a summary.
        reason: the condition, as the message names it after "waiting for".
        deadline: seconds at reference speed (see `set_scale`).
        stable: number of polls in a row at which it must hold, so that holding for a moment does not count.
        every: seconds between two polls, after the first and before the late ones, and from a poll at which it holds to
            the next; up to five times as many on a slow lab.
        alike: whether the things of `State.each` are in the same case, so that the last of them are judged by what the
            others took (see `_Alike`). Not so where one has more to do than the others: it is being started, was cut
            off, or pulls an image that they have.
        error: what is raised when the deadline passes or the state is hopeless: `DeadlineExceeded` for a
            precondition of a judgement, AssertionError for what the claim promises (see `eventually`).

    Returns:
        The last state.

    Raises:
        Exception: an *error*; the condition did not come to hold in time.
        TasksRefused: an engine refuses tasks for good, whatever *error* is.
        LabError: the run is being stopped, or a guard found that the lab has ended (see `guarded`).

    Example:
        wait(lambda: len(service.running()) == 3, "3 running tasks of web", stable=2)
    """
    limit = scaled(deadline)
    start = guarded_at = time.monotonic()
    held = polls = 0
    pause = every * _FIRST
    others = _Alike(2 * deadline)
    while True:
        began = time.monotonic() - start
        with provisional() as keep:
            try:
                state = _as_state(predicate())
            except BaseException:
                keep()
                raise
        polls += 1
        held = held + 1 if state.done else 0
        waited = time.monotonic() - start
        how = f"after {waited:.1f} s and {polls} polls: {state.summary}"
        if alike:
            others.note(state.each, began)
            if others.limit is not None and others.limit <= began and others.limit < limit:
                limit, how = others.limit, f"{how} ({others})"
        # A condition that holds so far is not given up between two slow polls.
        late = waited >= (_SLOWEST * limit if state.done else limit)
        if held >= stable or state.hopeless or state.refused or late:
            keep()  # the evidence has the last poll only; those before it differ in the outcome alone
            record("suite", f"waited for {reason}", how)
        if held >= stable:
            return state
        if state.refused:
            raise TasksRefused(f"waiting for {reason}: {state.summary} ({waited:.0f} s waited)")
        if state.hopeless:
            raise error(f"waiting for {reason}: cannot come about any more {how}")
        if late:
            raise error(f"waiting for {reason}: not so {how}")
        if given_up.is_set():
            raise LabError(f"waiting for {reason}: given up, as the run is stopped")
        if time.monotonic() - guarded_at >= _GUARDED:
            guarded_at = time.monotonic()
            for guard in list(_guards):
                guard()
        if state.done:
            pause = every  # what does not last as long has not been stable
        # On a slow node each poll takes time away from what is waited for.
        time.sleep(pause * min(_scale, _RARER))
        pause = min(2 * pause, max(every, min(waited * _LATER, _LONGEST)))


def eventually(
    predicate: Callable[[], State | bool],
    promise: str,
    *,
    deadline: float = 30.0,
    stable: int = 1,
    every: float = 0.2,
    alike: bool = False,
) -> State:
    """`wait` for what a claim promises: a missed deadline raises an AssertionError (verdict *fail*)."""
    return wait(predicate, promise, deadline=deadline, stable=stable, every=every, alike=alike, error=AssertionError)
