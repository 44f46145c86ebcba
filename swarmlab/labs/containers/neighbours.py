"""The kernel's table of neighbours, which the nodes of a container lab share with all else on this machine.

The kernel counts the neighbours (ARP) of all network namespaces together. Where every container asks every other, their
number grows with the square of the nodes. With the usual limit of 1024, connections between the containers of some
twenty nodes time out now and then: the kernel has no entry for the address and drops the packet.

Source: arp(7), gc_thresh3; Linux, net/core/neighbour.c, neigh_alloc.
"""

from __future__ import annotations

import json
import subprocess

from swarmlab import netns
from swarmlab.errors import UsageError
from swarmlab.host import Progress, as_root, drop_folder, in_folder, run_folder
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.standing import labs

#: The limits that only the machine's own namespace shows: when the kernel begins to make room, and the most entries.
SOFT, HARD = (f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}" for number in (2, 3))
#: Entries for each pair of nodes: of two containers and of the nodes themselves, in both directions, and as many again
#: of what was there before.
_PAIR = 8
#: The file in the run folder that says what the limits were.
_NOTE = "neighbours.json"


def make_room(nodes: int, progress: Progress) -> None:
    """Raise the limits of this machine's table of neighbours, if they are too low for so many nodes.

    `put_back` lowers them again. In a container nothing is done, as the limits are not seen there.

    Raises:
        UsageError: they are too low, and this process may not raise them.
    """
    needed = _PAIR * nodes**2
    told = _outside("cat", HARD)
    held = int(told.stdout) if told.returncode == 0 else needed
    if held >= needed:
        return
    soft = _outside("cat", SOFT).stdout.strip()
    if not _set(needed // 2, needed):
        settings = f"net.ipv4.neigh.default.gc_thresh2={needed // 2} net.ipv4.neigh.default.gc_thresh3={needed}"
        raise UsageError(
            f"this machine has room for {held} neighbours (ARP), and a lab of {nodes} nodes needs {needed}: as root, "
            f"sysctl -w {settings}"
        )
    progress(f"this machine has room for {needed} neighbours (ARP) from now on, as {nodes} nodes need; it was {held}")
    first = _noted() or {"before": [int(soft), held]}
    note = json.dumps(first | {"since": [needed // 2, needed]})
    in_folder(run_folder(), lambda: (run_folder() / _NOTE).write_text(note))


def put_back(outer: OuterEngine) -> None:
    """Set the limits as they were before the first lab, once no lab is left; not if another has set them meanwhile.

    A user who cannot set them leaves the note, and the next one who can goes by it.

    Args:
        outer: the engine that labs are on.
    """
    if not (noted := _noted()) or labs(outer):
        return
    now = [_outside("cat", limit).stdout.strip() for limit in (SOFT, HARD)]
    if now != [str(limit) for limit in noted["since"]] or _set(*noted["before"]):
        (run_folder() / _NOTE).unlink(missing_ok=True)
        drop_folder(run_folder())


def _noted() -> dict[str, list[int]]:
    """Return the limits before the first lab and since the last one; empty if none has raised them."""
    try:
        found: dict[str, list[int]] = json.loads((run_folder() / _NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return found


def _set(soft: int, hard: int) -> bool:
    """Set the limits, and return whether this process may."""
    root = as_root()
    script = f"echo {soft} >{SOFT} && echo {hard} >{HARD}"
    return root is not None and _outside(*root, "sh", "-c", script).returncode == 0


def _outside(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the namespace in which this process started."""
    return subprocess.run([*netns.outside(), *command], capture_output=True, text=True, check=False)
