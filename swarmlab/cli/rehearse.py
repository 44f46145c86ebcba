"""``swarmlab rehearse``: try an upgrade on a lab and decide go or no-go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from swarmlab.cli.common import add_group, refuse, say
from swarmlab.errors import UsageError
from swarmlab.files import named
from swarmlab.host import cache_folder
from swarmlab.images.engines import engine_choice
from swarmlab.labs.existing import inventory
from swarmlab.labs.hosts import host_names
from swarmlab.labs.outer import Apart
from swarmlab.labs.registry import DEFAULT, MADE
from swarmlab.paths import REPORTS
from swarmlab.rehearsal import run as play
from swarmlab.rehearsal.likeness import restarts
from swarmlab.rehearsal.likeness.model import FILE, MOST_NODES, Likeness
from swarmlab.rehearsal.likeness.read import read
from swarmlab.rehearsal.plan import GROUPS, ORDER, newest
from swarmlab.verdicts.folders import KEPT, count


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--like", metavar="INVENTORY", help=f"inventory of a swarm to copy in the lab, or the {FILE} of a run"
    )
    add_group(parser)
    parser.add_argument("--from", dest="start", metavar="ENGINE", help="first engine (default: the lab's)")
    upgrade_to = "engine to upgrade to (default: the newest of Debian's); repeatable"
    parser.add_argument("--to", action="append", metavar="ENGINE", help=upgrade_to)
    parser.add_argument("--path", metavar="A,B[,C…]", help="all engines in order, in place of --from and --to")
    parser.add_argument("--order", default=ORDER, help=f"{', '.join(GROUPS)} and host names (default: {ORDER})")
    parser.add_argument("--managers", type=int, help="number of managers (default: 3)")
    parser.add_argument(
        "--workers", type=int, help="number of workers (default: 1; on machines 0; with --like: as in that swarm)"
    )
    parser.add_argument("--reboot", action="store_true", help="restart each machine with its new engine")
    parser.add_argument(
        "--claims", default="smoke", metavar="PROFILE", help="profile to judge before and after (default: smoke)"
    )
    parser.add_argument(
        "--out", default=REPORTS / "rehearsal", metavar="DIR", help="default: reports/rehearsal in the checkout"
    )
    parser.add_argument(
        "--keep-runs",
        type=count,
        default=KEPT,
        metavar="N",
        help=f"how many rehearsals stay in DIR, this one among them; 0 keeps all (default: {KEPT})",
    )
    parser.add_argument("--lab", default=DEFAULT.word, choices=MADE, help=f"kind of lab (default: {DEFAULT.word})")
    parser.epilog = "Exit status: 0 for go, 1 for no-go, 2 for wrong options, 3 if it could not be held."


def run(args: argparse.Namespace) -> int:
    """Rehearse the upgrade of a swarm and decide go or no-go.

    Raises:
        UsageError: options exclude each other, or describe no possible rehearsal.
        Apart: the engine's networks are out of reach.
    """
    if args.path and (args.start or args.to):
        raise UsageError("--path names all engines, in place of --from and --to; leave those out")
    if args.group and not args.like:
        raise UsageError("--group: is for an inventory of Ansible; give --like too")
    like = _likeness(args) if args.like else None
    start = (like.oldest if like else engine_choice(args.start or "")).name
    path = args.path or ",".join([start, *(args.to or [newest().name])])
    kind = MADE[args.lab]
    managers, workers = kind.shape
    shape = (
        managers if args.managers is None else args.managers,
        workers if args.workers is None else args.workers,
    )
    plan = play.plan(path, args.order, *shape, kind, args.claims, like, reboot=args.reboot)
    for why in restarts.against(like.data.get("restarts", []), plan.path[1:]) if like else []:
        say(f"no-go already: {why}")
    folder = named(args.out, "--out")
    try:
        decision = play.rehearse(plan, kind, folder, args.claims, say, keep=args.keep_runs)
    except Apart:
        play.set_aside(folder, args.keep_runs)  # what comes back goes to its place
        if like:  # the swarm was read from here; it may be out of reach where the rest is done
            args.instead = _with_likeness(args.given, like)
        raise
    print("\n".join([*play.lines(decision), f"Page: {folder / play.PAGE}"]))
    return decision.status


def _with_likeness(words: Sequence[str], like: Likeness) -> list[str]:
    """Return the words of the command with a file of the likeness in place of what names the swarm."""
    file = cache_folder() / "rehearsal" / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    like.write(file)
    kept, rest = [], iter(words)
    for word in rest:
        name, sign, _ = word.partition("=")
        if name not in ("--like", "--group", "--workers"):
            kept.append(word)
        elif not sign:
            next(rest, "")
    return [*kept, f"--like={file}"]


def _likeness(args: argparse.Namespace) -> Likeness:
    """Return the likeness of the swarm that --like names.

    Options that cannot be right for any swarm are refused before the swarm is read.
    """
    play.check(MADE[args.lab], args.claims)
    if args.managers is not None:
        raise UsageError("--managers: with --like they are the swarm's; leave it out (--workers N takes fewer workers)")
    if args.workers is not None and args.workers < 0:
        raise UsageError(f"--workers {args.workers}: write 0 or more")
    given = [engine_choice(name) for name in [args.start, *(args.to or []), *(args.path or "").split(",")] if name]
    file = named(args.like, "--like")
    if file.name == FILE:
        refuse(args, f"--like {FILE}", "--group")
        if args.workers is not None:
            raise UsageError("--workers: a likeness that was read has its shape; leave it out, or name the inventory")
        made = Likeness.load(file)
    else:
        made = read(inventory.read(args.like, group=args.group or ""), args.workers, host_names(MOST_NODES), say, given)
    begun = args.start or (args.path or "").split(",")[0]
    if begun and engine_choice(begun).numbers != made.oldest.numbers:
        option = f"--from {args.start}" if args.start else f"--path {args.path}"
        raise UsageError(f"{option}: the swarm of {args.like} begins with {made.oldest}; begin there, or leave it out")
    for line in made.data["limits"]:
        say(line)
    return made
