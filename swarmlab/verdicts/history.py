"""The history of each claim over the runs that a folder of reports keeps, and which claims are flaky.

A claim is *flaky* if it did not pass, and later passed under the same conditions. The conditions of a run are the
revision of the suites, the kind of lab (of an existing swarm also its id), the engines, and the errors that preflight
found. So a claim that fails since a change and stays failed is not flaky, nor is one that passes since an engine or the
suites were changed, or since a finding of preflight was mended. *Blocked* is no end: nothing was judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.verdicts import folders, gathered
from swarmlab.verdicts.verdict import Verdict

#: Over how many of the newest runs of a claim its rate is counted.
MOST = 10
#: How many of the newest runs are read.
_READ = 50
#: The level of preflight's findings that belong to the conditions.
_ERROR = "error"


@dataclass(frozen=True)
class Point:
    """One judgement of a claim.

    Attributes:
        run: Id of the run that judged it: the name of its folder.
        started: When that run started.
        verdict: Its verdict.
        seconds: Duration of its tests together, in seconds.
        reason: Why it did not pass; empty if it did.
        conditions: What it was judged under (see `conditions`); empty if that is not known.
        folder: The run's folder; None if it is no longer there.
    """

    run: str
    started: datetime
    verdict: Verdict
    seconds: float
    reason: str = ""
    conditions: tuple[str, ...] = ()
    folder: Path | None = None


@dataclass(frozen=True)
class Flaky:
    """How often a claim ended differently under the same conditions.

    Attributes:
        different: How many of its newest runs did not pass, while a later one passed under the same conditions.
        of: How many runs that is counted over.
    """

    different: int
    of: int

    @property
    def rate(self) -> float:
        """The part of its runs that ended differently, from 0 to 1."""
        return self.different / self.of

    def __str__(self) -> str:
        """Return it as results show it.

        Example:
            >>> str(Flaky(2, 10))
            'flaky: 2 of its last 10 runs ended differently'
        """
        return f"flaky: {self.different} of its last {self.of} runs ended differently"


@dataclass(frozen=True)
class History:
    """The judgements of each claim over runs that are alike.

    Attributes:
        points: The judgements of each claim by its id, the oldest first. No run is there twice.
    """

    points: Mapping[str, Sequence[Point]] = field(default_factory=dict)

    def of(self, id: str) -> Sequence[Point]:
        """Return the judgements of a claim, the oldest first."""
        return self.points.get(id, ())

    def flaky(self, id: str, most: int = MOST) -> Flaky | None:
        """Return how flaky a claim is; None if it is not."""
        return flaky_rate(self.of(id), most)


def flaky_rate(points: Sequence[Point], most: int = MOST) -> Flaky | None:
    """Return how often a claim ended differently under the same conditions; None if it never did.

    Args:
        points: Its judgements, the oldest first.
        most: How many of the newest count. Those that are blocked do not count.

    Example:
        Of fail, pass, pass under the same conditions: Flaky(1, 3). Of pass, pass, fail, fail: None.
    """
    newest = [point for point in points if point.verdict is not Verdict.BLOCKED][-most:]
    passes: set[tuple[str, ...]] = set()
    different = 0
    for point in reversed(newest):
        if point.verdict is Verdict.PASS:
            passes.add(point.conditions)
        elif point.conditions and point.conditions in passes:
            different += 1
    return Flaky(different, len(newest)) if different else None


def conditions(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a run judged under, each condition in a few words; empty if it is not known what its suites were.

    Of a checkout with changes that are not committed only a digest of these says whether two are the same.

    Args:
        raw: The run's verdicts, as verdicts.json has them.
    """
    suite = raw.get("suite", {})
    words = [str(suite[key]) for key in ("version", "revision", "changes") if suite.get(key)]
    if not words or words[-1].endswith("-dirty"):
        return ()
    errors = sorted(
        f"preflight: {finding['check']} on {', '.join(sorted(finding['nodes'])) or 'the cluster'}"
        for look in raw.get("preflight", [])
        if not look.get("run")
        for finding in look["findings"]
        if finding["level"] == _ERROR
    )
    return (f"suites {' '.join(words)}", *alike(raw), *dict.fromkeys(errors))


