"""The decision of a rehearsal: go, go with conditions, or no-go. It is made from verdicts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmlab.images.engines import EngineChoice
from swarmlab.rehearsal import losses, permitted
from swarmlab.rehearsal.likeness import restarts
from swarmlab.rehearsal.likeness.model import AUTOLOCK, DATA_PORT, EXTERNAL_CA, IPV6, POOLS, Likeness
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Incident
from swarmlab.verdicts.compare import Comparison, compare
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

GO, CONDITIONS, NO_GO = "Go", "Go with conditions", "No-go"

#: Said of what a plain restart loses as well.
_ALIKE = (
    "Plan for a loss that a plain restart of the engine has as well, as was seen before the first step with the engine "
    "that each node had."
)


@dataclass(frozen=True)
class Reason:
    """A reason against the upgrade, or a condition of it.

    Attributes:
        summary: The reason, in a sentence.
        claim: Id of the claim that it comes from; empty if it comes from none.
        evidence: Files that show it, relative to the folder of the rehearsal.
    """

    summary: str
    claim: str = ""
    evidence: tuple[str, ...] = ()


@dataclass
class Decision:
    """The outcome of a rehearsal.

    Attributes:
        reasons: Reasons against the upgrade. Any reason makes the decision no-go.
        conditions: What the operator must do or know for the upgrade to be safe.
        comparison: The claims on the old engine compared with those on the new one; None if either was not run.
        likeness: Which swarm was copied, what was copied, what was left out, and the limits; None if none was.
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

    def to_json(self) -> dict[str, Any]:
        """Return the decision as decision.json has it."""

        def each(listed: list[Reason]) -> list[dict[str, Any]]:
            return [{"words": one.summary, "claim": one.claim, "evidence": list(one.evidence)} for one in listed]

        made = {"decision": self.word, "reasons": each(self.reasons), "conditions": each(self.conditions)}
        return made | ({"likeness": self.likeness} if self.likeness else {})


def decide(
    before: Run,
    upgrade: Run,
    after: Run | None,
    course: Mapping[str, Any],
    known: Mapping[str, Incident],
    likeness: Likeness | None = None,
    path: Sequence[EngineChoice] = (),
) -> Decision:
    """Return the decision that the three runs of a rehearsal lead to, and what is set on the nodes of a swarm.

    What a step lost and the control lost as well, before the first step, is a condition (see
    `swarmlab.rehearsal.losses`): a plain restart of the engine loses it too.

    A claim that was not judged never counts as passed. A claim of claims/upgrade.yaml that was not judged is a reason
    against the upgrade. It is only a condition if the lab lacks what the claim needs, or if the claim is minor and its
    test broke.

    Args:
        before: Claims on the old engine.
        upgrade: The run of suites/upgrade.
        after: Claims on the new engine; None if the upgrade did not get there.
        course: The parsed rehearsal.json: the record of the steps.
        known: The incidents, by id.
        likeness: The swarm that was copied. Parts of it that were not rehearsed become conditions.
        path: The engines that the nodes get, in order.
    """
    made = _of_runs(before, upgrade, after, course, known, likeness)
    if likeness:
        found = likeness.data.get("restarts", [])
        # The lab has other settings, so nothing that happened there follows from these.
        made.reasons[:0] = [Reason(why) for why in restarts.against(found, path)]
        made.conditions += [Reason(why) for why in restarts.besides(found)]
    return made


def _of_runs(
    before: Run,
    upgrade: Run,
    after: Run | None,
    course: Mapping[str, Any],
    known: Mapping[str, Incident],
    likeness: Likeness | None,
) -> Decision:
    made = Decision()
    if likeness:
        made.likeness = _of_likeness(likeness, course)
        made.conditions += _unlike(likeness, made.likeness["left_out"])
    for judged in upgrade.claims.values():
        _weigh(made, judged, known.get(judged.id), course)
    if course.get("done", 0) < course.get("wanted", 1):
        begun = f"{course.get('done', 0)} of {course.get('wanted', '?')} steps were done"
        _first(made, Reason(f"The upgrade was not completed: {begun}."))
    elif lost := [id for id in upgrade.not_run if id.startswith("upgrade/")]:
        made.reasons.append(Reason(f"Not everything that an upgrade must keep was judged: {', '.join(lost)}."))
    if unjudged := [id for id in upgrade.not_run if id.startswith("known/")]:
        made.conditions.append(Reason(f"These incidents were not looked for to the end: {', '.join(unjudged)}."))
    made.conditions += _changed(upgrade, course)
    made.conditions += _bad_before(before)
    made.conditions += _started_twice(course)
    made.conditions += _waited(course)
    if after is None:
        _first(made, Reason("The claims were not judged on the new engine, because the upgrade did not get there."))
        return made
    made.comparison = found = compare(before, after)
    bad = [change for change in found.added if Verdict(change.new).bad]
    for change in [*found.worse, *bad, *found.lost]:
        summary = (
            f"{change.id} ({change.level}) was {change.old} and is {change.new} on the new engine: {change.reason}"
        )
        made.reasons.append(Reason(summary, change.id, _files("after", after.claims.get(change.id))))
    for change in found.blocked:
        summary = f"{change.id} was {change.old} and cannot be judged on the new engine: {change.reason}"
        made.conditions.append(Reason(summary, change.id))
    if not after.claims or not any(claim.verdict is Verdict.PASS for claim in after.claims.values()):
        made.reasons.append(Reason("No claim passed on the new engine."))
    return made


