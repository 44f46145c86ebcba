"""Clusters made ahead: handed over once, made anew where they failed, and removed where nobody takes them."""

import threading
from types import SimpleNamespace

import pytest

from fixtures import ahead, cluster
from fixtures.ahead import Ahead, gains
from fixtures.cluster import DOCUMENT, Leases, Shape
from swarmlab.errors import LabError
from swarmlab.evidence import record, recording
from swarmlab.host import MIB
from swarmlab.wait import wait

THREE = Shape(managers=3, workers=0)


class Workshop:
    """Makes clusters, which are strings, and notes which were removed."""

    def __init__(self, *errors):
        self.errors, self.made, self.removed, self.go = list(errors), [], [], threading.Event()
        self.go.set()
        self.ahead = Ahead(self._make, self.removed.append)

    def _make(self, shape):
        wait(self.go.is_set, "leave to make it", error=LabError, every=0.01)
        self.made.append(shape)
        record("master", "swarm init", str(shape))
        if self.errors:
            raise self.errors.pop()
        return f"{shape} {len(self.made)}"


def test_a_cluster_is_handed_over_once_and_with_what_was_asked_for_it():
    shop = Workshop()
    with recording():
        shop.ahead.begin("three")
        shop.ahead.begin("three")
    with recording() as noted:
        assert shop.ahead.take("one") is None
        assert shop.ahead.take("three") == "three 1"
    assert shop.ahead.take("three") is None
    shop.ahead.close()
    assert "s  made ahead: master  swarm init" in noted.text()
    assert "was made in 0.0 s" in noted.text()
    assert (shop.made, shop.removed) == (["three"], [])


def test_one_of_another_shape_is_removed_before_the_next_is_made():
    shop = Workshop()
    shop.ahead.begin("three")
    shop.ahead.begin("one")
    assert shop.ahead.take("one") == "one 2"
    assert shop.removed == ["three 1"]
    shop.ahead.close()


@pytest.mark.parametrize("error", [LabError("no room"), RuntimeError("engine")])
def test_one_that_could_not_be_made_is_left_to_the_test_that_takes_it(error):
    shop = Workshop(error)
    with recording() as noted:
        shop.ahead.begin("three")
        assert shop.ahead.take("three") is None
    assert f"could not be made: {error}" in noted.text()
    shop.ahead.begin("three")
    assert shop.ahead.take("three") == "three 2"
    shop.ahead.close()


def test_one_that_nobody_took_is_removed_at_the_end():
    shop = Workshop()
    shop.ahead.begin("three")
    shop.ahead.close()
    assert shop.removed == ["three 1"]


def test_the_end_waits_for_none_that_is_being_made():
    shop = Workshop()
    shop.go.clear()
    shop.ahead.begin("three")
    shop.ahead.begin("one")
    shop.ahead.close()
    assert (shop.made, shop.removed) == ([], [])


@pytest.mark.parametrize(
    ("cores", "memory", "workers", "gain"),
    [(2, 8000, None, True), (1, 8000, None, False), (2, 1500, None, False), (2, 8000, 3, False), (8, 8000, 3, True)],
)
def test_none_is_made_where_tests_keep_the_processors_busy_or_memory_ends(monkeypatch, cores, memory, workers, gain):
    monkeypatch.setattr(ahead, "cores", lambda: cores)
    monkeypatch.setattr(ahead, "free_memory", lambda: memory * MIB)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    if workers:
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", str(workers))
    assert gains(3) is gain


class RoomyLab(SimpleNamespace):
    """A lab that notes of how many nodes each of its clusters is."""

    def __init__(self, **settings):
        given = {"standing": False, "free": 100, "has_room": True, "gives_images": True, "name": "lab"}
        super().__init__(made=[], removed=[], image=str, **given | settings)

    def more(self, count, *, bare=False):
        self.made.append((count, bare))
        return [SimpleNamespace(name=f"n{number}", lifelines=None) for number in range(count)]

    def remove(self, nodes):
        self.removed.append(len(nodes))

    def ended(self, *_, **__):
        return None


@pytest.fixture
def formed(monkeypatch):
    """The swarms that were formed, each of which is ready."""
    swarms = []

    def form(nodes, *, spare=(), **_):
        swarms.append(SimpleNamespace(nodes=nodes, spare=list(spare), wait_ready=lambda: None))
        return swarms[-1]

    monkeypatch.setattr(cluster.Swarm, "form", form)
    monkeypatch.setattr(cluster, "gains", lambda _: True)
    return swarms


@pytest.mark.parametrize(
    ("shape", "exclusive", "settings", "ahead"),
    [
        (THREE, True, {}, True),
        (THREE, False, {}, True),
        (Shape(bare=True), False, {}, True),
        (DOCUMENT, True, {}, True),
        (DOCUMENT, False, {}, False),
        (THREE, True, {"standing": True}, True),
        (THREE, False, {"standing": True}, False),
        (THREE, True, {"has_room": False}, False),
        (THREE, True, {"free": 30}, False),
    ],
)
def test_the_next_cluster_is_made_ahead_where_the_lab_has_room(formed, shape, exclusive, settings, ahead):
    lab = RoomyLab(**settings)
    leases = Leases(lab, print)
    leases.expect(shape, exclusive=exclusive)
    leases.close()
    assert len(lab.made) == len(lab.removed) == len(formed) == ahead


def test_the_cluster_that_was_made_ahead_is_looked_at_when_a_test_takes_it(formed):
    looked = []
    lab = RoomyLab()
    leases = Leases(lab, print, looked.append)
    leases.expect(THREE, exclusive=True)
    assert not looked
    assert leases.exclusive(THREE) is formed[0]
    assert looked == formed
    assert lab.made == [(3, False)]
    leases.close()
    assert not lab.removed


def test_a_cluster_that_was_made_ahead_and_is_not_sound_any_more_is_made_anew(formed):
    lab = RoomyLab()
    lab.ended = lambda nodes, **_: nodes == formed[0].nodes
    leases = Leases(lab, print)
    leases.expect(THREE, exclusive=True)
    assert leases.exclusive(THREE) is formed[1]
    assert lab.removed == [3]
    leases.close()
