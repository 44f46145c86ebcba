"""Several connections over one stream, for `swarmlab.labs.relay` and for the process on a node that it speaks with.

The node's python3 is given this text, so it imports only what comes with Python, and runs on releases back to 3.7.

What goes over the stream are pieces: a letter, the number of a connection, a length, and as many bytes. ``n`` opens a
connection, ``d`` has data, ``k`` says how many bytes of data were passed on, ``e`` ends one direction, ``x`` both. Who
sends keeps at most `_WINDOW` bytes on the way, so a connection whose reader is slow holds up no other.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
from collections.abc import Callable

HEAD = struct.Struct(">cII")
_BLOCK = 2**16
_WINDOW = 2**20


class _Connection:
    """A connection at this end of the stream."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self.waiting = bytearray()  # data that the socket has not taken yet
        self.under_way = 0  # bytes that the other end has not passed on yet
        self.heard_all = self.told_all = False  # nothing more comes from, or goes to, the socket
        self.no_more = False  # nothing more comes from the other end of the stream


class Pieces:
    """The connections at one end of the stream. One thread uses it.

    Attributes:
        out: what is to be written to the stream.
    """

    def __init__(self, selector: selectors.BaseSelector, opened: Callable[[], socket.socket]) -> None:
        """Begin without connections.

        Args:
            selector: where the connections' sockets are registered, each with a function to call with its events.
            opened: returns a socket for a connection that the other end opens; raises OSError if there is none.
        """
        self.out = bytearray()
        self._selector = selector
        self._opened = opened
        self._in = bytearray()
        self._connections: dict[int, _Connection] = {}
        self._last = 0

    def open(self, end: socket.socket) -> None:
        """Connect a socket at this end with a new one at the other end."""
        self._last += 1
        self._add(self._last, end)
        self._tell(b"n", self._last)

    def hear(self, block: bytes) -> None:
        """Take in what was read from the stream."""
        self._in += block
        while len(self._in) >= HEAD.size:
            letter, number, length = HEAD.unpack_from(self._in)
            if len(self._in) < HEAD.size + length:
                return
            body = bytes(self._in[HEAD.size : HEAD.size + length])
            del self._in[: HEAD.size + length]
            self._take(letter, number, body)

    def close(self) -> None:
        """Close all connections."""
        for number in list(self._connections):
            self._drop(number)

    def __len__(self) -> int:
        return len(self._connections)

    def _take(self, letter: bytes, number: int, body: bytes) -> None:
        if letter == b"n":
            try:
                self._add(number, self._opened())
            except OSError:
                self._tell(b"x", number)
            return
        one = self._connections.get(number)
        if one is None:  # it was closed here, and the other end did not know yet
            return
        if letter == b"d":
            one.waiting += body
        elif letter == b"k":
            one.under_way -= int(body)
        elif letter == b"e":
            one.no_more = True
        else:
            self._drop(number)
            return
        self._pass_on(number, one)

    def _add(self, number: int, end: socket.socket) -> None:
        self._connections[number] = one = _Connection(end)
        self._watch(number, one)

    def _watch(self, number: int, one: _Connection) -> None:
        events = 0
        if not one.heard_all and one.under_way < _WINDOW:
            events |= selectors.EVENT_READ
        if one.waiting:
            events |= selectors.EVENT_WRITE
        known = self._selector.get_map().get(one.socket)
        if known and not events:
            self._selector.unregister(one.socket)
        elif known and known.events != events:
            self._selector.modify(one.socket, events, known.data)
        elif events and not known:
            self._selector.register(one.socket, events, lambda happened: self._work(number, one, happened))

    def _work(self, number: int, one: _Connection, happened: int) -> None:
        if happened & selectors.EVENT_READ:
            try:
                block = one.socket.recv(_BLOCK)
            except BlockingIOError:
                return
            except OSError:
                self._tell(b"x", number)
                self._drop(number)
                return
            if block:
                one.under_way += len(block)
                self._tell(b"d", number, block)
            else:
                one.heard_all = True
                self._tell(b"e", number)
        self._pass_on(number, one)

    def _pass_on(self, number: int, one: _Connection) -> None:
        """Give the socket what it takes of the data that waits for it."""
        try:
            while one.waiting:
                sent = one.socket.send(one.waiting)
                del one.waiting[:sent]
                self._tell(b"k", number, b"%d" % sent)
            if one.no_more and not one.told_all:
                one.told_all = True
                one.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._tell(b"x", number)
            self._drop(number)
            return
        if one.heard_all and one.told_all:
            self._drop(number)
        else:
            self._watch(number, one)

    def _drop(self, number: int) -> None:
        one = self._connections.pop(number)
        if one.socket in self._selector.get_map():
            self._selector.unregister(one.socket)
        one.socket.close()

    def _tell(self, letter: bytes, number: int, body: bytes = b"") -> None:
        self.out += HEAD.pack(letter, number, len(body)) + body


def is_watched(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
    """Whether what an event is of is still watched: an event before it may have closed that."""
    try:
        return selector.get_key(key.fileobj).fd == key.fd
    except (KeyError, ValueError):  # ValueError: a socket that is closed has no number
        return False


def serve(path: str) -> None:
    """Connect what comes over standard input and output with the socket at *path*, until the input ends."""

    def opened() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(path)
        except OSError:
            end.close()
            raise
        return end

    def hear(_: int) -> None:
        block = os.read(0, _BLOCK)
        if not block:
            raise SystemExit
        pieces.hear(block)

    def write(_: int) -> None:
        del pieces.out[: os.write(1, pieces.out[:_BLOCK])]

    selector = selectors.DefaultSelector()
    pieces = Pieces(selector, opened)
    selector.register(0, selectors.EVENT_READ, hear)
    writing = False
    while True:
        if bool(pieces.out) != writing:
            writing = bool(pieces.out)
            if writing:
                selector.register(1, selectors.EVENT_WRITE, write)
            else:
                selector.unregister(1)
        for key, happened in selector.select():
            if key.fileobj in (0, 1) or is_watched(selector, key):
                key.data(happened)


if __name__ == "__main__":
    serve(sys.argv[1])