def _first(made: Decision, reason: Reason) -> None:
    # Where there is a cause already, this is only its consequence.
    if not made.reasons:
        made.reasons.append(reason)


def _weigh(made: Decision, judged: Judged, incident: Incident | None, course: Mapping[str, Any]) -> None:
    files = _files("upgrade", judged)
    if judged.verdict is Verdict.PASS or judged.verdict is Verdict.WAIVED:
        return
    if judged.verdict is Verdict.BLOCKED:
        what = f"incident {', '.join(incident.incidents)}" if incident else judged.must.rstrip(".")
        made.conditions.append(Reason(f"Not judged, {judged.reason}: {what}.", judged.id))
        return
    failed = judged.verdict is Verdict.FAIL
    summary = f"{judged.must} {judged.explained}" if failed else f"Not judged: {judged.reason}"
    claim = catalogue.rehearsal().get(judged.id)
    lost = losses.compare(course, [losses.KINDS[judged.id]]) if failed and judged.id in losses.KINDS else []
    if incident is not None and (incident.condition or not failed):
        what = incident.condition or f"Look for incident {', '.join(incident.incidents)} yourself."
        made.conditions.append(Reason(f"{what} ({judged.explained})", judged.id, files))
    elif incident is None and judged.level == "minor":
        made.conditions.append(Reason(f"This does not hold: {summary}", judged.id, files))
    elif failed and claim and claim.condition:
        made.conditions.append(Reason(f"{claim.condition} ({judged.explained})", judged.id, files))
    elif lost and all(one.alike for one in lost):
        made.conditions.append(Reason(f"{_ALIKE} ({'; '.join(map(str, lost))}. {judged.explained})", judged.id, files))
    else:
        name = f" ({', '.join(incident.incidents)})" if incident else ""
        beside = f" Beside the control: {'; '.join(map(str, lost))}." if lost else ""
        made.reasons.append(Reason(f"This does not hold: {summary}{name}{beside}", judged.id, files))


def _changed(upgrade: Run, course: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield a condition for what tasks may do differently after a step, where the upgrade did not get to the end."""
    for id, group in permitted.GROUPS.items():
        changes = permitted.changes(course.get("tasks") or {}, group) if id in upgrade.not_run else []
        if changes:
            condition = catalogue.rehearsal()[id].condition
            yield Reason(f"{condition} (So far: {'; '.join(map(str, changes))})", id)


def _bad_before(before: Run) -> Iterator[Reason]:
    for claim in before.claims.values():
        if claim.verdict.bad:
            summary = f"{claim.id} was {claim.verdict} already before the upgrade: {claim.explained}"
            yield Reason(summary, claim.id, _files("before", claim))


def _started_twice(course: Mapping[str, Any]) -> Iterator[Reason]:
    plain = {step["node"] for step in course.get("control", []) if step.get("again")}
    for step in course.get("steps", []):
        if step.get("again"):
            also = " So it did after a plain restart of its engine." if step["node"] in plain else ""
            summary = (
                f"Check docker node ls after every node: {step['node']} stayed down, although it had registered with "
                f"a manager, until its engine was restarted.{also}"
            )
            yield Reason(summary, "upgrade/step")


def _waited(course: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield a condition for each step after which the node itself lost requests, while the rehearsal waited for it."""
    least = losses.LEAST * (course.get("losses") or {}).get("scale", 1.0)
    for one in losses.compare(course, ["requests"], all=True):
        if one.place == losses.ITSELF and not one.lost.count and one.lost.seconds > least:
            yield Reason(
                f"Upgrade the next node only when names resolve on the last: {one}.", "upgrade/no-request-lost"
            )


def _of_likeness(likeness: Likeness, course: Mapping[str, Any]) -> dict[str, Any]:
    data, made = likeness.data, course.get("likeness") or {}
    kinds = ("services", "networks", "configs", "secrets")
    return {
        "cluster": data["cluster"],
        "inventory": data["inventory"],
        "nodes": likeness.hosts(),
        "copied": {kind: made.get(kind, {} if kind == "services" else []) for kind in kinds},
        "left_out": [*data["left_out"], *made.get("left_out", [])],
        "limits": data["limits"],
    }


def _unlike(likeness: Likeness, left_out: list[str]) -> Iterator[Reason]:
    """Yield conditions for the parts of the swarm that were not rehearsed, or not as they are."""
    if others := likeness.other_engines():
        yield Reason(f"Not rehearsed with the engines of all nodes: {'; '.join(others)}.")
    for beginning, what in (
        ("Service ", "Services of the swarm that were"),
        ("Network ", "Networks of the swarm that were"),
        (IPV6, "Networks of the swarm whose IPv6 was"),
    ):
        if gone := [line.rstrip(".").removeprefix(beginning) for line in left_out if line.startswith(beginning)]:
            more = f"; and {len(gone) - 5} more" if len(gone) > 5 else ""
            yield Reason(f"{what} not rehearsed: {'; '.join(gone[:5])}{more}.")
    for line in left_out:
        if line.startswith((AUTOLOCK, EXTERNAL_CA, POOLS, DATA_PORT)):
            yield Reason(f"Not rehearsed: {line}")


def _files(folder: str, judged: Judged | None) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in judged.evidence) if judged else ()
