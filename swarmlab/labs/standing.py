"""The labs on an outer engine as the labels of their parts describe them, and how the parts are removed.

A lab's state is in these labels and nowhere else, so any process can find and remove what a killed one left. A lab
belongs to the process that makes it, until it is whole and `keep` hands it to its user.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from swarmlab import signals
from swarmlab.errors import LabError, NoAnswer
from swarmlab.host import drop_folder, person, run_folder
from swarmlab.labs import inside
from swarmlab.labs.answering import answers, info_at
from swarmlab.labs.hosts import NETWORKS
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.relay import Relay
from swarmlab.labs.routes import Routes, narrower, wider
from swarmlab.labs.state import NodeState
from swarmlab.ownership import LABEL, OWNER, PERSON, USER, note_gone, note_kept, note_left, this_process
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Thaws whatever is frozen in a container, with cgroup v1 and v2.
_THAW = (
    "for F in $(find /sys/fs/cgroup -mindepth 2 -name freezer.state); do grep -q FROZEN $F && echo THAWED > $F; done; "
    "for F in $(find /sys/fs/cgroup -mindepth 2 -name cgroup.freeze); do grep -q 1 $F && echo 0 > $F; done"
)
#: Labels of a node beside the lab's own: host name, cluster, place in the cluster, and the path of the engine's socket.
NODE, CLUSTER, PLACE, SOCKET = (f"swarmlab.{part}" for part in ("node", "cluster", "place", "socket"))
#: Label of a node: its engine, as `swarmlab.images.engines.EngineChoice` in JSON.
ENGINE = "swarmlab.engine"
#: Label of at least one part of a lab: the word of its kind.
KIND = "swarmlab.kind"
#: Label of a volume that has no other use: the lab is whole, and its user's from now on, whoever made it. Labels of
#: other parts name the process that makes the lab, and cannot be changed once they are there.
KEPT = "swarmlab.kept"
#: Label of a lab whose network is not the outer engine's: the first address of that network (of /24).
SUBNET = "swarmlab.subnet"


@dataclass(frozen=True)
class Standing:
    """A lab as its labels describe it.

    Attributes:
        name: the lab's name.
        owner: `swarmlab.ownership.USER` once it is whole and `keep` has made it its user's; until then the process that
            makes it.
        alive: whether the owner still exists; None if this machine cannot know.
        kind: the word of its kind; empty if no part has that label.
        maker: the process that made it; parts of other processes in it are not the lab's own.
        person: the login name of who made it; empty if no part says so.
    """

    name: str
    owner: str
    alive: bool | None
    kind: str = ""
    maker: str = ""
    person: str = ""

    @property
    def foreign(self) -> bool:
        """Whether another user made it."""
        return self.person not in ("", person())


def labs(outer: OuterEngine) -> list[Standing]:
    """Return the labs on this engine, also those of which only parts are left."""
    filters: dict[str, Any] = {"label": LABEL}
    owners: dict[str, str] = {}
    kinds: dict[str, str] = {}
    persons: dict[str, str] = {}
    # Networks first, as they have the lab's owner; a run may own further nodes in a lab that was brought up by hand.
    for network in outer.client.networks.list(filters=filters):
        labels = network.attrs["Labels"]
        owners[labels[LABEL]] = labels.get(OWNER, "")
        kinds[labels[LABEL]] = labels.get(KIND, "")
        persons[labels[LABEL]] = labels.get(PERSON, "")
    for found in outer.containers(LABEL):
        owners.setdefault(found.labels[LABEL], found.labels.get(OWNER, ""))
        persons.setdefault(found.labels[LABEL], found.labels.get(PERSON, ""))
        if KIND in found.labels:
            kinds[found.labels[LABEL]] = found.labels[KIND]
    kept = set()
    for volume in outer.client.volumes.list(filters=filters):
        labels = volume.attrs["Labels"]
        if KEPT in labels:
            kept.add(labels[LABEL])
        owners.setdefault(labels[LABEL], labels.get(OWNER, ""))
    made = {name: (USER if name in kept else maker, maker) for name, maker in sorted(owners.items())}
    return [
        Standing(name, owner, outer.alive(owner), kinds.get(name, ""), maker, persons.get(name, ""))
        for name, (owner, maker) in made.items()
    ]


def keep(outer: OuterEngine, name: str) -> None:
    """Make a lab that is whole its user's: it stays when the process that made it ends.

    Raises:
        LabError: the engine refuses.
    """
    labels = {LABEL: name, OWNER: this_process(), KEPT: ""}
    try:
        outer.client.volumes.create(_kept_name(name), labels=labels)
    except docker.errors.APIError as refused:
        raise LabError(f"lab {name} cannot be kept: {refused.explanation}") from refused
    note_kept(name)


def sweep_folders(outer: OuterEngine) -> None:
    """Remove folders of sockets of labs that are gone: a process may have been killed after it removed all the rest."""
    there = list((run_folder() / "labs").glob("*"))
    known = {lab.name for lab in labs(outer)}  # asked for later, as a lab has a network before it has a folder
    for folder in there:
        # The lab may be on another engine of this host.
        if folder.name not in known and not any(answers(f"unix://{socket}") for socket in folder.glob("*/docker.sock")):
            _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    """Remove the folder of the sockets and marks of a lab or a node, and those above it that are empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    drop_folder(folder.parent)


