"""What nodes send to each other, read on its way out of each node."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from swarmlab.cluster.marks import FOLDERS, unique
from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked, LabError
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Packets that are kept at most, and bytes of each: the beginning of a request lies in the first few hundred.
_MOST, _BYTES = 100_000, 512
#: Outgoing packets alone: a kernel may show a packet that came in encrypted once more in clear.
_CAPTURE = f"tcpdump -i any -Q out -U -s {_BYTES} -c {_MOST} -B 16384 -Z root"
_PATH = "PATH=$PATH:/usr/sbin:/sbin"
#: Seconds until tcpdump has ended.
_ENDS = 10
_COUNTS = re.compile(r"^(\d+) packets? (captured|dropped by kernel)", re.MULTILINE)


def _filter(vxlans: Iterable[str]) -> str:
    """Return tcpdump's expression for what nodes send of these VXLANs, of whatever port, and for all encrypted."""
    return " or ".join(["esp", *(f"(udp[12:4] & 0xffffff00 = {int(vxlan) << 8:#x})" for vxlan in vxlans)])


@contextmanager
def captured(nodes: Sequence[Node], vxlans: Iterable[str]) -> Iterator[Callable[[Node, str], bool]]:
    """Keep what *nodes* send to others of some overlay networks while the context lasts.

    Args:
        nodes: the nodes.
        vxlans: the numbers of the networks' VXLANs (see `suites.support.wire.vxlan_of`).

    Yields:
        A function that returns whether a node has sent a word in clear so far.

    Raises:
        Blocked: a node has no tcpdump, or did not keep everything.
    """
    # A profile of AppArmor lets tcpdump write to files of this ending alone.
    file = f"{FOLDERS}/{unique('capture')}.pcap"
    what = shlex.quote(_filter(vxlans))

    def begin(node: Node) -> None:
        if not node.run(f"{_PATH} command -v tcpdump").ok:
            raise Blocked(f"{node} has no tcpdump")
        command = f"{_PATH} setsid {_CAPTURE} -w {file} {what} >{file}.log 2>&1 </dev/null & echo $! >{file}.pid"
        node.run(command).expect(f"capturing on {node}")
        wait(
            lambda: State((said := node.run(f"cat {file}.log")).ok and "listening on" in said.out, said.output[-200:]),
            f"tcpdump on {node} to begin",
            error=LabError,
        )

    def expect_all(node: Node) -> None:
        # It says what it dropped when it ends.
        ended = f"timeout {_ENDS} sh -c 'while kill -0 $(cat {file}.pid) 2>/dev/null; do sleep 0.1; done'"
        said = node.run(f"kill $(cat {file}.pid); {ended} && rm -f {file}.pid; cat {file}.log").out
        counts = {what: int(count) for count, what in _COUNTS.findall(said)}
        if counts.get("dropped by kernel", 1) or counts.get("captured", _MOST) >= _MOST:
            raise Blocked(f"tcpdump on {node} did not keep all packets: {said[-200:]}")

    def end(node: Node) -> None:
        node.run(f"kill $(cat {file}.pid); rm -f {file} {file}.log {file}.pid")

    try:
        parallel(begin, nodes)
        yield lambda node, word: node.run(f"grep -q -a -F {shlex.quote(word)} {file}").ok
        parallel(expect_all, nodes)
    finally:
        parallel(end, nodes)
