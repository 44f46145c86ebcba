"""``swarmlab report``: one HTML file of runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from swarmlab import report
from swarmlab.cli.common import RUN
from swarmlab.paths import REPORTS
from swarmlab.verdicts import results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{RUN} (default: the checkout's reports/)")
    parser.add_argument("--out", metavar="FILE", help="default: report.html beside the verdicts of the run")


def run(args: argparse.Namespace) -> int:
    """Make one HTML file of the verdicts and the evidence of one or more runs."""
    runs = [results.load(Path(path)) for path in args.runs or [REPORTS]]
    out = Path(args.out) if args.out else (runs[0].folder if len(runs) == 1 else REPORTS) / "report.html"
    report.write(runs, out)
    print(out)
    return 0
