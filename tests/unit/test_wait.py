import itertools
import threading
import time
from types import SimpleNamespace

import pytest

from swarmlab import wait as waiting
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.evidence import record, recording
from swarmlab.signals import giving_up
from swarmlab.wait import State, eventually, guarded, wait


@pytest.fixture(autouse=True)
def _unscaled():
    yield
    waiting.set_scale(1.0)


def test_gives_the_state_that_held():
    states = iter([State(False, "one"), State(True, "two")])
    assert wait(lambda: next(states), "two", every=0).summary == "two"


def test_a_missed_deadline_tells_reason_and_last_state():
    with pytest.raises(DeadlineExceeded, match=r"waiting for a leader: not so after .* polls: no leader yet"):
        wait(lambda: State(False, "no leader yet"), "a leader", deadline=0.05, every=0.01)


def test_stable_wants_polls_in_a_row():
    polls = iter([True, False, True, True, False])
    wait(lambda: next(polls), "a steady answer", stable=2, every=0)
    assert list(polls) == [False]


def test_what_holds_at_the_deadline_is_looked_at_as_often_as_it_must(monkeypatch):
    monkeypatch.setattr(waiting, "_SLOWEST", 100)
    began = time.monotonic()
    wait(lambda: time.sleep(0.05) or True, "a slow look", deadline=0.1, stable=4, every=0)
    assert time.monotonic() - began >= 0.2


def test_what_never_holds_as_often_as_it_must_ends():
    with pytest.raises(DeadlineExceeded, match="not so"):
        wait(lambda: time.sleep(0.05) or True, "a slow look", deadline=0.05, stable=9, every=0)


def test_a_hopeless_state_ends_the_wait_at_once():
    with pytest.raises(LabError, match="cannot come about any more"):
        wait(lambda: State(False, "it crashed", hopeless=True), "an engine", deadline=60, error=LabError)


def test_what_a_claim_promises_is_an_assertion():
    with pytest.raises(AssertionError, match="waiting for 3 tasks"):
        eventually(lambda: False, "3 tasks", deadline=0)


def test_the_deadline_follows_the_labs_speed():
    waiting.set_scale(20)
    assert waiting.scaled(3) == 60
    with pytest.raises(ValueError, match="positive"):
        waiting.set_scale(0)


def test_of_many_polls_the_evidence_keeps_the_last():
    polls = iter([False, False, True])

    def poll():
        record("master", "GET /tasks", "…")
        return next(polls)

    with recording() as kept:
        wait(poll, "a task", every=0)
    assert kept.text().count("GET /tasks") == 1
    assert "waited for a task" in kept.text()


def test_what_other_threads_are_told_meanwhile_is_kept():
    polls = iter([False, True])

    def poll():
        other = threading.Thread(target=record, args=("slave01", "GET /", "200"))
        other.start()
        other.join()
        return next(polls)

    with recording() as kept:
        wait(poll, "a task", every=0)
    assert kept.text().count("slave01") == 2


def test_a_run_that_is_stopped_waits_no_longer():
    with giving_up(), pytest.raises(LabError, match="waiting for the end: given up"):
        wait(lambda: False, "the end", deadline=60)
    assert wait(lambda: True, "the end")


def test_a_guard_ends_a_wait_and_is_asked_now_and_then(monkeypatch):
    asked = []

    def guard():
        asked.append(1)
        if len(asked) == 3:
            raise LabError("the lab has ended")

    monkeypatch.setattr(waiting, "_GUARDED", 0.02)
    polls = []
    with guarded(guard), pytest.raises(LabError, match="the lab has ended"):
        wait(lambda: polls.append(1), "nothing", deadline=60, every=0.001)
    assert len(polls) > 3
    with pytest.raises(DeadlineExceeded):
        wait(lambda: False, "nothing", deadline=0.1, every=0.01)
    assert len(asked) == 3


def test_the_first_looks_follow_each_other_sooner_and_those_that_count_as_stable_do_not(monkeypatch):
    pauses = []
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: pauses.append(round(seconds, 3)))
    polls = iter([False] * 6 + [True])
    wait(lambda: next(polls), "an answer")
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.2, 0.2]
    pauses.clear()
    polls = iter([False, True, False, True, True, True])
    wait(lambda: next(polls), "a steady answer", stable=3, every=1)
    assert pauses == [0.1, 1, 1, 1, 1]
    pauses.clear()
    waiting.set_scale(20)
    polls = iter([False, False, True])
    wait(lambda: next(polls), "a slow lab")
    assert pauses == [0.1, 0.2]


