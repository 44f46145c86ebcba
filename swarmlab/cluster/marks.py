"""Marks: the labels and the form of name by which resources of the suite are known, and their removal.

A killed run cannot remove what it made. These marks are how the next run, and ``swarmlab cleanup``, find it again and
nothing else.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.cluster.service import ENDED
from swarmlab.errors import EngineRefused
from swarmlab.wait import State

#: The label on every resource that a test makes.
SUITE_LABEL = "swarm-conformance"
#: The label on a resource that several tests share: it goes with the cluster, not with a test.
KEPT_LABEL = f"{SUITE_LABEL}.kept"
#: The label on every image that the project makes; its value is the image's name without tag.
LABEL_IMAGE = "swarmlab.image"
#: The label on every resource that `docker stack deploy` makes; its value is the stack's name.
STACK_LABEL = "com.docker.stack.namespace"
#: How the names of the suite's resources begin. Other names may begin so too, so match names with `is_unique` only.
PREFIX = "swc-"
#: The folder on a node in which the suite makes its folders.
FOLDERS = "/var/tmp"
#: The six digits at the end of a unique name, as a pattern of the shell.
DIGITS = "[0-9a-f]" * 6
_UNIQUE = re.compile(rf"{PREFIX}[\w.-]*-{DIGITS}(?![0-9a-zA-Z])")


def unique(name: str) -> str:
    """Return a new name for a resource of the suite: the prefix, *name* and six random hexadecimal digits."""
    return f"{PREFIX}{name}-{secrets.token_hex(3)}"


def is_unique(name: str) -> bool:
    """Whether *name* is a name of `unique`, or begins with one as the names of a stack's resources do."""
    return bool(_UNIQUE.match(name))


def of_a_stack(resource: Mapping[str, Any]) -> bool:
    """Whether a resource, as the API lists it, belongs to a stack of the suite."""
    labels = resource.get("Labels") or resource.get("Spec", {}).get("Labels") or {}
    return _stack_is_ours(labels)


def ours(name: str, labels: Mapping[str, Any] | None) -> bool:
    """Whether a resource with this name and these labels is the suite's, or belongs to a stack of it."""
    labels = labels or {}
    return SUITE_LABEL in labels or KEPT_LABEL in labels or _stack_is_ours(labels) or is_unique(name)


def _stack_is_ours(labels: Mapping[str, Any]) -> bool:
    return is_unique(str(labels.get(STACK_LABEL, "")))


def removed(node: Node, path: str, **query: Any) -> State:
    """Delete the resource at *path* of the API, such as ``/networks/ID``; return whether it is gone now.

    It stays while something uses it, such as the container of a task that ends after its service. Poll with `wait`.
    """
    try:
        node.ask("DELETE", path, **query)
    except EngineRefused as refused:
        return State(refused.status == 404, refused.explanation)
    return State(True)


def network_removed(manager: Node, network: str) -> State:
    """Delete an overlay network of the swarm once no task uses it; return whether it is gone now. Poll with `wait`.

    A manager would delete it as soon as its services are gone. While the tasks of these end, it would then log an error
    for each node at every change of the swarm. Tasks on nodes that are down do not end, so they do not count, and
    neither do ended tasks of a service that is there.

    Args:
        manager: a node that serves the cluster's API.
        network: the network's id, or its name if no other network has it.
    """
    ready = {member["ID"] for member in manager.ask("GET", "/nodes") if member["Status"]["State"] == "ready"}
    using = [
        task["ID"]
        for task in manager.ask("GET", "/tasks")
        if task.get("NodeID") in ready and (task["Status"]["State"] not in ENDED or task["DesiredState"] == "remove")
        for attached in task.get("NetworksAttachments") or []
        if network in (attached["Network"]["ID"], attached["Network"]["Spec"]["Name"])
    ]
    if using:
        return State(False, f"in use by {len(using)} tasks, such as {using[0]}")
    return removed(manager, f"/networks/{network}")
