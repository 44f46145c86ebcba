"""Two runs compared: which of the claims that both judged got worse or better, are flaky, or take much longer.

Claims that one run alone judged are named apart, by why the other did not judge them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from swarmlab.lists import few
from swarmlab.timing.changes import BOUNDS, Slower, slower
from swarmlab.verdicts.history import History
from swarmlab.verdicts.parts import part_of
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: Version of the layout of `Comparison.to_json`.
SCHEMA = 1
#: A claim is slower if it takes more than this many times as long, and more than this many seconds longer. A busy
#: machine causes smaller differences. A slowdown that all claims share comes from the machine, and is deducted first.
TIMES, SECONDS = 2.0, 10.0
#: The least number of claims that passed in both runs, and the least seconds of each, to estimate what they share.
_ENOUGH, _LONG = 5, 1.0

NOT_RUN = "not run"
_WORSE_FROM = list(reversed(Verdict))


@dataclass(frozen=True)
class Change:
    """A claim that differs between two runs.

    Attributes:
        id: Id of the claim.
        level: Its level.
        old: Its verdict in the older run, or "not run".
        new: Its verdict in the newer run, or "not run".
        reason: The reason of the newer verdict, and known defects that explain it; that of the older one if the claim
            passes now.
    """

    id: str
    level: str
    old: str
    new: str
    reason: str


@dataclass
class Comparison:
    """The changes from one run to another.

    Attributes:
        worse: Now fail, broken or timeout, and better before; or now waived, and passed before.
        blocked: Now blocked, and judged before.
        slower: Takes longer than noise explains; "old" and "new" are seconds.
        better: Now better than before.
        flaky: Ended differently under the same conditions in the newest runs (see `swarmlab.verdicts.history`); the
            reason says how often.
        lost: Judged before, and not run now; the reason says why.
        added: Judged now, and not run before; the reason is that of a verdict that is bad, else why it was not run.
        other: Differences of engines, lab or profile, which may explain the rest.
        times: What got slower by the profiles of both runs; it does not count as worse, as it may not be a claim's.
        pace: How many times as slow the newer run was as a whole, at least 1.
        same: Number of claims with the same verdict.
    """

    worse: list[Change] = field(default_factory=list)
    blocked: list[Change] = field(default_factory=list)
    slower: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    flaky: list[Change] = field(default_factory=list)
    lost: list[Change] = field(default_factory=list)
    added: list[Change] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    times: list[Slower] = field(default_factory=list)
    pace: float = 1.0
    same: int = 0

    @property
    def regressed(self) -> bool:
        """Whether anything is worse among the claims that both runs judged."""
        return bool(self.worse or self.blocked or self.slower)

    def to_json(self) -> dict[str, Any]:
        """Return the changes as ``swarmlab compare --json`` has them (compare.schema.json)."""
        raw = {**asdict(self), "times": list(map(str, self.times))}
        return {"schema": SCHEMA, "regressed": self.regressed, **raw}


def compare(old: Run, new: Run, history: History | None = None) -> Comparison:
    """Return what changed from *old* to *new*, in the order of the newer run's catalogue.

    Args:
        old: The earlier run.
        new: The later run.
        history: The history of claims up to the later run, by which some are flaky; None for none.
    """
    found = Comparison(pace=_pace(old, new))
    for name, before, now in (
        ("engines", ", ".join(old.each("engine")), ", ".join(new.each("engine"))),
        ("lab", old.lab, new.lab),
        ("profile", str(old.raw.get("profile", "")), str(new.raw.get("profile", ""))),
        ("parts of the catalogue", ", ".join(old.parts), ", ".join(new.parts)),
    ):
        if before != now:
            found.other.append(f"{name}: {before or 'none'} before, {now or 'none'} now")
    if old.profile and new.profile:
        found.times = slower(old.profile, new.profile, found.pace)
    # First the claims that the newer run lists as not run, in its catalogue's order; then those it does not know.
    gone = [id for id in new.not_run if id in old.claims]
    gone += [id for id in old.claims if id not in new.claims and id not in new.not_run]
    for id, judged in new.claims.items():
        if was := old.claims.get(id):
            _judged(found, was, judged)
        else:
            why = judged.explained if judged.verdict.bad else old.not_run.get(id, "not in its catalogue")
            found.added.append(Change(id, judged.level, NOT_RUN, str(judged.verdict), why))
        if history and (flaky := history.flaky(id)):
            before = str(was.verdict) if was else NOT_RUN
            found.flaky.append(Change(id, judged.level, before, str(judged.verdict), str(flaky)))
    for id in gone:
        was = old.claims[id]
        absent = "no longer in the catalogue" if part_of(id) in new.parts else f"--catalogue left {part_of(id)} out"
        why = new.not_run.get(id, absent)
        found.lost.append(Change(id, was.level, str(was.verdict), NOT_RUN, why))
    return found


def _pace(old: Run, new: Run) -> float:
    passed = [
        (was.seconds, now.seconds)
        for id, now in new.claims.items()
        if (was := old.claims.get(id)) and was.verdict is now.verdict is Verdict.PASS and was.seconds >= _LONG
    ]
    shared = median(now / was for was, now in passed) if len(passed) >= _ENOUGH else 1.0
    return max(1.0, shared, new.speed / old.speed)


def _judged(found: Comparison, was: Judged, now: Judged) -> None:
    change = Change(now.id, now.level, str(was.verdict), str(now.verdict), now.explained or was.explained)
    step = _WORSE_FROM.index(now.verdict) - _WORSE_FROM.index(was.verdict)
    if step == 0:
        found.same += 1
    elif now.verdict is Verdict.BLOCKED:  # also if it was bad before: nobody knows whether it still is
        found.blocked.append(change)
    elif step > 0:
        found.worse.append(change)
    else:
        found.better.append(change)
    both = was.verdict is Verdict.PASS and now.verdict is Verdict.PASS
    expected = was.seconds * found.pace
    if both and now.seconds > TIMES * expected and now.seconds - expected > SECONDS:
        took = (f"{was.seconds:.1f} s", f"{now.seconds:.1f} s")
        found.slower.append(Change(now.id, now.level, *took, ""))


_BOUNDS = f"more than {TIMES:g} times and more than {SECONDS:g} s longer"
_PARTS = (
    ("worse", "Worse"),
    ("blocked", "Newly blocked"),
    ("slower", f"Slower ({_BOUNDS})"),
    ("better", "Better"),
    ("flaky", "Flaky"),
)
#: What one run alone judged.
_APART = (("lost", "Judged by the old run alone"), ("added", "Judged by the new run alone"))


def lines(old: Run, new: Run, found: Comparison, *, markdown: bool = False) -> Iterator[str]:
    """Yield a comparison as lines for a terminal, or as Markdown for a pull request or a chat."""
    strong, item, code = ("**", "- ", "`") if markdown else ("", "  ", "")
    verdict = "Something is worse." if found.regressed else "Nothing is worse."
    yield f"{strong}{verdict}{strong}"
    for word, run in (("old", old), ("new", new)):
        engines = ", ".join(run.each("engine")) or "no node"
        counts = ", ".join(f"{number} {verdict}" for verdict, number in reversed(run.counts.items()) if number)
        yield f"{item}{word}: {code}{run.path}{code} of {run.started:%Y-%m-%d %H:%M}, {engines}, {run.lab}: {counts}"
        if run.unfinished:
            yield f"{item}the {word} run did not end: {_safe(run.unfinished, markdown)}"
    if found.pace > 1.2:
        yield f"{item}the newer run as a whole took {found.pace:.1f} times as long; this does not count as slower"
    for other in found.other:
        yield f"{item}the runs differ in {_safe(other, markdown)}"
    for name, title in _PARTS:
        changes: list[Change] = getattr(found, name)
        if not changes:
            continue
        yield from _heading(f"{title}: {len(changes)}", markdown)
        for change in changes:
            reason = f": {_safe(change.reason, markdown)}" if change.reason else ""
            yield f"{item}{code}{change.id}{code} ({change.level}) {change.old} -> {change.new}{reason}"
    for name, title in _APART:
        alone: list[Change] = getattr(found, name)
        if not alone:
            continue
        yield from _heading(f"{title}, so not compared: {len(alone)}", markdown)
        for why, ids in _by_why(alone):
            count = f"{len(ids)} claims: " if len(ids) > 1 else ""
            yield f"{item}{_safe(why, markdown)}: {count}{few([f'{code}{id}{code}' for id in ids])}"
    if found.times:
        yield from _heading(f"Slower by the profiles ({BOUNDS}): {len(found.times)}", markdown)
        for each in found.times:
            yield f"{item}{_safe(str(each), markdown)}"
    elif old.profile and new.profile:
        yield ""
        yield f"Nothing is slower by the profiles ({BOUNDS})."
    yield ""
    both = sum(id in old.claims for id in new.claims)
    same = f"Claims that both runs judged: {both}, of them with the same verdict: {found.same}."
    yield f"{same} A claim is slower if it takes {_BOUNDS}."


def _heading(text: str, markdown: bool) -> list[str]:
    """Return the lines of a heading, which has an empty line before it, and in Markdown one after it too."""
    return ["", f"### {text}", ""] if markdown else ["", text]


def _by_why(changes: Iterable[Change]) -> Iterator[tuple[str, list[str]]]:
    """Yield claims that one run alone judged, by why the other did not; first what is bad in the newer run."""
    found: dict[tuple[bool, str], list[str]] = {}
    for change in changes:
        bad = change.new != NOT_RUN and Verdict(change.new).bad
        why = f"{change.new} now" if bad else "not run now" if change.new == NOT_RUN else "not run before"
        found.setdefault((not bad, f"{why}, {change.reason}"), []).append(change.id)
    for (_, why), ids in sorted(found.items(), key=lambda entry: entry[0][0]):
        yield why, ids


def _safe(text: str, markdown: bool) -> str:
    """Return a text in one line, escaped so that Markdown makes no markup, mention or link of it."""
    line = " ".join(text.split())
    if not markdown:
        return line
    for sign in "\\`*_[]<>|#~":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("@", "@\u200b")
