"""What to do next about a claim that failed: where to look, what mends it, and how to judge it again, as commands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.paths import command, suites
from swarmlab.preflight import CHECKS, Level, explaining, grouped
from swarmlab.report.place import Place, options_of
from swarmlab.verdicts.guides import Guide, guide_of
from swarmlab.verdicts.parts import chapter_of
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: On how many nodes a line that mends something is written out.
_MOST_NODES = 3
#: The chapters of the document whose claims are about single nodes.
_OF_ONE_NODE = ("1", "2", "3", "4", "5")
#: What a guide's line says of itself if it is for managers.
_OF_MANAGERS = re.compile(r"# on (?:a|every) manager")


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        word: The step in a word: up, look, more, mend, check or again.
        title: The step in a sentence.
        commands: Lines for a shell on this machine.
        lines: Lines for the root shell on the node that the last of the commands opens.
        notes: What else there is to know.
        folded: It is needed only if the others do not help.
    """

    word: str
    title: str
    commands: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class NextSteps:
    """What to do about a claim that is fail, broken or timeout.

    Attributes:
        nodes: Host names of the nodes to look at, the likeliest first.
        causes: The findings of preflight that may be the cause, the likeliest first, as verdicts.json has them. Checks
            whose findings may follow from one are its "with". None where a known defect of the engine is the cause.
        note: What became of the lab, where that matters.
        steps: The steps, in their order.
    """

    nodes: tuple[str, ...]
    causes: tuple[Mapping[str, Any], ...]
    note: str
    steps: tuple[Step, ...]

    def step(self, word: str) -> Step | None:
        """Return the first step of this word."""
        return next((step for step in self.steps if step.word == word), None)


def next_steps(run: Run, claim: Judged) -> NextSteps:
    """Return what to do about a claim that is fail, broken or timeout in a run.

    Example:
        >>> next_steps(run, run.claims["7.2.1/reachable-on-any-node"]).step("again").commands
        ('.venv/bin/pytest suites/ --claim 7.2.1/reachable-on-any-node',)
    """
    place = Place.of(run, claim)
    causes = () if claim.known else possible_causes(run, claim.id, claim.reason)
    nodes = _nodes(place, causes, claim.reason)
    if claim.verdict is Verdict.BROKEN:
        steps = list(_after_broken(place, claim))
    else:
        steps = [*_anew(place, claim), *_on_nodes(place, claim, causes, nodes), *_to_the_end(place, claim, causes)]
    return NextSteps(nodes, causes, _note(place, claim), tuple(steps))


def all_again(run: Run) -> str:
    """Return the command that judges again all that is fail, broken, timeout or not run in a run.

    It takes over the options of the run, but for the folder of reports.
    """
    reports = [word for value in options_of(run).get("--reports", ()) for word in ("--reports", value)]
    return command("pytest", suites(), "--again", run.folder, *reports)


def possible_causes(run: Run, claim: str, reason: str) -> tuple[Mapping[str, Any], ...]:
    """Return the findings of preflight that may explain a claim's reason, the likeliest first.

    A finding that may follow from another is not there beside it: the other has its check in "with". Where the reason
    names nodes, a finding of others is there only if its check is about such claims between nodes: a port that is
    closed on one node breaks nothing that another node does alone.
    """
    named = set(_named([str(node["name"]) for node in run.nodes], reason))
    found = []
    for head, followers in grouped(explaining(run.preflight, claim, reason)):
        if named and head["nodes"] and not named & set(head["nodes"]) and not _between_nodes(str(head["check"]), claim):
            continue
        found.append({**head, "with": list(dict.fromkeys(finding["check"] for finding in followers))})
    order = list(map(str, Level))
    # An error before a warning, and what concerns nodes before what concerns the cluster as a whole.
    return tuple(sorted(found, key=lambda finding: (order.index(finding["level"]), not finding["nodes"])))


def _named(nodes: Iterable[str], text: str) -> list[str]:
    """Return those of the nodes that a text names."""
    return [node for node in nodes if re.search(rf"(?<![\w.-]){re.escape(node)}(?![\w-])", text)]


def _between_nodes(check: str, claim: str) -> bool:
    """Whether a check explains a claim by what the claim is about, and the claim is about more than one node."""
    known = CHECKS.get(check)
    return chapter_of(claim) not in _OF_ONE_NODE and bool(known and re.search(known.explains, claim))


