"""A command that a trial interrupts or kills, and what it leaves on this machine.

Its processes are known by a variable in their environment, and its labs by the process that made them, so that other
labs on the same engine are not mistaken for its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmlab.host import cache_folder, run_folder
from swarmlab.labs import outer, standing
from swarmlab.labs.containers import roots
from swarmlab.labs.standing import Standing
from swarmlab.netns import NETNS
from swarmlab.ownership import LABEL
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait

_MARK = "SWARMLAB_TRIAL"
#: Programs that may outlive a run: the private engine and what it starts, while labs of others are on it.
_ENGINE = ("dockerd", "containerd", "docker-proxy")


class Trial:
    """One command.

    Attributes:
        folder: its folder for temporary files and reports.
        process: the process that was started.
        pids: numbers of all processes that were seen to be its own.
    """

    def __init__(self, command: Sequence[Any], folder: Path, *, terminal: bool = False) -> None:
        """Start the command in a session of its own.

        Args:
            command: program and arguments.
            folder: where its temporary files go.
            terminal: give it a terminal, which `hang_up` takes away.
        """
        self.folder = folder
        self._id = uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self._log = folder / "output"
        self._master, slave = pty.openpty() if terminal else (None, None)
        self.pids: set[int] = set()
        self.killed: set[int] = set()

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            if terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        tied = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*tied, *map(str, command)],
                cwd=ROOT,
                env={**clean, _MARK: self._id, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
                stdin=slave if terminal else subprocess.DEVNULL,
                stdout=slave if terminal else log,
                stderr=slave if terminal else subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self.started = time.monotonic()
        if slave is not None:
            os.close(slave)
            threading.Thread(target=self._copy, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _copy(self) -> None:
        with contextlib.suppress(OSError), self._log.open("ab") as log:
            while self._master is not None and (read := os.read(self._master, 4096)):
                log.write(read)
                log.flush()

    def _watch(self) -> None:
        self.pids.add(self.process.pid)
        while self.process.poll() is None:
            self.pids |= set(self.processes())
            time.sleep(0.1)

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line that it has printed."""
        return ([line for line in self.output.splitlines() if line.strip()] or [""])[-1]

    def processes(self) -> dict[int, str]:
        """Return the command lines of its processes that run, by their numbers."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{_MARK}={self._id}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def labs(self, engine: outer.OuterEngine) -> list[Standing]:
        """Return the labs that its processes have made."""
        pids = {str(pid) for pid in self.pids}
        return [lab for lab in standing.labs(engine) if lab.maker.partition("/")[2].partition("/")[0] in pids]

    # Moments

    def wait_for(self, moment: str, engine: outer.OuterEngine, deadline: float = 120) -> None:
        """Wait until the command is at a moment.

        Args:
            moment: seconds after its start, such as "0.3"; "loading": it is being loaded, and the first of its own
                modules are; "network" or "nodes": its lab has them; else a regular expression that its output matches.
            engine: the engine of its lab.
            deadline: seconds that it may take.
        """
        if re.fullmatch(r"[\d.]+", moment):
            time.sleep(max(0.0, float(moment) - (time.monotonic() - self.started)))
            return

        def at_it() -> State:
            if moment == "loading":
                there = _heeds(self.process.pid, signal.SIGTERM)
            elif moment == "network":
                there = bool(self.labs(engine))
            elif moment == "nodes":
                there = any(len(engine.containers(f"{LABEL}={lab.name}")) > 2 for lab in self.labs(engine))
            else:
                there = bool(re.search(moment, self.output))
            return State(there, self.output[-300:], hopeless=self.process.poll() is not None)

        wait(at_it, f"the moment {moment}", deadline=deadline, every=0.05)

    # Signals

    def send(self, number: int, *, group: bool) -> None:
        """Send a signal to the command alone, or to its whole group as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)

    def hang_up(self) -> None:
        """Take its terminal away, as the end of an SSH session does."""
        assert self._master is not None
        master, self._master = self._master, None
        os.close(master)

    def end(self, deadline: float = 150) -> int:
        """Wait until it has ended; return its exit status."""
        try:
            return self.process.wait(deadline)
        finally:
            if self.process.poll() is None:
                self.process.kill()

    def close(self) -> None:
        """End what still runs of it, also in a trial that has failed."""
        for pid in self.others():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(Exception):
            wait(lambda: not self.others(), "its processes to end", deadline=60)
        for pid in self.others():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # What is left

    def others(self) -> dict[int, str]:
        """Return its processes that run, but for those of an engine that others use."""
        found = self.processes().items()
        return {pid: line for pid, line in found if not any(word in line.partition(" ")[0] for word in _ENGINE)}

    def left(self, engine: outer.OuterEngine | None) -> list[str]:
        """Return a line for each thing that the command has left on this machine."""
        found = [f"lab {lab.name}" for lab in self.labs(engine)] if engine else []
        found += [f"process {pid}: {line[:200]}" for pid, line in self.others().items()]
        found += [f"file {file}" for file in self.temporary.rglob("*") if not _is_of_pytest(file, self.temporary)]
        pids = {str(pid) for pid in self.pids}
        half_made = roots.half_made(engine) if engine else {}
        found += [f"data root {name}" for name, maker in half_made.items() if pids & {*maker.split("/")[1:2]}]
        found += [f"file {file}" for file in cache_folder().glob("*-*-*-*") if file.name.split("-")[1] in pids]
        if engine is None:
            found += [f"namespace {NETNS}"] if (Path("/run/netns") / NETNS).exists() else []
            found += [f"folder {file}" for file in (run_folder() / "labs").glob("*")]
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        found += [f"mount {mount}" for mount in mounts if mount.startswith(f"{cache_folder()}/image-")]
        labs = (run_folder() / "labs").glob("*-*")
        found += [f"folder {file}" for file in labs if file.name.rpartition("-")[2] in pids]
        return found


@contextlib.contextmanager
def engine_of_trials() -> Iterator[outer.OuterEngine]:
    """Yield the outer engine, which stays while the trials last."""
    engine = outer.connect(print)
    try:
        yield engine
    finally:
        engine.release()


def _heeds(pid: int, number: int) -> bool:
    """Whether a process has a handler of a signal. Source: proc(5), /proc/PID/status, SigCgt."""
    with contextlib.suppress(OSError):
        caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return bool(caught and int(caught[1], 16) >> (number - 1) & 1)
    return False


def _is_of_pytest(file: Path, folder: Path) -> bool:
    """Whether pytest keeps the file for its user, as it keeps the folders of its last three runs."""
    return file.relative_to(folder).parts[0].startswith("pytest-of-")


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    found = Path(sys.executable).with_name(name)
    return str(found) if found.exists() else str(shutil.which(name))
