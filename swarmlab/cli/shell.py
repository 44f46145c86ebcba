"""``swarmlab shell``: a root shell on a node."""

from __future__ import annotations

import argparse
import os

from swarmlab.cli.common import add_name, lab_name, say
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument("node", help="host name of the node")
    parser.epilog = (
        "Arguments after -- are a command to run on the node in place of a shell: a program and its arguments, each as "
        "it is; or one argument, which is a line for the shell there."
    )


def run(args: argparse.Namespace) -> int:
    """Open a root shell on a node, or run one command there."""
    engine = outer.connect(say)
    command = kinds.attach(engine, lab_name(args)).shell(args.node, args.command)
    os.execvp(command[0], command)
