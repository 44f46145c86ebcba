"""The machine beside the cluster of a lab of machines: when there is one, and what it does to the others.

No machine is made.
"""

import os
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import LabError, NotSetUp, UsageError
from swarmlab.images.engines import engine_choice
from swarmlab.labs.base import Request
from swarmlab.labs.hosts import OCTETS, host_names
from swarmlab.labs.machines import kind, providers, spare
from swarmlab.labs.machines import lab as machines
from swarmlab.labs.machines.lab import VagrantLab
from swarmlab.labs.machines.node import VagrantNode
from swarmlab.labs.machines.places import ALL, MACHINES, SPARE, Places, domains
from swarmlab.labs.machines.providers import LibvirtProvider
from swarmlab.needs import FEATURES
from swarmlab.paths import ROOT
from swarmlab.rehearsal import run as play
from swarmlab.rehearsal.plan import Plan
from tests.unit.test_machines import Provider, Registry

GIB = 2**30
NAMES = ["master", "slave01", "slave02"]


class Machine(VagrantNode):
    """A machine that notes what is done to it."""

    def __init__(self, name, places, done):
        super().__init__(name, f"192.168.56.{ALL[name]}", places, None)
        self._done = done

    def run(self, command, **_):
        self._done.append(f"{self.name}: {command}")
        return Result(command, 0, "", "", self.name)

    def wait_up(self):
        self._done.append(f"{self.name}: up")

    def hand_over(self, anew, file):
        self._done.append(f"{self.name}: hand over by {file.name}")
        anew()


class Machines(Provider):
    def cut_power(self, name):
        self.done.append(f"cut power of {name}")


@pytest.fixture
def make(monkeypatch, tmp_path):
    monkeypatch.setattr(machines.libvirt, "pids", lambda names: [1] if names else [])
    monkeypatch.setattr(machines, "look_for", lambda node: {"ipvs": lambda: f"none on {node}"})

    def made(**how):
        places = Places(tmp_path, tmp_path)
        lab = VagrantLab(None, places=places, **how)
        lab.provider = Machines()
        lab.done = lab.provider.done
        lab.refresh = lambda nodes=(): lab.done.extend(f"{node.name}: refreshed" for node in nodes)
        lab.machines = [Machine(name, places, lab.done) for name in lab.names]
        return lab

    return made


# Which machine it is


def test_it_continues_the_names_and_addresses_of_larger_clusters():
    assert list(ALL) == host_names(4)
    assert tuple(ALL.values()) == OCTETS[:4]
    assert domains() == [f"machines-{name}" for name in [*NAMES, "slave03"]]


