"""Who uses a lab: one run at a time works on a lab that stands, and nothing takes it down meanwhile.

A run that uses a lab which was brought up by hand holds a lock on a file beside the sockets of the lab's nodes. The
kernel releases it when the process ends, however it ends. A lab that a run made for itself has the run as its owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.host import make_folder, run_folder, sign, signature
from swarmlab.labs import standing
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.standing import SOCKET, Standing
from swarmlab.ownership import LABEL, USER, is_here, owner_of

#: Characters of a command line that a message shows.
_SHOWN = 100


def hold(outer: OuterEngine, lab: Standing) -> IO[str]:
    """Let this process alone use a lab, until the returned file is closed or the process ends.

    Raises:
        UsageError: another process uses it; the message says which, since when, and what to do.
    """
    if using := _owner_at_work(lab):
        raise UsageError(f"lab {lab.name} was made by {using}, which is at work; wait until it ends")
    file = _file(outer, lab.name)
    try:
        make_folder(file.parent)
        lock = file.open("a+")
    except OSError as failed:
        raise UsageError(f"lab {lab.name}: {file} cannot be opened: {failed.strerror}; it is another user's") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        using = _holder(lock)
        lock.close()
        raise UsageError(f"lab {lab.name} is in use by {using}; wait until it ends") from None
    sign(lock)
    return lock


@contextlib.contextmanager
def held(outer: OuterEngine, name: str) -> Iterator[None]:
    """`hold` the lab of this name for a while; do nothing if there is none."""
    with contextlib.ExitStack() as afterwards:
        for lab in standing.labs(outer):
            if lab.name == name:
                afterwards.enter_context(hold(outer, lab))
        yield


def _file(outer: OuterEngine, name: str) -> Path:
    """Return the lock file of a lab. It is where the lab's maker, perhaps another user, has the lab's sockets."""
    sockets = [Path(found.labels[SOCKET]) for found in outer.containers(f"{LABEL}={name}", SOCKET)]
    return (sockets[0].parent.parent if sockets else run_folder() / "labs" / name) / "used.lock"


def _holder(lock: IO[str]) -> str:
    """Return who holds a lock, from what the holder wrote into the file."""
    if (signed := signature(lock)) is None:
        return "another process"
    program, *arguments = signed.command or ("",)
    command = shown(shlex.join([Path(program).name, *arguments]), _SHOWN)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(signed.since))
    return f"process {signed.pid} ({command}) since {since}"


def _owner_at_work(lab: Standing) -> str:
    """Return which process made a lab for itself, if it still runs and did not start this process; else nothing."""
    if lab.owner == USER or not lab.alive:
        return ""
    its = owner_of(lab.owner)
    if is_here(lab.owner):
        return "" if int(its.pid) in _lineage() else f"process {its.pid}"
    return f"process {its.pid} in container {its.container}" if its.container else f"process {its.pid} on {its.home}"


def _lineage() -> Iterator[int]:
    """Yield the number of this process, of the process that started it, and so on."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
