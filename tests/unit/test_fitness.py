"""Engines on which no lab can be made are refused before anything is made, and closed firewalls after it, in a line."""

import socket
from types import SimpleNamespace

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import UsageError
from swarmlab.labs.containers import fitness, ways
from swarmlab.labs.containers.options import node_options


def outer(**info):
    told = {"OSType": "linux", "DockerRootDir": "/", **info}
    return SimpleNamespace(url="unix:///x.sock", client=SimpleNamespace(info=lambda: told))


def test_a_usual_engine_is_fit():
    fitness.check(outer(SecurityOptions=["name=apparmor", "name=seccomp,profile=builtin"]))


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"OSType": "windows"}, "runs containers of windows; switch it"),
        ({"SecurityOptions": ["name=seccomp", "name=userns"]}, "userns-remap"),
        ({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, "is rootless, and nodes need control"),
    ],
)
def test_an_engine_that_cannot_hold_labs_is_refused(info, words):
    with pytest.raises(UsageError) as refused:
        fitness.check(outer(**info))
    assert str(refused.value).startswith("the engine at unix:///x.sock ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_full_disk_is_told_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(fitness.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**28))
    with pytest.raises(UsageError, match=r"has 0.2 GiB free, and a lab needs 1.0; make room"):
        fitness.check(outer())


def test_the_room_of_a_folder_that_does_not_exist_yet_is_that_above_it(tmp_path):
    assert fitness.free_at(tmp_path / "a" / "b") == pytest.approx(fitness.free_at(tmp_path), rel=0.1)


def test_nodes_set_what_engines_have_other_defaults_of():
    options = node_options([], {}, 2)
    assert {"no-new-privileges=false", "seccomp=unconfined", "apparmor=unconfined", "label=disable"} <= {
        *options["SecurityOpt"]
    }
    assert (options["Runtime"], options["LogConfig"]["Type"]) == ("runc", "json-file")
    assert [node_options([], {}, version)["CgroupnsMode"] for version in (1, 2)] == ["", "private"]


class Node:
    def __init__(self, address, *, code=0):
        self.address, self.code = address, code

    def look(self, command):
        return Result(command, self.code, "", "")


@pytest.fixture
def listening(monkeypatch):
    """A port on which something listens, in the place of sshd's; the wait for an open way is short."""
    monkeypatch.setattr(ways, "_DEADLINE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(ways, "_PORT", server.getsockname()[1])
        yield server


@pytest.mark.usefixtures("listening")
def test_a_lab_whose_nodes_are_reached():
    ways.check([Node("127.0.0.1"), Node("127.0.0.1"), Node("127.0.0.1", code=1)], "192.168.56.0/24")
    ways.check([Node("127.0.0.1")], "192.168.56.0/24")


@pytest.mark.usefixtures("listening")
def test_a_firewall_between_the_nodes_is_told_in_a_line():
    with pytest.raises(UsageError, match=r"nodes do not reach each other: .* FORWARD -s 192.168.56.0/24 -d"):
        ways.check([Node("127.0.0.1"), Node("127.0.0.1", code=124)], "192.168.56.0/24")


def test_a_firewall_before_the_nodes_is_told_in_a_line(listening):
    listening.close()
    with pytest.raises(UsageError, match=r"this process does not reach the lab's nodes: .* OUTPUT -d 192.168.56.0/24"):
        ways.check([Node("127.0.0.1"), Node("127.0.0.1")], "192.168.56.0/24")
