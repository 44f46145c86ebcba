"""``swarmlab preflight``: the findings of the checks, as a table and as files for other programs."""

from __future__ import annotations

import argparse
import json
import socket
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from swarmlab import outputs
from swarmlab.cli.common import add_inventory, add_name, inventory_options, lab_name, output_file, refuse, say
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.files import named, shown
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels
from swarmlab.labs.base import Request
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.labs.existing.names import name_of
from swarmlab.paths import command
from swarmlab.preflight import host
from swarmlab.preflight.checks import CHECKS, reasons
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.waived import waived
from swarmlab.report.findings_junit import junit
from swarmlab.report.metrics import TROUBLE, Metrics
from swarmlab.report.sarif import sarif
from swarmlab.verdicts import waiver_file
from swarmlab.verdicts.waivers import FindingWaiver, accepted_by

#: The options that name files.
FILES = ("--junit", "--sarif", "--metrics")
#: Where what is said of a finding stands, below its first line.
_MARGIN = " " * 32


@dataclass
class Looked:
    """What was looked at, and what was found.

    Attributes:
        cluster: name of the cluster for programs: of the inventory, of the lab, or of this machine.
        findings: what was found.
        facts: kind of the lab and engines of its nodes, as far as they are known.
    """

    cluster: str
    findings: list[Finding]
    facts: dict[str, Any] = field(default_factory=dict)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    add_inventory(parser)
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME=REASON", help="leave a check out, for a reason"
    )
    parser.add_argument("--waivers", metavar="FILE", help="YAML of findings that are accepted until a date")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end with 1 also for warnings and for checks that could not look, unless they are waived",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write a test case for each check, as JUnit does")
    parser.add_argument("--sarif", metavar="FILE", help="write the findings as SARIF 2.1.0")
    parser.add_argument("--metrics", metavar="FILE", help="write metrics for node_exporter's textfile collector")
    parser.add_argument("--list", action="store_true", help="list the checks with a summary of each")
    parser.epilog = (
        "Exit status: 0 if no finding is an error that is not waived, 1 if one is, 2 for wrong options, 3 if a file "
        "cannot be written."
    )


