"""Labels that a test gives to nodes, and takes away again."""

from __future__ import annotations

from collections.abc import Mapping

from suites.support.commands import accepted
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm


class NodeLabels:
    """The labels of one test, on nodes of a swarm that others may use too.

    Example:
        rack = labels.new("rack")
        labels.set(rack, {node: "a" for node in cluster.nodes})
    """

    def __init__(self, cluster: Swarm) -> None:
        """Begin without labels on the nodes of *cluster*."""
        self._cluster = cluster
        self._names: list[str] = []
        self._ids: dict[Node, str] = {}

    def new(self, name: str = "label") -> str:
        """Return the name of a label that no node has; it is removed by `clear`."""
        self._names.append(self._cluster.unique(name))
        return self._names[-1]

    def set(self, name: str, values: Mapping[Node, str]) -> None:
        """Set the label *name* on nodes, to a value for each."""
        for node, value in values.items():
            self._update(node, f"--label-add {name}={value}")

    def remove(self, name: str, node: Node) -> None:
        """Take the label *name* from a node that has it."""
        self._update(node, f"--label-rm {name}")

    def clear(self) -> None:
        """Take all labels of the test from the nodes that have them."""
        for member in self._cluster.members():
            for name in set(self._names) & set(member["Spec"].get("Labels") or {}):
                accepted(self._cluster.manager, f"node update --label-rm {name} {member['ID']}")

    def _update(self, node: Node, change: str) -> None:
        if node not in self._ids:
            self._ids[node] = node.node_id()  # a host name need not be unique in a swarm
        accepted(self._cluster.manager, f"node update {change} {self._ids[node]}")
