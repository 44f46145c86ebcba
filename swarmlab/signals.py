"""Signals that end a program (Ctrl-C, SIGTERM, SIGHUP): the first interrupts it, and nothing interrupts its clean-up.

The first signal raises `Interrupted` in the main thread. From then on the program cleans up: signals are blocked in the
main thread, so that neither it nor the commands that it starts notice a second Ctrl-C. A thread of its own counts them.
In the first seconds they are taken for the same wish: a terminal sends a signal to a whole group of processes, whose
members may pass it on. After these, one more signal is answered with a line, and the next ends the program at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

#: The signals that end a program.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds after the first signal in which others are taken for the same wish.
GRACE = 3.0
#: Seconds in which the main thread handles a signal, unless it came at the wrong moment; what wakes it then, which by
#: itself means nothing; and how often.
_NOTICED, _NUDGE, _NUDGES = 0.2, signal.SIGURG, 5

#: Set while work is given up: every wait raises at its next poll.
given_up = threading.Event()


class Interrupted(KeyboardInterrupt):
    """A signal has interrupted the program.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class _Ending:
    """What is known of the program's end.

    Attributes:
        first: the first signal; None before it.
        at: when it came.
        noticed: the main thread handles it, or has.
        later: the number of signals after the grace.
        deferred: the work of each context that holds the interruption back.
        due: an interruption is held back.
        on_first: called with the first signal, in the main thread.
        left: returns the last line of a program that is ended at once.
        tell: prints a line.
        status: the exit status of a program that is ended at once; None for 128 and the signal's number.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.at = 0.0
        self.noticed = threading.Event()
        self.later = 0
        self.deferred: list[str] = []
        self.due = False
        self.on_first: list[Callable[[int], None]] = []
        self.left: Callable[[], str] = lambda: ""
        self.tell: Callable[[str], None] = lambda _: None
        self.status: int | None = None


_ending = _Ending()


def received() -> int | None:
    """Return the signal that has interrupted the program; None if none has."""
    return _ending.first


def status_of(number: int) -> int:
    """Return the exit status of a program that a signal has interrupted, as a shell has it."""
    return 128 + number


def print_safely(line: str, descriptor: int = 2) -> None:
    """Print a line, also from a thread, and to a terminal that is gone."""
    with contextlib.suppress(OSError):
        os.write(descriptor, f"{line}\n".encode())


def on_first(action: Callable[[int], None]) -> None:
    """Have *action* called with the first signal, in the main thread, before the interruption is raised."""
    _ending.on_first.append(action)


def leave_at_once(status: int | None = None, program: str = "swarmlab", errors: int | None = 2) -> None:
    """End the program at a signal while it is only being loaded, before it has made anything.

    Args:
        status: the exit status; None for 128 and the signal's number.
        program: its name, for the line that it ends with.
        errors: the file descriptor that the line goes to; None to print none.
    """

    def leave(number: int, _: Any) -> NoReturn:
        hush()
        if errors is not None:
            print_safely(f"{program}: interrupted by {signal.Signals(number).name}; it had made no lab", errors)
        os._exit(status_of(number) if status is None else status)

    for number in _heeded():
        signal.signal(number, leave)


def install(tell: Callable[[str], None], left: Callable[[], str], status: int | None = None) -> Callable[[], None]:
    """Interrupt the program at the first signal; call it in the main thread. A signal that is ignored stays so.

    Args:
        tell: prints a line, from any thread.
        left: returns the last line of a program that is ended at once, from any thread.
        status: the exit status then; None for 128 and the signal's number.

    Returns:
        A function that restores what was before.
    """
    global _ending
    outer, _ending = _ending, _Ending()
    _ending.tell, _ending.left, _ending.status = tell, left, status
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    threading.Thread(target=_count, args=(reading, _ending), name="signals", daemon=True).start()
    waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _on_signal) for number in _heeded()}
    before[_NUDGE] = signal.signal(_NUDGE, lambda *_: None)
    unraisable, sys.unraisablehook = sys.unraisablehook, _not_lost(sys.unraisablehook)

    def restore() -> None:
        global _ending
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(waking)
        sys.unraisablehook = unraisable
        os.close(writing)  # which ends the thread
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        _ending = outer

    return restore


@contextlib.contextmanager
def deferred(work: str = "") -> Iterator[None]:
    """Hold an interruption back until the context ends: what is in it must not be broken off half-way.

    Args:
        work: what it is, for the line that answers a signal; empty for what takes a moment.
    """
    ending = _ending
    ending.deferred.append(work)
    try:
        yield
    finally:
        ending.deferred.remove(work)
        if ending.due and not ending.deferred and threading.current_thread() is threading.main_thread():
            ending.due = False
            assert ending.first is not None
            raise Interrupted(ending.first)


def defer_for_good(work: str) -> None:
    """Hold interruptions back from now on: the program ends, and looks at `received` by itself."""
    _ending.deferred.append(work)


@contextlib.contextmanager
def giving_up() -> Iterator[None]:
    """Make every wait raise a LabError at its next poll, until the context ends."""
    already = given_up.is_set()
    given_up.set()
    try:
        yield
    finally:
        if not already:
            given_up.clear()


def _heeded() -> list[signal.Signals]:
    """Return the signals that are not ignored, as nohup and a shell's background jobs ignore some."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def _on_signal(number: int, _: Any) -> None:
    ending = _ending
    if ending.first is not None:  # counted by the thread
        return
    ending.first, ending.at = number, time.monotonic()
    ending.noticed.set()
    # Inherited by the threads and commands that are started from now on.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    hush()
    for action in ending.on_first:
        action(number)
    if ending.deferred:
        ending.due = True
        if work := next(filter(None, ending.deferred), ""):
            ending.tell(f"{signal.Signals(number).name}: {work} is not broken off; wait until it is done")
        return
    raise Interrupted(number)


