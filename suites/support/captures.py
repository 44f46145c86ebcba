"""What nodes send to each other, read on its way out of each node."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from swarmlab.cluster.marks import FOLDERS, unique
from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked, LabError
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: What overlay networks send between nodes: VXLAN in datagrams, encrypted or not, of whatever port. Outgoing packets
#: alone: a kernel may show a packet that came in encrypted once more in clear.
_CAPTURE = "tcpdump -i any -Q out -U -s 0 -Z root"
_WHAT = "udp or esp"
_PATH = "PATH=$PATH:/usr/sbin:/sbin"


@contextmanager
def captured(nodes: Sequence[Node]) -> Iterator[Callable[[Node, str], bool]]:
    """Keep what *nodes* send to others while the context lasts.

    Yields:
        A function that returns whether a node has sent a word in clear so far.

    Raises:
        Blocked: a node has no tcpdump.
    """
    # A profile of AppArmor lets tcpdump write to files of this ending alone.
    file = f"{FOLDERS}/{unique('capture')}.pcap"

    def begin(node: Node) -> None:
        if not node.run(f"{_PATH} command -v tcpdump").ok:
            raise Blocked(f"{node} has no tcpdump")
        command = f"{_PATH} setsid {_CAPTURE} -w {file} {_WHAT} >{file}.log 2>&1 </dev/null & echo $! >{file}.pid"
        node.run(command).expect(f"capturing on {node}")
        wait(
            lambda: State((said := node.run(f"cat {file}.log")).ok and "listening on" in said.out, said.output[-200:]),
            f"tcpdump on {node} to begin",
            error=LabError,
        )

    def end(node: Node) -> None:
        node.run(f"kill $(cat {file}.pid); rm -f {file} {file}.log {file}.pid")

    try:
        parallel(begin, nodes)
        yield lambda node, word: node.run(f"grep -q -a -F {shlex.quote(word)} {file}").ok
    finally:
        parallel(end, nodes)
