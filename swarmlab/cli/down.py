"""``swarmlab down``: take labs down."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import add_name, add_yes, agreed, lab_name, refuse, say
from swarmlab.errors import UsageError
from swarmlab.labs import outer, using
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument(
        "--all", action="store_true", help="take every lab down that no run uses, also those of runs that were killed"
    )
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    """Take a lab down, also if only parts of it are left. A lab that a run uses stays, and one of another user."""
    if args.all:
        refuse(args, "--all", "--name")
    engine = outer.revived(say) if args.all else outer.standing(say)
    if engine is None:
        say(f"no lab is up: {outer.absence()}")
        return 0
    try:
        known = [lab.name for lab in labels.labs(engine)]
        if args.all and not known:
            say("no lab is up")
        used = []
        for name in known if args.all else [lab_name(args)]:
            try:
                with using.held(engine, name, agreed=agreed(args, "take it down")):
                    kinds.remove(engine, name, say)
                say(f"lab {name} is gone")
            except using.Foreign as kept:
                if not args.all:
                    raise
                say(str(kept))
            except UsageError as kept:
                used.append(str(kept))
        if used:
            raise UsageError("; ".join(used))
        return 0
    finally:
        engine.release()
