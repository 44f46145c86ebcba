"""Where an sshd answers, as users write it: ``[USER@]HOST[:PORT]``, and chains of such places."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

#: How a chain of jump hosts is written, for messages.
FORM = "[USER@]HOST[:PORT], several with commas, an IPv6 address with a port in brackets"


@dataclass(frozen=True)
class Place:
    """Where an sshd answers, as it was written.

    Attributes:
        host: name, alias of ssh's, or address without brackets.
        user: the user; empty if none was written.
        port: the port; 0 if none was written.
    """

    host: str
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        """Return the place as users write it."""
        user = f"{self.user}@" if self.user else ""
        return user + (joined(self.host, self.port) if self.port else self.host)


def place(text: str) -> Place | None:
    """Return the place that a text names; None if it names none.

    Example:
        place("ops@[fd00::1]:2222") == Place("fd00::1", "ops", 2222)
    """
    rest = text.removesuffix("/") if text.startswith("ssh://") else text
    user, at, rest = rest.removeprefix("ssh://").rpartition("@")
    if rest.startswith("["):
        host, closed, port = rest[1:].partition("]")
        if not closed or not is_ipv6(host):
            return None
    elif is_ipv6(rest):
        host, port = rest, ""
    else:
        host, colon, port = rest.partition(":")
        port = colon + port
    if not re.fullmatch(r"(?![-])[^\s@/\[\]'\"\\]+", host) or not re.fullmatch(r"(:\d{1,5})?", port):
        return None
    number = int(port[1:] or 0)
    if (port and not 1 <= number <= 65535) or (at and not re.fullmatch(r"(?!-)[^\s'\"\\/:]+", user)):
        return None
    return Place(host, user, number)


def chain(text: str) -> list[Place] | None:
    """Return the jump hosts that a text names, the nearest first; None if it is no such list, and none for ``none``."""
    if text.lower() == "none":
        return []
    places = [place(part) for part in text.split(",")]
    return [found for found in places if found] if all(places) else None


def is_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address; it may have a zone, as in ``fe80::1%eth0``."""
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def is_reachable(address: str) -> bool:
    """Whether an address can be one at which others reach a node: not 0.0.0.0, not loopback, not empty.

    A manager that was given no address to advertise may have 0.0.0.0 or 127.0.0.1 in the swarm's list of nodes.
    """
    try:
        known = ipaddress.ip_address(bare(address))
    except ValueError:
        return bool(address)  # a name
    return not (known.is_unspecified or known.is_loopback)


def bare(address: str) -> str:
    """Return an address without the brackets around an IPv6 address."""
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def joined(address: str, port: int) -> str:
    """Return ``ADDRESS:PORT``, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
