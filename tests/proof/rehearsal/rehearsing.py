"""Rehearses upgrades as a user does, with the command."""

import json
import os
import sys

from swarmlab import children
from swarmlab.paths import ROOT


def rehearse(folder, *options, limit, **environment):
    """Rehearse an upgrade.

    Args:
        folder: folder for the reports.
        options: options of the command.
        limit: seconds that it may take.
        environment: further environment variables.

    Returns:
        The exit status and the decision.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "swarmlab", "rehearse", *options, "--out", str(folder)]
    ran = children.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=limit)
    print(ran.stdout, ran.stderr)
    return ran.returncode, json.loads((folder / "decision.json").read_text())
