"""Deadlines follow the measured speed."""

import pytest

from swarmlab import wait
from swarmlab.cluster.node import Result
from swarmlab.errors import LabError
from swarmlab.labs import speed


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


class Node:
    own_processors = False

    def __init__(self, clock, *seconds, code=0):
        self._clock, self._seconds, self._code = clock, list(seconds), code

    def __str__(self):
        return "slave01"

    def run(self, command):
        self._clock.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        return Result(command, self._code, "", "no bridges left")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    monkeypatch.setattr(speed, "on_each", lambda action, nodes: [action(node) for node in nodes])
    yield clock
    wait.set_scale(1.0)


@pytest.mark.parametrize(("seconds", "factor"), [(0.1, 1.0), (7.0, 7.0), (500.0, 40.0)])
def test_the_slowest_node_sets_the_scale_within_bounds(clock, seconds, factor):
    nodes = [Node(clock, 0.1), Node(clock, seconds * speed.REFERENCE)]
    assert speed.calibrate(nodes) == pytest.approx(factor)
    assert wait.scaled(10) == pytest.approx(10 * factor)


@pytest.mark.parametrize(
    ("again", "factor", "told"),
    [
        (1.2, 2.0, []),
        (9.0, 9.0, ["speed factor 9.0, set by slave01: its engine takes 9.0 s for what most do in 1.0 s; deadlines"]),
        (20.0, 12.0, ["speed factor 12.0, set by slave01: its engine takes 12.0 s for what most do in 1.0 s"]),
    ],
)
def test_a_node_apart_from_the_others_is_measured_again(clock, again, factor, told):
    nodes, lines = [Node(clock, 1.0), Node(clock, 1.0), Node(clock, 2.0, 50.0), Node(clock, 12.0, again)], []
    nodes.append(Node(clock, 0.5))
    assert speed.calibrate(nodes, lines.append) == pytest.approx(factor)
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told


def test_nodes_that_are_equally_slow_are_measured_once(clock):
    lines = []
    assert speed.calibrate([Node(clock, 20.0, 1.0) for _ in range(3)], lines.append) == pytest.approx(20)
    assert lines == []


def test_a_node_that_cannot_do_the_work_is_named(clock):
    with pytest.raises(LabError, match="making and removing a network on slave01 ended with 1: no bridges left"):
        speed.calibrate([Node(clock, 0.1, code=1)])


def test_the_nodes_that_work_set_the_scale_where_others_are_down(clock):
    nodes = [Node(clock, 0.1, code=1), Node(clock, 3 * speed.REFERENCE)]
    assert speed.calibrate(nodes) == pytest.approx(3)


@pytest.mark.parametrize(("seconds", "factor"), [(0.01, 1.0), (3.0, 12.0), (500.0, 40.0)])
def test_until_nodes_are_measured_the_network_of_a_lab_sets_the_scale(clock, seconds, factor):
    speed.presume(seconds)
    assert wait.scaled(10) == pytest.approx(10 * factor)
    speed.presume(0.01)  # of a further lab, while the machine has a moment's rest
    assert wait.scaled(10) == pytest.approx(10 * factor)
    speed.calibrate([Node(clock, 2.0)])
    assert wait.scaled(10) == pytest.approx(20)
