"""What a run of the suites left, read back: verdicts.json, checked, and the evidence beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.preflight.finding import Level
from swarmlab.verdicts.verdict import Verdict

#: The file that holds a run's verdicts, in the folder of its reports.
NAME = "verdicts.json"
#: The layout of that file. Keys may be added within one; what a key means never changes.
SCHEMA = 1

_TEXT = {"type": "string"}
_FILES = {"type": "array", "items": {"type": "string", "pattern": r"^evidence/(?!\.\.?$)[^/\\]+$"}}
_VERDICT = {"enum": [str(verdict) for verdict in Verdict]}
_WAIVER = {
    "type": "object",
    "required": ["claim", "justification", "owner", "expires", "outcome"],
    "properties": dict.fromkeys(("claim", "justification", "owner", "expires", "outcome", "scope"), _TEXT),
}
_FINDING = {
    "type": "object",
    "required": ["check", "level", "seen", "risk", "incident", "nodes"],
    "properties": {
        **dict.fromkeys(("check", "seen", "risk", "incident"), _TEXT),
        "level": {"enum": [str(level) for level in Level]},
        "nodes": {"type": "array", "items": _TEXT},
    },
}
_PREFLIGHT = {
    "type": "object",
    "required": ["lab", "findings"],
    "properties": {"lab": _TEXT, "evidence": _FILES["items"], "findings": {"type": "array", "items": _FINDING}},
}
_LAYOUT: dict[str, Any] = {
    "type": "object",
    "required": ["schema", "started", "seconds", "lab", "nodes", "summary", "claims", "not_run"],
    "properties": {
        "schema": {"const": SCHEMA},
        "started": _TEXT,
        "seconds": {"type": "number"},
        "options": {"type": "object"},
        "lab": {"type": "object", "properties": {"kind": _TEXT, "name": _TEXT, "each": {"type": "object"}}},
        "nodes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "preflight": {"type": "array", "items": _PREFLIGHT},
        "summary": {"type": "object", "additionalProperties": {"type": "integer"}},
        "not_run": {"type": "object", "additionalProperties": _TEXT},
        "waivers": {"type": "array", "items": _WAIVER},
        "certification": {"type": "array", "items": _TEXT},
        "followed": {"type": "object", "required": ["tasks", "services", "tests"]},
        "lost_workers": {"type": "object", "additionalProperties": _TEXT},
        "claims": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "must", "level", "verdict", "reason", "evidence", "tests", "seconds"],
                "properties": {
                    **dict.fromkeys(("id", "must", "level", "erratum", "reason"), _TEXT),
                    "verdict": _VERDICT,
                    "evidence": _FILES,
                    "tests": {"type": "array", "items": _TEXT},
                    "seconds": {"type": "number"},
                    "waiver": _WAIVER,
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Judged:
    """A claim and the verdict that a run came to.

    Attributes:
        id: the claim's.
        must: what a conforming cluster does, as the catalogue said at the time.
        level: critical, major or minor.
        erratum: where the document is wrong; empty where it is not.
        verdict: the worst of all its tests.
        reason: why it is no pass; empty where it is one.
        evidence: files in the run's folder.
        tests: node ids of the tests that judged it.
        seconds: how long they took together.
        waiver: who accepted what is not so, until when and why; None where nobody had to.
    """

    id: str
    must: str
    level: str
    verdict: Verdict
    reason: str = ""
    erratum: str = ""
    evidence: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    seconds: float = 0.0
    waiver: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Run:
    """One run of the suites.

    Attributes:
        path: its verdicts.json.
        started: when it began.
        seconds: how long it took.
        told: all that its verdicts.json says, as it stands there.
        claims: what was judged, by id.
        not_run: why the catalogue's other claims were not, by id.
    """

    path: Path
    started: datetime
    seconds: float
    told: Mapping[str, Any]
    claims: Mapping[str, Judged] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that names of evidence files are relative to."""
        return self.path.parent

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many claims have each verdict."""
        found = [claim.verdict for claim in self.claims.values()]
        return {verdict: found.count(verdict) for verdict in Verdict}

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        """Name, address, engine, system, kernel and firewall backend of every node, as far as it told them."""
        return list(self.told["nodes"])

    @property
    def preflight(self) -> list[Mapping[str, Any]]:
        """What was found before anything was judged, each finding once; none if nobody looked."""
        found = [finding for look in self.told.get("preflight", []) for finding in look["findings"]]
        return [finding for place, finding in enumerate(found) if finding not in found[:place]]

    def each(self, fact: str) -> list[str]:
        """What the nodes have of one fact ("engine", "kernel"), each value once."""
        return list(dict.fromkeys(str(node[fact]) for node in self.nodes if node.get(fact)))

    @property
    def lab(self) -> str:
        """Kind and provider of the lab, in a word or two."""
        providers = {told.get("provider", "") for told in self.told["lab"].get("each", {}).values()} - {""}
        return " ".join([str(self.told["lab"].get("kind") or "no lab"), *sorted(providers)])

    @property
    def speed(self) -> float:
        """How many times slower than the reference its lab was, by its own measure; the slowest of several."""
        told = [each.get("speed") for each in self.told["lab"].get("each", {}).values() if isinstance(each, dict)]
        return max([1.0, *(float(speed) for speed in told if isinstance(speed, (int, float)))])

    def read(self, name: str) -> bytes | None:
        """The evidence file of this name; None if it is gone."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None


