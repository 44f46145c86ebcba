"""Faults of the mesh and of encrypted networks, each planted in a swarm of machines, where its control has to tell it.

Not collected by `pytest tests/`, as it takes machines and up to an hour: `make power-mesh` (with ENGINE, on another).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest

from suites.upgrade import test_mesh, test_ways
from swarmlab.cluster.swarm import Swarm
from tests.proof.claims.planting import background, drop

_CONNECTION = test_mesh.test_a_connection_through_the_mesh_lasts_until_its_server_ends
_CLEARTEXT = test_ways.test_an_encrypted_overlay_sends_nothing_in_clear
_DATAGRAMS = test_mesh.test_datagrams_from_one_socket_are_answered_after_an_update
_PORTS = test_mesh.test_a_port_that_is_added_start_first_leaves_the_others_as_they_are
_ANEW = test_mesh.test_the_mesh_is_there_after_its_last_service_and_its_network_went

#: Has a node's published ports answer nobody.
_NO_PORTS = drop("tcp dport 8000-9999")
#: Waits for the end of a service's update.
_UPDATED = (
    "until docker service inspect $(docker service ls -q --filter name=swc-{name})"
    " --format '{{{{.UpdateStatus.State}}}}' | grep completed; do sleep 0.5; done"
)

#: What mends the incidents that every engine seen here has, by the control that meets them: a script for a manager.
REMEDIES = {
    # Managers see to a node's end of the mesh when they write of the node.
    _ANEW: "while :; do for node in $(docker node ls -q); do"
    " docker node update --label-add swc-at=$(date +%s) $node; done; sleep 1; done",
    # Tasks that all have both ports take none from each other.
    _PORTS: f"{_UPDATED.format(name='ports')}; docker service update --force --detach $(docker service ls -q)",
}


@dataclass(frozen=True)
class Plant:
    """A fault of one node.

    Attributes:
        control: the test that has to fail.
        said: a regular expression that its words have to match.
        node: the host name of the node where it is planted.
        loop: a shell script that goes on in the background.
    """

    control: Callable[[Swarm], None]
    said: str
    node: str
    loop: str


PLANTS = {
    "a task is killed as soon as it is told to stop": Plant(
        _CONNECTION,
        r"a task on slave02 that was being stopped these were cut: through master .* after \d+ lines",
        "slave02",
        "docker events --filter event=kill --format '{{.Actor.ID}}' | while read task; do docker kill $task; done",
    ),
    "a node sends in clear": Plant(
        _CLEARTEXT,
        r"\d+ packets of an encrypted network came to (master|slave02) in clear",
        "slave01",
        "while :; do ip xfrm policy flush; sleep 1; done",
    ),
    "a node drops datagrams after an update": Plant(
        _DATAGRAMS,
        r"after an update.*unanswered by .*master",
        "master",
        f"{_UPDATED.format(name='echo')}; {drop('udp dport 8000-9999')}",
    ),
    "a second port takes the first away": Plant(
        _PORTS,
        r"port \d+ to answer on slave01",
        "slave01",
        f"until [ $(iptables -t nat -S DOCKER-INGRESS | grep -c DNAT) -gt 1 ]; do sleep 0.5; done; {_NO_PORTS}",
    ),
    "a network that is made anew brings no ports": Plant(
        _ANEW,
        r"port \d+ to answer on slave01",
        "slave01",
        f"while [ -e /run/docker/netns/ingress_sbox ]; do sleep 0.1; done; {_NO_PORTS}",
    ),
}


@pytest.fixture(scope="module")
def _machines(lab):
    nodes = lab.more(3)
    yield Swarm.form(nodes, managers=3, image=lab.image)
    lab.remove(nodes)


@pytest.fixture
def cluster(_machines):
    """Three managers; what a test that failed left there is removed."""
    yield _machines
    _machines.clean()


@pytest.mark.parametrize("control", [_CONNECTION, _CLEARTEXT], ids=lambda control: control.__name__)
def test_a_sound_swarm_passes(cluster, control):
    # That of datagrams meets its incident on 20.10.24; the others are in REMEDIES.
    control(cluster)


@pytest.mark.parametrize("control", REMEDIES, ids=lambda control: control.__name__)
def test_a_swarm_whose_incident_is_mended_passes(cluster, control):
    with going_on(cluster.manager, REMEDIES[control]):
        control(cluster)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_control_fails_for_its_fault(cluster, plant, monkeypatch):
    # What is planted lasts, so there is little to wait for.
    monkeypatch.setattr(test_mesh, "GOSSIP", 10)
    mended = plant.control in REMEDIES
    with (
        going_on(cluster.manager, REMEDIES[plant.control]) if mended else nullcontext(),
        going_on(cluster.node(plant.node), plant.loop),
        pytest.raises(AssertionError, match=plant.said) as told,
    ):
        plant.control(cluster)
    print(told.value)


@contextmanager
def going_on(node, loop):
    """Have a script go on at a node; what it dropped passes again afterwards."""
    node.run(background(loop))
    try:
        yield
    finally:
        node.run("pkill -f /run/gremlin; nft delete table ip gremlin")
