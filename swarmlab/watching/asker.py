"""A process that asks servers in turn, without pause: ``python -m swarmlab.watching.asker``, started by `Watch`.

It is a process of its own so that nothing the suite does can hold it up, and imports nothing of the suite's. It is told
what to ask in the first line of its standard input, and prints each answer as a line of JSON (see `Heard`). It ends in
order when it reads another line, and at once when its input ends: whoever started it is gone then, in whatever way.

All times are those of the machine's monotonic clock, which its processes share.
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

#: Seconds from the beginning of one round to that of the next, at least, if nothing else is asked for. A fast network
#: would use up all source ports else, and a mesh may drop what seems to come on a connection that it has not forgotten.
ROUND = 0.01


@dataclass(frozen=True)
class Heard:
    """What one request gave.

    Attributes:
        at: when it was begun, in seconds of the monotonic clock.
        end: when the answer was complete, or given up.
        node: name of the node that was asked.
        status: the HTTP status, 0 where no whole answer came.
        container: host name of the container that answered, as the lab's web server tells it.
        error: why there is no answer, by the connection or whoever passed the request on; empty where there is one.
    """

    at: float
    end: float
    node: str
    status: int = 0
    container: str = ""
    error: str = ""


class _Within(io.RawIOBase):
    """What comes in on a connection until a deadline, however slowly it trickles."""

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
    """Ask once for / on a new connection; *timeout* is in seconds, for the whole of it."""
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
    """Ask as told until told to end."""
    told = json.loads(sys.stdin.readline())
    addresses: Mapping[str, str] = told["addresses"]
    over = threading.Event()
    heard: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()

    def listen() -> None:
        if not sys.stdin.readline():
            os._exit(1)
        over.set()

    def tell() -> None:
        # Apart from the asking, which a reader that is slow shall not hold up.
        try:
            while (one := heard.get()) is not None:
                sys.stdout.write(json.dumps(asdict(one)) + "\n")
                sys.stdout.flush()
        except OSError:  # nobody reads any more
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    telling = threading.Thread(target=tell)
    telling.start()
    while not over.is_set():
        next_round = time.monotonic() + told["every"]
        for name, address in addresses.items():
            heard.put(ask(name, address, told["port"], told["timeout"]))
            if over.is_set():
                break
        over.wait(max(0.0, next_round - time.monotonic()))
    heard.put(None)
    telling.join()
    # Another thread may be at the standard input still, which an orderly end of the interpreter would wait for.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
