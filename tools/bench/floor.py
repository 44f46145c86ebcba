"""How much of the work is the engines' own: tests of the suites against the same engine work by bare commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmlab import children, ownership
from swarmlab.errors import LabError
from swarmlab.images import workshop
from swarmlab.images.engines import engine_choice
from swarmlab.labs import registry, standing
from swarmlab.labs.containers import roots
from swarmlab.labs.containers.options import node_options
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.registry import DEFAULT
from swarmlab.labs.standing import KIND
from swarmlab.ownership import LABEL, OWNER, this_process
from swarmlab.paths import ROOT
from swarmlab.timing import Busy, Container, profile
from swarmlab.timing.profile import Profile, Test
from tools.bench.measure import Measured, Meters

SCRIPTS = Path(__file__).parent / "bare"
#: The tests that take most of a run, the dearest first, each with the script of `bare` that does the same engine work.
TESTS: dict[str, tuple[str, ...]] = {
    "tolerates-5": ("ch8_internals/test_raft_losses.py::test_five_managers_tolerate_the_loss_of_two_and_not_of_three",),
    "tolerates-7": (
        "ch8_internals/test_raft_losses.py::test_seven_managers_tolerate_the_loss_of_three_and_not_of_four",
    ),
    "minority-partition": (
        "ch8_internals/test_raft_partition.py::test_a_manager_cut_off_takes_no_write_and_afterwards_the_majoritys_state",
    ),
    "even-gains-nothing": (
        "ch8_internals/test_raft_losses.py::test_four_managers_tolerate_one_loss_and_two_managers_none",
    ),
    "loses-quorum-3": (
        "ch8_internals/test_raft_losses.py::test_three_managers_with_two_lost_refuse_all_and_leave_nothing_half_made",
    ),
    "recovery-from-one": ("ch8_internals/test_raft_losses.py::test_a_survivor_makes_a_working_swarm_of_one",),
    "quorum-returns": ("ch8_internals/test_raft_losses.py::test_the_swarm_works_by_itself_when_a_majority_is_back",),
    "rolling-update": ("ch7_usage/test_updates.py::test_an_update_replaces_so_many_tasks_at_a_time_so_far_apart",),
    "rollback": (
        "ch7_usage/test_updates.py::test_rollback_brings_the_whole_previous_specification_back",
        "ch7_usage/test_updates.py::test_an_update_that_fails_is_rolled_back_by_itself",
    ),
    "names-follow-tasks": ("ch7_usage/test_discovery.py::test_names_follow_replaced_moved_and_removed_tasks",),
}
_LAB = ("lab", "lab, its end")

Say = Callable[[str], None]


def measure(engine: OuterEngine, names: Sequence[str], reports: Path, say: Say) -> dict[str, Any]:
    """Return what the suite and the bare commands took for the same work, for bench.json.

    Args:
        engine: the outer engine.
        names: the keys of `TESTS` that count.
        reports: the folder of the reports of the run.
        say: called with a line for every step.
    """
    registry.remove_stale(engine, say)
    bare = _Bare(engine, say)  # which makes the images where they are missing
    try:
        up = _lab_up(engine, say)
        took = bare.measure(names)
    finally:
        bare.close()
    say(f"the suite: {', '.join(names)}")
    ran = _suite(names, reports)
    rows = [
        _row("lab up", up, took["up"]),
        *(_row(name, _of(ran, TESTS[name]), took[name]) for name in names),
        _row("all, with the lab", _whole(ran), _sum(took.values())),
    ]
    return {"rows": rows}


def _row(name: str, suite: Measured, bare: Measured) -> dict[str, Any]:
    return {"name": name, "suite": suite.to_json(), "bare": bare.to_json()}


def _sum(parts: Any) -> Measured:
    total = Measured(0.0, Busy())
    for part in parts:
        failed = "; ".join(filter(None, (total.failed, part.failed)))
        total = Measured(total.seconds + part.seconds, total.busy.plus(part.busy), failed)
    return total


# The suite


def _lab_up(engine: OuterEngine, say: Say) -> Measured:
    say("the suite: lab up")
    lab = DEFAULT.make(engine, DEFAULT.own(DEFAULT.request(lambda _: None), "bench"), say)
    meters = Meters()
    meters.watch(lab.meters)
    try:
        return meters.measure(lab.up)
    finally:
        lab.down()
        meters.processors.close()


def _suite(names: Sequence[str], reports: Path) -> Profile:
    tests = [f"suites/{test}" for name in names for test in TESTS[name]]
    folder = reports / "floor"
    options = ["-n", "0", "--engine", engine_choice("").name, "--profile-run", "--reports", folder]
    command = [sys.executable, "-m", "pytest", *tests, *options, "-q", "-p", "no:cacheprovider"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pytest.log").open("wb") as log:
        children.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    if found := profile.load(folder / "latest"):
        return found
    raise LabError(f"the suite has judged nothing; see {folder / 'pytest.log'}")


def _of(ran: Profile, tests: Sequence[str]) -> Measured:
    """Return what tests took, without the lab, which is in the first of a run and in the last."""
    mine = [test for test in ran.tests if test.id.removeprefix("suites/").partition("[")[0] in tests]
    return _sum(_without_lab(test) for test in mine) if mine else Measured(0.0, Busy(), "did not run")


def _without_lab(test: Test) -> Measured:
    lab = [entry for entry in test.entries if entry.kind == "fixture" and entry.name in _LAB]
    busy = test.busy
    for entry in lab:
        busy = busy.less(entry.busy)
    return Measured(test.seconds - sum(entry.seconds for entry in lab), busy)


def _whole(ran: Profile) -> Measured:
    return Measured(ran.seconds, ran.busy)


# The bare commands


class _Bare:
    """A lab of bare commands. Its parts have the labels of a lab, so that nothing of it outlives this process."""

    def __init__(self, engine: OuterEngine, say: Say) -> None:
        self._engine = engine
        self._say = say
        self._name = f"bare-{os.getpid()}"
        self._folder = standing.run_folder() / "labs" / self._name
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        [image], registry_image = workshop.Workshop(engine.client, say).prepare([engine_choice("")])
        labels = {LABEL: self._name, OWNER: this_process(), KIND: DEFAULT.word}
        self._settings = {
            "DIR": str(self._folder),
            "NETWORK": f"swarmlab-{self._name}",
            "REGISTRY_IMAGE": registry_image,
            "IMAGE": image,
            "ROOT": f"{roots.prepare(engine, image, registry_image, say)}:{roots.PLACE}:ro",
            "OPTIONS": "\n".join(flags(node_options([], {}, engine.cgroups))),
            "CREATE": "\n".join(f"--label={name}={value}" for name, value in labels.items()),
            "DOCKER_HOST": engine.url,
        }
        self._meters = Meters()
        self._meters.watch(self._containers)

    def _containers(self) -> list[Container]:
        ids = [file.read_text(encoding="ascii") for file in self._folder.glob("*.cid")]
        return [Container(id) for id in ids if id]  # docker makes the file first

    def measure(self, names: Sequence[str]) -> dict[str, Measured]:
        """Return what each script took: that of the lab, of its swarm, and of the tests."""
        found: dict[str, Measured] = {}
        subnet = standing.free_networks(self._engine)[0]
        self._settings |= {"SUBNET": subnet, "REGISTRY": f"{subnet.rpartition('.')[0]}.250"}
        for name in ["up", "form", *names]:
            self._say(f"bare commands: {name}")
            found[name] = self._meters.measure(lambda name=name: self._run(name))
            if found[name].failed:
                self._say(f"bare commands: {name}: {found[name].failed}")
        found["down"] = self._meters.measure(self._remove)
        return found

    def _run(self, name: str) -> str | None:
        for file in self._folder.glob("*.cid"):
            # docker makes no container whose file is there, and names are used again.
            if name not in ("up", "form") and file.stem not in ("registry", "master", "slave01", "slave02"):
                file.rename(file.with_suffix(f".{name}.cid"))
        environment = {**os.environ, **self._settings}
        done = children.run(
            ["bash", SCRIPTS / f"{name}.sh"], env=environment, capture_output=True, text=True, timeout=900
        )
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        return f"ended with {done.returncode}: {' '.join(said)}" if done.returncode else None

    def _remove(self) -> None:
        standing.remove(self._engine, self._name)

    def close(self) -> None:
        """Remove what is left."""
        self._remove()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._meters.processors.close()
        ownership.note_gone(self._name)


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return the options of ``docker run`` that a HostConfig of the API stands for."""
    made = [f"--cap-add={name}" for name in options["CapAdd"]]
    made += [f"--cap-drop={name}" for name in options["CapDrop"]]
    made += [f"--security-opt={option}" for option in options["SecurityOpt"]]
    made += ["--security-opt=systempaths=unconfined"] if options["MaskedPaths"] == [] else []
    made += [f"--runtime={options['Runtime']}"]
    made += [f"--cgroupns={options['CgroupnsMode']}"] if options["CgroupnsMode"] else []
    made += [f"--log-driver={options['LogConfig']['Type']}"]
    made += [f"--log-opt={name}={value}" for name, value in options["LogConfig"]["Config"].items()]
    made += [f"--device-cgroup-rule={rule}" for rule in options["DeviceCgroupRules"]]
    made += [f"--tmpfs={place}:{how}" for place, how in options["Tmpfs"].items()]
    made += ["--volume=/lib/modules:/lib/modules:ro"] if Path("/lib/modules").is_dir() else []
    return made
