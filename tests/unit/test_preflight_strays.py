"""Nodes that are not of the swarm are named, and nobody else: not those that are cut off, or that elect a leader."""

import contextlib
import copy
import threading

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import EngineRefused
from swarmlab.preflight import CHECKS, Level
from swarmlab.preflight import checks as made
from swarmlab.preflight.causes import folded
from swarmlab.preflight.sight import gather
from swarmlab.preflight.strays import astray, groups
from tests.unit.test_preflight import ADDRESSES, found, only, sound
from tests.unit.test_preflight_causes import close, lose


def member(name, *, manages=True, leads=False, state="ready"):
    status = {"Reachability": "reachable", "Leader": leads, "Addr": f"{ADDRESSES.get(name, '10.1.1.9')}:2377"}
    return {
        "ID": f"id-{name}",
        "Description": {"Hostname": name},
        "Spec": {"Role": "manager" if manages else "worker", "Availability": "active"},
        "Status": {"State": state, "Addr": ADDRESSES.get(name, "10.1.1.9")},
        **({"ManagerStatus": status} if manages else {}),
    }


@pytest.fixture
def sight():
    """Three managers that list each other."""
    one = sound()
    one.members = [member(name, leads=name == "master") for name in ADDRESSES]
    for view in one.nodes:
        view.told = copy.deepcopy(one.members)
        view.info["Swarm"]["Cluster"] = {"ID": "one"}
    return one


def demote(sight, name):
    view = next(view for view in sight.nodes if view.name == name)
    view.info["Swarm"]["ControlAvailable"], view.told = False, None
    for each in sight.nodes:
        for listed in each.told or []:
            if listed["ID"] == f"id-{name}":
                listed.pop("ManagerStatus", None)
    return view


def leave_and_init(sight, name):
    """Let a manager leave by force and make a swarm of its own; the others see it as lost."""
    view = next(view for view in sight.nodes if view.name == name)
    view.info["Swarm"] |= {"NodeID": "id-new", "Cluster": {"ID": "two"}}
    view.told = [member(name, leads=True) | {"ID": "id-new"}]
    for members in (sight.members, *(other.told for other in sight.nodes if other is not view)):
        for listed in members:
            if listed["ID"] == f"id-{name}":
                listed["Status"]["State"], listed["ManagerStatus"]["Reachability"] = "down", "unreachable"
    return view


def force_new_cluster(sight, name):
    """Let a manager go on alone with the swarm's state."""
    view = leave_and_init(sight, name)
    view.info["Swarm"] |= {"NodeID": f"id-{name}", "Cluster": {"ID": "one"}}
    view.told = [
        member(other, manages=other == name, state="ready" if other == name else "down") for other in ADDRESSES
    ]
    return view


def heads(sight):
    """Return the troubles that follow from no other, as check and nodes."""
    looked = [one for name in CHECKS for one in made.look(name, sight)]
    folding = folded(looked, {name: check.causes for name, check in CHECKS.items() if name == "membership"})
    return {(one.check, one.nodes) for one in folding if one.level.trouble and not one.because} - {
        (one.check, one.nodes) for one in looked if one.check == "known-defects"
    }


def test_managers_that_list_each_other_are_of_one_swarm(sight):
    assert [[view.name for view in group] for group in groups(sight)] == [[*ADDRESSES]]
    assert astray(sight) == {}
    assert found(sight, "membership")[0][0] == "ok"


def test_a_node_that_was_removed_is_named_with_the_way_back(sight):
    demote(sight, "slave02")
    del sight.members[2], sight.nodes[0].told[2], sight.nodes[1].told[2]
    sight.strays = astray(sight)
    part = "it was removed from the swarm of master, slave01, and its engine does not know"
    only(sight, "membership", "error", ("slave02",), part)
    (finding,) = made.look("membership", sight)
    assert "on slave02: docker swarm leave --force" in finding.mend
    # The rest may be of a swarm whose manager tells nothing.
    sight.nodes[1].info, sight.nodes[1].silent = {}, "it does not answer"
    assert astray(sight)["slave02"] == "it was removed from the swarm of master, or is in another"


def test_a_manager_that_made_a_swarm_of_its_own_is_named_and_what_follows_is_below_it(sight):
    leave_and_init(sight, "slave02")
    sight.strays = astray(sight)
    assert sight.strays == {"slave02": "it is in a swarm of its own, and not in that of master, slave01"}
    only(sight, "membership", "error", ("slave02",), "it is in a swarm of its own")
    assert sight.strangers == []
    lose(sight, 2)
    assert heads(sight) == {("membership", ("slave02",))}
    assert len([one for one in made.look("membership", sight) if one.level is Level.ERROR]) == 3
    # Whether packets pass has nothing to do with it.
    close(sight, 2)
    assert heads(sight) >= {("membership", ("slave02",)), ("port-gossip-udp", ("slave02",))}


def test_a_manager_that_went_on_alone_with_the_swarms_state_is_named(sight):
    force_new_cluster(sight, "slave02")
    began = ", which was made from that one's state (docker swarm init --force-new-cluster)"
    assert astray(sight) == {"slave02": f"it is in a swarm of its own, and not in that of master, slave01{began}"}


def test_the_swarm_is_that_of_most_nodes_also_where_the_first_manager_left_it(sight):
    leave_and_init(sight, "master")
    sight.members = sight.nodes[0].told
    assert [[view.name for view in group] for group in groups(sight)] == [["slave01", "slave02"], ["master"]]
    # As long as the manager of the smaller one is asked, the others are those of another.
    assert set(astray(sight)) == {"slave01", "slave02"}
    sight.asked, sight.members = "slave01", sight.nodes[1].told
    assert set(astray(sight)) == {"master"}


