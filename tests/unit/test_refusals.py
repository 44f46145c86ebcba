"""When an engine refuses the tasks of a service for good, and when it only did not start one yet."""

import pytest

from swarmlab.cluster.refusals import Refusals
from swarmlab.cluster.service import Service, Task
from swarmlab.errors import TasksRefused
from swarmlab.verdicts.verdict import Verdict, of_exception

VXLAN = 'network sandbox join failed: subnet sandbox join failed for "10.0.2.0/24": error creating vxlan interface: '
NO_IMAGE = "No such image: registry:5000/web:1"


def task(at, state="rejected", error=f"{VXLAN}file exists", *, node="slave02", slot=0, exit_code=None):
    desired = "running" if state == "running" else "shutdown"
    created = f"2026-11-29T10:{at // 60:02}:{at % 60:02}.5Z"
    return Task(
        f"{node}-{slot}-{at}", slot, node, state, desired, "", {}, "web:1", "", error, exit_code, created=created
    )


def every(seconds, count, *, first=0, **how):
    return [task(first + seconds * number, **how) for number in range(count)]


FOR_GOOD = [
    every(5, 4),
    # The first reason is another one than that which stays.
    [task(0, error="no such network"), *every(5, 4, first=5)],
    every(5, 7, slot=1),
    [task(at, slot=1, state="failed" if at % 2 else "rejected") for at in range(0, 35, 5)],
    # A task that ran before says nothing.
    [task(0, "complete", ""), *every(5, 4, first=20)],
    # Errors differ in ids and numbers only.
    [task(at, error=f"container {at:064x} is not there") for at in (0, 5, 10, 15)],
    [*every(15, 4, error=NO_IMAGE), task(1, "running", "", node="slave01")],
    [*every(5, 4), task(1, "running", "", node="slave01")],
]

NOT_FOR_GOOD = [
    [],
    every(5, 3),
    # At once, as with a restart delay of nothing: what is missing may come.
    every(1, 8),
    # The swarm gives a replicated service's task to another node after five.
    every(5, 6, slot=1),
    [*every(5, 4), task(20, "running", "")],
    [*every(5, 4), task(20, "complete", "")],
    [task(at, error=error) for at, error in ((0, "one"), (5, "two"), (10, "one"), (15, "two"), (20, "one"))],
    [*every(5, 2), *every(5, 2, first=10, node="slave01")],
    # The container ran, and ended by itself.
    [task(at, "failed", "task: non-zero exit (1)", exit_code=1) for at in range(0, 40, 5)],
    [task(at, "failed", "dockerexec: unhealthy container") for at in range(0, 40, 5)],
    # The image is not there yet, on any node.
    every(15, 4, error=NO_IMAGE),
    [*every(5, 4, error=NO_IMAGE), task(1, "running", "", node="slave01")],
]


@pytest.mark.parametrize("tasks", FOR_GOOD)
def test_an_engine_that_gives_one_reason_again_and_again_refuses_for_good(tasks):
    refused = Refusals().note(tasks)
    assert refused.startswith("the engine of slave02 refused ")
    assert refused.endswith(tasks[3].error) or tasks[3].error.startswith("container")


@pytest.mark.parametrize("tasks", NOT_FOR_GOOD)
def test_an_engine_that_may_still_start_a_task_does_not(tasks):
    assert not Refusals().note(tasks)


def test_refusals_that_managers_do_not_keep_are_remembered():
    refusals = Refusals()
    found = [refusals.note(every(5, 4, first=5 * poll, slot=1)) for poll in range(5)]
    assert [bool(text) for text in found] == [False, False, False, True, True]


def test_what_ran_meanwhile_is_remembered_too():
    refusals = Refusals()
    refusals.note([*every(5, 3), task(15, "running", "")])
    assert not refusals.note(every(5, 2, first=20))


class Listed(Service):
    """A service whose tasks are given."""

    def __init__(self, tasks):
        super().__init__(None, "id", "web")
        self._tasks = tasks

    def tasks(self):
        return self._tasks


def test_it_ends_a_wait_at_once_and_is_the_clusters_doing():
    service = Listed([*every(5, 4), task(1, "running", "", node="master")])
    with pytest.raises(TasksRefused, match=r"running tasks of web: 1 running, .* engine of slave02 .* file exists"):
        service.wait_running(3)
    for judging in (True, False):
        assert of_exception(TasksRefused(), judging=judging) is Verdict.FAIL


def test_a_service_that_runs_as_it_should_is_not_refused():
    assert Listed([*every(5, 4), task(1, "running", "", node="master")]).wait_running(1)
