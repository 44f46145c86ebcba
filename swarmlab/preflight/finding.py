"""Findings of checks, and how much they matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from swarmlab.lists import few
from swarmlab.verdicts.waivers import FindingWaiver


class Level(str, Enum):
    """How much a finding matters; the worst comes first."""

    ERROR = "error"  #: something does not work, or will not work when it is next needed
    WARNING = "warning"  #: trouble is likely
    UNKNOWN = "unknown"  #: the check could not be made, so it finds neither trouble nor its absence
    SKIPPED = "skipped"  #: the user skipped the check, for a reason
    INFO = "info"  #: worth knowing
    OK = "ok"  #: checked, and as it should be

    def __str__(self) -> str:
        return self.value

    @property
    def trouble(self) -> bool:
        """Whether it is an error or a warning."""
        return self in (Level.ERROR, Level.WARNING)


@dataclass(frozen=True)
class Finding:
    """The result of a check for some nodes, or for the cluster.

    Attributes:
        level: how much it matters.
        summary: what was found, or why nothing was.
        risk: the possible consequences.
        incident: issues or advisories about the same trouble, separated by commas.
        nodes: host names of the nodes that it concerns; none if it concerns the cluster as a whole.
        pairs: all the pairs of nodes that it concerns (from, to), of which the summary names the first few.
        check: name of the check.
        mend: how to mend it, with a command where there is one; of an *unknown*, what would make it known. `merged`
            puts the names of the nodes in the place of "{nodes}".
        because: the finding that may be its cause, as text; empty if none is.
        causes: what may follow from this finding, besides what may follow from every finding of its check: names of
            checks, as in `Check.causes`.
        waiver: the waiver by which it is accepted; None if it counts.
    """

    level: Level
    summary: str
    risk: str = ""
    incident: str = ""
    nodes: tuple[str, ...] = ()
    check: str = ""
    mend: str = ""
    because: str = ""
    causes: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    waiver: FindingWaiver | None = None

    def __str__(self) -> str:
        return f"{whose(self.nodes)}{self.summary}"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as verdicts.json has it; there the summary's name is "seen"."""
        raw = asdict(self) | {"level": str(self.level), "nodes": list(self.nodes)}
        del raw["causes"], raw["waiver"]
        raw["pairs"] = [list(pair) for pair in self.pairs]
        if not self.pairs:
            del raw["pairs"]
        if self.waiver:
            raw["waiver"] = self.waiver.to_json()
        return {"seen": raw.pop("summary"), **raw}


def whose(nodes: Sequence[str]) -> str:
    """Return what stands before the summary of a finding that concerns *nodes*."""
    return f"{few(nodes)}: " if nodes else ""


class Unknown(Exception):
    """Something that a check needs could not be read (level *unknown*).

    Args:
        why: what could not be read, and why.
        mend: what would make it known.
    """

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.mend = mend

    def finding(self, node: str) -> Finding:
        """Return the finding of level *unknown* for a node, by its host name."""
        return Finding(Level.UNKNOWN, str(self), nodes=(node,), mend=self.mend)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Merge findings that differ in their nodes alone into one, and return all, the worst first."""
    nodes: dict[Finding, tuple[str, ...]] = {}
    for finding in findings:
        alike = replace(finding, nodes=())
        nodes[alike] = tuple(dict.fromkeys((*nodes.get(alike, ()), *finding.nodes)))
    order = list(Level)
    found = [
        replace(finding, nodes=on, mend=finding.mend.replace("{nodes}", few(on) or "each node"))
        for finding, on in nodes.items()
    ]
    return sorted(found, key=lambda finding: order.index(finding.level))


#: A check: takes what was read of a cluster (`swarmlab.preflight.model.Sight`) and yields findings.
Look = Callable[[Any], Iterator[Finding]]
