"""``swarmlab status``: list labs."""

from __future__ import annotations

import argparse

from swarmlab.cli.common import say
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add no options: the command has none."""


def run(_: argparse.Namespace) -> int:
    """List labs with their nodes, engines and roles."""
    engine = outer.running(say)
    if engine is None:
        print("no lab is up (no engine answers)")
        return 0
    try:
        known = labels.labs(engine)
        if not known:
            print("no lab is up")
        for standing in known:
            maker = {True: standing.owner, False: "a run that was killed", None: f"{standing.owner}, elsewhere"}
            print(f"{standing.name} ({engine.url}; made by: {maker[standing.alive]})")
            for line in kinds.describe(engine, standing):
                print(f"  {line}")
        return 0
    finally:
        engine.release()
