"""``swarmlab compare``: what got worse from one run to another."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from swarmlab.verdicts import compare, history, results


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "old",
        metavar="OLD",
        help="folder of the earlier run, its verdicts, or a folder of reports, of which the latest run is taken",
    )
    parser.add_argument("new", metavar="NEW", help="the same of the later run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request or a chat")
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.epilog = "Exit status: 0 if nothing got worse, 1 if something did, 2 for wrong options."


def run(args: argparse.Namespace) -> int:
    """Print what got worse from one run to another."""
    old, new = results.load(Path(args.old)), results.load(Path(args.new))
    found = compare.compare(old, new, history.up_to(new.folder, old.folder))
    if args.json:
        made = {**found.to_json(), "old": old.to_json(), "new": new.to_json()}
        print(json.dumps(made, indent=1, ensure_ascii=False))
    else:
        print("\n".join(compare.lines(old, new, found, markdown=args.markdown)))
    return int(found.regressed)
