"""Findings of preflight as JUnit's XML, for CI systems: a test case for each check."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from datetime import datetime

from swarmlab.preflight import Finding, Level
from swarmlab.verdicts.waivers import accepted_by

#: Characters that XML cannot have.
_NOT_OF_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(findings: Iterable[Finding], *, cluster: str, fails: Sequence[Level], seconds: float, when: datetime) -> str:
    """Return findings as JUnit's XML.

    A check fails if one of its findings does. It counts as skipped if nothing fails and one of its findings is waived,
    skipped or unknown.

    Args:
        findings: the findings.
        cluster: name of the cluster.
        fails: the levels that fail.
        seconds: how long preflight looked.
        when: when it ended.
    """
    by: dict[str, list[Finding]] = {}
    for finding in findings:
        by.setdefault(finding.check, []).append(finding)
    suite = ET.Element("testsuite", name="swarmlab preflight", hostname=cluster)
    for check, found in by.items():
        suite.append(_case(check, found, fails))
    counts = {"tests": len(by), "errors": 0}
    counts |= {"failures": len(suite.findall("testcase/failure")), "skipped": len(suite.findall("testcase/skipped"))}
    for name, number in counts.items():
        suite.set(name, str(number))
    suite.set("time", f"{seconds:.3f}")
    suite.set("timestamp", when.isoformat(timespec="seconds"))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(check: str, found: Sequence[Finding], fails: Sequence[Level]) -> ET.Element:
    case = ET.Element("testcase", classname="preflight", name=check, time="0")
    worst = min(found, key=lambda finding: list(Level).index(finding.level))
    properties = ET.SubElement(case, "properties")
    nodes = dict.fromkeys(node for finding in found for node in finding.nodes)
    for name, value in [("level", str(worst.level)), *(("node", node) for node in nodes)]:
        ET.SubElement(properties, "property", name=name, value=_text(value))
    bad = [finding for finding in found if finding.level in fails and not finding.waiver]
    passed_over = [finding for finding in found if finding.waiver or finding.level in (Level.UNKNOWN, Level.SKIPPED)]
    if bad:
        failure = ET.SubElement(case, "failure", type=str(bad[0].level), message=_text("; ".join(map(str, bad))))
        failure.text = _text("\n".join(map(_whole, bad)))
    elif passed_over:
        ET.SubElement(case, "skipped", message=_text("; ".join(map(_line, passed_over))))
    ET.SubElement(case, "system-out").text = _text("\n".join(map(_line, found)))
    return case


def _line(finding: Finding) -> str:
    waived = f" ({accepted_by(finding.waiver.to_json())}: {finding.waiver.justification})" if finding.waiver else ""
    return f"{finding.level}: {finding}{waived}"


def _whole(finding: Finding) -> str:
    parts = (("risk", finding.risk), ("mend", finding.mend), ("see", finding.incident))
    return "\n".join([_line(finding), *(f"  {name}: {text}" for name, text in parts if text)])


def _text(text: str) -> str:
    return _NOT_OF_XML.sub("\ufffd", text)
