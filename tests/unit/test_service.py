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
