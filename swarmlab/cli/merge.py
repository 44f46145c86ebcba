"""``swarmlab merge``: one run of the parts of a run that was split over machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from swarmlab.cli.common import output_file
from swarmlab.files import named
from swarmlab.paths import REPORTS
from swarmlab.report import metrics
from swarmlab.report.overall import overall
from swarmlab.verdicts import folders, merge, results

#: The exit status where a part did not end, as of a run that could not be held.
_UNFINISHED = 3


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "parts",
        nargs="+",
        metavar="DIR",
        help="folder of a part: of a run with --shard, or a folder of reports, of which the latest run is taken",
    )
    parser.add_argument(
        "--reports",
        metavar="DIR",
        help="folder of reports; the run gets a folder of its own below runs/ there (default: the checkout's reports/)",
    )
    parser.add_argument("--keep-runs", **folders.KEEP_RUNS)
    parser.add_argument("--metrics", metavar="FILE", help=f"write the run's {metrics.FILE} there too")
    parser.epilog = (
        "Exit status: 0 if nothing that was judged is bad, 1 if something is, 2 if these are not the parts of one run, "
        "3 if a part did not end."
    )


def run(args: argparse.Namespace) -> int:
    """Make one run of the parts of a run that was split with --shard."""
    elsewhere = [output_file("--metrics", args.metrics)] if args.metrics else []
    parts = merge.read([Path(path) for path in args.parts])
    folder = merge.write(parts, named(args.reports, "--reports") if args.reports else REPORTS)
    merged = results.load(folder)
    metrics.write(metrics.of_run(merged), folder / metrics.FILE, *elsewhere)
    digest = folders.ended(folder, keep=args.keep_runs)
    whole = overall(merged)
    print(f"{whole.word}. {whole.summary}")
    for claim in merged.claims.values():
        if claim.verdict.bad:
            print(f"{claim.verdict}: {claim.id} ({claim.level}): {claim.explained} [{'; '.join(claim.places)}]")
    for refusal in merged.raw.get("certification", []):
        print(f"not certified: {refusal}")
    for line in merged.raw.get("certification_waived", []):
        print(f"accepted by a waiver, and not certified: {line}")
    if digest:
        print(f"digest of the run's files: sha256 {digest}")
    print(folder)
    if merged.unfinished:
        return _UNFINISHED
    return int(any(claim.verdict.bad for claim in merged.claims.values()) or bool(merged.raw.get("certification")))
