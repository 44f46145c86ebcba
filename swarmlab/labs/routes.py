"""The routes beside which a lab's network has to be: those of the network namespace of the outer engine's bridges.

Source: proc_pid_net(5), /proc/PID/net/route; linux/route.h, RTF_UP.
"""

from __future__ import annotations

import ipaddress
import struct
from ipaddress import IPv4Network
from pathlib import Path

#: Each network with the interface that leads there.
Routes = dict[IPv4Network, str]


def routes(process: int | None = None) -> Routes:
    """Return the routes of the main table, without the default route.

    Args:
        process: the number of a process in the network namespace that is meant; None for this thread's.

    Raises:
        OSError: this user may not read them.
    """
    place = Path(f"/proc/{process}/net/route" if process else "/proc/thread-self/net/route")
    return parse(place.read_text(encoding="ascii"))


def parse(table: str) -> Routes:
    """Return the routes in the kernel's table, whose numbers are in the byte order of the machine."""
    found: Routes = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        number, mask = (ipaddress.IPv4Address(struct.pack("=I", int(fields[at], 16))) for at in (1, 7))
        network = IPv4Network(f"{number}/{mask}", strict=False)
        if network.prefixlen:
            # A network that is refused ("unreachable") has no interface.
            found.setdefault(network, "" if fields[0] == "*" else fields[0])
    return found


def narrower(network: IPv4Network, known: Routes) -> Routes:
    """Return the routes to *network* itself or to a part of it: they compete with the route to a lab there."""
    return {each: device for each, device in known.items() if each.subnet_of(network)}


def wider(network: IPv4Network, known: Routes) -> Routes:
    """Return the routes to larger networks that contain *network*; a lab there hides that part of them."""
    return {each: device for each, device in known.items() if each != network and each.supernet_of(network)}
