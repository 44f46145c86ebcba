"""``swarmlab test``: run the suites from any folder, with the options of a cluster's file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from swarmlab import configuration
from swarmlab.files import exists, named
from swarmlab.joined import joined
from swarmlab.paths import ROOT

#: The settings and the tests of the suites.
SETTINGS, SUITES = ROOT / "pyproject.toml", ROOT / "suites"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        configuration.OPTION,
        metavar="FILE",
        help=f"file of the options of the cluster (default: {configuration.FILE} here, else "
        f"[{configuration.TABLE}] of {configuration.PROJECT} here)",
    )
    parser.epilog = (
        "Arguments after -- are options and tests for pytest, which override the file. Without a file the suites run "
        "on a lab of containers. Exit status: as of pytest suites/."
    )


def run(args: argparse.Namespace) -> int:
    """Run the suites as `pytest suites/` does, with the options of the cluster's file."""
    command = pytest_command(args.after, args.config or "")
    os.execv(command[0], command)


def pytest_command(arguments: list[str], config: str) -> list[str]:
    """Return the command that runs the suites.

    Args:
        arguments: options and tests for pytest; all suites if no test is named.
        config: the file of options; empty for the one that is found.

    Raises:
        UsageError: the file of options is wrong.
    """
    given = joined(arguments)
    if config:
        configuration.read(config)  # so that what is wrong ends with the status of this command
        given.insert(0, f"{configuration.OPTION}={named(config).absolute()}")
    chosen = any(not word.startswith("-") and exists(Path(word.partition("::")[0])) for word in given)
    settings = [f"--rootdir={ROOT}", "-c", str(SETTINGS)]
    return [sys.executable, "-m", "pytest", *settings, *([] if chosen else [str(SUITES)]), *given]
