# PYTHON_ARGCOMPLETE_OK
"""Runs the command ``swarmlab``, also as ``python -m swarmlab``."""

import sys

from swarmlab import signals


def run() -> int:
    """Load the program and run one command; return its exit status. A signal ends the loading without a traceback."""
    signals.leave_at_once()
    from swarmlab.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
