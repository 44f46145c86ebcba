"""From what a rehearsal judged to go, go with conditions, or no-go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmlab.rehearsal.likeness import Likeness
from swarmlab.verdicts.catalogue import Incident
from swarmlab.verdicts.compare import Comparison, compare
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

GO, CONDITIONS, NO_GO = "Go", "Go with conditions", "No-go"


@dataclass(frozen=True)
class Reason:
    """Why not, or on which condition.

    Attributes:
        words: what it is, in one sentence.
        claim: id of the claim that it comes from, empty where it is of none.
        evidence: files that show it, from the folder of the rehearsal.
    """

    words: str
    claim: str = ""
    evidence: tuple[str, ...] = ()


@dataclass
class Decision:
    """What a rehearsal ends in.

    Attributes:
        reasons: why not; it is no-go where there is any.
        conditions: what has to be done or known for the upgrade to be safe.
        comparison: the claims on the old engine against those on the new one; None where one was not run.
        likeness: of which swarm it was a likeness, what was copied, what was left out, and limits; None for none.
    """

    reasons: list[Reason] = field(default_factory=list)
    conditions: list[Reason] = field(default_factory=list)
    comparison: Comparison | None = None
    likeness: dict[str, Any] | None = None

    @property
    def word(self) -> str:
        """Go, Go with conditions, or No-go."""
        return NO_GO if self.reasons else CONDITIONS if self.conditions else GO

    @property
    def status(self) -> int:
        """The exit status: 1 for no-go, else 0."""
        return int(bool(self.reasons))

    def told(self) -> dict[str, Any]:
        """As it is written for machines."""

        def each(listed: list[Reason]) -> list[dict[str, Any]]:
            return [{"words": one.words, "claim": one.claim, "evidence": list(one.evidence)} for one in listed]

        told = {"decision": self.word, "reasons": each(self.reasons), "conditions": each(self.conditions)}
        return told | ({"likeness": self.likeness} if self.likeness else {})


def decide(
    before: Run,
    upgrade: Run,
    after: Run | None,
    course: Mapping[str, Any],
    known: Mapping[str, Incident],
    likeness: Likeness | None = None,
) -> Decision:
    """What the three runs of a rehearsal come to.

    What was not judged is never taken for well: of what an upgrade must keep it is a reason against it where the
    rehearsal broke, and a condition where the lab lacks what it takes.

    Args:
        before: claims on the old engine.
        upgrade: the run of suites/upgrade.
        after: claims on the new engine; None where the upgrade did not get there.
        course: what that run wrote of its steps (rehearsal.json).
        known: the incidents, by id.
        likeness: the swarm that the cluster was like; what of it was not rehearsed is a condition.
    """
    made = Decision()
    if likeness:
        made.likeness = _of_likeness(likeness, course)
        made.conditions += _unlike(likeness, made.likeness["left_out"])
    for judged in upgrade.claims.values():
        _weigh(made, judged, known.get(judged.id))
    if course.get("done", 0) < course.get("wanted", 1):
        begun = f"{course.get('done', 0)} of {course.get('wanted', '?')} steps were done"
        _first(made, Reason(f"The upgrade was given up: {begun}."))
    elif lost := [id for id in upgrade.not_run if id.startswith("upgrade/")]:
        made.reasons.append(Reason(f"Not everything that an upgrade must keep was judged: {', '.join(lost)}."))
    if unjudged := [id for id in upgrade.not_run if id.startswith("known/")]:
        made.conditions.append(Reason(f"These incidents were not looked for to the end: {', '.join(unjudged)}."))
    made.conditions += _bad_before(before)
    made.conditions += _started_twice(course)
    if after is None:
        _first(made, Reason("The claims were not judged on the new engine, as the upgrade did not get there."))
        return made
    made.comparison = found = compare(before, after)
    for change in [*found.worse, *found.lost]:
        words = f"{change.id} ({change.level}) was {change.old} and is {change.new} on the new engine: {change.reason}"
        made.reasons.append(Reason(words, change.id, _files("after", after.claims.get(change.id))))
    for change in found.blocked:
        words = f"{change.id} was {change.old} and cannot be judged on the new engine: {change.reason}"
        made.conditions.append(Reason(words, change.id))
    if not after.claims or not any(claim.verdict is Verdict.PASS for claim in after.claims.values()):
        made.reasons.append(Reason("No claim passed on the new engine."))
    return made


def _first(made: Decision, reason: Reason) -> None:
    # Beside a cause it is only its consequence.
    if not made.reasons:
        made.reasons.append(reason)


def _weigh(made: Decision, judged: Judged, incident: Incident | None) -> None:
    files = _files("upgrade", judged)
    if judged.verdict is Verdict.PASS or judged.verdict is Verdict.WAIVED:
        return
    if judged.verdict is Verdict.BLOCKED:
        what = f"incident {', '.join(incident.incidents)}" if incident else judged.must.rstrip(".")
        made.conditions.append(Reason(f"Not judged, {judged.reason}: {what}.", judged.id))
        return
    words = f"{judged.must} {judged.reason}" if judged.verdict is Verdict.FAIL else f"Not judged: {judged.reason}"
    if incident is not None and (incident.condition or judged.verdict is not Verdict.FAIL):
        what = incident.condition or f"Look for incident {', '.join(incident.incidents)} yourself."
        made.conditions.append(Reason(f"{what} ({judged.reason})", judged.id, files))
    elif incident is None and judged.level == "minor":
        made.conditions.append(Reason(f"It is not so: {words}", judged.id, files))
    else:
        name = f" ({', '.join(incident.incidents)})" if incident else ""
        made.reasons.append(Reason(f"It is not so: {words}{name}", judged.id, files))


def _bad_before(before: Run) -> Iterator[Reason]:
    for claim in before.claims.values():
        if claim.verdict.bad:
            words = f"{claim.id} was {claim.verdict} before the upgrade already: {claim.reason}"
            yield Reason(words, claim.id, _files("before", claim))


def _started_twice(course: Mapping[str, Any]) -> Iterator[Reason]:
    for step in course.get("steps", []):
        if step.get("again"):
            words = (
                f"Look at docker node ls after every node: {step['node']} was kept down, though it had registered with "
                "a manager, until its engine was started once more."
            )
            yield Reason(words, "upgrade/step")


def _of_likeness(likeness: Likeness, course: Mapping[str, Any]) -> dict[str, Any]:
    told, made = likeness.told, course.get("likeness") or {}
    kinds = ("services", "networks", "configs", "secrets")
    return {
        "cluster": told["cluster"],
        "inventory": told["inventory"],
        "nodes": likeness.hosts(),
        "copied": {kind: made.get(kind, {} if kind == "services" else []) for kind in kinds},
        "left_out": [*told["left_out"], *made.get("left_out", [])],
        "limits": told["limits"],
    }


def _unlike(likeness: Likeness, left_out: list[str]) -> Iterator[Reason]:
    """What is of the swarm, and was not rehearsed as it is."""
    if others := likeness.other_engines():
        yield Reason(f"Not rehearsed with the engines of all nodes: {'; '.join(others)}.")
    for kind in ("Service", "Network"):
        if gone := [line.rstrip(".").removeprefix(f"{kind} ") for line in left_out if line.startswith(f"{kind} ")]:
            more = f"; and {len(gone) - 5} more" if len(gone) > 5 else ""
            yield Reason(f"{kind}s of the swarm that were not rehearsed: {'; '.join(gone[:5])}{more}.")


def _files(folder: str, judged: Judged | None) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in judged.evidence) if judged else ()
