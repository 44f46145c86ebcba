"""``swarmlab stop``: switch a node off."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import add_name, lab_name, node_named, say
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument("node", help="host name of the node")
    parser.add_argument("--kill", action="store_true", help="cut its power, so that its engine does not end in order")


def run(args: argparse.Namespace) -> int:
    """Switch a node of a lab off, which the suites then judge as the cluster's state."""
    engine = outer.standing(say)
    try:
        node = node_named(kinds.attach(engine, lab_name(args), say), args.node)
        if args.kill:
            node.kill()
        else:
            node.stop()
        say(f"{node} of lab {lab_name(args)} is off")
        return 0
    finally:
        engine.release()
