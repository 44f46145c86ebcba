"""Network namespaces: moves this process to the namespace from which it sends its packets.

A thread has a namespace, and the threads and processes that it starts later inherit it. So a run enters a namespace
once, from its main thread, before it starts any other.

Source: setns(2), network_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

#: Name of the namespace of private engines and hypervisors.
NETNS = "swarmlab"

_CLONE_NEWNET = 0x40000000
_origin: int | None = None


def interface_exists(name: str) -> bool:
    """Whether the calling thread's namespace has a network interface of this name."""
    devices = Path("/proc/thread-self/net/dev").read_text(encoding="ascii")
    return any(line.strip().startswith(f"{name}:") for line in devices.splitlines())


def enter(path: str | Path) -> None:
    """Move the calling thread into a network namespace.

    Args:
        path: the namespace's file, below /run/netns or /proc/PID/ns/net.

    Raises:
        OSError: the file cannot be opened, or the process lacks the right (CAP_SYS_ADMIN).
    """
    global _origin
    if _origin is None:
        _origin = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with Path(path).open("rb") as target:
        _move(target.fileno(), path)


def _move(target: int, path: str | Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(target, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def may_enter(path: str | Path, interface: str) -> bool:
    """Whether this process may move into a network namespace, and that has an interface of this name.

    A thread of its own tries it, which ends there; this process stays where it is.

    Args:
        path: see `enter`.
        interface: the interface.
    """
    found = []

    def look() -> None:
        try:
            with Path(path).open("rb") as target:
                _move(target.fileno(), path)
            found.append(interface_exists(interface))
        except OSError:
            found.append(False)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def outside() -> list[str]:
    """Return the prefix that runs a command in the namespace where this process started, for downloads."""
    return [] if _origin is None else ["nsenter", f"--net=/proc/{os.getpid()}/fd/{_origin}"]
