"""A gap of the network in which the connection over SSH to a node ends: the run goes on after it.

`make proof-existing` runs it; with PYTEST_ARGS="-k gap", it alone (some four minutes).
"""

import os
import subprocess
import sys

import pytest

from swarmlab.host import run_folder
from swarmlab.paths import ROOT
from swarmlab.verdicts import results
from swarmlab.wait import State, wait
from tests.proof.existing.world import World

pytestmark = pytest.mark.lab

_CUT = "iptables {} INPUT -p tcp --dport 22 -j DROP"
#: Seconds in which ssh gives up a connection on which no packet comes, and more for a busy machine.
_GIVEN_UP = 180


@pytest.fixture(scope="module")
def world(tmp_path_factory, request):
    world = World(tmp_path_factory.mktemp("gap"), request.config.getoption("--engine") or "", name="gap")
    yield world
    world.close()


def test_claims_after_a_gap_are_judged_as_on_a_lab(world):
    when, node = world.folder / "when", world.nodes[1]
    when.touch()
    where = ["--lab", "inventory", "--inventory", str(world.inventory), "--reports", str(world.folder / "reports")]
    going = subprocess.Popen(
        [sys.executable, "-m", "pytest", "suites/ch2_networks", *where, "-p", "tests.proof.existing.when"],
        cwd=ROOT,
        env={**os.environ, "WHEN": str(when)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ended(count):
        return State(len(when.read_text().splitlines()) >= count, f"{len(when.read_text().splitlines())} tests ended")

    wait(lambda: ended(3), "the run to have judged something", deadline=300, every=1)
    (connection,) = (run_folder() / "inventory").glob(f"{going.pid}-*/n1.ssh")
    node.run(_CUT.format("-I")).expect()
    try:
        wait(lambda: not connection.exists(), "the connection to end", deadline=_GIVEN_UP, every=1)
    finally:
        node.run(_CUT.format("-D")).expect()
    before = len(when.read_text().splitlines())
    assert going.poll() is None, "the run ended with the connection"
    going.wait()
    judged = results.load(world.folder / "reports").raw
    assert not judged["unfinished"], judged["unfinished"]
    after = {line.split(maxsplit=2)[2] for line in when.read_text().splitlines()[before + 1 :]}
    assert after, "nothing was judged after the gap, so this test shows nothing"
    wrong = {
        claim["id"]: claim["reason"]
        for claim in judged["claims"]
        if claim["verdict"] not in ("pass", "blocked") and after.issuperset(claim["tests"])
    }
    assert not wrong, wrong
