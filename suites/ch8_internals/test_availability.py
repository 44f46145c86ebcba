"""8.1.2: tasks, roles and traffic of drained and paused nodes."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.placement import (
    containers,
    lives,
    none_on,
    one_on_each,
    set_availability,
    stays,
)
from suites.support.published import answering
from suites.support.roles import acting, writes
from suites.support.traffic import hands_over, note_mesh, strangers
from swarmlab.cluster.fault import apply, cut_off
from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.wait import State, eventually
from swarmlab.watching.events import History
from swarmlab.watching.watch import Watch


@claim("8.1.2/drain-moves-tasks")
def test_the_tasks_of_a_drained_node_are_started_elsewhere(cluster):
    work = cluster.create_service("work", "idle", replicas=6)
    for node in cluster.nodes:
        drain_and_see_tasks_move(cluster, node, work)
        set_availability(cluster, node, "active")
        # So that this node takes tasks again, and the next one has some to be drained of.
        work.scale(3)
        work.wait_running(3)
        work.scale(6)


def drain_and_see_tasks_move(cluster, drained, work):
    """Drain a node; judge that its tasks end and are replaced elsewhere, and that other tasks stay."""
    before = work.wait_running(6)
    moved = {task.id for task in before if task.node == drained.name}
    assert moved, f"{drained} has none of the six tasks to be drained of: {'; '.join(map(str, before))}"
    set_availability(cluster, drained, "drain")
    eventually(
        lambda: work.converged(6, lambda task: task.node != drained.name),
        f"as many tasks to run on the other nodes when {drained} is drained",
        deadline=90,
    )
    kept = moved | {task.id for task in work.running()}
    lost = [str(task) for task in before if task.id not in kept]
    assert not lost, f"{drained} was drained, and tasks of other nodes were replaced: {few(lost, '; ')}"
    eventually(
        lambda: empty(cluster, work, drained), f"the containers on {drained}, drained, to be stopped", deadline=60
    )
    wrong = [
        str(task)
        for task in work.tasks()
        if task.id in moved and (task.state not in ENDED or task.desired != "shutdown")
    ]
    assert not wrong, f"tasks on {drained}, which is drained, have not ended: {wrong}"


def empty(cluster, service, node):
    """Whether no container of the service runs on *node*."""
    left = [container[:12] for _, name, container in containers(cluster, service) if name == node.name]
    return State(not left, f"{len(left)} run on {node}: {left}")


@claim("8.1.2/drain-gets-nothing-new")
def test_a_drained_node_is_given_no_new_task(cluster):
    for node in cluster.nodes:
        set_availability(cluster, node, "drain")
        see_it_given_nothing(cluster, node, "drained")
        set_availability(cluster, node, "active")


def see_it_given_nothing(cluster, closed, how):
    """Create, scale and update services; judge that no task of theirs is assigned to the node *closed*.

    Args:
        cluster: the swarm.
        closed: a node that is drained or paused.
        how: which of them, for messages.
    """
    others = [node for node in cluster.nodes if node is not closed]
    work = cluster.create_service("work", "idle", replicas=2, update={"Parallelism": 0})  # all at once
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    work.wait_running(2)
    work.scale(4)
    before = {task.id for task in work.wait_running(4)}
    work.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Env=["CHANGED=1"]))

    def updated():
        state, running = work.converged(4), {task.id for task in work.running()}
        return State(state.done and not running & before, state.summary)

    eventually(updated, f"all tasks of {work} to be updated", deadline=120)
    eventually(lambda: one_on_each(everywhere, others), "one task on each active node", deadline=60)
    for service in (work, everywhere):
        stays(
            lambda: none_on(service, closed),  # noqa: B023
            f"{closed}, which is {how}, to be given no task when a service is made, scaled and updated",
            polls=3,
        )
        service.remove()


@claim("8.1.2/drain-keeps-manager")
@pytest.mark.cluster(managers=3, workers=0)
def test_a_drained_manager_keeps_role_and_vote(cluster):
    *drained, lost = cluster.nodes
    for node in drained:
        set_availability(cluster, node, "drain")
    work = cluster.create_service("work", "idle", replicas=2)
    eventually(
        lambda: work.converged(2, lambda task: task.node == lost.name),
        f"tasks to be run by {lost} alone, the others being drained",
        deadline=60,
    )
    stays(
        lambda: acting(cluster, dict.fromkeys(drained, "manager"), cluster.nodes),
        f"{' and '.join(map(str, drained))}, which are drained, to stay managers",
        polls=4,
    )
    # Two of three are a majority only if both drained managers have a vote.
    apply(cut_off(lost, drained), cluster)
    for asked in drained:
        eventually(
            lambda asked=asked: writes(cluster, asked),
            f"the drained managers to be a majority without {lost}, asked through {asked}",
            deadline=60,
        )


@claim("8.1.2/active-again")
def test_a_node_set_back_to_active_is_given_tasks_again(cluster):
    for node in cluster.nodes:
        set_availability(cluster, node, "drain")
        work = cluster.create_service("work", "idle", replicas=4)
        before = work.wait_running(4)
        given = [str(task) for task in before if task.node == node.name]
        assert not given, f"{node} is drained and was given {given}"
        set_availability(cluster, node, "active")
        see_it_given_new_tasks_only(node, work, before)
        work.remove()


def see_it_given_new_tasks_only(node, work, before):
    """Judge that the tasks that ran *before* stay, and that *node*, which is active again, is assigned new ones."""

    def unmoved():
        running = {task.id for task in work.running()}
        gone = [str(task) for task in before if task.id not in running]
        return State(not gone, f"replaced were {few(gone, '; ') or 'none'}")

    stays(unmoved, f"running tasks to stay where they are when {node} is active again")
    # The scheduler chooses the node with the fewest tasks.
    work.scale(6)

    def given():
        state, kept = work.converged(6), unmoved()
        done = state.done and kept.done and node.name in {task.node for task in work.running()}
        return State(done, f"{state.summary}; {kept.summary}")

    eventually(given, f"{node}, which is active again, to be given new tasks, and no other to be moved", deadline=60)


@claim("8.1.2/pause-keeps-tasks")
def test_a_paused_node_keeps_its_tasks_and_is_given_none(cluster):
    work = cluster.create_service("work", "idle", everywhere=True)
    eventually(lambda: one_on_each(work, cluster.nodes), "a task on every node", deadline=60)
    for node in cluster.nodes:
        before = lives(cluster, [task for task in work.running() if task.node == node.name])
        set_availability(cluster, node, "pause")
        see_it_given_nothing(cluster, node, "paused")
        after = lives(cluster, [task for task in work.running() if task.node == node.name])
        assert after == before, f"{node} was paused, and its task was {before} and is {after or 'gone'}"
        set_availability(cluster, node, "active")


@claim("8.1.2/drain-leaves-standalone")
def test_containers_of_docker_run_stay_on_a_drained_node(cluster):
    work = cluster.create_service("work", "idle", everywhere=True)
    for node in cluster.nodes:
        eventually(lambda: one_on_each(work, cluster.nodes), "a task on every node", deadline=60)
        drain_and_see_the_lone_one_stay(cluster, node, work)
        set_availability(cluster, node, "active")


def drain_and_see_the_lone_one_stay(cluster, drained, work):
    """Drain a node of its task; judge that its container of docker run runs on."""
    bench = cluster.bench(drained)
    lone = bench.start("idle")
    before = bench.inspect(lone)["State"]
    set_availability(cluster, drained, "drain")
    eventually(lambda: empty(cluster, work, drained), f"{drained} to be drained of its task", deadline=60)

    def untouched():
        now = bench.inspect(lone)["State"]
        same = all(now[key] == before[key] for key in ("Running", "Paused", "Pid", "StartedAt"))
        return State(same, f"it was {before['Status']} since {before['StartedAt']} and is {now['Status']}")

    stays(untouched, f"the container of docker run on {drained}, which is drained, to run on", polls=4)


@claim("8.1.2/drain-keeps-serving")
def test_the_service_answers_on_every_node_through_a_drain(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", replicas=3, publish={port: 80}, **hands_over())
    tasks = web.wait_running(3)
    drained = cluster.node(next(task.node for task in tasks if task.node != cluster.manager.name))
    eventually(lambda: answering(cluster.nodes, port), f"every node to answer on port {port}", stable=3, alike=True)
    history = History(web)
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        watch.mark(f"{drained} is to be drained")
        accepted(cluster.manager, f"node update --availability drain {drained}")
        eventually(
            lambda: web.converged(3, lambda task: task.node != drained.name, history.look()),
            f"the tasks of {drained} to be moved",
            deadline=90,
        )
        watch.mark(f"the tasks of {drained} are moved")
        watch.enough()
    note_mesh(cluster)
    assert not watch.lost, f"while {drained} was drained, {watch.summary}"
    others = strangers(watch, history)
    assert not others, f"others than the tasks of {web} answered: {others}; {watch.summary}"
