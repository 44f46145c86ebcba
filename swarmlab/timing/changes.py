"""What got slower from one profile to another, with bounds that leave out noise.

Spans beside the tests are left out: several at the same time count the same processors, and what waits for them shows
them. So is the outer engine, which may serve others at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from swarmlab.timing.processors import Busy
from swarmlab.timing.profile import Profile

#: Something is slower if it takes more than this many times as long, and more than this many seconds longer. The same
#: holds of the processors' time for the suite and the nodes.
TIMES, SECONDS = 1.5, 3.0
#: Seconds of the processors of a test from which the pace is taken.
_BUSY = 1.0
#: The bounds, in words.
BOUNDS = f"more than {TIMES:g} times and {SECONDS:g} s longer, or the same of the processors"
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
    busy = _pace([(_worked(before[id].busy), _worked(now[id].busy)) for id in both])
    took: list[Slower] = []
    worked: list[Slower] = []
    for id in both:
        took.append(Slower("test", id, "took", before[id].call, now[id].call))
    for kind in _KINDS:
        was = {entry.name: entry for entry in old.entries(kind, both, beside=False)}
        for entry in new.entries(kind, both, beside=False):
            then = was.get(entry.name)
            counts = (then.count if then else 0, entry.count)
            took.append(Slower(kind, entry.name, "took", then.seconds if then else 0.0, entry.seconds, counts))
            of = (_worked(then.busy) if then else 0.0, _worked(entry.busy))
            worked.append(Slower(kind, entry.name, "processors", *of, counts))
    found = [*_beyond(took, pace), *_beyond(worked, busy)]
    return sorted(found, key=lambda each: each.old - each.new)


def _worked(busy: Busy) -> float:
    return busy.suite + busy.nodes


def _pace(pairs: list[tuple[float, float]]) -> float:
    ratios = [now / was for was, now in pairs if was >= _BUSY]
    return max(1.0, median(ratios)) if len(ratios) >= _ENOUGH else 1.0


def _beyond(found: list[Slower], pace: float) -> Iterator[Slower]:
    for each in found:
        expected = each.old * pace
        if each.new > TIMES * expected and each.new - expected > SECONDS:
            yield each