def disown(outer: OuterEngine, name: str) -> None:
    """Take a lab from its user, before it is removed: if this process is killed meanwhile, the next run goes on."""
    note_left(name)
    _ignore_missing(lambda: outer.client.volumes.get(_kept_name(name)).remove(force=True))


def _kept_name(name: str) -> str:
    return f"swarmlab-{name}-kept"


def free_networks(outer: OuterEngine, own: str = "") -> list[str]:
    """Return the networks (as 192.168.56.0/24) that a new lab may take, the document's first if it is free.

    Those that are a part of a network which this machine reaches otherwise, as through a VPN, come last.

    Args:
        outer: the engine that holds the lab.
        own: see `taken_networks`.
    """
    by = taken_networks(outer, own)
    known = outer.routes()
    free = [network for network in lab_networks() if network not in by]
    return [str(network) for network in sorted(free, key=lambda network: bool(wider(network, known)))]


def lab_networks() -> list[IPv4Network]:
    """Return all networks that labs may take, the document's first."""
    return [IPv4Network(f"192.168.{third}.0/24") for third in NETWORKS]


def taken_networks(outer: OuterEngine, own: str = "") -> dict[IPv4Network, str]:
    """Return the networks of labs that a new lab may not take, each with what has it.

    A lab in a network of the host's own, such as VirtualBox's host-only network, would leave two equal routes.

    Args:
        outer: the engine that holds the lab.
        own: how the names of interfaces begin that the lab takes over; empty for none.
    """
    has: dict[IPv4Network, str] = {}
    for network in outer.client.networks.list():
        for pool in network.attrs["IPAM"]["Config"] or []:
            with contextlib.suppress(ValueError):  # of IPv6, or none
                has.setdefault(
                    IPv4Network(pool.get("Subnet", ""), strict=False), f"the engine's network {network.name}"
                )
    for found in outer.containers(SUBNET):
        has.setdefault(IPv4Network(f"{found.labels[SUBNET]}/24"), f"lab {found.labels[LABEL]}")
    taken = {each: who for each in lab_networks() for network, who in has.items() if each.overlaps(network)}
    return taken_by_routes(outer.routes(), own) | taken


def taken_by_routes(known: Routes, own: str = "") -> dict[IPv4Network, str]:
    """Return the networks of labs that a host reaches otherwise, each with the interface.

    Args:
        known: the routes of the host.
        own: see `taken_networks`.
    """
    return {
        each: device or "a route that refuses"
        for each in lab_networks()
        for device in narrower(each, known).values()
        if not (own and device.startswith(own))
    }


def describe(outer: OuterEngine, name: str) -> list[NodeState]:
    """Return the state of each node of a lab whose nodes are containers."""
    members = outer.containers(f"{LABEL}={name}", NODE)
    members.sort(key=lambda member: (int(member.labels[CLUSTER]), int(member.labels[PLACE])))
    return parallel(_described, members)


