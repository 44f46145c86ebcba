"""How fast a lab's nodes are, against the speed that deadlines are written for."""

from __future__ import annotations

import time
from collections.abc import Sequence

from swarmlab.cluster.node import Node
from swarmlab.cluster.workbench import SUITE_LABEL, unique
from swarmlab.errors import LabError
from swarmlab.parallel import parallel
from swarmlab.wait import set_scale

#: Seconds that `_work` takes on container nodes of a machine of two cores, with some room (0.7 to 0.8 measured).
REFERENCE = 1.0
#: No lab is so slow that waiting longer than this many times the written deadline would tell anything.
_MOST = 40.0
# An engine at its daily work: its command started, kernel asked for links, addresses and firewall rules, state written.
_WORK = (
    "docker network create --label {label} {name} && docker network rm {name}"
    " && docker version && docker info >/dev/null"
)


def calibrate(nodes: Sequence[Node]) -> float:
    """Measure how many times slower than the reference the nodes are, all at once, and scale deadlines by it.

    Returns:
        The factor on every deadline, at least 1.

    Raises:
        LabError: a node could not do the measured work.
    """
    slowest = max(parallel(_work, nodes))
    factor = min(max(slowest / REFERENCE, 1.0), _MOST)
    set_scale(factor)
    return factor


def _work(node: Node) -> float:
    start = time.monotonic()
    done = node.run(_WORK.format(label=SUITE_LABEL, name=unique("speed")))
    if not done.ok:
        raise LabError(f"{node} cannot make and remove a network: {done.said}")
    return time.monotonic() - start
