import itertools
import threading
from types import SimpleNamespace

import pytest

from swarmlab.cluster.node import at_once
from swarmlab.cluster.service import Task, specification
from swarmlab.cluster.swarm import PORTS, Swarm, _agreement, _roles, join_command, leaders, suspects
from swarmlab.cluster.workbench import Workbench
from swarmlab.errors import EngineRefused, LabError
from swarmlab.parallel import ELSEWHERE, HERE

MASTER, SLAVE01, SLAVE02 = "master", "slave01", "slave02"


def member(name, *, role="worker", leader=False, reachability="reachable", state="ready", root="ROOT"):
    status = {"ManagerStatus": {"Leader": leader, "Reachability": reachability}} if role == "manager" else {}
    return {
        "ID": name,
        "Spec": {"Role": role},
        "Description": {"Hostname": name, "TLSInfo": {"TrustRoot": root}},
        "Status": {"State": state},
        **status,
    }


def test_the_node_that_all_failed_pairs_share_is_named():
    nodes = [MASTER, SLAVE01, SLAVE02]
    pairs = [(SLAVE01, MASTER), (MASTER, SLAVE01), (SLAVE01, SLAVE02), (SLAVE02, SLAVE01)]
    assert suspects(pairs, nodes) == ["slave01"]


def test_two_nodes_are_named_where_one_does_not_explain_all():
    assert suspects([(MASTER, MASTER), (SLAVE01, SLAVE01)], [MASTER, SLAVE01, SLAVE02]) == ["master", "slave01"]
    assert suspects([], [MASTER]) == []


@pytest.mark.parametrize(
    "printed",
    [
        "To add a worker:\n\n    docker swarm join --token SWMTKN-1-a-b 192.168.56.101:2377\n\n",
        "    docker swarm join \\\n    --token SWMTKN-1-a-b \\\n    192.168.56.101:2377\n",
    ],
)
def test_a_join_command_is_read_on_one_line_and_on_three(printed):
    command = join_command(printed)
    assert command.line == "docker swarm join --token SWMTKN-1-a-b 192.168.56.101:2377"
    assert (command.token, command.remote) == ("SWMTKN-1-a-b", "192.168.56.101:2377")


def test_a_command_without_address_is_not_complete():
    assert join_command("docker swarm join --token SWMTKN-1-a-b") is None


def test_managers_that_name_different_leaders_do_not_agree():
    one = [member("m1", role="manager", leader=True), member("m2", role="manager")]
    other = [member("m1", role="manager"), member("m2", role="manager", leader=True)]
    assert _agreement({"m1": one, "m2": one})["agreed leader"]
    assert not _agreement({"m1": one, "m2": other})["agreed leader"]
    assert not _agreement({"m1": [member("m1", role="manager")]})["agreed leader"]


def test_all_nodes_that_are_elsewhere_are_asked_at_once():
    together = threading.Barrier(ELSEWHERE)

    def serves_cluster():
        together.wait(20)
        return True

    nodes = [
        SimpleNamespace(name=f"m{number}", lifelines=None, own_processors=True, serves_cluster=serves_cluster)
        for number in range(ELSEWHERE)
    ]
    assert Swarm(nodes).managers == nodes
    assert at_once(nodes) == ELSEWHERE
    nodes[0].own_processors = False
    assert at_once(nodes) == HERE


def test_the_leader_is_the_one_that_a_manager_names():
    view = [
        member("m1", role="manager"),
        member("m2", role="manager", leader=True),
        {**member("w1"), "ManagerStatus": None},
    ]
    assert leaders(view) == ["m2"]
    asked = SimpleNamespace(name="m1", lifelines=None, serves_cluster=lambda: True, ask=lambda *_: view)
    second = SimpleNamespace(name="m2", lifelines=None)
    assert Swarm([asked, second]).leader is second
    view[1]["ManagerStatus"] = {}
    with pytest.raises(LabError, match="names no node as leader"):
        _ = Swarm([asked, second]).leader


