"""Which findings may follow from which others.

Most causes hang on a check (`Check.causes`). Some hang on the single finding (`Finding.causes`), as the findings of one
check can differ in what follows from them: of the limits, a table of connections that is full loses packets, and a lack
of inotify does not. What is *unknown* needs no table: it follows from the finding that tells the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmlab.preflight.finding import Finding, Level, whose
from swarmlab.verdicts.waivers import accepted_by


def folded(findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return findings in another order: each that may be the cause of others first, with those after it.

    A finding may follow from a trouble that causes such findings, and whose nodes account for all nodes that it
    concerns: it then has the cause in `Finding.because`, and keeps its level. Several such troubles may account for
    them together; the first counts. If the cause follows from another finding itself, that one counts.

    Args:
        findings: findings, with the names of their checks.
        causes: what may follow from the findings of a check, by its name. Each is the name of a check, or the name, a
            colon and a regular expression that the summary of what follows must match.

    Example:
        folded(found, {"port-data-udp": ["path-mtu"], "availability": ["stuck-tasks: pending"]})
    """
    firsts = [_cause(place, findings, causes) for place in range(len(findings))]
    roots = [_root(place, firsts) for place in range(len(findings))]
    heads = [place for place, root in enumerate(roots) if root == place]
    groups = [[place, *(other for other in range(len(roots)) if roots[other] == place != other)] for place in heads]
    groups.sort(key=lambda group: len(group) == 1)
    return [
        findings[place] if place == group[0] else replace(findings[place], because=_summary(findings[group[0]]))
        for group in groups
        for place in group
    ]


def _root(place: int, firsts: Sequence[int | None]) -> int:
    """Return the place of the finding from which one follows in the end; its own if it follows from none."""
    path = [place]
    while (cause := firsts[path[-1]]) is not None:
        if cause in path:  # each follows from another of them: the first stands for all
            return min(path[path.index(cause) :])
        path.append(cause)
    return path[-1]


def _cause(place: int, findings: Sequence[Finding], causes: Mapping[str, Sequence[str]]) -> int | None:
    """Return the place of the first finding from which one may follow; None if there is none."""
    finding = findings[place]
    if finding.level in (Level.OK, Level.SKIPPED):
        return None
    possible = [
        other
        for other, cause in enumerate(findings)
        if other != place
        and _touches(finding, cause)
        and (_for_its_reason(finding, cause, earlier=other < place) or _follows(finding, cause, causes))
    ]
    alone = [other for other in possible if not findings[other].nodes or _accounts(finding, findings[other].nodes)]
    together = _accounts(finding, [node for other in possible for node in findings[other].nodes])
    return next(iter(alone or (possible if together else [])), None)


def _follows(finding: Finding, cause: Finding, causes: Mapping[str, Sequence[str]]) -> bool:
    if not cause.level.trouble:
        return False
    for follower in (*causes.get(cause.check, ()), *cause.causes):
        name, _, pattern = follower.partition(":")
        if name == finding.check and re.search(pattern.strip(), finding.summary):
            return True
    return False


def _for_its_reason(finding: Finding, cause: Finding, *, earlier: bool) -> bool:
    """Whether a finding is *unknown* for the reason that another tells."""
    if finding.level is not Level.UNKNOWN:
        return False
    if cause.level.trouble:
        return finding.summary in cause.summary or cause.summary in finding.summary
    return cause.level is Level.UNKNOWN and earlier and cause.summary in finding.summary


def _touches(finding: Finding, cause: Finding) -> bool:
    """Whether two findings concern a node in common."""
    return not finding.nodes or not cause.nodes or any(set(pair) & set(cause.nodes) for pair in _concerned(finding))


def _accounts(finding: Finding, nodes: Sequence[str]) -> bool:
    """Whether *nodes* account for what a finding tells: for each pair of nodes that it names, or else for its nodes."""
    return all(set(pair).intersection(nodes) for pair in _concerned(finding))


def _concerned(finding: Finding) -> list[tuple[str, ...]]:
    return list(finding.pairs) or [(node,) for node in finding.nodes]


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


def headline(finding: Mapping[str, Any], followers: Sequence[Mapping[str, Any]]) -> str:
    """Return a finding of verdicts.json in one line, with the number of those that may follow from it (`grouped`)."""
    errors = sum(follower["level"] == Level.ERROR and not follower.get("waiver") for follower in followers)
    worse = f", {errors} of them errors" if errors and finding["level"] != Level.ERROR else ""
    more = f" ({len(followers)} more may follow from it{worse})" if followers else ""
    waived = f" ({accepted_by(finding['waiver'])})" if finding.get("waiver") else ""
    return f"{finding['level']}: {finding['check']}: {whose(finding['nodes'])}{finding['seen']}{waived}{more}"
