"""``swarmlab down``: take labs down."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import add_name, lab_name, refuse, say
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument("--all", action="store_true", help="take every lab down, also those of runs that were killed")


def run(args: argparse.Namespace) -> int:
    """Take a lab down, also if only parts of it are left."""
    if args.all:
        refuse(args, "--all", "--name")
    engine = outer.connect(say)
    try:
        known = [lab.name for lab in labels.labs(engine)]
        if args.all and not known:
            say("no lab is up")
        for name in known if args.all else [lab_name(args)]:
            kinds.remove(engine, name, say)
            say(f"lab {name} is gone")
        return 0
    finally:
        engine.release()
