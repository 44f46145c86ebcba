"""This machine: folders of the project's own, locks between its processes, and what is installed for it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from swarmlab import netns
from swarmlab.errors import UsageError

Progress = Callable[[str], None]


def run_folder() -> Path:
    """Where sockets and locks of running labs live; gone after a reboot of the machine."""
    if os.geteuid() == 0:
        return Path("/run/swarmlab")
    return Path(os.environ.get("XDG_RUNTIME_DIR", f"/tmp/swarmlab-{os.geteuid()}")) / "swarmlab"


def cache_folder() -> Path:
    """Where images and the private engine's data stay between runs (SWARMLAB_CACHE overrides)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("SWARMLAB_CACHE", base / "swarmlab"))


@contextmanager
def alone(work: str) -> Iterator[None]:
    """Let one process of this user at a time do *work*; others wait."""
    run_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (run_folder() / f"{work}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def machines_folder() -> Path:
    """Where boxes, machines and their snapshots are kept: where also a QEMU that is not root's may enter."""
    return Path(os.environ.get("SWARMLAB_CACHE", "/var/lib/swarmlab"))


@contextmanager
def only_one(progress: Progress = lambda _: None) -> Iterator[None]:
    """Let one process at a time make images, and remove what one that was killed left of its work.

    Args:
        progress: told when another process has to be waited for.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "images.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that makes images")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("image-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def install(packages: Sequence[str], progress: Progress) -> None:
    """Install Debian packages on this machine.

    Raises:
        UsageError: no rights, no apt, or the installation failed.
    """
    wanted = " ".join(packages)
    if not shutil.which("apt-get"):
        raise UsageError(f"this machine needs {wanted}, and has no apt-get to install it with; install it")
    root = as_root()
    if root is None:
        raise UsageError(f"no rights to install what is missing here; run: sudo apt-get install {wanted}")
    progress(f"installing {wanted} (about a minute)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A new machine may be installing updates of its own; whoever else installs meanwhile is waited for.
    apt = [*netns.outside(), *root, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"]
    with alone("install"):
        subprocess.run([*apt, "update"], check=False, capture_output=True, env=environment)
        # The docker command is a package of its own since Debian 13.
        split = subprocess.run(["apt-cache", "show", "docker-cli"], check=False, capture_output=True).returncode == 0
        more = ["docker-cli"] if split and "docker.io" in packages else []
        command = [*apt, "install", "--no-install-recommends", *packages, *more]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"apt-get could not install {wanted}: {last}")


def as_root() -> list[str] | None:
    """The words that give a command root's rights without a prompt: none are needed, sudo, or None: no way."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None
