"""``swarmlab logs``: a support bundle of a lab, or of an existing swarm."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from swarmlab.bundle import index, whole
from swarmlab.bundle.collect import collect
from swarmlab.cli.common import add_inventory, add_name, inventory_options, lab_name, refuse, say
from swarmlab.cli.preflight import table
from swarmlab.cluster.discretion import be_discreet
from swarmlab.cluster.node import Node
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs.base import Lab, Request
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.lists import few


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    add_inventory(parser)
    parser.add_argument(
        "place",
        nargs="?",
        metavar="FILE.tar.gz|DIR",
        help="archive for the files, or a new folder for them as they are "
        "(default: swarmlab-logs-NAME-TIME.tar.gz in the current folder)",
    )
    parser.epilog = (
        "index.html in it says what is where, and what could not be got and why. A node that does not answer hides no "
        "other. It is there whole or not at all."
    )


def run(args: argparse.Namespace) -> int:
    """Collect logs and state of every node in one archive, without secrets and without what others wrote."""
    options = inventory_options(args)
    if options:
        refuse(args, "--inventory", "--name")
    given = whole.check(args.place) if args.place else None
    if options:
        lab = EXISTING.reach(Request(options=options), say, to_judge=False, partly=True)
        try:
            more = lab.shells() if lab.unreached else []
            be_discreet(more, hurried=True)
            if gone := [name for name in lab.unreached if name not in map(str, more)]:
                say(f"{few(gone)} cannot be reached; the bundle is of the others")
            return _bundle(lab, given, lab.unreached, {"inventory": options["--inventory"]}, more)
        finally:
            lab.down()
    engine = outer.standing(say)
    try:
        attached = kinds.attach(engine, lab_name(args))
        be_discreet(attached.nodes(), hurried=True)
        described = "\n  ".join(["", *map(str, kinds.describe(engine, kinds.known(engine, attached.name)))])
        about = {"outer engine": f"{engine.client.version()['Version']} at {engine.url}", "nodes": described}
        return _bundle(attached, given, {}, about)
    finally:
        engine.release()


def _bundle(
    lab: Lab,
    given: Path | None,
    unreached: Mapping[str, str],
    about: Mapping[str, str],
    more: Sequence[Node] = (),
) -> int:
    name = re.sub(r"[^\w.-]+", "-", lab.name).strip("-.")[:60] or "swarm"
    place = given or whole.check(f"swarmlab-logs-{name}-{time.strftime('%Y%m%dT%H%M%S')}.tar.gz")
    with whole.place(place) as folder:
        made = collect(lab, folder, table=table, more=more, unreached=unreached, about=about, progress=say)
        (folder / index.NAME).write_text(index.page(made), encoding="utf-8")
    if made.missing:
        say(f"{len(made.missing)} files could not be got; {index.NAME} says why")
    print(place)
    return 0
