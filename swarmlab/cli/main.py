"""The parser of ``swarmlab`` and its entry point, which turns errors into exit statuses."""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from collections.abc import Sequence

from swarmlab import courier, paths
from swarmlab.cli import (
    box,
    cleanup,
    compare,
    completion,
    doctor,
    down,
    engines,
    explain,
    init,
    interruption,
    logs,
    merge,
    preflight,
    push_images,
    rehearse,
    report,
    results,
    shell,
    start,
    status,
    stop,
    test,
    up,
    verify,
)
from swarmlab.cli.common import Parser, complain, say
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.files import reason
from swarmlab.host import complete_path
from swarmlab.labs.outer import Apart
from swarmlab.labs.registry import MADE
from swarmlab.terminal import give_up, start_in_utf8, tolerate, unwritable
from swarmlab.verdicts.results import suite_version

#: Exit statuses of every command. 1 is for what a command has judged: claims, findings, changes.
WRONG_INPUT, COULD_NOT_BE_HELD = 2, 3

#: The verbs, in the order of the help.
VERBS = {
    "test": test,
    "up": up,
    "down": down,
    "status": status,
    "shell": shell,
    "stop": stop,
    "start": start,
    "logs": logs,
    "init": init,
    "doctor": doctor,
    "preflight": preflight,
    "cleanup": cleanup,
    "push-images": push_images,
    "rehearse": rehearse,
    "engines": engines,
    "box": box,
    "merge": merge,
    "report": report,
    "compare": compare,
    "results": results,
    "verify": verify,
    "explain": explain,
    "completion": completion,
}


def parser() -> argparse.ArgumentParser:
    """Return the whole parser of the command line, with one subparser for each verb."""
    made = Parser(prog="swarmlab", description="Labs, rehearsals of upgrades, and reports of runs.")
    made.add_argument("--version", action="version", version=f"swarmlab {suite_version()}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, verb in VERBS.items():
        summary = (verb.run.__doc__ or "").splitlines()[0]
        added = commands.add_parser(name, help=summary, description=summary)
        verb.add_options(added)
        added.set_defaults(run=verb.run, parser=added)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line after the program's name; by default that of this process.

    Returns:
        The exit status: the command's own, or one of docs/reference/exit-statuses.md.
    """
    if arguments is None:
        start_in_utf8()
    complete_path()
    tolerate()
    if not paths.CLAIMS.is_dir():
        say(f"no claims at {paths.CLAIMS}; install swarmlab from its checkout: pip install -e .")
        return COULD_NOT_BE_HELD
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = argparse.Namespace()
    try:
        try:
            args = _parsed(given)
        except SystemExit:  # after the help, or a mistake
            _flush()
            raise
        status = interruption.guarded(lambda: args.run(args))
        _flush()
        return status
    except BrokenPipeError:  # the reader of the output has closed it, as head does
        give_up(sys.stdout)  # else the flush at exit fails too
        return 141
    except Apart as apart:
        kind = MADE.get(str(getattr(args, "lab", "")))
        if arguments is None and (kind is None or kind.on_any_engine):
            courier.go(apart, "swarmlab", getattr(args, "instead", None) or given)
        complain(str(apart))
        return WRONG_INPUT
    except UsageError as wrong:
        complain(str(wrong))
        return WRONG_INPUT
    except SwarmlabError as failed:
        complain(str(failed))
        return COULD_NOT_BE_HELD
    except OSError as failed:
        if full := unwritable(sys.stdout):
            complain(f"standard output cannot be written: {reason(full)}")
            return COULD_NOT_BE_HELD
        where = failed.filename or "a file of the reports, of SWARMLAB_CACHE or of the folder for temporary files"
        complain(f"{where}: {failed.strerror or failed}")
        return COULD_NOT_BE_HELD
    except Exception:
        traceback.print_exc()
        say("this is an error of swarmlab itself")
        return COULD_NOT_BE_HELD


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line, of which the arguments after ``--`` are for a node or for pytest."""
    end = given.index("--") if "--" in given else len(given)
    top = parser()
    completion.complete(top)
    args, rest = top.parse_known_args(given[:end])
    args.parser.refuse_unknown(rest)
    args.given, args.after = given, (after := given[end + 1 :])
    # A single one is a line for the node's shell, as with ssh; several are a program and its arguments.
    args.command = after[0] if len(after) == 1 else shlex.join(after)
    if args.command and args.run not in (shell.run, test.run):
        top.error(f"only shell takes a command after --, and test options of pytest, and not: {args.command}")
    return args


def _flush() -> None:
    if sys.stdout:
        sys.stdout.flush()
