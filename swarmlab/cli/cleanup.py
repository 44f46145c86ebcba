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
        lab = EXISTING.reach(Request(options=options), say, to_judge=False, partly=True, patiently=True)
        try:
            members = {member["ID"] for member in lab.members}
            nodes = [node for identity, node in lab.identities.items() if identity in members]
            missed = [f"what is left on {name} ({why})" for name, why in lab.unreached.items()]
            strange = [node for node in lab.nodes() if node not in nodes]
            missed += [f"what is left on {node} (the swarm does not list it)" for node in strange]
            return _clean(nodes, lab.known.registry, missed, dry=args.dry_run)
        finally:
            lab.down()
    engine = outer.standing(say)
    try:
        holding = using.held(engine, lab_name(args), agreed=agreed(args, "remove from it what runs have left"))
        with contextlib.nullcontext() if args.dry_run else holding:
            return _clean(kinds.attach(engine, lab_name(args), say).nodes(), "", [], dry=args.dry_run)
    finally:
        engine.release()


def _clean(nodes: Sequence[Node], registry: str, missed: Sequence[str], *, dry: bool) -> int:
    """Clean up, and return the exit status.

    Args:
        nodes: the nodes that were reached.
        registry: see `leavings.find`.
        missed: what is not looked at, and why, a line each.
        dry: only list what would be removed.
    """
    manager = Swarm(nodes).manager
    held = run_lock.on(manager)
    if held and held.alive and not dry:
        raise UsageError(f"{held}; wait until it ends and cleans up")
    found = leavings.find(nodes, manager, registry, held.begun if held else None)
    missed = [*missed, *found.missed]
    noted = [f"config {run_lock.LOCK}"] if held else []
    if dry:
        for line in (*missed, *found.unknown):
            say(f"would not be removed: {line}")
        print("\n".join([*map(str, found.leavings), *noted]) or _nothing(missed))
        return int(bool(missed))
    left = leavings.remove(found)
    stays = leavings.need_lock(missed, left)
    if held and not stays:
        run_lock.release(manager, held)
        print(f"removed config {run_lock.LOCK}")
    for leaving in found.leavings:
        if not any(line.startswith(f"{leaving}: ") for line in left):
            print(f"removed {leaving}")
    for line in (*missed, *found.unknown, *left):
        say(f"could not be removed: {line}")
    if held and stays:
        say(f"config {run_lock.LOCK} stays until all nodes are cleaned up")
    if not found.leavings and not held:
        print(_nothing(missed))
    return int(bool(missed or left))


def _nothing(missed: Sequence[str]) -> str:
    return "nothing is left" if not missed else "nothing is left on the nodes that were looked at"
