"""8.2.1 and 8.2.2: services, tasks and containers, and the replacement of those that end."""

from fixtures.claims import claim
from suites.support.ending import AT_ONCE, ENDS_ON_DEMAND, end
from suites.support.placement import containers, lives, matched, one_on_each, stays
from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.wait import State, eventually

#: Ways to end the container of a task, each as a shell command on its node.
WAYS = {
    "killed": "docker kill {container}",
    "stopped": "docker stop {container}",
    "removed": "docker rm -f {container}",
    "its process ended by the machine": "kill -9 $(docker inspect --format '{{{{ .State.Pid }}}}' {container})",
}


@claim("8.2.1/desired-state")
def test_the_manager_restores_what_containers_are_lost(cluster):
    work = cluster.create_service("work", "idle", everywhere=True, restart=AT_ONCE)
    several = cluster.create_service("several", "idle", replicas=2 * len(cluster.nodes), restart=AT_ONCE)
    eventually(lambda: one_on_each(work, cluster.nodes), "a task on every node", deadline=60)
    for way, command in WAYS.items():
        several.wait_running(2 * len(cluster.nodes))
        lost = [*work.running(), *several.running()[:2]]
        for task in lost:
            done = cluster.node(task.node).run(command.format(container=task.container))
            done.expect(f"the command after which the container of {task} is {way}", error=AssertionError)
        gone = {task.id for task in lost}

        def restored(gone=gone):
            again = [str(task) for task in [*work.running(), *several.running()] if task.id in gone]
            states = [one_on_each(work, cluster.nodes), several.converged(2 * len(cluster.nodes))]
            states += [matched(cluster, work), matched(cluster, several)]
            wrong = [state.summary for state in states if not state]
            return State(not again and not wrong, "; ".join(wrong) or f"still said to run: {again}")

        eventually(restored, f"tasks whose container was {way} to be replaced on every node", deadline=90)


@claim("8.2.1/tasks-independent")
def test_the_failure_of_a_task_leaves_the_others_alone(cluster):
    count = 2 * len(cluster.nodes)
    work = cluster.create_service("work", "idle", replicas=count, command=ENDS_ON_DEMAND, restart=AT_ONCE)
    for node in cluster.sample:
        tasks = work.wait_running(count)
        failed = next((task for task in tasks if task.node == node.name), None)
        assert failed, f"{node} was given none of {count} tasks: {few(map(str, tasks), '; ')}"
        others = [task for task in tasks if task is not failed]
        before = lives(cluster, others)
        end(cluster, failed, 1)
        eventually(
            lambda failed=failed: State(
                (state := work.converged(count)).done and failed.id not in {task.id for task in work.running()},
                state.summary,
            ),
            f"the failed task on {node} to be replaced",
            deadline=60,
        )
        gone = [str(task) for task in others if task.id not in {now.id for now in work.running()}]
        assert not gone, f"a task on {node} failed, and others went with it: {gone}"
        after = lives(cluster, others)
        touched = [f"{before[id]} became {after[id]}" for id in before if before[id] != after[id]]
        assert not touched, f"a task on {node} failed, and others were touched: {few(touched, '; ')}"


@claim("8.2.1/one-container-per-task")
def test_each_task_has_one_container_that_carries_its_id(cluster):
    count = 2 * len(cluster.nodes)
    work = cluster.create_service("work", "idle", replicas=count, command=ENDS_ON_DEMAND, restart=AT_ONCE)
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    tasks = work.wait_running(count)
    eventually(lambda: one_on_each(everywhere, cluster.nodes), "a task on every node", deadline=60)
    lacking = {node.name for node in cluster.nodes} - {task.node for task in tasks}
    assert not lacking, f"of {count} tasks none was given to {few(sorted(lacking))}"
    for service in (work, everywhere):
        eventually(lambda service=service: matched(cluster, service), f"one container for each task of {service}")
    # The same after tasks have ended and others have replaced them.
    for task in tasks[::2]:
        end(cluster, task, 1)
    ended = {task.id for task in tasks[::2]}
    eventually(
        lambda: State(
            (state := work.converged(count)).done and not ended & {task.id for task in work.running()}, state.summary
        ),
        "the tasks that ended to be replaced",
        deadline=60,
    )
    stays_matched(cluster, work, f"one container for each task of {work}, of which some were replaced")
    work.scale(1)
    work.wait_running(1)
    stays_matched(cluster, work, f"one container for the only task of {work}, which had {count}")


def stays_matched(cluster, service, promise):
    """Expect that tasks and containers come to match, and match from then on."""
    eventually(lambda: matched(cluster, service), promise)
    stays(lambda: matched(cluster, service), promise, polls=4)


