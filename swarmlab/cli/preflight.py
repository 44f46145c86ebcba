"""``swarmlab preflight``: the table of findings of the checks."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from swarmlab.cli.common import add_inventory, add_name, inventory_options, lab_name, refuse, say
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels
from swarmlab.labs.base import Request
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.paths import command
from swarmlab.preflight import host
from swarmlab.preflight.checks import CHECKS, reasons
from swarmlab.preflight.finding import Finding, Level

#: Where what is said of a finding stands, below its first line.
_MARGIN = " " * 32


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    add_inventory(parser)
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME=REASON", help="leave a check out, for a reason"
    )
    parser.add_argument(
        "--strict", action="store_true", help="end with 1 also for warnings and for checks that could not look"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--list", action="store_true", help="list the checks with a summary of each")
    parser.epilog = "Exit status: 0 if no finding is an error, 1 if one is, 2 for wrong options."


def run(args: argparse.Namespace) -> int:
    """Check this machine and the lab on it, or an existing swarm, for known causes of trouble."""
    if args.list:
        refuse(args, "--list", "--name", "--inventory", "--group", "--config", "--skip", "--strict", "--json")
        for name, check in CHECKS.items():
            print(f"{name:20} {check.summary}")
        return 0
    if options := inventory_options(args):
        refuse(args, "--inventory", "--name")
    # With an inventory nothing of this machine is checked but what the lab offers.
    skip = reasons(args.skip, ["lab-offers", *CHECKS] if options else [*host.NAMES, *CHECKS])
    found = [
        replace(finding, level=Level.SKIPPED, summary=skip[finding.check], risk="", mend="", incident="", nodes=())
        if finding.check in skip
        else finding
        for finding in (_of_existing(options, skip) if options else _found(args, skip))
    ]
    if args.json:
        print(json.dumps([finding.to_json() for finding in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(found)))
    bad = {Level.ERROR, Level.WARNING, Level.UNKNOWN} if args.strict else {Level.ERROR}
    return int(any(finding.level in bad for finding in found))


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
    return bool(finding.because) and finding.level is Level.UNKNOWN


def lines(finding: Finding) -> list[str]:
    """Return a finding as lines of the table; one that follows from another is indented below it."""
    indent = "  " if finding.because else ""
    margin = _MARGIN + indent
    made = [f"{indent}{finding.level!s:8}  {finding.check:20}  {finding}"]
    if finding.level is Level.OK:
        return made
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


def _found(args: argparse.Namespace, skip: dict[str, str]) -> list[Finding]:
    """Return the findings on this machine and, if it is up, the lab."""
    found = list(host.machine())
    engine, failed = None, None
    try:
        engine = outer.running(say)
    except SwarmlabError as error:
        failed = error
    found.append(host.engine(engine, failed))
    if engine is None:
        if args.name:
            raise failed or UsageError(f"no lab {shown(repr(args.name), 60)}: no engine answers on this machine")
        return found
    try:
        name = lab_name(args)
        if not args.name and name not in [standing.name for standing in labels.labs(engine)]:
            mend = f"to check a lab too, bring it up: {command('swarmlab', 'up')}"
            return [*found, Finding(Level.INFO, f"no lab {name} is up", mend, check="lab-offers")]
        return found + host.lab_and_swarm(kinds.attach(engine, name), skip, progress=say)
    finally:
        engine.release()


def _of_existing(options: dict[str, str], skip: dict[str, str]) -> list[Finding]:
    lab = EXISTING.reach(Request(options=options), say, to_judge=False, partly=True)
    for name in lab.unreached:
        say(f"{name} cannot be reached; the others are looked at")
    try:
        return host.lab_and_swarm(lab, skip, progress=say, unreached=lab.unreached)
    finally:
        lab.down()
