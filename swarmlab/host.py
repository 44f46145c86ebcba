"""This machine: the project's folders on it, locks between processes, processes, packages, and root's rights."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from swarmlab import distribution, downloads, netns, signals
from swarmlab.errors import UsageError
from swarmlab.files import exists, named, reason, shown

T = TypeVar("T")
#: Takes a line for every step that takes time.
Progress = Callable[[str], None]

#: Bytes of a mebibyte.
MIB = 2**20
#: The files of a container's limit of memory, for both versions of control groups.
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
#: The id of a container in a path or in the name of a control group.
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
#: The folders of system programs, such as dockerd, ip and virsh's daemon.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
#: Variables that name a proxy, which apt and mmdebstrap heed.
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
#: Seconds after which a folder of a process of another host or container is left over.
_OLD = 24 * 3600.0
#: Seconds that sudo may take to say whether it runs commands.
_SUDO = 20.0
#: Characters of a command line that a message shows.
_SHOWN = 120
#: Seconds between two lines that say for which process this one waits.
_REMINDER = 60.0
#: How often a folder is made that other processes remove as empty.
_ATTEMPTS = 1000


def user_name() -> str:
    """Return who runs this process, for records: the login name, and as whom it runs if that is another.

    Example:
        "ops", "root", or "ops, as root" with sudo
    """
    name = login_name()
    # With sudo, and in the jobs of GitLab and GitHub, the person has another name than the process.
    by = os.environ.get("SUDO_USER") or os.environ.get("GITLAB_USER_LOGIN") or os.environ.get("GITHUB_ACTOR")
    return f"{by}, as {name}" if by and by != name else name


def person() -> str:
    """Return the login name of who runs this process; with sudo, of who ran that."""
    if os.geteuid() == 0 and (by := os.environ.get("SUDO_USER")):
        return by
    return login_name()


def login_name() -> str:
    """Return the login name as which this process runs; its user's number if that has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in a container with the user of another system
        return str(os.geteuid())


def run_folder() -> Path:
    """Return the folder of sockets and locks of labs that run; it need not exist (see `make_folder`).

    A lab that is made by hand outlives the login of its user. So the folder is not the login's runtime folder, which
    systemd empties at logout, nor below a home, which a logout may unmount, or which may be on a network file system
    that keeps root out. A socket's whole path has at most 107 bytes.

    Raises:
        UsageError: another user has made the folder, and could read or replace what is in it.
    """
    if os.geteuid() == 0:
        return Path("/run/swarmlab")
    folder = Path(f"/var/tmp/swarmlab-{os.geteuid()}")
    with contextlib.suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise UsageError(f"{folder}: is not a folder of this user; let its owner or root remove it")
    return folder


def make_folder(folder: Path) -> Path:
    """Make a folder, and those above it, and return it. No other user may enter one in `run_folder`.

    Raises:
        OSError: it cannot be made.
    """
    above = [one for one in reversed(folder.parents) if one.is_relative_to(run_folder())]
    for left in reversed(range(_ATTEMPTS)):
        try:
            for each in above:
                each.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, parents=not above, exist_ok=True)
            break
        # Another process has removed one of them as empty: one above it, or one that was there a moment ago.
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
    return folder


def in_folder(folder: Path, make: Callable[[], T]) -> T:
    """Make a folder (see `make_folder`), and return what *make* makes in it.

    Until there is something in it, another process may remove it as empty: then both are made again.

    Raises:
        OSError: it cannot be made, or *make* raises it.
    """
    for left in reversed(range(_ATTEMPTS)):
        make_folder(folder)
        try:
            return make()
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError("there is at least one attempt")


def own_folder(kind: str) -> Path:
    """Make this process's folder of a kind in `run_folder`, and return it; those of ended processes are removed.

    Args:
        kind: the name of the folder above.
    """
    mine = make_folder(run_folder() / kind / own_name())
    with contextlib.suppress(FileNotFoundError):  # another thread has removed them as empty (see `in_folder`)
        for other in mine.parent.iterdir():
            if ended(other.name):
                shutil.rmtree(other, ignore_errors=True)
    return mine


def drop_folder(folder: Path) -> None:
    """Remove a folder in `run_folder` if it is empty, and each folder above it that is empty then."""
    with contextlib.suppress(OSError):
        while folder.is_relative_to(run_folder()):
            folder.rmdir()
            folder = folder.parent


