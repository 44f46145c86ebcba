"""Logins at machines of a swarm that exists, no more at the same time than sshd of a jump host takes.

Source: sshd_config(5), MaxStartups: from ten connections on that have not logged in yet, it drops some of the further.
"""

from __future__ import annotations

import contextlib
import threading

from swarmlab.errors import LabError
from swarmlab.labs.existing.reasons import is_dropped
from swarmlab.labs.ssh import Ssh
from swarmlab.wait import State, wait

#: The most logins at the same time that begin at one jump host, of those to machines and of those to their engines.
_AT_ONCE = 4
#: How often a login is tried that sshd drops, as others than this process may log in there; and the seconds between
#: two tries at most: the first pause is a tenth, and each further one twice the one before (see `wait`).
_TRIES, _PAUSE = 3, 20.0
#: Seconds at reference speed that all tries may take, as each ends by itself.
_MOST = 300.0
_turns: dict[str, threading.BoundedSemaphore] = {}


def turn(through: str, what: str = "") -> contextlib.AbstractContextManager[object]:
    """Return a context that waits until a further login may begin.

    Args:
        through: what the way to the machine begins with (see `Route.through`); empty if nothing is between.
        what: a name for logins that are counted apart.
    """
    if not through:
        return contextlib.nullcontext()
    return _turns.setdefault(f"{what} {through}", threading.BoundedSemaphore(_AT_ONCE))


def log_in(ssh: Ssh, name: str) -> str:
    """Open a connection; try again if sshd drops it.

    Args:
        ssh: the connection.
        name: the machine, for messages.

    Returns:
        An empty text, or ssh's message if the connection cannot be opened.
    """
    messages: list[str] = []

    def tried() -> State:
        messages.append(ssh.open())
        return State(not is_dropped(messages[-1]) or len(messages) == _TRIES, messages[-1])

    wait(tried, f"sshd to take a login at {name}", deadline=_MOST, every=_PAUSE, error=LabError)
    return messages[-1]
