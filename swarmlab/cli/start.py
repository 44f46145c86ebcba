"""``swarmlab start``: switch a node on again."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import add_name, lab_name, node_named, say
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument("node", help="host name of the node")


def run(args: argparse.Namespace) -> int:
    """Switch a node of a lab on again."""
    engine = outer.standing(say)
    try:
        node = node_named(kinds.attach(engine, lab_name(args), say), args.node)
        node.start()
        say(f"{node} of lab {lab_name(args)} is on")
        return 0
    finally:
        engine.release()
