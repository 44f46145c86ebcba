"""The needs of claims, and the offers of labs that meet them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_COUNT = re.compile(r"^(nodes|managers)>=(\d+)$")
#: Needs of a version that the node's engine or command line knows: of the engine's API, or of compose files.
_VERSION = re.compile(r"^(api|compose)>=(\d+\.\d+)$")

#: Features that a lab has or lacks, each with the reason to give if the lab itself gives none.
FEATURES = {
    "ipvs": "kernel has no IPVS",
    "power": "lab cannot power a node off",
    "reboot": "lab cannot reboot a node",
    "systemd": "nodes do not run systemd",
    "internet": "nodes have no way to the outside",
    "vagrant": "nodes are not Vagrant machines",
    "memory": "nodes share the host's memory",
    "disk": "nodes share the host's disk",
    "mixed-engines": "lab has one engine version only",
    "long": "run does not include tests of over 10 minutes",
    "encryption": "kernel has no ESP",
    "spare": "lab has no machine beside its cluster",
    "buildkit": "the node's command line and engine build without BuildKit",
}


def known_need(need: str) -> bool:
    """Whether claims may have this need (see claims/README.md)."""
    return need in FEATURES or bool(_COUNT.match(need) or _VERSION.match(need)) or need.startswith("image:")


@dataclass(frozen=True)
class Offers:
    """The offers of a lab, which are found by looking and never assumed.

    Attributes:
        nodes: the most nodes that one cluster may have.
        features: names of `FEATURES` that the lab has.
        images: names of workload images that nodes can pull.
        look: for some features, a function that looks for the feature in the lab: returns why the lab lacks it, empty
            if it has it. For api and compose the function takes the version that is needed, such as "1.40".
        disruptable: tests may hurt the lab: the run made it, or its user allows that.
    """

    nodes: int
    features: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    look: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    disruptable: bool = False

    def missing(self, needs: Iterable[str]) -> list[str]:
        """Return the reason for each of *needs* that is not met; empty if all are."""
        return [reason for need in needs if (reason := self._lacks(need))]

    def _lacks(self, need: str) -> str | None:
        if count := _COUNT.match(need):
            wanted = int(count[2])
            return None if wanted <= self.nodes else f"needs {need}, the lab has {self.nodes} nodes"
        if version := _VERSION.match(need):
            kind, lowest = version.groups()
            return (self.look[kind](lowest) or None) if kind in self.look else f"needs {need}, the lab names no version"
        if need.startswith("image:"):
            name = need.partition(":")[2]
            return None if name in self.images else f"no image of {name}; give one: --image {name}=REFERENCE or FILE"
        if need not in FEATURES:
            raise ValueError(f"unknown need {need!r}")
        if need in self.look:
            return self.look[need]() or None
        return None if need in self.features else FEATURES[need]
