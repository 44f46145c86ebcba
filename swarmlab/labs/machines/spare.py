"""The machine beside the cluster of a lab of machines, on which rehearsals try the ways back.

The document has three machines, and so has every lab. A rehearsal asks for a fourth, which is made where the host has
memory for it. It is off until somebody asks for it, and again afterwards, as it would take processors from the others.
"""

from __future__ import annotations

from swarmlab.host import MIB, free_memory
from swarmlab.labs.machines.places import ALL
from swarmlab.needs import FEATURES

#: MiB of memory of each machine: room for an engine, its tasks and a database.
MEMORY = 1536
#: The folders that a machine keeps when it is given the older engine again: state and settings of the engine.
KEPT = ("etc/docker", "var/lib/docker", "var/lib/containerd")
#: Empties the folders of an engine's state, as far as they exist. The engine must not run.
WIPE = "for F in /var/lib/docker /var/lib/containerd; do [ ! -d $F ] || find $F -mindepth 1 -delete || exit 1; done"


def lacking() -> str:
    """Return why this host cannot hold a machine beside the cluster; empty if it can, or does not tell its memory."""
    free, needed = free_memory(), len(ALL) * MEMORY * MIB
    if free is None or free >= needed:
        return ""
    missing = -((free - needed) // MIB)
    return (
        f"{FEATURES['spare']}: {len(ALL)} machines take {needed // MIB} MiB of memory, {missing} MiB more than are free"
    )
