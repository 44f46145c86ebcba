"""The one wait: every outcome that takes time is waited for here, by name, and never slept for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.evidence import provisional, record

#: Factor on every deadline, set once a run from the lab's measured speed (1.0 = container nodes on two cores).
_scale = 1.0
#: Polls are at most this many times rarer on a slow lab.
_RARER = 5.0


#: Set while whoever waits is to give up.
_given_up = threading.Event()


@contextlib.contextmanager
def giving_up() -> Iterator[None]:
    """Until the context ends, let every wait end at its next poll with a LabError: the run is stopped."""
    _given_up.set()
    try:
        yield
    finally:
        _given_up.clear()


def set_scale(factor: float) -> None:
    """Stretch all deadlines by *factor* (a lab of emulated machines is many times slower than containers)."""
    global _scale
    if factor <= 0:
        raise ValueError(f"a deadline scale is positive, not {factor}")
    _scale = factor


def scaled(seconds: float) -> float:
    """*seconds* on this lab's clock: what a deadline of the reference speed means here."""
    return seconds * _scale


@dataclass(frozen=True)
class State:
    """What a predicate saw.

    Attributes:
        done: the awaited outcome holds.
        seen: the state in words, for the error that a missed deadline raises.
        hopeless: the outcome can no longer come about, so waiting on is pointless.
    """

    done: bool
    seen: str = ""
    hopeless: bool = False

    def __bool__(self) -> bool:
        return self.done


def _as_state(answer: State | bool) -> State:
    return answer if isinstance(answer, State) else State(bool(answer), str(answer))


def wait(
    predicate: Callable[[], State | bool],
    reason: str,
    *,
    deadline: float = 30.0,
    stable: int = 1,
    every: float = 0.2,
    error: type[Exception] = DeadlineExceeded,
) -> State:
    """Poll *predicate* until it holds on *stable* polls in a row.

    Args:
        predicate: tells the state now; a plain bool will do, a `State` explains itself.
        reason: what is waited for, as it should read after "waiting for".
        deadline: seconds at reference speed; scaled by the lab (see `set_scale`).
        stable: how many polls in a row must hold (a state that flickers is not reached).
        every: seconds between two polls; up to five times as long on a slow lab.
        error: raised when the deadline passes or the state is hopeless. `DeadlineExceeded` for the way to a
            judgement; AssertionError where the claim itself promises the outcome (see `eventually`).

    Returns:
        The last state.

    Example:
        wait(lambda: len(service.running()) == 3, "3 running tasks of web", stable=2)
    """
    limit = scaled(deadline)
    start = time.monotonic()
    held = polls = 0
    while True:
        with provisional() as keep:
            try:
                state = _as_state(predicate())
            except BaseException:
                keep()
                raise
        polls += 1
        held = held + 1 if state.done else 0
        waited = time.monotonic() - start
        how = f"after {waited:.1f} s and {polls} polls: {state.seen}"
        if held >= stable or state.hopeless or waited >= limit:
            keep()  # the polls before were alike, but for the outcome
            record("suite", f"waited for {reason}", how)
        if held >= stable:
            return state
        if state.hopeless:
            raise error(f"waiting for {reason}: cannot come about any more {how}")
        if waited >= limit:
            raise error(f"waiting for {reason}: not so {how}")
        if _given_up.is_set():
            raise LabError(f"waiting for {reason}: given up, as the run is stopped")
        # Being asked costs a slow node the time that it needs to get there.
        time.sleep(every * min(_scale, _RARER))


def eventually(
    predicate: Callable[[], State | bool],
    promise: str,
    *,
    deadline: float = 30.0,
    stable: int = 1,
    every: float = 0.2,
) -> State:
    """`wait` for what a claim itself promises: a missed deadline is an AssertionError, the cluster does not conform."""
    return wait(predicate, promise, deadline=deadline, stable=stable, every=every, error=AssertionError)
