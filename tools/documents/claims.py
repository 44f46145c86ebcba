"""Pages of the claims and of what they need, from the catalogues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from swarmlab.needs import DECLARED, FEATURES, FORMS, meaning, undeclared
from swarmlab.report.markdown import code, plain, table
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Catalogue, Claim
from swarmlab.verdicts.parts import CIS, DOCUMENT, PARTS, SWARM
from tools.documents.markdown import anchor, page

_HEADS = ["claim", "level", "what a conforming cluster does", "needs"]
_OF_SWARM = [*_HEADS, "source"]
_OF_CIS = ["recommendation", "level", "what is so where it is followed", "needs", "cost", "source"]


def claims() -> str:
    """Return the page of all claims, by chapter, and of what a rehearsal judges."""
    known = catalogue.load()
    counts = {title: len(known.of([part])) for part, title in PARTS.items()}
    blocks = [
        "The catalogue has " + "; ".join(f"{title}: {count}" for title, count in counts.items()) + ". What the columns "
        "mean: [claims/README.md](../../claims/README.md). What a lab must offer for a claim: [needs](needs.md). A "
        "claim marked ⚡ disrupts the cluster that it is judged on.",
    ]
    for number, title in known.of([DOCUMENT]).titles.items():
        blocks += _section(title, [claim for claim in known.values() if claim.chapter == number])
    blocks += [*_swarm(known), *_cis(known)]
    rehearsed = catalogue.rehearsal()
    blocks += ["The catalogues of a rehearsed upgrade are counted apart."]
    blocks += _section(
        rehearsed.titles["upgrade"], [claim for id, claim in rehearsed.items() if id.startswith("upgrade/")]
    )
    blocks += [f"## {plain(rehearsed.titles['known'])}", *_incidents()]
    return page("Claims", "claims/", *blocks)


def _section(title: str, held: list[Claim]) -> list[str]:
    return [f"## {plain(title)}", table(_HEADS, map(_row, held)), *_errata(held)]


def _swarm(known: Catalogue) -> Iterator[str]:
    """Yield the claims of Swarm, by area, and what is not judged."""
    held = list(known.of([SWARM]).values())
    if held:
        yield f"## {plain(known.titles[SWARM])}"
    for area in dict.fromkeys(claim.section for claim in held):
        found = [claim for claim in held if claim.section == area]
        yield f"### {area}"
        yield table(_OF_SWARM, ([*_row(claim), _source(claim.source)] for claim in found))
        yield from _errata(found)
    if known.unjudged:
        yield "### Promised and not judged"
        yield table(
            ["behaviour", "why not", "source"],
            ([anchor(one.id) + code(one.id), plain(one.why_not), _source(one.source)] for one in known.unjudged),
        )


def _cis(known: Catalogue) -> Iterator[str]:
    """Yield the recommendations of the benchmark, and the document's claims that say otherwise."""
    held = known.of([CIS]).values()
    if not held:
        return
    yield f"## {plain(known.titles[CIS])}"
    yield "No profile but `cis` judges these: each site decides which recommendations it follows."
    yield table(_OF_CIS, ([*_row(claim), plain(claim.cost), _source(claim.source)] for claim in held))
    otherwise = [(claim, known[id]) for claim in held for id in claim.beside]
    if otherwise:
        yield "The document says otherwise:"
        yield "\n".join(
            f"- {code(claim.id)}, but [{code(other.id)}](#{other.id}): {plain(other.must)}"
            for claim, other in otherwise
        )


def _row(claim: Claim) -> list[str]:
    must = plain(claim.must) + (" ⚡" if claim.disrupts else "")
    return [anchor(claim.id) + code(claim.id), claim.level, must, _linked(claim.needs)]


def _errata(held: Iterable[Claim]) -> Iterator[str]:
    errata = [f"- [{code(claim.id)}](#{claim.id}): {plain(claim.erratum)}" for claim in held if claim.erratum]
    if errata:
        yield "Errata:"
        yield "\n".join(errata)


def _source(source: str) -> str:
    """Return what promises a claim; the page's name alone stands in the table for an address."""
    if not source.startswith("https://"):
        return plain(source)
    name = source.removeprefix("https://").removeprefix("docs.docker.com/").strip("/")
    return f"[{plain(name)}]({source})"


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
    rows = [
        [anchor(name) + code(form), plain(meant), str(sum(_place(need) == name for need in wanted))]
        for name, (form, meant) in FORMS.items()
    ]
    rows += [
        [anchor(name) + code(name), f"{plain(meaning(name))}; else *blocked*: {plain(reason)}", str(wanted.count(name))]
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
