"""``swarmlab shell``: a root shell on a node of a lab, or of an existing swarm."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess

from swarmlab.cli.common import add_inventory, add_name, inventory_options, lab_name, refuse, say
from swarmlab.errors import UsageError
from swarmlab.labs import outer, rights
from swarmlab.labs import registry as kinds
from swarmlab.labs.base import Request
from swarmlab.labs.existing.kind import EXISTING

#: The exit status of a shell whose command a signal has ended is this and the signal's number.
_BY_SIGNAL = 128


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    add_inventory(parser)
    parser.add_argument("node", help="host name of the node; of an existing swarm also its address")
    parser.epilog = (
        "Arguments after -- are a command to run on the node in place of a shell: a program and its arguments, each as "
        "it is; or one argument, which is a line for the shell there. On a node of an existing swarm it is a shell of "
        "root if the inventory's user is root or becomes root, and else of that user."
    )


def run(args: argparse.Namespace) -> int:
    """Open a root shell on a node, or run one command there.

    Raises:
        UsageError: there is no such lab or node, or the command that reaches it is not installed.
    """
    options = inventory_options(args)
    if not options:
        engine = outer.standing(say)
        command = kinds.attach(engine, lab_name(args)).shell(args.node, args.command)
        if not shutil.which(command[0]):
            raise UsageError(f"there is no {command[0]} command; install the package docker-cli, or docker.io")
        rights.outlive_exec()
        os.execvp(command[0], command)
    refuse(args, "--inventory", "--name")
    return _of_existing(args, options)


def _of_existing(args: argparse.Namespace, options: dict[str, str]) -> int:
    """Run the shell beside this process, which closes the connection when it ends."""
    lab = EXISTING.enter(Request(options=options), args.node, say)
    try:
        ended = subprocess.run(lab.shell(args.node, args.command), check=False)
    finally:
        lab.down()
    return ended.returncode if ended.returncode >= 0 else _BY_SIGNAL - ended.returncode