def test_the_vagrantfile_has_it_apart_from_the_documents():
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    tables = dict(re.findall(r"^(MACHINES|BESIDE) = \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    rows = {
        name: {host: int(octet) for host, octet in re.findall(r'"(\w+)"\s+=> .* octet: (\d+)', table)}
        for name, table in tables.items()
    }
    assert rows == {"MACHINES": MACHINES, "BESIDE": SPARE}


@pytest.mark.skipif(not shutil.which("ruby"), reason="Ruby is not installed")
@pytest.mark.parametrize(("asked", "count"), [({}, 3), ({"SWARMLAB_SPARE": "slave03"}, 4)])
def test_vagrant_makes_it_where_the_lab_asks_for_it(asked, count):
    from tests.unit.test_vagrantfile import PRINTER

    done = subprocess.run(
        ["ruby", "-e", PRINTER], cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == count


# When there is one


def test_a_rehearsal_asks_for_it_with_its_first_engine_and_nobody_else_does():
    plan = Plan.read("20.10.24,26.1.5", managers=3, workers=0)
    assert play._request(kind.MACHINES, plan).spare == plan.path[0].name
    assert Request().spare is None


@pytest.mark.parametrize(("free", "missing"), [(None, 0), (6 * GIB, 0), (6 * GIB - 1, 1), (4 * GIB, 2048)])
def test_it_is_made_where_the_host_has_memory_for_all_four(free, missing, monkeypatch):
    monkeypatch.setattr(spare, "free_memory", lambda: free)
    told = f"{FEATURES['spare']}: 4 machines take 6144 MiB of memory, {missing} MiB more than are free"
    assert spare.lacking() == (told if missing else "")


def test_a_lab_without_memory_for_it_has_three_machines_and_says_what_is_missing(make, monkeypatch):
    lab = make(spare="bookworm")
    monkeypatch.setattr(machines, "_registry", lambda _: None)
    monkeypatch.setattr(spare, "free_memory", lambda: 5 * GIB)

    def no_network():
        raise UsageError("no network is free")

    lab._choose_networks = no_network
    with pytest.raises(UsageError, match="no network"):
        lab.up()
    assert lab.names == NAMES
    assert [choice.place for choice in lab.choices] == ["bookworm"]
    lab.machines = lab.machines[:3]
    [why] = lab.offers.missing(["spare"])
    assert why.endswith("1024 MiB more than are free")
    with pytest.raises(LabError, match="1024 MiB more than are free"):
        lab.spare_node()


def test_a_lab_of_which_nobody_asked_for_it_is_as_ever(make):
    lab = make()
    assert lab.names == NAMES
    assert lab.offers.missing(["spare"]) == [FEATURES["spare"]]
    with pytest.raises(LabError, match=FEATURES["spare"]):
        lab.spare_node()


def test_virtualbox_has_none(make):
    lab = make(provider="virtualbox", engines=["18.03.1"], spare="bookworm")
    assert lab.names == NAMES
    assert lab.lacks == ""


def test_a_lab_that_stands_knows_it(make, monkeypatch):
    made = {}

    class Outer:
        private = True
        client = property(lambda self: SimpleNamespace(containers=self))

        def create(self, _, *, labels, **__):
            made.update(labels)

        def enter(self):
            pass

    for how in ({"spare": "bookworm"}, {"spare": None}):
        lab = make(engines=["trixie"], **how)
        lab.outer, lab._registry_image = Outer(), "registry"
        lab._create_registry("192.168.56.0")
        monkeypatch.setattr(machines, "_registry", lambda _: SimpleNamespace(labels=made))
        monkeypatch.setattr(machines, "labs", lambda _: [])
        monkeypatch.setattr(machines.Places, "of_host", lambda lab=lab: lab.places)
        monkeypatch.setattr(VagrantLab, "provider", None)
        monkeypatch.setattr(VagrantLab, "machines", [])
        found = VagrantLab.attach(Outer())
        assert found.names == lab.names
        assert found.choices == lab.choices
        assert found.lacks == ""


# What it does to the others


def test_it_is_no_machine_of_the_cluster(make):
    lab = make(spare="bookworm")
    assert [node.name for node in lab.nodes()] == NAMES
    assert lab.free == 0
    assert lab.offers.nodes == 3
    assert lab.offers.missing(["spare"]) == []
    assert "mixed-engines" not in lab.offers.features


def test_it_is_given_out_as_it_was_saved_while_the_cluster_goes_on(make):
    lab = make(spare="bookworm")
    lab.nodes()
    node = lab.spare_node()
    assert node.name == "slave03"
    assert lab.done == ["restore slave03", "slave03: refreshed"]
    lab.done.clear()
    lab.remove([node])
    assert lab.done == ["cut power of slave03"]
    assert lab.free == 0, "the cluster is in use as before"
    lab.remove(lab.cluster)
    assert lab.free == 3
    lab.done.clear()
    lab.nodes()
    assert lab.done[0] == "restore master slave01 slave02"


def test_it_has_an_engine_of_its_own(make):
    lab = make(engines=["trixie", "forky"], spare="bookworm")
    assert [choice.place for choice in lab.choices] == ["trixie", "forky", "trixie", "bookworm"]
    lab.nodes()
    node = lab.spare_node()
    lab.note_engine(3, engine_choice("forky"), "forky")
    lab.note_engine(0, engine_choice("forky"))
    assert [choice.place for choice in lab.choices] == ["forky", "forky", "trixie", "forky"]
    lab.wipe(node)
    assert [choice.place for choice in lab.choices] == ["forky", "forky", "trixie", "bookworm"], "the others stay"
    assert lab._releases == {}
    lab.note_engine(3, engine_choice("forky"))
    lab.remove(lab.cluster)
    lab.nodes()
    assert [choice.place for choice in lab.choices] == ["trixie", "forky", "trixie", "forky"]
    lab.spare_node()
    assert not lab.places.engines.exists(), "all are as they were saved"


def test_it_alone_gets_its_first_engine_again(make):
    lab = make(engines=["bookworm"], spare="bookworm")
    master, *_ = lab.nodes()
    node = lab.spare_node()
    for place in (0, 3):
        lab.note_engine(place, engine_choice("trixie"))
    for other, engine in ((master, "bookworm"), (node, "bullseye")):
        with pytest.raises(UsageError, match="only a restored machine has an older one"):
            lab.upgrade(other, engine)
    lab.done.clear()
    lab.upgrade(node, "bookworm")
    assert lab.done[:2] == ["slave03: hand over by handed-over.tar", "restore slave03"]
    assert lab.done[-2:] == ["slave03: systemctl start docker.service", "slave03: up"]
    assert [choice.place for choice in lab.choices] == ["trixie", "bookworm", "bookworm", "bookworm"]


def test_a_machine_that_cannot_be_set_up_anew_tells_nothing_of_its_engine(make):
    lab = make(spare="bookworm")
    node = lab.spare_node()
    lab.note_engine(3, engine_choice("trixie"))
    lab.provider = Machines(fails=True)
    with pytest.raises(NotSetUp, match="slave03 could not be set up anew"):
        lab.upgrade(node, "bookworm")


def test_no_machine_of_the_cluster_is_wiped(make):
    lab = make(spare="bookworm")
    master, *_ = lab.nodes()
    with pytest.raises(LabError, match="master is one"):
        lab.wipe(master)


def test_a_snapshot_of_no_use_is_thrown_away_with_it(make):
    lab = make(spare="bookworm")
    lab.serve_registry = lambda _: None
    provider = Machines(fails=True)
    assert lab.restored(Registry(), provider) is False
    assert provider.done == ["restore", "remove", "discard"]


def test_its_state_is_told_also_while_it_is_off(make, monkeypatch):
    lab = make(spare="bookworm")
    information = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}, "ServerVersion": "20.10.24"}
    for node in lab.machines:
        node.connect, node.info = lambda: None, lambda: information
    monkeypatch.setattr(VagrantLab, "attach", lambda *_: lab)
    for on, state in ((True, "running"), (False, "off")):
        lab.is_on = lambda _, on=on: on
        found = kind.MACHINES.describe(None, "machines")
        assert [(one.name, one.cluster) for one in found] == [*((name, 0) for name in NAMES), ("slave03", 1)]
        assert [one.state for one in found] == ["running"] * 3 + [state]


