"""Data roots that nodes begin with: the workload images, pulled once by each engine for all its nodes.

A data root is a volume on the outer engine. Nodes mount it read-only. Their first process copies the records of the
images and mounts the layers (see images/node/root/usr/local/sbin/node-start), so nothing is pulled or unpacked, and the
files of a layer are in the memory once for all nodes. What a node does to its images stays in its own volumes.

Nodes of an engine before `SINCE` have no root. An engine that keeps images otherwise than in layers of overlay2, as
with containerd's store, has an empty one. Their nodes pull.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Any

import docker
from docker.models.containers import Container

from swarmlab.errors import LabError
from swarmlab.host import Progress
from swarmlab.images.locks import making_images_on
from swarmlab.images.plain import PLAIN
from swarmlab.images.recipes import REGISTRY, workloads
from swarmlab.labs.containers.options import node_options
from swarmlab.labs.outer import OuterEngine
from swarmlab.ownership import LABEL, OWNER, this_process
from swarmlab.versions import Version
from swarmlab.wait import State, wait

#: Where a node finds its root.
PLACE = "/var/lib/swarmlab/docker"
#: The first release whose nodes get one: with older engines it was not tried.
SINCE: Version = (20, 10)
#: Label of a root; its value is the name, without tag, of the image of the nodes that begin with it.
ROOT = "swarmlab.root"
#: Suffix of the name of a volume that has no other use: the root of the rest of the name is whole.
_WHOLE = "-whole"


def prepare(outer: OuterEngine, image: str, registry: str, progress: Progress) -> str:
    """Return the name of the root for nodes of an image; make it if the outer engine lacks it.

    Args:
        outer: the engine that has the images.
        image: the image of the nodes.
        registry: the image of the lab's registry, whose workloads the root has.
        progress: called with a line before and after the root is made.

    Raises:
        LabError: it could not be made.
    """
    name = f"swarmlab-root-{hashlib.sha256(f'{image} {registry}'.encode()).hexdigest()[:12]}"
    # Roots are looked for under the lock only, as another run may remove older ones.
    with making_images_on(outer.client, progress):
        found = {str(volume.name) for volume in outer.client.volumes.list(filters={"label": ROOT})}
        if not {name, name + _WHOLE} <= found:
            progress(f"pulling the workloads into a data root for nodes of {image}")
            start = time.monotonic()
            try:
                _make(outer, name, image, registry)
            except docker.errors.DockerException as failed:
                raise LabError(f"the data root for nodes of {image} could not be made: {failed}") from failed
            progress(f"made the data root in {time.monotonic() - start:.0f} s")
            _forget_older(outer, name, image)
    return name


def half_made(outer: OuterEngine) -> dict[str, str]:
    """Return the names of the roots that are being made, or were left so, each with the process that makes it."""
    volumes = outer.client.volumes.list(filters={"label": ROOT})
    makers = {str(volume.name): str(volume.attrs["Labels"].get(OWNER, "")) for volume in volumes}
    found = {name.removesuffix(_WHOLE): maker for name, maker in makers.items()}
    return {name: maker for name, maker in found.items() if not {name, name + _WHOLE} <= makers.keys()}


def sweep(outer: OuterEngine) -> None:
    """Remove the roots that killed processes have left half made."""
    for name, maker in half_made(outer).items():
        if outer.alive(maker) is False:
            _remove(outer, name)


def _make(outer: OuterEngine, name: str, image: str, registry: str) -> None:
    labels = {ROOT: image.partition(":")[0], OWNER: this_process()}
    _remove(outer, name)  # left by a process that was killed here
    outer.client.volumes.create(name, labels=labels)
    passing = {LABEL: "images", OWNER: this_process()}
    containers: list[Container] = []

    def run(image: str, host_config: dict[str, Any]) -> Container:
        config = {"Image": image, "Labels": passing, "HostConfig": host_config}
        api = outer.client.api
        made = api.create_container_from_config(config)  # type: ignore[no-untyped-call]
        containers.append(outer.client.containers.get(made["Id"]))
        containers[-1].start()
        return containers[-1]

    try:
        # The node has the registry's network, which has no way out, and finds the registry on its loopback.
        loopback = f"{REGISTRY.partition(':')[0]}:127.0.0.1"
        first = run(registry, PLAIN | {"NetworkMode": "none", "ExtraHosts": [loopback]})
        options = node_options([f"{name}:/var/lib/docker"], {}, outer.cgroups)
        node = run(image, options | {"NetworkMode": f"container:{first.id}"})
        wait(lambda: _answers(node), f"the engine of {image} to answer", deadline=60, error=LabError)
        if _done(node, "docker", "info", "--format", "{{.Driver}}").strip() == "overlay2":
            for reference in workloads():
                _done(node, "docker", "pull", f"{REGISTRY}/{reference}")
        _done(node, "sync", "-f", "/var/lib/docker")  # it is kept, also if this machine loses its power
        node.stop(timeout=60)
        outer.client.volumes.create(name + _WHOLE, labels=labels)
    except BaseException:
        _remove_containers(containers)
        _remove(outer, name)
        raise
    _remove_containers(containers)


def _answers(node: Container) -> State:
    node.reload()
    running = node.status == "running"
    return State(running and node.exec_run(["docker", "version"]).exit_code == 0, node.status, hopeless=not running)


def _done(node: Container, *command: str) -> str:
    result = node.exec_run(list(command))
    assert isinstance(result.output, bytes)
    said = result.output.decode(errors="replace")
    if result.exit_code != 0:
        of = node.attrs["Config"]["Image"]
        raise LabError(f"{' '.join(command)} on a node of {of} ended with {result.exit_code}: {said.strip()[-300:]}")
    return said


def _remove_containers(containers: list[Container]) -> None:
    for container in reversed(containers):
        container.remove(force=True, v=True)


def _remove(outer: OuterEngine, name: str) -> None:
    """Remove a root. One in use stays, as the first removal is refused."""
    for part in (name, name + _WHOLE):
        with contextlib.suppress(docker.errors.NotFound):
            outer.client.volumes.get(part).remove(force=True)


def _forget_older(outer: OuterEngine, name: str, image: str) -> None:
    """Remove the roots of the image's older contents, unless a node uses them."""
    for volume in outer.client.volumes.list(filters={"label": f"{ROOT}={image.partition(':')[0]}"}):
        older = str(volume.name).removesuffix(_WHOLE)
        if older != name:
            with contextlib.suppress(docker.errors.APIError):
                _remove(outer, older)
