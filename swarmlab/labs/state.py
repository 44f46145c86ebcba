"""The state of a node of a lab that stands, as `swarmlab status` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NodeState:
    """What is known of a node.

    Attributes:
        name: Its host name.
        address: Its address on the cluster network.
        state: The state of its machine, such as "running"; empty if it is not known.
        answers: Whether its engine answers; None if its machine does not run, or is not known to.
        engine: Version of its engine; empty if that does not answer.
        role: manager or worker; empty if it is in no swarm, or its engine does not answer.
        swarm: What its engine says of its part in the swarm, such as "active" or "inactive"; empty if it does not
            answer.
        cluster: Number of its cluster in the lab; 0 for the default one.
        note: Why no more is known; empty if all is.
    """

    name: str
    address: str
    state: str
    answers: bool | None = None
    engine: str = ""
    role: str = ""
    swarm: str = ""
    cluster: int = 0
    note: str = ""

    @classmethod
    def of(cls, name: str, address: str, state: str, info: Mapping[str, Any] | None, cluster: int = 0) -> NodeState:
        """Return the state of a node.

        Args:
            name: See `NodeState`.
            address: See `NodeState`.
            state: See `NodeState`.
            info: What its engine answers to GET /info; empty where the machine does not run, None where the engine
                does not answer.
            cluster: See `NodeState`.
        """
        if not info:
            return cls(name, address, state, answers=False if info is None else None, cluster=cluster)
        swarm = str(info["Swarm"]["LocalNodeState"])
        role = "manager" if info["Swarm"]["ControlAvailable"] else "worker"
        role = role if swarm == "active" else ""
        return cls(name, address, state, True, str(info["ServerVersion"]), role, swarm, cluster)

    def __str__(self) -> str:
        """Return a line that describes it."""
        engine = f"engine {self.engine}" if self.engine else ""
        if self.answers is False:
            engine = "engine does not answer"
        part = self.role or (f"swarm: {self.swarm}" if self.swarm else "")
        where = f"(cluster {self.cluster})" if self.cluster else ""
        columns = f"{self.name:10} {self.address:16} {self.state:9} {engine:20} "
        return (columns + " ".join(filter(None, [part, where, self.note]))).rstrip()
