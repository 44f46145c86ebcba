"""``swarmlab doctor``: whether a run of the suites could work from here, and all that is in its way."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from swarmlab.cli.common import add_inventory, inventory_options, refuse, say
from swarmlab.cli.preflight import table
from swarmlab.doctor import check, here, swarm
from swarmlab.errors import UsageError
from swarmlab.images.given import check_reference
from swarmlab.labs.base import Request
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.parallel import parallel
from swarmlab.preflight.finding import Finding, Level


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_inventory(parser)
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="REF",
        help="an image that every node must be able to pull, beside the suites' own; may be given several times",
    )
    parser.add_argument(
        "--ports",
        metavar="FIRST-LAST",
        help="published ports that the suites may use there (default: of the inventory)",
    )
    parser.add_argument("--host", action="store_true", help="look at this machine alone, whatever swarm a file names")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.epilog = (
        "Nothing is changed on the nodes, but for a table of their packet filters that counts packets for some "
        "seconds. Exit status: 0 if nothing is wrong, 1 if something is or could not be looked at, 2 for wrong options."
    )


def run(args: argparse.Namespace) -> int:
    """Look at all that a run needs, on an existing swarm or for a lab here, and tell all that is wrong.

    Raises:
        UsageError: an option is for an existing swarm, and none is named; options have no effect beside others; or
            --image is no reference.
    """
    if args.host:
        refuse(args, "--host", "--inventory", "--group", "--config", "--image", "--ports")
    options = {} if args.host else inventory_options(args, "ports", "may-disrupt")
    for option in ("--image", "--ports") if not options else ():
        if getattr(args, option[2:]):
            raise UsageError(f"{option}: is for an existing swarm; give --inventory too")
    for image in args.image:
        check_reference(image, "--image")
    if args.ports:
        options["--ports"] = args.ports
    found = _of_existing(options, args.image) if options else _of_this_machine()
    if args.json:
        print(json.dumps([finding.to_json() for finding in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join([*table(found), "", _summary(found)]))
    return int(check.wrong(found))


def _of_this_machine() -> list[Finding]:
    patient = here.met(say)
    try:
        if patient.engine:
            patient.engine.need_networks()
        return here.look(patient)
    finally:
        if patient.engine:
            patient.engine.release()


def _of_existing(options: dict[str, str], images: Sequence[str]) -> list[Finding]:
    """Return the findings about a swarm, and about what a run on it needs of this machine."""
    wrong: list[str] = []
    EXISTING.check(Request(options=options))
    machine = here.met(say)
    try:
        say("reaching all nodes")
        lab = EXISTING.reach(Request(options=options), say, wrong=wrong)
        try:
            patient = swarm.Patient(lab, wrong, images, say)
            looks = [
                lambda: here.look_for_existing(machine, registry=bool(lab.known.registry)),
                lambda: swarm.look(patient),
            ]
            return [finding for found in parallel(lambda look: look(), looks) for finding in found]
        finally:
            lab.down()
    finally:
        if machine.engine:
            machine.engine.release()


def _summary(found: Sequence[Finding]) -> str:
    """Return the last line: how much is wrong."""
    if not check.wrong(found):
        return "A run could work: nothing is wrong."
    counts = [
        f"{number} {level}{'s' if number > 1 and level.trouble else ''}"
        for level in (Level.ERROR, Level.WARNING, Level.UNKNOWN)
        if (number := sum(one.level is level for one in found))
    ]
    return f"To mend before a run: {', '.join(counts)}."
