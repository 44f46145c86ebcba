import itertools
import threading
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
