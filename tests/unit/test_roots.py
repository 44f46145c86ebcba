"""Data roots: made once for each image of nodes, and whole or gone. The outer engine is a double."""

import contextlib
import socket
import subprocess
from types import SimpleNamespace

import pytest

from swarmlab import ownership
from swarmlab.errors import LabError
from swarmlab.images.engines import EngineChoice
from swarmlab.images.recipes import workloads
from swarmlab.labs import standing
from swarmlab.labs.containers import roots
from swarmlab.labs.containers.lab import DindLab
from swarmlab.ownership import OWNER, this_process
from tests.unit.helpers import Volumes

IMAGE, REGISTRY = "swarmlab/node-bookworm:1", "swarmlab/lab-registry:1"


class Engine:
    """An outer engine that makes containers. In a node every docker pull ends with *code*."""

    def __init__(self, code=0, driver="overlay2"):
        self.code, self.driver = code, driver
        self.running, self.pulled, self.stopped = {}, [], []
        api = SimpleNamespace(create_container_from_config=self._create)
        self.client = SimpleNamespace(
            api=api, volumes=Volumes(), containers=SimpleNamespace(get=lambda id: self.running[id])
        )
        self.alive, self.cgroups = ownership.alive, 1

    def _create(self, config):
        id = config["Image"]

        def execute(command):
            assert command[0] in ("docker", "sync")
            if command[1] == "pull":
                self.pulled += command[2:]
                return SimpleNamespace(exit_code=self.code, output=b"no route\n")
            return SimpleNamespace(exit_code=0, output=f"{self.driver}\n".encode())

        self.running[id] = SimpleNamespace(
            id=id,
            attrs={"Config": config},
            status="running",
            start=lambda: None,
            reload=lambda: None,
            exec_run=execute,
            stop=lambda **_: self.stopped.append(id),
            remove=lambda **_: self.running.pop(id),
        )
        return {"Id": id}


@pytest.fixture(autouse=True)
def unlocked(monkeypatch):
    monkeypatch.setattr(roots, "making_images_on", lambda *_: contextlib.nullcontext())


def gone():
    """Return the owner's mark of a process that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return f"{socket.gethostname()}/{done.pid}/1"


def prepared(engine, image=IMAGE):
    return roots.prepare(engine, image, REGISTRY, lambda _: None)


def test_a_root_is_made_once_of_all_workloads_by_an_engine_that_is_stopped():
    engine = Engine()
    name = prepared(engine)
    assert engine.pulled == [f"registry:5000/{reference}" for reference in workloads()]
    assert engine.stopped == [IMAGE]
    assert not engine.running
    assert set(engine.client.volumes) == {name, f"{name}-whole"}
    assert prepared(engine) == name
    assert len(engine.pulled) == len(workloads())


def test_nothing_is_left_of_a_root_that_could_not_be_pulled():
    engine = Engine(code=1)
    with pytest.raises(LabError, match=f"docker pull registry:5000/web:1 on a node of {IMAGE} ended with 1: no route"):
        prepared(engine)
    assert not engine.running
    assert not engine.client.volumes


def test_the_root_of_an_engine_without_overlay2_is_empty():
    engine = Engine(driver="overlayfs")
    assert prepared(engine) in engine.client.volumes
    assert not engine.pulled


def test_a_root_that_a_killed_process_left_is_no_root():
    engine = Engine()
    name = prepared(engine)
    engine.pulled.clear()
    del engine.client.volumes[f"{name}-whole"]
    assert prepared(engine) == name
    assert engine.pulled


def test_half_made_roots_of_killed_processes_are_swept():
    engine = Engine()
    name = prepared(engine)
    engine.client.volumes.create("of-killed", {roots.ROOT: "x", OWNER: gone()})
    engine.client.volumes.create("half-removed-whole", {roots.ROOT: "x", OWNER: gone()})
    engine.client.volumes.create("being-made", {roots.ROOT: "x", OWNER: this_process()})
    engine.client.volumes[name][OWNER] = gone()
    roots.sweep(engine)
    assert set(engine.client.volumes) == {name, f"{name}-whole", "being-made"}


@pytest.mark.parametrize("used", [False, True])
def test_a_new_root_replaces_the_older_of_its_image_unless_a_node_uses_it(used):
    engine = Engine()
    older, other = prepared(engine), prepared(engine, "swarmlab/node-trixie:1")
    engine.client.volumes.used = [older] if used else []
    newer = prepared(engine, "swarmlab/node-bookworm:2")
    left = {other, newer, older} if used else {other, newer}
    assert set(engine.client.volumes) == left | {f"{name}-whole" for name in left}


def test_a_node_that_is_removed_leaves_the_root_that_it_began_with():
    engine = Engine()
    for name in ("root", "data"):
        engine.client.volumes.create(name, {})
    mounts = [{"Type": "volume", "Name": "root", "RW": False}, {"Type": "volume", "Name": "data", "RW": True}]
    node = SimpleNamespace(
        name="node", labels={}, attrs={"Mounts": mounts}, client=engine.client, status="exited", remove=lambda **_: None
    )
    standing.remove_node(node)
    assert set(engine.client.volumes) == {"root"}


def test_engines_before_20_10_have_no_root():
    lab = DindLab(SimpleNamespace())  # which has no client that could make one
    assert lab._root("image", EngineChoice("18.03.1", "18.03.1-ce", "archive", "docker-18.03.1-ce.tgz")) == ""
    with pytest.raises(AttributeError, match="client"):
        lab._root("image", EngineChoice("20.10.5", "20.10.5", "debian", "bullseye"))
