"""How a lab of machines hands its machines out, and how it uses a snapshot; no machine is made."""

import subprocess

import pytest

from swarmlab.errors import LabError, UsageError
from swarmlab.images.engines import engine_choice
from swarmlab.labs.base import Request
from swarmlab.labs.machines import kind
from swarmlab.labs.machines.lab import VagrantLab, end_vagrant
from swarmlab.labs.machines.places import Places


class Provider:
    def __init__(self, fails=False):
        self.done = []
        self._fails = fails

    def restore(self, names=()):
        self.done.append(" ".join(["restore", *names]))
        if self._fails:
            raise LabError("virsh restore: no such file")

    def remove(self):
        self.done.append("remove")

    def discard(self):
        self.done.append("discard")


class Machine(str):
    """A node as far as it is named."""

    name = property(str)


class Registry:
    def stop(self):
        pass


@pytest.fixture
def lines():
    return []


@pytest.fixture
def lab(lines, tmp_path):
    lab = VagrantLab(None, places=Places(tmp_path, tmp_path), progress=lines.append)
    lab.provider = Provider()
    lab.machines = [Machine(name) for name in ("master", "slave01", "slave02")]
    lab.refresh = lambda _=(): None
    lab.serve_registry = lambda _: None
    return lab


def test_one_cluster_at_a_time(lab):
    assert lab.free == 3
    assert lab.nodes() == ["master", "slave01", "slave02"]
    assert lab.free == 0
    with pytest.raises(LabError, match="the lab has 3 machines, 0 of them free; 1 are asked for"):
        lab.more(1)


def test_machines_that_were_given_back_are_restored_before_they_are_given_again(lab):
    lab.remove(lab.nodes())
    assert lab.provider.done == []
    assert lab.more(1) == ["master"]
    assert lab.provider.done == ["restore master"], "the others take no processor"
    assert lab.steps["restoring"] >= 0


def test_machines_keep_an_engine_that_they_were_given_until_they_are_restored(lab):
    lab.nodes()
    lab.note_engine(1, engine_choice("trixie"))
    lab.note_engine(2, engine_choice("forky"), "forky")
    assert [choice.place for choice in lab.choices] == ["bookworm", "trixie", "forky"]
    lab.prefix = "192.168.56"
    declared = {name: lab.declared(name) for name in ("slave01", "slave02")}
    assert {name: one.engine for name, one in declared.items()} == {"slave01": "26.1.5", "slave02": "28.5.2"}
    releases = {name: one.system["VERSION_CODENAME"] for name, one in declared.items()}
    assert releases == {"slave01": "bookworm", "slave02": "forky"}, "a machine is of the release that its packages say"
    with pytest.raises(UsageError, match="only a restored machine has an older one"):
        lab.upgrade(Machine("slave01"), "bookworm")
    lab.remove(lab.machines)
    lab.nodes()
    assert [choice.place for choice in lab.choices] == ["bookworm"]
    assert lab.declared("slave02").system["VERSION_CODENAME"] == "bookworm"
    assert not lab.places.engines.exists()


def test_a_lab_that_stands_gives_nothing_beside_its_cluster(lab):
    lab.standing = True
    assert lab.nodes() == ["master", "slave01", "slave02"]
    assert lab.free == 0


def test_a_snapshot_of_no_use_is_thrown_away(lab, lines):
    provider = Provider(fails=True)
    assert lab.restored(Registry(), provider) is False
    assert provider.done == ["restore", "remove", "discard"]
    assert "virsh restore: no such file" in lines[-1]


def test_vagrant_of_a_killed_run_is_ended_and_no_other_process(tmp_path):
    places = Places(tmp_path, tmp_path)
    with (
        subprocess.Popen(["sleep", "60"], env={"VAGRANT_DOTFILE_PATH": str(places.dotfile)}) as ours,
        subprocess.Popen(["sleep", "60"], env={"VAGRANT_DOTFILE_PATH": "/elsewhere"}) as other,
    ):
        end_vagrant(places)
        assert ours.wait(timeout=10) == -9
        assert other.poll() is None
        other.kill()


def test_machines_are_not_made_on_another_processor(monkeypatch):
    monkeypatch.setattr(kind.platform, "machine", lambda: "aarch64")
    with pytest.raises(UsageError, match="this host is aarch64; use nodes that are containers"):
        kind.MACHINES.check(Request())
