"""The paths of the checkout. No other module knows where it is.

The project is installed from its checkout (`pip install -e .`), because claims, recipes of images and suites are read
from there.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

#: The checkout.
ROOT = Path(__file__).resolve().parent.parent
#: The catalogues of claims.
CLAIMS = ROOT / "claims"
#: Recipes of the images of nodes, workloads and machines.
IMAGES = ROOT / "images"
#: Scripts that install an engine on a bare system.
PROVISION = ROOT / "provision"
#: Reports of runs, unless an option names another folder.
REPORTS = ROOT / "reports"


def suites() -> str:
    """Return the folder of the suites as a command here names it."""
    return "suites/" if Path.cwd() == ROOT else f"{ROOT / 'suites'}/"


def command(program: str, *words: object) -> str:
    """Return a command of this project as it can be pasted into a shell here.

    Args:
        program: ``swarmlab`` or ``pytest``; it is named as this user reaches it.
        words: its arguments; None and empty ones are left out.

    Example:
        command("swarmlab", "shell", "master", "--name", "my-lab")
    """
    beside = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    if beside.exists() and (not found or not beside.samefile(found)):
        here = Path.cwd()
        program = str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)
    return shlex.join([program, *(str(word) for word in words if word not in (None, ""))])
