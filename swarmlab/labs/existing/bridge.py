"""A local socket to an engine that SSH does not forward: a command on its machine speaks for each connection."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

#: Seconds until a connection is asked for again, where no more files may be open.
_PAUSE = 0.1


class Bridge:
    """A local socket that runs a command for each connection, with the connection as its input and output."""

    def __init__(self, path: Path, command: Sequence[str], *, after: bytes = b"") -> None:
        """Listen at *path*, and run *command* for each connection until `close`.

        Args:
            path: the local socket.
            command: the command.
            after: the connection gets what the command prints after this; empty for all of it.
        """
        self._command = list(command)
        self._after = after
        self._path = path
        self._running: list[subprocess.Popen[bytes]] = []
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o077)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(mask)
        self._socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as failed:
                if failed.errno in (errno.EMFILE, errno.ENFILE):  # until others are closed
                    time.sleep(_PAUSE)
                    continue
                return  # it was closed
            # Without room for another process, this connection ends, and the next is taken.
            with connection, contextlib.suppress(OSError):
                self._running = [process for process in self._running if process.poll() is None]
                process = subprocess.Popen(
                    self._command,
                    stdin=connection.fileno(),
                    stdout=subprocess.PIPE if self._after else connection.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                self._running.append(process)
                if self._after:
                    threading.Thread(target=self._pass_on, args=(process, connection.dup()), daemon=True).start()

    def _pass_on(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        """Give a connection what its command prints after `_after`."""
        assert process.stdout
        before, begun = b"", False
        with connection, process.stdout as printed, contextlib.suppress(OSError):
            while block := os.read(printed.fileno(), 2**16):
                if not begun:
                    before += block
                    _, found, block = before.partition(self._after)
                    begun = bool(found)
                if block:
                    connection.sendall(block)
            connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket, and end the commands."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # it wakes the thread that waits for a connection
        self._socket.close()
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        self._path.unlink(missing_ok=True)
