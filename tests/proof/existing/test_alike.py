"""Two nodes of a swarm that exists have one host name: it is read and cleaned by node id, and not judged.

`make proof-existing` runs it.
"""

import json

import pytest

from swarmlab.cluster.swarm import Swarm
from swarmlab.labs.existing import inventory
from swarmlab.rehearsal.likeness.read import read
from tests.proof.existing.world import World, run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def world(tmp_path_factory, request):
    """A swarm of which two nodes have one host name, and its inventory, by addresses alone."""
    world = World(tmp_path_factory.mktemp("alike"), request.config.getoption("--engine") or "", name="alike")
    try:
        *_, second, last = world.nodes
        last.run(
            "D=$(command -v dockerd) && mv $D $D.real && "
            f"printf '#!/bin/sh\\nhostname {second.name}\\nexec dockerd.real \"$@\"\\n' > $D && chmod +x $D"
        ).expect()
        last.stop()
        last.start()
        Swarm(world.nodes).wait_ready()
        world.inventory = world.write_inventory(nodes=[{"address": node.address} for node in world.nodes])
        yield world
    finally:
        world.close()


def test_preflight_names_both_by_their_ids(world):
    looked = run("swarmlab", "preflight", "--inventory", str(world.inventory), "--json")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    (finding,) = [one for one in json.loads(looked.stdout) if one["check"] == "host-names" and one["level"] != "ok"]
    name = world.nodes[-2].name
    ids = [node.info()["Swarm"]["NodeID"] for node in world.nodes[-2:]]
    assert finding["level"] == "warning"
    assert sorted(finding["nodes"]) == sorted(f"{name}-{id[:5]}" for id in ids)
    assert all(id in finding["seen"] for id in ids)


def test_it_is_cleaned_and_read_for_a_likeness(world):
    listed = run("swarmlab", "cleanup", "--inventory", str(world.inventory), "--dry-run")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    made = read(inventory.read(str(world.inventory)), None, [node.name for node in world.nodes], print)
    assert len(made.data["nodes"]) == len(world.nodes)


def test_the_suites_refuse_it_in_one_line(world):
    ran = run("pytest", "suites/ch7_usage", "--lab", "inventory", "--inventory", str(world.inventory))
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert (ran.returncode, len(lines)) == (4, 1), lines
    assert f"node {world.nodes[-2].name}: " in lines[0]
    assert "have this host name" in lines[0]
