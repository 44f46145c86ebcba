"""What labs stand on an outer engine, told from the labels of their parts, and how they are removed.

A lab's state is in these labels and nowhere else, so that another process finds and removes what a killed one left.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.models.containers import Container

from swarmlab.errors import LabError
from swarmlab.host import run_folder
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.ownership import LABEL, OWNER, alive
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Labels beside the lab's own: a node's host name, cluster, place in it and engine socket.
NODE, CLUSTER, PLACE, SOCKET = (f"swarmlab.{word}" for word in ("node", "cluster", "place", "socket"))
#: Labels on the one container of a lab of machines: its kind, and the first address of its network (of /24).
KIND, SUBNET = "swarmlab.kind", "swarmlab.subnet"


@dataclass(frozen=True)
class Standing:
    """A lab as its labels tell it.

    Attributes:
        name: the lab's name.
        owner: `USER`, or the process that made it.
        alive: the owner is there still; None where this machine cannot tell.
        kind: the word by which ``--lab`` chooses it.
    """

    name: str
    owner: str
    alive: bool | None
    kind: str = "dind"


def labs(outer: OuterEngine) -> list[Standing]:
    """The labs on this engine, whole or in parts."""
    filters: dict[str, Any] = {"label": LABEL}
    owners: dict[str, str] = {}
    kinds: dict[str, str] = {}
    # The network's owner first: some of a lab's nodes may be another's than the lab.
    for network in outer.client.networks.list(filters=filters):
        owners[network.attrs["Labels"][LABEL]] = network.attrs["Labels"].get(OWNER, "")
    for found in outer.containers(LABEL):
        owners.setdefault(found.labels[LABEL], found.labels.get(OWNER, ""))
        if KIND in found.labels:
            kinds[found.labels[LABEL]] = found.labels[KIND]
    for volume in outer.client.volumes.list(filters=filters):
        owners.setdefault(volume.attrs["Labels"][LABEL], volume.attrs["Labels"].get(OWNER, ""))
    return [Standing(name, owner, alive(owner), kinds.get(name, "dind")) for name, owner in sorted(owners.items())]


def subnets(outer: OuterEngine) -> set[str]:
    """The networks (as 192.168.56.0/24) that labs, and whatever else is on this engine, have already."""
    pools = [pool for network in outer.client.networks.list() for pool in network.attrs["IPAM"]["Config"] or []]
    machines = outer.containers(SUBNET)
    return {pool.get("Subnet", "") for pool in pools} | {f"{found.labels[SUBNET]}/24" for found in machines}


def describe(outer: OuterEngine, name: str) -> list[str]:
    """A line for each node of a lab: name, address, state, engine and role, as far as they can be told from outside."""
    lines = []
    members = outer.containers(f"{LABEL}={name}", NODE)
    for member in sorted(members, key=lambda member: (member.labels[CLUSTER], int(member.labels[PLACE]))):
        networks = member.attrs["NetworkSettings"]["Networks"].values()
        address = ", ".join(network["IPAddress"] or "no address" for network in networks)
        engine, role = _engine_and_role(member) if member.status == "running" else ("", "")
        cluster = "" if member.labels[CLUSTER] == "0" else f"(cluster {member.labels[CLUSTER]})"
        lines.append(f"{member.labels[NODE]:10} {address:16} {member.status:9} {engine:20} {role} {cluster}".rstrip())
    return lines


def _engine_and_role(member: Container) -> tuple[str, str]:
    try:
        client = docker.DockerClient(base_url=f"unix://{member.labels[SOCKET]}", version="auto", timeout=5)
        info = client.info()
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return "engine does not answer", ""
    client.close()
    state = info["Swarm"]["LocalNodeState"]
    role = "manager" if info["Swarm"]["ControlAvailable"] else "worker"
    return f"engine {info['ServerVersion']}", role if state == "active" else f"swarm: {state}"


def remove(outer: OuterEngine, name: str) -> None:
    """Remove everything that carries the label of the lab *name*.

    A process that was just ended may have asked the engine for a container that comes up meanwhile; it goes too.

    Raises:
        LabError: something of it stays in use.
    """
    wait(lambda: _gone(outer, name), f"all of lab {name} to be removed", error=LabError)
    shutil.rmtree(run_folder() / "labs" / name, ignore_errors=True)


def _gone(outer: OuterEngine, name: str) -> State:
    filters: dict[str, Any] = {"label": f"{LABEL}={name}"}
    try:
        parallel(remove_node, outer.containers(f"{LABEL}={name}"))
        for network in outer.client.networks.list(filters=filters):
            _ignore_missing(network.remove)
        for volume in outer.client.volumes.list(filters=filters):
            _ignore_missing(functools.partial(volume.remove, force=True))
    except docker.errors.APIError as refused:
        return State(False, str(refused.explanation))
    left = outer.containers(f"{LABEL}={name}")
    return State(not left, f"{len(left)} containers are left")


def remove_node(container: Container) -> None:
    """Remove a container of a lab with its volumes and its socket's folder."""
    socket_folder = Path(container.labels[SOCKET]).parent if SOCKET in container.labels else None
    volumes = [mount["Name"] for mount in container.attrs.get("Mounts", []) if mount.get("Type") == "volume"]
    client = container.client
    assert client is not None
    _ignore_missing(lambda: container.remove(force=True, v=True))
    for volume in volumes:
        _ignore_missing(lambda: client.volumes.get(volume).remove(force=True))  # noqa: B023
    if socket_folder:
        shutil.rmtree(socket_folder, ignore_errors=True)


def _ignore_missing(action: Callable[[], object]) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        action()
