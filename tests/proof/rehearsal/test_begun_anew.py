"""A manager begins anew from its state while the managers' port is in use; a node begins anew without its state.

`make proof-rehearsal`.
"""

import pytest

from suites.support.upgrade.way_back import begun_anew
from swarmlab.cluster.swarm import Swarm, init
from swarmlab.errors import LabError
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.standing import CLUSTER
from swarmlab.ownership import LABEL
from swarmlab.wait import eventually
from tests.proof.planting import background
from tests.proof.rehearsal.sabotage import put_settings

pytestmark = pytest.mark.lab

#: Listens at the managers' port for six seconds, at an address that no manager uses.
_HOLD = """python3 -c '
import socket, time
held = socket.create_server(("127.0.0.1", 2377))
time.sleep(6)
'"""


def test_a_port_that_is_in_use_for_a_while_is_asked_for_again(lab):
    nodes = lab.more(1)
    [node] = nodes
    try:
        init(node)
        swarm = Swarm(nodes, image=lab.image)
        swarm.wait_ready()
        before = node.node_id(), node.ask("GET", "/swarm")["ID"]
        node.run(background(_HOLD))
        eventually(lambda: node.run("ss -Hltn src 127.0.0.1:2377 | grep -q .").ok, "the managers' port to be in use")
        refused = begun_anew(node)
        assert not refused.done, "nothing was in the way of a manager that was to begin anew"
        assert "already in use" in refused.summary
        eventually(lambda: begun_anew(node), f"{node} to begin anew", deadline=30)
        swarm.wait_ready()
        assert (node.node_id(), node.ask("GET", "/swarm")["ID"]) == before
    finally:
        lab.remove(nodes)


def test_a_node_whose_new_engine_does_not_start_is_set_up_anew_and_removed_whole(lab, monkeypatch):
    nodes = lab.more(1)
    [node] = nodes
    cluster, _ = lab.cluster_of(node)
    mine = {"label": [f"{LABEL}={lab.name}", f"{CLUSTER}={cluster}"]}
    try:
        node.docker("volume create kept").expect()
        monkeypatch.setattr(DindLab, "on_upgrade", [lambda _, container: put_settings(container, "no settings")])
        with pytest.raises(LabError, match="ended at once"):
            lab.upgrade(node, "28.5.2")
        lab.wipe(node)
        put_settings(node.container, "{}")
        node.start()
        assert node.docker("volume ls -q").expect() == ""
        assert len(lab.outer.client.containers.list(all=True, filters=mine)) == 2
    finally:
        lab.remove(nodes)
    assert lab.outer.client.containers.list(all=True, filters=mine) == []
    assert lab.outer.client.volumes.list(filters=mine) == []