def _nodes(place: Place, causes: Sequence[Mapping[str, Any]], reason: str) -> tuple[str, ...]:
    """Return the nodes to look at: those of the likeliest cause, those that the reason names, or else the first."""
    named = _named(place.nodes, reason)
    if causes and Level(causes[0]["level"]) is Level.ERROR and causes[0]["nodes"]:
        return tuple(dict.fromkeys(map(str, causes[0]["nodes"])))
    of_warning = [str(node) for finding in causes[:1] for node in finding["nodes"]]
    return tuple(named or of_warning or place.nodes[:1])


def _note(place: Place, claim: Judged) -> str:
    if place.kind is None:  # no lab came up
        return ""
    if place.own_cluster and place.stands:
        return (
            f"Its test made a cluster of its own beside {place.lab}, and removed it. The nodes of that lab have the "
            "same names, but are others."
        )
    if not place.stands:
        return f"The run made {place.lab}, and took it down at its end."
    if place.exists_by_itself:
        return ""
    elsewhere = f" on {place.host}" if place.host else ""
    still = "" if claim.verdict is Verdict.BROKEN else f"; else bring one up: {place.up()}"
    return f"The run left {place.lab}{elsewhere} standing (swarmlab status tells whether it still does{still})."


def _after_broken(place: Place, claim: Judged) -> Iterator[Step]:
    """Yield the steps for a claim of which nothing is known, as the lab itself failed."""
    here = (command("swarmlab", "status"), command("swarmlab", "preflight"))
    look = (place.preflight(),) if place.exists_by_itself else here
    yield Step("look", "See what the lab and this machine lack", look, notes=("The evidence has what failed.",))
    yield Step("again", "Judge the claim again", (place.again(claim.id),))


def _anew(place: Place, claim: Judged) -> Iterator[Step]:
    """Yield what comes first where the cluster of the test is gone."""
    if place.own_cluster and place.stands:
        yield Step("again", "See whether it fails again", (place.again(claim.id),))
    elif not place.stands:
        yield Step(
            "up",
            "Bring up a lab like it, which stays, and judge the claim there",
            (place.up(), place.again(claim.id)),
            notes=("If the claim passes there, the trouble went with the run's lab, or comes and goes.",),
        )


def _on_nodes(place: Place, claim: Judged, causes: Sequence[Mapping[str, Any]], nodes: Sequence[str]) -> Iterator[Step]:
    """Yield where to look, and what mends it."""
    guide = _guide(claim.id, nodes, place)
    cause = causes[0] if causes else {}
    node = nodes[0] if nodes else ""
    same = f" (and then on {', '.join(nodes[1:])})" if nodes[1:] else ""
    if node and cause.get("look"):
        yield Step("look", f"Look on {node}{same}", (place.shell(node, cause["look"]),))
    if node and guide:
        yield from _looks(place, node, same, guide, folded=bool(cause.get("look")))
    fixes = tuple(place.shell(each, cause["fix"]) for each in nodes[:_MOST_NODES]) if cause.get("fix") else ()
    notes = (place.adapted(cause["mend"], node or "NODE"),) if cause.get("mend") else ()
    if fixes or notes:
        yield Step("mend", f"Mend what preflight found ({cause['check']})", fixes, notes=notes)
    if claim.known:
        upgrades = (f"upgrade the engines to {known.mended} or later" for known in claim.known if known.mended)
        yield Step("mend", "Mend the engine", notes=(*dict.fromkeys(upgrades), "waive the claim until then"))
    elif guide and not fixes:
        yield Step("mend", "Mend it", notes=tuple(place.adapted(text, node or "NODE") for text in guide.mend))


def _looks(place: Place, node: str, same: str, guide: Guide, *, folded: bool) -> Iterator[Step]:
    """Yield the looks of a guide: on the node, and on a manager if that is another."""
    manager = place.nodes[0] if place.nodes else node
    there = [line for line in guide.look if manager == node or not _OF_MANAGERS.search(line)]
    of_manager = [line for line in guide.look if line not in there]
    word = "more" if folded else "look"
    for name, lines, also in ((node, there, same), (manager, of_manager, "")):
        if lines:
            adapted = tuple(place.adapted(line, name) for line in lines)
            title = f"{'More to look at' if folded else 'Look'} on {name}{also}"
            yield Step(word, title, (place.shell(name),), adapted, folded=folded)


def _to_the_end(place: Place, claim: Judged, causes: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    if causes:
        yield Step("check", "See that preflight finds it no more", (place.preflight(),))
    yield Step("again", "Judge the claim again", (place.again(claim.id),))


def _guide(id: str, nodes: Sequence[str], place: Place) -> Guide | None:
    """Return the guide for a claim; None for a claim that the catalogue does not have any more."""
    try:
        return guide_of(id).filled(node=next(iter(nodes), ""), manager=next(iter(place.nodes), ""))
    except UsageError:
        return None
