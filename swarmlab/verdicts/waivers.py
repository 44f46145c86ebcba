"""Waivers: what is not so, and was accepted by its owner until a date."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from swarmlab.errors import UsageError
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.verdict import Verdict, worst

#: What can be accepted: that a claim is not so, or that it is not known in time. A lab that failed cannot be.
WAIVABLE = (Verdict.FAIL, Verdict.TIMEOUT)

_WORDS = {"type": "string", "minLength": 10}
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
            "lab": {"enum": ["dind", "vagrant"]},
            "justification": _WORDS,
            "owner": _NAME,
            "expires": {},
        },
    },
}


@dataclass(frozen=True)
class Waiver:
    """One claim that need not be so for a while.

    Attributes:
        claim: its id.
        justification: why that is accepted.
        owner: who accepted it.
        expires: the last day on which it holds.
        engine: it holds only where every node's engine is of this version, such as "20.10.*"; empty for any.
        lab: it holds only in a lab of this kind; empty for any.
    """

    claim: str
    justification: str
    owner: str
    expires: date
    engine: str = ""
    lab: str = ""

    @property
    def scope(self) -> str:
        """Where it holds, in words; empty where it does everywhere."""
        words = [f"{name} {value}" for name, value in (("engine", self.engine), ("lab", self.lab)) if value]
        return ", ".join(words)

    def holds(self, lab: Mapping[str, Any]) -> bool:
        """Whether it holds for what is known of a lab: its kind, and its nodes with their engines."""
        if self.lab and self.lab != lab.get("kind"):
            return False
        engines = [str(node.get("engine", "")) for node in lab.get("nodes", [])]
        return not self.engine or (bool(engines) and all(fnmatch.fnmatch(one, self.engine) for one in engines))

    def told(self, outcome: str) -> dict[str, str]:
        """What a report says of it, and of what came of it."""
        words = {"claim": self.claim, "justification": self.justification, "owner": self.owner}
        return words | {"expires": self.expires.isoformat(), "scope": self.scope, "outcome": outcome}


def load(path: Path, *, today: date) -> list[Waiver]:
    """Read and check a file of waivers.

    Raises:
        UsageError: the file cannot be read, or one of its waivers is none: incomplete, expired, of an unknown claim, or
            a second one for the same. The message is one line, and names the file and the claim.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as failed:
        raise UsageError(f"{path} cannot be read: {failed.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise UsageError(f"{path} is no YAML: {' '.join(str(broken).split())}") from None
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
        if any((waiver.claim, waiver.engine, waiver.lab) == (one.claim, one.engine, one.lab) for one in waivers):
            raise UsageError(f"{path}, {waiver.claim}: waived twice for the same scope")
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
        raise UsageError(f"{path}, {entry['claim']}: expires: {entry['expires']!r} is no date such as 2027-01-31")
    if expires < today:
        raise UsageError(f"{path}, {entry['claim']}: the waiver expired on {expires}; mend the cluster or renew it")
    if not entry["justification"].strip() or not entry["owner"].strip():
        raise UsageError(f"{path}, {entry['claim']}: a waiver without justification or owner is none")
    return Waiver(**{**entry, "expires": expires})


def holding(waivers: list[Waiver], claim: str, lab: Mapping[str, Any]) -> Waiver | None:
    """The waiver of a claim that holds in a lab; None if there is none."""
    return next((waiver for waiver in waivers if waiver.claim == claim and waiver.holds(lab)), None)


def accepted(verdicts: Iterable[str]) -> Verdict:
    """The verdict of a test whose failure is accepted, of all that it met: what cannot be waived stays."""
    return worst(Verdict.WAIVED if Verdict(found) in WAIVABLE else Verdict(found) for found in verdicts)
