"""Preflight looks at what it reaches of a swarm that exists, and names what it does not reach."""

import pytest

from swarmlab.cluster import deadline
from swarmlab.errors import EngineRefused, NoAnswer, UsageError
from swarmlab.labs.existing import lab
from swarmlab.labs.existing.inventory import Inventory, Machine
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.preflight import checks as made
from swarmlab.preflight import host
from swarmlab.preflight.model import Sight, unreachable

NAMES = {"10.1.1.1": "master", "10.1.1.2": "slave01", "10.1.1.3": "slave02"}


#: The seconds that each connection might take to open.
limits = []


class Connected:
    sudo = ""

    def __init__(self, machine, *_):
        self.machine = machine

    def open(self):
        limits.append(deadline.left(60))
        if self.machine.address == "10.1.1.3":
            raise UsageError(f"node {self.machine}: it does not answer; switch it on, or mend address, port and jump")

    def close(self):
        pass


@pytest.fixture
def swarm(monkeypatch, tmp_path):
    """A swarm of one manager and two workers, of which the last cannot be reached; return what its manager lists."""
    members = [
        {"ID": f"id-{name}", "Description": {"Hostname": name}, "Spec": {"Role": "worker"}, "Status": {"Addr": address}}
        for address, name in NAMES.items()
    ]

    class Node:
        def __init__(self, connection, name, address):
            self.connection, self.name, self.address = connection, name, address

        def ask(self, *_):
            if not members:
                raise EngineRefused(self.name, 503, "the swarm does not have a leader")
            return members

        def info(self):
            if self.connection.machine.address == "10.1.1.2" and silent:
                raise NoAnswer("the engine of slave01 does not answer: timed out")
            name = NAMES[self.connection.machine.address]
            state = {"NodeID": f"id-{name}", "NodeAddr": "", "LocalNodeState": "active", "Cluster": {"ID": "c"}}
            return {"Name": name, "Swarm": {**state, "ControlAvailable": name == "master"}}

    silent = []
    monkeypatch.setattr(lab, "Connection", Connected)
    monkeypatch.setattr(lab, "SshNode", Node)
    monkeypatch.setattr(lab, "_home", lambda: tmp_path)
    monkeypatch.setattr(lab, "be_discreet", lambda *_, **__: None)
    return members, silent


def reach():
    tested = InventoryLab(Inventory("swarm.yaml", tuple(map(Machine, NAMES))))
    limits.clear()
    tested.connect(to_judge=False, partly=True)
    assert 7 < max(limits) <= 8
    return tested


@pytest.mark.usefixtures("swarm")
def test_a_machine_that_is_not_reached_does_not_keep_the_others_from_being_looked_at():
    tested = reach()
    assert [node.name for node in tested.nodes()] == ["master", "slave01"]
    assert list(tested.unreached) == ["slave02"], "the swarm knows its name"
    (finding,) = made.look("engines-answer", Sight([unreachable(*one) for one in tested.unreached.items()]))
    assert str(finding) == "slave02: cannot be looked at: it does not answer"
    assert (str(finding.level), finding.mend) == ("error", "switch it on, or mend address, port and jump")


def test_an_engine_that_is_silent_is_left_out_too(swarm):
    swarm[1].append("slave01")
    tested = reach()
    assert [node.name for node in tested.nodes()] == ["master"]
    assert set(tested.unreached) == {"slave01", "slave02"}


def test_a_swarm_without_a_leader_is_looked_at_as_it_is(swarm):
    swarm[0].clear()
    assert [node.name for node in reach().nodes()] == ["master", "slave01"]


@pytest.mark.usefixtures("swarm")
def test_nobody_is_left_out_where_a_run_needs_all():
    with pytest.raises(UsageError, match=r"^node 10\.1\.1\.3: it does not answer"):
        InventoryLab(Inventory("swarm.yaml", tuple(map(Machine, NAMES)))).connect(to_judge=False)


@pytest.mark.usefixtures("swarm")
def test_a_swarm_of_which_nothing_is_reached_is_refused():
    with pytest.raises(UsageError, match="it does not answer"):
        InventoryLab(Inventory("swarm.yaml", (Machine("10.1.1.3"),))).connect(to_judge=False, partly=True)


def test_what_a_lab_offers_is_unknown_where_its_node_does_not_answer():
    class Offers:
        def missing(self, _):
            raise NoAnswer("the engine of master does not answer: timed out")

    class Silent:
        offers = Offers()

    (finding,) = host.offers(Silent())
    assert (str(finding.level), "does not answer" in finding.summary, bool(finding.mend)) == ("unknown", True, True)
