"""What got slower from one profile to another, with bounds that leave out noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from swarmlab.timing.profile import Profile

#: Something is slower if it takes more than this many times as long, and more than this many seconds longer.
TIMES, SECONDS = 1.5, 3.0
#: The same of the processors' time.
BUSY_TIMES, BUSY_SECONDS = 1.3, 2.0
#: The bounds, in words.
BOUNDS = (
    f"more than {TIMES:g} times and {SECONDS:g} s longer, or more than {BUSY_TIMES:g} times and {BUSY_SECONDS:g} s "
    "more of the processors"
)
_KINDS = ("fixture", "wait", "command", "call", "outer")
#: The least number of tests from which their common pace is taken.
_ENOUGH = 5


@dataclass(frozen=True)
class Slower:
    """Something that got slower.

    Attributes:
        kind: "test" or a kind of spans.
        name: its name.
        what: "took" for its seconds, "processors" for what the processors did meanwhile.
        old: seconds before; 0 if there was none.
        new: seconds now.
        counts: how many there were before, and now.
    """

    kind: str
    name: str
    what: str
    old: float
    new: float
    counts: tuple[int, int] = (1, 1)

    def __str__(self) -> str:
        times = "" if self.counts == (1, 1) else f" ({self.counts[0]} -> {self.counts[1]} times)"
        of = "" if self.what == "took" else " of the processors"
        return f"{self.kind} {self.name}: {self.old:.1f} s -> {self.new:.1f} s{of}{times}"


def slower(old: Profile, new: Profile, pace: float = 1.0) -> list[Slower]:
    """Return what got slower among the tests that both runs have, the most seconds first.

    Args:
        old: the earlier run.
        new: the later run.
        pace: how many times as slow the later run is as a whole, which does not count.
    """
    before, now = ({test.id: test for test in profile.tests} for profile in (old, new))
    both = [id for id in now if id in before]
    busy = _pace([(before[id].busy.total, now[id].busy.total) for id in both])
    took: list[Slower] = []
    worked: list[Slower] = []
    for id in both:
        took.append(Slower("test", id, "took", before[id].call, now[id].call))
    for kind in _KINDS:
        was = {entry.name: entry for entry in old.entries(kind, both)}
        for entry in new.entries(kind, both):
            then = was.get(entry.name)
            counts = (then.count if then else 0, entry.count)
            took.append(Slower(kind, entry.name, "took", then.seconds if then else 0.0, entry.seconds, counts))
            worked.append(
                Slower(kind, entry.name, "processors", then.busy.total if then else 0.0, entry.busy.total, counts)
            )
    found = [*_beyond(took, pace, TIMES, SECONDS), *_beyond(worked, busy, BUSY_TIMES, BUSY_SECONDS)]
    return sorted(found, key=lambda each: each.old - each.new)


def _pace(pairs: list[tuple[float, float]]) -> float:
    ratios = [now / was for was, now in pairs if was >= BUSY_SECONDS / 2]
    return max(1.0, median(ratios)) if len(ratios) >= _ENOUGH else 1.0


def _beyond(found: list[Slower], pace: float, times: float, seconds: float) -> Iterator[Slower]:
    for each in found:
        expected = each.old * pace
        if each.new > times * expected and each.new - expected > seconds:
            yield each
