"""Runs commands of Ansible's, which read an inventory and reach no host."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from swarmlab.errors import UsageError

#: Seconds that a command of Ansible's may take, and most bytes of memory: an inventory may be made by a program.
_PATIENCE, _MOST_MEMORY = 120.0, 4 * 2**30


def run(command: Sequence[str], name: str, folder: Path, *, more: float = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of Ansible's and return what it printed.

    Args:
        command: the program and its arguments.
        name: the inventory's name, for messages.
        folder: the folder in which it runs.
        more: seconds that it may take beyond the usual ones.

    Raises:
        UsageError: it takes too long.
    """
    environment = {
        **os.environ,
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_DISPLAY_FAILED_STDERR": "0",
        "ANSIBLE_NO_LOG": "0",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_LOG_PATH": "/dev/null",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
    }
    environment.setdefault("ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED", "1")
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        cwd=folder,
        start_new_session=True,  # it has no terminal to ask for a password on
    )
    with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(process.pid, resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    patience = _PATIENCE + more
    try:
        printed = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{name}: {Path(command[0]).name} takes over {patience:.0f} s to read it; see what it waits for"
        ) from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, *printed)
