"""The catalogue: all claims, and all incidents that a rehearsal looks for, as claims/ states them."""

from __future__ import annotations

import functools
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text, shown
from swarmlab.nearest import hint
from swarmlab.needs import known_need
from swarmlab.paths import CLAIMS
from swarmlab.verdicts.parts import CIS, DOCUMENT, SWARM, chapter_of, part_of

FOLDER = CLAIMS
#: The levels of claims, the worst first.
LEVELS = ("critical", "major", "minor")


def rank(level: str) -> int:
    """Return the place of a level among `LEVELS`, to sort by; the last place for one that is no level any more."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


@dataclass(frozen=True)
class Claim:
    """A sentence that a cluster can be held to.

    Attributes:
        id: SECTION/slug, AREA/slug or cis/slug. It never changes.
        must: What a conforming cluster does.
        level: critical (data, quorum or access is lost), major (a promised function is missing) or minor.
        needs: What the lab must offer for the claim to be judged.
        disrupts: Judging it disturbs a cluster that others use.
        erratum: Where the document is wrong; empty if it is right.
        condition: Of a claim of claims/upgrade.yaml: what makes an upgrade safe although it does not hold; empty if
            nothing does.
        source: What promises it: a page of Docker's documentation, a call of the Engine API or a recommendation of the
            benchmark; empty for the document's own claims.
        cost: Of a recommendation of the benchmark: what following it costs.
        beside: Of a recommendation: ids of claims of the document that say otherwise.
    """

    id: str
    must: str
    level: str
    needs: tuple[str, ...] = ()
    disrupts: bool = False
    erratum: str = ""
    condition: str = ""
    source: str = ""
    cost: str = ""
    beside: tuple[str, ...] = ()

    @property
    def part(self) -> str:
        """Part of the catalogue: document, swarm or cis."""
        return part_of(self.id)

    @property
    def section(self) -> str:
        """Section of the document, such as 7.2.1, or area of Swarm, such as configs."""
        return self.id.partition("/")[0]

    @property
    def chapter(self) -> str:
        """Chapter of the document, such as 7; swarm or cis for claims of these parts."""
        return chapter_of(self.id)

    def within(self, part: str) -> bool:
        """Whether the claim belongs to a section, chapter or part: 7 contains 7.2.1, but 7.2 does not contain 7.2.1."""
        return part in (self.section, self.chapter, self.part)

    def notes(self) -> Iterator[tuple[str, str]]:
        """Yield the notes of the claim, each with its name: erratum, cost, what says otherwise, source."""
        yield from ((name, text) for name, text in (("Erratum", self.erratum), ("Cost", self.cost)) if text)
        if self.beside:
            yield "The document says otherwise", ", ".join(self.beside)
        if self.source:
            yield "Source", self.source

    def to_json(self) -> dict[str, Any]:
        """Return the claim as verdicts.json has it."""
        own = {"source": self.source, "cost": self.cost, "beside": list(self.beside)}
        return {
            **{"id": self.id, "part": self.part, "must": self.must, "level": self.level, "needs": list(self.needs)},
            **{"erratum": self.erratum, **{key: value for key, value in own.items() if value}},
        }


@dataclass(frozen=True)
class Unjudged:
    """A behaviour of Swarm that no test judges.

    Attributes:
        id: AREA/slug. It never changes.
        source: What promises it.
        why_not: Why it is not judged.
    """

    id: str
    source: str
    why_not: str


class Catalogue(Mapping[str, Claim]):
    """Claims by id, in the order of the parts and chapters.

    Attributes:
        titles: The titles of chapters, by chapter: those of the document by number, then swarm and cis.
        unjudged: What Swarm promises and no test judges.
    """

    def __init__(
        self, claims: Mapping[str, Claim], titles: Mapping[str, str], unjudged: Iterable[Unjudged] = ()
    ) -> None:
        """Keep claims by id, titles by chapter, and what is not judged."""
        self._claims = dict(claims)
        self.titles = dict(titles)
        self.unjudged = tuple(unjudged)

    def of(self, parts: Container[str]) -> Catalogue:
        """Return the catalogue of these parts alone."""
        kept = self.only(claim for claim in self.values() if claim.part in parts)
        return Catalogue(kept, kept.titles, self.unjudged if SWARM in parts else ())

    def only(self, claims: Iterable[Claim]) -> Catalogue:
        """Return the catalogue of these claims alone."""
        kept = {claim.id: claim for claim in claims}
        chapters = {claim.chapter for claim in kept.values()}
        return Catalogue(kept, {chapter: title for chapter, title in self.titles.items() if chapter in chapters})

    def __getitem__(self, id: str) -> Claim:
        """Return the claim of this id."""
        return self._claims[id]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in their order."""
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
            near = hint(id, self, cutoff=0.5)
            raise UsageError(f"no claim {shown(repr(id), 60)} in the catalogue{near} (pytest --claims lists them)")
        return self[id]


