"""8.2.4: replicated and global services."""

from collections import Counter

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, detached, refusal
from suites.support.placement import (
    lives,
    matched,
    one_on_each,
    stays,
)
from swarmlab.cluster.service import ENDED
from swarmlab.cluster.swarm import join
from swarmlab.lists import few
from swarmlab.wait import State, eventually


@claim("8.2.4/replicated")
def test_a_replicated_service_has_as_many_tasks_as_declared(cluster):
    work = cluster.create_service("work", "idle")
    for count in (1, 2 * len(cluster.nodes) + 1, 2):
        work.scale(count)
        tasks = work.expect_running(count)
        slots = {task.slot for task in tasks}
        assert len(slots) == count, f"{count} tasks share slots: {few(map(str, tasks))}"
        eventually(lambda: matched(cluster, work), f"one container for each of {count} tasks", deadline=60)
    services = {
        node: cluster.create_service("bound", "idle", replicas=3, constraints=[f"node.hostname=={node}"])
        for node in cluster.nodes
    }
    for node, bound in services.items():
        eventually(
            lambda bound=bound, node=node: bound.converged(3, lambda task: task.node == node.name),
            f"three tasks to run on {node}, the only node that they may run on",
            deadline=60,
        )


@claim("8.2.4/replicated")
@pytest.mark.touches("reserve all memory of the nodes")
def test_tasks_are_where_there_is_room(cluster):
    # Capacity by node memory that no other task has reserved. One task more than the total is declared, so that exactly
    # one stays pending.
    taken = reserved(cluster)
    free = {
        member["Description"]["Hostname"]: member["Description"]["Resources"]["MemoryBytes"] - taken[member["ID"]]
        for member in cluster.members()
    }
    each = int(max(free.values()) * 0.4)
    room = {name: memory // each for name, memory in free.items()}
    count = sum(room.values())
    heavy = cluster.create_service("heavy", "idle", replicas=count + 1, reservations={"MemoryBytes": each})

    def full():
        tasks = heavy.tasks()
        given = {name: sum(task.alive for task in tasks if task.node == name) for name in room}
        waiting = [task for task in tasks if task.state == "pending" and not task.node]
        done = given == room and len(waiting) == 1
        return State(done, f"there is room for {room}, run are {given}, and {len(waiting)} wait")

    eventually(full, "tasks to take all the room that there is, and the one that is left over to wait", deadline=90)
    stays(full, "the task that finds no room to go on waiting", polls=4)
    heavy.scale(count)
    heavy.expect_running(count)


def reserved(cluster):
    """Return the bytes of memory that tasks reserve, by node id."""
    found = Counter()
    for task in cluster.manager.ask("GET", "/tasks"):
        if task.get("NodeID") and task["Status"]["State"] not in ENDED:
            asked = (task["Spec"].get("Resources") or {}).get("Reservations") or {}
            found[task["NodeID"]] += asked.get("MemoryBytes", 0)
    return found


@claim("8.2.4/global")
def test_a_global_service_has_one_task_on_every_node(cluster):
    name = cluster.unique("everywhere")
    command = f"service create --detach --mode global --label {cluster.label} --name {name} {cluster.image('client')}"
    accepted(cluster.manager, command)
    for service in (cluster.service(name), cluster.create_service("everywhere", "idle", everywhere=True)):
        eventually(
            lambda service=service: one_on_each(service, cluster.nodes),
            f"{service} to have one task on every node",
            deadline=90,
        )
        stays(
            lambda service=service: on_each_and_matched(cluster, service),
            f"{service} to keep one task, with one container, on every node",
            polls=4,
        )


def on_each_and_matched(cluster, service):
    """Whether every node has one task of the service, and each task one container."""
    wrong = [state.summary for state in (one_on_each(service, cluster.nodes), matched(cluster, service)) if not state]
    return State(not wrong, few(wrong, "; "))


@claim("8.2.4/global-has-no-count")
def test_a_global_service_takes_no_count(cluster):
    manager, image = cluster.manager, cluster.image("idle")
    name = cluster.unique("counted")
    command = f"service create --detach --mode global --replicas 2 --label {cluster.label} --name {name} {image}"
    done = manager.docker(command)
    assert not done.ok, f"docker service create on {manager} took a count of replicas for a global service"
    body = {
        "Name": name,
        "Labels": {cluster.label: ""},
        "TaskTemplate": {"ContainerSpec": {"Image": image}},
        "Mode": {"Global": {}, "Replicated": {"Replicas": 2}},
    }
    refused = refusal(manager.ask, "POST", "/services/create", body=body)
    assert refused, f"the API of {manager} took a count for a global service"
    assert not manager.ask("GET", "/services", filters={"name": [name]}), f"{manager} refused {name}, and lists it"

    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    eventually(lambda: one_on_each(everywhere, cluster.nodes), "one task on every node", deadline=60)
    scale = detached(manager, "service scale")
    for command in (f"{scale} {everywhere}=5", f"service update --detach --replicas 5 {everywhere}"):
        done = manager.docker(command)
        assert not done.ok, f"on {manager} a global service took docker {command}"
    for mode in ({"Replicated": {"Replicas": 5}}, {"Global": {}, "Replicated": {"Replicas": 5}}):
        explanation = refusal(everywhere.update, lambda spec, mode=mode: spec.update(Mode=mode))
        assert explanation, f"a global service took the mode {mode} by the API of {manager}"
    mode = everywhere.inspect()["Spec"]["Mode"]
    assert mode == {"Global": {}}, f"{manager} refused counts, and the mode became {mode}"
    stays(lambda: one_on_each(everywhere, cluster.nodes), "one task on every node, as before", polls=4)


@claim("8.2.4/global-follows-nodes")
@pytest.mark.cluster(managers=1, workers=1, spare=1)
def test_a_global_service_follows_nodes_that_join_and_leave(cluster):
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    eventually(lambda: one_on_each(everywhere, cluster.nodes), "one task on every node", deadline=60)
    before = lives(cluster, everywhere.running())
    manager, leaver = cluster.nodes
    newcomer = cluster.spare.pop()
    join(newcomer, manager, cluster.tokens()["Worker"])
    cluster.nodes.append(newcomer)
    eventually(
        lambda: on_each_and_matched(cluster, everywhere),
        f"{newcomer}, which joined, to be given the global service's task",
        deadline=90,
    )
    joined = everywhere.running()
    after = lives(cluster, joined)
    changed = {id: life for id, life in before.items() if after.get(id) != life}
    assert not changed, f"{newcomer} joined, and tasks of others were replaced: {changed}"

    accepted(leaver, "swarm leave")
    cluster.nodes.remove(leaver)
    eventually(
        lambda: State(not (left := everywhere.containers(leaver)), f"{len(left)} containers run on {leaver}"),
        f"{leaver}, which left, to stop its task's container",
        deadline=60,
    )
    stayed = {task.id for task in joined if task.node != leaver.name}

    def left_alone():
        # Managers do not learn that the task of a node that left has ended; it only counts that they do not want it.
        now = {task.id: task for task in everywhere.running()}
        wrong = [*map(str, now.values())] if set(now) != stayed else []
        return State(not wrong, f"the tasks are {wrong}")

    eventually(left_alone, f"{leaver}, which left, to take its task along, and the others to keep theirs", deadline=90)
    stays(lambda: matched(cluster, everywhere), "one container for each task of those that stayed", polls=3)
