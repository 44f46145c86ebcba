"""A plugin that pytest loads before all others: signals end the loading in order, and a file may hold options.

A signal ends the loading without a traceback. The options of a file (see `swarmlab.configuration`) are put before the
arguments of the command line, so that these override them.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from swarmlab import configuration, signals
from swarmlab.errors import UsageError
from swarmlab.host import complete_path

# What a test starts has the variable of its worker, too. A worker itself runs a text that it is sent (python -c).
_WORKER = "PYTEST_XDIST_WORKER" in os.environ and sys.argv[0] == "-c"

# The standard error of the terminal, which is captured while plugins are loaded. A worker of xdist has nothing to tell.
signals.leave_at_once(2, "pytest", None if _WORKER else os.dup(2))

complete_path()


def pytest_load_initial_conftests(early_config: Any, args: list[str]) -> None:
    """Put the options of a file before those of the command line. Workers of xdist get all from the main process.

    `fixtures.config_file` tells what was taken, or refuses the file: this is no place for either.
    """
    if _WORKER:
        return
    try:
        taken = configuration.take(args, early_config.invocation_params.dir, _kinds)
    except UsageError as wrong:
        early_config.option.config_refused = str(wrong)
        return
    if taken:
        args[:0] = taken.words
        early_config.option.config_taken = taken.to_json()


def _kinds() -> dict[str, str]:
    from swarmlab.labs import registry  # which takes a moment, and is needed only where there is a file

    return registry.kind_by_option()
