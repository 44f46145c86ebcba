"""``python -m swarmlab preflight``: the table of what was found, in seconds."""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import replace

from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import SwarmlabError
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels
from swarmlab.labs.base import Lab
from swarmlab.labs.containers import outer
from swarmlab.labs.existing import inventory
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.parallel import parallel
from swarmlab.preflight import host
from swarmlab.preflight.checks import CHECKS, reasons
from swarmlab.preflight.checks import preflight as look_at
from swarmlab.preflight.finding import Finding, Level


def options(parser: argparse.ArgumentParser) -> None:
    """The options of the command, beside the lab's name."""
    parser.add_argument("--inventory", metavar="FILE", help="look at a swarm that exists, in place of a lab")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME=REASON", help="leave a check out")
    parser.add_argument("--strict", action="store_true", help="end with 1 also for warnings, and for what is not known")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--list", action="store_true", help="list the checks with what they look at")
    parser.epilog = "Ends with 0 where nothing is in the way, 1 where a finding is an error, 2 for wrong options."


def preflight(words: argparse.Namespace) -> int:
    """Look at this machine and the lab on it; the exit status is 1 where an error is found (--strict: any trouble)."""
    if words.list:
        for name, check in CHECKS.items():
            print(f"{name:20} {check.told}")
        return 0
    skip = reasons(words.skip, [*host.NAMES, *CHECKS])
    found = [
        replace(finding, level=Level.SKIPPED, seen=skip[finding.check], risk="", incident="", nodes=())
        if finding.check in skip
        else finding
        for finding in _found(words, skip)
    ]
    if words.json:
        print(json.dumps([finding.told() for finding in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(line for finding in found for line in lines(finding)))
    bad = {Level.ERROR, Level.WARNING, Level.UNKNOWN} if words.strict else {Level.ERROR}
    return int(any(finding.level in bad for finding in found))


def lines(finding: Finding) -> list[str]:
    """A finding as the table has it."""
    margin = " " * 32
    told = [f"{finding.level!s:8}  {finding.check:20}  {finding}"]
    if finding.level is not Level.OK:
        further = f"{finding.risk} [{finding.incident}]" if finding.incident else finding.risk
        told += textwrap.wrap(further, 120, initial_indent=margin, subsequent_indent=margin)
    return told


def _found(words: argparse.Namespace, skip: dict[str, str]) -> list[Finding]:
    """What is found on the swarm that exists; else on this machine and, if it is up, on the lab."""
    if words.inventory:
        return _of_existing(words.inventory, skip)
    found = list(host.machine())
    engine, failed = None, None
    try:
        engine = outer.running()
    except SwarmlabError as error:
        failed = error
    found.append(host.engine(engine, failed))
    if engine is None:
        return found
    try:
        if words.name not in [standing.name for standing in labels.labs(engine)]:
            mend = "bring it up to have it looked at: swarmlab up"
            return [*found, Finding(Level.INFO, f"no lab {words.name} is up", mend, check="lab-offers")]
        return found + _of_lab(kinds.attach(engine, words.name), skip)
    finally:
        engine.release()


def _of_existing(source: str, skip: dict[str, str]) -> list[Finding]:
    lab = InventoryLab(inventory.read(source))
    try:
        lab.connect(to_judge=False)
        return _of_lab(lab, skip)
    finally:
        lab.disconnect()


def _of_lab(lab: Lab, skip: dict[str, str]) -> list[Finding]:
    looks = [lambda: host.offers(lab), lambda: look_at(Swarm(lab.nodes()), skip)]
    return [finding for findings in parallel(lambda look: look(), looks) for finding in findings]
