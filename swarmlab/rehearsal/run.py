"""A rehearsal from its beginning to its end: a lab, claims, the upgrade under traffic, claims again, one page."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from swarmlab import netns, ownership
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress
from swarmlab.images import workshop
from swarmlab.labs import registry as kinds
from swarmlab.labs.containers import outer
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.labs.machines import lab as machines
from swarmlab.labs.machines.lab import NODES, VagrantLab
from swarmlab.paths import ROOT
from swarmlab.rehearsal import likeness, page
from swarmlab.rehearsal.bodies import dress
from swarmlab.rehearsal.decision import Decision, decide
from swarmlab.rehearsal.likeness import Likeness
from swarmlab.rehearsal.plan import Plan
from swarmlab.verdicts import catalogue, results

#: What the page of a rehearsal is called, and what says the same to machines.
PAGE, TOLD = "rehearsal.html", "decision.json"
COURSE = "rehearsal.json"
#: Profiles of the claims that can be judged before and after (see fixtures/profiles.py).
PROFILES = ("full", "smoke", "safe", "machines", "nightly", "certify")


#: Managers and workers of a rehearsal's own cluster, by the kind of lab.
SHAPES = {DindLab.kind: (3, 1), VagrantLab.kind: (NODES, 0)}


def rehearse(plan: Plan, kind: str, folder: Path, profile: str, progress: Progress) -> Decision:
    """Rehearse an upgrade on a lab of its own, and write what came of it to *folder*.

    Args:
        plan: what is rehearsed.
        kind: the kind of the lab.
        folder: where the three runs' reports, the page and the decision go; what an earlier rehearsal left is removed.
        profile: the claims that are judged on the first engine and on the last.
        progress: called with a line for every step that takes time.

    Raises:
        LabError: the lab did not come up, or a run left no verdicts.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    for name in ("before", "upgrade", "after"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (PAGE, TOLD, likeness.FILE):
        (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if plan.likeness:
        plan.likeness.write(folder / likeness.FILE)
    begun = time.monotonic()
    seconds: dict[str, float] = {}
    engine = outer.connect(progress)
    try:
        kinds.remove_stale(engine, progress)
        lab = _lab(kind, plan, engine, progress)
        lab.up()
        try:
            lab.measure()
            cluster = Swarm.form(lab.nodes(), managers=plan.managers, image=lab.image)
            if plan.likeness:
                dress(cluster, plan.likeness)
            seconds["the lab"] = time.monotonic() - begun
            with ThreadPoolExecutor(max_workers=1) as beside:
                ready = beside.submit(_prepare, kind, plan, engine, progress)
                return _judge(plan, lab, folder, profile, progress, seconds, ready)
        finally:
            lab.down()
    finally:
        engine.release()


def _lab(kind: str, plan: Plan, engine: OuterEngine, progress: Progress) -> DindLab | VagrantLab:
    """The lab of a rehearsal, not up yet."""
    starts = [plan.start(host) for host in hosts(plan.nodes)]
    engines, owner = [choice.suite for choice in starts], ownership.this_process()
    if kind == VagrantLab.kind:
        return VagrantLab(engine, engines=engines, owner=owner, progress=progress)
    name = f"rehearsal-{owner.split('/')[1]}"
    return DindLab(engine, name=name, engines=engines, nodes=plan.nodes, owner=owner, progress=progress)


def _prepare(kind: str, plan: Plan, engine: OuterEngine, progress: Progress) -> None:
    """Make the images of all engines of the path, beside the claims on the first, so that no step waits for one."""
    if kind == DindLab.kind:
        workshop.Workshop(engine.client, progress, outside=netns.outside()).prepare(list(dict.fromkeys(plan.path)))


def _judge(
    plan: Plan,
    lab: DindLab | VagrantLab,
    folder: Path,
    profile: str,
    progress: Progress,
    seconds: dict[str, float],
    ready: Future[None],
) -> Decision:
    def run(name: str, what: str, *words: str) -> None:
        progress(f"{what} (follow it: tail -f {folder / name}.log)")
        start = time.monotonic()
        _pytest(folder, name, "--lab", lab.kind, "--lab-name", lab.name, *words)
        seconds[what] = time.monotonic() - start

    last = plan.path[-1]
    run("before", f"claims on {plan.beginning}", "suites/", "--profile", profile)
    ready.result()
    path, order = ",".join(engine.suite for engine in plan.path), ",".join(plan.order)
    shape = ["--rehearse-managers", str(plan.managers), "--rehearse-workers", str(plan.workers)]
    shape += ["--rehearse-reboot"] if plan.reboot else []
    shape += ["--rehearse-like", str((folder / likeness.FILE).absolute())] if plan.likeness else []
    run("upgrade", f"upgrade to {last}", "suites/upgrade", "--rehearse", path, "--rehearse-order", order, *shape)
    course = _course(folder)
    whole = course.get("done", 0) == plan.steps
    if whole:
        run("after", f"claims on {last}", "suites/", "--profile", profile)
    loaded = {name: results.load(folder / name) for name in ("before", "upgrade", *(["after"] if whole else []))}
    known = catalogue.incidents()
    decision = decide(loaded["before"], loaded["upgrade"], loaded.get("after"), course, known, plan.likeness)
    path_told = [plan.beginning, *map(str, plan.path[1:])]
    told = {**decision.told(), "path": path_told, "seconds": seconds, "profile": profile}
    (folder / TOLD).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write(plan, lab.kind, decision, loaded, course, seconds, profile, folder / PAGE)
    return decision


def _pytest(folder: Path, name: str, *words: str) -> None:
    # It begins where this process did, and finds its own way to the lab: what it downloads comes from outside.
    pytest = [*netns.outside(), sys.executable, "-m", "pytest"]
    command = [*pytest, *words, "--reports", str((folder / name).absolute()), "-q"]
    with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not (folder / name / results.NAME).exists():
        lines = (folder / f"{name}.log").read_text(encoding="utf-8").strip().splitlines()
        raise LabError(f"the run {name} left no verdicts (status {done.returncode}): {' / '.join(lines[-3:])}")


def _course(folder: Path) -> dict[str, Any]:
    file = folder / "upgrade" / COURSE
    if not file.exists():  # it broke before the first step
        return {}
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def plan(
    path: str,
    order: str,
    managers: int,
    workers: int,
    lab: str,
    profile: str = "smoke",
    like: Likeness | None = None,
    *,
    reboot: bool = False,
) -> Plan:
    """The plan that the words of options make; in the order nodes may have the names that they have in the swarm.

    Raises:
        UsageError: what cannot be.
    """
    known = like.hosts() if like else {}
    order = ",".join(known.get(word, word) for word in order.split(","))
    made = Plan.read(path, order, managers, workers, like, reboot=reboot)
    if lab == VagrantLab.kind and made.nodes != NODES:
        raise UsageError(f"the lab of machines has {NODES} nodes, not {made.nodes}; choose --managers and --workers so")
    if lab != VagrantLab.kind and reboot:
        raise UsageError("--reboot: containers have no system of their own to restart; rehearse on --lab vagrant")
    roles = {name: "manager" if place < made.managers else "worker" for place, name in enumerate(hosts(made.nodes))}
    made.queue(roles, next(iter(roles)))  # what is wrong with an order is told before a lab is made
    check(lab, profile)
    return made


def check(lab: str, profile: str) -> None:
    """See that a rehearsal can be held in a lab of this kind, with the claims of this profile.

    Raises:
        UsageError: it cannot.
    """
    if profile not in PROFILES:
        raise UsageError(f"--claims {profile}: no such profile; choose one of {', '.join(PROFILES)}")
    if lab == VagrantLab.kind:
        machines.check([], machines.PROVIDERS[0])


def hosts(count: int) -> list[str]:
    """The host names that nodes of the lab have."""
    return ["master", *(f"slave{number:02}" for number in range(1, count))]


def lines(decision: Decision) -> list[str]:
    """A decision as a person reads it on a terminal."""
    told = [decision.word + "."]
    if like := decision.likeness:
        counts = ", ".join(f"{len(listed)} {kind}" for kind, listed in like["copied"].items())
        told.append(f"It was a likeness of swarm {like['cluster']}, with {len(like['nodes'])} nodes, {counts}.")
        told += [f"  Its limit: {words}" for words in like["limits"]]
    for title, listed in (("Because", decision.reasons), ("On the condition", decision.conditions)):
        for reason in listed:
            told.append(f"  {title}: {reason.words}" + (f" [{reason.claim}]" if reason.claim else ""))
            told += [f"      evidence: {file}" for file in reason.evidence[:2]]
    if decision.comparison:
        same = decision.comparison
        told.append(
            f"Claims before and after: {same.same} the same, {len(same.worse)} worse, {len(same.better)} better, "
            f"{len(same.blocked)} newly blocked, {len(same.lost)} no longer run."
        )
    return told


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt("terminated")