@claim("8.2.1/task-ends-with-container")
def test_a_task_ends_when_its_container_does(cluster):
    def service():
        return cluster.create_service(
            "work", "idle", everywhere=True, command=ENDS_ON_DEMAND, restart={"Condition": "none"}, stop_grace=1
        )

    ways = {
        "ended well": "docker exec {container} sh -c 'echo 0 > /run/end'",
        "failed": "docker exec {container} sh -c 'echo 3 > /run/end'",
        **WAYS,
    }
    services = {way: service() for way in ways}
    for way, work in services.items():
        eventually(lambda work=work: one_on_each(work, cluster.nodes), "a task on every node", deadline=60)
        for task in work.running():
            done = cluster.node(task.node).run(ways[way].format(container=task.container))
            # A process that ends at once may end the command in its container too (137).
            assert done.ok or done.code == 137, f"the container of {task} has not {way}: {done.output}"
    for way, work in services.items():
        eventually(
            lambda work=work: State(
                not (left := [str(task) for task in work.tasks() if task.state not in ENDED]), "; ".join(left)
            ),
            f"tasks to end when their container is: {way}",
            deadline=60,
        )
        tasks = work.tasks()
        assert len(tasks) == len(cluster.nodes), f"no task must be replaced; the tasks are {[*map(str, tasks)]}"
        wrong = [str(task) for task in tasks if (task.state == "complete") != (way == "ended well")]
        assert not wrong, f"containers {way}, and their tasks do not show it: {wrong}"
        left = [f"{container[:12]} on {node}" for _, node, container in containers(cluster, work)]
        assert not left, f"tasks have ended, and containers run: {few(left)}"


@claim("8.2.2/slot-refilled")
def test_a_crashed_task_is_replaced_in_its_slot(cluster):
    count = 2 * len(cluster.nodes)
    work = cluster.create_service("work", "idle", replicas=count, command=ENDS_ON_DEMAND, restart=AT_ONCE)
    before = {task.slot: task for task in work.wait_running(count)}
    slots = set(range(1, count + 1))
    assert set(before) == slots, f"the slots of {count} tasks are {sorted(before)}"
    lacking = {node.name for node in cluster.nodes} - {task.node for task in before.values()}
    assert not lacking, f"of {count} tasks none was given to {few(sorted(lacking))}"
    for task in before.values():
        end(cluster, task, 1)
    crashed = {task.id for task in before.values()}

    def refilled():
        state = work.converged(count)
        same = [str(task) for task in work.running() if task.id in crashed]
        return State(state.done and not same, f"crashed and said to run: {same}; {state.summary}")

    eventually(refilled, f"{count} crashed tasks to be replaced", deadline=90)
    after = {task.slot: task for task in work.running()}
    assert set(after) == slots, f"{count} tasks crashed, and after that slots are {sorted(after)}"
    used = {task.container for task in before.values()}
    again = [f"{task} in {task.container[:12]}" for task in after.values() if task.container in used]
    assert not again, f"crashed tasks were replaced in containers of old: {few(again, '; ')}"
    ended = {task.id: task for task in work.tasks() if task.id in crashed}
    moved = [str(task) for slot, task in before.items() if task.id in ended and ended[task.id].slot != slot]
    assert not moved, f"crashed tasks have changed their slots: {moved}"


@claim("8.2.2/failed-is-not-restarted")
def test_a_failed_task_stays_as_it_ended(cluster):
    work = cluster.create_service("work", "idle", everywhere=True, command=ENDS_ON_DEMAND, restart=AT_ONCE)
    eventually(lambda: one_on_each(work, cluster.nodes), "a task on every node", deadline=60)
    known = {}
    for code in (3, 4):  # the second failures come when the first are in the history
        crashed = work.running()
        for task in crashed:
            end(cluster, task, code)
        ids = {task.id for task in crashed}
        eventually(
            lambda ids=ids: State(
                (state := one_on_each(work, cluster.nodes)).done
                and not ids & {task.id for task in work.running()}
                and all(task.state in ENDED for task in work.tasks() if task.id in ids),
                state.summary,
            ),
            "every failed task to be replaced",
            deadline=60,
        )
        listed = {task.id: task for task in work.tasks()}
        for task in crashed:
            assert task.id in listed, f"the task that failed on {task.node} is in no history"
            ended = listed[task.id]
            listed_as = (ended.state, ended.exit_code, ended.container)
            wanted = ("failed", code, task.container)
            assert listed_as == wanted, f"a task failed on {task.node} with {code}, it is listed as {listed_as}"
            known[task.id] = ended

    def as_they_ended():
        listed = {task.id: task for task in work.tasks()}
        changed = [
            f"{task} on {task.node} became {listed.get(id) or 'unknown'}"
            for id, task in known.items()
            if listed.get(id) != task
        ]
        run = {container for _, _, container in containers(cluster, work)}
        changed += [f"the container of {task} runs again" for task in known.values() if task.container in run]
        return State(not changed, few(changed, "; "))

    stays(as_they_ended, "failed tasks to stay as they ended")
