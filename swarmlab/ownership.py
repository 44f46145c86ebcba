"""Who owns a lab: the labels that say so, whether the process that owns it still runs, and what it made of its labs."""

from __future__ import annotations

import os
import signal
import socket

from swarmlab import signals
from swarmlab.host import process
from swarmlab.paths import command

#: Label on every container, network and volume of a lab; its value is the lab's name.
LABEL = "swarmlab.lab"
#: Label whose value is the owner: `USER`, or a process as `this_process` names it.
OWNER = "swarmlab.owner"
#: Label whose value is the login name of who made the lab: others do not take it down without being asked.
PERSON = "swarmlab.person"
#: The owner of a lab that was brought up by hand. It stays until it is taken down by hand.
USER = "user"

#: What became of each thing that this process made, such as a lab, in the order in which they were made.
_fates: dict[str, str] = {}


def note(thing: str, fate: str) -> None:
    """Note what becomes of a thing that this process makes or removes, should the process end now.

    Args:
        thing: such as "lab run-12".
        fate: such as "was taken down"; empty to forget the thing.
    """
    _fates.pop(thing, None)
    if fate:
        _fates[thing] = fate


def note_left(name: str) -> None:
    """Note that parts of a lab exist which no user keeps."""
    note(f"lab {name}", f"is left; the next run or `{command('swarmlab', 'down', '--name', name)}` removes it")


def note_gone(name: str) -> None:
    """Note that nothing of a lab is left."""
    note(f"lab {name}", "was taken down")


def forget(name: str) -> None:
    """Forget a lab, which was another process's."""
    note(f"lab {name}", "")


def note_kept(name: str) -> None:
    """Note that a lab is up and its user's."""
    note(f"lab {name}", f"is up and stays; take it down with `{command('swarmlab', 'down', '--name', name)}`")


def fates() -> str:
    """Return what became of all things that were noted, for the last line of a process that is interrupted."""
    return "; ".join(f"{thing} {fate}" for thing, fate in _fates.items()) or "it had made no lab"


def last_line() -> str:
    """Return the last line of a process that is interrupted: by which signal, and what became of all things."""
    number = signals.received()
    return f"interrupted by {signal.Signals(number).name if number else 'a signal'}; {fates()}"


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
