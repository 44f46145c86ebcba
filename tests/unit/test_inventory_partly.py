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


#: Names of machines that are in no swarm.
outside = []


class Connected:
    sudo = through = ""

    def __init__(self, machine, *_):
        self.machine = machine

    def log_in(self):
        limits.append(deadline.left(60))

    def open(self, **_):
        limits.append(deadline.left(60))
        if self.machine.address == "10.1.1.3":
            raise UsageError(f"node {self.machine}: it does not answer; switch it on, or mend address, port and jump")

    def close(self):
        pass


@pytest.fixture
def swarm(monkeypatch, tmp_path):
    """A swarm of one manager and two workers, of which the last cannot be reached; return what its manager lists."""
    members = [
        {
            "ID": f"id-{name}",
            "Description": {"Hostname": name},
            "Spec": {"Role": "worker", "Availability": "active"},
            "Status": {"Addr": address, "State": "ready"},
        }
        for address, name in NAMES.items()
    ]

    class Node:
        def __init__(self, connection, name, address):
            self.connection, self.name, self.address = connection, name, address

        def __str__(self):
            return self.name

        def ask(self, *_):
            if not members:
                raise EngineRefused(self.name, 503, "the swarm does not have a leader")
            return members

        def info(self):
            if self.connection.machine.address == "10.1.1.2" and silent:
                raise NoAnswer("the engine of slave01 does not answer: timed out")
            name = NAMES[self.connection.machine.address]
            local = "inactive" if name in outside else "active"
            state = {"NodeID": f"id-{name}", "NodeAddr": "", "LocalNodeState": local, "Cluster": {"ID": "c"}}
            return {"Name": name, "Swarm": {**state, "ControlAvailable": name == "master"}}

    silent = []
    outside.clear()
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


# All that is wrong


def noted(*machines):
    tested, wrong = InventoryLab(Inventory("swarm.yaml", machines), may_disrupt="another"), []
    tested.connect(wrong=wrong)
    return tested, wrong


def test_all_that_is_wrong_is_noted_and_nothing_hides_anything(swarm):
    swarm[0][1]["Spec"]["Availability"] = "drain"
    machines = [Machine(address) for address in NAMES]
    machines[0] = Machine("10.1.1.1", name="other", role="manager")
    tested, wrong = noted(*machines)
    assert [node.name for node in tested.nodes()] == ["master", "slave01"]
    assert list(tested.unreached) == ["slave02"], "it is not told as missing, too"
    told = "\n".join(wrong)
    for part in ("its host name is master", "has the role worker", "is set to drain", "--may-disrupt another: the inv"):
        assert part in told
    assert len(wrong) == 4


@pytest.mark.usefixtures("swarm")
def test_a_swarm_of_which_nothing_is_reached_is_noted():
    tested, wrong = noted(Machine("10.1.1.3"))
    assert (tested.nodes(), list(tested.unreached), wrong) == ([], ["10.1.1.3"], [])


def test_a_machine_that_is_in_no_swarm_is_noted_once(swarm):
    outside.append("slave01")
    del swarm[0][1:]
    tested, wrong = noted(Machine("10.1.1.1"), Machine("10.1.1.2"))
    assert [node.name for node in tested.nodes()] == ["master"]
    assert wrong == [
        "node 10.1.1.2: is not in a working swarm (the state of its swarm is inactive)",
        "--may-disrupt another: the inventory's cluster is c; write the id that docker info shows of the swarm that "
        "tests may hurt",
    ]


def test_workers_alone_are_noted(swarm):
    swarm[0].clear()
    _, wrong = noted(Machine("10.1.1.2"))
    assert wrong[0] == "inventory swarm.yaml: none of 10.1.1.2 is a manager; add the managers"


def test_a_node_without_an_address_is_named_and_not_tried(swarm):
    swarm[0][1]["Status"]["Addr"] = "0.0.0.0"
    del swarm[0][2]
    known = Inventory("ssh://10.1.1.1", (Machine("10.1.1.1"),), discover=True)
    with pytest.raises(UsageError, match=r"^node slave01: the swarm has 0\.0\.0\.0 for it, .*\(swarmlab init\)$"):
        InventoryLab(known).connect(to_judge=False)
    tested = InventoryLab(known)
    tested.connect(to_judge=False, partly=True)
    assert [node.name for node in tested.nodes()] == ["master"]
    assert "0.0.0.0" in tested.unreached["slave01"]
    assert [member["ID"] for member in tested.members] == ["id-master", "id-slave01"]
    assert list(tested.identities) == ["id-master"]


# One node


@pytest.mark.usefixtures("swarm")
def test_a_shell_reaches_the_one_node_that_the_inventory_names():
    tested = InventoryLab(Inventory("swarm.yaml", (Machine("10.1.1.1", name="master"), Machine("10.1.1.3", name="x"))))
    tested.enter("master")
    assert [(node.name, node.connection.machine.address) for node in tested.nodes()] == [("master", "10.1.1.1")]
    with pytest.raises(UsageError, match="it does not answer"):
        InventoryLab(Inventory("swarm.yaml", (Machine("10.1.1.3"),))).enter("10.1.1.3")


@pytest.mark.usefixtures("swarm")
def test_a_shell_finds_a_node_by_the_name_that_the_swarm_has():
    tested = InventoryLab(Inventory("swarm.yaml", tuple(map(Machine, NAMES))))
    tested.enter("slave01")
    assert [node.name for node in tested.nodes()] == ["master", "slave01"]
    with pytest.raises(UsageError, match=r"^node 10\.1\.1\.3: it does not answer"):
        InventoryLab(Inventory("swarm.yaml", tuple(map(Machine, NAMES)))).enter("slave02")
    with pytest.raises(UsageError, match="the inventory has no node 'nobody'; it has master, slave01"):
        tested.shell("nobody", "")


def test_the_shell_of_a_machine_whose_engine_is_silent_is_there(swarm):
    swarm[1].append("slave01")
    tested = reach()
    assert [node.name for node in tested.nodes()] == ["master"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Connected, "open", lambda self, to_ask: open_without_engine(self, to_ask=to_ask))
        assert [(one.name, one.address) for one in tested.shells()] == [("slave01", "10.1.1.2")]
    assert set(tested.unreached) == {"slave01", "slave02"}, "with the reasons that there were"


def open_without_engine(connection, *, to_ask):
    assert not to_ask
    if connection.machine.address == "10.1.1.3":
        raise UsageError("node x: it does not answer; switch it on")
