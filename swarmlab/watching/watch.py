"""Requests to all nodes at once, without pause, while the cluster is changed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from swarmlab.cluster.node import Answer
from swarmlab.errors import LabError
from swarmlab.evidence import picture, record
from swarmlab.wait import State, scaled, wait
from swarmlab.watching import asker
from swarmlab.watching.asker import ROUND, Heard
from swarmlab.watching.timeline import Mark, Request, draw

#: Requests to each node that `Watch.enough` waits for. A fault that loses one request in fifty then goes unnoticed once
#: in four hundred runs.
ENOUGH = 300
#: Requests to each node after the last event.
_AFTER = 5
#: Seconds that may pass between two requests to a node. A watch with a longer pause says nothing about the cluster.
SILENCE = 10.0
#: Seconds for one request, at reference speed.
TIMEOUT = 5.0
#: Seconds, at reference speed, to wait for further requests if some are lost already.
_PATIENCE = 30.0
#: The least seconds, at reference speed, that a round has.
_ROUND = 0.5
#: The least seconds, at reference speed, from one request to the next, on average over all nodes: a watch of many
#: nodes, or of slow ones, is not to keep them busy.
_EACH = 0.003


class Asked(Protocol):
    """A node that requests are sent to.

    Attributes:
        name: its host name.
        address: its IPv4 address.
    """

    name: str
    address: str


class Watch:
    """Sends requests to a published port at the addresses of all nodes at once, each on a new connection.

    A separate process sends them (`swarmlab.watching.asker`), in the network namespace of the thread that enters the
    context. When the context ends, a picture of all requests goes into the evidence. Only a watch without a flaw, such
    as a pause, says which requests were lost.

    Args:
        nodes: the nodes.
        port: the TCP port.
        every: least seconds from one request to a node to the next; more where nodes are many or slow.
        losses_expected: whether requests are lost also where all is well, as while a node is away. Otherwise a loss is
            a verdict, also of a watch that has paused.

    Example:
        with Watch(cluster.nodes, port) as watch:
            watch.rounds(2)
            cluster.manager.docker("node update --availability drain slave01").expect(error=AssertionError)
            watch.mark("drain accepted")
            watch.enough()
        assert not watch.lost, watch.summary

    Raises:
        LabError: by `rounds`, `enough` and `lost`, and at the end of the context: the process died, or the watch has
            another flaw.
    """

    def __init__(
        self, nodes: Sequence[Asked], port: int, *, every: float = ROUND, losses_expected: bool = False
    ) -> None:
        self._every = max(every, scaled(_EACH) * len(nodes))
        self._addresses = {node.name: node.address for node in nodes}
        self._port = port
        self._timeout = scaled(TIMEOUT)
        self._losses_expected = losses_expected
        self._heard: list[Heard] = []
        self._marks: list[tuple[float, str]] = []
        self._flaw = "it has not ended"
        self._start = self._stop = time.monotonic()

    def __enter__(self) -> Watch:
        task = {"addresses": self._addresses, "port": self._port, "timeout": self._timeout, "every": self._every}
        self._start = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, asker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._tell(json.dumps(task))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = time.monotonic()
        self._tell("end")
        try:
            code = self._process.wait(self._timeout + SILENCE)
        except subprocess.TimeoutExpired:
            code = None
            self._process.kill()
            self._process.wait()
        self._listener.join()
        message = self._process.stderr.read().strip() if self._process.stderr else ""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with contextlib.suppress(OSError):  # the process is gone, and so is what was not written yet
                    stream.close()
        self._flaw = self._found_flaw(code, message)
        for heard in self.losses[:100]:
            record("suite", f"request to {heard.node} at {heard.at - self._start:.2f} s", _outcome(heard))
        names = ", ".join(self._addresses)
        record("suite", f"requests to port {self._port} of {names} without pause", f"{self.summary}\n{self._flaw}")
        self._draw()
        if kind is None:
            self._check()

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # it has died, as its exit code says later
            stdin.write(line + "\n")
            stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError):  # a line cut short by its death
                self._heard.append(Heard(**json.loads(line)))

    # While the context is open

    def mark(self, event: str) -> None:
        """Mark an event in the picture, such as "update accepted"."""
        self._marks.append((time.monotonic(), event))

    def rounds(self, count: int) -> None:
        """Wait for *count* more requests to every node."""
        now = time.monotonic()

        def asked() -> State:
            since = Counter(heard.node for heard in list(self._heard) if heard.at >= now)
            return State(self._fewest(since) >= count, f"asked {self._by_node(since)}")

        self._await(asked, f"{count} rounds of requests", count)

    def enough(self, count: int = ENOUGH) -> None:
        """Wait for *count* requests to every node since the watch began, and for some since the last mark."""
        since = self._last_mark()

        def asked() -> State:
            heard = list(self._heard)
            all = Counter(request.node for request in heard)
            late = Counter(request.node for request in heard if request.at >= since)
            return State(self._fewest(all) >= count and self._fewest(late) >= _AFTER, f"asked {self._by_node(all)}")

        self._await(asked, f"{count} rounds of requests in all", count)

    def _await(self, asked: Callable[[], State], reason: str, count: int) -> None:
        # If a node takes the whole timeout in each round, the losses so far are enough for a verdict.
        patience = time.monotonic() + scaled(_PATIENCE)

        def state() -> State:
            if self._process.poll() is not None:
                raise LabError(f"the process that sends the requests has died with {self._process.returncode}")
            if self.losses and time.monotonic() > patience:
                return State(True, f"{len(self.losses)} requests lost; {asked().summary}")
            return asked()

        # A round takes longer where nodes are many or far, or the cluster is busy.
        each = max(_ROUND, 1.5 * self._taken() / scaled(1.0))
        wait(state, reason, deadline=_PATIENCE * 2 + count * each, error=LabError)

    def _taken(self) -> float:
        """Return the seconds that a round took so far, on average; 0 before the first has ended."""
        heard = list(self._heard)
        rounds = self._fewest(Counter(request.node for request in heard))
        return (heard[-1].end - heard[0].at) / rounds if rounds else 0.0

    def _last_mark(self) -> float:
        return max((at for at, _ in self._marks), default=self._start)

    def _fewest(self, asked: Counter[str]) -> int:
        return min((asked[name] for name in self._addresses), default=0)

    def _by_node(self, asked: Counter[str]) -> str:
        return ", ".join(f"{name} {asked[name]} times" for name in self._addresses)

    # Afterwards

    def _found_flaw(self, code: int | None, message: str) -> str:
        """Return the flaw that keeps the watch from saying anything about the cluster; empty if there is none."""
        if code != 0:
            last = message.splitlines()[-1] if message else "it printed nothing"
            return f"it {'hung' if code is None else f'died with {code}'}: {last}"
        for request in self._heard:
            if request.end - request.at > self._timeout + SILENCE:
                begun = request.at - self._start
                return f"it was stopped for {request.end - request.at:.0f} s at {begun:.0f} s, asking {request.node}"
        if self.losses and not self._losses_expected:
            return ""  # the process worked, so these requests are lost, however few there were in all
        since = self._last_mark()
        asked = Counter(heard.node for heard in self._heard)
        late = Counter(heard.node for heard in self._heard if heard.at >= since)
        for name in self._addresses:
            if not asked[name]:
                return f"it never asked {name}"
            if not late[name]:
                return f"it did not ask {name} again after {self._marks[-1][1]}"
        first = min(heard.at for heard in self._heard)  # the process may start slowly on a busy machine
        if self._marks and self._marks[0][0] < first:
            return f"it had not begun to ask yet at {self._marks[0][1]}"
        pause, at, name = max(self._pause(name, first) for name in self._addresses)
        longest = SILENCE + self._every
        return f"it did not ask {name} for {pause:.0f} s from {at - self._start:.0f} s on" if pause > longest else ""

    def _pause(self, name: str, first: float) -> tuple[float, float, str]:
        """Return the longest pause between two requests to a node, its begin in the machine's time, and the node."""
        asked = [heard for heard in self._heard if heard.node == name]
        ends = [first, *(heard.end for heard in asked)]
        begins = [*(heard.at for heard in asked), self._stop]
        return max((begin - end, end, name) for end, begin in zip(ends, begins, strict=True))

    def _check(self) -> None:
        if self._flaw:
            raise LabError(f"requests to port {self._port} were not watched without pause: {self._flaw}")

    @property
    def heard(self) -> list[Heard]:
        """The outcomes of all requests so far."""
        return list(self._heard)

    @property
    def losses(self) -> list[Heard]:
        """The requests without an answer or with an error status, also while the context is open."""
        return [heard for heard in list(self._heard) if not 200 <= heard.status < 300]

    @property
    def lost(self) -> list[Heard]:
        """The requests without an answer or with an error status.

        Raises:
            LabError: the context is still open, or the watch has a flaw.
        """
        self._check()
        return self.losses

    @property
    def shares(self) -> dict[str, int]:
        """The number of answers by the container's host name."""
        return dict(Counter(heard.container for heard in list(self._heard) if 200 <= heard.status < 300))

    def gap(self, node: str = "") -> float:
        """Return the longest time in seconds without a successful answer of *node*, or of any node if not given."""
        good = [
            heard.end for heard in list(self._heard) if 200 <= heard.status < 300 and (not node or heard.node == node)
        ]
        begin = self._heard[0].at if self._heard else self._start
        last = max(self._stop, begin, *good)
        return max(after - before for before, after in zip([begin, *good], [*good, last], strict=True))

    @property
    def summary(self) -> str:
        """The requests in one line: how many, how many lost at which node and why, gaps, and answers by container."""
        heard = list(self._heard)
        losses = self.losses
        lost = Counter((request.node, _outcome(request)) for request in losses)
        how = ", ".join(f"{count} at {node} ({why})" for (node, why), count in lost.items())
        span = heard[-1].end - self._start if heard else 0
        answered = ", ".join(f"{container or 'nobody known'} {count}" for container, count in self.shares.items())
        first = f", the first {losses[0].at - self._start:.1f} s in" if losses else ""
        gaps = ", ".join(f"{name} {self.gap(name):.1f} s" for name in self._addresses)
        return (
            f"of {len(heard)} requests in {span:.0f} s {len(losses)} were lost"
            f"{': ' + how if how else ''}{first}; longest without an answer: {gaps}, all {self.gap():.1f} s; "
            f"answered by {answered or 'nobody'}"
        )

    def _draw(self) -> None:
        requests = [
            Request(
                request.at - self._start, request.end - self._start, request.node, request.container, _lost(request)
            )
            for request in list(self._heard)
        ]
        notes = {name: f"longest gap {self.gap(name):.2f} s" for name in self._addresses}
        marks = [Mark(at - self._start, event) for at, event in self._marks]
        title = f"Requests to port {self._port}"
        svg = draw(title, self.summary, list(self._addresses), requests, marks, notes)
        picture(f"requests to port {self._port}", svg)


def _lost(heard: Heard) -> str:
    return "" if 200 <= heard.status < 300 else _outcome(heard)


def _outcome(heard: Heard) -> str:
    """Return the outcome as `Answer` writes it."""
    return str(Answer(heard.status, error=heard.error)) if heard.error else f"HTTP {heard.status}"
