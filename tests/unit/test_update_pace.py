"""The judgements of the pace and order of an update's tasks (suites/support/rolling_updates.py)."""

from types import SimpleNamespace

import pytest

from suites.support import rolling_updates as updates
from swarmlab.cluster.service import Task
from swarmlab.watching.events import Event, History

OLD, NEW = "web:1", "web:2"


def stamp(seconds):
    return f"1970-01-01T00:{int(seconds) // 60:02}:{seconds % 60:06.3f}Z"


def task(id, slot, state, image=NEW, *, created=0.0, updated=0.0, desired="running", error=""):
    times = {"created": stamp(created), "updated": stamp(updated)}
    return Task(id, slot, "slave01", state, desired, f"c-{id}", {}, image, "", error, **times)


def history(*looks):
    made = History(SimpleNamespace())
    made.looks = [list(look) for look in looks]
    return made


def update(*began, takes=2.0):
    """Return the history of an update whose replacements began at these times and do not run for *takes* seconds."""
    old = [task(f"old{slot}", slot, "running", OLD) for slot in range(1, len(began) + 1)]
    looks = [old]
    for place, state in enumerate(["preparing", "running"]):
        looks.append(
            old
            + [
                task(f"new{slot}", slot, state, created=at, updated=at + takes + place)
                for slot, at in enumerate(began, start=1)
            ]
        )
    return history(*looks)


@pytest.mark.parametrize(
    ("began", "parallelism", "wrong"),
    [
        ((0, 9, 18), 1, ""),
        ((0, 0.1, 9, 9.2), 2, ""),
        ((0, 5, 9, 14), 2, ""),  # two workers, each at its own pace
        ((0, 9, 18), 3, ""),
        ((0, 1, 2), 1, "at most 1 may be replaced at a time"),
        ((0, 0.1, 0.2, 9), 2, "at most 2 may be replaced at a time"),
        ((0, 3, 6), 1, "6 s must pass"),
        ((0, 0.1, 3, 3.1), 2, "6 s must pass"),
        ((0, 9, 12), 1, "6 s must pass"),
    ],
)
def test_replacements_come_so_many_at_a_time_so_far_apart(began, parallelism, wrong):
    made = updates.replacements(update(*began), NEW)
    assert len(made) == len(began)
    flaw = updates.pace(made, parallelism, 6)
    assert flaw.startswith(wrong) if wrong else not flaw


def test_a_clock_that_is_corrected_by_little_is_no_fault():
    assert not updates.pace(updates.replacements(update(0, 7.9), NEW), 1, 6)


def test_a_start_that_no_look_saw_is_told_by_the_container():
    looks = update(100, 108)
    assert not updates.pace(updates.replacements(looks, NEW), 1, 6)
    recorder = Recorder(new1=[(4, "start"), (5, "health_status: healthy")])
    first, second = updates.replacements(looks, NEW, recorder, "master")
    assert (first.unfinished, second.unfinished) == (104, 110)
    assert updates.pace([first, second], 1, 6).startswith("6 s must pass")


def test_only_the_first_new_task_of_a_slot_is_its_replacement():
    history = update(0)
    history.looks.append([task("again", 1, "running", created=30, updated=31)])
    (one,) = updates.replacements(history, NEW)
    assert (one.old.id, one.new.id, one.began, one.unfinished) == ("old1", "new1", 0, 2)


def test_tasks_on_their_way_at_one_moment_are_counted():
    coming = [task(str(slot), slot, "starting") for slot in (1, 2)]
    assert not updates.crowd(history(coming), NEW, 2)
    assert "slave01 starting" in updates.crowd(history([], coming), NEW, 1)


def test_the_moment_at_which_fewest_ran_counts():
    ran = [task(str(slot), slot, "running", OLD) for slot in (1, 2, 3)]
    leaving = [*ran[:2], task("3", 3, "running", OLD, desired="shutdown")]
    assert not updates.shortage(history(ran, ran), 3)
    assert updates.shortage(history(ran, leaving, ran), 3).startswith("2 tasks ran at a time, wanted were at least 3")


class Recorder:
    def __init__(self, **events):
        happenings = [(at, action, task) for task, happened in events.items() for at, action in happened]
        self.events = [Event("slave01", action, f"c-{task}", task, "", at, at) for at, action, task in happenings]

    def of(self, action, task):
        return next((one for one in self.events if (one.action, one.task) == (action, task)), None)

    def clock(self, node, at):
        return (at + 99, at + 101) if node == "master" else (at, at)


@pytest.mark.parametrize(
    ("order", "wrong"),
    [("stop-first", "start of c-new1 on slave01 came before die of c-old1"), ("start-first", "")],
)
def test_containers_tell_the_order(order, wrong):
    recorder = Recorder(new1=[(1, "start"), (2, "health_status: healthy")], old1=[(3, "kill"), (4, "die")])
    flaw = updates.out_of_order(updates.replacements(update(0), NEW), recorder, order)
    assert wrong in flaw if wrong else not flaw


def test_what_did_not_happen_is_told():
    recorder = Recorder(new1=[(1, "start")])
    assert "the first event is missing" in updates.out_of_order(
        updates.replacements(update(0), NEW), recorder, "stop-first"
    )


def test_specifications_are_compared_key_by_key():
    was = {"Mode": {"Replicated": {"Replicas": 2}}, "Labels": {"a": "b"}}
    now = {"Mode": {"Replicated": {"Replicas": 3}}, "Labels": {"a": "b"}, "UpdateConfig": {}}
    assert updates.differences(was, now) == [
        "Mode.Replicated.Replicas is 3 and was 2",
        "UpdateConfig is {} and was None",
    ]
    assert not updates.differences(was, dict(was))
