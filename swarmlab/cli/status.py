"""``swarmlab status``: list labs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from swarmlab.cli.common import say
from swarmlab.errors import SwarmlabError
from swarmlab.labs import outer
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.standing import Standing
from swarmlab.labs.state import NodeState
from swarmlab.ownership import USER, owner_of

#: Version of the layout of what --json prints (status.schema.json).
SCHEMA = 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", action="store_true", help="print the labs as JSON")


def run(args: argparse.Namespace) -> int:
    """List labs with their nodes, engines and roles."""
    engine = outer.running(say)
    if engine is None:
        print(_json(None, []) if args.json else f"no lab is up: {outer.absence()}")
        return 0
    try:
        standing = labels.labs(engine)
        if standing:
            engine.need_networks()
        found = [(lab, *_nodes(engine, lab)) for lab in standing]
        if args.json:
            print(_json(engine, [to_json(*each) for each in found]))
            return 0
        if not found:
            print("no lab is up")
        for lab, nodes, why in found:
            owner = lab.owner if lab.owner == USER else str(owner_of(lab.owner))
            maker = {True: owner, False: "a run that was killed", None: f"{owner}, elsewhere"}
            whose = f"; {lab.person}'s" if lab.foreign else ""
            print(f"{lab.name} ({engine.url}{whose}; made by: {maker[lab.alive]})")
            for line in [f"its nodes cannot be reached: {why}"] if why else nodes:
                print(f"  {line}")
        return 0
    finally:
        engine.release()


def _nodes(engine: OuterEngine, lab: Standing) -> tuple[list[NodeState], str]:
    """Return the nodes of a lab, or why nothing is known of them."""
    try:
        return kinds.describe(engine, lab), ""
    except SwarmlabError as failed:
        return [], str(failed)


def _json(engine: OuterEngine | None, listed: list[dict[str, Any]]) -> str:
    made = {"schema": SCHEMA, "engine": engine.url if engine else None, "labs": listed}
    return json.dumps(made, indent=1, ensure_ascii=False)


def to_json(lab: Standing, nodes: list[NodeState], why: str) -> dict[str, Any]:
    """Return a lab as --json prints it.

    Args:
        lab: The lab.
        nodes: Its nodes.
        why: Why nothing is known of its nodes; empty if something is.
    """
    made = {"name": lab.name, "kind": lab.kind, "owner": lab.owner, "owner_alive": lab.alive}
    made |= {"person": lab.person, "foreign": lab.foreign}
    return made | {"nodes": [asdict(node) for node in nodes], "why": why}
