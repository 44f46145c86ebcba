"""``swarmlab results``: a Markdown page of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from swarmlab import outputs
from swarmlab.cli.common import RUN
from swarmlab.paths import REPORTS
from swarmlab.report import results_page
from swarmlab.verdicts import results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{RUN} (default: the checkout's reports/)")
    parser.add_argument(
        "--kills", metavar="FILE", type=Path, help="add the table of killed runs that make proof-interruptions wrote"
    )
    parser.add_argument("--out", metavar="FILE", help="file to write (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Write a Markdown page of runs: verdicts, what was blocked and why, what took long."""
    text = results_page.render((results.load(Path(path)) for path in args.runs or [REPORTS]), args.kills)
    if args.out is None:
        print(text, end="")
        return 0
    outputs.write(Path(args.out), text)
    print(args.out)
    return 0
