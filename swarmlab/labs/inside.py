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
from swarmlab.labs.hosts import GUESTS
from swarmlab.ownership import LABEL, OWNER

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
