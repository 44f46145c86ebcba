"""Does the work of a command in a container of the engine, where this process cannot reach that engine's networks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from swarmlab.labs import tunnel
from swarmlab.labs.outer import Apart
from swarmlab.paths import ROOT

#: The module that does the work (see `swarmlab.cli.courier`).
_MODULE = "swarmlab.cli.courier"


def go(apart: Apart, program: str, words: Sequence[str]) -> NoReturn:
    """Put a new process in the place of this one that has the command done in a container of the engine.

    Args:
        apart: the engine, and why its networks are out of reach.
        program: the module of the command, ``pytest`` or ``swarmlab``.
        words: its words.
    """
    apart.engine.release()
    tunnel.close_all()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # This checkout's modules, wherever the command was given.
    start = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_module({_MODULE!r}, run_name='__main__')"
    os.execv(sys.executable, [sys.executable, "-c", start, program, *words])
