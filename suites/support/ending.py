"""Tasks whose process ends when the test says so, and how a process in a container ends."""

from __future__ import annotations

from typing import Any

from swarmlab.cluster.service import Task
from swarmlab.cluster.swarm import Swarm

#: Ends with the exit code that is written into /run/end, or by a signal.
ENDS_ON_DEMAND = ["sh", "-c", "trap 'exit 143' TERM; until [ -s /run/end ]; do sleep 0.2; done; exit $(cat /run/end)"]
#: Tasks are replaced at once; by default the swarm waits five seconds.
AT_ONCE: dict[str, Any] = {"Condition": "any", "Delay": 0}


def end(cluster: Swarm, task: Task, code: int) -> None:
    """Have the process of a task (of `ENDS_ON_DEMAND`) end by itself with this exit code.

    Raises:
        AssertionError: it was not told to end.
    """
    host = cluster.node(task.node)
    done = host.docker(f"exec {task.container} sh -c 'echo {code} > /run/end'")
    # A process that ends at once may end the command in its container too (137).
    assert done.ok or done.code == 137, f"{task} was not told to end: {done.output}"