@functools.cache
def load(folder: Path = FOLDER) -> Catalogue:
    """Read and check the catalogue with all its parts.

    Raises:
        UsageError: A file is not a valid part of it. The message names the file, the claim and the error.

    Example:
        >>> load()["7.2.1/create-with-port"].must
    """
    claims: dict[str, Claim] = {}
    titles: dict[str, str] = {}
    unjudged: dict[str, Unjudged] = {}
    chapters = sorted(folder.glob("ch*.yaml"))
    others = [folder / f"{part}.yaml" for part in (SWARM, CIS)]
    for file in [*chapters, *filter(Path.exists, others)]:
        for entry in entries(file, FOLDER / ("schema.json" if file in chapters else f"{file.stem}.schema.json")):
            if entry["id"] in (*claims, *unjudged):
                raise UsageError(f"{file.name}, {entry['id']}: two entries have this id")
            if "why_not" in entry:
                unjudged[entry["id"]] = Unjudged(**entry)
                continue
            claim = _claim(entry)
            _add(claims, claim, file)
            titles.setdefault(claim.chapter, title(file))
    if not claims:
        raise UsageError(f"no claims in {folder}: ch1.yaml and the other chapters are missing")
    for claim in claims.values():
        for id in claim.beside:
            if part_of(id) != DOCUMENT or id not in claims:
                raise UsageError(f"{claim.part}.yaml, {claim.id}: beside: {id!r} is no claim of the document")
    return Catalogue(claims, titles, unjudged.values())


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
    return listed or []  # a file of headings alone has none


def title(file: Path) -> str:
    """Return the title of a file of the catalogue, which is its first line."""
    return next(iter(read_text(file).splitlines()), "").lstrip("# ")


def _claim(entry: Mapping[str, Any]) -> Claim:
    return Claim(**{**entry, **{key: tuple(entry.get(key, ())) for key in ("needs", "beside")}})


def _add(claims: dict[str, Claim], claim: Claim, file: Path) -> None:
    if claim.id in claims:
        raise UsageError(f"{file.name}, {claim.id}: two entries have this id")
    if unknown := [need for need in claim.needs if not known_need(need)]:
        raise UsageError(f"{file.name}, {claim.id}: unknown need {unknown[0]!r} (see claims/README.md)")
    claims[claim.id] = claim


# What a rehearsal of an upgrade judges. It is no part of the catalogue above.


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
        _add(claims, _claim(entry), file)
    known = FOLDER / "known.yaml"
    for incident in incidents().values():
        if incident.must:
            # It disrupts, because the cluster that is being upgraded is not shared with other tests.
            _add(claims, Claim(incident.id, incident.must, incident.level, incident.needs, disrupts=True), known)
    return Catalogue(claims, {"upgrade": title(file), "known": title(known)})


def not_judged(id: str) -> Unjudged | None:
    """Return what no test judges, of Swarm or of known incidents, by its id; None if there is no such thing."""
    for unjudged in load().unjudged:
        if unjudged.id == id:
            return unjudged
    incident = incidents().get(id)
    return Unjudged(id, ", ".join(incident.incidents), incident.why_not) if incident and incident.why_not else None
