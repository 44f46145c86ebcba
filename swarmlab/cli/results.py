"""``swarmlab results``: Markdown pages of runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from swarmlab import outputs
from swarmlab.cli.common import RUN, output_file
from swarmlab.errors import UsageError
from swarmlab.files import named
from swarmlab.paths import REPORTS
from swarmlab.report import bench, results_page
from swarmlab.verdicts import results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{RUN} (default: the checkout's reports/)")
    parser.add_argument(
        "--kills", metavar="FILE", help="add the table of killed runs that make proof-interruptions wrote"
    )
    parser.add_argument("--times", action="store_true", help="write what the runs took in place of their verdicts")
    parser.add_argument(
        "--bench", metavar="FILE", help="with --times: add the benchmark that make bench wrote (bench.json)"
    )
    parser.add_argument(
        "--picture", metavar="FILE", help="write the picture of the benchmark there, and show it on the page"
    )
    parser.add_argument("--out", metavar="FILE", help="file to write (default: standard output)")


def run(args: argparse.Namespace) -> int:
    """Write a Markdown page of runs: verdicts, what was blocked and why; or what took long.

    Raises:
        UsageError: options exclude each other, a file is a folder, or a path names no run.
        LabError: the page cannot be written.
    """
    if args.times and args.kills:
        raise UsageError("--kills: has no place on the page of --times; leave one of them out")
    if args.bench and not args.times:
        raise UsageError("--bench: is on the page of times; give --times too")
    if args.picture and not args.bench:
        raise UsageError("--picture: is the picture of a benchmark; give --bench too")
    out = output_file("--out", args.out) if args.out else None
    drawn = output_file("--picture", args.picture) if args.picture else None
    page = out.absolute().parent if out else Path.cwd()
    measured = bench.load(named(args.bench, "--bench")) if args.bench else None
    picture = os.path.relpath(drawn.absolute(), page) if drawn else ""
    killed = named(args.kills, "--kills") if args.kills else None
    runs = (results.load(Path(path)) for path in args.runs or [REPORTS])
    times = args.times
    text = results_page.render_times(runs, measured, picture) if times else results_page.render(runs, killed)
    if measured and drawn:
        outputs.write(drawn, bench.picture(measured))
    if out is None:
        print(text, end="")
        return 0
    outputs.write(out, text)
    print(out)
    return 0
