"""``swarmlab box``: make the Vagrant box of the libvirt provider."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import say
from swarmlab.images.engines import engine_choice, obtain
from swarmlab.labs.machines import box


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--engine", help="engine of the machines; engines that are not Debian's share a box that has none"
    )


def run(args: argparse.Namespace) -> int:
    """Make the Vagrant box of the libvirt provider, if it does not exist yet, and print its name."""
    choice = engine_choice(args.engine or "")
    obtain([choice], say)
    made = box.Box.of(choice)
    made.prepare(say)
    print(made.name)
    return 0
