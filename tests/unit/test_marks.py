"""Marks: when an overlay network is deleted."""

import pytest

from swarmlab.cluster.marks import network_removed
from swarmlab.errors import EngineRefused


def task(network="", node="ready", state="running", desired="running"):
    attached = [{"Network": {"ID": network, "Spec": {"Name": "net"}}}] if network else None
    return {
        "ID": "t1" if network else "t0",
        "NodeID": node,
        "Status": {"State": state},
        "DesiredState": desired,
        "NetworksAttachments": attached,
    }


class Manager:
    """A manager with these tasks, which notes what it is asked to delete."""

    def __init__(self, *tasks, refusal=None):
        self.tasks, self.refusal, self.deleted = tasks, refusal, []

    def ask(self, method, path):
        if method == "DELETE":
            self.deleted.append(path)
            if self.refusal:
                raise self.refusal
            return ""
        states = {"ready": "ready", "lost": "down"}
        members = [{"ID": node, "Status": {"State": state}} for node, state in states.items()]
        return {"/nodes": members, "/tasks": list(self.tasks)}[path]


@pytest.mark.parametrize("network", ["n1", "net"])
@pytest.mark.parametrize("states", [("running", "remove"), ("shutdown", "remove"), ("preparing", "shutdown")])
def test_a_network_is_not_deleted_while_a_task_uses_it(network, states):
    manager = Manager(task(), task("n1", "ready", *states))
    state = network_removed(manager, network)
    assert not state
    assert state.summary == "in use by 1 tasks, such as t1"
    assert manager.deleted == []


@pytest.mark.parametrize(
    "tasks",
    [
        (),
        (task("n2"),),
        (task("n1", node="lost"),),
        (task("n1", node=""),),
        (task("n1", state="shutdown", desired="shutdown"), task("n1", state="failed", desired="shutdown")),
    ],
)
def test_other_networks_nodes_that_are_down_and_ended_tasks_do_not_count(tasks):
    manager = Manager(*tasks)
    assert network_removed(manager, "n1")
    assert manager.deleted == ["/networks/n1"]


@pytest.mark.parametrize(("status", "gone"), [(404, True), (403, False)])
def test_a_network_that_is_gone_is_removed_and_one_that_is_refused_is_not(status, gone):
    manager = Manager(refusal=EngineRefused("master", status, "network n1 …"))
    assert bool(network_removed(manager, "n1")) is gone