def test_what_takes_long_is_looked_at_less_often(monkeypatch):
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    wait(lambda: now[0] > 60, "a minute", deadline=90)
    assert max(pauses[:20]) == 0.2
    assert pauses[-1] == 1.0
    assert all(left <= right for left, right in itertools.pairwise(pauses))
    assert len(pauses) < 130


class Clock:
    """A clock that only sleeping moves, and a condition of things that come at given times."""

    def __init__(self, monkeypatch, scale, look=0.0, **comes):
        self.now, self.look, self.comes = 0.0, look, comes
        waiting.set_scale(scale)
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds):
        self.now += seconds

    def __call__(self):
        began = self.now
        self.now += self.look  # a look at what is missing takes time
        return waiting.of_each({name: State(began >= at, f"{name} is missing") for name, at in self.comes.items()})


NEVER = 1e9


def test_the_last_of_many_equal_things_is_judged_by_what_the_others_took(monkeypatch):
    things = Clock(monkeypatch, 18, a=1, b=2, c=5, d=NEVER)
    with pytest.raises(AssertionError, match=r"d is missing \(the other 3 came within \d s, so the last") as failed:
        eventually(things, "all four", deadline=45, alike=True)
    assert 90 <= things.now < 115, failed.value  # and not 810
    # Ten times what the slowest took, where that is more than the deadline for containers.
    things = Clock(monkeypatch, 18, a=1, b=2, c=20, d=NEVER)
    with pytest.raises(AssertionError):
        eventually(things, "all four", deadline=45, alike=True)
    assert 200 <= things.now < 230
    # Half of them say enough, where these are three.
    things = Clock(monkeypatch, 18, a=1, b=2, c=5, d=NEVER, e=NEVER, f=NEVER)
    with pytest.raises(AssertionError, match=r"the other 3 came within \d s"):
        eventually(things, "all six", deadline=45, alike=True)
    assert 90 <= things.now < 115
    # Never beyond the deadline.
    things = Clock(monkeypatch, 18, a=1, b=2, c=500, d=NEVER)
    with pytest.raises(AssertionError, match=r"d is missing$"):
        eventually(things, "all four", deadline=45, alike=True)
    assert 810 <= things.now < 830


@pytest.mark.parametrize(
    ("comes", "look"),
    [
        ({"a": 1, "b": 2, "c": 5, "d": 44}, 0),  # within the deadline for containers
        ({"a": 10, "b": 12, "c": 20, "d": 190}, 0),  # nine times as slow as the slowest of the others
        ({"a": 100, "b": 100, "c": 100, "d": 800}, 0),  # what delayed all delayed the last too
        ({"a": 1, "b": 1, "c": 700, "d": 800}, 0),  # as many are missing as are there: they say nothing of the rest
        ({"a": 0, "b": 0, "c": 0, "d": 100}, 40),  # looks that take long: too few have missed it to say so
    ],
)
def test_a_slow_thing_that_comes_fails_nothing(monkeypatch, comes, look):
    things = Clock(monkeypatch, 18, look, **comes)
    assert eventually(things, "all four", deadline=45, alike=True)


def test_things_that_are_not_alike_have_the_whole_deadline(monkeypatch):
    # One is being started, or pulls an image that the others have.
    things = Clock(monkeypatch, 18, a=1, b=2, c=5, d=700)
    assert eventually(things, "all four", deadline=45)


def test_at_reference_speed_nothing_is_judged_sooner(monkeypatch):
    things = Clock(monkeypatch, 1, a=0.1, b=0.1, c=0.1, d=44)
    assert eventually(things, "all four", deadline=45, alike=True)


def test_a_thing_that_went_again_has_to_come_anew(monkeypatch):
    things = Clock(monkeypatch, 18)

    def look():
        # b is there at first, goes, and comes back late: it is slow, and so may d be.
        there = {"a": True, "b": things.now < 1 or things.now > 30, "c": True, "d": things.now > 290}
        return State(all(there.values()), each=there)

    assert eventually(look, "all four", deadline=45, alike=True)


def test_looks_that_tell_no_things_apart_judge_none(monkeypatch):
    things = Clock(monkeypatch, 18, a=1, b=1, c=1, d=200)

    def look():
        state = things()
        return state if things.now < 20 else State(state.done, "no manager answers")

    assert eventually(look, "all four", deadline=45, alike=True)


def test_a_condition_of_many_things_is_hopeless_if_it_is_for_one():
    state = waiting.of_each({"a": State(True), "b": State(False, "b crashed", hopeless=True)})
    assert (state.done, state.hopeless, state.each) == (False, True, {"a": True, "b": False})
    assert state.summary == "b crashed"
    assert waiting.of_each({"a": State(True)})
    state = waiting.of_each({"a": State(False, each={"x": True, "y": False}), "b": State(True)})
    assert state.each == {"a: x": True, "a: y": False, "b": True}
