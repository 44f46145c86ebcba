"""``swarmlab push-images``: bring the suites' images to a registry."""

from __future__ import annotations

import argparse

from swarmlab import netns
from swarmlab.cli.common import say
from swarmlab.images import reach, workshop
from swarmlab.labs import outer


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("registry", metavar="HOST[:PORT][/PATH]", help="the value of registry in the inventory")


def run(args: argparse.Namespace) -> int:
    """Push the suites' images to a registry from which the nodes of an existing swarm can pull them."""
    reach.check_name(args.registry)
    engine = outer.connect(say, networks=False)
    try:
        reach.check(engine.client, args.registry, say)
        pushed = workshop.Workshop(engine.client, say, outside=netns.outside()).push(args.registry)
        print("\n".join(pushed))
        return 0
    finally:
        engine.release()
