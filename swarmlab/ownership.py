"""Whose a thing is: the labels that say so, and whether the process that made it still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

#: Label on every container, network and volume of a lab; its value is the lab's name.
LABEL = "swarmlab.lab"
#: Label: who made it, `USER` or a process as `this_process` writes it.
OWNER = "swarmlab.owner"
#: The owner of a lab that was brought up by hand; it stays until it is taken down by hand.
USER = "user"


def this_process() -> str:
    """The owner's mark of a lab that belongs to the calling process: host, process and its start time."""
    return f"{socket.gethostname()}/{os.getpid()}/{_start_time(os.getpid())}"


def alive(owner: str) -> bool | None:
    if owner == USER:
        return True
    host, _, process = owner.partition("/")
    if host != socket.gethostname():
        return None
    pid, _, started = process.partition("/")
    return pid.isdigit() and _start_time(int(pid)) == started


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
