"""Services that are scaled, relabelled or updated by force, and tasks that a node cannot start."""

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.ending import AT_ONCE
from suites.support.placement import containers, lives, matched, one_on_each, stays
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait


@claim("services/scale-keeps-tasks")
def test_scaling_does_not_touch_tasks_that_stay(cluster):
    count = len(cluster.nodes)
    work = cluster.create_service("work", "idle", replicas=count)
    before = lives(cluster, work.wait_running(count))
    work.scale(2 * count + 1)
    more = lives(cluster, work.expect_running(2 * count + 1))
    changed = [f"{life[1]} on {life[0]}" for id, life in before.items() if more.get(id) != life]
    assert not changed, f"{work} was scaled up, and tasks that ran were replaced: {few(changed)}"
    work.scale(2)
    fewer = lives(cluster, work.expect_running(2))
    new = [f"{life[1]} on {life[0]}" for id, life in fewer.items() if more.get(id) != life]
    assert not new, f"{work} was scaled down, and the tasks that are left are new: {few(new)}"
    eventually(lambda: matched(cluster, work), f"the containers of {work} to be those of its 2 tasks", deadline=60)


def by_command(cluster):
    """Create a global service with the command line, which writes more into a specification than it has to."""
    name = cluster.unique("work")
    create = f"service create --detach --mode global --label {cluster.label} --name {name}"
    accepted(cluster.manager, f"{create} {cluster.image('idle')}")
    return cluster.service(name)


@claim("services/label-replaces-no-task")
def test_a_new_label_of_a_service_replaces_no_task(cluster):
    services = [by_command(cluster), cluster.create_service("work", "idle", everywhere=True)]
    before = {service: lives(cluster, service.wait_running(len(cluster.nodes))) for service in services}
    accepted(cluster.manager, f"service update --detach --label-add colour=red {services[0]}")
    services[1].update(lambda spec: spec["Labels"].update(colour="red"))
    for manager in cluster.managers:
        for service in services:
            labels = manager.ask("GET", f"/services/{service.id}")["Spec"]["Labels"]
            assert labels.get("colour") == "red", f"{service} was given a label, and {manager} shows {labels}"

    def untouched():
        wrong = []
        for service, then in before.items():
            tasks = service.tasks()
            wrong += [f"new is {task}" for task in tasks if task.id not in then]
            now = lives(cluster, [task for task in tasks if task.id in then])
            wrong += [f"{life} became {now.get(id)}" for id, life in then.items() if now.get(id) != life]
        return State(not wrong, few(wrong, "; "))

    stays(untouched, "the tasks of services that were given a label to run on")


@claim("services/force-replaces-all")
def test_a_forced_update_replaces_every_task(cluster):
    count = 2 * len(cluster.nodes)
    update = {"Parallelism": 0}
    work = cluster.create_service("work", "idle", replicas=count, update=update)
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True, update=update)
    before = {
        task.id: task
        for service in (work, everywhere)
        for task in service.wait_running(count if service is work else len(cluster.nodes))
    }
    services = (work, everywhere)
    for service in services:
        accepted(cluster.manager, f"service update --detach --force {service}")

    def replaced():
        states = [work.converged(count), one_on_each(everywhere, cluster.nodes)]
        kept = [str(task) for service in services for task in service.running() if task.id in before]
        summary = f"kept: {few(kept, '; ') or 'none'}; {'; '.join(state.summary for state in states)}"
        return State(all(states) and not kept, summary)

    eventually(replaced, "a forced update to replace every task", deadline=90)
    used = {task.container for task in before.values()}
    run = [f"{id[:12]} on {node}" for service in services for _, node, id in containers(cluster, service) if id in used]
    assert not run, f"tasks were replaced by force, and their containers run on: {few(run)}"


@claim("services/placed-where-it-starts")
def test_a_task_that_a_node_cannot_start_is_given_to_another(cluster, node_labels):
    bad, good = cluster.nodes[0], cluster.nodes[-1]
    bench = cluster.bench(good)
    folder = bench.folder()
    pool = node_labels.new("pool")
    node_labels.set(pool, {bad: "yes", good: "yes"})
    mounts = [{"Type": "bind", "Source": folder, "Target": "/data"}]
    work = cluster.create_service(
        "work", "idle", replicas=2, mounts=mounts, constraints=[f"node.labels.{pool}==yes"], restart=AT_ONCE
    )
    try:
        eventually(
            lambda: both_on(work, good),
            f"both tasks of {work} to run on {good}, as {bad} lacks the folder that they mount",
            deadline=120,
        )
    finally:
        work.remove()
        wait(lambda: not work.containers(good, all=True), f"{good} to end the tasks of {work}", deadline=60)
        bench.clear()


def both_on(service, node):
    """Whether two tasks run, both on *node*; that another node refuses them is what is judged here."""
    state = service.converged(2, lambda task: task.node == node.name)
    return State(state.done, state.summary)


@claim("services/back-after-restart")
def test_a_node_that_was_restarted_runs_its_part_again(cluster):
    count = len(cluster.nodes)
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True, restart=AT_ONCE)
    work = cluster.create_service("work", "idle", replicas=2 * count, restart=AT_ONCE)
    everywhere.wait_running(count)
    for node in (cluster.workers[0], cluster.manager):
        tasks = [*work.wait_running(2 * count), *everywhere.wait_running(count)]
        gone = {task.id for task in tasks if task.node == node.name}
        others = lives(cluster, [task for task in tasks if task.node != node.name])
        assert gone, f"no task was on {node}"
        node.stop()
        node.start()
        cluster.expect_ready()

        def back(gone=gone):
            states = [work.converged(2 * count), one_on_each(everywhere, cluster.nodes)]
            states += [matched(cluster, work), matched(cluster, everywhere)]
            again = [str(task) for task in (*work.running(), *everywhere.running()) if task.id in gone]
            wrong = [state.summary for state in states if not state]
            return State(not wrong and not again, f"still said to run: {few(again) or 'none'}; {few(wrong, '; ')}")

        eventually(back, f"{node}, which was restarted, to run its part of the services again", deadline=120)
        # Replicas of the node that was away may have come to others meanwhile.
        now = lives(cluster, [task for task in (*work.running(), *everywhere.running()) if task.id in others])
        new = [f"{life[1]} on {life[0]}" for id, life in others.items() if now.get(id) != life]
        assert not new, f"{node} was restarted, and tasks of other nodes were replaced: {few(new)}"
