"""``swarmlab logs``: collect evidence from the nodes."""

from __future__ import annotations

import argparse
from pathlib import Path

from swarmlab import evidence, outputs
from swarmlab.cli.common import add_name, lab_name, say
from swarmlab.cluster.discretion import be_discreet
from swarmlab.cluster.swarm import Swarm
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_name(parser)
    parser.add_argument("folder", metavar="DIR", help="folder for the files")


def run(args: argparse.Namespace) -> int:
    """Collect logs and state of every node in a folder, without secrets and without what others wrote."""
    engine = outer.connect(say)
    try:
        lab = kinds.attach(engine, lab_name(args))
        folder = Path(args.folder)
        outputs.check(folder)
        nodes = lab.nodes()
        be_discreet(nodes)
        for name, text in Swarm(nodes).diagnosis().items():
            file = folder / (name.replace(": ", "-").replace(" ", "-").replace("/", "-") + ".txt")
            outputs.write(file, evidence.redact(text) + "\n")
            print(file)
        return 0
    finally:
        engine.release()
