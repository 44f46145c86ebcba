"""The process that sends requests to several servers at once, without pause: run as a script of its own.

`Watch` starts it. As a separate process that imports nothing of the project, nothing that the suite does can hold it
up. The first line of its standard input holds its settings. It prints each outcome as a line of JSON (see `Heard`). It
ends in order at the next line of input, and at once at the end of input, which means that its parent is gone.

All times are those of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: The least seconds from the begin of one request to a node to the begin of the next. Without it a fast network uses up
#: all source ports, and the mesh may drop a new connection from a port whose old connection it still remembers.
ROUND = 0.01


@dataclass(frozen=True)
class Heard:
    """The outcome of one request.

    Attributes:
        at: time of its begin, in seconds of the monotonic clock.
        end: time of its end, with or without a complete answer.
        node: host name of the node that it was sent to.
        status: the HTTP status, 0 without a complete answer.
        container: host name of the container that answered, as the lab's web server sends it.
        error: why there is no answer, from the connection or from a server that passed the request on; else empty.
    """

    at: float
    end: float
    node: str
    status: int = 0
    container: str = ""
    error: str = ""


class _Within(io.RawIOBase):
    """Reads from a connection until a deadline for the whole answer, however slowly it comes."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._connection.settimeout(max(self._deadline - time.monotonic(), 0.001))
        return self._connection.recv_into(buffer)


def ask(name: str, address: str, port: int, timeout: float) -> Heard:
    """Send one GET for / on a new connection.

    Args:
        name: host name of the node.
        address: its address.
        port: TCP port.
        timeout: seconds for the whole request.
    """
    at = time.monotonic()
    status, container, error = 0, "", ""
    awaited = "a connection"
    try:
        with socket.create_connection((address, port), timeout) as connection:
            awaited = "the answer"
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode("ascii"))
            reply = http.client.HTTPResponse(_Within(connection, at + timeout), method="GET")  # type: ignore[arg-type]
            reply.begin()
            container = reply.getheader("X-Server", "")
            error = reply.getheader("X-Why", "")
            reply.read()
            status = reply.status
    except TimeoutError:
        error = f"timed out waiting for {awaited}"
    except http.client.RemoteDisconnected:
        error = "closed connection without an answer"
    except http.client.HTTPException as failed:
        error = f"no whole answer: {failed!r}"
    except OSError as failed:
        error = failed.strerror or str(failed)
    return Heard(at, time.monotonic(), name, status, container, error)


def main() -> None:
    """Send requests with the settings on standard input, until its next line.

    Each node is asked in a thread of its own, so that one that is far or silent does not keep the others from being
    asked.
    """
    task = json.loads(sys.stdin.readline())
    addresses: Mapping[str, str] = task["addresses"]
    over = threading.Event()
    heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()

    def listen() -> None:
        if not sys.stdin.readline():
            os._exit(1)
        over.set()

    def report() -> None:
        # In a thread of its own, so that a slow reader does not hold the requests up.
        try:
            while (outcome := heard.get()) is not None:
                sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
                sys.stdout.flush()
        except OSError:  # the reader is gone
            os._exit(1)

    def go_on(name: str, address: str) -> None:
        while not over.is_set():
            then = time.monotonic() + task["every"]
            heard.put(ask(name, address, task["port"], task["timeout"]))
            over.wait(max(0.0, then - time.monotonic()))

    threading.Thread(target=listen, daemon=True).start()
    reporter = threading.Thread(target=report)
    reporter.start()
    asking = [threading.Thread(target=go_on, args=pair) for pair in addresses.items()]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    heard.put(None)
    reporter.join()
    # A normal exit would wait for the thread that reads standard input.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
