"""Asking every node in turn, without pause, while something else is done to the cluster."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import requests

from swarmlab.evidence import record
from swarmlab.node import Answer, Node, cause
from swarmlab.wait import State, scaled, wait


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        at: seconds since the watch began.
        node: host name of the node that was asked.
        answer: what came back.
    """

    at: float
    node: str
    answer: Answer


class Watch:
    """Asks a published port at the address of every node, one after the other, each on a new connection.

    Example:
        with Watch(cluster.nodes, port) as watch:
            accepted(cluster.manager, "node update --availability drain slave01")
            watch.rounds(10)
        assert not watch.lost, watch.told
    """

    def __init__(self, nodes: Sequence[Node], port: int) -> None:
        self._nodes = list(nodes)
        self._port = port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._start = time.monotonic()
        self._asked: list[Asked] = []
        self._rounds = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failed: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        for asked in self.lost:
            record("suite", f"request to {asked.node} at {asked.at:.2f} s", str(asked.answer))
        record("suite", f"requests to port {self._port} of {', '.join(map(str, self._nodes))} without pause", self.told)

    def _ask(self) -> None:
        while not self._end.is_set():
            for node in self._nodes:
                at = time.monotonic() - self._start
                self._asked.append(Asked(at, node.name, self._get(node)))
            self._rounds += 1

    def _get(self, node: Node) -> Answer:
        # Not node.get, which notes every answer: here there are thousands of them.
        try:
            reply = requests.get(
                f"http://{node.address}:{self._port}/", timeout=scaled(5), headers={"Connection": "close"}
            )
        except requests.exceptions.RequestException as failed:
            return Answer(0, error=cause(failed))
        return Answer(reply.status_code, headers=dict(reply.headers))

    def rounds(self, count: int) -> None:
        """Wait until every node has been asked *count* more times."""
        wanted = self._rounds + 1 + count  # a round may be half done
        wait(
            lambda: State(self._rounds >= wanted, f"{self._rounds} rounds"), f"{count} rounds of requests", deadline=60
        )

    @property
    def lost(self) -> list[Asked]:
        """The requests that got no answer, or no success."""
        return [asked for asked in self._asked if not asked.answer.ok]

    @property
    def told(self) -> str:
        """The requests in words: how many, how many lost at which node and how, and which container gave how many."""
        lost = Counter((asked.node, str(asked.answer)) for asked in self.lost)
        losses = ", ".join(f"{count} at {node} ({why})" for (node, why), count in lost.items())
        shares = Counter(asked.answer.container for asked in self._asked if asked.answer.ok)
        span = self._asked[-1].at if self._asked else 0
        answered = ", ".join(f"{container} {count}" for container, count in shares.items())
        first = f", the first {self.lost[0].at:.1f} s in" if lost else ""
        return (
            f"of {len(self._asked)} requests in {span:.0f} s {len(self.lost)} were lost"
            f"{': ' + losses if lost else ''}{first}; answered by {answered or 'nobody'}"
        )
