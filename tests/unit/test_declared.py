"""The properties that labs declare for their nodes, from what was asked for; no node is made."""

import json
from dataclasses import asdict

import pytest

from swarmlab.images.engines import engine_choice
from swarmlab.labs.base import Declared
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.machines import box
from swarmlab.labs.machines.lab import VagrantLab
from swarmlab.labs.machines.places import Places
from tests.unit.test_engines import OLD, packed

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm"}


class Containers:
    """An outer engine that answers what is asked of an image."""

    def __init__(self, printed):
        self.client = self
        self.containers = self
        self.asked = []
        self._printed = printed

    def run(self, image, *_, **__):
        self.asked.append(image)
        return self._printed[image].encode()


@pytest.fixture
def lab():
    outer = Containers({"a": "bullseye\n20.10.5+dfsg1-1+deb11u2", "b": "bookworm\n20.10.25+dfsg1-1"})
    lab = DindLab(outer, engines=["bullseye", "bookworm"])
    lab.images = ["a", "b"]
    lab.prefix = "192.168.57"
    return lab


@pytest.mark.parametrize(
    ("package", "engine"),
    [("20.10.24+dfsg1-1+deb12u1+b6", "20.10.24"), ("1:28.5.2-1", "28.5.2"), ("5:20.10.9", "20.10.9"), ("", "20.10.5")],
)
def test_the_engine_is_the_packages_or_where_that_is_unknown_the_choices(package, engine):
    assert Declared.debian(engine_choice("bullseye"), "bullseye", package, "192.168.56").engine == engine


def test_nodes_are_of_the_choices_in_turn(lab):
    declared = {name: lab.declared(name) for name in ("master", "slave01", "slave02")}
    assert [one.engine for one in declared.values()] == ["20.10.5", "20.10.25", "20.10.5"]
    assert declared["slave01"] == Declared(BOOKWORM, "20.10.25", "192.168.57")
    assert declared["master"].system["VERSION_CODENAME"] == "bullseye"
    assert lab.outer.asked == ["a", "b"]


def test_an_image_of_another_release_than_asked_for_does_not_count(lab):
    lab.images = ["b", "a"]
    assert lab.declared("master") == Declared({**BOOKWORM, "VERSION_CODENAME": "bullseye"}, "20.10.5", "192.168.57")


class Member:
    def __init__(self, name, place, engine):
        self.labels = {
            "swarmlab.engine": json.dumps(asdict(engine_choice(engine))),
            "swarmlab.node": name,
            "swarmlab.place": place,
            "swarmlab.cluster": "0",
            "swarmlab.owner": "user",
            "swarmlab.socket": "/socket",
        }
        self.attrs = {
            "Config": {"Image": f"swarmlab/node-{engine}:0123456789ab"},
            "NetworkSettings": {"Networks": {"lab": {"IPAMConfig": {"IPv4Address": "192.168.56.101"}}}},
        }
        self.name = self.id = name
        self.status = "running"


def test_a_lab_that_stands_has_the_choices_of_its_labels(monkeypatch):
    members = [Member("slave01", "1", "trixie"), Member("master", "0", "forky")]
    monkeypatch.setattr(DindLab, "containers", lambda _: members)
    monkeypatch.setattr(DindLab, "reach", lambda _: None)
    lab = DindLab.attach(None, "lab")
    assert lab.choices == [engine_choice("forky"), engine_choice("trixie")]


@pytest.fixture
def machines(monkeypatch, tmp_path):
    monkeypatch.setattr(box, "home", lambda: tmp_path)
    lab = VagrantLab(None, engines=["bookworm", "trixie"], places=Places(tmp_path, tmp_path))
    lab.prefix = "192.168.56"
    return lab


def test_machines_are_of_their_boxes(machines):
    assert machines.declared("slave02") == Declared(BOOKWORM, "20.10.24", "192.168.56")
    assert machines.declared("slave01").system["VERSION_CODENAME"] == "trixie"
    bookworm = box.Box.of(engine_choice("bookworm"))
    bookworm.folder.mkdir(parents=True)
    (bookworm.folder / "package").write_text("20.10.25+dfsg1-1\n")
    assert machines.declared("master").engine == "20.10.25"
    assert machines.declared("slave01").engine == "26.1.5"


def test_an_engine_from_an_archive_is_not_of_a_package(monkeypatch, tmp_path):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path / "cache"))
    archive = packed(tmp_path / "docker-18.03.1-ce.tgz", OLD)
    lab = VagrantLab(None, engines=[str(archive), "trixie"], places=Places(tmp_path, tmp_path))
    lab.prefix = "192.168.56"
    assert lab.declared("master") == Declared(BOOKWORM, "18.03.1-ce", "192.168.56", packaged=False)
    assert lab.declared("slave01").packaged


def test_the_reference_has_the_documents_system_and_engine():
    machines = VagrantLab(None, provider="virtualbox")
    machines.prefix = "192.168.56"
    assert machines.declared("master") == Declared({"ID": "centos", "VERSION_ID": "7"}, "18.03.1-ce", "192.168.56")
