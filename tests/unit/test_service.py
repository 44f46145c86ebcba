"""When a service has converged."""

from types import SimpleNamespace

import pytest

from swarmlab.cluster.service import Service, Task


def task(id, state, desired, node="slave01"):
    return Task(id, 1, node, state, desired, "", {}, "web:1", "", "")


def converged(*tasks):
    return bool(Service(None, "id", "web").converged(1, tasks=[task("one", "running", "running"), *tasks]))


@pytest.mark.parametrize(
    ("state", "desired", "done"),
    [
        ("shutdown", "shutdown", True),
        ("pending", "shutdown", True),  # nobody takes it up any more
        ("pending", "running", False),
        ("assigned", "shutdown", False),
        ("running", "shutdown", False),
        ("running", "running", False),
    ],
)
def test_none_is_on_its_way_in_or_out(state, desired, done):
    assert converged(task("two", state, desired)) is done


def test_a_task_that_managers_have_long_kept_is_not_waited_for(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("swarmlab.cluster.service.time", SimpleNamespace(monotonic=lambda: now[0]))
    service = Service(None, "id", "web")
    runs, kept = task("one", "running", "running"), task("two", "pending", "remove", node="")

    def look(*tasks):
        now[0] += 15
        return service.converged(1, tasks=[runs, *tasks]).hopeless

    assert [look(kept), look(kept), look(), look(kept), look(kept), look(kept)] == [False] * 5 + [True]
    assert not look(task("three", "pending", "running", node=""))


def test_all_tasks_are_renewed_each_time_anew():
    spec = {"TaskTemplate": {}}
    manager = SimpleNamespace(revise=lambda _, change: change(spec))
    service = Service(SimpleNamespace(manager=manager), "s1", "web")
    service.renew()
    service.renew()
    assert spec["TaskTemplate"]["ForceUpdate"] == 2


def test_the_containers_of_a_service_are_known_by_its_id():
    node = SimpleNamespace(containers=lambda **how: [how])
    (asked,) = Service(SimpleNamespace(), "s1", "web").containers(node, all=True)
    assert asked == {"all": True, "label": "com.docker.swarm.service.id=s1"}


@pytest.mark.parametrize(
    ("status", "hopeless", "summary"),
    [
        (None, False, "the update is not begun; 1 running"),
        ({"State": "updating", "Message": "update in progress"}, False, "the update is updating; 1 running"),
        ({"State": "paused", "Message": "task x failed"}, True, "the update is paused: task x failed; 1 running"),
        ({"State": "rollback_started", "Message": "why"}, True, "the update is rollback_started: why; 1 running"),
    ],
)
def test_tasks_of_an_update_that_was_given_up_are_not_waited_for(monkeypatch, status, hopeless, summary):
    service = Service(None, "id", "web")
    monkeypatch.setattr(Service, "inspect", lambda _: {"UpdateStatus": status} if status else {})
    state = service.replaced(2, tasks=[task("one", "running", "running")])
    assert (bool(state), state.hopeless) == (False, hopeless)
    assert state.summary.startswith(summary)
    assert service.replaced(1, tasks=[task("one", "running", "running")])
