"""Which findings may follow from which others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmlab.preflight.finding import Finding, Level


def folded(findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return findings in another order: each that may be the cause of others first, with those after it.

    A finding may follow from a trouble of another check if that check causes such findings, and both concern a node
    in common or one of them concerns the whole cluster. It then has the cause in `Finding.because`, and keeps its
    level. If the cause follows from another finding itself, that one counts.

    Args:
        findings: findings, with the names of their checks.
        causes: names of the checks whose findings may follow from a finding of a check, by that check's name. No
            check may cause its own findings, directly or through others.
    """
    roots = [_root(place, findings, causes) for place in range(len(findings))]
    heads = [place for place, root in enumerate(roots) if root == place]
    groups = [[place, *(other for other in range(len(roots)) if roots[other] == place != other)] for place in heads]
    groups.sort(key=lambda group: len(group) == 1)
    return [
        findings[place] if place == group[0] else replace(findings[place], because=_summary(findings[group[0]]))
        for group in groups
        for place in group
    ]


def _root(place: int, findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]) -> int:
    """Return the place of the finding from which one follows in the end; its own if it follows from none."""
    seen = [place]
    while True:
        cause = next(
            (
                other
                for other, finding in enumerate(findings)
                if other not in seen and _follows(findings[seen[-1]], finding, causes.get(finding.check, ()))
            ),
            None,
        )
        if cause is None:
            return seen[-1]
        seen.append(cause)


def _follows(finding: Finding, cause: Finding, follow: Sequence[str]) -> bool:
    concerns = finding.level.trouble or finding.level is Level.UNKNOWN
    return concerns and cause.level.trouble and finding.check in follow and _share_nodes(finding, cause)


def _share_nodes(finding: Finding, cause: Finding) -> bool:
    """Whether two findings concern a node in common: by their nodes, or as the summary names it."""
    if not finding.nodes or not cause.nodes:
        return True
    return any(node in finding.nodes or re.search(rf"\b{re.escape(node)}\b", finding.summary) for node in cause.nodes)


def _summary(finding: Finding) -> str:
    return f"{finding.check}: {finding}"


def grouped(findings: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Return findings of verdicts.json that follow from no other, each with those that may follow from it."""
    groups: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = []
    for finding in findings:  # `folded` has put each after its cause
        if finding.get("because") and groups:
            groups[-1][1].append(finding)
        else:
            groups.append((finding, []))
    return groups
