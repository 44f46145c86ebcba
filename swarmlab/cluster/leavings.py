"""What runs of the suites left on a cluster: found by label and by the form of its name, shown, and removed.

Nothing else is touched. A name of the suites is made by `workbench.unique`: a prefix, some words, six digits.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.cluster.workbench import FOLDERS, KEPT_LABEL, PREFIX, STACK_LABEL, SUITE_LABEL, is_unique
from swarmlab.errors import EngineRefused, LabError, SwarmlabError
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: The loopback address of every node at which the suite's own registry answers: no other image has a name of it.
LOOPBACK = "127.83.87.67"
#: The name of that registry's image on nodes.
REGISTRY_IMAGE = f"{PREFIX}registry"
_DIGITS = "[0-9a-f]" * 6


@dataclass(frozen=True)
class Leaving:
    """One thing that a run left.

    Attributes:
        kind: service, config, secret, network, container, volume, image, build cache, folder, user, or label of a node.
        name: its name.
        node: where it is; the manager that was asked for what is the swarm's.
        of_swarm: it is the swarm's, and not one node's.
        remove: takes it away.
    """

    kind: str
    name: str
    node: str
    of_swarm: bool
    remove: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + ("" if self.of_swarm else f" on {self.node}")


def ours(name: str, labels: Mapping[str, Any] | None) -> bool:
    """Whether a thing of this name and these labels was made by a suite, or by a stack of one."""
    labels = labels or {}
    stack = str(labels.get(STACK_LABEL, ""))
    return SUITE_LABEL in labels or KEPT_LABEL in labels or is_unique(stack) or is_unique(name)


def find(nodes: Sequence[Node], manager: Node, registry: str = "") -> list[Leaving]:
    """All that runs left on a cluster, in the order in which it can be removed.

    Args:
        nodes: all its machines.
        manager: one that serves the cluster's API.
        registry: HOST[:PORT]/PATH of the inventory; images of the suite from there are the suite's.

    Raises:
        LabError: a node does not tell.
    """
    of_swarm = list(_of_swarm(manager))
    known = _known_cache(manager)
    of_nodes = parallel(lambda node: [*_of_node(node, registry), *_cache(node, known.get(node.name))], nodes)
    order = ("service", "container", "config", "secret", "network", "volume", "image", "build cache", "folder", "user")
    found = [*of_swarm, *(one for listed in of_nodes for one in listed)]
    return sorted(found, key=lambda one: order.index(one.kind) if one.kind in order else len(order))


def _of_swarm(manager: Node) -> Iterator[Leaving]:
    for kind in ("service", "config", "secret"):
        for one in manager.ask("GET", f"/{kind}s"):
            if ours(one["Spec"]["Name"], one["Spec"].get("Labels")) and one["Spec"]["Name"] != LOCK:
                yield _thing(kind, one["Spec"]["Name"], manager, f"/{kind}s/{one['ID']}", of_swarm=True)
    for one in manager.ask("GET", "/networks", filters={"scope": ["swarm"]}):
        if ours(one["Name"], one["Labels"]):
            yield _thing("network", one["Name"], manager, f"/networks/{one['Id']}", of_swarm=True)
    for one in manager.ask("GET", "/nodes"):
        for label in one["Spec"].get("Labels") or {}:
            if is_unique(label):
                yield _node_label(manager, one["ID"], one["Description"].get("Hostname", one["ID"]), label)


def _of_node(node: Node, registry: str) -> Iterator[Leaving]:
    for one in node.containers(all=True):
        name = one["Names"][0].strip("/") if one["Names"] else one["Id"][:12]
        if "com.docker.swarm.task" in one["Labels"]:
            continue  # it goes with its service; what is left of one that is gone goes by itself
        if ours(name, one["Labels"]) or is_unique(one["Labels"].get("com.docker.compose.project", "")):
            yield _thing("container", name, node, f"/containers/{one['Id']}", force=True, v=True)
    for one in node.ask("GET", "/networks", filters={"scope": ["local"]}):
        if ours(one["Name"], one["Labels"]):
            yield _thing("network", one["Name"], node, f"/networks/{one['Id']}")
    for one in node.ask("GET", "/volumes")["Volumes"] or []:
        if ours(one["Name"], one.get("Labels")):
            yield _thing("volume", one["Name"], node, f"/volumes/{one['Name']}")
    for one in node.ask("GET", "/images/json"):
        yield from _image(node, one, registry)
    yield from _on_machine(node)


def _image(node: Node, image: Mapping[str, Any], registry: str) -> Iterator[Leaving]:
    tags = [tag for tag in image.get("RepoTags") or [] if not tag.startswith("<none>")]
    digests = [one for one in image.get("RepoDigests") or [] if not one.startswith("<none>")]
    names = [name for name in [*tags, *digests] if _is_ours(name, registry)]
    if ours("", image.get("Labels")) and not set(tags) - set(names):
        yield _thing("image", (tags or [image["Id"]])[0], node, f"/images/{image['Id']}", force=True)
        return
    # Of an image that others have named too, the suite's names alone are taken away.
    for name in sorted(names, key=lambda name: "@" in name):
        yield _thing("image", name, node, f"/images/{name}")


def _is_ours(reference: str, registry: str) -> bool:
    if reference.startswith((f"{LOOPBACK}:", f"{REGISTRY_IMAGE}:", f"{REGISTRY_IMAGE}@")):
        return True
    if registry and reference.startswith(f"{registry}/"):
        return True
    return is_unique(re.split("[:@]", reference)[0])


def _on_machine(node: Node) -> Iterator[Leaving]:
    listed = node.look(f"ls -d {FOLDERS}/{PREFIX}*-{_DIGITS} 2>/dev/null; getent passwd | cut -d : -f 1")
    for word in listed.out.split():
        if word.startswith(f"{FOLDERS}/") and is_unique(word.removeprefix(f"{FOLDERS}/")):
            yield Leaving("folder", word, node.name, False, _shell(node, f"rm -rf {word}"))
        elif "/" not in word and is_unique(word):
            yield Leaving("user", word, node.name, False, _shell(node, f"pkill -KILL -u {word}; userdel -fr {word}"))


def _cache(node: Node, before: Sequence[str] | None) -> Iterator[Leaving]:
    """What BuildKit keeps that it did not when the run began; its records do not say whose they are."""
    new = sorted(set(cache_of(node)) - set(before)) if before is not None else []
    if not new:
        return

    def remove() -> None:
        # What others are made from goes only after them.
        left, fewer = len(new) + 1, len(new)
        while 0 < fewer < left:
            for record in set(cache_of(node)) & set(new):
                node.ask("POST", "/build/prune", all=True, filters={"id": [record]})
            left, fewer = fewer, len(set(cache_of(node)) & set(new))
        if fewer:
            raise LabError(f"{fewer} records of the build cache are in use")

    yield Leaving("build cache", f"of {len(new)} records", node.name, False, remove)


def cache_of(node: Node) -> list[str]:
    """The ids of the records that the engine's BuildKit keeps; none where the engine does not tell."""
    try:
        told = node.ask("GET", "/system/df", type="build-cache", timeout=120)
    except (EngineRefused, LabError):
        return []
    return [one["ID"] for one in told.get("BuildCache") or []]


