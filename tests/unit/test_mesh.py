"""The mesh that a test broke is mended, by what a manager is told."""

import pytest

from suites.support.mesh import mend
from swarmlab.cluster.node import Result

INGRESS = {"Name": "ingress", "Driver": "overlay", "Ingress": True}


class Member:
    def __init__(self, name, cluster):
        self.name, self.ask, self.docker = name, cluster.ask, cluster.docker

    def node_id(self):
        return f"id-of-{self.name}"


class Told:
    """A swarm of a manager and a worker that notes what it is told."""

    def __init__(self, *networks):
        self.networks, self.commands, self.labels = list(networks), [], {"id-of-master": {}, "id-of-slave01": {}}
        self.nodes = [Member("master", self), Member("slave01", self)]
        self.manager, self.ready = self.nodes[0], False

    def ask(self, method, path, body=None, **_):
        if method == "POST":
            self.commands.append(f"{path} {body['Name']}")
            self.networks.append(body)
        return self.networks

    def docker(self, command):
        self.commands.append(command)
        *_, change, id = command.split()
        name, _, value = change.partition("=")
        self.labels[id] |= {name: value} if "--label-add" in command else {}
        if "--label-rm" in command:
            del self.labels[id][name]
        return Result(command, 0, "", "")

    def members(self):
        return [{"ID": id, "Spec": {"Labels": labels}} for id, labels in self.labels.items()]

    def unique(self, name):
        return f"swc-{name}"

    def wait_ready(self):
        self.ready = True


@pytest.mark.parametrize("networks", [[], [INGRESS]], ids=["gone", "there"])
def test_the_mesh_is_made_again_and_every_node_is_written(networks):
    cluster = Told(*networks)
    mend(cluster, INGRESS)
    assert cluster.networks == [INGRESS]
    for id in ("id-of-master", "id-of-slave01"):
        assert f"node update --label-add swc-mesh=anew {id}" in cluster.commands
    assert cluster.labels == {"id-of-master": {}, "id-of-slave01": {}}
    assert cluster.ready
