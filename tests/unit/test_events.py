import contextlib
import itertools
import threading
from types import SimpleNamespace

import pytest

from swarmlab.cluster.service import Task
from swarmlab.errors import LabError
from swarmlab.wait import wait
from swarmlab.watching import events
from swarmlab.watching.events import Event, History, Recorder, moment


class Engine:
    """An engine that remembers the last few events, and whose clock is ahead."""

    own_processors = False

    def __init__(self, name, ahead, now, remembers=4):
        self.name, self.ahead, self.now, self.remembers = name, ahead, now, remembers
        self.kept = []

    def __str__(self):
        return self.name

    def info(self):
        self.now[0] += 0.2  # it takes its time
        answer = self.now[0] + self.ahead
        self.now[0] += 0.2
        return {"SystemTime": f"1970-01-01T00:00:{answer:012.9f}Z"}

    def happens(self, action, task="", kind="container", container=""):
        self.now[0] += 0.01
        actor = {"ID": container or f"c-{task}", "Attributes": {"com.docker.swarm.task.id": task}}
        at = int((self.now[0] + self.ahead) * 1e9)
        self.kept = [*self.kept, {"Type": kind, "Action": action, "Actor": actor, "timeNano": at}][-self.remembers :]

    def events(self, since, until):
        """Tell events as engines do: from the last one back to the first that is too early."""
        told = itertools.takewhile(lambda event: event["timeNano"] >= since, reversed(self.kept))
        return [event for event in told if event["timeNano"] <= until][::-1]