def test_a_worker_that_hears_the_managers_of_another_swarm_is_named(sight):
    force_new_cluster(sight, "slave01")
    demote(sight, "slave02")
    assert set(astray(sight)) == {"slave01"}
    sight.members[2]["Status"]["State"] = "down"
    sight.nodes[1].told[2]["Status"]["State"] = "ready"
    assert astray(sight)["slave02"] == "it is in the swarm of slave01, and not in that of master"


def test_managers_that_are_cut_off_or_elect_a_leader_are_of_the_swarm(sight):
    # For seconds, the old leader takes itself for one still.
    for listed in sight.nodes[0].told:
        listed["ManagerStatus"]["Reachability"] = "unreachable" if listed["ID"] != "id-master" else "reachable"
        listed["Status"]["State"] = "down" if listed["ID"] != "id-master" else "ready"
    sight.members = sight.nodes[0].told
    for view in sight.nodes[1:]:
        for listed in view.told:
            listed["ManagerStatus"]["Leader"] = listed["ID"] == "id-slave01"
    assert astray(sight) == {}
    for view in sight.nodes:
        for listed in view.told:
            listed["ManagerStatus"]["Leader"] = False
    assert astray(sight) == {}
    sight.nodes[1].told = sight.nodes[2].told = None  # without a leader they refuse to tell
    assert astray(sight) == {}


def test_a_node_that_is_down_drained_or_locked_is_of_the_swarm(sight):
    demote(sight, "slave02")
    sight.members[2]["Status"]["State"] = "down"
    sight.members[1]["Spec"]["Availability"] = "drain"
    sight.nodes[1].info["Swarm"] |= {"LocalNodeState": "locked", "NodeID": "", "ControlAvailable": False}
    sight.nodes[1].told = None
    assert astray(sight) == {}


def test_a_manager_that_is_made_a_worker_while_it_is_asked_is_of_the_swarm(sight):
    sight.members[2].pop("ManagerStatus")
    sight.nodes[1].told = copy.deepcopy(sight.members)
    sight.nodes[2].told = copy.deepcopy(sight.members)
    assert astray(sight) == {}


def test_without_a_whole_list_nothing_is_said(sight):
    sight.members = []
    sight.nodes[0].told = None
    assert astray(sight) == {}


# While it is read


class Fake:
    """A manager that tells of nodes; of several lists the last is told again and again."""

    #: Where it is asked twice at the same time at first, the second question to come lets both be answered.
    together: threading.Barrier | None = None

    discretion = lifelines = None
    own_processors = False

    def __init__(self, name, *lists, identity=""):
        self.name, self.address = name, ADDRESSES[name]
        self.lists, self.identity = list(lists), identity or f"id-{name}"

    def __str__(self):
        return self.name

    def info(self):
        swarm = {
            "NodeID": self.identity,
            "NodeAddr": self.address,
            "LocalNodeState": "active",
            "ControlAvailable": True,
        }
        return {"SystemTime": "2026-11-25T03:10:00.5Z", "DockerRootDir": "/nowhere", "Warnings": None, "Swarm": swarm}

    def ask(self, _, path, **__):
        if path == "/version":
            return {"Version": "29.0.0", "ApiVersion": "1.52"}
        if path == "/networks":
            return [{"Name": "docker_gwbridge", "Driver": "bridge", "Scope": "local", "Ingress": True}]
        if path == "/volumes":
            return {"Volumes": None}
        if path == "/swarm":
            return {"ID": self.name}
        if path == "/nodes":
            if self.together and len(self.lists) > 1:
                with contextlib.suppress(threading.BrokenBarrierError):
                    self.together.wait(5)
            told = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if told is None:
                raise EngineRefused(self.name, 503, "This node is not a swarm manager")
            return copy.deepcopy(told)
        return []

    def run(self, command, **_):
        return Result(command, 0, "=== swarmlab files\n7 8\n\n=== swarmlab. 0\n", "")


class Cluster:
    def __init__(self, *nodes):
        self.nodes = nodes


ALL = [member(name, leads=name == "slave01") for name in ADDRESSES]


def test_the_first_manager_is_not_believed_where_it_left_the_swarm():
    own = [member("master", leads=True) | {"ID": "id-new"}]
    stray = Fake("master", own, identity="id-new")
    sight = gather(Cluster(stray, Fake("slave01", ALL), Fake("slave02", ALL)), probe=False, registries=False)
    assert (sight.asked, set(sight.strays)) == ("slave01", {"master"})
    assert sight.conditions["agreed leader"]
    assert sight.conditions["role equals certificate"]
    assert {one["ID"] for one in sight.members} == {f"id-{name}" for name in ADDRESSES}


def test_a_sound_swarm_is_asked_by_its_first_manager():
    sight = gather(Cluster(*(Fake(name, ALL) for name in ADDRESSES)), probe=False, registries=False)
    assert (sight.asked, sight.strays) == ("master", {})


def test_what_is_so_at_one_look_only_is_not_told():
    demoted = [one if one["ID"] != "id-slave02" else member("slave02", manages=False) for one in ALL]
    # It told its list while it was a manager, and the others theirs when it was none any more.
    moved = Fake("slave02", ALL, ALL, None)
    moved.together = threading.Barrier(2)
    others = [Fake("master", demoted), Fake("slave01", demoted)]
    sight = gather(Cluster(*others, moved), probe=False, registries=False)
    assert (sight.asked, sight.strays) == ("master", {})
