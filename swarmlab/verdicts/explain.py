"""All that is known of a claim in one object, for ``swarmlab explain`` and for the card of a claim that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.needs import meaning
from swarmlab.paths import command
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Claim, Incident
from swarmlab.verdicts.defects import Defect, defects
from swarmlab.verdicts.guides import Guide, guide_of
from swarmlab.verdicts.parts import DOCUMENT
from swarmlab.verdicts.quotes import Quote, quote_of
from swarmlab.verdicts.suites import tests_of

#: The need of a claim that disrupts.
DISRUPTS = "disrupts"


@dataclass(frozen=True)
class Need:
    """What a claim needs of the lab.

    Attributes:
        name: The need, as the catalogue has it.
        meaning: What it means.
        lacking: Why the lab does not offer it; empty if it does; None if no lab was asked.
    """

    name: str
    meaning: str
    lacking: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the need as `swarmlab explain --json` has it."""
        return {"name": self.name, "meaning": self.meaning, "lacking": self.lacking}


@dataclass(frozen=True)
class Known:
    """A known incident or defect of engines by which the claim may fail.

    Attributes:
        reference: Issues, advisories or commits, such as "moby#53141, moby#50129".
        summary: What it does, in a sentence.
        engines: The engines that have it, in words; empty if that is not known.
    """

    reference: str
    summary: str = ""
    engines: str = ""

    def __str__(self) -> str:
        engines = f" (engines: {self.engines})" if self.engines else ""
        return f"{self.reference}: {self.summary}{engines}" if self.summary else f"{self.reference}{engines}"

    def to_json(self) -> dict[str, str]:
        """Return it as `swarmlab explain --json` has it."""
        return {"reference": self.reference, "summary": self.summary, "engines": self.engines}


@dataclass(frozen=True)
class Explanation:
    """What a claim says, what it rests on, and what to do when it fails.

    Attributes:
        claim: The claim: sentence, level, part, source, erratum, cost.
        title: The title of its chapter.
        quote: The document's own sentence; None for claims of other parts.
        needs: What it needs of the lab; `DISRUPTS` is among them if it disturbs a cluster that others use.
        tests: Node ids of the tests that judge it.
        guide: What usually breaks it, how to look, what mends it.
        known: Known incidents and defects by which it may fail.
        alone: The command that judges this claim alone.
    """

    claim: Claim
    title: str
    quote: Quote | None
    needs: tuple[Need, ...]
    tests: tuple[str, ...]
    guide: Guide
    known: tuple[Known, ...]
    alone: str

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as `swarmlab explain --json` has it."""
        claim = self.claim
        return {
            **{"id": claim.id, "part": claim.part, "chapter": self.title, "level": claim.level, "must": claim.must},
            "quote": self.quote.to_json() if self.quote else None,
            **{"source": claim.source, "erratum": claim.erratum, "cost": claim.cost, "beside": list(claim.beside)},
            "needs": [need.to_json() for need in self.needs],
            **{"disrupts": claim.disrupts, "tests": list(self.tests)},
            "guide": self.guide.to_json(),
            "known": [known.to_json() for known in self.known],
            "alone": self.alone,
        }


def explanation(
    claim_id: str,
    *,
    options: Sequence[str] = (),
    lacks: Callable[[str], str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Explanation:
    """Return what is known of a claim of the catalogue, or of one that a rehearsal judges.

    Args:
        claim_id: The claim's id.
        options: Options of pytest that choose the lab, for the command that judges the claim alone, such as
            ``["--lab", "inventory", "--inventory", "swarm.yaml"]``.
        lacks: Returns why a lab lacks a need or, for `DISRUPTS`, may not be disrupted; empty if it offers it. None: no
            lab is asked.
        names: node, manager and service for the guide's commands, as `Guide.filled` takes them.

    Raises:
        UsageError: There is no such claim. The message names the nearest.

    Example:
        >>> explanation("7.2.1/reachable-on-any-node").quote.line
        380
    """
    rehearsed = catalogue.rehearsal()
    claims = rehearsed if claim_id in rehearsed else catalogue.load()
    claim = claims.claim(claim_id)
    meanings = {need: meaning(need) for need in claim.needs}
    if claim.disrupts:
        meanings[DISRUPTS] = "the lab may be disrupted"
    needs = [Need(need, meant, lacks(need) if lacks else None) for need, meant in meanings.items()]
    guide = guide_of(claim_id)
    if lacks and lacks("systemd"):
        guide = guide.without_systemd()
    if claim_id in rehearsed:
        alone = command("swarmlab", "rehearse", "--from", "ENGINE", "--to", "ENGINE")
    else:
        alone = command("pytest", "suites/", "--claim", claim_id, *options)
    return Explanation(
        claim,
        claims.titles[claim.chapter],
        quote_of(claim_id) if claim.part == DOCUMENT else None,
        tuple(needs),
        tests_of(claim_id),
        guide.filled(**(names or {})),
        tuple(_known(claim_id, guide)),
        alone,
    )


def _known(claim_id: str, guide: Guide) -> list[Known]:
    found = [_of_defect(defect) for defect in defects() if claim_id in (defect.failures or {})]
    incidents = catalogue.incidents()
    for reference in dict.fromkeys([*([claim_id] if claim_id in incidents else []), *guide.incidents]):
        if reference in incidents:
            found.append(_of_incident(incidents[reference]))
        else:
            known = [_of_defect(defect) for defect in defects() if reference in defect.incidents]
            known = known or [
                _of_incident(incident) for incident in incidents.values() if reference in incident.incidents
            ]
            found += known or [Known(reference)]
    return list(dict.fromkeys(found))


def _of_incident(incident: Incident) -> Known:
    return Known(", ".join(incident.incidents), incident.risk, incident.affected)


def _of_defect(defect: Defect) -> Known:
    spans = [f"{span.first} to before {span.mended}" if span.mended else f"{span.first} on" for span in defect.releases]
    effect = defect.effect[:1].upper() + defect.effect[1:]
    return Known(defect.incident, re.sub(r"(?<!\.)$", ".", effect), "; ".join(spans))
