"""Tasks of a service as every manager tells them."""

from swarmlab.cluster.service import Task
from swarmlab.wait import State, eventually


def told_by(manager, service, names):
    """The tasks of *service* as *manager* tells them; *names* gives host names by node id."""
    return [Task.from_api(raw, names) for raw in manager.ask("GET", "/tasks", filters={"service": [service.id]})]


def all_told(cluster, service, state, count, where=lambda _: True):
    """Whether every manager tells *count* tasks of *service*, all in *state* and as *where* wants."""
    names = cluster.names()
    wrong = []
    for manager in cluster.managers:
        tasks = told_by(manager, service, names)
        wrong += [f"{manager} tells {task}" for task in tasks if task.state != state or not where(task)]
        if len(tasks) != count:
            wrong.append(f"{manager} tells {len(tasks)} tasks, not {count}")
    return State(not wrong, "; ".join(wrong) or f"{count} tasks are {state}")


def expect_all(cluster, service, state, count, where=lambda _: True, *, so="", stable=2):
    """Expect that every manager comes to tell *count* tasks of *service*, all in *state* and as *where* wants."""
    eventually(
        lambda: all_told(cluster, service, state, count, where),
        f"every manager to tell {count} tasks of {service} as {state}{so}",
        deadline=40,
        stable=stable,
    )
    return service.tasks()
