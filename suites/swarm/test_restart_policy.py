"""Restart policies: which tasks that ended are replaced, and how often."""

from fixtures.claims import claim
from suites.support.ending import ENDS_ON_DEMAND, end
from suites.support.placement import one_on_each, stays
from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled

SECOND = 10**9


def everywhere(cluster, **policy):
    """Create a service with a task on every node and a restart policy; return it when they run."""
    policy = {"Delay": 0, **policy}
    service = cluster.create_service("ending", "idle", everywhere=True, command=ENDS_ON_DEMAND, restart=policy)
    service.wait_running(len(cluster.nodes))
    return service


def expect_left(service, ended, how):
    """Expect that the tasks *ended* (ids) end and are not replaced: the service has no others."""

    def left():
        tasks = service.tasks()
        new = [str(task) for task in tasks if task.id not in ended]
        going = [str(task) for task in tasks if task.id in ended and task.state not in ENDED]
        summary = f"in their place: {few(new, '; ') or 'none'}; not ended: {few(going, '; ') or 'none'}"
        return State(not new and not going, summary, hopeless=bool(new))

    eventually(left, f"tasks {how} to end and not to be replaced", deadline=60)
    stays(left, f"tasks {how} not to be replaced", polls=5)


def expect_replaced(cluster, service, ended, how):
    """Expect that the tasks *ended* (ids) are replaced by others on every node, and return those."""

    def replaced():
        state = one_on_each(service, cluster.nodes)
        again = [str(task) for task in service.running() if task.id in ended]
        return State(state.done and not again, f"not replaced: {few(again, '; ') or 'none'}; {state.summary}")

    eventually(replaced, f"tasks {how} to be replaced", deadline=60)
    return service.running()


@claim("services/restart-none")
def test_with_the_condition_none_no_task_is_replaced(cluster):
    codes = (0, 1)
    works = parallel(lambda _: everywhere(cluster, Condition="none"), codes)
    tasks = [work.running() for work in works]
    for code, ending in zip(codes, tasks, strict=True):
        for task in ending:
            end(cluster, task, code)

    def judge(code):
        ended = {task.id for task in tasks[code]}
        expect_left(works[code], ended, f"that ended with {code}, with the restart condition none,")

    parallel(judge, codes)


@claim("services/restart-on-failure")
def test_with_the_condition_on_failure_only_failed_tasks_are_replaced(cluster):
    work = everywhere(cluster, Condition="on-failure")
    tasks = work.running()
    for task in tasks:
        end(cluster, task, 1)
    failed = {task.id for task in tasks}
    again = expect_replaced(cluster, work, failed, "that failed, with the restart condition on-failure,")
    for task in again:
        end(cluster, task, 0)
    ended = failed | {task.id for task in again}
    expect_left(work, ended, "that ended well, with the restart condition on-failure,")


@claim("services/restart-any")
def test_with_the_condition_any_every_task_that_ends_is_replaced(cluster):
    work = everywhere(cluster, Condition="any")
    ended = set()
    for code in (0, 1):
        tasks = work.running()
        for task in tasks:
            end(cluster, task, code)
        ended |= {task.id for task in tasks}
        expect_replaced(cluster, work, ended, f"that ended with {code}, with the restart condition any,")


@claim("services/restart-max-attempts")
def test_a_task_is_replaced_no_more_often_than_its_policy_allows(cluster):
    attempts = 2
    work = everywhere(cluster, Condition="any", MaxAttempts=attempts)
    ended = set()
    for turn in range(attempts + 1):
        tasks = work.running()
        for task in tasks:
            end(cluster, task, 1)
        ended |= {task.id for task in tasks}
        if turn < attempts:
            expect_replaced(cluster, work, ended, f"that may be replaced {attempts} times and were {turn} times")
    expect_left(work, ended, f"that were replaced {attempts} times, as often as they may,")


@claim("services/restart-window")
def test_a_restart_before_the_window_does_not_count(cluster):
    window = scaled(2)
    work = everywhere(cluster, Condition="any", MaxAttempts=1, Window=int(window * SECOND))
    ended = set()
    for how in ("that were never replaced", "that may be replaced once in the window, and were before it,"):
        tasks = work.running()
        if ended:
            eventually(lambda tasks=tasks: lived(cluster, tasks, window), f"tasks of {work} to outlive the window")
        for task in tasks:
            end(cluster, task, 1)
        ended |= {task.id for task in tasks}
        expect_replaced(cluster, work, ended, how)


def lived(cluster, tasks, seconds):
    """Whether the containers of *tasks* have run for more than so many seconds, by the clocks of their nodes."""
    ages = {}
    for task in tasks:
        node = cluster.node(task.node)
        started = node.ask("GET", f"/containers/{task.container}/json")["State"]["StartedAt"]
        ages[task.node] = seconds_of(node.info()["SystemTime"]) - seconds_of(started)
    young = [f"{age:.1f} s on {node}" for node, age in ages.items() if age <= seconds + 1]
    return State(not young, f"they run for {few(young)}")
