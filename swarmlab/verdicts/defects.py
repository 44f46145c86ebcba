"""Known defects of engines, as claims/defects.yaml lists them, and the failures of claims that they explain.

Preflight names the defects that engines of a cluster have. A claim that fails by such a defect still fails; its verdict
names the defect as *known*.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.verdicts.catalogue import FOLDER, entries
from swarmlab.versions import Version, parsed

FILE = FOLDER / "defects.yaml"


@dataclass(frozen=True)
class Span:
    """A row of releases with a defect.

    Attributes:
        first: The first release that has it.
        mended: The first release after it that does not have it any more; empty if there is none.
    """

    first: str
    mended: str = ""

    def __contains__(self, version: str) -> bool:
        """Whether a version is in the span."""
        found = numbers(version)
        return numbers(self.first) <= found and (not self.mended or found < numbers(self.mended))


@dataclass(frozen=True)
class Defect:
    """A known defect of engines.

    Attributes:
        id: Its name.
        incidents: Its issues or advisories.
        effect: What does not work, or what may happen, and why.
        level: How much preflight makes of it: "info" or "warning".
        releases: The releases of the engine that have it.
        runc: The releases of runc that have it. If there are any, they count where the engine tells runc's version.
        where: What a cluster must have besides to be affected (`swarmlab.preflight.defects.CONDITIONS`).
        mend: What ends it, where that is no newer release.
        failures: The claims that fail by it, each with a regular expression that the reason of such a failure matches.
    """

    id: str
    incidents: tuple[str, ...]
    effect: str
    level: str
    releases: tuple[Span, ...]
    runc: tuple[Span, ...] = ()
    where: tuple[str, ...] = ()
    mend: str = ""
    failures: Mapping[str, str] | None = None

    @property
    def incident(self) -> str:
        """Its issues and advisories as one text."""
        return ", ".join(self.incidents)

    def span(self, engine: str, runc: str = "") -> Span | None:
        """Return the span of releases in which an engine has the defect; None if the engine does not have it.

        Args:
            engine: The engine's version.
            runc: The version of its runc; empty if it is not known.
        """
        version, spans = (runc, self.runc) if self.runc and runc else (engine, self.releases)
        return next((span for span in spans if version in span), None)


@dataclass(frozen=True)
class KnownFailure:
    """A known defect that explains why a claim fails.

    Attributes:
        incident: Issues or advisories of the defect.
        cause: The defect in one sentence.
        engines: Versions of the cluster's engines that have it.
        mended: The release that mends it; empty if none does.
    """

    incident: str
    cause: str
    engines: tuple[str, ...]
    mended: str = ""

    def __str__(self) -> str:
        return f"known: {self.incident}: {self.cause} ({', '.join(self.engines)}; {mend(self.mended)})"

    def to_json(self) -> dict[str, Any]:
        """Return it as verdicts.json has it."""
        return {
            "incident": self.incident,
            "cause": self.cause,
            "engines": list(self.engines),
            "mended": self.mended,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> KnownFailure:
        """Return what verdicts.json has as `raw`."""
        return cls(raw["incident"], raw["cause"], tuple(raw["engines"]), raw["mended"])


def numbers(version: str) -> Version:
    """Return a version as numbers that can be compared; a release candidate comes before its release."""
    found = parsed(version)
    candidate = re.match(r"[\d.]+[-~]rc\.?(\d+)", version)
    return (*found[:-1], found[-1] - 1, int(candidate[1])) if candidate else found


def mend(release: str) -> str:
    """Return which release mends a defect, in a few words."""
    return f"mended in {release}" if release else "no known release mends it"


@functools.cache
def defects(file: Path = FILE) -> tuple[Defect, ...]:
    """Return the known defects.

    Raises:
        UsageError: The file is not valid. The message names the file, the defect and the error.
    """
    found = [_defect(entry) for entry in entries(file, FOLDER / "defects.schema.json")]
    for place, defect in enumerate(found):
        if defect.id in [other.id for other in found[:place]]:
            raise UsageError(f"{file.name}, {defect.id}: two entries have this id")
        for span in (*defect.releases, *defect.runc):
            if span.mended and not numbers(span.first) < numbers(span.mended):
                raise UsageError(f"{file.name}, {defect.id}: {span.mended} is not after {span.first}")
        for claim, reason in (defect.failures or {}).items():
            try:
                re.compile(reason)
            except re.error as wrong:
                raise UsageError(f"{file.name}, {defect.id}: {claim}: {reason!r}: {wrong}") from None
    return tuple(found)


def known_failures(claim: str, reasons: Iterable[str], engines: Iterable[str]) -> list[KnownFailure]:
    """Return the known defects that explain why a claim fails; none unless they explain every reason.

    Args:
        claim: The claim's id.
        reasons: The reasons of its failures, one of each test that failed.
        engines: The versions of the cluster's engines.

    Example:
        >>> known_failures("7.3/stack-rm", ["task x left its container behind"], ["18.03.1-ce"])
    """
    reasons, engines = list(reasons), list(dict.fromkeys(engines))
    return [
        failure
        for defect, pattern in failing(claim)
        if reasons and all(map(pattern.search, reasons))
        for failure in _by_mend(defect, engines)
    ]


def failing(claim: str) -> Iterator[tuple[Defect, re.Pattern[str]]]:
    """Yield the defects by which a claim fails, each with what the reason of such a failure matches."""
    for defect in defects():
        if pattern := (defect.failures or {}).get(claim):
            yield defect, re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _by_mend(defect: Defect, engines: Iterable[str]) -> Iterator[KnownFailure]:
    """Yield the engines that have a defect, those together that the same release mends."""
    affected: dict[str, list[str]] = {}
    for engine in engines:
        if span := defect.span(engine):
            affected.setdefault(span.mended, []).append(engine)
    for mended, found in affected.items():
        yield KnownFailure(defect.incident, defect.effect, tuple(found), mended)


def _defect(entry: Mapping[str, Any]) -> Defect:
    return Defect(
        id=entry["id"],
        incidents=tuple(entry["incidents"]),
        effect=entry["effect"],
        level=entry.get("level", "info"),
        releases=_spans(entry["releases"]),
        runc=_spans(entry.get("runc", [])),
        where=tuple(entry.get("where", [])),
        mend=entry.get("mend", ""),
        failures=entry.get("failures"),
    )


def _spans(raw: Iterable[Mapping[str, str]]) -> tuple[Span, ...]:
    return tuple(Span(**span) for span in raw)
