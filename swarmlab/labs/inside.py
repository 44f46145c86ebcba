"""Runs in a container of the very engine on which their labs are, as in the project's own image.

Such a run shares neither files nor process numbers nor networks with the engine's host. So its container is connected
to the network of each lab, it reaches the nodes' engines through the outer engine, and who owns a lab is asked of the
engine.
"""

from __future__ import annotations

import contextlib
from typing import Any

import docker
from docker.models.containers import Container

from swarmlab import ownership
from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.host import start_in
from swarmlab.images.own import own_container
from swarmlab.labs.hosts import GUESTS
from swarmlab.ownership import LABEL, OWNER

#: Label of a container that a run works in; its value is what it is for.
RUN = "swarmlab.run"
#: What the engine says when the container has the network already.
_CONNECTED = ("already exists in network", "is already attached")


def connect(client: docker.DockerClient, own: Container, network_id: str) -> None:
    """Connect the container that this process runs in to a network of its engine; do nothing where it is connected.

    It gets an address that no node has. The connection ends with the container, or with the network's lab.

    Raises:
        UsageError: the engine refuses.
    """
    network = client.networks.get(network_id)
    if own.id in network.attrs["Containers"]:
        return
    prefix = network.attrs["IPAM"]["Config"][0]["Subnet"].rpartition(".")[0]
    why = ""
    for octet in GUESTS:
        try:
            network.connect(own, ipv4_address=f"{prefix}.{octet}")
        except docker.errors.APIError as refused:
            why = str(refused.explanation)
            if any(words in why for words in _CONNECTED):
                return
            if "ddress" not in why:  # else another container has the address
                break
        else:
            return
    raise UsageError(
        f"the container {own.name} of this run cannot be connected to the network {network.name}: {shown(why)}; "
        "start it on a network of its own (--network bridge, the default)"
    )


def has_folder(client: docker.DockerClient, own: Container, folder: str) -> bool:
    """Whether the engine's machine has a folder. Nothing is started, and the folder is not made to find out."""
    mount = {"Type": "bind", "Source": folder, "Target": "/looked-for", "ReadOnly": True}
    config = {
        "Image": own.attrs["Image"],
        "Labels": {OWNER: ownership.this_process()},
        "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
    }
    try:
        made = client.api.create_container_from_config(config)  # type: ignore[no-untyped-call]
    except docker.errors.APIError:
        return False
    with contextlib.suppress(docker.errors.NotFound):
        client.api.remove_container(made["Id"], force=True, v=True)
    return True


def disconnect_guests(network: Any) -> None:
    """Disconnect the containers of runs from a lab's network, which could not be removed otherwise."""
    network.reload()
    lab = network.attrs["Labels"].get(LABEL)
    for id in network.attrs["Containers"] or {}:
        with contextlib.suppress(docker.errors.NotFound):
            container = network.client.containers.get(id)
            if container.labels.get(LABEL) != lab:
                network.disconnect(container, force=True)


def alive(client: docker.DockerClient, owner: str) -> bool | None:
    """Whether an owner still exists; None for a process of which nothing can be known here.

    A process in a container of the engine is asked of the engine: whether the container runs, and whether it has that
    process. So is a process of the engine's host, where this process runs in a container.

    Args:
        client: the engine that has what is owned.
        owner: the mark, as `swarmlab.ownership.this_process` wrote it.
    """
    known = ownership.alive(owner)
    if known is not None:
        return known
    its = ownership.owner_of(owner)
    if not its.pid.isdigit():
        return None
    if its.container:
        return _runs_in_container(client, its)
    own = own_container(client)
    if own is None or client.info().get("Name") != its.home:
        return None
    return _runs_on_host(client, own, its)


def _runs_in_container(client: docker.DockerClient, its: ownership.Owner) -> bool:
    try:
        container = client.containers.get(its.container)
        if container.status not in ("running", "paused"):
            return False
        told = container.exec_run(["cat", f"/proc/{its.pid}/stat"])
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError:  # it is paused, or ends just now
        return True
    assert isinstance(told.output, bytes)
    return _same(told.exit_code or 0, told.output, its)


def _runs_on_host(client: docker.DockerClient, own: Container, its: ownership.Owner) -> bool | None:
    """Look for a process among those of the engine's host, from a container of this one's image."""
    try:
        looking = client.containers.create(
            own.attrs["Image"],
            [f"/proc/{its.pid}/stat"],
            entrypoint="cat",
            user="0",
            pid_mode="host",
            network_mode="none",
            labels={OWNER: ownership.this_process()},
        )
    except docker.errors.APIError:
        return None
    try:
        looking.start()
        code = looking.wait(timeout=30)["StatusCode"]
        return _same(code, looking.logs(stdout=True, stderr=False), its)
    except (docker.errors.APIError, OSError):
        return None
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            looking.remove(force=True, v=True)


def _same(code: int, stat: bytes, its: ownership.Owner) -> bool:
    """Whether what was printed of /proc/PID/stat is of the owner; also if it cannot be told."""
    if code == 1:  # cat says so where there is no such process
        return False
    return code != 0 or start_in(stat.decode(errors="replace")) == its.started
