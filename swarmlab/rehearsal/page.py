"""The page that tells what a rehearsal came to: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from swarmlab.rehearsal.decision import CONDITIONS, GO, NO_GO, Decision
from swarmlab.rehearsal.plan import Plan
from swarmlab.report.condense import condense
from swarmlab.report.html import MEANINGS, SIGNS, pages
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.results import Judged, Run

#: Characters of evidence of each claim that is not well.
_EVIDENCE = 20_000
_TONES = {GO: "good", CONDITIONS: "open", NO_GO: "bad"}
#: What a rehearsal cannot tell, whatever it came to.
LIMITS = (
    "Each engine is that of a Debian release, with that release's containerd, runc and iptables; the engines that "
    "Docker itself packages may differ.",
    "Traffic is some requests a second, fewer on slow machines, for minutes. What shows only after days, or under "
    "load, does not show here.",
    "A request to a replica that was leaving the node being upgraded is listed, and is no loss: engines may fail to "
    "tell a node that it leaves, and make it good within half a minute. Servers that serve on for longer after SIGTERM "
    "lose less.",
    "Only what is listed here was judged: the claims of the profile that is named, and not all of the catalogue.",
)
#: The same by the kind of lab; what machines were restarted is told beside.
_LIMITS_OF = {
    "dind": "Nodes were containers on one machine: they share its kernel, clock, memory and disk. The upgrade of a "
    "kernel or of a distribution beside the engine's, reboots, services of systemd, storage drivers and firewalls of "
    "your machines were not rehearsed.",
    "vagrant": "Nodes were virtual machines of Debian on one host. The package manager gave them the engine of another "
    "release and what that needs; the kernel and the rest of the distribution stayed. Your machines' storage drivers, "
    "firewalls and hardware were not rehearsed.",
}
_NOT_RESTARTED = "No machine's operating system was restarted, unless its packages asked for it (--reboot does)."
_APART = (
    "Incidents for which a node is demoted, cut off or without power were looked for in a second cluster, which was "
    "given the same engines beside the one that is told of here."
)
_OWN = "The data, services and networks are the rehearsal's own. Yours are more, older and larger."
_COPIED = (
    "Services are copies in shape alone: they run the lab's web server in networks like yours, with dummies for "
    "configs and secrets, and with empty volumes. How your programs and data take the upgrade was not rehearsed."
)
#: What the documentation allows of going back.
BACK = (
    "Docker documents no downgrade of an engine in place. Whether it works here is told below, but nobody promises "
    "it: the way back that is documented is to stop a manager, bring back the backup of /var/lib/docker/swarm that was "
    "made before the upgrade (with the engine stopped), start the engine that it was made with at the same address, "
    "and docker swarm init --force-new-cluster (once more where it says that the address is in use); then the other "
    "nodes leave and join anew. Volumes are no part of it."
)


def write(
    plan: Plan,
    kind: str,
    decision: Decision,
    runs: Mapping[str, Run],
    course: Mapping[str, Any],
    seconds: Mapping[str, float],
    profile: str,
    file: Path,
) -> None:
    """Write the page.

    Args:
        plan: what was rehearsed.
        kind: on which kind of lab.
        decision: what it came to.
        runs: before, upgrade and, where the upgrade got there, after.
        course: what was written of the steps.
        seconds: how long the parts took.
        profile: the claims that were judged before and after.
        file: where it goes; links to evidence are relative to it.
    """
    known = catalogue.incidents()
    report = Path(__file__).parent.parent / "report"
    upgrade = runs["upgrade"]
    picture = file.parent / "upgrade" / course["picture"] if course.get("picture") else None
    text = (
        pages("swarmlab.rehearsal", "swarmlab.report")
        .get_template("page.html")
        .render(
            style=Markup((report / "style.css").read_text(encoding="utf-8")),
            decision=decision,
            tone=_TONES[decision.word],
            path=[plan.beginning, *map(str, plan.path[1:])],
            plan=plan,
            course=course,
            seconds=seconds,
            profile=profile,
            started=f"{runs['before'].started:%Y-%m-%d %H:%M} UTC",
            signs=SIGNS,
            meanings=MEANINGS,
            picture=_embedded(picture) if picture and picture.exists() else "",
            judged=[
                _row(upgrade, id, claim.must)
                for id, claim in catalogue.rehearsal().items()
                if id.startswith("upgrade/")
            ],
            known=[(one, _row(upgrade, one.id, one.must)) for one in known.values()],
            claims=list(_claims(runs)),
            changes=list(_changes(course)),
            news=list(_news(course)),
            evidence=list(_evidence(runs)),
            limits=[*_of_nodes(kind, plan), LIMITS[0], *_of_whom(decision), *LIMITS[1:]],
            nodes=plan.likeness.told["nodes"] if plan.likeness else [],
            back=BACK,
        )
    )
    file.write_text(text, encoding="utf-8")


def _of_nodes(kind: str, plan: Plan) -> list[str]:
    """The limits that come of what the nodes were."""
    limits = [_LIMITS_OF[kind]]
    if kind == "vagrant" and not plan.reboot:
        limits.append(_NOT_RESTARTED)
    if kind == "dind" and not plan.likeness:
        limits.append(_APART)
    return limits


def _of_whom(decision: Decision) -> list[str]:
    """The limits that come of whose the services and nodes are."""
    return [_COPIED, *decision.likeness["limits"]] if decision.likeness else [_OWN]


def _embedded(picture: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.read_bytes()).decode()


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
    """The claims of the document that were judged, with their verdicts on the first engine and the last."""
    before, after = runs["before"], runs.get("after")
    ids = [*before.claims, *(id for id in (after.claims if after else ()) if id not in before.claims)]
    for id in ids:
        one = before.claims.get(id) or (after.claims[id] if after else None)
        assert one is not None
        now = after.claims.get(id) if after else None
        yield {
            "id": id,
            "must": one.must,
            "before": str(before.claims[id].verdict) if id in before.claims else "not run",
            "after": str(now.verdict) if now else "not run",
            "reason": now.reason if now else "",
        }


def _changes(course: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the engines tell of themselves that is another thing now, each once: what, before, after."""
    ends = _ends(course)
    if ends is None:
        return
    before, after = ends

    def facts(nodes: Mapping[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for told in nodes.values():
            pairs = {"engine": told["version"], "API version": told["api"], "minimum API version": told["min_api"]}
            pairs |= {f"version of {name}": version for name, version in told["parts"].items() if name != "Engine"}
            pairs |= {f"setting {name}": _plain(value) for name, value in told["settings"].items()}
            for name, value in pairs.items():
                if value not in found.setdefault(name, []):
                    found[name].append(value)
        return found

    old, new = facts(before), facts(after)
    for name in dict.fromkeys([*old, *new]):
        was, now = (", ".join(each.get(name, [])) or "none" for each in (old, new))
        if was != now:
            yield {"what": name, "before": was, "after": now}


def _plain(value: Any) -> str:
    return str(value.get("Driver", value)) if isinstance(value, dict) else str(value)


def _news(course: Mapping[str, Any]) -> Iterator[str]:
    """What the new engine warns of and the old one did not, each once."""
    ends = _ends(course)
    if ends is None:
        return

    def heard(nodes: Mapping[str, Any]) -> dict[str, None]:
        return dict.fromkeys(line for told in nodes.values() for line in [*told["warnings"], *told["log"]])

    before, after = ends
    old = {line.partition(" (")[0] for line in heard(before)}
    yield from [line for line in heard(after) if line.partition(" (")[0] not in old][:40]


def _ends(course: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    engines = course.get("engines", {})
    if len(engines) < 2:
        return None
    stages = list(engines)
    return engines[stages[0]], engines[stages[-1]]


def _evidence(runs: Mapping[str, Run]) -> Iterator[dict[str, Any]]:
    """What shows why a claim is not well, in short."""
    for name, run in runs.items():
        for judged in _bad(run.claims.values()):
            texts = []
            for file in [one for one in judged.evidence if one.endswith(".txt")][:6]:
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
