"""A run of the suites, read back: verdicts.json, checked against its schema, and the evidence beside it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from swarmlab import layouts
from swarmlab.errors import UsageError
from swarmlab.files import read_json, shown
from swarmlab.timing import profile
from swarmlab.timing.profile import Profile
from swarmlab.verdicts import folders, gathered
from swarmlab.verdicts.defects import KnownFailure
from swarmlab.verdicts.gathered import SCHEMA
from swarmlab.verdicts.parts import PARTS, part_of
from swarmlab.verdicts.verdict import Verdict

#: Most bytes of a run's verdicts. Those of all claims have 2 MB.
_MOST_BYTES = 2**26
_LAYOUT = Path(__file__).with_name("verdicts.schema.json")
#: What machines ran on, in words, by the driver of libvirt.
_DRIVERS = {"kvm": "on KVM", "qemu": "emulated"}


@dataclass(frozen=True)
class Before:
    """How a claim ended in an earlier run that this one has gone on with (--again).

    Attributes:
        run: Id of that run: the name of its folder.
        verdict: The verdict there.
        reason: Why it did not pass; empty if it did.
        seconds: Duration of its tests together, in seconds.
        evidence: Files in the folder of this run.
    """

    run: str
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict in one run.

    Attributes:
        id: Id of the claim.
        must: What a conforming cluster does, as the catalogue said at the time of the run.
        level: critical, major or minor.
        erratum: Where the document is wrong; empty if it is right.
        source: What promises it; empty for the document's own claims.
        cost: Of a recommendation: what following it costs; empty for other claims.
        beside: Of a recommendation: ids of claims of the document that say otherwise.
        verdict: The worst verdict of its tests.
        reason: Why it did not pass; empty if it did.
        evidence: Files in the run's folder.
        tests: Node ids of the tests that judged it.
        judged_on: Where they ran, each place once: run, shard, host, lab and engine, as far as they are known.
        own_cluster: They had a cluster that was made for them beside that of a lab that stands, and removed after them.
        seconds: Duration of these tests together, in seconds.
        waiver: The waiver that was applied (claim, justification, owner, expires, outcome); None if none was.
        known: The known defects of the cluster's engines that explain why it fails.
        run: Id of the run that judged it, where that is another whose verdict this one has taken over; else empty.
        before: How it ended in earlier runs that this one has gone on with, the oldest first.
    """

    id: str
    must: str
    level: str
    verdict: Verdict
    reason: str = ""
    erratum: str = ""
    source: str = ""
    cost: str = ""
    beside: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    judged_on: tuple[Mapping[str, str], ...] = ()
    own_cluster: bool = False
    seconds: float = 0.0
    waiver: Mapping[str, str] | None = None
    known: tuple[KnownFailure, ...] = ()
    run: str = ""
    before: tuple[Before, ...] = ()

    @property
    def places(self) -> list[str]:
        """Where its tests ran, each place in a few words."""
        keys = ("run", "shard", "host", "lab", "engine")
        return [", ".join(f"{key} {place[key]}" for key in keys if key in place) for place in self.judged_on]

    @property
    def explained(self) -> str:
        """The reason, and the known defects that explain it."""
        return "; ".join(filter(None, [self.reason, *map(str, self.known)]))


