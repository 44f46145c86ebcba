"""Pages of the claims and of what they need, from the catalogues."""

from __future__ import annotations

from collections.abc import Iterable

from swarmlab.needs import DECLARED, FEATURES, undeclared
from swarmlab.report.markdown import code, plain, table
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Claim
from tools.documents.markdown import anchor, page

_HEADS = ["claim", "level", "what a conforming cluster does", "needs"]


def claims() -> str:
    """Return the page of all claims, by chapter, and of what a rehearsal judges."""
    known = catalogue.load()
    blocks = [
        f"The catalogue has {len(known)} claims. What the columns mean: [claims/README.md](../../claims/README.md). "
        "What a lab must offer for a claim: [needs](needs.md). "
        "A claim marked ⚡ disrupts the cluster that it is judged on.",
    ]
    for number, title in known.titles.items():
        blocks += _section(title, [claim for claim in known.values() if claim.chapter == number])
    rehearsed = catalogue.rehearsal()
    blocks += ["The catalogues of a rehearsed upgrade are counted apart."]
    blocks += _section(
        rehearsed.titles["upgrade"], [claim for id, claim in rehearsed.items() if id.startswith("upgrade/")]
    )
    blocks += [f"## {plain(rehearsed.titles['known'])}", *_incidents()]
    return page("Claims", "claims/", *blocks)


def _section(title: str, held: list[Claim]) -> list[str]:
    rows = (
        [anchor(claim.id) + code(claim.id), *_row(claim.level, claim.must, claim.needs, claim.disrupts)]
        for claim in held
    )
    errata = [f"- [{code(claim.id)}](#{claim.id}): {plain(claim.erratum)}" for claim in held if claim.erratum]
    return [f"## {plain(title)}", table(_HEADS, rows), "Errata:" if errata else "", "\n".join(errata)]


def _row(level: str, must: str, needs: Iterable[str], disrupts: bool) -> list[str]:
    return [level, plain(must) + (" ⚡" if disrupts else ""), _linked(needs)]


def _linked(needs: Iterable[str]) -> str:
    return ", ".join(f"[{code(need)}](needs.md#{_place(need)})" for need in needs)


def _place(need: str) -> str:
    """Return the anchor of a need on its page; ``nodes>=5`` and ``image:x`` have the place of their kind."""
    if need.startswith("declared:"):
        return need.replace(":", "-")
    return need.partition(">")[0].partition(":")[0]


def _incidents() -> list[str]:
    found = catalogue.incidents().values()
    judged = (
        [
            code(one.id),
            one.level,
            plain(one.must),
            _linked(one.needs),
            plain(one.affected),
            plain(", ".join(one.incidents)),
        ]
        for one in found
        if one.must
    )
    left = (
        [code(one.id), plain(one.why_not), plain(one.affected), plain(", ".join(one.incidents))]
        for one in found
        if not one.must
    )
    return [
        table(["incident", "level", "what is so where it is not met", "needs", "engines", "reported"], judged),
        "Not judged:",
        table(["incident", "why not", "engines", "reported"], left),
    ]


def needs() -> str:
    """Return the page of the needs: what a lab must offer, and how many claims ask for it."""
    wanted = [need for claim in catalogue.load().values() for need in claim.needs]
    counted = {
        "nodes": "the cluster has at least this many nodes",
        "managers": "the cluster has room for at least this many managers",
        "task-history": "the swarm is set to keep at least this many tasks of a slot; the default is 5",
        "api": "the engine of the first node knows at least this version of the API",
        "compose": "the command line of the first node takes compose files of this version",
        "image": "the lab serves an image that the project does not make; `--image NAME=REFERENCE` or a file gives one",
    }
    forms = {
        "nodes": "nodes>=N",
        "managers": "managers>=N",
        "task-history": "task-history>=N",
        "api": "api>=1.N",
        "compose": "compose>=3.N",
        "image": "image:NAME",
    }
    rows = [
        [anchor(name) + code(forms[name]), meaning, str(sum(_place(need) == name for need in wanted))]
        for name, meaning in counted.items()
    ]
    rows += [
        [anchor(name) + code(name), f"else *blocked*: {plain(reason)}", str(wanted.count(name))]
        for name, reason in FEATURES.items()
    ]
    rows += [
        [anchor(_place(need)) + code(need), f"else *blocked*: {plain(undeclared(name))}", str(wanted.count(need))]
        for name, need in ((name, f"declared:{name}") for name in DECLARED)
    ]
    return page(
        "Needs",
        "swarmlab/needs.py",
        "A claim names what its lab must offer. The run looks for it, and reports the claim as *blocked* where it is "
        "missing. [Claims](claims.md) lists which claim needs what.",
        table(["need", "meaning", "claims"], rows),
    )
