"""What the processors of this machine were busy with: the suite's own processes, the outer engine, and the nodes.

Files that are open already are read again, so that a reading costs microseconds a file. New processes are looked for
once a second.

Source: proc(5), /proc/PID/stat; the kernel's cgroup-v1/cpuacct and cgroup-v2 (cpu.stat).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

#: Seconds for which a reading holds at least, and how many times as long as it took: readings take a fiftieth at most.
FRESH, _HOLDS = 0.01, 50
#: Seconds between two looks for new processes.
_LOOK = 1.0
_TICK = os.sysconf("SC_CLK_TCK")
#: The first 15 characters of the names of the outer engine's programs; those that runc starts are of containers.
_SHIM = "containerd-shim"
_ENGINE = ("dockerd", "containerd", "docker-proxy", "docker-containe", _SHIM)
#: Characters of a container's id.
_ID = 64
#: Looks for a node's processor time that this machine may not show.
_TRIES = 30


class Busy(NamedTuple):
    """Seconds of the processors, by what they were busy with.

    Attributes:
        suite: the suite's own processes: pytest and what it started.
        engine: the outer engine: dockerd, containerd and the shims of the lab's containers.
        nodes: the nodes, with all that runs on them.
    """

    suite: float = 0.0
    engine: float = 0.0
    nodes: float = 0.0

    @property
    def total(self) -> float:
        """All of it, in seconds."""
        return self.suite + self.engine + self.nodes

    def less(self, other: Busy) -> Busy:
        """Return what is left without *other*."""
        return Busy(self.suite - other.suite, self.engine - other.engine, self.nodes - other.nodes)

    def plus(self, other: Busy) -> Busy:
        """Return this and *other* together."""
        return Busy(self.suite + other.suite, self.engine + other.engine, self.nodes + other.nodes)


@dataclass(frozen=True)
class Container:
    """A node that is a container of this machine's engine.

    Attributes:
        id: the container's id.
    """

    id: str


@dataclass(frozen=True)
class Program:
    """A node that is a program on this machine, as a virtual machine is.

    Attributes:
        pid: the number of its process.
    """

    pid: int


#: What counts the processor time of a node on this machine.
Meter: TypeAlias = Container | Program


def machine() -> tuple[float, float]:
    """Return the seconds since boot in which this machine's processors were busy, and those in which they were idle."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICK, (idle + iowait) / _TICK


