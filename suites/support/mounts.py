"""Mounts and volumes of containers on one node."""

from __future__ import annotations

from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.cluster.workbench import Workbench


def inside(bench: Workbench, box: str, command: str) -> str:
    """Return the output of a shell command in the container *box*, which must succeed.

    Raises:
        AssertionError: the command failed.
    """
    return bench.execute(box, command).expect(f"in a container on {bench.node}, {command}", error=AssertionError)


def mounted(bench: Workbench, box: str, place: str) -> dict[str, Any]:
    """Return the mount at *place* in the container *box*, as the engine lists it.

    Raises:
        AssertionError: there is not exactly one.
    """
    # Engines list a relative path of an image's VOLUME as it was written; it is below the root.
    mounts = [mount for mount in bench.inspect(box)["Mounts"] if f"/{mount['Destination'].lstrip('/')}" == place]
    assert len(mounts) == 1, f"on {bench.node}, exactly one mount must be at {place}; there are {len(mounts)}"
    mount: dict[str, Any] = mounts[0]
    return mount


def volume(node: Node, name: str) -> dict[str, Any] | None:
    """Return the volume of this name on *node*; None where there is none."""
    # The engine's filter by name finds parts of names too.
    volumes = node.ask("GET", "/volumes", filters={"name": [name]})["Volumes"] or []
    return next((listed for listed in volumes if listed["Name"] == name), None)
