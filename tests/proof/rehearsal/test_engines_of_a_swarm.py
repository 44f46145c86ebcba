"""A rehearsal of a swarm like one that exists says which of its engines do not start again with their settings.

`make proof-rehearsal` runs it too (a minute).
"""

import re

import pytest

from swarmlab.images.engines import engine_choice
from swarmlab.labs.existing import inventory
from swarmlab.rehearsal.likeness import restarts
from swarmlab.rehearsal.likeness.read import read
from tests.proof.existing.world import World
from tests.proof.preflight.faults import also_set

pytestmark = pytest.mark.lab

HOSTS = ["master", "slave01", "slave02"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("engines"), name="engines")
    try:
        yield world
    finally:
        world.close()


def told(world):
    """Return what a rehearsal to 28.5.2 would say of the engines: reasons, conditions."""
    made = read(inventory.read(str(world.inventory)), None, HOSTS, print)
    found = made.data["restarts"]
    return list(restarts.against(found, [engine_choice("28.5.2")])), list(restarts.besides(found))


def test_an_engine_that_does_not_start_again_is_a_reason(world):
    assert told(world) == ([], [])
    kept, older = world.nodes[1:3]
    assert kept.run(also_set('"live-restore": true')).ok
    assert older.run(also_set('"oom-score-adjust": -400')).ok
    reasons, conditions = told(world)
    assert len(reasons) == 2, reasons
    assert re.match(f"{kept.name}: live-restore is on, .*; remove live-restore", reasons[0])
    assert re.match(f"{older.name}: engine 28.5.2 does not know oom-score-adjust, and does not start", reasons[1])
    assert conditions == []