def _count(reading: int, ending: _Ending) -> None:
    """Count the signals after the grace. The first is answered with a line, the second ends the program."""
    with open(reading, "rb", buffering=0) as pipe:
        while numbers := pipe.read(1):
            number = numbers[0]
            if number in ENDING:
                _have_noticed(ending)
            if number not in ENDING or ending.first is None or time.monotonic() - ending.at < GRACE:
                continue
            ending.later += 1
            if number == signal.SIGHUP:
                hush()
            if ending.later == 1:
                ending.tell(f"{signal.Signals(number).name}: cleaning up still; another signal ends it at once")
            else:
                ending.tell(ending.left())
                os._exit(status_of(ending.first) if ending.status is None else ending.status)


def _have_noticed(ending: _Ending) -> None:
    """Wake the main thread until it handles the first signal.

    Python handles a signal once the wait of the main thread is broken off, and one that comes in the moment before a
    wait without end does not break it off.
    """
    main = threading.main_thread().ident
    assert main
    for _ in range(_NUDGES):
        if ending.noticed.wait(_NOTICED):
            return
        signal.pthread_kill(main, _NUDGE)


def _not_lost(before: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a hook for errors that cannot be raised: an interruption among them is raised again a moment later."""

    def hook(raised: Any) -> None:
        if not isinstance(raised.exc_value, Interrupted):
            before(raised)
            return
        ending, number = _ending, raised.exc_value.number

        def again() -> None:
            ending.first = None
            ending.noticed.clear()
            main = threading.main_thread().ident
            assert main
            signal.pthread_kill(main, number)

        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        threading.Timer(0.05, again).start()

    return hook


def hush() -> None:
    """Put /dev/null in the place of terminals that are gone: writing to one is an error (EIO)."""
    gone = select.poll()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(link.readlink()).startswith(("/dev/pts/", "/dev/tty")):
                gone.register(int(link.name), 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, events in gone.poll(0):
        if events & (select.POLLHUP | select.POLLERR):
            with contextlib.suppress(OSError):
                os.dup2(null, descriptor, inheritable=descriptor < 3)
    os.close(null)
