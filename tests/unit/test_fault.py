from types import SimpleNamespace

import pytest

from swarmlab.cluster.fault import Kind, applied, apply, close_port, cut_off, deafen, freeze, heal, kill, split
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, LabError
from swarmlab.labs.existing.node import SshNode


class Machine(SimpleNamespace):
    """A node that notes what is done to it."""

    def __init__(self, name, *, heals=True):
        super().__init__(name=name, address=f"192.0.2.{name[-1]}", done=[], heals=heals, lifelines=None)

    def __str__(self):
        return self.name

    def cut(self, addresses, *, one_way=False):
        self.done.append(("cut", tuple(addresses), one_way))

    def cut_port(self, protocol, port, *, outgoing=False):
        self.done.append(("port", protocol, port, outgoing))

    def heal(self):
        if not self.heals:
            raise LabError(f"{self.name} could not be healed")
        self.done.append("heal")

    def greet(self):
        self.done.append("greet")

    def __getattr__(self, verb):
        if verb not in ("kill", "stop", "freeze", "thaw", "start", "reboot"):
            raise AttributeError(verb)
        return lambda: self.done.append(verb)


@pytest.fixture
def nodes():
    return [Machine(f"m{number}") for number in range(1, 6)]


def test_halves_do_not_hear_each_other(nodes):
    a, b, c, d, e = nodes
    assert split([a, b], [c, d, e]).drops == {
        "m1": {"m3", "m4", "m5"},
        "m2": {"m3", "m4", "m5"},
        "m3": {"m1", "m2"},
        "m4": {"m1", "m2"},
        "m5": {"m1", "m2"},
    }


def test_a_bridge_hears_both_halves(nodes):
    a, b, c, d, e = nodes
    drops = split([a, b, c], [c, d, e]).drops
    assert drops == {"m1": {"m4", "m5"}, "m2": {"m4", "m5"}, "m4": {"m1", "m2"}, "m5": {"m1", "m2"}}


def test_a_node_that_is_cut_off_neither_hears_nor_is_heard(nodes):
    a, b, c, *_ = nodes
    assert cut_off(a, [a, b, c]).drops == {"m1": {"m2", "m3"}, "m2": {"m1"}, "m3": {"m1"}}


def test_a_deaf_node_is_heard(nodes):
    a, b, c, *_ = nodes
    assert deafen(a, [a, b, c]).drops == {"m1": {"m2", "m3"}}


def test_whole_nodes_and_ports_by_name(nodes):
    a, b, *_ = nodes
    assert kill(a, b).nodes == {"m1": Kind.KILL, "m2": Kind.KILL}
    assert str(kill(a, b)) == "kill m1, m2"
    assert close_port(2377, b, protocols=["tcp"]).ports == {"m2": (("tcp", 2377),)}


def test_each_node_drops_for_itself_and_is_healed(nodes):
    a, b, c, *_ = nodes
    swarm = Swarm([a, b, c])
    with applied(cut_off(a, swarm.nodes), swarm):
        assert swarm.damage == ["split into m1 | m2 m3"]
        assert a.done == [("cut", (b.address, c.address), True)]
        assert b.done == [("cut", (a.address,), True)]
    assert [node.done[-1] for node in (a, b, c)] == ["heal"] * 3
    assert swarm.damage == []


def test_what_was_frozen_is_thawed_and_greeted(nodes):
    swarm = Swarm(nodes)
    with applied(freeze(nodes[0]), swarm):
        assert nodes[0].done == ["freeze"]
    assert nodes[0].done == ["freeze", "thaw", "greet"]


def test_a_fault_stays_damage_until_it_is_healed(nodes):
    swarm = Swarm(nodes)
    apply(kill(nodes[0]), swarm)
    apply(close_port(7946, nodes[1]), swarm)
    assert swarm.damage == ["kill m1", "port 7946 closed at m2"]
    heal(kill(nodes[0]), swarm)
    assert nodes[0].done == ["kill", "start", "greet"]
    assert swarm.damage == ["port 7946 closed at m2"]


def test_a_cluster_that_does_not_heal_stays_damaged():
    swarm = Swarm([Machine("m1", heals=False), Machine("m2")])
    with pytest.raises(LabError, match="m1 could not be healed"), applied(cut_off(swarm.nodes[0], swarm.nodes), swarm):
        pass
    assert swarm.damage == ["split into m1 | m2"]


def test_what_is_found_with_a_fault_is_not_hidden_by_its_healing():
    swarm = Swarm([Machine("m1", heals=False), Machine("m2")])
    with pytest.raises(AssertionError, match="found"), applied(cut_off(swarm.nodes[0], swarm.nodes), swarm):
        raise AssertionError("found")
    assert swarm.damage == ["split into m1 | m2"]


def test_a_node_of_a_swarm_that_exists_is_neither_switched_off_nor_cut_off():
    node = SshNode.__new__(SshNode)
    hurts = [node.stop, node.kill, node.freeze, lambda: node.cut(["192.0.2.1"]), lambda: node.cut_port("udp", 4789)]
    for hurt in hurts:
        with pytest.raises(Blocked, match="neither switched off nor cut off"):
            hurt()