def lock_file(file: Path, take: Callable[[IO[str]], object]) -> IO[str]:
    """Return a lock file, open and locked. Its holder may remove it: who waited for it makes it anew.

    Args:
        file: its path; the folder is made.
        take: locks the open file.

    Raises:
        OSError: it cannot be made, or *take* raises it.
    """
    while True:
        lock = in_folder(file.parent, lambda: file.open("a+", encoding="utf-8"))
        try:
            take(lock)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                    return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def cache_folder() -> Path:
    """Return the folder of images and the private engine's data. It stays between runs (SWARMLAB_CACHE sets it)."""
    if own := os.environ.get("SWARMLAB_CACHE"):
        return named(own, "SWARMLAB_CACHE").absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (
        named(base, "XDG_CACHE_HOME") if base else named("~/.cache", "the home of this user")
    ).absolute() / "swarmlab"


def machines_folder() -> Path:
    """Return the folder of boxes, machines and their snapshots (SWARMLAB_CACHE sets it).

    It is not below a user's home: QEMU may run as another user, who must reach it.
    """
    return named(os.environ.get("SWARMLAB_CACHE") or "/var/lib/swarmlab", "SWARMLAB_CACHE").absolute()


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that programs can still have on this machine; None if it does not tell.

    In a container with a limit it is no more than that limit.

    Args:
        root: the folder that holds proc and sys.
    """
    found = []
    with contextlib.suppress(OSError):
        if available := re.search(r"^MemAvailable: +(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE):
            found.append(int(available[1]) * 1024)
    for limit in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # there is none, or it is the word "max"
            found.append(int((root / limit).read_text()))
    return min(found, default=None)


def check_cache() -> None:
    """Check that images can be kept in `cache_folder`; nothing is made.

    Raises:
        UsageError: a file is in its place, or this user may not write there.
    """
    place = cache_folder()
    about = f"SWARMLAB_CACHE={shown(place)}" if os.environ.get("SWARMLAB_CACHE") else f"the cache {shown(place)}"
    mend = "set SWARMLAB_CACHE to a folder that this user may write"
    there = next(folder for folder in (place, *place.parents) if exists(folder) or folder == folder.parent)
    if not there.is_dir():
        raise UsageError(f"{about}: is a file; {mend}" if there == place else f"{about}: {there} is a file; {mend}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{about}: this user may not write in {there}; {mend}")


@contextmanager
def alone(work: str, progress: Progress = lambda _: None, *, folder: Path | None = None) -> Iterator[None]:
    """Let one process at a time do *work*; others wait, and say for which process.

    Args:
        work: the name of the lock.
        progress: called with a line before it waits for another process, and every minute of the wait.
        folder: where the lock file is; by default `run_folder`, which processes of one user share.

    Raises:
        UsageError: the lock file cannot be made.
    """
    place = folder or run_folder()
    file = place / f"{work}.lock"
    try:
        lock = lock_file(file, functools.partial(_take, work=work, progress=progress))
    except OSError as failed:
        mend = "set SWARMLAB_CACHE to another folder" if folder else "make room, or mend its rights"
        raise UsageError(f"{shown(place)}: cannot be used: {reason(failed)}; {mend}") from None
    with lock:
        with contextlib.suppress(OSError):  # a full disk: who waits knows less, and nothing else fails
            sign(lock)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # as on a disk that is read-only by now
                file.unlink()
            drop_folder(place)


def _take(lock: IO[str], work: str, progress: Progress) -> None:
    begun, due = time.monotonic(), 0.0
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - begun
        if waited >= due:
            so_far = f", for {waited:.0f} s so far" if due else ""
            progress(f"waiting for {_holder(lock)} to end its work on {work}{so_far}")
            due = waited + _REMINDER
        time.sleep(0.2)


def sign(lock: IO[str]) -> None:
    """Write who holds a lock into its file, for processes that wait for it."""
    text = signed()
    # Past the file's buffer: on a full disk what stays in a buffer fails again when the file is closed.
    os.ftruncate(lock.fileno(), 0)
    os.pwrite(lock.fileno(), text.encode(), 0)


@dataclass(frozen=True)
class Signature:
    """Who holds a lock. As a string: its command, and since when it holds the lock.

    Attributes:
        pid: number of the process.
        since: when it took the lock, in seconds since the epoch.
        command: its program and that program's arguments, without the interpreter.
    """

    pid: int
    since: float
    command: tuple[str, ...]

    def __str__(self) -> str:
        program, *arguments = self.command or ("",)
        command = shown(shlex.join([Path(program).name, *arguments]), _SHOWN)
        return f"{command}; since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))}"


def signature(lock: IO[str]) -> Signature | None:
    """Return what the holder of a lock wrote into its file with `sign`; None if that cannot be read."""
    try:
        lock.seek(0)
        return signature_in(lock.read())
    except (OSError, ValueError):
        return None


def signed() -> str:
    """Return who this process is and since when, as the holder of a lock that it takes now."""
    return json.dumps({"pid": os.getpid(), "since": time.time(), "command": sys.orig_argv})


def signature_in(text: str) -> Signature | None:
    """Return the holder of a lock by what it `signed`; None if that cannot be read."""
    try:
        raw = json.loads(text)
        words = [str(word) for word in raw["command"]]
        command = words[1:] if len(words) > 1 and Path(words[0]).name.startswith("python") else words
        return Signature(int(raw["pid"]), float(raw["since"]), tuple(command))
    except (ValueError, KeyError, TypeError):
        return None


def _holder(lock: IO[str]) -> str:
    """Return in words which process holds a lock: its number, its command, and since when."""
    by = signature(lock)
    return f"process {by.pid} ({by})" if by else "another process"


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Yield an empty folder in the cache, which goes when the context ends; those of killed processes go before.

    Hosts and containers may share a cache. Of folders of their processes nothing is known here; old ones go.

    Args:
        kind: how its name begins.
    """
    place = cache_folder()
    place.mkdir(parents=True, exist_ok=True)
    own = f"{kind}-{numbering()}-"
    for left in place.glob(f"{kind}-*"):
        if ended(left.name, own) or (not left.name.startswith(own) and _is_old(left)):
            shutil.rmtree(left, ignore_errors=True)
    made = None
    try:
        with tempfile.TemporaryDirectory(prefix=f"{own_name(own)}-", dir=place, ignore_cleanup_errors=True) as folder:
            made = Path(folder)
            yield made
    finally:
        if made:
            remove_as_root(made)


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _OLD
    except OSError:
        return False