def _thing(kind: str, name: str, node: Node, path: str, *, of_swarm: bool = False, **query: Any) -> Leaving:
    def remove() -> None:
        # Containers of tasks, and the networks of nodes, take a while to follow the service that is gone.
        def gone() -> State:
            try:
                node.ask("DELETE", path, **query)
            except EngineRefused as refused:
                return State(refused.status == 404, refused.explanation)
            return State(True)

        wait(gone, f"{kind} {name} on {node} to be removed", deadline=60, error=LabError)

    return Leaving(kind, name, node.name, of_swarm, remove)


def _node_label(manager: Node, identity: str, name: str, label: str) -> Leaving:
    def remove() -> None:
        manager.revise(f"/nodes/{identity}", lambda spec: spec["Labels"].pop(label, None))

    return Leaving("label", label, name, False, remove)


def _shell(node: Node, command: str) -> Callable[[], None]:
    def remove() -> None:
        node.run(command)

    return remove


def remove(leavings: Sequence[Leaving], nodes: Sequence[Node]) -> list[str]:
    """Take *leavings* of a cluster of *nodes* away; gives what could not be, a line each."""
    left = []
    for one in leavings:
        try:
            one.remove()
        except Exception as failed:  # one that stays must not keep the others
            left.append(f"{one}: {failed}")
    try:
        let_go(nodes)
    except SwarmlabError as failed:
        left.append(str(failed))
    return left


def let_go(nodes: Sequence[Node]) -> None:
    """Wait until *nodes* have let go of what goes with a service, whoever removed that, and however long ago.

    Raises:
        LabError: one does not in time.
    """
    wait(lambda: _followed(nodes), "nodes to let go of what went with its service", deadline=60, error=LabError)


def _followed(nodes: Sequence[Node]) -> State:
    """Whether no node has a container of a task of the suites', or an overlay network of theirs, any more."""

    def has(node: Node) -> list[str]:
        tasks = [one["Labels"] for one in node.containers(all=True, label="com.docker.swarm.task.id")]
        held = [(labels.get("com.docker.swarm.service.name", ""), labels) for labels in tasks]
        held += [(one["Name"], one["Labels"]) for one in node.ask("GET", "/networks", filters={"driver": ["overlay"]})]
        return sorted({f"{node} has {name}" for name, labels in held if ours(name, labels)})

    left = [words for listed in parallel(has, nodes) for words in listed]
    return State(not left, "; ".join(left) or "they have")


# One run at a time

#: The swarm's config that tells which process runs the suites on it.
LOCK = f"{PREFIX}run"
#: Its only label: what carries the suite's own goes with every test.
_OWNER = f"{SUITE_LABEL}.owner"


def holder(manager: Node) -> str:
    """The process that runs the suites on this swarm, as `ownership.this_process` writes it; empty if none does."""
    for one in manager.ask("GET", "/configs", filters={"name": [LOCK]}):
        if one["Spec"]["Name"] == LOCK:
            return str(one["Spec"]["Labels"].get(_OWNER, "unknown"))
    return ""


def take(manager: Node, owner: str, nodes: Sequence[Node]) -> None:
    """Note on the swarm that *owner* runs the suites on it, and what the nodes' BuildKit keeps before.

    Raises:
        EngineRefused: another does already.
    """
    kept = dict(zip([node.name for node in nodes], parallel(cache_of, nodes), strict=True))
    data = base64.b64encode(json.dumps({"build cache": kept}).encode()).decode()
    body = {"Name": LOCK, "Labels": {_OWNER: owner}, "Data": data}
    manager.ask("POST", "/configs/create", body=body)


def _known_cache(manager: Node) -> dict[str, list[str]]:
    for one in manager.ask("GET", "/configs", filters={"name": [LOCK]}):
        if one["Spec"]["Name"] == LOCK:
            known: dict[str, list[str]] = json.loads(base64.b64decode(one["Spec"]["Data"]))["build cache"]
            return known
    return {}


def release(manager: Node) -> None:
    """Take that note away."""
    with contextlib.suppress(EngineRefused):
        manager.ask("DELETE", f"/configs/{LOCK}")
