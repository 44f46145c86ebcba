"""Datagrams from one socket to every node, without pause, while the cluster is changed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from swarmlab.evidence import record
from swarmlab.wait import scaled
from swarmlab.watching.watch import Asked

#: Seconds between two datagrams to one node, and seconds to wait for an answer; both at reference speed.
_PAUSE, _PATIENCE = 0.1, 2.0
#: Seconds, at reference speed, after which a pause between two datagrams is the sender's own. It says nothing of nodes.
_STALL = 10 * _PAUSE


@dataclass
class Datagram:
    """One datagram.

    Attributes:
        at: when it was sent, in seconds of the monotonic clock.
        node: host name of the node that it was sent to.
        answered: whether its answer came.
    """

    at: float
    node: str
    answered: bool = False


class Datagrams:
    """Sends datagrams to one port of every node from one socket, and records which were answered.

    The socket, and with it the source port, stays the same: connection tracking and the load balancer of a node keep a
    path by source port, and whether that path leads to a new task is what is judged.

    Example:
        with Datagrams(cluster.nodes, port) as datagrams:
            web.renew()
        assert datagrams.silence("slave01", begin, end) < 5, datagrams.summary
    """

    def __init__(self, nodes: Sequence[Asked], port: int, *, names: Mapping[str, str] | None = None) -> None:
        """Send nothing yet.

        Args:
            nodes: the nodes.
            port: the UDP port.
            names: host names of the nodes, by what a server that answers calls its node.
        """
        self._names = names or {}
        self._addresses = {node.address: node.name for node in nodes}
        self._port = port
        self._sent: list[Datagram] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=action, daemon=True) for action in (self._send, self._hear)]

    def __enter__(self) -> Datagrams:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.5)
        self._socket.bind(("", 0))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()
        record("suite", f"datagrams to port {self._port} without pause", self.summary)

    def _send(self) -> None:
        while not self._end.is_set():
            for address, name in self._addresses.items():
                number = len(self._sent)
                self._sent.append(Datagram(time.monotonic(), name))
                try:
                    self._socket.sendto(str(number).encode(), (address, self._port))
                except OSError:  # for example no route while the node is off
                    continue
            self._end.wait(scaled(_PAUSE))

    def _hear(self) -> None:
        until = 0.0
        while not self._end.is_set() or time.monotonic() < until:
            if not self._end.is_set():
                until = time.monotonic() + scaled(_PATIENCE)
            try:
                data, (address, _) = self._socket.recvfrom(200)
                number, _, name = data.decode().partition(" ")
                sent = self._sent[int(number)]
                # A server of one node names it in the answer. Behind the mesh no server knows which node was asked.
                if self._addresses.get(address) == sent.node and self._names.get(name, name) in ("", sent.node):
                    sent.answered = True
            except (OSError, ValueError, IndexError):
                continue

    def sent(self, node: str) -> list[Datagram]:
        """Return the datagrams to *node*, in order."""
        return [datagram for datagram in list(self._sent) if datagram.node == node]

    def silence(self, node: str, begin: float, end: float) -> float:
        """Return the longest time without an answer of *node*, in seconds.

        Times in which the sender itself paused do not count. `pause` tells whether there are such.

        Args:
            node: host name of the node.
            begin: from when on, in seconds of the monotonic clock.
            end: until when, in seconds of the monotonic clock.
        """
        longest = silent = 0.0
        for before, after, answered in self._between(node, begin, end):
            silent += after - before if after - before <= scaled(_STALL) else 0.0
            longest = max(longest, silent)
            silent = 0.0 if answered else silent
        return longest

    def pause(self, node: str, begin: float, end: float) -> float:
        """Return the longest time in which nothing was sent to *node*, in seconds; see `silence`."""
        return max(after - before for before, after, _ in self._between(node, begin, end))

    def _between(self, node: str, begin: float, end: float) -> Iterator[tuple[float, float, bool]]:
        """Yield the spans between datagrams: begin, end, and whether the datagram at the end was answered."""
        before = begin
        for datagram in self.sent(node):
            if begin <= datagram.at <= end:
                yield before, datagram.at, datagram.answered
                before = datagram.at
        yield before, end, False

    @property
    def summary(self) -> str:
        """How many datagrams each node was sent, and how many were answered, as one line."""
        by_node = [(name, self.sent(name)) for name in self._addresses.values()]
        return ", ".join(
            f"{name}: {sum(datagram.answered for datagram in sent)} of {len(sent)} answered" for name, sent in by_node
        )
