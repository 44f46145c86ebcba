"""Images that a run is given: the values of the option, and how a file reaches the nodes."""

import io
import json
import tarfile

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import EngineRefused, LabError, UsageError
from swarmlab.images import given
from swarmlab.images.given import GivenImage


def saved(path, *images, mode="w"):
    """Return a file as docker save writes it, of that many images."""
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [f"{name}:1"], "Layers": []} for name in images])
    with tarfile.open(path, mode) as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest.encode()))
    return path


def test_a_reference_and_a_file_are_distinguished(tmp_path):
    file = saved(tmp_path / "portainer.tar.gz", "portainer", mode="w:gz")
    reference = "registry.example:5000/portainer/portainer-ce:2.19.5"
    assert given.read([f"portainer={reference}"]) == [GivenImage("portainer", reference)]
    assert given.read([f"portainer={file}", "mysql=mysql:5.7"]) == [
        GivenImage("portainer", str(file), file),
        GivenImage("mysql", "mysql:5.7"),
    ]


@pytest.mark.parametrize(
    "reference", ["portainer", "portainer/portainer", "a/b/c:1.0-x", f"portainer/portainer@sha256:{'0' * 64}"]
)
def test_any_form_of_a_reference_is_taken(reference):
    assert given.read([f"portainer={reference}"]) == [GivenImage("portainer", reference)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["portainer"], "'portainer' is not NAME=REFERENCE or NAME=FILE"),
        (["portainer="], "'portainer=' is not NAME"),
        (["porttainer=x"], "no claim needs an image 'porttainer'; choose from mysql, portainer"),
        (["portainer=a:1", "portainer=b:1"], "portainer=b:1: portainer=a:1 was given already"),
        (["portainer=./nowhere"], "portainer=./nowhere: there is no such file"),
        (["portainer=portainer.tar"], "portainer=portainer.tar: there is no such file"),
        (["portainer=No Reference"], "neither a file nor the reference of an image"),
    ],
)
def test_what_means_nothing_is_named(values, message):
    with pytest.raises(UsageError) as wrong:
        given.read(values)
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_file_that_is_no_image_is_named(tmp_path):
    text, other, cut = tmp_path / "text", tmp_path / "other.tar", tmp_path / "cut.tar"
    text.write_text("portainer")
    with tarfile.open(other, "w") as archive:
        archive.add(text, "text")
    cut.write_bytes(saved(tmp_path / "whole.tar.gz", "one", mode="w:gz").read_bytes()[:40])
    for file in (text, other, cut):
        with pytest.raises(UsageError, match=f"{file.name}: is not a saved image; make one with: docker save"):
            given.read([f"portainer={file}"])
    with pytest.raises(UsageError, match="is a folder"):
        given.read([f"portainer={tmp_path}"])
    with pytest.raises(UsageError, match="holds 2 images"):
        given.read([f"portainer={saved(tmp_path / 'two.tar', 'one', 'two')}"])


class FakeNode:
    """A node as far as images go: its answers, and the commands that it got."""

    def __init__(self, name, *, pulls="", alive=True, image=True, push=True):
        self.name = name
        self.pulls, self.alive, self.image, self.push = pulls, alive, image, push
        self.commands = []
        self.tags = ["web:1"]

    def __str__(self):
        return self.name

    def docker(self, command):
        self.commands.append(command)
        failed = (command.startswith("pull") and self.pulls) or (
            command.startswith("push") and not self.push and "denied"
        )
        if command.startswith("tag"):
            self.tags.append(command.split()[-1])
        return Result(command, 1 if failed else 0, "", failed or "")

    def load(self, _file):
        if not self.image:
            raise EngineRefused(self.name, 500, "unrecognized image format")
        self.tags.append("portainer:1")
        return "portainer:1"

    def ask(self, _method, path, **_):
        if not self.alive:
            raise LabError(f"the engine of {self.name} does not answer")
        if path == "/images/json":
            return [{"RepoTags": [tag]} for tag in self.tags] + [{"RepoTags": None}]
        return {"Id": f"sha256:{'ab' * 32}"}


def test_a_reference_that_one_node_can_pull_is_served():
    nodes = [FakeNode("master", pulls="no such host"), FakeNode("slave01")]
    assert given.serve([GivenImage("portainer", "p:1")], nodes, "registry:5000") == {"portainer": "p:1"}


def test_a_reference_that_no_node_can_pull_is_named_with_the_engines_reason():
    nodes = [FakeNode("master", pulls="warning\nno such host"), FakeNode("slave01", pulls="timeout\nmanifest unknown")]
    with pytest.raises(UsageError) as wrong:
        given.serve([GivenImage("portainer", "p:1")], nodes, "registry:5000")
    assert str(wrong.value) == "--image portainer=p:1: no node can pull it: manifest unknown"


def test_a_file_goes_into_the_registry_under_its_content_and_leaves_the_node_as_it_was(tmp_path):
    dead, node = FakeNode("master", alive=False), FakeNode("slave01")
    image = GivenImage("portainer", "p.tar", tmp_path / "p.tar")
    reference = "registry:5000/portainer:given-abababababab"
    assert given.serve([image], [dead, node], "registry:5000") == {"portainer": reference}
    assert dead.commands == []
    assert node.commands[:2] == [f"tag sha256:{'ab' * 32} {reference}", f"push {reference}"]
    assert set(node.commands[2].split()) == {"rmi", reference, "portainer:1"}


def test_a_file_that_the_engine_refuses_or_the_registry_does_not_take_is_named(tmp_path):
    image = GivenImage("portainer", "p.tar", tmp_path / "p.tar")
    with pytest.raises(UsageError, match=r"--image portainer=p.tar: .*unrecognized image format"):
        given.serve([image], [FakeNode("master", image=False)], "registry:5000")
    with pytest.raises(LabError, match=r"docker push .* on master ended with 1: denied"):
        given.serve([image], [FakeNode("master", push=False)], "registry:5000")
