"""Shared by the verbs: progress messages, and the option that names a lab."""

from __future__ import annotations

import argparse
import contextlib
import sys

from swarmlab.labs.registry import DEFAULT

#: What names a run on the command line.
RUN = "folder of a run, its verdicts, or a folder of reports, of which the latest run is taken"


def say(line: str) -> None:
    """Print progress on standard error. Results go to standard output."""
    with contextlib.suppress(OSError):  # the terminal is gone; the command's work is not
        print(f"swarmlab: {line}", file=sys.stderr, flush=True)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a lab."""
    parser.add_argument(
        "--name", default=DEFAULT.default_name, help=f"name of the lab (default: {DEFAULT.default_name})"
    )
