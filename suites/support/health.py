"""Health checks of services, which a test fails and passes by files in the container."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.parallel import parallel
from swarmlab.wait import scaled

SECOND = 10**9
#: A check that fails while there is this file in the container.
SICK = "/run/sick"
WELL_UNLESS_SICK = f"[ ! -e {SICK} ]"


def checked(
    check: str, *, every: float = 1, timeout: float = 30, retries: int = 2, start: float = 0
) -> Callable[[dict[str, Any]], None]:
    """Return a change of a specification that gives it a health check.

    Args:
        check: a shell command.
        every: seconds between two checks.
        timeout: seconds after which a check has failed.
        retries: the failures in a row after which a container is unhealthy.
        start: seconds after the start of a container in which failures do not count.
    """
    settings = {
        "Test": ["CMD-SHELL", check],
        "Interval": int(every * SECOND),
        "Timeout": int(timeout * SECOND),
        "Retries": retries,
        **({"StartPeriod": int(start * SECOND)} if start else {}),
    }

    def alter(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"] = settings

    return alter


def slow_starter(cluster: Swarm) -> Service:
    """Create a service with a task on every node, whose containers are healthy once they have a file /tmp/healthy.

    They have /tmp/asked once the check has begun. They are unhealthy after longer than a test takes.
    """
    check = "touch /tmp/asked; until [ -e /tmp/healthy ]; do sleep 0.2; done"
    slow = checked(check, every=5, timeout=scaled(60), retries=10)
    return cluster.create_service("slow", "idle", everywhere=True, alter=slow)


def health_of(cluster: Swarm, task: Task) -> dict[str, Any]:
    """Return the health of a task's container as its engine describes it; empty if it has no check."""
    state = cluster.node(task.node).ask("GET", f"/containers/{task.container}/json")["State"]
    return dict(state.get("Health") or {})


def make_sick(cluster: Swarm, tasks: Iterable[Task], file: str = SICK) -> None:
    """Let the health checks of *tasks* fail from now on, which look for *file*."""

    def touch(task: Task) -> None:
        cluster.node(task.node).execute(task.container, f"touch {file}").expect(f"touch {file} in {task}")

    parallel(touch, tasks)
