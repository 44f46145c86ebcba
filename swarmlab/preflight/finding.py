"""What a check found, and how much it matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any


class Level(str, Enum):
    """How much a finding matters, the worst first."""

    ERROR = "error"  #: something does not work, or will not when it is next needed
    WARNING = "warning"  #: trouble is likely
    UNKNOWN = "unknown"  #: it could not be looked at, so nothing is said of it
    SKIPPED = "skipped"  #: it was not to be looked at, for the reason that was given
    INFO = "info"  #: worth knowing
    OK = "ok"  #: looked at, and as it should be

    def __str__(self) -> str:
        return self.value

    @property
    def trouble(self) -> bool:
        """Whether something is in the way."""
        return self in (Level.ERROR, Level.WARNING)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: how much it matters.
        seen: what was found, or the reason why nothing was.
        risk: what may come of it, and how to mend it.
        incident: where the same was met: a number of an issue or advisory; several by comma.
        nodes: host names of the nodes that it is true of; none where it is of the cluster as a whole.
        check: name of the check that found it.
    """

    level: Level
    seen: str
    risk: str = ""
    incident: str = ""
    nodes: tuple[str, ...] = ()
    check: str = ""

    def __str__(self) -> str:
        whose = f"{', '.join(self.nodes)}: " if self.nodes else ""
        return f"{whose}{self.seen}"

    def told(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {**asdict(self), "level": str(self.level), "nodes": list(self.nodes)}


class Untold(Exception):
    """A node does not tell what a check asks of it; the message says what and why."""


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for what was found alike on several nodes; the worst first."""
    nodes: dict[Finding, tuple[str, ...]] = {}
    for finding in findings:
        alike = replace(finding, nodes=())
        nodes[alike] = tuple(dict.fromkeys((*nodes.get(alike, ()), *finding.nodes)))
    order = list(Level)
    return sorted((replace(one, nodes=on) for one, on in nodes.items()), key=lambda one: order.index(one.level))


#: Looks at what was read of a cluster.
Look = Callable[[Any], Iterator[Finding]]