@dataclass(frozen=True)
class Run:
    """One run of the suites.

    Attributes:
        path: Its verdicts.json, or verdicts.jsonl if it did not end.
        started: When it started.
        seconds: Its duration, in seconds.
        raw: Its verdicts, as verdicts.json has them.
        claims: The claims that were judged, by id.
        not_run: Why each other claim of the catalogue was not judged, by id.
    """

    path: Path
    started: datetime
    seconds: float
    raw: Mapping[str, Any]
    claims: Mapping[str, Judged] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder that the names of evidence files are relative to."""
        return self.path.parent

    @property
    def unfinished(self) -> str:
        """Why the run ended before its last test; empty if it did not."""
        why = str(self.raw.get("unfinished", ""))
        if self.path.suffix == ".jsonl":
            return folders.going_on(self.folder) or why
        return why

    @property
    def shards(self) -> list[Mapping[str, Any]]:
        """The parts of a run that was split over machines and merged; empty for any other run."""
        return list(self.raw.get("shards", []))

    @property
    def chosen(self) -> list[str]:
        """The words by which --claim chose its claims; none if it judged all claims of its parts."""
        return list(self.raw.get("chosen", []))

    @property
    def runs(self) -> list[Mapping[str, Any]]:
        """The earlier runs that a run with --again has gone on with, the oldest first; empty for any other run."""
        return list(self.raw.get("runs", []))

    @property
    def parts(self) -> list[str]:
        """The parts of the catalogue that it judged, in their order; of a rehearsal what its ids begin with."""
        found = dict.fromkeys(part_of(id) for id in (*self.claims, *self.not_run))
        return [*(part for part in PARTS if part in found), *(part for part in found if part not in PARTS)]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Number of claims by verdict."""
        found = [claim.verdict for claim in self.claims.values()]
        return {verdict: found.count(verdict) for verdict in Verdict}

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        """Name, address, engine, system, kernel and firewall of every node, as far as they were known."""
        return list(self.raw["nodes"])

    @property
    def preflight(self) -> list[Mapping[str, Any]]:
        """Findings of preflight, each once; empty if preflight did not run."""
        found = [finding for look in self.raw.get("preflight", []) for finding in look["findings"]]
        return [finding for place, finding in enumerate(found) if finding not in found[:place]]

    def each(self, fact: str) -> list[str]:
        """Return the values of a fact over all nodes, each once. The fact is a key of `nodes`, such as "engine"."""
        return list(dict.fromkeys(str(node[fact]) for node in self.nodes if node.get(fact)))

    @property
    def lab(self) -> str:
        """Kind and provider of the lab, and on what it ran, such as "vagrant libvirt, emulated"."""
        each = self.raw["lab"].get("each", {}).values()
        providers = {str(facts["provider"]) for facts in each if facts.get("provider")}
        drivers = {_DRIVERS.get(str(facts["driver"]), str(facts["driver"])) for facts in each if facts.get("driver")}
        kind = " ".join([str(self.raw["lab"].get("kind") or "no lab"), *sorted(providers)])
        return ", ".join([kind, *sorted(drivers)])

    @property
    def speed(self) -> float:
        """Speed factor of the lab, by which deadlines were scaled; the largest of several labs."""
        factors = [each.get("speed") for each in self.raw["lab"].get("each", {}).values() if isinstance(each, dict)]
        return max([1.0, *(float(speed) for speed in factors if isinstance(speed, (int, float)))])

    @functools.cached_property
    def profile(self) -> Profile | None:
        """Where it spent its time; None unless it was run with --profile-run.

        Raises:
            UsageError: its profile.json is no profile.
        """
        return profile.load(self.folder)

    def to_json(self) -> dict[str, Any]:
        """Return what the run was in short, for comparisons."""
        return {
            "path": str(self.path),
            "started": self.started.isoformat(),
            "seconds": self.seconds,
            "engines": self.each("engine"),
            "lab": self.lab,
            "counts": {str(verdict): number for verdict, number in self.counts.items()},
            "unfinished": self.unfinished,
        }

    def read(self, name: str) -> bytes | None:
        """Return the content of an evidence file; None if the file is gone."""
        try:
            return (self.folder / name).read_bytes()
        except (OSError, ValueError):  # a name may have a character that no path has
            return None


def layout() -> dict[str, Any]:
    """Return the JSON schema of verdicts.json."""
    return layouts.layout(_LAYOUT)


def account(facts: Mapping[str, Any]) -> str:
    """Return the facts of one lab in a line: provider, speed factor, memory, and the seconds that steps took.

    Args:
        facts: The lab's entry under `lab.each` in verdicts.json.
    """
    parts = [str(facts[key]) for key in ("provider", "driver") if facts.get(key)]
    if "speed" in facts:
        parts.append(f"speed factor {facts['speed']} (deadlines are scaled by it)")
    if facts.get("memory_mib"):
        parts.append(f"{sum(facts['memory_mib'].values())} MiB of memory")
    parts += [f"{step}: {seconds} s" for step, seconds in facts.get("seconds", {}).items()]
    if "sample" in facts:
        parts.append(sampled(facts["sample"]))
    return ", ".join(parts)


