"""8.2.2: the order of a task's states. The tasks of every other test are judged as well (fixtures/cluster.py)."""

import pytest

from fixtures.claims import claim
from swarmlab.lists import few
from swarmlab.wait import State, wait
from swarmlab.watching.events import Recorder


@claim("8.2.2/one-way")
def test_tasks_go_forward_only(cluster):
    go_one_way(cluster)


@claim("8.2.2/one-way")
@pytest.mark.cluster(managers=3, workers=0)
def test_tasks_go_forward_only_as_each_of_three_managers_tells_it(cluster):
    go_one_way(cluster)


def go_one_way(cluster):
    """Let tasks end in each of the possible states, watch all of them closely, and judge the order of their states."""
    count = len(cluster.nodes)
    closely = cluster.lifelines.sampled(cluster.nodes, every=0.05, share=0.5, label=cluster.label)
    with Recorder(cluster.nodes, every=0.5) as events, closely:
        services = {
            "complete": cluster.create_service(
                "done", "idle", everywhere=True, command=["true"], restart={"Condition": "on-failure"}
            ),
            "failed": cluster.create_service(
                "failing", "idle", replicas=count, command=["false"], restart={"Delay": int(1e9), "MaxAttempts": 2}
            ),
            "rejected": cluster.create_service(
                "refused",
                "idle",
                everywhere=True,
                mounts=[{"Type": "bind", "Source": "/var/tmp/swc-missing", "Target": "/data"}],
                restart={"Condition": "none"},
            ),
            "shutdown": cluster.create_service("replaced", "idle", replicas=2 * count, update={"Parallelism": 0}),
        }
        services["shutdown"].wait_running(2 * count)
        services["shutdown"].renew()
        for state, service in services.items():
            wait(lambda s=service, w=state: has_ended(s, w, count), f"tasks of {service} to be {state}", deadline=90)
        services["shutdown"].wait_running(2 * count)
        services["shutdown"].scale(1)
        services["shutdown"].wait_running(1)
        for service in services.values():
            service.remove()
        ids = {service.id for service in services.values()}
        wait(lambda: not cluster.with_tasks() & ids, "the tasks of the removed services to be forgotten", deadline=90)
    back = cluster.lifelines.went_back()
    assert not back, few(back, "; ")
    again = events.started_again()
    assert not again, few(again, "; ")


def has_ended(service, state, count):
    """Whether at least *count* tasks of *service* are in *state*."""
    tasks = service.tasks()
    ended = [task for task in tasks if task.state == state]
    return State(len(ended) >= count, few(map(str, tasks), "; "))
