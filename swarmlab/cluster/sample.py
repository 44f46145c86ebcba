"""A sample of a large cluster's nodes, for what is looked at on each node by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker

from swarmlab.cluster.node import Node, facts_of, on_each
from swarmlab.errors import SwarmlabError

#: The most nodes of a cluster of which all are taken.
MOST = 10
#: What a sample covers: each value that a node of the cluster has of these.
_TRAITS = ("role", "engine", "system", "kernel")


@dataclass(frozen=True)
class Sample:
    """The nodes of a cluster that stand for all of it.

    Attributes:
        of: the number of nodes of the cluster.
        chosen: what each node was chosen for, by host name, such as "engine 20.10.24".
    """

    of: int
    chosen: Mapping[str, Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        """Return the sample as verdicts.json has it."""
        return {"of": self.of, "chosen": {name: list(why) for name, why in self.chosen.items()}}


def sample(nodes: Sequence[Node]) -> Sample | None:
    """Return a sample of a cluster that covers each role, engine, system and kernel once; None if all are to be taken.

    Args:
        nodes: the cluster's nodes.
    """
    if len(nodes) <= MOST:
        return None
    traits = dict(zip([node.name for node in nodes], on_each(_traits, nodes), strict=True))
    return Sample(len(nodes), choose(traits))


def first_of_each_engine(nodes: Sequence[Node]) -> list[str]:
    """Return the names of the first node with each version of the engine."""
    engines = on_each(lambda node: facts_of(node)["engine"], nodes)
    return [node.name for place, node in enumerate(nodes) if engines[place] not in engines[:place]]


def choose(traits: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the names of as few nodes as cover all values of *traits*, each with the values that it was chosen for.

    Args:
        traits: values by trait, by the node's name. Of nodes that cover as much the first is chosen.
    """
    left = {(trait, value) for held in traits.values() for trait, value in held.items()}
    chosen: dict[str, list[str]] = {}
    while left:
        name = max(traits, key=lambda name: len(left.intersection(traits[name].items())))
        chosen[name] = [f"{trait} {value}" for trait, value in traits[name].items() if (trait, value) in left]
        left.difference_update(traits[name].items())
    return {name: chosen[name] for name in traits if name in chosen}


def _traits(node: Node) -> dict[str, str]:
    facts = facts_of(node)
    try:
        manages = node.info()["Swarm"]["ControlAvailable"]
    except (SwarmlabError, docker.errors.DockerException):
        return {"engine": "that does not answer"}
    known = {"role": "manager" if manages else "worker", **facts}
    return {trait: known.get(trait) or "unknown" for trait in _TRAITS}
