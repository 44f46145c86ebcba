"""Reaches the engine of a container node through the outer engine, from wherever that answers.

A process on the node (see `pieces`) connects to the node's engine. Connections to a socket of this process go over its
input and output, which the outer engine carries as it carries those of ``docker exec``. No file and no network is
shared with the node.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import selectors
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

import docker
import requests
from docker.models.containers import Container

from swarmlab.cluster.streams import Streams, hang_up
from swarmlab.host import drop_folder, in_folder, own_folder
from swarmlab.labs import pieces
from swarmlab.labs.sent import program

_BLOCK = 2**16
#: The socket of a node's engine.
_ENGINE = "/run/docker.sock"
#: Seconds until a node is tried again that is halted.
_AGAIN = 0.5
_live: weakref.WeakSet[Relay] = weakref.WeakSet()


class Relay:
    """A socket of this process that leads to the engine of a node.

    Connections to a node that does not run are closed at once. Those to one that is halted get no answer before it goes
    on, as with a socket on this machine.

    Attributes:
        url: the address of the socket, as DOCKER_HOST takes it.
    """

    def __init__(self, container: Callable[[], Container]) -> None:
        """Listen; nothing is started on the node before the first connection.

        Args:
            container: returns the node's container; an upgrade replaces it.
        """
        self._container = container
        self._path = own_folder("relays") / f"{id(self):x}.sock"
        self._listening = socket.socket(socket.AF_UNIX)
        in_folder(self._path.parent, lambda: self._listening.bind(str(self._path)))
        self._listening.listen(64)
        self._listening.setblocking(False)
        self.url = f"unix://{self._path}"
        self._ending, self._end = os.pipe()
        self._closed = False
        _live.add(self)
        threading.Thread(target=_Passing(self._listening, container, self._ending).serve, daemon=True).start()

    def close(self) -> None:
        """Close the socket and its connections, with which the process on the node ends."""
        if not self._closed:
            self._closed = True
            os.close(self._end)
            self._path.unlink(missing_ok=True)
            drop_folder(self._path.parent)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Passing:
    """What passes data on between a listening socket and a node, in a thread of its own."""

    def __init__(self, listening: socket.socket, container: Callable[[], Container], ending: int) -> None:
        self._listening, self._container, self._ending = listening, container, ending
        self._selector = selectors.DefaultSelector()
        self._pieces = self._new()
        self._printed = Streams()
        self._stream: Any = None
        self._node: Any = None  # the connection to the process on the node
        self._held: list[socket.socket] = []  # accepted while the node is halted

    def serve(self) -> None:
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._ending, selectors.EVENT_READ)
        while True:
            if self._node:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pieces.out else 0)
                self._selector.modify(self._node, events, self._work)
            for key, happened in self._selector.select(_AGAIN if self._held else None):
                if key.fileobj == self._ending:
                    self._part()
                    self._selector.close()
                    self._listening.close()
                    os.close(self._ending)
                    return
                if pieces.is_watched(self._selector, key):
                    key.data(happened)
            if self._held:
                self._join()

    def _new(self) -> pieces.Pieces:
        def opened() -> socket.socket:
            raise OSError("no node opens connections")

        return pieces.Pieces(self._selector, opened)

    def _accept(self, _: int) -> None:
        with contextlib.suppress(OSError):
            self._held.append(self._listening.accept()[0])
            self._join()

    def _join(self) -> None:
        """Give the connections that are held to the node, if it answers."""
        if self._node is None and not self._start():
            return
        held, self._held = self._held, []
        for one in held:
            self._pieces.open(one)

    def _start(self) -> bool:
        try:
            container = self._container()
            assert container.client
            api = container.client.api
            command, text = program(pieces, _ENGINE)
            made = api.exec_create(str(container.id), command, stdin=True, user="root")
            self._stream = api.exec_start(made["Id"], socket=True)
        except docker.errors.APIError as refused:
            if "paused" not in str(refused.explanation):
                self._refuse()
            return False
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError):
            self._refuse()
            return False
        self._node = getattr(self._stream, "_sock", self._stream)
        self._node.setblocking(False)
        self._printed = Streams()
        self._pieces = self._new()
        self._pieces.out += text
        self._selector.register(self._node, selectors.EVENT_READ, self._work)
        return True

    def _refuse(self) -> None:
        for one in self._held:
            one.close()
        self._held = []

    def _work(self, happened: int) -> None:
        try:
            if happened & selectors.EVENT_READ:
                block = self._node.recv(_BLOCK)
                if not block:
                    raise ConnectionError("the process on the node has ended")
                self._printed.add(block)
                self._pieces.hear(bytes(self._printed.out))
                self._printed.out.clear()
            if happened & selectors.EVENT_WRITE and self._pieces.out:
                del self._pieces.out[: self._node.send(self._pieces.out[:_BLOCK])]
        except BlockingIOError:
            pass
        except OSError:
            self._part()

    def _part(self) -> None:
        """Close the connection to the node, and all that go over it."""
        self._pieces.close()
        self._refuse()
        if self._node is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._node)
            with contextlib.suppress(OSError):
                self._node.shutdown(socket.SHUT_RDWR)
            hang_up(self._stream)
            self._node.close()
            self._node = self._stream = None


def _close_all() -> None:
    for relay in list(_live):
        relay.close()


atexit.register(_close_all)
