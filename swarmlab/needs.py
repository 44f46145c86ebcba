"""The needs of claims, and the offers of labs that meet them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_COUNT = re.compile(r"^(nodes|managers|task-history)>=(\d+)$")
#: Needs of a version that the node's engine or command line knows: of the engine's API, or of compose files.
_VERSION = re.compile(r"^(api|compose)>=(\d+\.\d+)$")

#: Features that depend on what the owner of a swarm has chosen, each with the reason to give where it is missing.
_OWNERS = {
    "node-ssh": "no user is known who logs in from node to node by key",
    "compose-tool": "a node has neither docker-compose nor the compose plugin",
    "default-bridge": "the engine's default bridge is not docker0 as the engine makes it",
    "icc": "containers on the default bridge are kept apart (setting icc)",
    "node-ports": "nodes do not reach each other's published ports",
    "curl": "a node has no curl",
    "host-files": "containers are kept from files of the node (userns-remap or SELinux)",
    "default-ingress": "the network of the routing mesh is not the one that init makes",
    "swarm-ca": "the certificates are not of the authority that init makes",
    "default-port": "a manager has another port than 2377",
    "default-expiry": "the swarm is set to another validity of certificates than the default",
}
#: Features that a lab has or lacks, each with the reason to give if the lab itself gives none.
FEATURES = {
    "ipvs": "kernel has no IPVS",
    "power": "lab cannot power a node off, or cut it off",
    "reboot": "lab cannot reboot a node",
    "systemd": "nodes do not run systemd",
    "internet": "nodes have no way to the outside",
    "vagrant": "nodes are not Vagrant machines",
    "memory": "nodes share the host's memory",
    "disk": "nodes share the host's disk",
    "mixed-engines": "lab has one engine version only",
    "long": "run does not include tests of over 10 minutes",
    "encryption": "kernel has no ESP",
    "spare": "lab has no machine beside its cluster",
    "buildkit": "the node's command line and engine build without BuildKit",
    "registry": "lab has no registry of its own that tests may push to",
    **_OWNERS,
}
#: The features that every lab has which the project makes. The owner of another swarm may have chosen otherwise.
MADE = frozenset(_OWNERS)
#: Properties that a lab may declare for its nodes: each name with a description. They are the document's own choices,
#: which a swarm is not wrong to lack.
DECLARED = {
    "engine": "version of the engines",
    "system": "operating system of the nodes",
    "packaged": "package of the engines",
    "names": "host names of the nodes",
    "addresses": "static addresses of the nodes",
    "hosts": "mapping of the nodes' names in /etc/hosts",
    "user": "user of the cluster",
    "keys": "SSH keys of the cluster's user",
    "compose": "release of docker-compose",
    "outside": "way to the outside from every node",
    "listen": "listen address of the managers",
}
#: Features of machines alone: no container has them, whatever its host is like.
OF_MACHINES = frozenset({"reboot", "systemd", "vagrant", "memory", "disk"})
_DECLARED = "declared:"
#: Needs with a part that varies, by what they begin with: the form, and the meaning.
FORMS = {
    "nodes": ("nodes>=N", "the cluster has at least this many nodes"),
    "managers": ("managers>=N", "the cluster has room for at least this many managers"),
    "task-history": (
        "task-history>=N",
        "the swarm is set to keep at least this many tasks of a slot; the default is 5",
    ),
    "api": ("api>=1.N", "the engine of the first node knows at least this version of the API"),
    "compose": ("compose>=3.N", "the command line of the first node takes compose files of this version"),
    "image": (
        "image:NAME",
        "the lab serves an image that the project does not make; `--image NAME=REFERENCE` or a file gives one",
    ),
}
#: Meanings of `FEATURES`.
MEANINGS = {
    "ipvs": "the kernel has IPVS, by which the routing mesh spreads requests",
    "power": "the lab can power a node off, as a loss of power does, and cut it off from others",
    "reboot": "the lab can reboot a node",
    "systemd": "the nodes run systemd",
    "internet": "the nodes have a way to the outside",
    "vagrant": "the nodes are machines of Vagrant",
    "memory": "each node has memory of its own",
    "disk": "each node has a disk of its own",
    "mixed-engines": "the lab has engines of several versions",
    "long": "the run includes tests of over 10 minutes (--profile nightly; over 8 hours, also --hours)",
    "encryption": "the kernel has ESP, for encrypted overlay networks",
    "spare": "the lab has a machine beside its cluster",
    "buildkit": "the node's command line and engine build with BuildKit",
    "registry": "the lab has a registry of its own to which tests may push",
    "node-ssh": "a user is known who logs in from node to node by key",
    "compose-tool": "every node has docker-compose or the compose plugin",
    "default-bridge": "the engine's default bridge is docker0 as the engine makes it",
    "icc": "containers on the default bridge reach each other (setting icc)",
    "node-ports": "nodes reach each other's published ports",
    "curl": "every node has curl",
    "host-files": "containers can use files of the node (neither userns-remap nor SELinux keeps them out)",
    "default-ingress": "the network of the routing mesh is the one that init makes",
    "swarm-ca": "the certificates are of the authority that init makes",
    "default-port": "every manager has port 2377",
    "default-expiry": "the swarm has the default validity of certificates",
}
#: The setting of a swarm that nobody has changed: how many tasks of a slot the managers keep.
TASK_HISTORY = 5


def known_need(need: str) -> bool:
    """Whether claims may have this need (see claims/README.md)."""
    if need.startswith(_DECLARED):
        return need.removeprefix(_DECLARED) in DECLARED
    return need in FEATURES or bool(_COUNT.match(need) or _VERSION.match(need)) or need.startswith("image:")


def meaning(need: str) -> str:
    """Return what a need means.

    Example:
        >>> meaning("ipvs")
        'the kernel has IPVS, by which the routing mesh spreads requests'
    """
    if need.startswith(_DECLARED):
        return f"the lab declares the {DECLARED[need.removeprefix(_DECLARED)]}, which is the document's own choice"
    return MEANINGS[need] if need in MEANINGS else FORMS[need.partition(">")[0].partition(":")[0]][1]


def undeclared(name: str) -> str:
    """Return the reason where a lab does not declare the property of this name."""
    return f"the lab declares no {DECLARED[name]} (inventory: declared, {name})"


@dataclass(frozen=True)
class Offers:
    """The offers of a lab, which are found by looking and never assumed.

    Attributes:
        nodes: the most nodes that one cluster may have.
        features: names of `FEATURES` that the lab has.
        images: names of workload images that nodes can pull.
        look: for some features, a function that looks for the feature in the lab: returns why the lab lacks it, empty
            if it has it. For api and compose the function takes the version that is needed, such as "1.40".
        disruptable: tests may hurt the lab: the run made it, or its user allows that.
        declared: names of `DECLARED` that the lab declares for its nodes.
        task_history: how many tasks of a slot the managers of its clusters keep.
    """

    nodes: int
    features: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    look: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    disruptable: bool = False
    declared: frozenset[str] = frozenset()
    task_history: int = TASK_HISTORY

    def missing(self, needs: Iterable[str]) -> list[str]:
        """Return the reason for each of *needs* that is not met; empty if all are."""
        return [reason for need in needs if (reason := self._lacks(need))]

    def _lacks(self, need: str) -> str | None:
        if count := _COUNT.match(need):
            wanted = int(count[2])
            if count[1] == "task-history":
                few = f"needs {need}, the swarm is set to keep {self.task_history} tasks (--task-history-limit)"
                return None if wanted <= self.task_history else few
            return None if wanted <= self.nodes else f"needs {need}, the lab has {self.nodes} nodes"
        if version := _VERSION.match(need):
            kind, lowest = version.groups()
            return (self.look[kind](lowest) or None) if kind in self.look else f"needs {need}, the lab names no version"
        if need.startswith(_DECLARED):
            name = need.removeprefix(_DECLARED)
            if name not in DECLARED:
                raise ValueError(f"unknown need {need!r}")
            return None if name in self.declared else undeclared(name)
        if need.startswith("image:"):
            name = need.partition(":")[2]
            return None if name in self.images else f"no image of {name}; give one: --image {name}=REFERENCE or FILE"
        if need not in FEATURES:
            raise ValueError(f"unknown need {need!r}")
        if need in self.look:
            return self.look[need]() or None
        return None if need in self.features else FEATURES[need]
