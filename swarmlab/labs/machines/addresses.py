"""The networks that a lab of machines may take on this host.

Two networks of one range on a host lead packets astray, and vagrant-libvirt joins any network that has the range asked
for, whoever made it. So a lab takes ranges that nothing else on this host has.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.labs.hosts import NETWORK
from swarmlab.versions import parsed

#: The third octets of the networks by which libvirt's machines reach the outside, in the order in which they are tried.
#: The first is the range of Vagrant's own network, which a user's other machines may have. Swarms take 10.0.0.0/8.
NATS = range(121, 137)
#: What VirtualBox allows on host-only interfaces, unless its settings say otherwise, and since which version.
_ALLOWED, _SINCE = ("192.168.56.0/21",), (6, 1, 28)
VIRTUALBOX_SETTINGS = Path("/etc/vbox/networks.conf")


def free(candidates: Iterable[str], taken: Iterable[IPv4Network]) -> list[str]:
    """Return the *candidates* (as 192.168.56.0/24) that overlap with no network of *taken*."""
    known = list(taken)
    return [each for each in candidates if not any(IPv4Network(each).overlaps(other) for other in known)]


def nats() -> list[str]:
    """Return the ranges for the network by which machines reach the outside (as 192.168.121.0/24)."""
    return [f"192.168.{third}.0/24" for third in NATS]


def virtualbox_version() -> tuple[int, ...]:
    """Return the version of this host's VirtualBox; empty if it tells none."""
    told = subprocess.run(["VBoxManage", "--version"], check=False, capture_output=True, text=True).stdout
    lines = [line for line in told.splitlines() if re.match(r"\d+\.\d+\.\d+", line)]  # after warnings, if any
    return parsed(lines[-1])[:3] if lines else ()


def host_only(candidates: Sequence[str], version: tuple[int, ...], settings: Path = VIRTUALBOX_SETTINGS) -> list[str]:
    """Return the candidates (as 192.168.56.0/24) that VirtualBox allows between this host and its machines.

    Args:
        candidates: the networks in question.
        version: VirtualBox's version; versions before 6.1.28 allow all.
        settings: its file of allowed ranges, which takes the place of the default.

    Raises:
        UsageError: it allows none of them.

    Source: the manual of VirtualBox 7, "Host-Only Networking".
    """
    if version and version < _SINCE:
        return list(candidates)
    allowed = list(_ALLOWED)
    if settings.exists():
        lines = [line.strip() for line in settings.read_text(encoding="utf-8", errors="replace").splitlines()]
        allowed = [entry for line in lines if line.startswith("*") for entry in line[1:].split()]
    ranges = []
    for entry in allowed:
        try:
            ranges.append(ip_network(entry, strict=False))
        except ValueError as wrong:
            raise UsageError(
                f"{settings}: {entry!r} is no range of addresses; write for example 192.168.56.0/21"
            ) from wrong
    known = [each for each in ranges if isinstance(each, IPv4Network)]
    found = [each for each in candidates if any(IPv4Network(each).subnet_of(one) for one in known)]
    if not found:
        wanted = f"{NETWORK}.0/21"
        raise UsageError(
            f"VirtualBox allows host-only networks in {', '.join(allowed) or 'no range'} alone, and none that the lab "
            f"could take is free there; add the line '* {wanted}' to {settings}, or end another lab"
        )
    return found
