"""The file of waivers: read, and checked so that a waiver that can never hold is refused."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text, shown
from swarmlab.nearest import hint, nearest
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.waivers import FindingWaiver, Waiver
from swarmlab.versions import can_match

_LAYOUT = Path(__file__).with_name("waivers.schema.json")


@dataclass(frozen=True)
class Waivers:
    """The waivers of a file.

    Attributes:
        claims: Those of claims.
        findings: Those of findings of preflight.
    """

    claims: list[Waiver] = field(default_factory=list)
    findings: list[FindingWaiver] = field(default_factory=list)

    def raw(self) -> dict[str, list[dict[str, Any]]]:
        """Return them for another process; `from_raw` reads them back."""
        return {"claims": [each.raw() for each in self.claims], "findings": [each.raw() for each in self.findings]}

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Waivers:
        """Return the waivers that `raw` returned."""
        return cls(list(map(Waiver.from_raw, raw["claims"])), list(map(FindingWaiver.from_raw, raw["findings"])))


def load(path: Path, *, today: date, labs: Collection[str], checks: Collection[str], of_claims: bool = True) -> Waivers:
    """Read and check a file of waivers.

    A waiver of a claim that expired is refused. A waiver of a finding that expired is returned as `expired`: the
    finding counts again, and the user is told why.

    Args:
        path: The YAML file.
        today: The day of the run.
        labs: The kinds of lab to which a waiver can be limited.
        checks: The names of preflight's checks.
        of_claims: Claims are judged; if they are not, their waivers are left out and may have expired.

    Raises:
        UsageError: The file cannot be read, or a waiver is incomplete, expired, of an unknown claim or check, or a
            duplicate. The message names the file and the claim or check.
    """
    file = YamlFile(read_text(path), shown(path))
    entries = [] if file.content is None else file.content
    if not isinstance(entries, list):
        raise UsageError(
            f"{file.place()}: is no list; write waivers as a list, each beginning with - claim: or - check:"
        )
    found = Waivers()
    known: set[tuple[str, ...]] = set()
    for number, entry in enumerate(entries):
        kind = _kind(file, number, entry)
        _check_layout(file, number, entry, kind)
        about = f"{file.place(number)}, {shown(entry[kind], 60)}"
        _check_name(file, number, entry, checks)
        expires = _expires(about, entry)
        if not entry["justification"].strip() or not entry["owner"].strip():
            raise UsageError(f"{about}: justification and owner must not be empty")
        _check_scope(about, entry, labs)
        scope = tuple(str(entry.get(key, "")) for key in ("claim", "check", "node", "says", "engine", "lab"))
        if scope in known:
            raise UsageError(f"{about}: waived twice for the same {'node, ' if kind == 'check' else ''}engine and lab")
        known.add(scope)
        if kind == "check":
            found.findings.append(FindingWaiver(**{**entry, "expires": expires}, expired=expires < today))
        elif of_claims:
            if expires < today:
                raise UsageError(f"{about}: the waiver expired on {expires}; mend the cluster or renew it")
            found.claims.append(Waiver(**{**entry, "expires": expires}))
    return found


@functools.cache
def layout() -> dict[str, Any]:
    """Return the JSON schema of a file of waivers."""
    schema: dict[str, Any] = json.loads(_LAYOUT.read_text(encoding="utf-8"))
    return schema


def _kind(file: YamlFile, number: int, entry: Any) -> str:
    """Return the key that says what an entry waives: claim or check."""
    named = [key for key in ("claim", "check") if isinstance(entry, dict) and key in entry]
    if len(named) > 1:
        raise UsageError(f"{file.place(number)}: names a claim and a check; write a waiver for each")
    # Without either it is taken for one of a claim, and what it lacks is named.
    return named[0] if named else "check" if isinstance(entry, dict) and "node" in entry else "claim"


def _check_layout(file: YamlFile, number: int, entry: Any, kind: str) -> None:
    schema = layout()["$defs"]["claim" if kind == "claim" else "finding"]
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(entry))
    # A misspelt key is also one that lacks, and only its own message names it.
    misspelt = (error for error in found if error.validator == "additionalProperties")
    wrong = next(misspelt, None) or jsonschema.exceptions.best_match(found)
    if wrong is not None:
        raise UsageError(_mistake(file, number, entry, kind, wrong, list(schema["properties"])))


def _mistake(
    file: YamlFile, number: int, entry: Any, kind: str, wrong: jsonschema.ValidationError, keys: list[str]
) -> str:
    """Return what breaks the layout, and where."""
    path = [number, *wrong.absolute_path]
    name = entry.get(kind) if isinstance(entry, dict) else None
    named = f", {shown(name, 60)}" if name else ""
    about = file.place(*path) + named
    key = f" {path[1]}:" if len(path) > 1 else ""
    if wrong.validator == "type" and len(path) > 1:
        return f"{about}:{key} {shown(repr(wrong.instance))} is no text; put it in quotes"
    if wrong.validator == "minLength":
        least = f"write at least {wrong.validator_value} characters"
        return f"{about}:{key} {shown(repr(wrong.instance))} is too short; {least}"
    if wrong.validator == "required" and isinstance(entry, dict) and kind not in entry:
        return f"{about}: names neither a claim nor a check; begin it with claim: or check:"
    if wrong.validator == "additionalProperties" and isinstance(entry, dict):
        unknown = next(key for key in map(str, entry) if key not in keys)
        near = nearest(unknown, keys)
        about = file.place_of_key(*path, unknown) + named
        return (
            f"{about}: {shown(repr(unknown), 60)} is no key of a waiver{' of a check' if kind == 'check' else ''}; "
            + (f"did you mean {near}?" if near else f"the keys are {', '.join(keys)}")
        )
    return f"{about}:{key} {shown(wrong.message)}"


def _check_name(file: YamlFile, number: int, entry: Mapping[str, Any], checks: Collection[str]) -> None:
    """Refuse an unknown claim or check."""
    if "claim" in entry:
        try:
            catalogue.load().claim(entry["claim"])
        except UsageError as unknown:
            raise UsageError(f"{file.place(number, 'claim')}: {unknown}") from None
    elif (name := entry["check"]) not in checks:
        near = hint(name, checks, cutoff=0.5)
        listed = "swarmlab preflight --list lists them"
        raise UsageError(f"{file.place(number, 'check')}: no check {shown(repr(name), 60)}{near} ({listed})")


def _expires(about: str, entry: Mapping[str, Any]) -> date:
    expires = entry["expires"]
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if type(expires) is not date:
        wrong = shown(repr(entry["expires"]), 60)
        raise UsageError(f"{about}: expires: {wrong} is not a date such as 2027-01-31")
    return expires


def _check_scope(about: str, entry: Mapping[str, Any], labs: Collection[str]) -> None:
    """Refuse a scope in which a waiver can never hold."""
    if (lab := entry.get("lab", "")) and lab not in labs:
        raise UsageError(f"{about}: lab: {shown(repr(lab))} is not one of {', '.join(labs)}")
    if (engine := entry.get("engine", "")) and not can_match(engine):
        raise UsageError(
            f'{about}: engine: {shown(repr(engine))} matches the version of no engine; write one such as "20.10.*"'
        )
