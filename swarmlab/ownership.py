"""Who owns a lab: the labels that say so, and whether the process that owns it still runs."""

from __future__ import annotations

import os
import socket

from swarmlab.host import process

#: Label on every container, network and volume of a lab; its value is the lab's name.
LABEL = "swarmlab.lab"
#: Label whose value is the owner: `USER`, or a process as `this_process` names it.
OWNER = "swarmlab.owner"
#: The owner of a lab that was brought up by hand. It stays until it is taken down by hand.
USER = "user"


def this_process() -> str:
    """Return the calling process as an owner: its host, its number and its start time."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def alive(owner: str) -> bool | None:
    """Whether an owner still exists; None for a process of another host, of which this host knows nothing."""
    if owner == USER:
        return True
    host, _, pid_and_start = owner.partition("/")
    if host != socket.gethostname():
        return None
    pid, _, started = pid_and_start.partition("/")
    return pid.isdigit() and _started(int(pid)) == started


def _started(pid: int) -> str:
    found = process(pid)
    return found.started if found else ""