def test_a_shell_leads_to_it(make):
    assert make(spare="bookworm").shell("slave03", "id")[-2:] == ["slave03", "id"]
    with pytest.raises(UsageError, match=r"has no node 'slave03'; it has master, slave01, slave02$"):
        make().shell("slave03", "id")


# The snapshots


class Hypervisor:
    private, uri = False, "qemu:///system"

    def __init__(self):
        self.done = []

    def virsh(self, *_):
        return "9.0"

    def create_pool(self, *_):
        pass

    def create_network(self, name, _, cards=None):
        self.done.append((name, sorted((cards or {}).values())))

    def save(self, names, *_):
        self.done.append(("save", names))

    def restore(self, names, *_, off=()):
        self.done.append(("restore", names, off))


@pytest.fixture
def provider(monkeypatch, tmp_path):
    monkeypatch.setattr(providers.libvirt, "accelerator", lambda *_: "kvm")
    (tmp_path / "dot").mkdir()

    def made(names):
        boxes = [SimpleNamespace(name="swarmlab/bookworm-1", folder=tmp_path)]
        settings = {"SWARMLAB_PREFIX": "192.168.56", "SWARMLAB_NAT_PREFIX": "192.168.121"}
        return LibvirtProvider(Hypervisor(), names, boxes, settings, [], Places(tmp_path, tmp_path), lambda _: None)

    return made


