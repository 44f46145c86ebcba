"""A lab that is taken away in the midst of a run breaks the test at hand, is told once, and fails no claim.

`make proof-ends` (a quarter of an hour).
"""

import json
import os
import subprocess
import sys

import pytest

from swarmlab.labs import outer
from swarmlab.paths import ROOT
from swarmlab.wait import wait

pytestmark = pytest.mark.lab

NAME = "ends"
#: Three tests that share one cluster; the second and the third need every node.
TESTS = [
    "suites/ch7_usage/test_discovery.py::test_a_container_of_docker_run_is_no_service",
    "suites/ch7_usage/test_discovery.py::test_names_resolve_on_every_node",
    "suites/ch7_usage/test_networks.py::test_bodies_of_every_size_pass_between_every_pair_of_nodes",
]


def swarmlab(*arguments):
    return subprocess.run([sys.executable, "-m", "swarmlab", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def standing():
    """A lab that was brought up by hand."""
    made = swarmlab("up", "--name", NAME)
    assert made.returncode == 0, made.stderr
    yield NAME
    swarmlab("down", "--name", NAME)


def run(folder, *options, prank=""):
    """Return the exit status of a run, its output, and its results."""
    command = [sys.executable, "-m", "pytest", *TESTS, "-n", "0", "--reports", str(folder), *options]
    command += ["-p", "tests.proof.ends.gremlin"] if prank else []
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    ran = subprocess.run(command, cwd=ROOT, env={**environment, "GREMLIN": prank}, capture_output=True, text=True)
    print(ran.stdout[-3000:], ran.stderr[-1000:])
    return ran.returncode, ran.stdout, json.loads((folder / "latest" / "verdicts.json").read_text())


def by_verdict(results):
    found = {}
    for claim in results["claims"]:
        found.setdefault(claim["verdict"], []).append(claim["reason"])
    return found


@pytest.mark.parametrize(
    ("prank", "reason"),
    [("stop a node", "container of node slave01 was stopped"), ("restart a node", "node slave01 was started anew")],
)
def test_a_lab_of_the_run_loses_a_node_and_only_that_test_is_broken(tmp_path, prank, reason):
    status, _, results = run(tmp_path, prank=prank)
    found = by_verdict(results)
    assert len(found["broken"]) == 1, found
    assert reason in found["broken"][0]
    assert "fail" not in found
    assert "timeout" not in found
    assert len(found["pass"]) == 2, found  # the last on a cluster that was made anew
    assert status == 1


@pytest.mark.parametrize(
    ("prank", "reason"),
    [
        ("stop a node", f"lab {NAME}: the container of node slave01 was stopped"),
        ("stop the registry", f"lab {NAME}: its registry does not run any more"),
        ("freeze all engines", f"no engine of {NAME} answers any more (master, slave01, slave02)"),
    ],
)
def test_a_lab_that_stands_is_taken_away_and_the_run_ends_there(standing, tmp_path, prank, reason):
    status, output, results = run(tmp_path, "--lab-name", standing, prank=prank)
    found = by_verdict(results)
    assert len(found["broken"]) == 1, found
    assert reason in found["broken"][0]
    assert not found.keys() & {"fail", "timeout"}
    assert status == 3
    assert len([line for line in output.splitlines() if line.startswith("the run could not be held: ")]) == 1


def test_a_node_that_the_user_switched_off_is_the_clusters_state(standing, tmp_path):
    assert swarmlab("stop", "slave02", "--name", standing).returncode == 0
    status, _, results = run(tmp_path, "--lab-name", standing)
    assert (status, len(results["claims"])) == (1, len(TESTS))
    assert not any("from outside" in claim["reason"] for claim in results["claims"])
    assert swarmlab("start", "slave02", "--name", standing).returncode == 0


def test_a_lab_in_use_is_not_used_cleaned_or_taken_down(standing, tmp_path):
    command = [sys.executable, "-m", "pytest", *TESTS, "--lab-name", standing, "--reports", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        engine = outer.running()
        held = {"name": f"swarmlab-{standing}-use-lock"}
        wait(lambda: bool(engine.client.volumes.list(filters=held)), "the run to hold the lab", deadline=60)
        engine.release()
        second = subprocess.run([*command, "--reports", str(tmp_path / "2")], cwd=ROOT, capture_output=True, text=True)
        lines = [line for line in (second.stdout + second.stderr).splitlines() if line.strip()]
        assert (second.returncode, len(lines)) == (4, 1), lines
        assert f"lab {standing} is in use by process {first.pid} (" in lines[0]
        for verb in ("cleanup", "down"):
            assert f"in use by process {first.pid}" in swarmlab(verb, "--name", standing).stderr
        first.kill()
        first.communicate()
    assert swarmlab("cleanup", "--name", standing).returncode == 0
