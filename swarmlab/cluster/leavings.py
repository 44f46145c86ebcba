"""Leavings: what runs left on a cluster, found by the suite's marks, listed and removed.

Nothing else is touched (see `swarmlab.cluster.marks`) but BuildKit's cache, which takes no mark: of it goes what is new
since the run began, whoever made it. Where it is not known when the run began there, all of it stays.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from swarmlab.cluster import build_cache, deadline, tables
from swarmlab.cluster.marks import DIGITS, FOLDERS, LABEL_IMAGE, PREFIX, is_unique, network_removed, ours, removed
from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.run_lock import LOCK
from swarmlab.cluster.service import SERVICE_NAME_LABEL, TASK_LABEL
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.wait import State, scaled, wait

#: The loopback address on which the suite's registry listens on every node. Only the suite's images are named after it.
LOOPBACK = "127.83.87.67"
#: The name of that registry's image on nodes.
REGISTRY_IMAGE = f"{PREFIX}registry"
#: Seconds at reference speed in which a node tells what is left on it; and in which it lists its build cache.
_PATIENCE, _LONG = 60.0, 180.0
#: The kind of leavings that have no mark: the lock alone tells that they are the run's.
_BUILD_CACHE = "build cache"
#: The order in which leavings of one phase are removed, and the phases in which all nodes have theirs removed at once.
_ORDER = (
    *("service", "container", "config", "secret", "network", "volume", "image", _BUILD_CACHE),
    *("folder", "user", "table", "label"),
)
_ON_NODES = (1, 3)


@dataclass(frozen=True)
class Leaving:
    """A resource that a run left.

    Attributes:
        kind: service, config, secret, network, container, volume, image, build cache, folder, user, table of a packet
            filter, or label of a node.
        name: its name.
        node: host name of its node; for a resource of the swarm, of the manager that listed it.
        of_swarm: whether it is a resource of the swarm, and not of one node.
        remove: removes it.
    """

    kind: str
    name: str
    node: str
    of_swarm: bool
    remove: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + ("" if self.of_swarm else f" on {self.node}")


@dataclass(frozen=True)
class Found:
    """What was found of runs on a cluster.

    Attributes:
        leavings: what runs left, in the order in which it can be removed.
        missed: what could not be looked at, and why, a line each.
        nodes: the nodes that were looked at.
        unknown: what stays, as nobody knows what of it is the run's, a line each.
    """

    leavings: list[Leaving]
    missed: list[str]
    nodes: list[Node]
    unknown: list[str]


def find(
    nodes: Sequence[Node], manager: Node | None, registry: str = "", begun: Mapping[str, float | None] | None = None
) -> Found:
    """Find what runs left on a cluster. A node that does not answer does not hide what is on the others.

    Args:
        nodes: all its machines.
        manager: a node that serves the cluster's API; None if none does.
        registry: the inventory's registry as HOST[:PORT]/PATH; images from there are the suite's.
        begun: when the run began on each node (see `swarmlab.cluster.run_lock.RunLock`).
    """
    known = begun or {}

    def look_at(node: Node) -> tuple[list[Leaving], str]:
        found, missed = _looked(lambda: _of_node(node, registry), f"what is left on {node}", _PATIENCE)
        time = known.get(node.name)
        if missed or time is None:
            return found, missed
        cache, missed = _looked(lambda: _cache(node, time), f"what is left of build cache on {node}", _LONG)
        return found + cache, missed

    in_swarm = f"what is left in the swarm, such as services{'' if manager else ' (no node serves its API)'}"
    looked = [_looked(lambda: _of_swarm(manager), in_swarm, _PATIENCE) if manager else ([], in_swarm)]
    of_nodes = parallel(look_at, nodes, at_once=ELSEWHERE)
    return Found(
        sorted((leaving for found, _ in looked + of_nodes for leaving in found), key=_place),
        [missed for _, missed in looked + of_nodes if missed],
        [node for node, (_, missed) in zip(nodes, of_nodes, strict=True) if not missed],
        [
            f"what the run added to the build cache of {node}: when the run began, the engine did not list its cache"
            for node in nodes
            if node.name in known and known[node.name] is None
        ],
    )


def _looked(look: Callable[[], Iterable[Leaving]], what: str, seconds: float) -> tuple[list[Leaving], str]:
    """Return what a look finds in so many seconds at reference speed, and if it fails, what it has missed, and why.

    What was found before it failed counts.
    """
    found: list[Leaving] = []
    try:
        with deadline.within(scaled(seconds)):
            for leaving in look():
                found.append(leaving)
    except SwarmlabError as failed:
        return found, f"{what} ({failed})"
    return found, ""


def _place(leaving: Leaving) -> tuple[int, int]:
    """Return the place of a leaving in the order of removal: its phase (see `remove`), and its place there."""
    if leaving.kind == "service":
        phase = 0
    elif leaving.kind == "container":
        phase = 1
    else:
        phase = 2 if leaving.of_swarm or leaving.kind == "label" else 3
    return phase, _ORDER.index(leaving.kind)


def need_lock(missed: Sequence[str], left: Sequence[str]) -> bool:
    """Whether the lock of a run has to stay for who cleans up later: nothing else tells whose build cache is.

    Args:
        missed: what was not looked at (`Found.missed`).
        left: what could not be removed (see `remove`).
    """
    return bool(missed) or any(line.startswith(f"{_BUILD_CACHE} ") for line in left)


def _of_swarm(manager: Node) -> Iterator[Leaving]:
    for kind in ("service", "config", "secret"):
        for resource in manager.ask("GET", f"/{kind}s"):
            if ours(resource["Spec"]["Name"], resource["Spec"].get("Labels")) and resource["Spec"]["Name"] != LOCK:
                yield _resource(kind, resource["Spec"]["Name"], manager, f"/{kind}s/{resource['ID']}", of_swarm=True)
    for resource in manager.ask("GET", "/networks", filters={"scope": ["swarm"]}):
        if ours(resource["Name"], resource["Labels"]):
            yield _overlay(resource["Name"], manager, resource["Id"])
    for resource in manager.ask("GET", "/nodes"):
        for label in resource["Spec"].get("Labels") or {}:
            if is_unique(label):
                yield _node_label(
                    manager, resource["ID"], resource["Description"].get("Hostname", resource["ID"]), label
                )


def _of_node(node: Node, registry: str) -> Iterator[Leaving]:
    for resource in node.containers(all=True):
        name = resource["Names"][0].strip("/")
        if "com.docker.swarm.task" in resource["Labels"]:
            continue  # the swarm removes it after its service
        if ours(name, resource["Labels"]) or is_unique(resource["Labels"].get("com.docker.compose.project", "")):
            yield _resource("container", name, node, f"/containers/{resource['Id']}", force=True, v=True)
    for resource in node.ask("GET", "/networks", filters={"scope": ["local"]}):
        if ours(resource["Name"], resource["Labels"]):
            yield _resource("network", resource["Name"], node, f"/networks/{resource['Id']}")
    for resource in node.ask("GET", "/volumes")["Volumes"] or []:
        if ours(resource["Name"], resource.get("Labels")):
            yield _resource("volume", resource["Name"], node, f"/volumes/{resource['Name']}")
    for resource in node.ask("GET", "/images/json"):
        yield from _image(node, resource, registry)
    yield from _on_machine(node)
    for table in tables.listed(node.look(tables.LIST).expect().splitlines()):
        if table.left:
            yield Leaving("table", table.name, node.name, False, _shell(node.run, f"nft delete table ip {table.name}"))


def _image(node: Node, image: Mapping[str, Any], registry: str) -> Iterator[Leaving]:
    tags = [tag for tag in image.get("RepoTags") or [] if not tag.startswith("<none>")]
    digests = [digest for digest in image.get("RepoDigests") or [] if not digest.startswith("<none>")]
    # A registry may have others' images, too.
    pulled = registry if LABEL_IMAGE in (image.get("Labels") or {}) else ""
    names = [name for name in [*tags, *digests] if _is_ours(name, pulled)]
    if ours("", image.get("Labels")) and not set(tags) - set(names):
        yield _resource("image", (tags or [image["Id"]])[0], node, f"/images/{image['Id']}", force=True)
        return
    # The image also has a name that is not the suite's, or no label of it: only the suite's names are removed.
    for name in sorted(names, key=lambda name: "@" in name):
        yield _resource("image", name, node, f"/images/{name}")


def _is_ours(reference: str, registry: str) -> bool:
    if reference.startswith((f"{LOOPBACK}:", f"{REGISTRY_IMAGE}:", f"{REGISTRY_IMAGE}@")):
        return True
    # Engines list the images of Docker Hub without its name.
    if registry and reference.startswith(re.sub(r"^(index\.)?docker\.io/", "", f"{registry}/")):
        return True
    return is_unique(re.split("[:@]", reference)[0])


def _on_machine(node: Node) -> Iterator[Leaving]:
    listed = node.look(f"ls -d {FOLDERS}/{PREFIX}*-{DIGITS} 2>/dev/null; getent passwd | cut -d : -f 1").expect()
    for word in listed.split():
        if word.startswith(f"{FOLDERS}/") and is_unique(word.removeprefix(f"{FOLDERS}/")):
            # Those of the docker command's settings are of the user, who need not be root.
            yield Leaving("folder", word, node.name, False, _shell(node.look, f"rm -rf {word}"))
        elif "/" not in word and is_unique(word):
            yield Leaving(
                "user", word, node.name, False, _shell(node.run, f"pkill -KILL -u {word}; userdel -fr {word}")
            )


def _cache(node: Node, begun: float) -> Iterator[Leaving]:
    """Yield the records of BuildKit's cache that are new since the run began."""
    if new := build_cache.since(node, begun):
        since = datetime.fromtimestamp(begun, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = f"of {len(new)} records since {since}"
        yield Leaving(_BUILD_CACHE, name, node.name, False, lambda: build_cache.prune(node, new))


def _resource(kind: str, name: str, node: Node, path: str, *, of_swarm: bool = False, **query: Any) -> Leaving:
    def remove() -> None:
        # Nodes remove the containers and networks of a service's tasks a while after the service.
        reason = f"{kind} {name} on {node} to be removed"
        wait(lambda: removed(node, path, **query), reason, deadline=60, error=LabError)

    return Leaving(kind, name, node.name, of_swarm, remove)


def _overlay(name: str, manager: Node, identity: str) -> Leaving:
    def remove() -> None:
        reason = f"network {name} of the swarm to be removed"
        wait(lambda: network_removed(manager, identity), reason, deadline=60, error=LabError)

    return Leaving("network", name, manager.name, True, remove)


def _node_label(manager: Node, identity: str, name: str, label: str) -> Leaving:
    def remove() -> None:
        manager.revise(f"/nodes/{identity}", lambda spec: spec["Labels"].pop(label, None))

    return Leaving("label", label, name, False, remove)


def _shell(run: Callable[[str], Result], command: str) -> Callable[[], None]:
    def remove() -> None:
        run(command).expect()

    return remove


def remove(found: Found) -> list[str]:
    """Remove what was found; return a line for each that could not be removed.

    Services go first, then containers, then what else is the swarm's, then what else is on nodes: all nodes at once.
    """
    left = []
    for phase, group in itertools.groupby(found.leavings, key=lambda leaving: _place(leaving)[0]):
        apart: dict[str, list[Leaving]] = {}
        for leaving in group:
            apart.setdefault(leaving.node if phase in _ON_NODES else "", []).append(leaving)
        left += [line for lines in parallel(_remove_each, apart.values(), at_once=ELSEWHERE) for line in lines]
    left += filter(None, parallel(_let_go, found.nodes, at_once=ELSEWHERE))
    return left


def _remove_each(leavings: Iterable[Leaving]) -> list[str]:
    left = []
    for leaving in leavings:
        try:
            leaving.remove()
        except Exception as failed:  # the others are removed all the same
            left.append(f"{leaving}: {failed}")
    return left


def _let_go(node: Node) -> str:
    """`let_go` of one node; return why it did not end in time, if it did not."""
    try:
        let_go([node])
    except SwarmlabError as failed:
        return str(failed)
    return ""


def let_go(nodes: Sequence[Node]) -> None:
    """Wait until *nodes* have removed the containers and overlay networks of the suite's removed services.

    Raises:
        LabError: a node does not remove them in time.
    """
    reason = "nodes to remove the containers and networks of services that are gone"
    wait(lambda: _followed(nodes), reason, deadline=60, error=LabError)


def _followed(nodes: Sequence[Node]) -> State:
    def held_by(node: Node) -> list[str]:
        held = []
        for resource in node.containers(all=True, label=TASK_LABEL):
            labels = resource["Labels"]
            # Some engines leave a container that has ended for good (moby/swarmkit#2273).
            if ours(labels.get(SERVICE_NAME_LABEL, ""), labels) and resource["State"] != "running":
                removed(node, f"/containers/{resource['Id']}", force=True, v=True)
            held.append((labels.get(SERVICE_NAME_LABEL, ""), labels))
        held += [
            (resource["Name"], resource["Labels"])
            for resource in node.ask("GET", "/networks", filters={"driver": ["overlay"]})
        ]
        return sorted({f"{node} has {name}" for name, labels in held if ours(name, labels)})

    left = [line for listed in parallel(held_by, nodes, at_once=ELSEWHERE) for line in listed]
    return State(not left, "; ".join(left) or "they have removed all")