def remove_as_root(folder: Path) -> None:
    """Remove what a command of root's has left in a folder, which this user could not."""
    if folder.exists() and (root := as_root()) is not None:
        subprocess.run([*root, "rm", "-rf", "--one-file-system", folder], check=False, capture_output=True)


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
        started = start_in(Path(f"/proc/{pid}/stat").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return Process(pid, started, tuple(arguments.rstrip("\0").split("\0"))) if started else None


def runs(pid: int, started: str) -> bool | None:
    """Whether a process runs on this machine; None if this user may not see whether it is that one (proc(5), hidepid).

    Args:
        pid: its number.
        started: when it started (see `Process`).
    """
    if found := process(pid):
        return found.started == started
    try:
        os.kill(pid, 0)  # which asks only whether there is one
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        with contextlib.suppress(OSError):
            return start_in(Path(f"/proc/{pid}/stat").read_text()) == started
        return None
    return False  # it has ended, and waits for its parent


@functools.cache
def numbering() -> str:
    """Return a short name for what numbers of processes mean here: one for this boot, and for this namespace of them.

    Example:
        "95a0c6de-0b1f77aa"
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = boot.read_text() if boot.exists() else "", str(Path("/proc/self/ns/pid").readlink())
    return "-".join(hashlib.sha256(part.encode()).hexdigest()[:8] for part in parts)


@functools.cache
def machine() -> str:
    """Return a short name for this machine over all its boots; empty in a container, whose image may have the file.

    Machines that were cloned carelessly have the same. Source: machine-id(5).
    """
    file = Path("/etc/machine-id")
    identity = file.read_text().strip() if file.is_file() and not containers_here() else ""
    return hashlib.sha256(f"swarmlab {identity}".encode()).hexdigest()[:8] if len(identity) == 32 else ""


def start_in(stat: str) -> str:
    """Return when a process started, given its /proc/PID/stat; empty if it has ended and waits for its parent."""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def own_name(prefix: str = "") -> str:
    """Return how a name begins that no other process gives: the prefix, this process's number and its start."""
    me = process(os.getpid())
    assert me
    return f"{prefix}{me.pid}-{me.started}"


def ended(name: str, prefix: str = "") -> bool:
    """Whether a name that begins as `own_name` is of a process that has ended; False for other names."""
    found = re.match(rf"{re.escape(prefix)}(\d+)-(\d+)(?!\w)", name)
    return found is not None and runs(int(found[1]), found[2]) is False


def containers_here(root: Path = Path("/")) -> list[str]:
    """Return the ids of containers that this process may run in, the likeliest first; empty outside of any.

    An engine mounts files of a container's own folder in it, which its id names. With cgroup v1, its control groups are
    named by the id, too. Whether an engine has such a container, only that engine knows.

    Args:
        root: the folder that holds proc.

    Source: proc(5), /proc/PID/mountinfo (the root of a mount is its fourth field) and /proc/PID/cgroup.
    """
    found: list[str] = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if len(fields) > 4 and fields[4] in ("/etc/hostname", "/etc/resolv.conf", "/etc/hosts"):
                found += _CONTAINER.findall(fields[3])
    with contextlib.suppress(OSError):
        found += _CONTAINER.findall((root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace"))
    return list(dict.fromkeys(found))


def cores() -> int:
    """Return how many processors this process may use, by its affinity and its control group.

    Source: the kernel's admin-guide/cgroup-v2, cpu.max.
    """
    usable = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):  # no group of its own, or no limit ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def process_of(pidfile: Path, programs: Sequence[str]) -> int | None:
    """Return the pid in a pid file; None unless that process runs a program whose path contains one of *programs*."""
    try:
        found = process(int(pidfile.read_text()))
    except (OSError, ValueError):
        return None
    return found.pid if found and any(program in found.arguments[0] for program in programs) else None


def complete_path() -> None:
    """Let this process and its commands find system programs: an ordinary user's PATH has no folder of them.

    Without them, an engine or a program that is installed would be taken for missing.
    """
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([*folders, *_SYSTEM_FOLDERS]))


def install(purposes: Sequence[str], progress: Progress) -> None:
    """Install packages on this machine. Nothing is asked, whatever the packages would ask.

    Args:
        purposes: what they are for (see `swarmlab.distribution.packages`).
        progress: called with a line before the work begins.

    Raises:
        UsageError: there is no apt, this user has no rights, the packages are not known, or the installation failed.
    """
    listed = distribution.packages(purposes)
    packages = [package for package in listed if not package.endswith("?")]
    wanted = " ".join(packages)
    if not shutil.which("apt-get"):
        raise UsageError(f"this machine needs {wanted} and has no apt-get; install it by hand")
    root = as_root()
    if root is None:
        raise UsageError(f"this user may not install packages ({why_not_root()}); run: sudo apt-get install {wanted}")
    progress(f"installing {wanted} (about a minute)")
    # A new machine may be installing updates by itself; the lock timeout waits for that.
    apt = [*netns.outside(), *root, *for_downloads(), "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"]
    # Packages that are installed by half would be the user's to mend, so apt is neither ended nor interrupted.
    with alone("install"), signals.deferred(f"the installation of {wanted}"):
        quietly: dict[str, Any] = {"check": False, "capture_output": True, "text": True, "start_new_session": True}
        quietly["stdin"] = subprocess.DEVNULL
        updated = subprocess.run([*apt, "update"], **quietly)
        for package in [package.rstrip("?") for package in listed if package.endswith("?")]:
            if subprocess.run(["apt-cache", "show", package], **quietly).returncode == 0:
                packages.append(package)
        # What is installed already, such as the containerd of others, is not to go for it.
        done = subprocess.run([*apt, "install", "--no-remove", "--no-install-recommends", *packages], **quietly)
    if done.returncode != 0:
        # apt-get cannot locate packages if the update before did not reach the mirror.
        why = downloads.unreached(updated.stderr, "Debian's mirror") or downloads.why(done.stderr, "E:")
        raise UsageError(f"apt-get could not install {wanted}: {why}")


def for_downloads() -> list[str]:
    """Return the prefix of a command that downloads packages as root: sudo takes the environment away."""
    kept = [f"{name}={value}" for name, value in sorted(proxies().items())]
    # needrestart, on Ubuntu, asks which services to restart.
    return ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", *kept]


def proxies(*, elsewhere: bool = False) -> dict[str, str]:
    """Return the variables of proxies that are set here.

    Args:
        elsewhere: without a proxy on this machine's loopback, which a container does not reach.
    """
    found = {name: value for name, value in os.environ.items() if name in _PROXIES and value}
    near = re.compile(r"(\w+://)?([^@/]*@)?(localhost|127\.|\[::1\])")
    return {
        name: value for name, value in found.items() if not elsewhere or "no_" in name.lower() or not near.match(value)
    }


def as_root() -> list[str] | None:
    """Return the prefix that runs a command as root without a question; None if this user cannot."""
    if os.geteuid() == 0:
        return []
    return None if _refused_by_sudo() else ["sudo", "-n"]


def why_not_root() -> str:
    """Return why `as_root` returns None."""
    return _refused_by_sudo() or "it is root"


def run_unasked(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command that only looks, and that can ask nobody: it has no input, and no terminal for a password.

    Args:
        command: program and arguments.
        timeout: seconds that it may take.
        folder: where it runs, if not in this process's folder.
        environment: its environment, if not that of this process with messages in English.

    Raises:
        FileNotFoundError: there is no such program.
        subprocess.TimeoutExpired: it did not end in time.
    """
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=timeout,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"} if environment is None else environment,
    )


def _refused_by_sudo() -> str:
    """Return why sudo runs no command without a question; empty if it does."""
    if not shutil.which("sudo"):
        return "there is no sudo"
    try:
        # In a session of its own, as the commands are: sudo may remember a password for a terminal alone.
        tried = run_unasked(["sudo", "-n", "true"], timeout=_SUDO)
    except subprocess.TimeoutExpired:
        return f"sudo does not end within {_SUDO:.0f} s"
    if tried.returncode == 0:
        return ""
    said = " ".join(tried.stderr.split())
    return "sudo asks for a password" if "password" in said else f"sudo refuses: {shown(said, 120)}"
