"""The kernel's table of neighbours, which the nodes of a container lab share with all else on this machine.

The kernel counts the neighbours (ARP) of all network namespaces together. Where every container asks every other, their
number grows with the square of the nodes. With the usual limit of 1024, connections between the containers of some
twenty nodes time out now and then: the kernel has no entry for the address and drops the packet.

Source: arp(7), gc_thresh3; Linux, net/core/neighbour.c, neigh_alloc.
"""

from __future__ import annotations

import subprocess

from swarmlab import netns
from swarmlab.errors import UsageError
from swarmlab.host import Progress, as_root

#: The limits that only the machine's own namespace shows: when the kernel begins to make room, and the most entries.
SOFT, HARD = (f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}" for number in (2, 3))
#: Entries for each pair of nodes: of two containers and of the nodes themselves, in both directions, and as many again
#: of what was there before.
_PAIR = 8


def make_room(nodes: int, progress: Progress) -> None:
    """Raise the limits of this machine's table of neighbours, if they are too low for so many nodes.

    They stay as they are then until the machine starts anew, as do modules that engines load. In a container nothing is
    done, as the limits are not seen there.

    Raises:
        UsageError: they are too low, and this process may not raise them.
    """
    needed = _PAIR * nodes**2
    told = _outside("cat", HARD)
    held = int(told.stdout) if told.returncode == 0 else needed
    if held >= needed:
        return
    root = as_root()
    raised = root is not None and _outside(*root, "sh", "-c", f"echo {needed // 2} >{SOFT} && echo {needed} >{HARD}")
    if not raised or raised.returncode:
        settings = f"net.ipv4.neigh.default.gc_thresh2={needed // 2} net.ipv4.neigh.default.gc_thresh3={needed}"
        raise UsageError(
            f"this machine has room for {held} neighbours (ARP), and a lab of {nodes} nodes needs {needed}: as root, "
            f"sysctl -w {settings}"
        )
    progress(f"this machine has room for {needed} neighbours (ARP) from now on, as {nodes} nodes need; it was {held}")


def _outside(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespace in which this process started."""
    return subprocess.run([*netns.outside(), *command], capture_output=True, text=True, check=False)
