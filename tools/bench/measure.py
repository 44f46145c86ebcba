"""Measures a step: its wall time, what the processors did meanwhile, and the memory of nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from swarmlab.host import MIB
from swarmlab.timing import Busy, Container, Meter, Processors
from swarmlab.timing.processors import group_of


@dataclass
class Measured:
    """A step that was measured.

    Attributes:
        seconds: how long it took.
        busy: what the processors did for it.
        failed: why it did not do what it should; empty if it did.
    """

    seconds: float
    busy: Busy
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for bench.json."""
        return {
            "seconds": round(self.seconds, 2),
            "busy": {name: round(seconds, 2) for name, seconds in self.busy._asdict().items()},
            "failed": self.failed,
        }


@dataclass
class Meters:
    """Counts what the processors do for a lab.

    Attributes:
        processors: the counter.
    """

    processors: Processors = field(default_factory=Processors)

    def watch(self, source: Callable[[], Sequence[Meter]]) -> None:
        """Count the containers that *source* names, which are made from now on."""
        self.processors.watch(source, anew=True)

    def measure(self, step: Callable[[], str | None]) -> Measured:
        """Do a step and return what it took.

        Args:
            step: does it, and returns why it did not do what it should, if it did not.
        """
        start, before = time.monotonic(), self.processors.now()
        failed = step() or ""
        return Measured(time.monotonic() - start, self.processors.now().less(before), failed)


def memory(meters: Iterable[Meter]) -> dict[str, float]:
    """Return the memory of nodes in MiB: mean and most of what each cannot give back, and the mean of its files.

    Source: the kernel's cgroup-v1/memory (rss, shmem, kmem) and cgroup-v2 (memory.stat).
    """
    held, files = [], []
    for meter in meters:
        group = group_of(meter.id, "memory") if isinstance(meter, Container) else None
        if group is None:
            continue
        stat = _stat(group)
        shared = stat.get("total_shmem", stat.get("shmem", 0))
        # Version 1 has totals of what is below the group beside its own.
        held.append(stat.get("total_rss", stat.get("anon", 0)) + shared + _kernel(group, stat))
        files.append(stat.get("total_cache", stat.get("file", 0)) - shared)
    if not held:
        return {}
    return {
        "mean": round(mean(held) / MIB, 1),
        "most": round(max(held) / MIB, 1),
        "files": round(mean(files) / MIB, 1),
    }


def _stat(group: Path) -> dict[str, int]:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, value in (line.split() for line in lines)}


def _kernel(group: Path, stat: dict[str, int]) -> int:
    try:
        return int((group / "memory.kmem.usage_in_bytes").read_text(encoding="ascii"))
    except OSError:
        return stat.get("kernel", stat.get("slab", 0) + stat.get("kernel_stack", 0) + stat.get("pagetables", 0))
