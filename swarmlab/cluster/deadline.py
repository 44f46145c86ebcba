"""A time by which nodes must have answered: engines and shells that hang do not keep those waiting who only look.

Without such a time a command on a node may take as long as it takes, and an engine is given long to answer.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from testinfra.host import Host

from swarmlab.errors import Overdue

#: When the time is over, by the monotonic clock.
_until: ContextVar[float] = ContextVar("until", default=math.inf)
#: The least seconds that a question is given, also when the time is over.
_LEAST = 0.2
#: Seconds in which a command that was ended must let go of its pipes.
_LAST = 1.0


@contextlib.contextmanager
def within(seconds: float, *, anew: bool = False) -> Iterator[None]:
    """Give what is asked of nodes in this context, and in threads that have a copy of it, so many seconds together.

    Args:
        seconds: the time, not scaled. An outer context may end sooner.
        anew: take no notice of outer contexts, for what must be removed in any case.

    Example:
        with within(scaled(5)):
            info = node.info()
    """
    until = time.monotonic() + seconds
    token = _until.set(until if anew else min(_until.get(), until))
    try:
        yield
    finally:
        _until.reset(token)


def left(most: float) -> float:
    """Return the seconds that are left, and no more than *most*."""
    return min(most, max(_until.get() - time.monotonic(), _LEAST))


def heed(backend: Any) -> None:
    """Have a backend of testinfra end its commands in the time that is left, also where its methods are wrapped.

    Args:
        backend: the backend; its commands take as long as they take where there is no such time.
    """
    plain = backend.run_local

    def run_local(command: str, *args: str) -> Any:
        if _until.get() == math.inf:
            return plain(command, *args)
        return _run(backend, backend.encode(backend.quote(command, *args)))

    backend.run_local = run_local
    backend.in_time = True


def run(host: Host, line: str) -> Any:
    """Run a command as testinfra does, in the time that is left.

    Raises:
        Overdue: it did not end in time. What runs on the node is ended where the connection can do that.
        RuntimeError: there is no connection.
    """
    if _until.get() == math.inf or getattr(host.backend, "in_time", False):  # such a backend looks at the time itself
        return host.run(line)
    backend = host.backend
    # Every backend of testinfra runs its command with this method, of which only the name is shared.
    limited = _copy(backend)
    limited.run_local = lambda command, *args: _run(backend, backend.encode(backend.quote(command, *args)))
    return limited.run(line)


def _copy(backend: Any) -> Any:
    made = object.__new__(type(backend))
    made.__dict__.update(backend.__dict__)
    return made


def _run(backend: Any, line: bytes) -> Any:
    process = subprocess.Popen(
        line,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    start = time.monotonic()
    try:
        out, err = process.communicate(timeout=left(math.inf))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            out, _ = process.communicate(timeout=_LAST)
        except subprocess.TimeoutExpired as still:
            # The process that holds an SSH connection open has the pipes too, until what runs on the node ends.
            out = still.output or b""
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
            process.wait()
        raise Overdue(f"did not end within {time.monotonic() - start:.0f} s", out.decode(errors="replace")) from None
    return backend.result(process.returncode, line, out, err)
