"""Registries that a user names: the form of their names, and whether an engine reaches them, in bounded time."""

from __future__ import annotations

import queue
import re
import threading
from urllib.parse import quote

import docker
import requests

from swarmlab.cluster.node import Node
from swarmlab.downloads import unreached
from swarmlab.errors import EngineRefused, NoAnswer, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress

#: Seconds that an engine has to reach a registry, and seconds until a line says that it is waited for.
PATIENCE, _SOON = 20, 3
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
#: HOST[:PORT][/PATH], as an engine reads it: a host has a dot or a port, or is localhost.
_REGISTRY = re.compile(
    r"(?:localhost|(?=[^/]*[.:])[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])"
    rf"(?::(?:{_PORT}))?"
    r"(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)


def check_name(registry: str) -> None:
    """Check the form of a registry's name.

    Raises:
        UsageError: it is not HOST[:PORT][/PATH].
    """
    if not _REGISTRY.fullmatch(registry):
        raise UsageError(
            f"registry {shown(repr(registry))}: is not HOST[:PORT][/PATH]; write the host with a dot or a port, the "
            "path in small letters and no https://, such as registry.example.org/swarm or docker.io/USER"
        )


def check(client: docker.DockerClient, registry: str, progress: Progress) -> None:
    """Check that an engine of this machine reaches a registry.

    Args:
        client: the engine.
        registry: HOST[:PORT][/PATH].
        progress: called with a line if that takes more than a few seconds.

    Raises:
        UsageError: it does not, within `PATIENCE` seconds.
    """
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            # Whatever a registry says of an image that it lacks, it has answered.
            client.api.inspect_distribution(f"{registry}/swarmlab-none:none")  # type: ignore[no-untyped-call]
            answer.put("")
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError, ValueError) as failed:
            answer.put(unreached(str(failed), registry))

    threading.Thread(target=ask, daemon=True).start()
    for seconds in (_SOON, PATIENCE - _SOON):
        try:
            why = answer.get(timeout=seconds)
        except queue.Empty:
            progress(f"waiting for registry {shown(registry)} to answer (at most {PATIENCE} s)")
            continue
        if why:
            raise UsageError(f"registry {shown(registry)}: {why}")
        return
    raise UsageError(f"registry {shown(registry)}: gave no answer in {PATIENCE} s; check its name, and the network")


def unreachable(node: Node, reference: str) -> str:
    """Return why a node does not reach the registry of an image; empty if it does, also if the image is not there.

    The engine's own pull of an image whose registry is not reached lasts minutes, and says nothing meanwhile.

    Raises:
        NoAnswer: the engine itself does not answer.
    """
    node.ask("GET", "/version")
    name = reference if ":" in reference.rpartition("/")[2] or "@" in reference else f"{reference}:latest"
    try:
        node.ask("GET", f"/distribution/{quote(name, safe='/:@')}/json", timeout=PATIENCE)
    except EngineRefused as refused:
        return unreached(refused.explanation, "its registry")
    except NoAnswer:
        return f"its registry gave no answer in {PATIENCE} s; check its name, and the network"
    return ""
