"""``swarmlab report``: one page of runs, as HTML or as Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from swarmlab import outputs, report
from swarmlab.cli.common import RUN, output_file
from swarmlab.errors import UsageError
from swarmlab.paths import REPORTS
from swarmlab.report import pull_request
from swarmlab.verdicts import results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{RUN} (default: the checkout's reports/)")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="default: report.html beside the verdicts of the run, of several in the checkout's reports/; Markdown is "
        "printed",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="make a short page for a pull request: counts, what needs attention"
    )
    parser.add_argument(
        "--baseline", metavar="RUN", help="with --markdown: an earlier run; the page says what got worse since"
    )


def run(args: argparse.Namespace) -> int:
    """Make one HTML file of the verdicts and the evidence of one or more runs, or a short page of Markdown.

    Raises:
        UsageError: --baseline is given without --markdown, --out is a folder, or a path names no run.
        LabError: the page cannot be written.
    """
    if args.baseline and not args.markdown:
        raise UsageError("--baseline: is on the page of --markdown; give that too, or use: swarmlab compare OLD NEW")
    out = output_file("--out", args.out) if args.out else None
    runs = [results.load(Path(path)) for path in args.runs or [REPORTS]]
    if args.markdown:
        text = pull_request.render(runs, results.load(Path(args.baseline)) if args.baseline else None)
        if out is None:
            print(text, end="")
            return 0
        outputs.write(out, text)
    else:
        out = out or (runs[0].folder if len(runs) == 1 else REPORTS) / "report.html"
        report.write(runs, out)
    print(out)
    return 0
