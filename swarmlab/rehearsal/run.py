"""Runs a rehearsal from start to end: a lab, claims, the upgrade under traffic, claims again, one page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swarmlab import children, layouts, netns, outputs
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress
from swarmlab.images.engines import obtain
from swarmlab.labs import outer, registry
from swarmlab.labs.base import Lab, MadeKind, Request
from swarmlab.labs.hosts import host_names
from swarmlab.paths import ROOT
from swarmlab.rehearsal import page
from swarmlab.rehearsal.decision import Decision, decide
from swarmlab.rehearsal.likeness.apply import dress
from swarmlab.rehearsal.likeness.model import FILE as LIKENESS
from swarmlab.rehearsal.likeness.model import Likeness
from swarmlab.rehearsal.plan import SCHEMA, Plan
from swarmlab.verdicts import catalogue, folders, profiles, results

#: Names of a rehearsal's files in its folder: the page, the decision as JSON, and the record of the steps.
PAGE, DECISION, COURSE = "rehearsal.html", "decision.json", "rehearsal.json"
#: Folder of the rehearsals before it.
EARLIER = "earlier"


def rehearse(plan: Plan, kind: MadeKind, folder: Path, profile: str, progress: Progress, *, keep: int) -> Decision:
    """Rehearse an upgrade on a lab of its own.

    Args:
        plan: The plan.
        kind: Kind of the lab.
        folder: Folder for the reports of the three runs, the page and the decision. What an earlier rehearsal left
            there is moved to `EARLIER` once the lab is up.
        profile: Profile of the claims that are judged on the first engine and on the last.
        keep: How many rehearsals stay, this one among them; 0 for all.
        progress: Called with a line for every step that takes time.

    Raises:
        LabError: The folder cannot be written, the lab did not come up, or a run left no verdicts.
    """
    outputs.check(folder)
    obtain([*plan.path, *(plan.start(host) for host in host_names(plan.nodes))], progress)
    begun = time.monotonic()
    seconds: dict[str, float] = {}
    engine = outer.connect(progress)
    try:
        registry.remove_stale(engine, progress)
        lab = kind.make(engine, _request(kind, plan), progress)
        try:
            lab.up()
            lab.measure()
            cluster = Swarm.form(lab.nodes(), managers=plan.managers, image=lab.image)
            if plan.likeness:
                dress(cluster, plan.likeness)
            seconds["the lab"] = time.monotonic() - begun
            set_aside(folder, keep)
            folder.mkdir(parents=True, exist_ok=True)
            if plan.likeness:
                plan.likeness.write(folder / LIKENESS)
            with ThreadPoolExecutor(max_workers=1) as beside:
                # While the claims on the first engine are judged.
                ready = beside.submit(lab.prepare_upgrades, plan.path)
                return _judge(plan, kind, lab, folder, profile, progress, seconds, ready)
        finally:
            lab.down()
    finally:
        engine.release()


def _request(kind: MadeKind, plan: Plan) -> Request:
    """Return the lab that a rehearsal takes."""
    engines = [plan.start(host).name for host in host_names(plan.nodes)]
    return kind.own(Request(engines=engines, nodes=plan.nodes, spare=plan.path[0].name), "rehearsal")


def _judge(
    plan: Plan,
    kind: MadeKind,
    lab: Lab,
    folder: Path,
    profile: str,
    progress: Progress,
    seconds: dict[str, float],
    ready: Future[None],
) -> Decision:
    def run(name: str, what: str, *options: str) -> None:
        progress(f"{what} (follow it: tail -f {folder / name}.log)")
        start = time.monotonic()
        _pytest(folder, name, "--lab", lab.kind, "--lab-name", lab.name, *options)
        seconds[what] = time.monotonic() - start

    last = plan.path[-1]
    run("before", f"claims on {plan.beginning}", "suites/", "--profile", profile)
    ready.result()
    path, order = ",".join(engine.name for engine in plan.path), ",".join(plan.order)
    shape = ["--rehearse-managers", str(plan.managers), "--rehearse-workers", str(plan.workers)]
    shape += ["--rehearse-reboot"] if plan.reboot else []
    shape += ["--rehearse-like", str((folder / LIKENESS).absolute())] if plan.likeness else []
    run("upgrade", f"upgrade to {last}", "suites/upgrade", "--rehearse", path, "--rehearse-order", order, *shape)
    course = _course(folder)
    whole = course.get("done", 0) == plan.steps
    if whole:
        run("after", f"claims on {last}", "suites/", "--profile", profile)
    loaded = {name: results.load(folder / name) for name in ("before", "upgrade", *(["after"] if whole else []))}
    known = catalogue.incidents()
    decision = decide(
        loaded["before"], loaded["upgrade"], loaded.get("after"), course, known, plan.likeness, plan.path[1:]
    )
    engines = [plan.beginning, *map(str, plan.path[1:])]
    made = {layouts.KEY: SCHEMA, **decision.to_json(), "path": engines, "seconds": seconds, "profile": profile}
    outputs.write(folder / DECISION, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    page.write(plan, kind, decision, loaded, course, seconds, profile, folder / PAGE)
    return decision


def _pytest(folder: Path, name: str, *options: str) -> None:
    # Outside the lab's network namespace, as this process started: the run downloads, and enters the namespace itself.
    pytest = [*netns.outside(), sys.executable, "-m", "pytest"]
    reports = folder / f"{name}-run"
    command = [*pytest, *options, "--reports", str(reports.absolute()), "-q"]
    with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
        done = children.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        found = folders.find(reports)
    except UsageError:
        lines = (folder / f"{name}.log").read_text(encoding="utf-8").strip().splitlines()
        raise LabError(
            f"the run {name} left no verdicts (status {done.returncode}): {' / '.join(lines[-3:])}"
        ) from None
    # The rehearsal has one run of each name.
    found.parent.replace(folder / name)
    shutil.rmtree(reports)


def set_aside(folder: Path, keep: int) -> None:
    """Move an earlier rehearsal out of the way of this one, and remove the oldest.

    Args:
        folder: The folder of rehearsals.
        keep: How many rehearsals stay, the one that begins among them; 0 for all.
    """
    runs = ("before", "upgrade", "after")
    names = [PAGE, DECISION, LIKENESS, *runs, *(f"{run}.log" for run in runs), *(f"{run}-run" for run in runs)]
    found = [folder / name for name in names if (folder / name).exists()]
    if found:
        when = datetime.fromtimestamp(max(file.stat().st_mtime for file in found), timezone.utc)
        place = folder / EARLIER / f"{when:%Y%m%dT%H%M%SZ}"
        place.mkdir(parents=True, exist_ok=True)
        for file in found:
            file.replace(place / file.name)
    earlier = sorted((folder / EARLIER).glob("*")) if keep else []
    for old in earlier[: max(0, len(earlier) + 1 - keep)]:
        shutil.rmtree(old, ignore_errors=True)


def _course(folder: Path) -> dict[str, Any]:
    file = folder / "upgrade" / COURSE
    if not file.exists():  # the run broke before the first step
        return {}
    course: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    layouts.refuse_newer(course, file, SCHEMA)
    return course


def plan(
    path: str,
    order: str,
    managers: int,
    workers: int,
    kind: MadeKind,
    profile: str = "smoke",
    like: Likeness | None = None,
    *,
    reboot: bool = False,
) -> Plan:
    """Return the plan that options describe.

    Args:
        path: See `Plan.read`.
        order: See `Plan.read`. With a likeness, it may use the names of the swarm's nodes.
        managers: See `Plan`.
        workers: See `Plan`.
        kind: Kind of the lab.
        profile: Profile of the claims.
        like: The swarm that the cluster is to be a copy of; None for the rehearsal's own cluster.
        reboot: See `Plan`.

    Raises:
        UsageError: The options do not make a possible rehearsal.
    """
    known = like.hosts() if like else {}
    order = ",".join(known.get(name, name) for name in order.split(","))
    made = Plan.read(path, order, managers, workers, like, reboot=reboot)
    if reboot and not kind.reboots:
        able = " or ".join(f"--lab {other.word}" for other in registry.MADE.values() if other.reboots)
        raise UsageError(f"--reboot: nodes of --lab {kind.word} have no system of their own to restart; use {able}")
    names = host_names(made.nodes)
    roles = {name: "manager" if place < made.managers else "worker" for place, name in enumerate(names)}
    made.queue(roles, next(iter(roles)))  # an order that is wrong is refused before a lab is made
    check(kind, profile, _request(kind, made))
    return made


def check(kind: MadeKind, profile: str, request: Request | None = None) -> None:
    """Check that a rehearsal can be held in a lab of this kind, with the claims of this profile.

    Args:
        kind: Kind of the lab.
        profile: Profile of the claims.
        request: The lab, as far as it is known.

    Raises:
        UsageError: It cannot.
    """
    profiles.profile(profile, "--claims")
    kind.check(request or Request())


def lines(decision: Decision) -> list[str]:
    """Return a decision as lines for a terminal."""
    made = [decision.word + "."]
    if like := decision.likeness:
        counts = ", ".join(f"{len(listed)} {kind}" for kind, listed in like["copied"].items())
        made.append(f"Likeness of swarm {like['cluster']}, with {len(like['nodes'])} nodes, {counts}.")
        made += [f"  Its limit: {limit}" for limit in like["limits"]]
    for title, listed in (("Because", decision.reasons), ("Condition", decision.conditions)):
        for reason in listed:
            made.append(f"  {title}: {reason.summary}" + (f" [{reason.claim}]" if reason.claim else ""))
            made += [f"      evidence: {file}" for file in reason.evidence[:2]]
    if decision.comparison:
        same = decision.comparison
        made.append(
            f"Claims before and after: {same.same} the same, {len(same.worse)} worse, {len(same.better)} better, "
            f"{len(same.blocked)} newly blocked, {len(same.lost)} no longer run."
        )
    return made
