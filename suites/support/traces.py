"""Traces of a secret on a node: files that hold it, on disk or in memory, and the memory of the engine."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from swarmlab.cluster.marks import PREFIX, ours
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service
from swarmlab.cluster.swarm import Swarm
from swarmlab.cluster.workbench import Workbench
from swarmlab.errors import LabError
from swarmlab.parallel import parallel

#: File systems that have no disk.
IN_MEMORY = ("tmpfs", "ramfs")
#: Folders of an engine's state in which a config or secret could come to lie; images and volumes are none of them.
_PARTS = ("containers", "swarm", "tmp", "plugins", "runtimes")
#: Files of this many blocks of 512 bytes or more (256 MiB) are not looked into. Those of the log of the managers are
#: 64 MiB each. Not every find knows a larger unit.
_LARGEST = 2**19
#: Seconds by which a stamp is older than its making, as some file systems keep whole seconds.
_EARLIER = 2
#: Prints the files that hold a text, and then the one in which it was put to be found. An engine empties its folder tmp
#: when it starts; one that has another folder for that has none.
_SEARCH = """(cd {root}/tmp 2>/dev/null || cd {root}/swarm || exit
control=$(mktemp "$PWD/{prefix}trace.XXXXXX") || exit
trap 'rm -f "$control"' EXIT
trap exit HUP INT TERM
printf %s {text} > "$control"
for place in {places}; do
[ ! -e "$place" ] || find -H "$place" {options} -type f -size -{largest} -newer {stamp} {logs} \\
-exec grep -lsF -e {text} {{}} +
done
echo "looked $control")"""
#: Prints how often a text is in the memory of the engine's process, which may read and write it.
_MEMORY = """for engine in $(pidof dockerd); do
while IFS=' -' read -r first last mode rest; do
case $mode in rw) dd if=/proc/$engine/mem bs=65536 iflag=skip_bytes,count_bytes skip=$((0x$first)) \
count=$((0x$last - 0x$first)) 2>/dev/null;; esac
done < /proc/$engine/maps; done | grep -azcF -e {}"""


class Traces:
    """Looks on the nodes of a swarm for secrets that were made after it, in files that were written since then.

    What containers of others have logged is not looked into.
    """

    def __init__(self, cluster: Swarm) -> None:
        """Leave a stamp on every node of *cluster*, until `end`."""
        self._benches = {node.name: cluster.bench(node) for node in cluster.nodes}
        self._stamps = dict(zip(self._benches, parallel(_stamp, self._benches.values()), strict=True))

    def end(self) -> None:
        """Remove the stamps."""
        parallel(Workbench.clear, self._benches.values())

    def files(self, node: Node, text: str) -> list[str]:
        """Return the files of the engine's state on *node* that hold *text*, also those that are in memory only.

        Raises:
            LabError: the node cannot be searched.
        """
        root = node.data_root()
        return self._found(node, text, ["/run/docker", *(f"{root}/{part}" for part in _PARTS)])

    def on_disk(self, node: Node, text: str, service: Service | None = None) -> list[str]:
        """Return the files on *node*'s disk that hold *text*: in the engine's state and in containers of *service*.

        Raises:
            LabError: the node cannot be searched.
        """
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
        return [file for file in self._found(node, text, folders, "-xdev") if not _of_memory(node, file)]

    def _found(self, node: Node, text: str, folders: Iterable[str], options: str = "") -> list[str]:
        search = _SEARCH.format(
            root=shlex.quote(node.data_root()),
            prefix=PREFIX,
            text=shlex.quote(text),
            places=" ".join(shlex.quote(folder) for folder in folders),
            options=options,
            largest=_LARGEST,
            stamp=self._stamps[node.name],
            logs=_no_logs_of_others(node),
        )
        done = node.run(search)
        *files, end = done.out.splitlines() or [""]
        looked, _, control = end.partition(" ")
        if looked != "looked":
            raise LabError(f"{node} could not be searched: {done.output[-300:]}")
        if control not in files:
            raise LabError(f"{node} could not be searched: {control}, put there to be found, is not: {done.err[-300:]}")
        return sorted({*files} - {control})


def _stamp(bench: Workbench) -> str:
    stamp = f"{bench.folder({'stamp': ''})}/stamp"
    bench.shell(f"touch -d @$(($(date +%s) - {_EARLIER})) {stamp}")
    return stamp


def _no_logs_of_others(node: Node) -> str:
    """Return the conditions by which find leaves out what containers have logged that are not the suite's."""
    root = f"{node.data_root()}/containers"
    own = [one["Id"] for one in node.containers(all=True) if ours(one["Names"][0].strip("/"), one["Labels"])]
    no_log = " ".join(f"! -path {shlex.quote(f'{root}/*/{log}')}" for log in ("*-json.log*", "local-logs/*"))
    either = " -o ".join([no_log, *(f"-path {shlex.quote(f'{root}/{identity}/*')}" for identity in own)])
    return f"\\( {either} \\)"


def _of_memory(node: Node, file: str) -> bool:
    return node.run(f"stat -f -c %T {shlex.quote(file)}").out.strip() in IN_MEMORY


def in_memory(node: Node, text: str) -> bool:
    """Whether the engine's process on *node* has *text* in its memory."""
    count = node.run(_MEMORY.format(shlex.quote(text))).out.strip()
    return bool(count) and int(count) > 0
