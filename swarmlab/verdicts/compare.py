"""Two runs against each other: what got worse, what better, what is judged no longer, what takes much longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: A claim takes longer only if it takes more than so many times as long, and more than so many seconds longer: a busy
#: machine makes differences below either. What all claims share is the machine's doing, and taken off before.
TIMES, SECONDS = 2.0, 10.0
#: Claims that passed both times, each long enough, from which on it is told what they share.
_ENOUGH, _LONG = 5, 1.0

NOT_RUN = "not run"
_WORSE_FROM = list(reversed(Verdict))


@dataclass(frozen=True)
class Change:
    """One claim that is otherwise than it was.

    Attributes:
        id: the claim's.
        level: its level.
        old: what it was: a verdict, or "not run".
        new: what it is.
        reason: why it is so now, or was before where it is well now.
    """

    id: str
    level: str
    old: str
    new: str
    reason: str


@dataclass
class Comparison:
    """What changed from one run to another.

    Attributes:
        worse: now fail, broken or timeout, where it was better; or waived, where it passed.
        blocked: now blocked, where it was judged.
        lost: judged before, and not run now.
        slower: takes longer beyond noise; "old" and "new" are seconds.
        better: now better than it was.
        added: judged now, and not run before; what of it is bad is worse.
        other: where engines, lab or profile are others, so that the runs differ for other reasons too.
        pace: how many times as slow the newer run was as a whole, at least 1.
        same: how many claims have the verdict that they had.
    """

    worse: list[Change] = field(default_factory=list)
    blocked: list[Change] = field(default_factory=list)
    lost: list[Change] = field(default_factory=list)
    slower: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    added: list[Change] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    pace: float = 1.0
    same: int = 0

    @property
    def regressed(self) -> bool:
        """Whether anything is worse: also what is no longer judged, as nothing is known of it any more."""
        return bool(self.worse or self.blocked or self.lost or self.slower)


def compare(old: Run, new: Run) -> Comparison:
    """What changed from *old* to *new*; all of it in the order of the catalogue as the newer run has it."""
    found = Comparison(pace=_pace(old, new))
    for name, before, now in (
        ("engines", ", ".join(old.each("engine")), ", ".join(new.each("engine"))),
        ("lab", old.lab, new.lab),
        ("profile", str(old.told.get("profile", "")), str(new.told.get("profile", ""))),
    ):
        if before != now:
            found.other.append(f"{name}: {before or 'none'} before, {now or 'none'} now")
    # Claims that were judged and are not: those that the newer run lists as such first, in the catalogue's order.
    gone = [id for id in new.not_run if id in old.claims]
    gone += [id for id in old.claims if id not in new.claims and id not in new.not_run]
    for id, judged in new.claims.items():
        _judged(found, old.claims.get(id), judged)
    for id in gone:
        was = old.claims[id]
        why = new.not_run.get(id, "no longer in the catalogue")
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


def _judged(found: Comparison, was: Judged | None, now: Judged) -> None:
    if was is None:
        into = found.worse if now.verdict.bad else found.added
        into.append(Change(now.id, now.level, NOT_RUN, str(now.verdict), now.reason))
        return
    change = Change(now.id, now.level, str(was.verdict), str(now.verdict), now.reason or was.reason)
    step = _WORSE_FROM.index(now.verdict) - _WORSE_FROM.index(was.verdict)
    if step == 0:
        found.same += 1
    elif now.verdict is Verdict.BLOCKED:  # also where it was bad: nobody knows whether it still is
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
    ("lost", "No longer run"),
    ("slower", f"Slower ({_BOUNDS})"),
    ("better", "Better"),
    ("added", "New"),
)


def lines(old: Run, new: Run, found: Comparison, *, markdown: bool = False) -> Iterator[str]:
    """A comparison as a person reads it, or as Markdown for a pull request or a chat."""
    strong, item, code = ("**", "- ", "`") if markdown else ("", "  ", "")
    verdict = "Something is worse." if found.regressed else "Nothing is worse."
    yield f"{strong}{verdict}{strong}"
    for word, run in (("old", old), ("new", new)):
        engines = ", ".join(run.each("engine")) or "no node"
        counts = ", ".join(f"{number} {verdict}" for verdict, number in reversed(run.counts.items()) if number)
        yield f"{item}{word}: {code}{run.path}{code} of {run.started:%Y-%m-%d %H:%M}, {engines}, {run.lab}: {counts}"
    if found.pace > 1.2:
        yield f"{item}the newer run was {found.pace:.1f} times as slow as a whole; slower is what is so beyond that"
    for other in found.other:
        yield f"{item}the runs differ in {_safe(other, markdown)}"
    for name, title in _PARTS:
        changes: list[Change] = getattr(found, name)
        if not changes:
            continue
        yield ""
        yield f"{'### ' if markdown else ''}{title}: {len(changes)}"
        if markdown:
            yield ""
        for change in changes:
            reason = f": {_safe(change.reason, markdown)}" if change.reason else ""
            yield f"{item}{code}{change.id}{code} ({change.level}) {change.old} -> {change.new}{reason}"
    yield ""
    yield f"{found.same} claims have the verdict that they had. Slower is what takes {_BOUNDS}."


def _safe(text: str, markdown: bool) -> str:
    """A reason in one line, that in Markdown makes no markup, mention or link of its own."""
    line = " ".join(text.split())
    if not markdown:
        return line
    for sign in "\\`*_[]<>|#~":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("@", "@\u200b")
