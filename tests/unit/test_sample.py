"""The sample of a large cluster covers each role, engine, system and kernel once, with as few nodes as it can."""

from types import SimpleNamespace

import pytest

from fixtures import cluster as clusters
from fixtures.lab import _take
from swarmlab.cluster.sample import MOST, choose, sample
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import NoAnswer
from swarmlab.verdicts.results import account, sampled


class Node(SimpleNamespace):
    """A node that tells its facts; one without facts does not answer."""

    own_processors = False

    def __init__(self, name, manages=False, **facts):
        super().__init__(name=name, address=name, lifelines=None, manages=manages, told=facts)

    def __hash__(self):
        return hash(self.name)

    def __str__(self):
        return self.name

    def facts(self):
        if not self.told:
            raise NoAnswer(f"the engine of {self.name} does not answer")
        return {"name": self.name, **self.told}

    def info(self):
        self.facts()
        return {"Swarm": {"ControlAvailable": self.manages}}


def cluster(count, **others):
    """Return nodes that are alike, the first a manager, but for the facts of *others* by name."""
    usual = {"engine": "20.10.24", "system": "Debian 12", "kernel": "6.1"}
    made = []
    for name in (f"n{place}" for place in range(count)):
        other = others.get(name, {})
        made.append(Node(name, name == "n0", **({} if other is None else usual | other)))
    return made


def test_a_small_cluster_is_taken_whole():
    assert sample(cluster(MOST)) is None
    assert sample(cluster(MOST + 1))


def test_nodes_that_are_alike_but_for_their_role_are_two():
    taken = sample(cluster(20))
    assert taken.of == 20
    assert taken.chosen == {
        "n0": ["role manager", "engine 20.10.24", "system Debian 12", "kernel 6.1"],
        "n1": ["role worker"],
    }


def test_each_engine_system_and_kernel_is_covered_once():
    odd = {"n7": {"engine": "28.5.2", "kernel": "6.12"}, "n9": {"system": "Debian 13"}, "n11": {"engine": "28.5.2"}}
    taken = sample(cluster(20, **odd))
    assert list(taken.chosen) == ["n0", "n7", "n9"]
    assert "engine 28.5.2" in taken.chosen["n7"]
    assert "role worker" in taken.chosen["n7"]
    assert taken.chosen["n9"] == ["system Debian 13"]


def test_a_node_that_does_not_answer_is_taken_too():
    assert "n5" in sample(cluster(20, n5=None)).chosen


def test_all_values_are_covered_whatever_the_order():
    traits = {"a": {"x": "1", "y": "1"}, "b": {"x": "2", "y": "1"}, "c": {"x": "2", "y": "2"}}
    assert list(choose(traits)) == ["a", "c"]


def test_a_swarm_gives_its_sample_or_all_its_nodes():
    swarm = Swarm(cluster(3))
    assert swarm.sample == swarm.nodes
    swarm.chosen = ("n2", "n0")
    assert [node.name for node in swarm.sample] == ["n0", "n2"]
    swarm.chosen = ("elsewhere",)
    assert swarm.sample == swarm.nodes


def places(monkeypatch, nodes, *, every=False, mark=""):
    """Return for which nodes of a lab that stands a test of one node is made, and what the run says of that.

    Args:
        monkeypatch: pytest's.
        nodes: the lab's nodes.
        every: whether `--every-node` is given.
        mark: name of a marker of the test.
    """
    said, made = [], []
    config = SimpleNamespace(stash=pytest.Stash(), getoption={"--every-node": every}.get)
    _take(config, nodes, said.append)
    definition = SimpleNamespace(path=None, iter_markers=lambda _: [], get_closest_marker={mark: mark}.get)
    metafunc = SimpleNamespace(config=config, definition=definition, fixturenames=["node"])
    metafunc.parametrize = lambda name, places, ids, indirect: made.append((name, places, ids, indirect))
    monkeypatch.setattr(clusters, "is_of_suites", lambda *_: True)
    clusters.pytest_generate_tests(metafunc)
    ((name, places, ids, indirect),) = made
    assert (name, indirect) == ("node", True)
    return dict(zip(ids, places, strict=True)), said


def test_a_test_of_one_node_is_made_for_the_sample_or_for_every_node(monkeypatch):
    large = cluster(20, n7={"engine": "28.5.2"})
    assert places(monkeypatch, large) == (
        {"n0": 0, "n7": 7},
        [
            "most tests of one node on 2 of 20 nodes: n0 (role manager, engine 20.10.24, system Debian 12, "
            "kernel 6.1), "
            "n7 (role worker, engine 28.5.2); on all: --every-node"
        ],
    )
    assert places(monkeypatch, large, every=True) == ({f"n{place}": place for place in range(20)}, [])
    assert places(monkeypatch, cluster(4)) == ({f"n{place}": place for place in range(4)}, [])


def test_a_marked_test_is_made_for_a_node_of_each_engine_or_for_all(monkeypatch):
    mixed = cluster(4, n2={"engine": "28.5.2"})
    assert places(monkeypatch, mixed, mark="on_one_node")[0] == {"n0": 0, "n2": 2}
    assert list(places(monkeypatch, cluster(20), mark="on_every_node")[0]) == [f"n{place}" for place in range(20)]


def test_the_report_says_which_nodes_were_taken_and_why():
    taken = sample(cluster(20)).to_json()
    line = (
        "most tests of one node on 2 of 20 nodes: n0 (role manager, engine 20.10.24, system Debian 12, kernel 6.1), "
        "n1 (role worker)"
    )
    assert sampled(taken) == line
    assert account({"sample": taken}) == line
