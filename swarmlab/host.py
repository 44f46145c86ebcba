"""This machine: the project's folders on it, locks between processes, processes, packages, and root's rights."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab import netns, signals
from swarmlab.errors import UsageError

#: Takes a line for every step that takes time.
Progress = Callable[[str], None]


def run_folder() -> Path:
    """Return the folder of sockets and locks of labs that run. It does not survive a reboot of the machine."""
    if os.geteuid() == 0:
        return Path("/run/swarmlab")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/tmp/swarmlab-{os.geteuid()}")) / "swarmlab"


def cache_folder() -> Path:
    """Return the folder of images and the private engine's data. It stays between runs (SWARMLAB_CACHE sets it)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("SWARMLAB_CACHE", base / "swarmlab"))


def machines_folder() -> Path:
    """Return the folder of boxes, machines and their snapshots (SWARMLAB_CACHE sets it).

    It is not below a user's home: QEMU may run as another user, who must reach it.
    """
    return Path(os.environ.get("SWARMLAB_CACHE", "/var/lib/swarmlab"))


@contextmanager
def alone(work: str, progress: Progress = lambda _: None, *, folder: Path | None = None) -> Iterator[None]:
    """Let one process at a time do *work*; others wait.

    Args:
        work: the name of the lock.
        progress: called with a line before it waits for another process.
        folder: where the lock file is; by default `run_folder`, which processes of one user share.
    """
    place = folder or run_folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (place / f"{work}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process ({work})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Yield an empty folder in the cache, which goes when the context ends; those of killed processes go before.

    Args:
        kind: how its name begins.
    """
    place = cache_folder()
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(f"{kind}-*"):
        named = re.fullmatch(rf"{re.escape(kind)}-(\d+)-(\d+)-\w+", left.name)
        user = process(int(named[1])) if named else None
        if named and (user is None or user.started != named[2]):
            shutil.rmtree(left, ignore_errors=True)
    me = process(os.getpid())
    assert me
    prefix = f"{kind}-{me.pid}-{me.started}-"
    # A command of root's that is ended may leave files that this user cannot remove.
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Process:
    """A process that runs on this machine.

    Attributes:
        pid: its number, which another process may have later.
        started: when it started, in the kernel's ticks since boot; with the number it names one process.
        arguments: its program and that program's arguments.
    """

    pid: int
    started: str
    arguments: tuple[str, ...]


def process(pid: int) -> Process | None:
    """Return the process of this number; None if it does not exist, or has ended and waits for its parent (a zombie).

    Source: proc(5), /proc/PID/stat and /proc/PID/cmdline.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return None if fields[0] == "Z" else Process(pid, fields[19], tuple(arguments.rstrip("\0").split("\0")))


def process_of(pidfile: Path, programs: Sequence[str]) -> int | None:
    """Return the pid in a pid file; None unless that process runs a program whose path contains one of *programs*."""
    try:
        found = process(int(pidfile.read_text()))
    except (OSError, ValueError):
        return None
    return found.pid if found and any(program in found.arguments[0] for program in programs) else None


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install Debian packages on this machine.

    Raises:
        UsageError: there is no apt, this user has no rights, or the installation failed.
    """
    wanted = " ".join(packages)
    if not shutil.which("apt-get"):
        raise UsageError(f"this machine needs {wanted} and has no apt-get; install it by hand")
    root = as_root()
    if root is None:
        raise UsageError(f"this user may not install packages; run: sudo apt-get install {wanted}")
    progress(f"installing {wanted} (about a minute)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A new machine may be installing updates by itself; the lock timeout waits for that.
    apt = [*netns.outside(), *root, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"]
    # Packages that are installed by half would be the user's to mend, so apt is neither ended nor interrupted.
    with alone("install"), signals.deferred(f"the installation of {wanted}"):
        quietly: dict[str, Any] = {"check": False, "capture_output": True, "text": True, "start_new_session": True}
        subprocess.run([*apt, "update"], env=environment, **quietly)
        # Since Debian 13 the docker command is in a package of its own.
        split = subprocess.run(["apt-cache", "show", "docker-cli"], check=False, capture_output=True).returncode == 0
        more = ["docker-cli"] if split and "docker.io" in packages else []
        command = [*apt, "install", "--no-install-recommends", *packages, *more]
        done = subprocess.run(command, env=environment, **quietly)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"apt-get could not install {wanted}: {last}")


def as_root() -> list[str] | None:
    """Return the prefix that runs a command as root without a prompt; None if this user cannot."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None
