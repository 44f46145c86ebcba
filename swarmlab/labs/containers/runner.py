"""What stays on a container node and runs its commands, one after the other, for `swarmlab.labs.containers.shell`.

The node's python3 is given this text, so it imports only what comes with Python, and runs on releases back to 3.7.

What goes in and out are pieces: a letter, a length, and as many bytes. In come ``?``, which is answered by ``!``, and
``c`` with a command for ``/bin/sh``. The answer to a command is ``o`` and ``e``, with what it prints to standard output
and standard error while it runs, and at its end ``x`` with its exit code.
"""

from __future__ import annotations

import os
import selectors
import signal
import struct
import subprocess
from typing import Any

HEAD = struct.Struct(">cI")
_BLOCK = 2**16


class Runner:
    """Reads commands from standard input and runs them, until the input ends; the command that runs then is killed."""

    def __init__(self) -> None:
        # As it was given to this process: Python changes its own, where that names no locale.
        with open("/proc/self/environ", "rb") as given:  # noqa: PTH123 - pathlib would take as long to load as all else
            entries = [entry.partition(b"=") for entry in given.read().split(b"\0") if entry]
        self._environment = {name: value for name, _, value in entries}
        self._asked = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: dict[bytes, Any] = {}  # by the letter of what comes through it
        self._selector = selectors.DefaultSelector()
        ended, wake = os.pipe()
        os.set_blocking(ended, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler, nothing is written to the pipe
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._selector.register(0, selectors.EVENT_READ, self._hear)
        self._selector.register(ended, selectors.EVENT_READ, self._note_end)

    def serve(self) -> None:
        """Run commands until the input ends."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _hear(self, asked: int) -> None:
        block = os.read(asked, _BLOCK)
        if not block:
            if self._process:
                os.killpg(self._process.pid, signal.SIGKILL)
            raise SystemExit
        self._asked += block
        while len(self._asked) >= HEAD.size:
            letter, length = HEAD.unpack_from(self._asked)
            if len(self._asked) < HEAD.size + length:
                return
            body = self._asked[HEAD.size : HEAD.size + length]
            self._asked = self._asked[HEAD.size + length :]
            if letter == b"?":
                _tell(b"!")
            else:
                self._start(body)

    def _start(self, command: bytes) -> None:
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as failed:  # such as a command that is too long
            _tell(b"e", str(failed).encode() + b"\n")
            _tell(b"x", b"126")
            return
        self._pipes = {b"o": self._process.stdout, b"e": self._process.stderr}
        for letter, pipe in self._pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, lambda pipe, letter=letter: self._pass_on(pipe, letter))

    def _pass_on(self, pipe: Any, letter: bytes) -> bool:
        """Send on what there is in a pipe; return whether more may come."""
        while not pipe.closed:
            block = pipe.read(_BLOCK)
            if block is None:
                return True
            if not block:
                self._selector.unregister(pipe)
                pipe.close()
            elif letter:
                _tell(letter, block)
        return False

    def _note_end(self, ended: int) -> None:
        os.read(ended, _BLOCK)
        if self._process is None or self._process.poll() is None:
            return
        for letter, pipe in self._pipes.items():
            # What the command leaves in the background may print to its pipes still. That is read, and belongs to none.
            if self._pass_on(pipe, letter):
                self._selector.modify(pipe, selectors.EVENT_READ, lambda pipe: self._pass_on(pipe, b""))
        code = self._process.returncode
        self._process = None
        _tell(b"x", b"%d" % (code if code >= 0 else 128 - code))  # as a shell has it


def piece(letter: bytes, body: bytes = b"") -> bytes:
    """Return a piece, as it is sent."""
    return HEAD.pack(letter, len(body)) + body


def _tell(letter: bytes, body: bytes = b"") -> None:
    left = piece(letter, body)
    while left:
        left = left[os.write(1, left) :]


if __name__ == "__main__":
    Runner().serve()