def test_a_snapshot_of_three_is_not_taken_for_one_of_four(provider):
    three, four = provider(MACHINES), provider(ALL)
    three.save()
    assert three.is_saved()
    assert not four.is_saved()
    four.save()
    assert (three.is_saved(), four.is_saved()) == (True, True), "both stay"
    three.discard()
    assert (three.is_saved(), four.is_saved()) == (False, True)
    assert provider(ALL).is_saved()


def test_the_machine_beside_the_cluster_is_saved_and_stays_off(provider):
    four = provider(ALL)
    four.prepare()
    four.save()
    assert four._hypervisor.done == [
        ("machines-nat", [f"192.168.121.{octet}" for octet in (101, 102, 103, 104)]),
        ("machines-cluster", []),
        ("save", domains()),
        ("restore", domains(NAMES), []),
    ]
    four._hypervisor.done.clear()
    four.restore(["slave03"])
    four.restore(["master"])
    assert four._hypervisor.done == [
        ("restore", ["machines-slave03"], []),
        ("restore", ["machines-master"], ["machines-slave01", "machines-slave02"]),
    ]
    assert len(four.environment["SWARMLAB_IDS"].split(",")) == 4
    assert four.reach("slave03")[0] == "192.168.121.102"


# What its engine left


class System:
    """A machine whose root is a folder here."""

    def __init__(self, root):
        self._root = root

    def command(self, line):
        return ["sh", "-c", re.sub(r"(?<![\w/])/(?=var/lib|\s)", f"{self._root}/", line)]

    def run(self, line):
        line = line if line.startswith(("cd", "for")) else "true"  # systemctl, that is
        done = subprocess.run(self.command(line), capture_output=True, text=True)
        return Result(line, done.returncode, done.stdout, done.stderr, "slave03")


@pytest.fixture
def machine(tmp_path):
    node = VagrantNode("slave03", "192.168.56.102", Places(tmp_path, tmp_path), None)
    node._ssh = System(tmp_path / "system")
    node.run = node._ssh.run
    return node


def test_a_machine_that_is_set_up_anew_has_what_its_engine_left(machine, tmp_path):
    state = tmp_path / "system/var/lib/docker"
    (state / "swarm").mkdir(parents=True)
    (state / "swarm/raft").write_text("new")
    (tmp_path / "system/etc/docker").mkdir(parents=True)

    def anew():
        shutil.rmtree(state / "swarm")
        (state / "first").touch()

    machine.hand_over(anew, tmp_path / "kept.tar")
    assert {file.name for file in state.iterdir()} == {"swarm"}, "nothing of the first engine's state is left"
    assert (state / "swarm/raft").read_text() == "new"
    assert not (tmp_path / "kept.tar").exists()


def test_the_backup_of_a_folder_is_put_back(machine, tmp_path):
    state = tmp_path / "system/var/lib/docker"
    (state / "swarm").mkdir(parents=True)
    (state / "swarm/raft").write_text("old")
    backup = machine.take("/var/lib/docker/swarm")
    machine.empty()
    assert list(state.iterdir()) == []
    machine.put("/var/lib/docker", backup)
    assert (state / "swarm/raft").read_text() == "old"
    with pytest.raises(LabError, match="none in /var/lib/docker of slave03 could not be read: tar: none"):
        machine.take("/var/lib/docker/none")
