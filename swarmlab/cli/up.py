"""``swarmlab up``: bring a lab up by hand."""

from __future__ import annotations

import argparse
import time

from swarmlab import signals
from swarmlab.cli.common import say
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import UsageError
from swarmlab.images.engines import engine_choice, obtain, options_help, split
from swarmlab.labs import outer, registry
from swarmlab.labs.registry import DEFAULT, MADE
from swarmlab.paths import command, suites


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    names = ", ".join(f"{kind.default_name} for --lab {kind.word}" for kind in MADE.values())
    parser.add_argument("--name", help=f"name of the lab (default: {names})")
    parser.add_argument("--engine", metavar="ENGINE[,ENGINE…]", help=options_help())
    parser.add_argument("--lab", default=DEFAULT.word, choices=MADE, help=f"kind of lab (default: {DEFAULT.word})")
    for kind in MADE.values():
        for option in kind.options:
            parser.add_argument(option.name, metavar=option.metavar, help=f"for --lab {kind.word}: {option.summary}")
    parser.add_argument("--nodes", type=int, default=3, help="number of nodes (default: 3)")
    parser.add_argument("--managers", type=int, default=1, help="number of managers among them (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Bring a lab up, form the document's swarm on it, and print how to use it.

    Raises:
        UsageError: options describe no possible lab, or no engine can be used.
        LabError: the lab does not come up.
    """
    kind = MADE[args.lab]
    registry.refuse_foreign(kind, lambda name: _value(args, name))
    request = kind.request(
        lambda name: _value(args, name),
        name=args.name or "",
        engines=split(args.engine or "", "--engine"),
        nodes=args.nodes,
    )
    kind.check(request)
    if not 1 <= args.managers <= args.nodes:
        raise UsageError(f"--managers {args.managers}: write 1 to {args.nodes}, the number of nodes")
    obtain(map(engine_choice, request.engines), say)
    engine = outer.connect(say)
    try:
        registry.remove_stale(engine, say)
        lab = kind.make(engine, request, say)
        start = time.monotonic()
        try:
            lab.up()
            lab.measure()
            say("forming the swarm")
            swarm = Swarm.form(lab.nodes(), managers=args.managers, image=lab.image)
            with signals.deferred("the end of `up`"):
                lab.keep()
        except BaseException:
            if not lab.kept:
                lab.down()
            raise
        for node in swarm.nodes:
            print(f"{node.name:10} {node.address:16} engine {node.facts()['engine']}")
        option = [] if kind is DEFAULT else ["--lab", kind.word]
        option += [] if lab.name == kind.default_name else ["--lab-name", lab.name]
        name = [] if lab.name == DEFAULT.default_name else ["--name", lab.name]
        uses = {
            command("swarmlab", "shell", swarm.nodes[0].name, *name): "open a root shell on a node with its docker",
            command("pytest", suites(), *option): "run the suites on this lab; it stays as it is",
            command("swarmlab", "down", *name): "take it down",
        }
        print(f"\nLab {lab.name} is up ({time.monotonic() - start:.0f} s). Use it:")
        width = max(map(len, uses))
        for use, meaning in uses.items():
            print(f"  {use:{width}}   {meaning}")
        return 0
    finally:
        engine.release()


def _value(args: argparse.Namespace, name: str) -> str | None:
    value: str | None = getattr(args, name.lstrip("-").replace("-", "_"), None)
    return value
