"""Where tasks and their containers run, and nodes whose availability changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from suites.support.commands import accepted
from swarmlab.cluster.node import Node, on_each
from swarmlab.cluster.service import SERVICE_LABEL, TASK_LABEL, Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


def set_availability(cluster: Swarm, node: Node, availability: str) -> None:
    """Set the availability of *node* (active, pause or drain) with the document's command."""
    accepted(cluster.manager, f"node update --availability {availability} {node}")


@contextmanager
def temporarily(cluster: Swarm, node: Node, availability: str) -> Iterator[None]:
    """Set the availability of *node* until the context ends, for a part of a test on a shared cluster."""
    before = next(m for m in cluster.members() if m["ID"] == node.node_id())["Spec"]["Availability"]
    set_availability(cluster, node, availability)
    try:
        yield
    finally:
        set_availability(cluster, node, before)


def containers(cluster: Swarm, service: Service, *, all: bool = False) -> set[tuple[str, str, str]]:
    """Return the containers of a service as the engines list them, running ones or *all*.

    Returns:
        Id of the task, host name of the node and id of the container, of each.
    """
    listed = on_each(lambda node: service.containers(node, all=all), cluster.nodes)
    return {
        (container["Labels"].get(TASK_LABEL, ""), node.name, container["Id"])
        for node, found in zip(cluster.nodes, listed, strict=True)
        for container in found
    }


def count_by_node(service: Service, nodes: Iterable[Node]) -> dict[str, int]:
    """Return how many running containers the service has on each of *nodes*, by host name."""
    asked = list(nodes)
    counts = on_each(lambda node: len(service.containers(node)), asked)
    return dict(zip([node.name for node in asked], counts, strict=True))


def matched(cluster: Swarm, service: Service) -> State:
    """Whether each running task of the service has exactly one running container, and no other container runs."""
    wanted = {(task.id, task.node, task.container) for task in service.running()}
    found = containers(cluster, service)
    left = [f"{container[:12]} on {node}, of task {task or 'none'}" for task, node, container in found - wanted]
    lacking = [f"{container[:12]} on {node}, of task {task}" for task, node, container in wanted - found]
    summary = f"running without a running task: {few(left) or 'none'}; missing: {few(lacking) or 'none'}"
    return State(bool(wanted) and not left and not lacking, summary if wanted else "no task runs")


def one_on_each(service: Service, nodes: Collection[Node]) -> State:
    """Whether each of *nodes* runs exactly one task of the service, no other node does, and none is starting."""
    state = service.converged(len(nodes))
    where = [task.node for task in service.running()]
    wrong = [f"{where.count(node.name)} on {node}" for node in nodes if where.count(node.name) != 1]
    wrong += [f"one on {name}" for name in where if name not in {node.name for node in nodes}]
    done = state.done and not wrong
    return State(done, f"{few(wrong) or 'one on each'}; {state.summary}", refused=state.refused)


def none_on(service: Service, node: Node) -> State:
    """Whether no task of the service was ever assigned to *node*, ended or not."""
    given = [task for task in service.tasks() if task.node == node.name]
    return State(not given, f"given to {node}: {few(map(str, given), '; ') or 'none'}")


def only_on(cluster: Swarm, service: Service, nodes: Collection[Node]) -> State:
    """Whether each of *nodes* runs one task of the service; hopeless if another node was ever given one."""
    beside = {node.name for node in cluster.nodes if node not in nodes}
    if given := [f"given to {task.node}: {task}" for task in service.tasks() if task.node in beside]:
        return State(False, few(given, "; "), hopeless=True)
    return one_on_each(service, nodes)


def nothing_left(cluster: Swarm, services: Collection[str]) -> State:
    """Whether no manager lists a task of the removed *services* (ids), and no node has a container of one."""
    left = []
    for manager in cluster.managers:
        left += [
            f"{manager} lists task {resource['ID']}"
            for resource in manager.ask("GET", "/tasks")
            if resource["ServiceID"] in services
        ]
    listed = on_each(lambda node: node.containers(all=True, label=SERVICE_LABEL), cluster.nodes)
    for node, found in zip(cluster.nodes, listed, strict=True):
        for resource in found:
            if resource["Labels"][SERVICE_LABEL] in services:
                left.append(f"{node} has container {resource['Names'][0]} ({resource['State']})")
    return State(not left, few(left, "; ") or "nothing")


def pending(service: Service, count: int) -> State:
    """Whether the service has *count* tasks, all of them pending and assigned to no node."""
    tasks = service.tasks()
    done = len(tasks) == count and all(task.state == "pending" and not task.node for task in tasks)
    return State(done, f"{count} pending tasks wanted: {few(map(str, tasks), '; ') or 'no task'}")


def stays(holds: Callable[[], State], promise: str, *, polls: int = 8) -> State:
    """Expect that *holds* is true at each of *polls* polls in a row, the first at once.

    Raises:
        AssertionError: it was false at one of them.
    """

    def still() -> State:
        state = holds()
        return State(state.done, state.summary, hopeless=not state)

    return eventually(still, promise, stable=polls, every=0.4)


def stays_pending(service: Service, count: int) -> None:
    """Expect that *count* tasks of the service become pending and stay so."""
    eventually(lambda: pending(service, count), f"{count} tasks of {service} to be pending")
    stays(lambda: pending(service, count), f"{count} tasks of {service} to stay pending")


def lives(cluster: Swarm, tasks: Sequence[Task]) -> dict[str, tuple[Any, ...]]:
    """Return the facts that identify one run of a task's container, by task id.

    Returns:
        Node, container, start time, first process, and whether it runs.
    """

    def life(task: Task) -> tuple[Any, ...]:
        state = cluster.node(task.node).ask("GET", f"/containers/{task.container}/json")["State"]
        return task.node, task.container[:12], state["StartedAt"], state["Pid"], state["Running"]

    return dict(zip([task.id for task in tasks], parallel(life, tasks), strict=True))
