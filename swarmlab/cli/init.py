"""``swarmlab init``: write the inventory of a swarm that exists, as one of its managers tells of it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date

from swarmlab.cli.common import say
from swarmlab.errors import UsageError
from swarmlab.labs.existing import inventory, written
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.existing.node import NO_RIGHT


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--inventory",
        required=True,
        metavar="ssh://[USER@]MANAGER[:PORT]",
        help="a manager of the swarm; or a file with the key manager or context, and how that is reached",
    )
    parser.epilog = (
        "The inventory is printed whole on standard output, also where a node was not reached. What is to be mended in "
        "it is told on standard error. Exit status: 0 if every node was reached, 1 if one was not, 2 for a manager "
        "that cannot be used."
    )


def run(args: argparse.Namespace) -> int:
    """Print the inventory of an existing swarm, as a manager tells of it; nothing there is changed.

    Raises:
        UsageError: --inventory names no manager, or the manager cannot be used.
    """
    known = inventory.read(args.inventory)
    if not known.discover:
        raise UsageError(
            f"--inventory: {known.source} lists its nodes already; name a manager: ssh://[USER@]HOST[:PORT]"
        )
    lab = _reached(known)
    try:
        made = written.write(lab, today=date.today())
    finally:
        lab.down()
    for note in made.notes:
        say(note)
    print(made.text, end="")
    return int(not made.whole)


def _reached(known: Inventory) -> InventoryLab:
    """Return the swarm of a manager, reached by its user, who becomes root only if the engine cannot be asked else."""
    say(f"asking {known.machines[0]} for the nodes of its swarm")
    lab = InventoryLab(known, progress=say)
    try:
        lab.connect(to_judge=False, partly=True)
        return lab
    except UsageError as refused:
        if NO_RIGHT not in str(refused):
            raise
    (manager,) = known.machines
    lab = InventoryLab(replace(known, machines=(replace(manager, sudo=True),)), progress=say)
    lab.connect(to_judge=False, partly=True)
    say(f"{manager.user or 'the user'} may use the engine by sudo alone: sudo: true")
    return lab
