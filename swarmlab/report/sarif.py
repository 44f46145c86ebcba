"""Findings of preflight as SARIF 2.1.0, for tools that gather results of static analysis and of scanners.

A swarm has no files, so a result has logical locations: the nodes that it concerns, or the cluster.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from swarmlab.preflight import CHECKS, Finding, Level
from swarmlab.preflight.host import EVERY
from swarmlab.verdicts.results import suite_version

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: SARIF's kind and level of a result, by the level of the finding. All but "fail" have the level "none".
_KINDS: Mapping[Level, tuple[str, str]] = {
    Level.ERROR: ("fail", "error"),
    Level.WARNING: ("fail", "warning"),
    Level.UNKNOWN: ("open", "none"),
    Level.SKIPPED: ("notApplicable", "none"),
    Level.INFO: ("informational", "none"),
    Level.OK: ("pass", "none"),
}


def sarif(findings: Iterable[Finding], *, cluster: str, when: datetime) -> str:
    """Return findings as a file of SARIF.

    Args:
        findings: the findings.
        cluster: name of the cluster.
        when: when preflight ended.
    """
    found = list(findings)
    rules = list(dict.fromkeys([*EVERY, *(finding.check for finding in found)]))
    ended = when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = {
        "tool": {
            "driver": {"name": "swarmlab preflight", "version": suite_version(), "rules": list(map(_rule, rules))}
        },
        "automationDetails": {"id": f"swarmlab-preflight/{cluster}/"},
        "invocations": [{"executionSuccessful": True, "endTimeUtc": ended}],
        "results": [_result(finding, rules.index(finding.check), cluster) for finding in found],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _rule(check: str) -> dict[str, Any]:
    summary = CHECKS[check].summary if check in CHECKS else "Whether this machine can hold labs, and what a lab offers"
    return {"id": check, "shortDescription": {"text": summary}}


def _result(finding: Finding, rule: int, cluster: str) -> dict[str, Any]:
    kind, level = _KINDS[finding.level]
    mend = f" To mend it: {finding.mend}" if finding.mend and finding.level is not Level.UNKNOWN else ""
    risk = f" Risk: {finding.risk}." if finding.risk else ""
    places = [_place(f"{cluster}/{node}", node) for node in finding.nodes] or [_place(cluster, cluster)]
    details = {"risk": finding.risk, "mend": finding.mend, "incident": finding.incident, "because": finding.because}
    made: dict[str, Any] = {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "kind": kind,
        "level": level,
        "message": {"text": f"{finding}.{risk}{mend}"},
        "locations": [{"logicalLocations": [place]} for place in places],
        "partialFingerprints": {"checkAndNodes/v1": _fingerprint(finding, cluster)},
        "properties": {"level": str(finding.level), **{name: text for name, text in details.items() if text}},
    }
    if finding.waiver:
        waiver = finding.waiver
        by = f"{waiver.owner}, until {waiver.expires}: {waiver.justification}"
        made["suppressions"] = [{"kind": "external", "status": "accepted", "justification": by}]
    return made


def _place(whole: str, name: str) -> dict[str, str]:
    return {"name": name, "fullyQualifiedName": whole, "kind": "resource"}


def _fingerprint(finding: Finding, cluster: str) -> str:
    """Return what stays the same while the same check finds fault with the same nodes: figures in its words differ."""
    text = "\n".join([cluster, finding.check, *sorted(finding.nodes)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
