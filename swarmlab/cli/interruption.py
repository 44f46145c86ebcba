"""How a command that a signal has interrupted ends: in order, and with a last line that says what is left."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from swarmlab import children, ownership, signals
from swarmlab.labs import outer


def guarded(run: Callable[[], int]) -> int:
    """Run a command, which takes down what it has made where a signal interrupts it.

    Args:
        run: runs the command, and returns its exit status.

    Returns:
        The command's exit status, or that of the signal.
    """

    def tell(line: str) -> None:
        signals.print_safely(f"swarmlab: {line}")

    restore = signals.install(tell, ownership.last_line)
    signals.on_first(children.end_all)
    try:
        status = _run(run)
        number = signals.received()
        if number is None:
            return status
        outer.end_unused()
        _let_go_of_output()
        tell(ownership.last_line())
        return signals.status_of(number)
    finally:
        restore()


def _run(run: Callable[[], int]) -> int:
    try:
        return run()
    except KeyboardInterrupt:
        if signals.received() is None:  # raised by hand
            raise
    except Exception:
        # What an interrupted command meets, such as a program that the same signal has ended, is no error of its own.
        if signals.received() is None:
            raise
    return 0


def _let_go_of_output() -> None:
    """Write what is buffered; where the reader is gone, drop it, as Python would fail on it when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
