"""Passes connections on to a socket that only root may reach. Root runs it by itself, for `swarmlab.labs.rights`.

Standard input is the socket on which it accepts connections: that lies with the user, who alone may reach it. It ends
when nobody is left who could read its standard output: when the process that started it has ended, however it ended.

Only what comes with Python is imported.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading

_BLOCK = 2**16


def serve(target: str) -> None:
    """Pass on each connection to the socket at *target*, until the process that started this one has ended."""
    with socket.socket(socket.AF_UNIX) as first:  # so that what is wrong is said before it is relied on
        first.connect(target)
    os.write(1, b"ready\n")
    accepting = socket.socket(fileno=0)
    watching = select.poll()
    watching.register(0, select.POLLIN)
    watching.register(1, 0)  # an error there: nobody reads it any more
    while True:
        for descriptor, _ in watching.poll():
            if descriptor == 1:
                os._exit(0)
            connection, _address = accepting.accept()
            threading.Thread(target=_pass_on, args=(connection, target), daemon=True).start()


def _pass_on(client: socket.socket, target: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine:
        try:
            engine.connect(target)
        except OSError:
            return
        back = threading.Thread(target=_copy, args=(engine, client), daemon=True)
        back.start()
        _copy(client, engine)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy what comes, and pass its end on: the other direction may go on."""
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    try:
        serve(sys.argv[1])
    except OSError as failed:
        os.write(1, f"{sys.argv[1]}: {failed.strerror}\n".encode())
        sys.exit(1)
