"""A profile in words: a summary for the terminal, and tables for pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarmlab.timing.processors import Busy
from swarmlab.timing.profile import Profile, dearest

#: What the summary on a terminal lists of each kind, and what a page lists.
_FEW, MANY = 3, 15
#: The kinds of a page, with their headings.
KINDS = {
    "fixture": "Fixtures",
    "wait": "Waits",
    "command": "Commands on nodes",
    "call": "Calls of the nodes' engines",
    "outer": "Calls of the outer engine",
}
_TESTS = "Tests, by what they took of the processors"
#: The kinds of the summary.
_SUMMED = ("fixture", "wait", "command")


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        name: what it is about.
        count: how often; 0 for a test.
        seconds: its duration.
        busy: what the processors did meanwhile.
    """

    name: str
    count: int
    seconds: float
    busy: Busy


def uses(profile: Profile) -> list[tuple[str, float, float]]:
    """Return what the time of the tests went to, with its seconds, and its part of the whole (0 to 1)."""
    found = profile.uses()
    whole = sum(found.values()) or 1.0
    return [(use, seconds, seconds / whole) for use, seconds in found.items()]


def processors(profile: Profile) -> list[tuple[str, float, float]]:
    """Return what the processors were busy with in the whole run, with its seconds, and its part (0 to 1)."""
    found = {
        "nodes": profile.busy.nodes,
        "outer engine": profile.busy.engine,
        "suite": profile.busy.suite,
        "other": profile.other,
        "idle": profile.idle,
    }
    whole = sum(found.values()) or 1.0
    return [(what, seconds, seconds / whole) for what, seconds in found.items()]


def tables(profile: Profile, count: int = MANY) -> list[tuple[str, list[Line]]]:
    """Return tables with their headings: the dearest tests, and the longest of each kind."""
    tests = [Line(test.id, 0, test.seconds, test.busy) for test in dearest(profile.tests, count)]
    found = [(_TESTS, tests)]
    for kind, heading in KINDS.items():
        entries = profile.entries(kind)[:count]
        found.append((heading, [Line(each.name, each.count, each.seconds, each.busy) for each in entries]))
    return [(heading, lines) for heading, lines in found if lines]


def summary(profile: Profile) -> Iterator[str]:
    """Yield a short profile for a terminal."""
    yield f"Time of the tests: {_shares(uses(profile))}"
    yield f"Time of {profile.cores} processors: {_shares(processors(profile))}"
    yield "   seconds  processors   times"
    for heading, lines in tables(profile, _FEW):
        if heading in (_TESTS, *(KINDS[kind] for kind in _SUMMED)):
            yield heading
            for line in lines:
                yield f"{line.seconds:10.1f}  {line.busy.total:10.1f}  {line.count or '':6}   {line.name}"


def _shares(parts: Sequence[tuple[str, float, float]]) -> str:
    return ", ".join(f"{what} {share:.0%}" for what, _, share in _largest(parts) if share >= 0.005)


def _largest(parts: Iterable[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    return sorted(parts, key=lambda part: -part[1])
