"""Where tasks and their containers are, and nodes that are told to take none."""

from contextlib import contextmanager

from suites.support.commands import accepted
from swarmlab.wait import State, eventually

TASK_LABEL = "com.docker.swarm.task.id"


def set_availability(cluster, node, availability):
    """Tell the managers, as the document does, whether *node* takes tasks: active, pause or drain."""
    accepted(cluster.manager, f"node update --availability {availability} {node}")


@contextmanager
def temporarily(cluster, node, availability):
    """`set_availability` for a part of a test on a shared cluster; as it was afterwards."""
    before = next(m for m in cluster.members() if m["ID"] == node.node_id())["Spec"]["Availability"]
    set_availability(cluster, node, availability)
    try:
        yield
    finally:
        set_availability(cluster, node, before)


def containers(cluster, service, *, all=False):
    """The containers of a service as the engines tell them, running ones or *all*: (task, node, container)."""
    return {
        (container["Labels"].get(TASK_LABEL, ""), node.name, container["Id"])
        for node in cluster.nodes
        for container in node.containers(all=all, label=f"com.docker.swarm.service.id={service.id}")
    }


def matched(cluster, service):
    """Whether each running task of the service has exactly one running container, and nothing else runs for it."""
    wanted = {(task.id, task.node, task.container) for task in service.running()}
    found = containers(cluster, service)
    left = [f"{container[:12]} on {node}, of task {task or 'none'}" for task, node, container in found - wanted]
    lacking = [f"{container[:12]} on {node}, of task {task}" for task, node, container in wanted - found]
    seen = f"running without a running task: {left or 'none'}; missing: {lacking or 'none'}"
    return State(bool(wanted) and not left and not lacking, seen if wanted else "no task runs")


def one_on_each(service, nodes):
    """Whether each of *nodes* runs exactly one task of the service, no other node does, and none is on its way."""
    state = service.converged(len(nodes))
    where = [task.node for task in service.running()]
    wrong = [f"{where.count(node.name)} on {node}" for node in nodes if where.count(node.name) != 1]
    wrong += [f"one on {name}" for name in where if name not in {node.name for node in nodes}]
    done = state.done and not wrong
    return State(done, f"{', '.join(wrong) or 'one on each'}; {state.seen}")


def none_on(service, node):
    """Whether no task of the service was ever given to *node*, ended or not."""
    given = [task for task in service.tasks() if task.node == node.name]
    return State(not given, f"given to {node}: {'; '.join(map(str, given)) or 'none'}")


def pending(service, count):
    """Whether the service has *count* tasks, all of them pending, and given to no node."""
    tasks = service.tasks()
    done = len(tasks) == count and all(task.state == "pending" and not task.node for task in tasks)
    return State(done, f"{count} pending tasks wanted: {'; '.join(map(str, tasks)) or 'no task'}")


def stays(holds, promise, *, polls=8):
    """Watch for some seconds that what *holds* now goes on to hold; the first poll at which it does not is a fail."""

    def still():
        state = holds()
        return State(state.done, state.seen, hopeless=not state)

    return eventually(still, promise, stable=polls, every=0.4)


def stays_pending(service, count):
    """Watch that the service's tasks become pending and remain so."""
    eventually(lambda: pending(service, count), f"{count} tasks of {service} to be pending")
    stays(lambda: pending(service, count), f"{count} tasks of {service} to stay pending")


def lives(cluster, tasks):
    """What tells one run of a task's container from another: when it started, and its first process, by task."""
    told = {}
    for task in tasks:
        state = cluster.node(task.node).ask("GET", f"/containers/{task.container}/json")["State"]
        told[task.id] = (task.node, task.container[:12], state["StartedAt"], state["Pid"], state["Running"])
    return told
