"""Whether the nodes of a swarm that exists can pull the suite's images from the registry of the inventory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError, NoAnswer
from swarmlab.images import recipes
from swarmlab.lists import few
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.paths import command

#: The image that every node pulls: the smallest.
_SMALLEST = "hello"
#: Patterns of engines' words, each with the mend. {host} is the first part of the inventory's registry, {push} the
#: command that fills it.
_MENDS = {
    r"manifest unknown|manifest for .* not found|not found: does not exist|404": (
        "bring the suite's images there: {push}"
    ),
    r"HTTP response to HTTPS|server gave HTTP": "add {host} to insecure-registries in the node's daemon.json",
    r"x509|certificate": "give the node the registry's authority: /etc/docker/certs.d/{host}/ca.crt",
    r"no such host|lookup": "let the node resolve its name, or mend registry in the inventory",
    r"denied|unauthorized|authentication|no basic auth": "let it be pulled from without a login",
    r"refused|time(d )?out|deadline|no route|unreachable|Client\.Timeout|does not answer|reset|EOF": (
        "start the registry, and let the node reach it"
    ),
}


def check_registry(nodes: Sequence[Node], registry: str) -> None:
    """Pull from a registry on every node as tasks do, and see that it has all of the suite's images.

    Args:
        nodes: the nodes.
        registry: the inventory's registry.

    Raises:
        LabError: a node cannot pull; the message names node, image, the engine's words and the mend.
    """
    images = [f"{registry}/{name}" for name in recipes.workloads()]
    first = next(image for image in images if image.startswith(f"{registry}/{_SMALLEST}:"))
    answers = dict(zip(nodes, parallel(lambda node: _refusal(node, first), nodes, at_once=ELSEWHERE), strict=True))
    refused = {node.name: why for node, why in answers.items() if why}
    if refused:
        why = next(iter(refused.values()))
        raise LabError(f"node {few(refused)}: cannot pull {first}: {mended(why, registry)}")
    lacking = [image for image in images if not _listed(nodes[0], image)]
    for image in lacking:
        if why := _refusal(nodes[0], image):
            raise LabError(f"node {nodes[0]}: cannot pull {image}: {mended(why, registry)}")


def _refusal(node: Node, image: str) -> str:
    """Return the engine's words if it cannot pull an image; else nothing."""
    try:
        node.pull(image)
    except EngineRefused as refused:
        return " ".join(refused.explanation.split()) or "no reason is given"
    except NoAnswer as silent:
        return str(silent)
    return ""


def _listed(node: Node, image: str) -> bool:
    """Whether the engine finds an image in its registry, without pulling it."""
    try:
        node.ask("GET", f"/distribution/{image}/json")
    except (EngineRefused, NoAnswer):
        return False
    return True


def mended(why: str, registry: str) -> str:
    """Return an engine's reason not to pull from a registry, with the mend."""
    host = registry.partition("/")[0]
    push = command("swarmlab", "push-images", registry)
    mend = next((mend for pattern, mend in _MENDS.items() if re.search(pattern, why, re.IGNORECASE)), "")
    return f"{why}; {(mend or 'see that docker pull works there').format(push=push, host=host)}"
