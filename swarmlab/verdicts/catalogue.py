"""The catalogue: every claim of the document, as claims/ states it."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from swarmlab.errors import UsageError
from swarmlab.needs import known_need
from swarmlab.paths import CLAIMS

FOLDER = CLAIMS


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        id: SECTION/slug, stable for ever.
        must: what a conforming cluster does.
        level: critical (data, quorum or access lost), major (a promised function is missing) or minor.
        needs: what the lab has to offer for it to be judged.
        disrupts: judging it hurts a cluster that others use.
        erratum: where the document is wrong, empty where it is not.
    """

    id: str
    must: str
    level: str
    needs: tuple[str, ...] = ()
    disrupts: bool = False
    erratum: str = ""

    @property
    def section(self) -> str:
        """The document's section: 7.2.1."""
        return self.id.partition("/")[0]

    @property
    def chapter(self) -> str:
        """The document's chapter: 7."""
        return self.section.partition(".")[0]

    def within(self, part: str) -> bool:
        """Whether the claim belongs to this section or chapter; 7.2 does not hold 7.2.1, 7 holds both."""
        return part in (self.section, self.chapter)


class Catalogue(Mapping[str, Claim]):
    """All claims by id, in the document's order, and the titles of its chapters."""

    def __init__(self, claims: Mapping[str, Claim], titles: Mapping[str, str]) -> None:
        self._claims = dict(claims)
        self.titles = dict(titles)

    def __getitem__(self, id: str) -> Claim:
        return self._claims[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def claim(self, id: str) -> Claim:
        """The claim of this id.

        Raises:
            UsageError: there is none; the message names the nearest.
        """
        if id not in self:
            near = difflib.get_close_matches(id, self, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"no claim {id!r} in the catalogue{hint} (pytest --claims lists them)")
        return self[id]


@functools.cache
def load(folder: Path = FOLDER) -> Catalogue:
    """Read and check the catalogue.

    Raises:
        UsageError: a file is no valid chapter; the message names file, claim and what is wrong.
    """
    claims: dict[str, Claim] = {}
    titles: dict[str, str] = {}
    for file in sorted(folder.glob("ch*.yaml")):
        for entry in entries(file):
            claim = Claim(**{**entry, "needs": tuple(entry.get("needs", ()))})
            _add(claims, claim, file)
            titles.setdefault(claim.chapter, title(file))
    if not claims:
        raise UsageError(f"no claims in {folder}; it has to hold ch1.yaml and so on")
    return Catalogue(claims, titles)


def entries(file: Path, schema: Path = FOLDER / "schema.json") -> list[dict[str, Any]]:
    """What a file of the catalogue lists, held against its schema.

    Raises:
        UsageError: it is not what the schema wants.
    """
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    try:
        listed: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as broken:
        raise UsageError(f"{file.name} is no YAML: {' '.join(str(broken).split())}") from broken
    for error in validator.iter_errors(listed):
        place = error.absolute_path[0] if error.absolute_path else None
        name = listed[place].get("id", f"entry {place}") if isinstance(place, int) else "the file"
        raise UsageError(f"{file.name}, {name}: {error.message}")
    return listed


def title(file: Path) -> str:
    """The title that a file of the catalogue has in its first line."""
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


def _add(claims: dict[str, Claim], claim: Claim, file: Path) -> None:
    if claim.id in claims:
        raise UsageError(f"{file.name}, {claim.id}: the id is used twice")
    if unknown := [need for need in claim.needs if not known_need(need)]:
        raise UsageError(f"{file.name}, {claim.id}: unknown need {unknown[0]!r} (see claims/README.md)")
    claims[claim.id] = claim


# What a rehearsal of an upgrade judges, which is no part of the document


@dataclass(frozen=True)
class Incident:
    """What once went wrong with some engine, and is looked for in a rehearsal, or why it is not.

    Attributes:
        id: known/slug, stable for ever.
        incidents: where it was reported.
        affected: the engines of which that is known.
        risk: what it does to who meets it.
        must: what is so where it is not met; empty where that is not judged.
        level: see `Claim`.
        needs: see `Claim`.
        condition: what makes an upgrade safe all the same, where it is met; empty where nothing does.
        why_not: why it is not judged; empty where it is.
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
    """The known incidents by id, of claims/known.yaml.

    Raises:
        UsageError: the file is not valid.
    """
    file = FOLDER / "known.yaml"
    found: dict[str, Incident] = {}
    for entry in entries(file, FOLDER / "known.schema.json"):
        lists = {key: tuple(entry.get(key, ())) for key in ("incidents", "needs")}
        if entry["id"] in found:
            raise UsageError(f"{file.name}, {entry['id']}: the id is used twice")
        found[entry["id"]] = Incident(**{**entry, **lists})
    return found


@functools.cache
def rehearsal() -> Catalogue:
    """What a rehearsal of an upgrade judges: claims/upgrade.yaml, and the incidents that it looks for.

    Raises:
        UsageError: a file is not valid.
    """
    claims: dict[str, Claim] = {}
    file = FOLDER / "upgrade.yaml"
    for entry in entries(file, FOLDER / "upgrade.schema.json"):
        _add(claims, Claim(**{**entry, "needs": tuple(entry.get("needs", ()))}), file)
    known = FOLDER / "known.yaml"
    for one in incidents().values():
        if one.must:
            # The cluster is one that is being upgraded: none that others use.
            _add(claims, Claim(one.id, one.must, one.level, one.needs, disrupts=True), known)
    return Catalogue(claims, {"upgrade": title(file), "known": title(known)})
