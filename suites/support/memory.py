"""Nodes on which a task may be let take more memory than its limit."""

from __future__ import annotations

from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, LabError
from swarmlab.lists import few
from swarmlab.parallel import parallel

#: The setting by which a kernel panics also where a control group alone is out of memory.
_PANICS = "/proc/sys/vm/panic_on_oom"


def expect_tasks_killed(cluster: Swarm) -> None:
    """Check that no node does anything but kill a task that takes more memory than its limit.

    Raises:
        Blocked: a node's kernel would panic, or lets such a task go on in the swap, which it does not limit.
        LabError: a node does not say what its kernel would do.

    Source:
        Linux, Documentation/admin-guide/sysctl/vm.rst (panic_on_oom)
    """
    set_to = parallel(lambda node: node.look(f"cat {_PANICS}").out.strip(), cluster.nodes)
    if silent := [node.name for node, value in zip(cluster.nodes, set_to, strict=True) if not value]:
        raise LabError(f"{few(silent)} cannot read {_PANICS}")
    if panicking := [node.name for node, value in zip(cluster.nodes, set_to, strict=True) if value == "2"]:
        raise Blocked(f"the kernel of {few(panicking)} panics where a task is out of memory (vm.panic_on_oom is 2)")
    able = [
        node.name
        for node in cluster.nodes
        if not node.info()["SwapLimit"] and node.look("tail -n +2 /proc/swaps").expect().strip()
    ]
    if able:
        raise Blocked(f"the kernel of {few(able)} limits no swap, and there is swap")