def _described(member: Container) -> NodeState:
    networks = member.attrs["NetworkSettings"]["Networks"].values()
    address = ", ".join(network["IPAddress"] or "no address" for network in networks)
    info: dict[str, Any] | None = {}
    if member.status == "running":
        with contextlib.ExitStack() as afterwards:
            url = shared_socket(member) or afterwards.enter_context(Relay(lambda: member)).url
            try:
                info = info_at(url)
            except NoAnswer:
                info = None
    return NodeState.of(member.labels[NODE], address, member.status, info, int(member.labels[CLUSTER]))


def shared_socket(container: Container, *, new: bool = False) -> str:
    """Return the address of the socket of a node's engine that this process can reach as a file; empty without one.

    A lab shares the folders of such sockets with its nodes where it has its files on the machine of the outer engine.
    Other users, and processes in containers, do not reach them, and use a `Relay`. So does everybody once the file is
    gone, as when a cleaner of temporary files has removed it: the node makes it anew only when it starts.

    Args:
        container: the node's container.
        new: its engine may not have made the socket yet.
    """
    socket = container.labels.get(SOCKET, "")
    reached = socket and os.access(Path(socket).parent, os.R_OK | os.W_OK | os.X_OK)
    there = reached and (new or container.status != "running" or Path(socket).exists())
    return f"unix://{socket}" if there else ""


def remove(outer: OuterEngine, name: str) -> None:
    """Remove everything that carries the label of the lab *name*.

    Removal is repeated: a process that was just ended may have asked the engine for a container that comes up later.

    Raises:
        LabError: a part of it stays in use.
    """
    with signals.deferred(f"the removal of lab {name}"):
        disown(outer, name)
        wait(lambda: _gone(outer, f"{LABEL}={name}"), f"all of lab {name} to be removed", error=LabError)
        _remove_folder(run_folder() / "labs" / name)
        note_gone(name)


def remove_cluster(outer: OuterEngine, name: str, cluster: int) -> None:
    """Remove the nodes of one cluster of the lab *name*, also what an upgrade that failed left beside them.

    Raises:
        LabError: a part of it stays in use.
    """
    mine = (f"{LABEL}={name}", f"{CLUSTER}={cluster}")
    wait(lambda: _gone(outer, *mine), f"cluster {cluster} of lab {name} to be removed", error=LabError)


def _gone(outer: OuterEngine, *labels: str) -> State:
    """Remove what carries all of *labels*; return whether nothing of it is left."""
    filters: dict[str, Any] = {"label": list(labels)}
    try:
        parallel(remove_node, outer.containers(*labels))
        for network in outer.client.networks.list(filters=filters):
            _ignore_missing(functools.partial(inside.disconnect_guests, network))
            _ignore_missing(network.remove)
        for volume in outer.client.volumes.list(filters=filters):
            _ignore_missing(functools.partial(volume.remove, force=True))
    except docker.errors.APIError as refused:  # as for two containers of one node, which share its volumes
        return State(False, str(refused.explanation))
    left = outer.containers(*labels)
    return State(not left, f"{len(left)} containers are left")


def remove_node(container: Container) -> None:
    """Remove a container of a lab with its volumes and its socket's folder."""
    socket_folder = Path(container.labels[SOCKET]).parent if SOCKET in container.labels else None
    mounts = container.attrs.get("Mounts", [])
    # What it may not write to is not its own: the data root that it began with is of all nodes of its engine.
    volumes = [mount["Name"] for mount in mounts if mount.get("Type") == "volume" and mount.get("RW", True)]
    client = container.client
    assert client is not None
    thaw_inside(container)
    _ignore_missing(lambda: container.remove(force=True, v=True))
    for volume in volumes:
        _ignore_missing(lambda: client.volumes.get(volume).remove(force=True))  # noqa: B023
    _ignore_missing(lambda: client.volumes.get(off_mark(container)).remove(force=True))
    if socket_folder:
        _remove_folder(socket_folder)


def off_mark(container: Container) -> str:
    """Return the name of a volume that has no other use: it says that a node was switched off on purpose."""
    return f"{container.name}-off"


def thaw_inside(container: Container) -> None:
    """Thaw the containers in a node that somebody has paused: with cgroup v1, what is frozen outlives a SIGKILL."""
    with contextlib.suppress(docker.errors.APIError):  # it does not run, or is paused itself
        if container.status == "running":
            container.exec_run(["sh", "-c", _THAW])


def _ignore_missing(action: Callable[[], object]) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        action()
