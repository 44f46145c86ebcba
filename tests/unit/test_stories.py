import threading
from types import SimpleNamespace

import pytest

from fixtures.cluster import Leases, Shape, Stories, Story
from swarmlab.cluster.lifelines import Lifelines
from swarmlab.cluster.workbench import PORTS
from swarmlab.errors import DeadlineExceeded, EngineRefused, LabError, NoAnswer
from swarmlab.evidence import on_failure, record, recording


class Given:
    """Leases that note which shapes were asked for and which clusters given back."""

    def __init__(self):
        self.shapes, self.back = [], []

    def exclusive(self, shape):
        self.shapes.append(shape)
        return SimpleNamespace(
            name=f"cluster {len(self.shapes)}",
            nodes=[],
            diagnosis=lambda: {"master: log": "text"},
            lifelines=Lifelines(),
        )

    def give_back(self, swarm):
        self.back.append(swarm.name)


def stories(free=100):
    given = Given()
    return given, Stories(given, SimpleNamespace(free=free))


def raising(error):
    def play(_):
        raise error

    return play


def test_stories_are_played_side_by_side_where_there_are_machines():
    given, play = stories()
    together = threading.Barrier(2, timeout=5)
    with recording() as noted:
        play(
            Story("one", lambda _: (together.wait(), record("master", "GET /nodes", "200"))),
            Story("other", lambda _: together.wait(), managers=5),
        )
    assert sorted(shape.managers for shape in given.shapes) == [3, 5]
    assert "one: master  GET /nodes" in noted.text()
    assert given.back == []
    play.end()
    assert sorted(given.back) == ["cluster 1", "cluster 2"]


def test_with_few_machines_each_cluster_is_given_back_before_the_next():
    given, play = stories(free=3)
    played = []
    play(*[Story(name, lambda swarm: played.append((swarm.name, list(given.back)))) for name in ("one", "other")])
    assert played == [("cluster 1", []), ("cluster 2", ["cluster 1"])]


@pytest.mark.parametrize(
    ("errors", "error", "message"),
    [
        ([None, AssertionError("no leader")], AssertionError, "second: no leader"),
        ([LabError("no node"), AssertionError("no leader")], AssertionError, "second: no leader"),
        ([EngineRefused("master", 500, "no leader"), None], AssertionError, r"first: the engine of master refused"),
        ([DeadlineExceeded("late"), NoAnswer("silent")], NoAnswer, "second: silent"),
        ([DeadlineExceeded("late"), None], DeadlineExceeded, "first: late"),
        ([KeyError("x"), None], KeyError, "x"),
    ],
)
def test_what_went_worst_is_raised_with_its_story(errors, error, message):
    _, play = stories()
    courses = [raising(error) if error else lambda _: None for error in errors]
    with pytest.raises(error, match=message):
        play(*[Story(name, course) for name, course in zip(["first", "second"], courses, strict=True)])
    assert len(on_failure) == sum(error is not None for error in errors)
    play.end()
    assert not on_failure


class StandingLab(SimpleNamespace):
    """A lab that its user brought up, with nodes of the given roles; None is a node that is frozen."""

    def __init__(self, *roles):
        super().__init__(standing=True, name="mine", free=100, made=[], ports=PORTS, gives_images=True, sample=None)
        self._nodes = [self._node(f"m{place}", role, roles) for place, role in enumerate(roles)]

    def _node(self, name, role, roles):
        def serves():
            if role is None:
                raise NoAnswer(f"the engine of {name} does not answer")
            return role == "manager"

        def ask(method, path, **_):
            assert serves(), f"{name} is a worker, and is asked for {path}, which it logs as an error"
            if (method, path) != ("GET", "/nodes"):
                raise EngineRefused(name, 503, "this double knows no more")
            return [
                {"ID": f"id{place}", "Description": {"Hostname": f"m{place}"}, "Spec": {"Role": given or "manager"}}
                for place, given in enumerate(roles)
            ]

        return SimpleNamespace(name=name, ask=ask, lifelines=None, serves_cluster=serves)

    def nodes(self):
        return self._nodes

    def image(self, name):
        return name


@pytest.mark.parametrize(
    ("roles", "stands"),
    [
        (["manager", "manager", "manager"], True),
        ([None, "manager", "manager"], True),
        (["worker", "manager", "manager"], False),
        ([None, None, None], True),
    ],
)
def test_a_standing_cluster_with_enough_managers_is_the_one_that_is_judged(roles, stands):
    leases = Leases(StandingLab(*roles), lambda _: None)
    assert leases.is_standing(Shape(managers=3, workers=0, standing=True)) is stands
    assert leases.is_standing(Shape())
    assert not leases.is_standing(Shape(managers=3, workers=0))


@pytest.mark.parametrize(("standing", "gives_images"), [(False, True), (True, True), (False, False)])
def test_bare_engines_are_given_only_where_others_hold_images(standing, gives_images):
    leases = Leases(SimpleNamespace(standing=standing, gives_images=gives_images), print)
    assert leases.given(Shape(bare=True)) == Shape(bare=gives_images and not standing)
    assert leases.given(Shape()) == Shape()