def alike(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kind of lab and the engines of a run: runs in which these are the same have one history.

    Args:
        raw: The run's verdicts, as verdicts.json has them.
    """
    each = [facts for facts in raw["lab"].get("each", {}).values() if isinstance(facts, dict)]
    lab = [
        str(raw["lab"].get("kind") or ""),
        *sorted({str(facts["provider"]) for facts in each if "provider" in facts}),
    ]
    clusters = sorted({str(facts["cluster"]) for facts in each if facts.get("cluster")})
    engines = sorted({str(node["engine"]) for node in raw["nodes"] if node.get("engine")})
    return (f"lab {' '.join(lab)}", *(f"cluster {id}" for id in clusters), f"engines {', '.join(engines)}")


def read(runs: Iterable[Path], *, like: Mapping[str, Any] | None = None) -> History:
    """Return the history over runs.

    Args:
        runs: Folders of runs, in any order. What cannot be read is left out.
        like: The verdicts of a run: others than those alike are left out; None for all.
    """
    found: dict[str, dict[str, Point]] = {}
    for folder in runs:
        raw = _raw(folder)
        if raw is None:
            continue
        try:
            if like is not None and alike(raw) != alike(like):
                continue
            points = list(_points(folder, raw))
        except (KeyError, TypeError, ValueError, AttributeError):  # not written by a run of the suites
            continue
        for id, point, own in points:
            by_run = found.setdefault(id, {})
            if own or point.run not in by_run:  # what the run itself says of it knows most
                by_run[point.run] = point
    return History({id: sorted(_once(by_run.values()), key=_order) for id, by_run in found.items()})


def up_to(folder: Path, *others: Path) -> History:
    """Return the history up to a run: over the runs that are beside it in its folder of reports and are like it.

    Args:
        folder: The run's folder. A folder that is not below `runs/` has the history of this run alone.
        others: Folders of more runs, such as one from another folder of reports.
    """
    folder = folder.resolve()  # `latest` is a link
    raw = _raw(folder)
    if raw is None:
        return History()
    beside = [folder]
    if folder.parent.name == folders.RUNS:
        beside = [other for other in folders.every(folder.parent.parent) if other.name <= folder.name][-_READ:]
    return read(dict.fromkeys([*(other.resolve() for other in others), *beside]), like=raw)


def lines(history: History, claims: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each of a run's claims that is flaky.

    Args:
        history: The history up to the run.
        claims: Its claims, as verdicts.json has them.
    """
    for claim in claims:
        if flaky := history.flaky(claim["id"]):
            yield f"{claim['verdict']!s:8} {claim['id']}; {flaky}"


def _once(points: Iterable[Point]) -> Iterable[Point]:
    """Return points without those of copies of a run under another name, such as a baseline."""
    return {(point.started, point.seconds, point.verdict): point for point in points}.values()


def _order(point: Point) -> tuple[datetime, str]:
    return point.started, point.run


def _raw(folder: Path) -> dict[str, Any] | None:
    """Return the verdicts of a run without a check of each of their keys; None if it has none."""
    try:
        file = folders.find(folder)
        raw = gathered.read(file) if file.suffix == ".jsonl" else json.loads(file.read_text(encoding="utf-8"))
    except (UsageError, OSError, ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None


def _points(folder: Path, raw: Mapping[str, Any]) -> Iterator[tuple[str, Point, bool]]:
    """Yield the judgements in a run's verdicts, each with the claim's id and whether this run made it."""
    own = conditions(raw)
    started = _moment(raw["started"])
    others = {entry["run"]: entry for entry in raw.get("runs", [])}

    def earlier(entry: Mapping[str, Any]) -> Point:
        run = str(entry["run"])
        facts = others.get(run, {})
        kept = folder.parent / run
        return Point(
            run,
            _moment(facts["started"]) if "started" in facts else _of_name(run, started),
            Verdict(entry["verdict"]),
            float(entry.get("seconds", 0.0)),
            str(entry.get("reason", "")),
            tuple(facts.get("conditions", ())),
            kept if kept.is_dir() else None,
        )

    for claim in raw["claims"]:
        id = claim["id"]
        for entry in claim.get("before", []):
            yield id, earlier(entry), False
        if claim.get("run"):
            yield id, earlier(claim), False
        else:
            verdict, reason = Verdict(claim["verdict"]), str(claim["reason"])
            yield id, Point(folder.name, started, verdict, float(claim["seconds"]), reason, own, folder), True


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _of_name(run: str, otherwise: datetime) -> datetime:
    """Return when a run started by the name of its folder."""
    found = re.match(r"\d{8}T\d{6}Z", run)
    return datetime.strptime(found[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc) if found else otherwise