def run(args: argparse.Namespace) -> int:
    """Check this machine and the lab on it, or an existing swarm, for known causes of trouble."""
    if args.list:
        given = ("--name", "--inventory", "--group", "--config", "--skip", "--strict", "--json", "--waivers")
        refuse(args, "--list", *given, *FILES)
        for name, summary in host.EVERY.items():
            print(f"{name:20} {summary}")
        return 0
    if options := inventory_options(args):
        refuse(args, "--inventory", "--name")
    # With an inventory nothing of this machine is checked but what the lab offers.
    skip = reasons(args.skip, ["lab-offers", *CHECKS] if options else host.EVERY)
    waivers = _waivers(args.waivers)
    files = _files(args)
    # What hangs on the kind of the lab and its engines, which the nodes are asked for.
    facts = bool(args.waivers or args.metrics)
    begun = time.monotonic()
    looked = _of_existing(options, skip, facts=facts) if options else _found(args, skip, facts=facts)
    found = [
        replace(finding, level=Level.SKIPPED, summary=skip[finding.check], risk="", mend="", incident="", nodes=())
        if finding.check in skip
        else finding
        for finding in looked.findings
    ]
    found = waived(found, waivers, looked.facts)
    if args.json:
        print(json.dumps([finding.to_json() for finding in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(found)))
    raw = [finding.to_json() for finding in found]
    for waiver in waivers:
        say(f"waiver of {waiver}: {waiver.outcome(looked.facts, raw)}")
    fails = TROUBLE if args.strict else (Level.ERROR,)
    _write(files, replace(looked, findings=found), fails, time.monotonic() - begun)
    return int(any(finding.level in fails and not finding.waiver for finding in found))


def _waivers(file: str | None) -> list[FindingWaiver]:
    if not file:
        return []
    read = waiver_file.load(
        named(file, "--waivers"), today=date.today(), labs=kinds.KINDS, checks=host.EVERY, of_claims=False
    )
    return read.findings


def _files(args: argparse.Namespace) -> dict[str, Path]:
    """Return the files that options name, by option."""
    made: dict[str, Path] = {}
    for option in FILES:
        if value := getattr(args, option.lstrip("-")):
            file = output_file(option, value)
            if same := next((other for other, taken in made.items() if taken.absolute() == file.absolute()), ""):
                raise UsageError(f"{option} {shown(value)}: is the file of {same} too; name another")
            made[option] = file
    return made


def _write(files: Mapping[str, Path], looked: Looked, fails: Sequence[Level], seconds: float) -> None:
    now, cluster, findings = datetime.now(timezone.utc), looked.cluster, looked.findings
    for option, file in files.items():
        if option == "--junit":
            text = junit(findings, cluster=cluster, fails=fails, seconds=seconds, when=now)
        elif option == "--sarif":
            text = sarif(findings, cluster=cluster, when=now)
        else:
            engines = [node["engine"] for node in looked.facts.get("nodes", []) if node["engine"]]
            made = Metrics(cluster, looked.facts.get("kind", ""), engines)
            made.preflight([finding.to_json() for finding in findings], seconds, now)
            text = made.text()
        outputs.write(file, text)


def table(found: Sequence[Finding]) -> list[str]:
    """Return the lines of the table of findings; of what is unknown because of another one it has the check alone."""
    made: list[str] = []
    unknown: dict[str, list[Finding]] = {}
    for finding in found:
        if _for_one_reason(finding):
            unknown.setdefault(finding.because, []).append(finding)
    for place, finding in enumerate(found):
        if finding.because and not found[place - 1].because:
            made.append(f"{_MARGIN}these may follow from it:")
        if not _for_one_reason(finding):
            made += lines(finding)
        elif same := unknown.pop(finding.because, []):
            checks = ", ".join(dict.fromkeys(one.check for one in same))
            made += _wrapped(f"unknown   for that reason: {checks}", "  ", " " * 12)
    return made


def _for_one_reason(finding: Finding) -> bool:
    return bool(finding.because) and finding.level is Level.UNKNOWN and not finding.waiver


def lines(finding: Finding) -> list[str]:
    """Return a finding as lines of the table; one that follows from another is indented below it."""
    indent = "  " if finding.because else ""
    margin = _MARGIN + indent
    level = "waived" if finding.waiver else str(finding.level)
    made = [f"{indent}{level:8}  {finding.check:20}  {finding}"]
    if finding.level is Level.OK:
        return made
    if finding.waiver:
        by = accepted_by(finding.waiver.to_json())
        made += _wrapped(f"{finding.level}, {by}: {finding.waiver.justification}", margin, margin)
    if finding.risk:
        made += _wrapped(f"risk: {finding.risk}", margin, margin)
    if finding.mend:
        # In one line, so that its commands can be pasted.
        made.append(f"{margin}{'known' if finding.level is Level.UNKNOWN else 'mend'}: {finding.mend}")
    if finding.incident:
        made += _wrapped(f"see: {finding.incident}", margin, margin)
    return made


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, 120, initial_indent=first, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )


def _found(args: argparse.Namespace, skip: dict[str, str], *, facts: bool) -> Looked:
    """Return the findings on this machine and, if it is up, the lab."""
    looked = Looked(socket.gethostname(), list(host.machine()))
    engine, failed = None, None
    try:
        engine = outer.running(say)
    except SwarmlabError as error:
        failed = error
    if engine:
        engine.need_networks()
    looked.findings.append(host.engine(engine, failed))
    if engine is None:
        if args.name:
            raise failed or UsageError(f"no lab {shown(repr(args.name), 60)}: no engine answers on this machine")
        return looked
    try:
        name = lab_name(args)
        if not args.name and name not in [standing.name for standing in labels.labs(engine)]:
            mend = f"to check a lab too, bring it up: {command('swarmlab', 'up')}"
            looked.findings.append(Finding(Level.INFO, f"no lab {name} is up", mend, check="lab-offers"))
            return looked
        lab = kinds.attach(engine, name)
        looked.findings += host.lab_and_swarm(lab, skip, progress=say)
        return replace(looked, cluster=name, facts=host.lab_facts(lab) if facts else {})
    finally:
        engine.release()


def _of_existing(options: dict[str, str], skip: dict[str, str], *, facts: bool) -> Looked:
    lab = EXISTING.reach(Request(options=options), say, to_judge=False, partly=True)
    for name in lab.unreached:
        say(f"{name} cannot be reached; the others are looked at")
    try:
        found = host.lab_and_swarm(lab, skip, progress=say, unreached=lab.unreached)
        return Looked(name_of(options["--inventory"]), found, host.lab_facts(lab) if facts else {})
    finally:
        lab.down()
