"""The suite's images on the nodes of a swarm that exists, from the registry of the inventory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError, NoAnswer, UsageError
from swarmlab.images import recipes
from swarmlab.lists import few
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.paths import command

#: The image that every node pulls first: the smallest.
_SMALLEST = "hello"
#: Patterns of engines' words, each with the mend. {host} is the first part of the inventory's registry, {push} the
#: command that fills it.
_MENDS = {
    r"no matching manifest": "push the images from a machine with the node's processor, too: {push}",
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
    """Pull all of the suite's images from a registry on every node as tasks do, so that no test waits for that.

    The smallest comes first: nodes that cannot pull, or whose processor is another than that of the images, are told
    at once.

    Args:
        nodes: the nodes.
        registry: the inventory's registry.

    Raises:
        UsageError: the images are for other processors than a node's; the message names node, processors and the mend.
        LabError: a node cannot pull; the message names node, image, the engine's words and the mend.
    """
    images = [f"{registry}/{name}" for name in recipes.workloads()]
    first = next(image for image in images if image.startswith(f"{registry}/{_SMALLEST}:"))
    _expect_pulled(nodes, [first], registry)
    _expect_fitting(nodes, first, registry)
    _expect_pulled(nodes, [image for image in images if image != first], registry)


def _expect_pulled(nodes: Sequence[Node], images: Sequence[str], registry: str) -> None:
    def refusal(node: Node) -> tuple[str, str]:
        return next(((image, why) for image in images if (why := _refusal(node, image))), ("", ""))

    answers = dict(zip(nodes, parallel(refusal, nodes, at_once=ELSEWHERE), strict=True))
    refused = {node.name: refusal for node, refusal in answers.items() if refusal[0]}
    if refused:
        image, why = next(iter(refused.values()))
        raise LabError(f"node {few(refused)}: cannot pull {image}: {mended(why, registry)}")


def _expect_fitting(nodes: Sequence[Node], image: str, registry: str) -> None:
    def processors(node: Node) -> tuple[str, str]:
        """Return what the engine is made for, and what the image is made for, in Go's names."""
        return str(node.ask("GET", "/version")["Arch"]), str(node.ask("GET", f"/images/{image}/json")["Architecture"])

    answers = dict(zip(nodes, parallel(processors, nodes, at_once=ELSEWHERE), strict=True))
    wrong = {node.name: pair for node, pair in answers.items() if pair[0] != pair[1]}
    if wrong:
        own, images = next(iter(wrong.values()))
        push = command("swarmlab", "push-images", registry)
        raise UsageError(
            f"node {few(wrong)}: is of {own}, and the images in {registry} are for {images}; on a machine of {own}: "
            f"{push}; nodes of both at once need images for both under one name"
        )


def _refusal(node: Node, image: str) -> str:
    """Return the engine's words if it cannot pull an image; else nothing."""
    try:
        node.pull(image)
    except EngineRefused as refused:
        return " ".join(refused.explanation.split()) or "no reason is given"
    except NoAnswer as silent:
        return str(silent)
    return ""


def mended(why: str, registry: str) -> str:
    """Return an engine's reason not to pull from a registry, with the mend."""
    host = registry.partition("/")[0]
    push = command("swarmlab", "push-images", registry)
    mend = next((mend for pattern, mend in _MENDS.items() if re.search(pattern, why, re.IGNORECASE)), "")
    return f"{why}; {(mend or 'see that docker pull works there').format(push=push, host=host)}"
