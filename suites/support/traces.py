"""Traces of a secret on a node: files that hold it, on disk or in memory, and the memory of the engine."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service
from swarmlab.errors import LabError

#: File systems that have no disk.
IN_MEMORY = ("tmpfs", "ramfs")
#: Folders of an engine's state in which a config or secret could come to lie; images and volumes are none of them.
_PARTS = ("containers", "swarm", "tmp", "plugins", "runtimes")
#: Files of this size or more are not looked into. Those of the log of the managers are 64 MiB each.
_LARGEST = "256M"
#: Prints how often a text is in the memory of the engine's process, which may read and write it.
_MEMORY = """for engine in $(pidof dockerd); do
while IFS=' -' read -r first last mode rest; do
case $mode in rw) dd if=/proc/$engine/mem bs=65536 iflag=skip_bytes,count_bytes skip=$((0x$first)) \
count=$((0x$last - 0x$first)) 2>/dev/null;; esac
done < /proc/$engine/maps; done | grep -azcF -e {}"""


def _found(node: Node, text: str, folders: Iterable[str], options: str) -> list[str]:
    places = " ".join(shlex.quote(folder) for folder in folders)
    look = f"-type f -size -{_LARGEST} -exec grep -lsF -e {shlex.quote(text)} {{}} +"
    done = node.run(f"for place in {places}; do [ ! -e $place ] || find $place {options} {look}; done; echo looked")
    *files, end = done.out.splitlines() or [""]
    if end != "looked":
        raise LabError(f"{node} could not be searched: {done.output}")
    return sorted(files)


def files(node: Node, text: str) -> list[str]:
    """Return the files of the engine's state on *node* that hold *text*, also those that are in memory only."""
    root = node.data_root()
    return _found(node, text, ["/run/docker", *(f"{root}/{part}" for part in _PARTS)], "")


def on_disk(node: Node, text: str, service: Service | None = None) -> list[str]:
    """Return the files on *node*'s disk that hold *text*: in the engine's state and in containers of *service*."""
    root = node.data_root()
    folders = [f"{root}/{part}" for part in _PARTS]
    for container in service.containers(node, all=True) if service else []:
        described = node.ask("GET", f"/containers/{container['Id']}/json")
        own = ((described.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir", "")
        # An engine whose images are containerd's does not say where the container's own files are.
        if not own and (process := described["State"]["Pid"]):
            own = f"/proc/{process}/root/"
        folders += filter(None, [own])
    # Inside a container, secrets are mounted over single files of its root.
    return [file for file in _found(node, text, folders, "-xdev") if not _of_memory(node, file)]


def _of_memory(node: Node, file: str) -> bool:
    return node.run(f"stat -f -c %T {shlex.quote(file)}").out.strip() in IN_MEMORY


def in_memory(node: Node, text: str) -> bool:
    """Whether the engine's process on *node* has *text* in its memory."""
    count = node.run(_MEMORY.format(shlex.quote(text))).out.strip()
    return bool(count) and int(count) > 0
