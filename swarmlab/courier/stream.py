"""What a container prints, as it comes, and signals and the size of the terminal on their way to it."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import docker
import requests

from swarmlab import signals
from swarmlab.host import Progress

_FAILURES = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
#: Signals after which the command is left alone: it has been asked often enough, or cannot be asked.
_MOST = 4


class Forwarder:
    """Sends the signals that this process gets to a container, from a thread of its own, until it is told to stop."""

    def __init__(self, client: docker.DockerClient, container: str, progress: Progress) -> None:
        """Take over the signals that end a program; call it in the main thread.

        Args:
            client: the engine.
            container: the container's id.
            progress: called with a line where a signal cannot be sent.
        """
        self._client, self._container, self._progress = client, container, progress
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._first: int | None = None
        self._count = 0
        self._last = 0.0
        heeded = [number for number in signals.ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._take) for number in heeded}
        threading.Thread(target=self._send, name="forwarder", daemon=True).start()

    def stop(self) -> None:
        """Give the signals back to whoever took them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        self._first = self._first or number
        if number == signal.SIGHUP:
            signals.hush()
        # A terminal sends one signal to a whole group of processes, whose members may pass it on.
        if time.monotonic() - self._last > 0.2:
            self._last = time.monotonic()
            self._count += 1
            self._waiting.put(number)
        if self._count >= _MOST:
            signals.print_safely("swarmlab: the container was asked to end, and does not; the next run removes it")
            os._exit(signals.status_of(self._first))

    def _send(self) -> None:
        while True:
            number = self._waiting.get()
            try:
                self._client.api.kill(self._container, signal.Signals(number).name)
            except _FAILURES as failed:
                if not isinstance(failed, docker.errors.APIError):  # else it has ended
                    self._progress(f"{signal.Signals(number).name} cannot be sent to the container: {failed}")


def is_terminal() -> bool:
    """Whether what a command prints goes to a terminal as a whole."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return sys.stdout.isatty() and sys.stderr.isatty()
    return False


def follow_size(client: docker.DockerClient, container: str) -> None:
    """Give a container's terminal the size of this process's one, now and whenever that changes."""

    def tell(*_: Any) -> None:
        size = shutil.get_terminal_size()
        with contextlib.suppress(*_FAILURES):  # it is about to end
            client.api.resize(container, height=size.lines, width=size.columns)

    signal.signal(signal.SIGWINCH, lambda *_: threading.Thread(target=tell, daemon=True).start())
    tell()


def attach(client: docker.DockerClient, container: str, *, terminal: bool) -> threading.Thread:
    """Print what a container prints, from a thread that ends with the container; attach before it starts.

    Args:
        client: the engine.
        container: the container's id.
        terminal: whether it prints to a terminal of its own.
    """
    coming: Any = client.api.attach(  # type: ignore[call-overload]
        container, stdout=True, stderr=True, stream=True, demux=not terminal
    )

    def pass_on() -> None:
        with contextlib.suppress(*_FAILURES):
            for piece in coming:
                for descriptor, block in enumerate((piece, None) if terminal else piece, start=1):
                    _write(descriptor, block or b"")

    thread = threading.Thread(target=pass_on, name="output", daemon=True)
    thread.start()
    return thread


def _write(descriptor: int, block: bytes) -> None:
    with contextlib.suppress(OSError):  # the reader is gone; the command goes on
        while block:
            block = block[os.write(descriptor, block) :]


def lifeline(client: docker.DockerClient, container: str) -> Any:
    """Have a container end in order when this process does, however that ends; keep what is returned until then.

    A command in the container waits for the end of its input, which is this process's connection.
    """
    try:
        end = ["sh", "-c", "cat >/dev/null; kill -s TERM 1"]
        made = client.api.exec_create(container, end, stdin=True, stdout=False)
        return client.api.exec_start(made["Id"], socket=True)
    except docker.errors.APIError:  # it has ended already
        return None
