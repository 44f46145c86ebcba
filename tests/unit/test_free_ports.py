"""The ports that the suites may publish on a swarm that exists are looked at on every node."""

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import LabError
from swarmlab.labs.existing.fitness import ports_in_use

HEAD = "  sl  local_address rem_address   st\n"
LISTENS = "   0: 00000000:7530 00000000:0000 0A\n"
CONNECTED = "   1: 0100007F:7531 0100007F:9C40 01\n"


class Node:
    def __init__(self, name, table=HEAD, code=0, containers=()):
        self.name, self._table, self._code, self._containers = name, table, code, containers

    def __str__(self):
        return self.name

    def ask(self, method, path, **_):
        assert (method, path) in (("GET", "/services"), ("GET", "/configs"))
        return []

    def containers(self):
        return list(self._containers)

    def look(self, command):
        return Result(command, self._code, self._table, "", self.name)


def test_what_listens_is_named_with_its_node():
    nodes = [Node("master"), Node("slave01", HEAD + LISTENS + CONNECTED)]
    assert list(ports_in_use(range(30000, 30010), nodes)) == ["port 30000: something listens on it on slave01"]
    assert not list(ports_in_use(range(30001, 30010), nodes))


def test_what_the_suite_publishes_itself_does_not_count():
    own = {"Names": ["/swc-box-0a1b2c"], "Labels": {}, "Ports": [{"PrivatePort": 80, "PublicPort": 30000}]}
    nodes = [Node("master", containers=[own]), Node("slave01", HEAD + LISTENS)]
    assert not list(ports_in_use(range(30000, 30010), nodes))


def test_a_node_that_does_not_tell_is_not_taken_for_free():
    with pytest.raises(LabError, match="reading /proc/net/tcp of slave01 ended with 126"):
        list(ports_in_use(range(30000, 30010), [Node("master"), Node("slave01", "", code=126)]))
