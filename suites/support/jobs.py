"""Jobs: services whose tasks run until they are complete."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.wait import State

#: Failed tasks of a job are tried again at once.
RETRIED: dict[str, Any] = {"Condition": "on-failure", "Delay": 0}


def replicated_job(cluster: Swarm, total: int, *, at_once: int, **settings: Any) -> Service:
    """Create a job that is complete when *total* tasks are, of which at most *at_once* run at a time.

    Args:
        cluster: the swarm.
        total: the number of completions.
        at_once: the most tasks that run at the same time.
        settings: further settings of the service.
    """
    return _job(cluster, {"ReplicatedJob": {"TotalCompletions": total, "MaxConcurrent": at_once}}, settings)


def global_job(cluster: Swarm, **settings: Any) -> Service:
    """Create a job that is complete when a task is on every node that its constraints allow."""
    return _job(cluster, {"GlobalJob": {}}, settings)


def _job(cluster: Swarm, mode: dict[str, Any], settings: dict[str, Any]) -> Service:
    def alter(spec: dict[str, Any]) -> None:
        spec["Mode"] = mode

    return cluster.create_service("job", "idle", alter=alter, **{"restart": RETRIED, **settings})


def at_work(service: Service, besides: Collection[str] = ()) -> list[Task]:
    """Return the tasks of a job that run, without those of the ids *besides*."""
    return [task for task in service.tasks() if task.state == "running" and task.id not in besides]


def completed(
    service: Service, count: int, *, besides: Collection[str] = (), where: Callable[[list[Task]], str] = lambda _: ""
) -> State:
    """Whether the job has *count* complete tasks and no others; hopeless if it has more.

    Args:
        service: the job.
        count: the number of complete tasks.
        besides: ids of tasks that do not count.
        where: returns what is wrong with the complete tasks; empty if nothing is.
    """
    tasks = [task for task in service.tasks() if task.id not in besides]
    complete = [task for task in tasks if task.state == "complete"]
    others = [task for task in tasks if task.state != "complete"]
    wrong = where(complete)
    summary = f"{len(complete)} complete, wanted {count}"
    summary += f"; {wrong}" if wrong else ""
    summary += f"; others: {few(map(str, others), '; ')}" if others else ""
    return State(len(complete) == count and not others and not wrong, summary, hopeless=len(complete) > count)
