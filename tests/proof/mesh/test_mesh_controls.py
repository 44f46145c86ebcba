"""Faults of the mesh and of encrypted networks are planted in a swarm of machines: the control of each incident fails.

`make proof-mesh` (up to an hour; ENGINE: another engine).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest

from suites.upgrade import test_mesh, test_ways
from swarmlab.cluster.swarm import Swarm
from tests.proof.planting import END, Fault, background, drop

pytestmark = pytest.mark.lab

_CONNECTION = test_mesh.test_a_connection_through_the_mesh_lasts_until_its_server_ends
_CLEARTEXT = test_ways.test_an_encrypted_overlay_sends_nothing_in_clear
_DATAGRAMS = test_mesh.test_datagrams_from_one_socket_are_answered_after_an_update
_PORTS = test_mesh.test_a_port_that_is_added_start_first_leaves_the_others_as_they_are
_ANEW = test_mesh.test_the_mesh_is_there_after_its_last_service_and_its_network_went

#: Silences a node's published ports.
_NO_PORTS = drop("tcp dport 8000-9999")
#: Waits for the end of a service's update.
_UPDATED = (
    "until docker service inspect $(docker service ls -q --filter name=swc-{name})"
    " --format '{{{{.UpdateStatus.State}}}}' | grep completed; do sleep 0.5; done"
)

#: For controls that fail on every engine seen so far: what mends the incident, a script for a manager.
REMEDIES = {
    # A manager checks a node's end of the mesh whenever it writes the node.
    _ANEW: background(
        "while :; do for node in $(docker node ls -q); do"
        " docker node update --label-add swc-at=$(date +%s) $node; done; sleep 1; done"
    ),
    # Tasks that all publish both ports do not take one from another.
    _PORTS: background(
        f"{_UPDATED.format(name='ports')}; docker service update --force --detach $(docker service ls -q)"
    ),
}


@dataclass(frozen=True)
class MeshFault(Fault):
    """A fault of the mesh.

    Attributes:
        control: The test that must fail.
        reason: A regular expression that its message must match.
    """

    control: Callable[[Swarm], None]
    reason: str


FAULTS = (
    MeshFault(
        "a task is killed as soon as it must stop",
        _CONNECTION,
        r"a task on slave02 that was being stopped these were cut: through master .* after \d+ lines",
        nodes=("slave02",),
        script=background(
            "docker events --filter event=kill --format '{{.Actor.ID}}' | while read task; do docker kill $task; done"
        ),
    ),
    MeshFault(
        "a node sends in clear",
        _CLEARTEXT,
        r"\d+ packets of an encrypted network came to (master|slave02) in clear",
        nodes=("slave01",),
        script=background("while :; do ip xfrm policy flush; sleep 1; done"),
    ),
    MeshFault(
        "a node drops datagrams after an update",
        _DATAGRAMS,
        r"after an update.*unanswered by .*master",
        nodes=("master",),
        script=background(f"{_UPDATED.format(name='echo')}; {drop('udp dport 8000-9999')}"),
    ),
    MeshFault(
        "a second port takes the first away",
        _PORTS,
        r"port \d+ to answer on slave01",
        nodes=("slave01",),
        script=background(
            f"until [ $(iptables -t nat -S DOCKER-INGRESS | grep -c DNAT) -gt 1 ]; do sleep 0.5; done; {_NO_PORTS}"
        ),
    ),
    MeshFault(
        "a network that is made anew brings no ports",
        _ANEW,
        r"port \d+ to answer on slave01",
        nodes=("slave01",),
        script=background(f"while [ -e /run/docker/netns/ingress_sbox ]; do sleep 0.1; done; {_NO_PORTS}"),
    ),
)


@pytest.fixture(scope="module")
def _machines(lab):
    nodes = lab.more(3)
    yield Swarm.form(nodes, managers=3, image=lab.image)
    lab.remove(nodes)


@pytest.fixture
def cluster(_machines):
    """Three managers; what a failed test left is removed."""
    yield _machines
    _machines.clean()


@pytest.mark.parametrize("control", [_CONNECTION, _CLEARTEXT], ids=lambda control: control.__name__)
def test_a_sound_swarm_passes(cluster, control):
    # Not that of datagrams: it fails on a sound swarm of 20.10.24. The others are in REMEDIES.
    control(cluster)


@pytest.mark.parametrize("control", REMEDIES, ids=lambda control: control.__name__)
def test_a_swarm_whose_incident_is_mended_passes(cluster, control):
    with going_on(cluster.manager, REMEDIES[control]):
        control(cluster)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_control_fails_for_its_fault(cluster, fault, monkeypatch):
    # The fault lasts, so there is little to wait for.
    monkeypatch.setattr(test_mesh, "GOSSIP", 10)
    mended = fault.control in REMEDIES
    [node] = fault.nodes
    with (
        going_on(cluster.manager, REMEDIES[fault.control]) if mended else nullcontext(),
        going_on(cluster.node(node), fault.script),
        pytest.raises(AssertionError, match=fault.reason) as failed,
    ):
        fault.control(cluster)
    print(failed.value)


@contextmanager
def going_on(node, script):
    """Run a script in the background of a node; afterwards, let pass what it dropped."""
    node.run(script)
    try:
        yield
    finally:
        node.run(f"{END}; nft delete table ip gremlin")
