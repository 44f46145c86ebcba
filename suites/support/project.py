"""Compose projects on a node, by docker-compose and, where the engine's command line has it, by the compose plugin."""

from dataclasses import dataclass

from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.workbench import unique
from swarmlab.paths import ROOT

#: The document's example, as it lies in the project.
COMPOSETEST = ROOT / "compose" / "composetest"


@dataclass(frozen=True)
class Project:
    """Containers that one compose file started together.

    Attributes:
        node: where.
        tool: the command that starts it: ``docker-compose`` or ``docker compose``.
        name: the project's name.
        folder: where its files are on the node.
        port: the published port of its web service.
        settings: variables of the compose file, as words before the command.
    """

    node: Node
    tool: str
    name: str
    folder: str
    port: int
    settings: str

    def __str__(self) -> str:
        return f"the project of {self.tool} on {self.node}"

    def compose(self, words: str) -> Result:
        """Run the tool in the project's folder."""
        return self.node.run(f"cd {self.folder} && {self.settings} {self.tool} -p {self.name} {words}")

    def containers(self, service: str = "") -> list[dict]:
        """The project's containers, all or those of one service, as the engine tells each (docker inspect)."""
        labels = [f"com.docker.compose.project={self.name}"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        listed = self.node.containers(all=True, label=labels)
        return [self.node.ask("GET", f"/containers/{one['Id']}/json") for one in listed]


def tools(node):
    """The commands by which *node* has Compose; the document's own is always one, also where it is missing."""
    return ["docker-compose", *(["docker compose"] if node.docker("compose version").ok else [])]


def project(bench, tool, files):
    """A project of these *files* (text by name) that was not started yet."""
    port = bench.port()
    images = f"PYTHON_IMAGE={bench.image('python:3')} REDIS_IMAGE={bench.image('redis')}"
    settings = f"{images} LABEL={bench.label} PORT={port}"
    return Project(bench.node, tool, unique("composetest"), bench.folder(files), port, settings)
