"""Shared by the verbs: progress messages, and the option that names a lab."""

from __future__ import annotations

import argparse
import sys

from swarmlab.labs.registry import DEFAULT


def say(line: str) -> None:
    """Print progress on standard error. Results go to standard output."""
    print(f"swarmlab: {line}", file=sys.stderr, flush=True)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a lab."""
    parser.add_argument(
        "--name", default=DEFAULT.default_name, help=f"name of the lab (default: {DEFAULT.default_name})"
    )
