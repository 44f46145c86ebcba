"""Mounts and volumes of containers on one node."""

from __future__ import annotations

from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.cluster.workbench import Workbench


def inside(bench: Workbench, box: str, command: str) -> str:
    """The output of a shell command in the container *box*, which has to succeed.

    Raises:
        AssertionError: the command failed.
    """
    return bench.execute(box, command).expect(f"in a container on {bench.node}, {command}", error=AssertionError)


def mounted(bench: Workbench, box: str, place: str) -> dict[str, Any]:
    """The mount at *place* in the container *box*, as the engine lists it.

    Raises:
        AssertionError: there is not exactly one.
    """
    # Engines list a relative path of an image's VOLUME as it was written; it is below the root.
    mounts = [mount for mount in bench.inspect(box)["Mounts"] if f"/{mount['Destination'].lstrip('/')}" == place]
    assert len(mounts) == 1, f"on {bench.node}, one mount was to be at {place}, there are {len(mounts)}"
    mount: dict[str, Any] = mounts[0]
    return mount


def volume(node: Node, name: str) -> dict[str, Any] | None:
    """The volume of this name on *node*; None where there is none."""
    # The engine's filter by name finds parts of names too.
    volumes = node.ask("GET", "/volumes", filters={"name": [name]})["Volumes"] or []
    return next((one for one in volumes if one["Name"] == name), None)
