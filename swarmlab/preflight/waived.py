"""Which findings are accepted by their owners until a date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level
from swarmlab.verdicts.waivers import FindingWaiver

#: The levels that a waiver covers. The others fail nothing.
WAIVABLE = (Level.ERROR, Level.WARNING, Level.UNKNOWN)


def waived(findings: Iterable[Finding], waivers: Iterable[FindingWaiver], lab: Mapping[str, Any]) -> list[Finding]:
    """Return findings in their order, each that a waiver covers with that waiver.

    A finding of which waivers cover some of its nodes becomes several: one for each waiver, and then one for the nodes
    that are left. What may follow from a finding is covered by waivers of its own only.

    Args:
        findings: findings, as `swarmlab.preflight.preflight` returns them.
        waivers: waivers, of which the first that covers a node counts.
        lab: the facts of the lab (see `FindingWaiver.holds`).
    """
    here = [waiver for waiver in waivers if waiver.holds(lab)]
    return [part for finding in findings for part in _parts(finding, here)]


def _parts(finding: Finding, waivers: Sequence[FindingWaiver]) -> list[Finding]:
    if finding.level not in WAIVABLE:
        return [finding]
    by: dict[FindingWaiver | None, list[str]] = {}
    for node in finding.nodes or ("",):
        fitting = (waiver for waiver in waivers if waiver.covers(finding.check, node, finding.summary))
        by.setdefault(next(fitting, None), []).append(node)
    if len(by) == 1:
        return [replace(finding, waiver=next(iter(by)))]
    left = by.pop(None, [])
    parts = [_part(finding, waiver, nodes, left) for waiver, nodes in by.items()]
    return parts + ([_part(finding, None, left, left)] if left else [])


def _part(finding: Finding, waiver: FindingWaiver | None, nodes: Sequence[str], left: Sequence[str]) -> Finding:
    """Return what a finding says of some of its nodes.

    Args:
        finding: the finding.
        waiver: the waiver of these nodes; None for those that are left.
        nodes: the nodes.
        left: the nodes that are left. A pair of one of them is theirs, also where its other node is waived.
    """
    if waiver is None:
        others = set(finding.nodes) - set(nodes)
        pairs = [pair for pair in finding.pairs if set(pair) & set(nodes) or not set(pair) & others]
    else:
        pairs = [pair for pair in finding.pairs if set(pair) & set(nodes) and not set(pair) & set(left)]
    mend = finding.mend.replace(few(finding.nodes), few(nodes))
    return replace(finding, waiver=waiver, nodes=tuple(nodes), pairs=tuple(pairs), mend=mend)
