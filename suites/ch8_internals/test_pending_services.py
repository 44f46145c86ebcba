"""8.2.3: services whose tasks wait for a node."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, detached
from suites.support.placement import (
    containers,
    pending,
    set_availability,
    stays,
    stays_pending,
)
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


def close(cluster):
    """Drain the first node and pause the others, so that no node takes tasks."""
    first, *others = cluster.nodes
    set_availability(cluster, first, "drain")
    for node in others:
        set_availability(cluster, node, "pause")


def reason(service):
    """Return the message and error of the service's only task."""
    (task,) = service.tasks()
    return f"{task.message} {task.error}".strip()


def shown(cluster, service):
    """Return what commands show of the only task of a service; some engines give its reasons to ``inspect`` alone."""
    (task,) = service.tasks()
    commands = (f"service ps --no-trunc {service}", f"inspect --type task {task.id}")
    return "".join(accepted(cluster.manager, command) for command in commands)


@claim("8.2.3/pending-all-drained")
def test_a_service_waits_while_no_node_takes_tasks(cluster):
    close(cluster)
    work = cluster.create_service("work", "idle", replicas=2)
    stays_pending(work, 2)
    drained = cluster.nodes[0]
    for node in cluster.nodes[1:]:
        set_availability(cluster, node, "drain")
    late = cluster.create_service("late", "idle")
    stays_pending(late, 1)
    set_availability(cluster, drained, "active")
    for service, count in ((work, 2), (late, 1)):
        tasks = service.expect_running(count)
        wrong = [str(task) for task in tasks if task.node != drained.name]
        assert not wrong, f"{drained} alone is active, and tasks run elsewhere: {wrong}"


@claim("8.2.3/first-active-takes-all")
def test_the_first_active_node_takes_all_waiting_tasks(cluster):
    for first in cluster.nodes:
        close(cluster)
        services = [cluster.create_service("work", "idle", replicas=count) for count in (3, 2)]
        for service, count in zip(services, (3, 2), strict=True):
            eventually(
                lambda service=service, count=count: pending(service, count),
                f"{count} tasks of {service} to be pending",
            )
        set_availability(cluster, first, "active")
        for service, count in zip(services, (3, 2), strict=True):
            eventually(
                lambda service=service, count=count, first=first: service.converged(
                    count, lambda task: task.node == first.name
                ),
                f"{first}, the first active node, to run all {count} tasks of {service} that waited",
                deadline=90,
            )
            service.remove()


@claim("8.2.3/pending-memory")
def test_a_service_waits_for_the_memory_that_it_reserves(cluster):
    most = max(member["Description"]["Resources"]["MemoryBytes"] for member in cluster.members())
    work = cluster.create_service("work", "idle", reservations={"MemoryBytes": most + 2**20})
    stays_pending(work, 1)
    message = reason(work)
    assert "resource" in message, (
        f"{work} waits for memory that no node has, and its task shows: {message or 'nothing'}"
    )
    said = shown(cluster, work)
    assert "resource" in said, f"no command says why {work} waits: {said}"

    def fit(spec):
        spec["TaskTemplate"]["Resources"] = {"Reservations": {"MemoryBytes": 16 * 2**20}}

    work.update(fit)
    work.expect_running(1)


@pytest.fixture
def labels(cluster):
    """A new label for each node, not set on any; the labels are removed afterwards."""
    names = {node: cluster.unique("label") for node in cluster.nodes}
    yield names
    for member in cluster.members():
        for label in set(names.values()) & set(member["Spec"].get("Labels") or {}):
            accepted(cluster.manager, f"node update --label-rm {label} {member['ID']}")


@claim("8.2.3/pending-constraint")
def test_a_service_waits_for_a_node_with_the_label_of_its_constraint(cluster, labels):
    services = {
        node: cluster.create_service("work", "idle", constraints=[f"node.labels.{label}==yes"])
        for node, label in labels.items()
    }
    for service in services.values():
        eventually(lambda service=service: pending(service, 1), f"{service} to be pending")
    stays(lambda: all_pending(services.values()), "services to stay pending as long as no node has their label")
    for service in services.values():
        message = reason(service)
        assert "constraint" in message, f"{service} waits for a label, and its task shows: {message or 'nothing'}"
        said = shown(cluster, service)
        assert "constraint" in said, f"no command says why {service} waits: {said}"
    waiting = dict(services)
    for node, service in services.items():
        accepted(cluster.manager, f"node update --label-add {labels[node]}=yes {node}")
        del waiting[node]
        eventually(
            lambda node=node, service=service: service.converged(1, lambda task: task.node == node.name),
            f"{service} to run on {node}, which was given the label",
            deadline=60,
        )
        state = all_pending(waiting.values())
        assert state, f"{node} was given a label, and services wait for those of others: {state.summary}"


def all_pending(services):
    """Whether each of *services* has one task, which is pending."""
    states = zip(services, parallel(lambda service: pending(service, 1), services), strict=True)
    wrong = [f"{service}: {state.summary}" for service, state in states if not state]
    return State(not wrong, few(wrong, "; "))


@claim("8.2.3/scale-zero")
def test_a_service_of_no_replicas_exists_and_starts_when_scaled_up(cluster):
    idle = cluster.create_service("idle", "idle", replicas=0)

    def no_task():
        tasks, found = idle.tasks(), containers(cluster, idle)
        return State(not tasks and not found, f"tasks {[*map(str, tasks)]}, containers {sorted(found)}")

    stays(no_task, f"{idle}, which is scaled to 0, to have no task")
    row = next((row.split() for row in accepted(cluster.manager, "service ls").splitlines() if idle.name in row), [])
    assert "0/0" in row, f"docker service ls shows {idle} as: {row or 'nothing'}"
    scale = detached(cluster.manager, "service scale")
    accepted(cluster.manager, f"{scale} {idle}=2")
    idle.expect_running(2)
    accepted(cluster.manager, f"{scale} {idle}=0")
    eventually(no_task, f"the tasks of {idle}, scaled down to 0, to be gone", deadline=60)
    assert idle.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"] == 0, f"{idle} is not at scale 0"
    idle.scale(1)
    idle.expect_running(1)
