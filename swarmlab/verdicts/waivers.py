"""Waivers: claims that need not hold until a date, because an owner accepts that."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text, shown
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.verdict import Verdict, worst
from swarmlab.versions import can_match

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
    file = YamlFile(read_text(path), shown(path))
    entries = [] if file.content is None else file.content
    found = list(jsonschema.Draft202012Validator(_LAYOUT).iter_errors(entries))
    # A misspelt key is also one that lacks, and only its own message names it.
    misspelt = (error for error in found if error.validator == "additionalProperties")
    wrong = next(misspelt, None) or jsonschema.exceptions.best_match(found)
    if wrong is not None:
        raise UsageError(_mistake(file, entries, wrong))
    waivers: list[Waiver] = []
    known: set[tuple[str, str, str]] = set()
    for number, entry in enumerate(entries):
        waiver = _waiver(file, number, entry, today)
        about = f"{file.place(number)}, {waiver.claim}"
        if (waiver.claim, waiver.engine, waiver.lab) in known:
            raise UsageError(f"{about}: waived twice for the same engine and lab")
        if waiver.lab and waiver.lab not in labs:
            raise UsageError(f"{about}: lab: {shown(repr(waiver.lab))} is not one of {', '.join(labs)}")
        if waiver.engine and not can_match(waiver.engine):
            raise UsageError(
                f"{about}: engine: {shown(repr(waiver.engine))} matches the version of no engine; write one such as "
                '"20.10.*"'
            )
        known.add((waiver.claim, waiver.engine, waiver.lab))
        waivers.append(waiver)
    return waivers


def _mistake(file: YamlFile, entries: Any, wrong: jsonschema.ValidationError) -> str:
    """Return what breaks the layout, and where."""
    path = list(wrong.absolute_path)
    entry = entries[path[0]] if path else None
    claim = entry.get("claim") if isinstance(entry, dict) else None
    about = file.place(*path) + (f", {shown(claim, 60)}" if claim else "")
    key = f" {path[1]}:" if len(path) > 1 else ""
    if wrong.validator == "type" and not path:
        return f"{about}: is no list; write waivers as a list, each beginning with - claim:"
    if wrong.validator == "type" and len(path) > 1:
        return f"{about}:{key} {shown(repr(wrong.instance))} is no text; put it in quotes"
    if wrong.validator == "additionalProperties" and isinstance(entry, dict):
        keys = list(_LAYOUT["items"]["properties"])
        unknown = next(key for key in map(str, entry) if key not in keys)
        near = difflib.get_close_matches(unknown, keys, n=1)
        about = file.place_of_key(*path, unknown) + (f", {shown(claim, 60)}" if claim else "")
        return f"{about}: {shown(repr(unknown), 60)} is no key of a waiver; " + (
            f"did you mean {near[0]}?" if near else f"the keys are {', '.join(keys)}"
        )
    return f"{about}:{key} {shown(wrong.message)}"


def _waiver(file: YamlFile, number: int, entry: Mapping[str, Any], today: date) -> Waiver:
    about = f"{file.place(number)}, {shown(entry['claim'], 60)}"
    try:
        catalogue.load().claim(entry["claim"])
    except UsageError as unknown:
        raise UsageError(f"{file.place(number, 'claim')}: {unknown}") from None
    expires = entry["expires"]
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if type(expires) is not date:
        wrong = shown(repr(entry["expires"]), 60)
        raise UsageError(f"{about}: expires: {wrong} is not a date such as 2027-01-31")
    if expires < today:
        raise UsageError(f"{about}: the waiver expired on {expires}; mend the cluster or renew it")
    if not entry["justification"].strip() or not entry["owner"].strip():
        raise UsageError(f"{about}: justification and owner must not be empty")
    return Waiver(**{**entry, "expires": expires})


def holding(waivers: list[Waiver], claim: str, lab: Mapping[str, Any]) -> Waiver | None:
    """Return the waiver of a claim that holds in a lab; None if there is none."""
    return next((waiver for waiver in waivers if waiver.claim == claim and waiver.holds(lab)), None)


def accepted(verdicts: Iterable[str]) -> Verdict:
    """Return the worst of a waived test's verdicts, where those that can be waived count as waived."""
    return worst(Verdict.WAIVED if Verdict(found) in WAIVABLE else Verdict(found) for found in verdicts)
