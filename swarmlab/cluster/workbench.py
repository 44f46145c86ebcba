"""A workbench: what a test makes on one engine, without the swarm, and its removal.

Everything carries the suite's marks (`swarmlab.cluster.marks`), so the leavings of a killed run can be found.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from swarmlab.cluster.marks import (
    DIGITS,
    FOLDERS,
    KEPT_LABEL,
    PREFIX,
    STACK_LABEL,
    SUITE_LABEL,
    is_unique,
    of_a_stack,
    unique,
)
from swarmlab.cluster.node import Node, Result
from swarmlab.errors import EngineRefused, LabError
from swarmlab.wait import State, wait

#: Published ports that the suites use in a cluster of their own; the first is the document's.
PORTS = range(8888, 8988)


class Workbench:
    """One engine, and what a test makes there.

    Containers are made with the command line, as the document speaks of its options.

    Args:
        node: the engine's machine.
        image: returns the reference of a workload image.
        port: returns a free port of the suite's range.
        kept: whether several tests share what is made here.

    Attributes:
        node: the engine's machine.
        image: returns the reference of a workload image: ``bench.image("client")``.
        label: the label on everything that is made here.

    Example:
        box = bench.start("client", command="sleep 600")
        assert bench.execute(box, "ping -c 1 192.0.2.1").ok
    """

    def __init__(self, node: Node, image: Callable[[str], str], port: Callable[[], int], *, kept: bool = False) -> None:
        self.node = node
        self.image = image
        self.label = KEPT_LABEL if kept else SUITE_LABEL
        self._port = port
        self._folders: list[str] = []

    def port(self) -> int:
        """Return a port of the suite's range on which nothing listens on this node.

        Raises:
            LabError: something listens on each of them.
        """
        tried: set[int] = set()
        while self.node.listening(port := self._port()):
            if port in tried:  # ports are handed out in turn, so all of them were tried
                raise LabError(f"no free port on {self.node}: something listens on {min(tried)} to {max(tried)}")
            tried.add(port)
        return port

    def start(self, image: str, options: str = "", command: str = "", *, name: str = "box") -> str:
        """Start a container in the background with ``docker run --detach`` and return its name.

        Args:
            image: name of a workload image ("client"), or the reference of an image that was built here.
            options: further options of the command.
            command: the container's command; the image's if empty.
            name: the middle of the container's name.

        Raises:
            EngineRefused: the command failed.
        """
        full = unique(name)
        arguments = f"run --detach --name {full} --label {self.label} {options} {self.reference(image)} {command}"
        self.node.docker(arguments).expect(f"docker run {options}", error=EngineRefused)
        return full

    def run(self, image: str, options: str = "", command: str = "") -> Result:
        """Run a container to its end with ``docker run --rm`` and return the command's result."""
        return self.node.docker(f"run --rm --label {self.label} {options} {self.reference(image)} {command}")

    def reference(self, image: str) -> str:
        """Return the reference of *image*; the name of a workload becomes that of the lab's registry."""
        return image if image.startswith((PREFIX, "sha256:")) or "/" in image else self.image(image)

    def execute(self, container: str, command: str) -> Result:
        """Run a shell command in a container."""
        return self.node.execute(container, command)

    def inspect(self, container: str) -> dict[str, Any]:
        """Return a container as the engine's API describes it."""
        known: dict[str, Any] = self.node.ask("GET", f"/containers/{container}/json")
        return known

    def address(self, container: str, network: str = "bridge") -> str:
        """Return a container's IPv4 address in a network, empty if it has none."""
        attached = self.inspect(container)["NetworkSettings"]["Networks"].get(network, {})
        return str(attached.get("IPAddress", ""))

    def remove(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volumes."""
        self.node.ask("DELETE", f"/containers/{container}", force=True, v=True)

    def volume(self, name: str = "data") -> str:
        """Create a named volume and return its name."""
        full = unique(name)
        self.node.ask("POST", "/volumes/create", body={"Name": full, "Labels": {self.label: ""}})
        return full

    def network(self, name: str = "net", *, internal: bool = False) -> str:
        """Create a bridge network on this engine and return its name; an internal one leads nowhere else."""
        full = unique(name)
        body = {
            "Name": full,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "Internal": internal,
            "Labels": {self.label: ""},
        }
        self.node.ask("POST", "/networks/create", body=body)
        return full

    def folder(self, files: Mapping[str, str] | None = None) -> str:
        """Make a folder on the node, with *files* (text by path inside it), and return its path."""
        path = f"{FOLDERS}/{unique('folder')}"
        self._folders.append(path)
        self.shell(f"mkdir {path} && chmod 755 {path}")
        for name, text in (files or {}).items():
            self.write(f"{path}/{name}", text)
        return path

    def write(self, path: str, text: str) -> None:
        """Write a file on the node, and make the folders above it."""
        self.shell(f"mkdir -p $(dirname {path}) && printf %s {shlex.quote(text)} > {path}")

    def shell(self, command: str) -> str:
        """Run a shell command on the node that must succeed, and return its output.

        Raises:
            LabError: the command failed.
        """
        return self.node.run(command).expect(f"on {self.node}, {command.partition(' ')[0]}")

    def clear(self) -> None:
        """Remove the folders that were made here; `sweep` removes everything else."""
        if self._folders:
            self.node.run(f"rm -rf {' '.join(self._folders)}")
            self._folders.clear()


def sweep(node: Node, *, kept: bool = False) -> None:
    """Remove what tests made on *node*: containers, volumes, networks and images with the suite's label.

    What tasks of the suite's stacks left on the node goes too.

    Args:
        node: the machine.
        kept: also remove what several tests share, and the folders and users that a killed run left.
    """
    # Stacks first: their volumes do not carry the suite's label, and their containers use them.
    for container in filter(of_a_stack, node.containers(all=True, label=STACK_LABEL)):
        with contextlib.suppress(EngineRefused):  # the swarm may be removing it
            _delete(node, f"/containers/{container['Id']}", force=True, v=True)
    for volume in filter(of_a_stack, node.ask("GET", "/volumes", filters={"label": [STACK_LABEL]})["Volumes"] or []):
        _delete_volume(node, volume["Name"])
    for label in (SUITE_LABEL, KEPT_LABEL) if kept else (SUITE_LABEL,):
        for container in node.containers(all=True, label=label):
            _delete(node, f"/containers/{container['Id']}", force=True, v=True)
        wanted = {"label": [label]}
        for volume in node.ask("GET", "/volumes", filters=wanted)["Volumes"] or []:
            _delete_volume(node, volume["Name"])
        for network in node.ask("GET", "/networks", filters={**wanted, "scope": ["local"]}):
            _delete(node, f"/networks/{network['Id']}")
        for image in node.ask("GET", "/images/json", filters=wanted):
            _delete(node, f"/images/{image['Id']}", force=True)
    if kept:
        for volume in node.ask("GET", "/volumes")["Volumes"] or []:  # `docker run --volume` makes them without a label
            if is_unique(volume["Name"]):
                _delete(node, f"/volumes/{volume['Name']}")
    if kept and node.root:
        node.run(f"rm -rf {FOLDERS}/{PREFIX}*-{DIGITS}")
        users = f"getent passwd | cut -d : -f 1 | grep -x '{PREFIX}.*-{DIGITS}'"
        node.run(f"for user in $({users}); do userdel --remove $user; done")


def _delete_volume(node: Node, name: str) -> None:
    # A task's container is removed a while after its service, and uses the volume until then.
    def freed() -> State:
        try:
            _delete(node, f"/volumes/{name}")
        except EngineRefused as refused:
            if refused.status != 409:
                raise
            return State(False, refused.explanation)
        return State(True)

    wait(freed, f"volume {name} of {node} to be free", error=LabError)


def _delete(node: Node, path: str, **query: Any) -> None:
    try:
        node.ask("DELETE", path, **query)
    except EngineRefused as refused:
        if refused.status != 404:  # somebody else removed it meanwhile
            raise
