"""The page of a rehearsal: one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from swarmlab import outputs
from swarmlab.labs.base import MadeKind
from swarmlab.rehearsal import losses, permitted
from swarmlab.rehearsal.decision import CONDITIONS, GO, NO_GO, Decision
from swarmlab.rehearsal.plan import Plan
from swarmlab.rehearsal.upstream import statements
from swarmlab.report.condense import condense
from swarmlab.report.overall import MEANINGS, SIGNS
from swarmlab.report.pages import pages, stylesheet, svg_uri
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.results import Judged, Run
from swarmlab.versions import parsed

#: Characters of evidence for each claim that did not pass.
_EVIDENCE = 20_000
_TONES = {GO: "good", CONDITIONS: "open", NO_GO: "bad"}
#: Limits of every rehearsal.
LIMITS = (
    "Each engine has the containerd and runc of its own archive or packages, and the iptables of a Debian release. An "
    "engine of Debian's packages may differ from the one that Docker packages.",
    "Traffic is a few requests a second, fewer on slow machines, for minutes. Failures that appear only after days, or "
    "under load, do not appear here.",
    "A lost request to a replica that was leaving the node being upgraded is listed but does not count: engines may "
    "be up to half a minute late in telling a node that a replica leaves. Servers that keep serving for longer after "
    "SIGTERM lose less.",
    "The control restarts each engine once. What a restart loses now and then only, it may not have shown.",
    "Only what is listed here was judged: the claims of the named profile, not the whole catalogue.",
)
_NOT_RESTARTED = "No machine's operating system was restarted, unless its packages required it (see --reboot)."
_APART = (
    "Incidents for which a node is demoted, cut off or without power were looked for in a second cluster, which got "
    "the same engines at the same time; where memory did not suffice for it, in the rehearsed one at its end."
)
_OWN = "The data, services and networks are the rehearsal's own. Yours are more, older and larger."
_COPIED = (
    "Services are copies in shape alone: they run the lab's web server in networks like yours, with placeholder "
    "configs and secrets, and with empty volumes. How your programs and data take the upgrade was not rehearsed."
)
#: The way back to the old engine that Docker documents.
BACK = (
    "Docker documents no downgrade of an engine in place. Whether it worked here is stated below, but nobody "
    "guarantees it. The documented way back: stop a manager's engine; restore the backup of /var/lib/docker/swarm that "
    "was made before the upgrade, with the engine stopped; start the old engine at the same address; run docker swarm "
    "init --force-new-cluster (again if it reports that the address is in use); then let the other nodes leave and "
    "join again. This does not restore volumes."
)


def write(
    plan: Plan,
    kind: MadeKind,
    decision: Decision,
    runs: Mapping[str, Run],
    course: Mapping[str, Any],
    seconds: Mapping[str, float],
    profile: str,
    file: Path,
) -> None:
    """Write the page.

    Args:
        plan: The plan.
        kind: Kind of the lab.
        decision: The decision.
        runs: The runs before, upgrade and, if the upgrade got there, after.
        course: The parsed record of the steps.
        seconds: Duration of each part, in seconds.
        profile: Profile of the claims that were judged before and after.
        file: File to write. Links to evidence are relative to its folder.
    """
    known = catalogue.incidents()
    upgrade = runs["upgrade"]
    picture = file.parent / "upgrade" / course["picture"] if course.get("picture") else None
    text = (
        pages("swarmlab.rehearsal", "swarmlab.report")
        .get_template("page.html")
        .render(
            style=stylesheet(),
            decision=decision,
            tone=_TONES[decision.word],
            path=[plan.beginning, *map(str, plan.path[1:])],
            plan=plan,
            kind=kind,
            course=course,
            seconds=seconds,
            profile=profile,
            started=f"{runs['before'].started:%Y-%m-%d %H:%M} UTC",
            signs=SIGNS,
            meanings=MEANINGS,
            picture=svg_uri(picture.read_bytes()) if picture and picture.exists() else "",
            judged=[
                _row(upgrade, id, claim.must)
                for id, claim in catalogue.rehearsal().items()
                if id.startswith("upgrade/")
            ],
            known=[(incident, _row(upgrade, incident.id, incident.must)) for incident in known.values()],
            claims=list(_claims(runs)),
            changes=list(_changes(course)),
            losses=losses.compare(course, all=True),
            tasks=[
                change for group in permitted.GROUPS.values() for change in permitted.changes(_tasks(course), group)
            ],
            news=list(_news(course)),
            evidence=list(_evidence(runs)),
            limits=[*_of_nodes(kind, plan), *_moved_on(plan, course), LIMITS[0], *_of_whom(decision), *LIMITS[1:]],
            nodes=plan.likeness.data["nodes"] if plan.likeness else [],
            upstream=list(statements(plan.path)),
            back=BACK,
        )
    )
    outputs.write(file, text)


def _of_nodes(kind: MadeKind, plan: Plan) -> list[str]:
    """Return the limits that follow from the nodes."""
    limits = [kind.limits]
    if kind.reboots and not plan.reboot:
        limits.append(_NOT_RESTARTED)
    if kind.has_room and not plan.likeness:
        limits.append(_APART)
    return limits


def _moved_on(plan: Plan, course: Mapping[str, Any]) -> list[str]:
    """Return a limit for each engine of the plan of which nodes had another version, as a Debian release moves on."""
    engines = course.get("engines", {})
    given = [(plan.start(host), told) for host, told in engines.get(plan.stage(0), {}).items()]
    for step in course.get("steps", []):
        told = engines.get(plan.stage(step["number"]), {}).get(step["node"])
        # A node that kept its engine has failed its step, and says nothing of what the choice has.
        if told and parsed(told["version"]) != parsed(step["before"]):
            given.append((plan.engine(step["number"]), told))
    return list(
        dict.fromkeys(
            f"{choice.name} has engine {told['version']} now, which was rehearsed instead of {choice.version}."
            for choice, told in given
            if parsed(told["version"]) != choice.numbers
        )
    )


def _of_whom(decision: Decision) -> list[str]:
    """Return the limits that follow from the services and data."""
    return [_COPIED, *decision.likeness["limits"]] if decision.likeness else [_OWN]


def _row(run: Run, id: str, must: str) -> dict[str, Any]:
    judged = run.claims.get(id)
    if judged is None:
        return {"id": id, "must": must, "verdict": "not run", "reason": run.not_run.get(id, ""), "seconds": 0.0}
    return {
        "id": id,
        "must": must,
        "verdict": str(judged.verdict),
        "reason": judged.reason,
        "seconds": judged.seconds,
        "tests": len(judged.tests),
    }


def _claims(runs: Mapping[str, Run]) -> Iterator[dict[str, str]]:
    """Yield the claims that were judged, with their verdicts on the first engine and the last."""
    before, after = runs["before"], runs.get("after")
    ids = [*before.claims, *(id for id in (after.claims if after else ()) if id not in before.claims)]
    for id in ids:
        judged = before.claims.get(id) or (after.claims[id] if after else None)
        assert judged is not None
        now = after.claims.get(id) if after else None
        yield {
            "id": id,
            "must": judged.must,
            "before": str(before.claims[id].verdict) if id in before.claims else "not run",
            "after": str(now.verdict) if now else "not run",
            "reason": now.reason if now else "",
        }


def _changes(course: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each fact that engines report differently after the upgrade: its name, the value before and after."""
    ends = _ends(course)
    if ends is None:
        return
    before, after = ends

    def facts(nodes: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for node in nodes.values():
            pairs = {"engine": node["version"], "API version": node["api"], "minimum API version": node["min_api"]}
            pairs |= {f"version of {name}": version for name, version in node["parts"].items() if name != "Engine"}
            pairs |= {f"setting {name}": _plain(value) for name, value in node["settings"].items()}
            for name, value in pairs.items():
                if value not in found.setdefault(name, []):
                    found[name].append(value)
        return found

    old, new = facts(before), facts(after)
    for name in dict.fromkeys([*old, *new]):
        was, now = (", ".join(each.get(name, [])) or "none" for each in (old, new))
        if was != now:
            yield {"what": name, "before": was, "after": now}


def _tasks(course: Mapping[str, Any]) -> permitted.Stages:
    """Return what was measured in tasks."""
    stages: permitted.Stages = course.get("tasks") or {}
    return stages


def _plain(value: Any) -> str:
    return str(value.get("Driver", value)) if isinstance(value, dict) else str(value)


def _news(course: Mapping[str, Any]) -> Iterator[str]:
    """Yield the warnings of the new engine that the old one did not give, each once."""
    ends = _ends(course)
    if ends is None:
        return

    def messages(nodes: Mapping[str, Any]) -> dict[str, None]:
        return dict.fromkeys(line for node in nodes.values() for line in [*node["warnings"], *node["log"]])

    before, after = ends
    old = {line.partition(" (")[0] for line in messages(before)}
    yield from [line for line in messages(after) if line.partition(" (")[0] not in old][:40]


def _ends(course: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    engines = course.get("engines", {})
    if len(engines) < 2:
        return None
    stages = list(engines)
    return engines[stages[0]], engines[stages[-1]]


def _evidence(runs: Mapping[str, Run]) -> Iterator[dict[str, Any]]:
    """Yield an extract of the evidence of each claim that did not pass."""
    for name, run in runs.items():
        for judged in _bad(run.claims.values()):
            texts = []
            for file in [name for name in judged.evidence if name.endswith(".txt")][:6]:
                content = run.read(file)
                short = condense(content.decode(errors="replace"), _EVIDENCE // 4) if content else "(the file is gone)"
                texts.append({"name": file, "link": f"{name}/{file}", "text": Markup(html.escape(short, quote=False))})
            yield {
                "run": name,
                "id": judged.id,
                "reason": judged.reason,
                "verdict": str(judged.verdict),
                "files": texts,
            }


def _bad(claims: Iterable[Judged]) -> list[Judged]:
    return [claim for claim in claims if claim.verdict.bad]
