"""An existing swarm of twenty nodes: nothing is said against a sound one, and a bad node is named with its cause.

`make proof-existing` runs it; with PYTEST_ARGS="-k twenty", it alone. NODES=40 makes as many nodes.
"""

import json
import os

import pytest

from swarmlab.verdicts.results import load
from tests.proof.existing.world import World, run

pytestmark = pytest.mark.lab
NODES = int(os.environ.get("NODES", "20"))
#: A worker that is no neighbour of a manager in any list.
BAD = 13


@pytest.fixture(scope="module")
def world(tmp_path_factory, request):
    """A swarm of twenty nodes with three managers."""
    engine = request.config.getoption("--engine") or ""
    world = World(tmp_path_factory.mktemp("twenty"), engine, name="twenty", nodes=NODES, managers=3)
    yield world
    world.close()


@pytest.fixture
def closed(world):
    """The name of a node that no packet of overlay networks reaches."""
    node = world.nodes[BAD]
    node.run("iptables -I INPUT -p udp --dport 4789 -j DROP").expect()
    yield node.name
    node.run("iptables -D INPUT -p udp --dport 4789 -j DROP").expect()


def preflight(world):
    """Return the findings that are no good news, by check; not those about the kernel of this machine."""
    looked = run("swarmlab", "preflight", "--inventory", str(world.inventory), "--json")
    assert looked.returncode in (0, 1), looked.stdout + looked.stderr
    found = {one["check"]: one for one in json.loads(looked.stdout) if one["level"] in ("warning", "error", "unknown")}
    found.pop("kernel-modules", None)
    return found


def judged(world, folder, *options):
    """Run suites on the swarm; return the exit status, and each claim that is not pass or blocked with its reason."""
    where = ("--lab", "inventory", "--inventory", str(world.inventory), "--reports", str(folder))
    ran = run("pytest", "suites", *where, *options)
    print(ran.stdout[-6000:], ran.stderr[-2000:])
    bad = {
        claim.id: claim.reason
        for claim in load(folder).claims.values()
        if str(claim.verdict) not in ("pass", "blocked")
    }
    return ran.returncode, bad


@pytest.mark.parametrize("options", [("--profile", "smoke"), ("--claim", "7")], ids=["smoke", "chapter 7"])
def test_a_sound_swarm_has_no_false_alarm(world, tmp_path, options):
    assert preflight(world) == {}
    assert judged(world, tmp_path, *options) == (0, {})


def test_a_bad_node_is_named_by_preflight(world, closed):
    found = preflight(world)
    assert set(found) == {"port-data-udp", "path-mtu"}
    assert found["port-data-udp"]["nodes"] == [closed]
    assert "4789" in found["port-data-udp"]["mend"]


def test_a_bad_node_is_named_by_the_claim(world, closed, tmp_path):
    status, bad = judged(world, tmp_path, "--claim", "7.1/overlay-spans-nodes")
    reason = bad["7.1/overlay-spans-nodes"]
    others = [node.name for node in world.nodes if node.name != closed]
    assert status == 1
    assert f"port-data-udp: {closed}" in reason or f"-> {closed}" in reason, reason
    assert "port-gossip-udp" not in reason, reason
    assert sum(name in reason for name in others) < len(others) // 2, reason
