"""Waivers: claims that need not hold until a date, because an owner accepts that."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from swarmlab.errors import UsageError
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.verdict import Verdict, worst

#: The verdicts that a waiver covers. A lab that failed is never waived.
WAIVABLE = (Verdict.FAIL, Verdict.TIMEOUT)

_SENTENCE = {"type": "string", "minLength": 10}
_NAME = {"type": "string", "minLength": 2}
_LAYOUT: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["claim", "justification", "owner", "expires"],
        "additionalProperties": False,
        "properties": {
            "claim": {"type": "string"},
            "engine": _NAME,
            "lab": _NAME,
            "justification": _SENTENCE,
            "owner": _NAME,
            "expires": {},
        },
    },
}


@dataclass(frozen=True)
class Waiver:
    """A claim that need not hold for a while.

    Attributes:
        claim: Id of the claim.
        justification: Why that is accepted.
        owner: Who accepts it.
        expires: The last day on which the waiver holds.
        engine: The waiver holds only if the engine of every node has this version, such as "20.10.*"; empty for any.
        lab: The waiver holds only in a lab of this kind; empty for any.
    """

    claim: str
    justification: str
    owner: str
    expires: date
    engine: str = ""
    lab: str = ""

    @property
    def scope(self) -> str:
        """The engine and lab to which the waiver is limited; empty if it is not."""
        limits = (("engine", self.engine), ("lab", self.lab))
        return ", ".join(f"{name} {value}" for name, value in limits if value)

    def holds(self, lab: Mapping[str, Any]) -> bool:
        """Whether the waiver holds in a lab, given its facts: kind, and nodes with their engines."""
        if self.lab and self.lab != lab.get("kind"):
            return False
        engines = [str(node.get("engine", "")) for node in lab.get("nodes", [])]
        return not self.engine or (bool(engines) and all(fnmatch.fnmatch(engine, self.engine) for engine in engines))

    def raw(self) -> dict[str, str]:
        """Return the waiver as a file of waivers has it; `from_raw` reads it back."""
        made = {"claim": self.claim, "justification": self.justification, "owner": self.owner}
        return made | {"expires": self.expires.isoformat(), "engine": self.engine, "lab": self.lab}

    @classmethod
    def from_raw(cls, raw: Mapping[str, str]) -> Waiver:
        """Return the waiver that `raw` returned."""
        return cls(**{**raw, "expires": date.fromisoformat(raw["expires"])})  # type: ignore[arg-type]

    def to_json(self, outcome: str) -> dict[str, str]:
        """Return the waiver as verdicts.json has it, with its *outcome* in the run."""
        made = {"claim": self.claim, "justification": self.justification, "owner": self.owner}
        return made | {"expires": self.expires.isoformat(), "scope": self.scope, "outcome": outcome}


def load(path: Path, *, today: date, labs: Collection[str]) -> list[Waiver]:
    """Read and check a file of waivers.

    Args:
        path: The YAML file.
        today: The day of the run. A waiver that expired before is refused.
        labs: The kinds of lab to which a waiver can be limited.

    Raises:
        UsageError: The file cannot be read, or a waiver is incomplete, expired, of an unknown claim, or a duplicate.
            The message names the file and the claim.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as failed:
        raise UsageError(f"{path} cannot be read: {failed.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise UsageError(f"{path} is not YAML: {' '.join(str(broken).split())}") from None
    entries = [] if entries is None else entries
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(_LAYOUT).iter_errors(entries))
    if wrong is not None:
        place = next(iter(wrong.absolute_path), None)
        entry = entries[place] if isinstance(place, int) else {}
        name = entry.get("claim", f"entry {place}") if isinstance(entry, dict) and entry else f"entry {place}"
        about = "" if place is None else f", {name}"
        part = f" {wrong.absolute_path[1]}:" if len(wrong.absolute_path) > 1 else ""
        raise UsageError(f"{path}{about}:{part} {wrong.message}")
    waivers: list[Waiver] = []
    for entry in entries:
        waiver = _waiver(path, entry, today)
        if (waiver.claim, waiver.engine, waiver.lab) in [(other.claim, other.engine, other.lab) for other in waivers]:
            raise UsageError(f"{path}, {waiver.claim}: waived twice for the same engine and lab")
        if waiver.lab and waiver.lab not in labs:
            raise UsageError(f"{path}, {waiver.claim}: lab: {waiver.lab!r} is not one of {', '.join(labs)}")
        waivers.append(waiver)
    return waivers


def _waiver(path: Path, entry: Mapping[str, Any], today: date) -> Waiver:
    try:
        catalogue.load().claim(entry["claim"])
    except UsageError as unknown:
        raise UsageError(f"{path}: {unknown}") from None
    expires = entry["expires"]
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if type(expires) is not date:
        raise UsageError(f"{path}, {entry['claim']}: expires: {entry['expires']!r} is not a date such as 2027-01-31")
    if expires < today:
        raise UsageError(f"{path}, {entry['claim']}: the waiver expired on {expires}; mend the cluster or renew it")
    if not entry["justification"].strip() or not entry["owner"].strip():
        raise UsageError(f"{path}, {entry['claim']}: justification and owner must not be empty")
    return Waiver(**{**entry, "expires": expires})


def holding(waivers: list[Waiver], claim: str, lab: Mapping[str, Any]) -> Waiver | None:
    """Return the waiver of a claim that holds in a lab; None if there is none."""
    return next((waiver for waiver in waivers if waiver.claim == claim and waiver.holds(lab)), None)


def accepted(verdicts: Iterable[str]) -> Verdict:
    """Return the worst of a waived test's verdicts, where those that can be waived count as waived."""
    return worst(Verdict.WAIVED if Verdict(found) in WAIVABLE else Verdict(found) for found in verdicts)
