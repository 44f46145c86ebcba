"""The speed of a lab's nodes, and the scale of deadlines that follows from it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from swarmlab.cluster.marks import SUITE_LABEL, unique
from swarmlab.cluster.node import Node, on_each
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.host import Progress
from swarmlab.wait import scaled, set_scale

#: Seconds that the measured work takes on container nodes of a machine with two cores: 0.7 to 0.8 measured, rounded up.
REFERENCE = 1.0
#: Seconds that the outer engine takes to make a network on a machine with two cores: 0.1 to 0.2 measured, rounded up.
NETWORK = 0.25
#: A node is apart from the others if it takes so many times what half of them take at most, and `REFERENCE`.
_APART = 3.0
#: The largest factor on deadlines. Planted faults set it lower: a wait that must fail takes its whole deadline.
MOST = 40.0
# An engine's daily work: its command starts, the kernel makes links, addresses and firewall rules, state is written.
_WORK = (
    "docker network create --label {label} {name} && docker network rm {name}"
    " && docker version && docker info >/dev/null"
)


def calibrate(nodes: Sequence[Node], progress: Progress = lambda _: None) -> float:
    """Measure the nodes' speed, all at the same time, and scale deadlines by the slowest that does the work.

    Nodes that cannot do it, as their engine is down, are for the claims to judge. One that takes far longer than most
    is measured again, and the lower value counts: it may have been busy for a moment.

    Args:
        nodes: the nodes.
        progress: called with a line if a node that is apart from the others sets the factor.

    Returns:
        The factor on every deadline, from 1 to `MOST`.

    Raises:
        LabError: no node could do the measured work.
    """
    measured = list(zip(nodes, on_each(_work, nodes), strict=True))
    took = {node: seconds for node, seconds in measured if not isinstance(seconds, SwarmlabError)}
    if not took:
        raise LabError(f"no node does the work that is measured: {measured[0][1]}")
    most = statistics.median(took.values())
    limit = _APART * max(most, REFERENCE)
    apart = [node for node, seconds in took.items() if seconds > limit]
    for node, again in zip(apart, on_each(_work, apart), strict=True):
        if not isinstance(again, SwarmlabError):
            took[node] = min(took[node], again)
    slowest = max(took, key=lambda node: took[node])
    factor = min(max(took[slowest] / REFERENCE, 1.0), MOST)
    if took[slowest] > limit:
        progress(
            f"speed factor {factor:.1f}, set by {slowest}: its engine takes {took[slowest]:.1f} s for what most do in "
            f"{most:.1f} s; deadlines are scaled by it"
        )
    set_scale(factor)
    return factor


def presume(seconds: float) -> None:
    """Scale deadlines by the time that the outer engine took to make a lab's network, until `calibrate` measures nodes.

    The lab's nodes and their images come up before anything can be measured on them. Deadlines never become shorter.
    """
    set_scale(max(scaled(1.0), min(seconds / NETWORK, MOST)))


def _work(node: Node) -> float | SwarmlabError:
    start = time.monotonic()
    try:
        node.run(_WORK.format(label=SUITE_LABEL, name=unique("speed"))).expect(
            f"making and removing a network on {node}"
        )
    except SwarmlabError as failed:
        return failed
    return time.monotonic() - start
