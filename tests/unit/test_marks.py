"""Marks: when an overlay network is deleted."""

import pytest

from swarmlab.cluster.marks import network_removed
from swarmlab.errors import EngineRefused


def attached(network, node="ready"):
    return {"ID": "t1", "NodeID": node, "NetworksAttachments": [{"Network": {"ID": network, "Spec": {"Name": "net"}}}]}


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
def test_a_network_is_not_deleted_while_a_task_uses_it(network):
    manager = Manager({"ID": "t0", "NodeID": "ready"}, attached("n1"))
    state = network_removed(manager, network)
    assert not state
    assert state.summary == "in use by 1 tasks, such as t1"
    assert manager.deleted == []


@pytest.mark.parametrize("tasks", [(), (attached("n2"),), (attached("n1", node="lost"),), (attached("n1", node=""),)])
def test_tasks_of_other_networks_and_of_nodes_that_are_down_do_not_count(tasks):
    manager = Manager(*tasks)
    assert network_removed(manager, "n1")
    assert manager.deleted == ["/networks/n1"]


@pytest.mark.parametrize(("status", "gone"), [(404, True), (403, False)])
def test_a_network_that_is_gone_is_removed_and_one_that_is_refused_is_not(status, gone):
    manager = Manager(refusal=EngineRefused("master", status, "network n1 …"))
    assert bool(network_removed(manager, "n1")) is gone