def test_each_condition_names_the_node_that_breaks_it():
    view = [
        member("m1", role="manager", leader=True),
        member("m2", role="manager", reachability="unreachable"),
        member("w1", state="down"),
        member("w2", root="OTHER"),
    ]
    conditions = _agreement({"m1": view})
    assert "m2 unreachable" in conditions["all managers reachable"].summary
    assert "w1 down" in conditions["all nodes ready"].summary
    assert not conditions["CA agreed"]


def test_an_engine_that_acts_in_another_role_is_told():
    view = [member("m1", role="manager"), member("w1")]
    worker = {"LocalNodeState": "active", "ControlAvailable": False}
    infos = {"m1": {"NodeID": "m1", **worker}, "w1": {"NodeID": "w1", **worker}}
    state = _roles(view, infos)
    assert not state
    assert state.summary == "m1 is manager and does not serve the API"


def test_a_locked_engine_is_not_told_to_act_in_another_role():
    locked = {"NodeID": "", "LocalNodeState": "locked", "ControlAvailable": False}
    assert _roles([member("m1", role="manager")], {"m1": locked})


def test_a_specification_leaves_out_what_was_not_given():
    spec = specification("web", "web:1", labels={"l": ""})
    assert spec == {
        "Name": "web",
        "Labels": {"l": ""},
        "TaskTemplate": {"ContainerSpec": {"Image": "web:1"}},
        "Mode": {"Replicated": {"Replicas": 1}},
    }


def test_a_task_is_alive_when_it_runs_and_is_meant_to():
    raw = {
        "ID": "t",
        "Slot": 2,
        "NodeID": "n",
        "DesiredState": "running",
        "Status": {"State": "running", "ContainerStatus": {"ContainerID": "c"}},
        "Spec": {"ContainerSpec": {"Image": "registry:5000/web:1@sha256:0"}},
        "NetworksAttachments": [{"Network": {"Spec": {"Name": "net"}}, "Addresses": ["10.0.1.5/24"]}],
    }
    task = Task.from_api(raw, {"n": "slave01"})
    assert (task.slot, task.node, task.image) == (2, "slave01", "registry:5000/web:1")
    assert task.addresses == {"net": "10.0.1.5"}
    assert task.alive
    assert not Task.from_api({**raw, "DesiredState": "shutdown"}, {}).alive


def test_a_port_is_given_out_again_only_after_all_others(monkeypatch):
    used = {PORTS[1]}
    services = [{"Endpoint": {"Ports": [{"PublishedPort": port}]}} for port in used]
    monkeypatch.setattr(Swarm, "manager", SimpleNamespace(ask=lambda *_: services))
    swarm = Swarm([])
    first = [swarm.port() for _ in range(len(PORTS) - 1)]
    assert first == [port for port in PORTS if port not in used]
    assert [swarm.port(), swarm.port()] == first[:2]


def test_no_port_is_given_out_where_all_are_used(monkeypatch):
    services = [{"Endpoint": {"Ports": [{"PublishedPort": port} for port in PORTS]}}]
    monkeypatch.setattr(Swarm, "manager", SimpleNamespace(ask=lambda *_: services))
    with pytest.raises(LabError, match="no free port in 8888 to 8987"):
        Swarm([]).port()


def test_a_node_that_listens_on_every_port_is_named():
    class Busy(SimpleNamespace):
        def __str__(self):
            return SLAVE01

    bench = Workbench(Busy(listening=lambda _: True), str, itertools.cycle([8888, 8889]).__next__)
    with pytest.raises(LabError, match="no free port on slave01: something listens on 8888 to 8889"):
        bench.port()


def test_the_states_of_tasks_of_a_swarm_before_are_not_those_of_a_new_one(monkeypatch):
    def refuse(node):
        raise EngineRefused(node.name, 503, "it cannot")

    monkeypatch.setattr("swarmlab.cluster.swarm.init", refuse)
    nodes = [SimpleNamespace(name=name, lifelines=None, own_processors=True) for name in ("m1", "w1")]
    before = Swarm(nodes).lifelines
    assert Swarm(nodes).lifelines is before, "two views of one swarm"
    with pytest.raises(LabError, match="could not be formed"):
        Swarm.form(nodes, managers=1)
    assert nodes[0].lifelines is nodes[1].lifelines is not before
