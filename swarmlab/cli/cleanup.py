"""``swarmlab cleanup``: remove what runs of the suites left on a swarm."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from swarmlab.cli.common import add_inventory, add_name, add_yes, agreed, inventory_options, lab_name, refuse, say
from swarmlab.cluster import leavings, run_lock
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import UsageError
from swarmlab.labs import outer, using
from swarmlab.labs import registry as kinds
from swarmlab.labs.base import Request
from swarmlab.labs.existing.kind import EXISTING


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    add_inventory(parser)
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    add_yes(parser)
    parser.epilog = (
        "BuildKit's cache takes no mark. After a run on an existing swarm that was killed, what is new in it since "
        "that run began goes too, whoever made it. Where it is not known when that was, all of it stays."
    )


def run(args: argparse.Namespace) -> int:
    """Remove what runs of the suites left on a swarm: what has their label or a name of their form, and cache.

    Raises:
        UsageError: a run is at work on the swarm, there is no such lab, or options have no effect beside others.
    """
    if options := inventory_options(args):
        refuse(args, "--inventory", "--name", "--yes")
        lab = EXISTING.reach(Request(options=options), say, to_judge=False)
        try:
            return _clean(lab.nodes(), lab.known.registry, dry=args.dry_run)
        finally:
            lab.down()
    engine = outer.standing(say)
    try:
        holding = using.held(engine, lab_name(args), agreed=agreed(args, "remove from it what runs have left"))
        with contextlib.nullcontext() if args.dry_run else holding:
            return _clean(kinds.attach(engine, lab_name(args), say).nodes(), "", dry=args.dry_run)
    finally:
        engine.release()


def _clean(nodes: Sequence[Node], registry: str, *, dry: bool) -> int:
    manager = Swarm(nodes).manager
    held = run_lock.on(manager)
    if held and held.alive and not dry:
        raise UsageError(f"{held}; wait until it ends and cleans up")
    found = leavings.find(nodes, manager, registry, held.begun if held else None)
    if dry:
        noted = [f"config {run_lock.LOCK}"] if held else []
        print("\n".join([*map(str, found), *noted]) or "nothing is left")
        return 0
    left = leavings.remove(found, nodes)
    if held:
        run_lock.release(manager, held)
        print(f"removed config {run_lock.LOCK}")
    for leaving in found:
        if not any(line.startswith(f"{leaving}: ") for line in left):
            print(f"removed {leaving}")
    for line in left:
        say(f"could not be removed: {line}")
    if not found and not held:
        print("nothing is left")
    return int(bool(left))
