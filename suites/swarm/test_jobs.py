"""Jobs: services whose tasks run to their end, once."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.ending import AT_ONCE, ENDS_ON_DEMAND, end
from suites.support.jobs import at_work, completed, global_job, replicated_job
from suites.support.placement import containers, count_by_node, stays
from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait

# moby#44312, mended by swarmkit#3112: nothing but another leader removes these tasks.
pytestmark = pytest.mark.touches("leave tasks of removed jobs, which engines before 24.0 keep", unless="api>=1.43")

#: Ends well after a moment, in which managers see it run.
ENDS_WELL = ["sh", "-c", "sleep 1"]


@claim("jobs/replicated-completes")
def test_a_replicated_job_has_as_many_complete_tasks_as_declared_and_ends(cluster):
    total = 2 * len(cluster.nodes) + 1
    # For a job the restart condition any, which is the default of services, is the same as on-failure.
    job = replicated_job(cluster, total, at_once=total, command=ENDS_WELL, restart=AT_ONCE)
    eventually(lambda: completed(job, total), f"{total} tasks of {job} to complete", deadline=90)
    lasting(cluster, job, total)
    tasks = job.tasks()
    used = {task.node for task in tasks}
    assert len(used) > 1, f"all {total} tasks of {job} were on {few(used)}, of {len(cluster.nodes)} nodes"
    for task in tasks:
        state = cluster.node(task.node).ask("GET", f"/containers/{task.container}/json")["State"]
        ended = (state["Running"], state["ExitCode"])
        assert ended == (False, 0), f"a task of {job} on {task.node} is complete, and its container is {ended}"


def lasting(cluster, job, count, besides=()):
    """Expect that the complete tasks of a job stay as they are, and no container of it runs."""

    def ended():
        state = completed(job, count, besides=besides)
        left = [f"{container[:12]} on {node}" for _, node, container in containers(cluster, job)]
        return State(state.done and not left, f"{state.summary}; running: {few(left) or 'none'}")

    stays(ended, f"{job}, all {count} tasks of which are complete, to run no more", polls=6)


@claim("jobs/max-concurrent")
def test_a_job_runs_no_more_tasks_at_a_time_than_it_may(cluster):
    at_once, total = 2, 5
    job = replicated_job(cluster, total, at_once=at_once, command=ENDS_ON_DEMAND)
    ended = set()
    while len(ended) < total:
        wanted = min(at_once, total - len(ended))
        promise = f"{wanted} tasks of {job} to run at a time, as {len(ended)} of {total} have ended"
        eventually(lambda wanted=wanted: at_a_time(cluster, job, wanted, at_once, ended), promise, deadline=60)
        stays(lambda wanted=wanted: at_a_time(cluster, job, wanted, at_once, ended), promise, polls=3)
        for task in at_work(job, besides=ended)[:at_once]:
            end(cluster, task, 0)
            ended.add(task.id)
    eventually(lambda: completed(job, total), f"{job} to be complete", deadline=60)


def at_a_time(cluster, job, wanted, most, ended):
    """Whether *wanted* tasks besides those that were *ended* run; hopeless if more than *most* have begun."""
    begun = [task for task in job.tasks() if task.state not in ENDED]
    running = [task for task in begun if task.state == "running" and task.id not in ended]
    run = sum(count_by_node(job, cluster.nodes).values())
    summary = f"{len(running)} tasks run, {run} containers do, at most {most} may begin: {few(map(str, begun), '; ')}"
    done = len(running) == len(begun) == run == wanted
    return State(done, summary, hopeless=len(begun) > most)


@claim("jobs/global-completes")
def test_a_global_job_completes_once_on_every_node(cluster):
    job = global_job(cluster, command=ENDS_WELL)
    count = len(cluster.nodes)

    def once_on_each(tasks):
        where = [task.node for task in tasks]
        return few(f"{where.count(node.name)} on {node}" for node in cluster.nodes if where.count(node.name) != 1)

    promise = f"{job} to complete once on each of {count} nodes"
    eventually(lambda: completed(job, count, where=once_on_each), promise, deadline=90)
    lasting(cluster, job, count)


@claim("jobs/forced-update-runs-again")
@pytest.mark.parametrize("kind", ["replicated", "global"])
def test_a_forced_update_runs_a_job_again(cluster, kind):
    count = len(cluster.nodes)
    job = (
        global_job(cluster, command=ENDS_WELL)
        if kind == "global"
        else replicated_job(cluster, count, at_once=count, command=ENDS_WELL)
    )
    wait(lambda: completed(job, count), f"{job} to be complete", deadline=90)
    first = {task.id: task for task in job.tasks()}
    accepted(cluster.manager, f"service update --detach --force {job}")
    promise = f"a forced update to run {job}, a {kind} job, again: {count} more tasks that complete"
    eventually(lambda: completed(job, count, besides=first), promise, deadline=90)
    lasting(cluster, job, count, besides=first)
    # Engines may forget the tasks of the time before. Those that are listed are as they ended.
    changed = [str(task) for task in job.tasks() if task.id in first and task.state != "complete"]
    assert not changed, f"{job} was run again, and tasks that were complete became: {few(changed, '; ')}"


@claim("jobs/failed-is-retried")
def test_a_failed_task_of_a_job_is_tried_again_until_it_completes(cluster):
    job = replicated_job(cluster, 2, at_once=2, command=ENDS_ON_DEMAND)
    wait(lambda: len(at_work(job)) == 2, f"2 tasks of {job} to run", deadline=60)
    bad, good = at_work(job)
    end(cluster, good, 0)
    ended = {good.id}
    for code in (3, 4):
        end(cluster, bad, code)
        ended.add(bad.id)
        promise = f"a task of {job} that failed with exit code {code} to be tried again, and the complete one not"
        eventually(lambda: retried(job, ended), promise, deadline=60)
        (bad,) = at_work(job, besides=ended)
    end(cluster, bad, 0)

    def over():
        states = sorted(task.state for task in job.tasks())
        # How many failed tasks are kept is a setting of the swarm.
        return State(states.count("complete") == 2 and set(states) <= {"complete", "failed"}, few(states))

    eventually(over, f"{job} to be complete once the task that failed has ended well", deadline=60)
    stays(over, f"{job}, which is complete, to run no more", polls=4)


def retried(job, ended):
    """Whether one task of a job runs, besides those that have *ended*; hopeless if there are more."""
    others = [task for task in job.tasks() if task.id not in ended]
    state = few(map(str, others), "; ") or "no task"
    done = [task.state for task in others] == ["running"]
    return State(done, f"besides {len(ended)} that ended: {state}", hopeless=len(others) > 1)


@claim("jobs/listed-completions")
def test_lists_show_how_many_tasks_of_a_job_are_complete(cluster):
    job = replicated_job(cluster, 3, at_once=2, command=ENDS_ON_DEMAND)
    done = set()
    for run in (2, 2, 1):
        wait(lambda run=run: len(at_work(job, besides=done)) == run, f"{run} tasks of {job} to run", deadline=60)
        promise = f"lists to show {len(done)} of 3 tasks of {job} complete, and {run} that run"
        eventually(lambda run=run: listed(cluster, job, run, len(done)), promise)
        task = at_work(job, besides=done)[0]
        end(cluster, task, 0)
        done.add(task.id)
    eventually(lambda: listed(cluster, job, 0, 3), f"lists to show all 3 tasks of {job} complete")


def listed(cluster, job, run, complete):
    """Whether every manager counts so many running and complete tasks of a job of three, in the API and in a table."""
    wrong = []
    for manager in cluster.managers:
        (found,) = manager.ask("GET", "/services", filters={"id": [job.id]}, status=True)
        status = found.get("ServiceStatus") or {}
        told = (status.get("RunningTasks"), status.get("CompletedTasks"))
        if told != (run, complete):
            wrong.append(f"the API of {manager} says {told[0]} run and {told[1]} are complete")
        rows = accepted(manager, "service ls").splitlines()
        row = next((row for row in rows if job.name in row), "nothing")
        if f"{run}/" not in row or f"({complete}/3 completed)" not in row:
            wrong.append(f"docker service ls on {manager} shows {row}")
    return State(not wrong, few(wrong, "; ") or "as it is")
