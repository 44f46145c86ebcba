"""The network of the routing mesh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suites.support.node_labels import NodeLabels
from swarmlab.cluster.swarm import Swarm, has_ingress
from swarmlab.errors import LabError


def mesh_of(cluster: Swarm) -> str:
    """Return the name of the routing mesh's network. An owner may have made it anew, under another name than ingress.

    Raises:
        LabError: there is none.
    """
    for network in cluster.manager.ask("GET", "/networks", filters={"driver": ["overlay"]}):
        if network["Ingress"]:
            return str(network["Name"])
    raise LabError("the swarm has no network for the routing mesh")


def mend(cluster: Swarm, body: Mapping[str, Any]) -> None:
    """Give all nodes the routing mesh again, after a test that removed its network and failed.

    Args:
        cluster: the swarm.
        body: what its network is made with if there is none.

    Raises:
        LabError: the swarm is not ready with it in time.
    """
    if not has_ingress(cluster.manager):
        cluster.manager.ask("POST", "/networks/create", body=dict(body))
    # A manager checks a node's end of the mesh whenever it writes the node.
    labels = NodeLabels(cluster)
    labels.set(labels.new("mesh"), dict.fromkeys(cluster.nodes, "anew"))
    labels.clear()
    cluster.wait_ready()
