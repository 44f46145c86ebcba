"""Compose projects on a node, with docker-compose and, if the engine's command line has it, the compose plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.marks import unique
from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.workbench import Workbench
from swarmlab.paths import ROOT

#: The folder of the document's example.
COMPOSETEST = ROOT / "compose" / "composetest"


@dataclass(frozen=True)
class Project:
    """Containers that one compose file starts together.

    Attributes:
        node: the node that it runs on.
        tool: the command that starts it: ``docker-compose`` or ``docker compose``.
        name: the project's name.
        folder: the folder of its files on the node.
        port: the published port of its web service.
        settings: variables of the compose file, as assignments before the command.
    """

    node: Node
    tool: str
    name: str
    folder: str
    port: int
    settings: str

    def __str__(self) -> str:
        """Tool and node, for messages."""
        return f"the project of {self.tool} on {self.node}"

    def compose(self, command: str) -> Result:
        """Run a command of the tool in the project's folder."""
        return self.node.run(f"cd {self.folder} && {self.settings} {self.tool} -p {self.name} {command}")

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Return ``docker inspect`` of the project's containers, of all or of one service."""
        labels = [f"com.docker.compose.project={self.name}"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        listed = self.node.containers(all=True, label=labels)
        return [self.node.ask("GET", f"/containers/{container['Id']}/json") for container in listed]


def tools(node: Node, declared: str) -> list[str]:
    """Return the commands by which *node* has Compose.

    Args:
        node: the node.
        declared: the release of the document's own command, docker-compose, that the lab declares; it is then among
            the commands even if it is missing there.
    """
    own = bool(declared) or node.run("docker-compose version").ok
    return [*(["docker-compose"] if own else []), *(["docker compose"] if node.docker("compose version").ok else [])]


def project(bench: Workbench, tool: str, files: Mapping[str, str]) -> Project:
    """Return a project of *files* (text by name) that is not started yet."""
    port = bench.port()
    images = f"PYTHON_IMAGE={bench.image('python:3')} REDIS_IMAGE={bench.image('redis')}"
    settings = f"{images} LABEL={bench.label} PORT={port}"
    return Project(bench.node, tool, unique("composetest"), bench.folder(files), port, settings)