@pytest.fixture
def now(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(events, "time", SimpleNamespace(time=lambda: now[0]))
    return now


def test_times_are_read_with_and_without_fraction_and_zone():
    assert moment("1970-01-01T00:01:00Z") == 60
    assert moment("1970-01-01T00:01:00.25Z") == 60.25
    assert moment("1970-01-01T00:01:00.123456789Z") == pytest.approx(60.123456789)
    assert moment("1970-01-01T01:01:00.5+01:00") == 60.5
    assert moment("1969-12-31T23:01:00.5-01:00") == 60.5
    assert moment("") == 0


def test_events_of_all_nodes_are_put_on_one_clock_within_bounds(now):
    early, late = Engine("master", 5, now), Engine("slave01", -3, now)
    with Recorder([early, late]) as recorder:
        early.happens("start", "a")
        now[0] += 1
        late.happens("start", "b")
        late.happens("exec_start", "b", kind="image")
    recorded = [(event.node, event.action, event.task) for event in recorder.events]
    assert recorded == [("master", "start", "a"), ("slave01", "start", "b")]
    first, second = recorder.events
    assert first.latest - first.earliest == pytest.approx(0.4)
    assert first.before(second)
    assert not second.before(first)
    assert recorder.of("start", "b") == second
    least, most = recorder.clock("slave01", now[0])
    assert least <= now[0] - 3 <= most
    assert recorder.of("die", "b") is None


def test_what_is_closer_than_clocks_are_known_has_no_order():
    one = Event("master", "die", "c1", "a", "", 10.0, 10.4)
    other = Event("slave01", "start", "c2", "b", "", 10.3, 10.7)
    assert not one.before(other)
    assert not other.before(one)
    assert one.before(Event("master", "start", "c3", "d", "", 10.1, 10.5))


def test_events_that_an_engine_forgot_are_noticed(now):
    engine = Engine("slave02", 0, now)
    with Recorder([engine]) as recorder:
        for round in range(3):
            for number in range(3):
                engine.happens("start", f"{round}{number}")
            now[0] += 1
            recorder.poll()
        assert len(recorder.events) == 9
        for number in range(5):
            engine.happens("start", f"3{number}")
        now[0] += 1
        with pytest.raises(LabError, match="between two polls slave02"):
            recorder.poll()
        recorder._by_node.clear()


def test_an_event_that_is_kept_after_a_later_one_is_not_missed(now):
    engine = Engine("slave02", 0, now)
    with Recorder([engine]) as recorder:
        engine.happens("start", "t1")
        now[0] += 1
        recorder.poll()
        engine.kept.append({**engine.kept[-1], "Action": "late", "timeNano": engine.kept[-1]["timeNano"] - 10**6})
        now[0] += 1
        recorder.poll()
        engine.happens("start", "t2")
        now[0] += 1
    assert [event.action for event in recorder.events] == ["late", "start", "start"]


def test_many_events_at_the_first_look_may_be_the_rest_of_more(now):
    engine = Engine("slave02", 0, now, remembers=256)
    with Recorder([engine]) as recorder:
        for number in range(256):
            engine.happens("start", str(number))
        now[0] += 1
        with pytest.raises(LabError, match="before the first poll slave02"):
            recorder.poll()
        recorder._by_node.clear()


def test_a_second_start_of_a_task_is_told_with_its_node(now):
    engine = Engine("slave01", 0, now, remembers=256)
    with Recorder([engine]) as recorder:
        for action, task in (("create", "t1"), ("start", "t1"), ("start", "t2"), ("die", "t1"), ("start", "")):
            engine.happens(action, task)
        now[0] += 1
        recorder.poll()
        assert recorder.started_again() == []
        engine.happens("start", "t1", container="c2")
        now[0] += 1
    assert recorder.started_again() == ["task t1 on slave01 was started again: container c2, after c-t1 on slave01"]


def test_of_an_engine_that_told_of_no_task_nothing_is_said(now):
    first, second = Engine("slave01", 0, now), Engine("slave02", 0, now)
    with Recorder([first, second]) as recorder:
        first.happens("start", "t1")
        second.happens("start", "")
        now[0] += 1
    with pytest.raises(LabError, match=r"no event of a task's container came from slave02"):
        recorder.started_again()


@pytest.mark.parametrize("far", [False, True])
def test_far_engines_are_asked_at_the_same_time_and_those_here_in_turn(now, far):
    made, together = [Engine(f"slave0{number}", 0, now) for number in range(3)], threading.Barrier(3)

    def meet(ask):
        def asked(*args):
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(10 if far else 0.05)
            return ask(*args)

        return asked

    for engine in made:
        engine.own_processors = far
        engine.info, engine.events = meet(engine.info), meet(engine.events)
    with Recorder(made) as recorder:
        now[0] += 1
        recorder.poll()
        now[0] += 1
    assert together.broken is not far


def polls_by_itself(engine, work):
    with Recorder([engine], every=0.01) as recorder:
        work(recorder)
    return recorder


def test_a_recorder_that_polls_by_itself_misses_nothing(now):
    engine = Engine("slave01", 0, now)

    def work(recorder):
        for number in range(20):
            engine.happens("start", str(number))
            now[0] += 1
            wait(lambda: len(recorder.events) > number, "the event", deadline=5, every=0.01)  # noqa: B023

    assert len(polls_by_itself(engine, work).events) == 20


def test_a_gap_that_a_thread_meets_is_raised_when_the_context_ends(now):
    engine = Engine("slave02", 0, now)

    def work(recorder):
        engine.happens("start", "t1")
        now[0] += 1
        wait(lambda: bool(recorder.events), "the event", deadline=5, every=0.01)
        engine.kept = []
        now[0] += 1
        recorder._threads[0].join(5)

    with pytest.raises(LabError, match="between two polls slave02"):
        polls_by_itself(engine, work)


def test_a_history_knows_tasks_that_are_forgotten_and_what_failed():
    def task(id, state, created, error=""):
        return Task(id, 1, "slave01", state, "running", "", {}, "web:1", "", error, created=created)

    looks = iter(
        [
            [task("b", "failed", "1970-01-01T00:00:02Z", "exit 3"), task("a", "running", "1970-01-01T00:00:01Z")],
            [task("c", "running", "1970-01-01T00:00:03Z")],
        ]
    )
    history = History(SimpleNamespace(tasks=lambda: next(looks)))
    history.look()
    history.look()
    assert list(history.lives()) == ["a", "b", "c"]
    assert history.errors() == ["1@slave01 failed, wanted running (exit 3)"]


def test_the_command_of_a_health_check_is_not_among_the_events(now):
    node = Engine("master", 0, now)
    with Recorder([node]) as recorder:
        node.happens("exec_create: /bin/sh -c curl -H 'Token: blue-horse-77' localhost", "a")
        node.happens("health_status: healthy", "a")
    assert [event.action for event in recorder.events] == ["exec", "health_status: healthy"]