def sampled(sample: Mapping[str, Any]) -> str:
    """Return in a line on which nodes of a large cluster tests of one node ran, and why on these.

    Some ran on all nodes nevertheless: those of what people set by hand on each.

    Args:
        sample: The entry `sample` of a lab in verdicts.json.

    Example:
        sampled({"of": 20, "chosen": {"master": ["role manager"]}})
        == "most tests of one node on 1 of 20 nodes: master (role manager)"
    """
    listed = ", ".join(f"{name} ({', '.join(why)})" for name, why in sample["chosen"].items())
    return f"most tests of one node on {len(sample['chosen'])} of {sample['of']} nodes: {listed}"


def suite_version() -> str:
    """Return the version of this suite, or ``unknown`` where it runs uninstalled from its checkout."""
    try:
        return metadata.version("swarm-conformance")
    except metadata.PackageNotFoundError:
        return "unknown"


def load(path: Path) -> Run:
    """Read the verdicts of a run, also of one that did not end.

    Args:
        path: The run's folder, its verdicts, or a folder of reports, of which the latest run is taken.

    Raises:
        UsageError: There is no run, or a run of the suites did not write the file.

    Example:
        >>> load(Path("reports")).counts[Verdict.FAIL]
    """
    file = folders.find(path)
    raw = gathered.read(file) if file.suffix == ".jsonl" else _json(file)
    layouts.refuse_newer(raw, file, SCHEMA)
    if wrong := layouts.mistake(raw, layout()):
        raise UsageError(f"{file} holds no verdicts of the suites: {wrong}")
    try:
        run = of_raw(raw, file)
        run.started.astimezone(timezone.utc) + timedelta(seconds=run.seconds)
    except (ValueError, OverflowError):
        wrong = f"started: {shown(repr(raw['started']), 60)} is not a date, or {raw['seconds']} s after it is none"
        raise UsageError(f"{file} holds no verdicts of the suites: {wrong}") from None
    if len(run.claims) < len(raw["claims"]):
        ids = [claim["id"] for claim in raw["claims"]]
        twice = next(id for id in ids if ids.count(id) > 1)
        raise UsageError(f"{file} contradicts itself: {shown(twice, 60)} is judged twice")
    counted = {str(verdict): number for verdict, number in run.counts.items() if number}
    if counted != {verdict: number for verdict, number in raw["summary"].items() if number}:
        raise UsageError(f"{file} contradicts itself: its summary does not add up to its claims")
    if twice := run.claims.keys() & run.not_run.keys():
        raise UsageError(f"{file} contradicts itself: {min(twice)} is both judged and not run")
    return run


def of_raw(raw: Mapping[str, Any], file: Path) -> Run:
    """Return a run from its verdicts.

    Args:
        raw: Its verdicts, as verdicts.json has them.
        file: Its verdicts.json.

    Raises:
        ValueError: The time at which it started is not a date.
    """
    claims = {entry["id"]: _judged(entry) for entry in raw["claims"]}
    return Run(file, datetime.fromisoformat(raw["started"]), raw["seconds"], raw, claims, raw["not_run"])


def _json(file: Path) -> Any:
    return read_json(file, most=_MOST_BYTES)


def _judged(entry: Mapping[str, Any]) -> Judged:
    return Judged(
        id=entry["id"],
        must=entry["must"],
        level=entry["level"],
        verdict=Verdict(entry["verdict"]),
        reason=entry["reason"],
        erratum=entry.get("erratum", ""),
        source=entry.get("source", ""),
        cost=entry.get("cost", ""),
        beside=tuple(entry.get("beside", ())),
        evidence=tuple(dict.fromkeys(entry["evidence"])),
        tests=tuple(entry["tests"]),
        judged_on=tuple(entry.get("judged", ())),
        own_cluster=entry.get("own_cluster", False),
        seconds=entry["seconds"],
        waiver=entry.get("waiver"),
        known=tuple(map(KnownFailure.from_json, entry.get("known", []))),
        run=entry.get("run", ""),
        before=tuple(map(_before, entry.get("before", []))),
    )


def _before(entry: Mapping[str, Any]) -> Before:
    return Before(
        entry["run"],
        Verdict(entry["verdict"]),
        entry["reason"],
        entry.get("seconds", 0.0),
        tuple(entry.get("evidence", ())),
    )
