"""When a service has the tasks that it is to have."""

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
