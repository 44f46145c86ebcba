"""A plugin that pytest loads before all others: a signal ends the loading in order, without a traceback."""

from __future__ import annotations

import os

from swarmlab import signals

# The standard error of the terminal, which is captured while plugins are loaded. A worker of xdist has nothing to tell.
signals.leave_at_once(2, "pytest", None if os.environ.get("PYTEST_XDIST_WORKER") else os.dup(2))