def load(path: Path) -> Run:
    """Read the verdicts of a run, by their file or its folder.

    Raises:
        UsageError: there are none, or the file is not what a run of the suites writes; the message is one line.
    """
    file = path / NAME if path.is_dir() else path
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file; a run of the suites writes it to its folder of reports") from None
    except OSError as failed:
        raise UsageError(f"{file} cannot be read: {failed.strerror}") from None
    except ValueError as broken:
        raise UsageError(f"{file} is no JSON: {broken}") from None
    if isinstance(told, dict) and isinstance(told.get("schema"), int) and told["schema"] > SCHEMA:
        raise UsageError(f"{file} has schema {told['schema']}; this release reads {SCHEMA}, so take a newer one")
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_LAYOUT).iter_errors(told))
    if wrong is not None:
        place = "/".join(map(str, wrong.absolute_path))
        raise UsageError(f"{file} holds no verdicts of the suites: {place}{': ' if place else ''}{_brief(wrong)}")
    try:
        started = datetime.fromisoformat(told["started"])
    except ValueError:
        raise UsageError(f"{file} holds no verdicts of the suites: started: {told['started']!r} is no date") from None
    claims = {entry["id"]: _judged(entry) for entry in told["claims"]}
    run = Run(file, started, told["seconds"], told, claims, told["not_run"])
    counted = {str(verdict): number for verdict, number in run.counts.items() if number}
    if counted != {verdict: number for verdict, number in told["summary"].items() if number}:
        raise UsageError(f"{file} contradicts itself: its summary is not what its claims add up to")
    if twice := claims.keys() & run.not_run.keys():
        raise UsageError(f"{file} contradicts itself: {min(twice)} was judged and not run")
    return run


def _judged(entry: Mapping[str, Any]) -> Judged:
    return Judged(
        id=entry["id"],
        must=entry["must"],
        level=entry["level"],
        verdict=Verdict(entry["verdict"]),
        reason=entry["reason"],
        erratum=entry.get("erratum", ""),
        evidence=tuple(dict.fromkeys(entry["evidence"])),
        tests=tuple(entry["tests"]),
        seconds=entry["seconds"],
        waiver=entry.get("waiver"),
    )


def _brief(wrong: jsonschema.exceptions.ValidationError) -> str:
    return wrong.message if len(wrong.message) < 120 else f"{wrong.message[:60]} … {wrong.message[-50:]}"
