"""A workbench: what a suite makes on one engine by itself, without the swarm, and takes away again.

Everything on it carries the suite's label and prefix, so that it is found and removed also when its maker was killed.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from swarmlab.cluster.node import Node, Result
from swarmlab.errors import EngineRefused, LabError
from swarmlab.wait import State, wait

#: Every resource that a suite makes carries this label and begins with this prefix.
SUITE_LABEL = "swarm-conformance"
PREFIX = "swc-"
#: The label of what several tests share: it stays while they run, where what one test made goes with the test.
KEPT_LABEL = f"{SUITE_LABEL}.kept"
#: Published ports that the suites use where they have a cluster for themselves; the first is the document's own.
PORTS = range(8888, 8988)
#: The label on all that `docker stack deploy` makes; its value is the stack's name.
STACK_LABEL = "com.docker.stack.namespace"
#: Where folders of the suite are on a node.
FOLDERS = "/var/tmp"
#: The form of `unique`'s names.
_UNIQUE = re.compile(rf"{PREFIX}[\w.-]*-[0-9a-f]{{6}}(?![0-9a-zA-Z])")


def unique(name: str) -> str:
    """A name for a resource of the suite: its prefix, *name*, and some random digits."""
    return f"{PREFIX}{name}-{secrets.token_hex(3)}"


def is_unique(name: str) -> bool:
    """Whether *name* is one of `unique`'s, or begins with one as what belongs to a stack or project does."""
    return bool(_UNIQUE.match(name))


def of_a_stack(resource: Mapping[str, Any]) -> bool:
    """Whether a resource, as the API lists it, was made for a stack of the suite's."""
    labels = resource.get("Labels") or resource.get("Spec", {}).get("Labels") or {}
    return is_unique(str(labels.get(STACK_LABEL, "")))


class Workbench:
    """One engine, and what a test makes there.

    Containers are made with the command line, whose options are what the document speaks of.

    Attributes:
        node: the engine's machine.
        image: gives the reference of a workload image: ``bench.image("client")``.
        label: the label on all that is made here.
    """

    def __init__(self, node: Node, image: Callable[[str], str], port: Callable[[], int], *, kept: bool = False) -> None:
        self.node = node
        self.image = image
        self.label = KEPT_LABEL if kept else SUITE_LABEL
        self._port = port
        self._left: list[str] = []

    def port(self) -> int:
        """A port of the suite's range on which nothing listens on this node."""
        while self.node.listening(port := self._port()):
            pass
        return port

    def start(self, image: str, options: str = "", command: str = "", *, name: str = "box") -> str:
        """Start a container in the background, as ``docker run --detach`` does; gives its name.

        Args:
            image: a workload image ("client"), or the reference of one that was built here.
            options: further words before the image.
            command: words after it.
            name: the middle of its name.

        Raises:
            EngineRefused: the command failed.
        """
        full = unique(name)
        words = f"run --detach --name {full} --label {self.label} {options} {self.reference(image)} {command}"
        done = self.node.docker(words)
        if not done.ok:
            raise EngineRefused(self.node.name, done.code, f"docker run {options}: {done.said}")
        return full

    def run(self, image: str, options: str = "", command: str = "") -> Result:
        """Run a container to its end, as ``docker run --rm`` does; gives what it printed and its exit code."""
        return self.node.docker(f"run --rm --label {self.label} {options} {self.reference(image)} {command}")

    def reference(self, image: str) -> str:
        """What the engine knows *image* by: a workload's name is that of the lab's registry."""
        return image if image.startswith((PREFIX, "sha256:")) or "/" in image else self.image(image)

    def execute(self, container: str, command: str) -> Result:
        """Run a shell command in a container."""
        return self.node.execute(container, command)

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        known: dict[str, Any] = self.node.ask("GET", f"/containers/{container}/json")
        return known

    def address(self, container: str, network: str = "bridge") -> str:
        """A container's IPv4 address in a network; empty where it has none."""
        attached = self.inspect(container)["NetworkSettings"]["Networks"].get(network, {})
        return str(attached.get("IPAddress", ""))

    def remove(self, container: str) -> None:
        """Remove a container, running or not, and the anonymous volumes that nothing else uses."""
        self.node.ask("DELETE", f"/containers/{container}", force=True, v=True)

    def volume(self, name: str = "data") -> str:
        """Create a named volume; gives its name."""
        full = unique(name)
        self.node.ask("POST", "/volumes/create", body={"Name": full, "Labels": {self.label: ""}})
        return full

    def network(self, name: str = "net") -> str:
        """Create a network of driver bridge, on this engine only; gives its name."""
        full = unique(name)
        body = {"Name": full, "Driver": "bridge", "CheckDuplicate": True, "Labels": {self.label: ""}}
        self.node.ask("POST", "/networks/create", body=body)
        return full

    def folder(self, files: Mapping[str, str] | None = None) -> str:
        """Make a folder on the node, with *files* (text by path inside it); gives its path."""
        path = f"{FOLDERS}/{unique('folder')}"
        self._left.append(path)
        self.shell(f"mkdir {path} && chmod 755 {path}")
        for name, text in (files or {}).items():
            self.write(f"{path}/{name}", text)
        return path

    def write(self, path: str, text: str) -> None:
        """Write a file on the node, with the folders above it."""
        self.shell(f"mkdir -p $(dirname {path}) && printf %s {shlex.quote(text)} > {path}")

    def shell(self, command: str) -> str:
        """What a shell command on the node printed, where it has to succeed.

        Raises:
            LabError: it failed.
        """
        done = self.node.run(command)
        if not done.ok:
            raise LabError(f"on {self.node}, {command.partition(' ')[0]} ended with {done.code}: {done.said[-300:]}")
        return done.out

    def clear(self) -> None:
        """Remove the folders that were made here; all else goes with `sweep`."""
        if self._left:
            self.node.run(f"rm -rf {' '.join(self._left)}")
            self._left.clear()


def sweep(node: Node, *, kept: bool = False) -> None:
    """Remove what suites made on *node* by itself: containers, volumes, networks and images with their label.

    What the tasks of their stacks left there goes too.

    Args:
        node: the machine.
        kept: also what tests share, and what a killed run left beside its engine: folders and users.
    """
    # First what stacks left, not all of which carries the suite's label; their containers hold their volumes.
    for container in filter(of_a_stack, node.containers(all=True, label=STACK_LABEL)):
        with contextlib.suppress(EngineRefused):  # the swarm removes it too
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
        for volume in node.ask("GET", "/volumes")["Volumes"] or []:  # those that an option of run made have no label
            if is_unique(volume["Name"]):
                _delete(node, f"/volumes/{volume['Name']}")
    if kept and node.root:
        digits = "[0-9a-f]" * 6
        node.run(f"rm -rf {FOLDERS}/{PREFIX}*-{digits}")
        users = f"getent passwd | cut -d : -f 1 | grep -x '{PREFIX}.*-{digits}'"
        node.run(f"for user in $({users}); do userdel --remove $user; done")


def _delete_volume(node: Node, name: str) -> None:
    # A task's container goes a while after its service, and until then its volume is in use.
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
        if refused.status != 404:  # it went by itself meanwhile
            raise
