"""Images that the user gives for claims whose workload the project cannot make: a reference or a saved image."""

from __future__ import annotations

import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError, UsageError
from swarmlab.files import exists, named, shown
from swarmlab.images import reach
from swarmlab.verdicts import catalogue

#: NAME[:PORT]/PATH[:TAG][@DIGEST], as an engine pulls it.
_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_ARCHIVE = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True)
class GivenImage:
    """An image that the user gave.

    Attributes:
        name: the name in claims' needs (image:NAME).
        source: the reference or the file, as the user wrote it.
        file: the saved image, if the user gave a file.
    """

    name: str
    source: str
    file: Path | None = None

    def __str__(self) -> str:
        """Return the value of the option."""
        return f"{self.name}={self.source}"


def needed() -> list[str]:
    """Return the names of the images that claims need and a user can give."""
    needs = {need for claim in catalogue.load().values() for need in claim.needs}
    return sorted(need.partition(":")[2] for need in needs if need.startswith("image:"))


def read(values: Sequence[str]) -> list[GivenImage]:
    """Parse the values of ``--image``, each NAME=REFERENCE or NAME=FILE; ``docker save`` writes such a FILE.

    Raises:
        UsageError: a value has neither form, or names an unknown image or a file that is missing or no saved image.
    """
    given: dict[str, GivenImage] = {}
    for value in values:
        name, _, source = value.partition("=")
        if not name or not source:
            raise UsageError(f"{value!r} is not NAME=REFERENCE or NAME=FILE")
        if name not in needed():
            raise UsageError(f"{value}: no claim needs an image {name!r}; choose from {', '.join(needed())}")
        if name in given:
            raise UsageError(f"{value}: {given[name]} was given already")
        given[name] = _image(name, source)
    return list(given.values())


def check_reference(reference: str, option: str) -> None:
    """Check the form of an image's reference.

    Args:
        reference: the reference.
        option: the option that gives it, for the message.

    Raises:
        UsageError: it is none.
    """
    if not _REFERENCE.fullmatch(reference):
        form = "NAME[:TAG] or HOST[:PORT]/PATH[:TAG]"
        raise UsageError(f"{option} {shown(reference, 60)}: is no reference of an image; write {form}")


def _image(name: str, source: str) -> GivenImage:
    file = named(source, f"{name}=") if source.startswith("~") else Path(source)
    if exists(file) and file.is_file():
        _check(name, file)
        return GivenImage(name, source, file.absolute())
    if exists(file) and file.is_dir():
        raise UsageError(f"{name}={source}: is a folder; give the file that docker save wrote")
    if source.startswith((".", "/", "~")) or source.endswith(_ARCHIVE):
        raise UsageError(f"{name}={shown(source)}: there is no such file")
    if not _REFERENCE.fullmatch(source):
        raise UsageError(f"{name}={shown(source)}: neither a file nor the reference of an image")
    return GivenImage(name, source)


#: What reading an archive or its list raises where it is damaged, or something else.
_DAMAGED = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError),
    *(KeyError, TypeError, ValueError, RecursionError),
)


def _check(name: str, file: Path) -> None:
    """Check that *file* holds exactly one saved image.

    Raises:
        UsageError: it does not.
    """
    try:
        with tarfile.open(file) as archive:
            member = archive.extractfile("manifest.json")
            manifest = json.load(member) if member else []
        held = len([image["Config"] for image in manifest])
    except _DAMAGED as failed:
        raise UsageError(
            f"{name}={file}: is not a saved image; make one with: docker save -o {file.name} IMAGE"
        ) from failed
    if held != 1:
        raise UsageError(f"{name}={file}: holds {held} images; save one image alone: docker save -o {file.name} IMAGE")


def serve(images: Sequence[GivenImage], nodes: Sequence[Node], registry: str) -> dict[str, str]:
    """Make *images* available to nodes; return the reference of each by its name.

    The first node whose engine answers loads a file and pushes it to the lab's registry, from where all nodes pull it.

    Args:
        images: the images that the user gave.
        nodes: the nodes of a cluster.
        registry: host and port of the lab's registry, as nodes know it.

    Raises:
        UsageError: no node can pull a reference, or an engine refuses a file.
        LabError: the registry takes no image.
    """
    return {
        image.name: _from_file(image, image.file, nodes, registry) if image.file else _from_reference(image, nodes)
        for image in images
    }


def _from_reference(image: GivenImage, nodes: Sequence[Node]) -> str:
    reason = ""
    for node in nodes:
        # Nodes of a lab have one network, so what one of them does not reach the others do not reach either.
        try:
            reason = reach.unreachable(node, image.source)
        except LabError as silent:
            reason = str(silent)
            continue
        if reason:
            break
        done = node.docker(f"pull {image.source}")
        if done.ok:
            return image.source
        reason = done.output.strip().splitlines()[-1] if done.output.strip() else f"exit {done.code}"
    raise UsageError(f"--image {image}: no node can pull it: {reason}")


def _from_file(image: GivenImage, file: Path, nodes: Sequence[Node], registry: str) -> str:
    node = _first_that_answers(nodes)
    before = set(_tags(node))
    try:
        loaded = node.load(file)
        identity: str = node.ask("GET", f"/images/{loaded}/json")["Id"]
    except EngineRefused as refused:
        raise UsageError(f"--image {image}: {refused}") from refused
    # The tag holds the image's id, so that a node does not use another image that it pulled under this name.
    reference = f"{registry}/{image.name}:given-{identity.partition(':')[2][:12]}"
    for command in (f"tag {identity} {reference}", f"push {reference}"):
        node.docker(command).expect(f"--image {image}: docker {command} on {node}")
    # Remove it from the node: that nodes pull the images that they lack is part of the claims.
    node.docker(f"rmi {' '.join({reference, *_tags(node)} - before) or identity}")
    return reference


def _tags(node: Node) -> list[str]:
    listed = node.ask("GET", "/images/json")
    return [tag for image in listed for tag in image.get("RepoTags") or [] if not tag.startswith("<none>")]


def _first_that_answers(nodes: Sequence[Node]) -> Node:
    for node in nodes[:-1]:
        try:
            node.ask("GET", "/version")
        except LabError:
            continue
        return node
    return nodes[-1]
