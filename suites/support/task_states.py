"""Tasks of a service as every manager lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.wait import State, eventually


def listed_by(manager: Node, service: Service, names: Mapping[str, str]) -> list[Task]:
    """Return the tasks of *service* as *manager* lists them.

    Args:
        manager: the manager that is asked.
        service: the service.
        names: host names of the nodes by node id.
    """
    return [Task.from_api(raw, names) for raw in manager.ask("GET", "/tasks", filters={"service": [service.id]})]


def all_listed(
    cluster: Swarm, service: Service, state: str, count: int, where: Callable[[Task], object] = lambda _: True
) -> State:
    """Whether every manager lists *count* tasks of *service*, all in *state*, and *where* is true of each."""
    names = cluster.names()
    wrong, each = [], {}
    for manager in cluster.managers:
        tasks = listed_by(manager, service, names)
        amiss = [f"{manager} lists {task}" for task in tasks if task.state != state or not where(task)]
        if len(tasks) != count:
            amiss.append(f"{manager} lists {len(tasks)} tasks, not {count}")
        wrong += amiss
        each[manager.name] = not amiss
    return State(not wrong, few(wrong, "; ") or f"{count} tasks are {state}", each=each)


def expect_all(
    cluster: Swarm,
    service: Service,
    state: str,
    count: int,
    where: Callable[[Task], object] = lambda _: True,
    *,
    so: str = "",
    stable: int = 2,
) -> list[Task]:
    """Expect `all_listed` within 40 seconds.

    Args:
        cluster: the swarm.
        service: the service.
        state: the state that all its tasks come to.
        count: the number of its tasks.
        where: a further condition for each task.
        so: a phrase for *where*, for the message.
        stable: polls in a row at which it must be so.

    Returns:
        The tasks.
    """
    eventually(
        lambda: all_listed(cluster, service, state, count, where),
        f"every manager to list {count} tasks of {service} as {state}{so}",
        deadline=40,
        stable=stable,
        alike=True,
    )
    return service.tasks()
