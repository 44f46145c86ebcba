"""The network of the routing mesh."""

from __future__ import annotations

from swarmlab.cluster.swarm import Swarm
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