class Processors:
    """Counts what the processors of this machine are busy with, from when it is made."""

    def __init__(self, *, engine: bool = False) -> None:
        """Begin to count.

        Args:
            engine: count the daemons of the outer engine from the beginning, and not from the first `watch` on.
        """
        self._lock = threading.Lock()
        self._daemons = engine
        self._sources: list[Callable[[], Sequence[Meter]]] = []
        self._parents: dict[int, int] = {}
        self._young: set[int] = set()
        self._family: dict[int, _Stat] = {}
        self._engines: dict[int, _Engine] = {}
        self._ended = [0.0, 0.0]  # daemons and shims whose end nobody counts
        self._shims = 0.0
        self._nodes: dict[Meter, _Counter] = {}
        self._removed = 0.0  # of nodes that are named no more
        self._watched: set[str] = set()
        self._missing: dict[Meter, int] = {}
        self._looked = self._due = -1.0
        self._known = Busy()
        self._look(first=True)
        self._before = self._of_suite()
        self._stop = threading.Event()
        # Containers and shims that end between two questions are counted up to a second before.
        threading.Thread(target=self._follow, name="processors", daemon=True).start()

    def watch(self, source: Callable[[], Sequence[Meter]], *, anew: bool) -> None:
        """Count the nodes that *source* names from now on.

        Args:
            source: returns the nodes there are, running or not; it is called about once a second, from any thread.
            anew: they are made from now on, so that all that they do counts.
        """
        with self._lock:
            if not self._daemons:
                self._daemons = True
                for each in self._engines.values():
                    if not each.container:
                        each.before = each.stat.seconds()
            self._sources.append(source)
            self._look_for_nodes(anew=anew)

    def busy(self) -> Busy:
        """Return what the processors did since this began to count, as of some milliseconds ago."""
        with self._lock:
            now = time.monotonic()
            if now >= self._due and not self._stop.is_set():
                if now - self._looked >= _LOOK:
                    self._look()
                of_nodes = self._removed + sum(node.seconds() - node.before for node in self._nodes.values())
                daemons, self._shims = self._of_engine()
                self._known = Busy(self._of_suite() - self._before, daemons + self._shims, of_nodes)
                after = time.monotonic()
                self._due = after + max(FRESH, _HOLDS * (after - now))
            return self._known

    def shims(self) -> float:
        """Return the part of `Busy.engine` that is of the shims of the containers that are watched."""
        self.busy()
        return self._shims

    def now(self) -> Busy:
        """Return what the processors did since this began to count, as of now."""
        with self._lock:
            self._due = self._looked = -1.0
        return self.busy()

    def close(self) -> None:
        """Stop counting: `busy` returns the last reading from now on."""
        self.now()
        self._stop.set()
        with self._lock:
            for counter in [*self._family.values(), *(each.stat for each in self._engines.values())]:
                counter.close()
            for node in self._nodes.values():
                node.close()

    def _follow(self) -> None:
        while not self._stop.wait(_LOOK):
            self.busy()

    # Reading

    def _of_suite(self) -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        total = sum(each.ru_utime + each.ru_stime for each in used)
        for pid, stat in list(self._family.items()):
            if stat.read():
                total += stat.last
            else:  # its parent counts it from now on
                del self._family[pid]
        return total

    def _of_engine(self) -> tuple[float, float]:
        """Return the seconds of the daemons, and of the shims of the containers that are watched."""
        total = list(self._ended)
        for pid, each in list(self._engines.items()):
            if not (each.container in self._watched if each.container else self._daemons):
                continue
            place = int(bool(each.container))
            if not each.stat.read():
                del self._engines[pid]
                if each.parent in self._engines:
                    continue  # which has its time now
                self._ended[place] += each.seconds()
            total[place] += each.seconds()
        return total[0], total[1]

    # Looking for what is new

    def _look(self, *, first: bool = False) -> None:
        self._looked = time.monotonic()
        present = {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208 - a path each costs
        for pid in self._parents.keys() - present:
            del self._parents[pid]
        fresh = present - self._parents.keys()
        # A process that has just begun may be about to become another program, and to get another parent.
        grown = fresh if first else fresh & self._young
        self._young = fresh - grown
        names = {}
        for pid in grown:
            if found := _identity(pid):
                names[pid], self._parents[pid] = found
        me = os.getpid()
        for pid, name in names.items():
            if pid == me:
                continue
            if self._descends(pid, me):
                if stat := _Stat.open(pid):
                    self._family[pid] = stat
            elif name in _ENGINE and _outermost(pid) and (stat := _Stat.open(pid)):
                container = _argument(pid, "-id") if name == _SHIM else ""
                self._engines[pid] = _Engine(stat, container, self._parents[pid], stat.seconds() if first else 0.0)
        self._look_for_nodes(anew=True)

    def _descends(self, pid: int, ancestor: int) -> bool:
        for _ in range(100):
            pid = self._parents.get(pid, 0)
            if pid in (0, 1, ancestor):
                break
        return pid == ancestor

    def _look_for_nodes(self, *, anew: bool) -> None:
        named = {meter for source in self._sources for meter in source()}
        for gone in self._nodes.keys() - named:
            counter = self._nodes.pop(gone)
            self._removed += counter.seconds() - counter.before
            counter.close()
        for meter in named:
            if meter in self._nodes or self._missing.get(meter, 0) >= _TRIES:
                continue
            found = _Cgroup.find(meter.id) if isinstance(meter, Container) else _Stat.open(meter.pid)
            if found:
                found.before = 0.0 if anew else found.seconds()
                self._nodes[meter] = found
                if isinstance(meter, Container):
                    self._watched.add(meter.id)
            else:
                self._missing[meter] = self._missing.get(meter, 0) + 1


class _Counter:
    """Seconds that grow in a file which stays open.

    Attributes:
        before: the seconds that do not count.
    """

    before = 0.0

    def __init__(self, descriptor: int = -1) -> None:
        self._descriptor = descriptor

    def seconds(self) -> float:
        """Return the seconds so far, also when their process or container is gone."""
        raise NotImplementedError

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._descriptor >= 0:
                os.close(self._descriptor)
        self._descriptor = -1


class _Stat(_Counter):
    """The processor time of a process and of the children that it has waited for."""

    last = 0.0

    @classmethod
    def open(cls, pid: int) -> _Stat | None:
        try:
            return cls(os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return None

    def read(self) -> bool:
        """Read the seconds; return whether the process is still there."""
        try:
            fields = os.pread(self._descriptor, 1024, 0).rpartition(b")")[2].split()
            self.last = sum(map(int, fields[11:15])) / _TICK
        except (OSError, ValueError):
            self.close()
            return False
        return True

    def seconds(self) -> float:
        self.read()
        return self.last


@dataclass
class _Engine:
    """A process of the outer engine.

    Attributes:
        stat: its processor time.
        container: of a shim, its container's id; else empty.
        parent: its parent.
        before: the seconds that do not count.
    """

    stat: _Stat
    container: str
    parent: int
    before: float

    def seconds(self) -> float:
        return self.stat.last - self.before


class _Cgroup(_Counter):
    """The processor time of a container, which may end and start again."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._earlier = self._last = 0.0

    @classmethod
    def find(cls, id: str) -> _Cgroup | None:
        """Return that of a container; None if this machine shows none."""
        file = usage_file(id)
        return cls(file) if file else None

    def seconds(self) -> float:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
            read = _usage(os.pread(self._descriptor, 4096, 0))
        except (OSError, ValueError):  # it has ended; the file of the next start is another
            self.close()
            read = 0.0
        if read < self._last:
            self._earlier += self._last
        self._last = read
        return self._earlier + read


def _usage(text: bytes) -> float:
    """Return the seconds in a cgroup's file: nanoseconds of version 1, lines of version 2."""
    if text.startswith(b"usage_usec"):
        return int(text.split(b"\n", 1)[0].split()[1]) / 1e6
    return int(text) / 1e9


def usage_file(id: str) -> Path | None:
    """Return the file that has the processor time of a container; None if this machine shows none."""
    group = group_of(id, "cpuacct")
    if group is None:
        return None
    return next((group / name for name in ("cpuacct.usage", "cpu.stat") if (group / name).exists()), None)


def group_of(id: str, controller: str) -> Path | None:
    """Return the cgroup of a container, by either version.

    Args:
        id: the container's id.
        controller: the controller of version 1, such as "memory".
    """
    for root in _roots(controller):
        folders = [root]
        for _ in range(5):
            inside = [entry for folder in folders for entry in _folders(folder)]
            if found := next((entry for entry in inside if id in entry), None):
                return Path(found)
            # Below a container there are only those that it made.
            folders = [Path(entry) for entry in inside if len(_longest_hex(entry)) < _ID]
    return None


def _roots(controller: str) -> Iterable[Path]:
    """Yield where cgroups of a controller are mounted: version 1 first, as a machine may have both."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    yield from (Path(mount[1]) for mount in mounts if mount[2] == "cgroup" and controller in mount[3].split(","))
    yield from (Path(mount[1]) for mount in mounts if mount[2] == "cgroup2")


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _longest_hex(path: str) -> str:
    name = path.rpartition("/")[2].removesuffix(".scope").rpartition("-")[2]
    return name if all(character in "0123456789abcdef" for character in name) else ""


def _identity(pid: int) -> tuple[str, int] | None:
    """Return the name of a process and the number of its parent; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    head, _, tail = stat.rpartition(")")
    return head.partition("(")[2], int(tail.split()[1])


def _outermost(pid: int) -> bool:
    """Whether a process is in this process's own namespace of processes, and not in that of a node."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "NSpid: 1")
    return len(line.split()) == 2


def _argument(pid: int, option: str) -> str:
    """Return the value of an option of a process; empty if it has none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((value for name, value in itertools.pairwise(words) if name == option), "")
