from types import SimpleNamespace

import pytest

from suites.support.memory import expect_tasks_killed
from swarmlab.cluster.node import Result
from swarmlab.errors import Blocked, LabError


def cluster(**panics):
    def node(name, value):
        return SimpleNamespace(
            name=name,
            look=lambda command: Result(command, 0, f"{value}\n", ""),
            run=lambda command: Result(command, 0, "/dev/sda2 partition 1 0 -2\n", ""),
            info=lambda: {"SwapLimit": name != "swapping"},
        )

    return SimpleNamespace(nodes=[node(name, value) for name, value in panics.items()])


def test_no_task_runs_out_of_memory_where_the_kernel_would_panic():
    expect_tasks_killed(cluster(m1=0, w1=1))
    with pytest.raises(Blocked, match=r"the kernel of w1 panics .*panic_on_oom is 2"):
        expect_tasks_killed(cluster(m1=0, w1=2))
    with pytest.raises(Blocked, match="the kernel of swapping limits no swap"):
        expect_tasks_killed(cluster(m1=0, swapping=0))
    with pytest.raises(LabError, match="w1 cannot read"):
        expect_tasks_killed(cluster(m1=0, w1=""))
