"""The catalogue: every claim of the document, and every incident that a rehearsal looks for, as claims/ states them."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text, shown
from swarmlab.needs import known_need
from swarmlab.paths import CLAIMS

FOLDER = CLAIMS


@dataclass(frozen=True)
class Claim:
    """A sentence of the document that a cluster can be held to.

    Attributes:
        id: SECTION/slug. It never changes.
        must: What a conforming cluster does.
        level: critical (data, quorum or access is lost), major (a promised function is missing) or minor.
        needs: What the lab must offer for the claim to be judged.
        disrupts: Judging it disturbs a cluster that others use.
        erratum: Where the document is wrong; empty if it is right.
        condition: Of a claim of claims/upgrade.yaml: what makes an upgrade safe although it does not hold; empty if
            nothing does.
    """

    id: str
    must: str
    level: str
    needs: tuple[str, ...] = ()
    disrupts: bool = False
    erratum: str = ""
    condition: str = ""

    @property
    def section(self) -> str:
        """Section of the document, such as 7.2.1."""
        return self.id.partition("/")[0]

    @property
    def chapter(self) -> str:
        """Chapter of the document, such as 7."""
        return self.section.partition(".")[0]

    def within(self, part: str) -> bool:
        """Whether the claim belongs to a section or chapter: 7 contains 7.2.1, but 7.2 does not contain 7.2.1."""
        return part in (self.section, self.chapter)


class Catalogue(Mapping[str, Claim]):
    """All claims by id, in the document's order, and the titles of its chapters."""

    def __init__(self, claims: Mapping[str, Claim], titles: Mapping[str, str]) -> None:
        """Keep claims by id, and titles by chapter."""
        self._claims = dict(claims)
        self.titles = dict(titles)

    def __getitem__(self, id: str) -> Claim:
        """Return the claim of this id."""
        return self._claims[id]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in the document's order."""
        return iter(self._claims)

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self._claims)

    def claim(self, id: str) -> Claim:
        """Return the claim of this id.

        Raises:
            UsageError: No claim has this id. The message names the nearest.
        """
        if id not in self:
            near = difflib.get_close_matches(id, self, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"no claim {shown(repr(id), 60)} in the catalogue{hint} (pytest --claims lists them)")
        return self[id]


@functools.cache
def load(folder: Path = FOLDER) -> Catalogue:
    """Read and check the catalogue.

    Raises:
        UsageError: A file is not a valid chapter. The message names the file, the claim and the error.

    Example:
        >>> load()["7.2.1/create-with-port"].must
    """
    claims: dict[str, Claim] = {}
    titles: dict[str, str] = {}
    for file in sorted(folder.glob("ch*.yaml")):
        for entry in entries(file):
            claim = Claim(**{**entry, "needs": tuple(entry.get("needs", ()))})
            _add(claims, claim, file)
            titles.setdefault(claim.chapter, title(file))
    if not claims:
        raise UsageError(f"no claims in {folder}: ch1.yaml and the other chapters are missing")
    return Catalogue(claims, titles)


def entries(file: Path, schema: Path = FOLDER / "schema.json") -> list[dict[str, Any]]:
    """Return the entries of a file of the catalogue, checked against its schema.

    Raises:
        UsageError: The file is not YAML, or breaks the schema.
    """
    try:
        validator = jsonschema.Draft202012Validator(json.loads(read_text(schema)))
    except ValueError as broken:
        raise UsageError(f"{schema.name} is not JSON: {broken}") from None
    read = YamlFile(read_text(file), file.name)
    listed: list[dict[str, Any]] = read.content
    for error in validator.iter_errors(listed):
        path = list(error.absolute_path)
        entry = listed[path[0]] if path else None
        name = f", {entry['id']}" if isinstance(entry, dict) and "id" in entry else ""
        raise UsageError(f"{read.place(*path)}{name}: {shown(error.message)}")
    return listed


def title(file: Path) -> str:
    """Return the title of a file of the catalogue, which is its first line."""
    return next(iter(read_text(file).splitlines()), "").lstrip("# ")


def _add(claims: dict[str, Claim], claim: Claim, file: Path) -> None:
    if claim.id in claims:
        raise UsageError(f"{file.name}, {claim.id}: two entries have this id")
    if unknown := [need for need in claim.needs if not known_need(need)]:
        raise UsageError(f"{file.name}, {claim.id}: unknown need {unknown[0]!r} (see claims/README.md)")
    claims[claim.id] = claim


# What a rehearsal of an upgrade judges. It is not part of the document.


@dataclass(frozen=True)
class Incident:
    """A known failure of some engine.

    A rehearsal looks for it, unless `why_not` says why it does not.

    Attributes:
        id: known/slug. It never changes.
        incidents: Where it was reported.
        affected: The engines that are known to have it.
        risk: What it does to a cluster that has it.
        must: What a cluster does that does not have it; empty if it is not judged.
        level: See `Claim`.
        needs: See `Claim`.
        condition: What makes an upgrade safe although the cluster has it; empty if nothing does.
        why_not: Why it is not judged; empty if it is.
    """

    id: str
    incidents: tuple[str, ...]
    affected: str
    risk: str
    must: str = ""
    level: str = "major"
    needs: tuple[str, ...] = ()
    condition: str = ""
    why_not: str = ""


@functools.cache
def incidents() -> dict[str, Incident]:
    """Return the known incidents of claims/known.yaml, by id.

    Raises:
        UsageError: The file is not valid.
    """
    file = FOLDER / "known.yaml"
    found: dict[str, Incident] = {}
    for entry in entries(file, FOLDER / "known.schema.json"):
        lists = {key: tuple(entry.get(key, ())) for key in ("incidents", "needs")}
        if entry["id"] in found:
            raise UsageError(f"{file.name}, {entry['id']}: two entries have this id")
        found[entry["id"]] = Incident(**{**entry, **lists})
    return found


@functools.cache
def rehearsal() -> Catalogue:
    """Return what a rehearsal of an upgrade judges: claims/upgrade.yaml, and the incidents that it looks for.

    Raises:
        UsageError: A file is not valid.
    """
    claims: dict[str, Claim] = {}
    file = FOLDER / "upgrade.yaml"
    for entry in entries(file, FOLDER / "upgrade.schema.json"):
        _add(claims, Claim(**{**entry, "needs": tuple(entry.get("needs", ()))}), file)
    known = FOLDER / "known.yaml"
    for incident in incidents().values():
        if incident.must:
            # It disrupts, because the cluster that is being upgraded is not shared with other tests.
            _add(claims, Claim(incident.id, incident.must, incident.level, incident.needs, disrupts=True), known)
    return Catalogue(claims, {"upgrade": title(file), "known": title(known)})
