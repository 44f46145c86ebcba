"""The shell of a container node: processes that stay on the node and run its commands.

``docker exec`` costs some twenty times what the command itself does: a program here, and one of the container's runtime
there. So a process is started on the node once (see `runner`), and commands go over its connection.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import docker
from docker.models.containers import Container
from testinfra.backend.docker import DockerBackend

from swarmlab.cluster import deadline
from swarmlab.cluster.streams import Streams, hang_up
from swarmlab.errors import LabError, Overdue
from swarmlab.labs.containers import runner
from swarmlab.labs.sent import program

_BLOCK = 2**16
#: Seconds, not scaled, after which a silent process's container is looked at, and after which the process is given up.
_SOON, _PATIENCE = 0.5, 60.0
#: Processes that stay on a node while no command runs. More are started where more commands run at once.
_IDLE = 2


class Shell:
    """A process on a node that runs one command at a time."""

    def __init__(self, container: Container) -> None:
        """Start it.

        Raises:
            docker.errors.APIError: the container does not run, or is paused.
        """
        assert container.client
        api = container.client.api
        command, text = program(runner)
        made = api.exec_create(str(container.id), command, stdin=True)
        # The stream is kept, as the connection is closed with it.
        self._stream: Any = api.exec_start(made["Id"], socket=True)
        self._socket: Any = getattr(self._stream, "_sock", self._stream)
        self._printed = Streams()
        self._send(text)

    def greet(self, look: Callable[[], None]) -> None:
        """Return once the process answers, so that a command that is sent now is run now.

        Args:
            look: called while there is no answer; raises what keeps the node from answering.

        Raises:
            ConnectionError: the process has ended, or does not answer for long.
            Overdue: it did not answer `within` the time that is left.
        """
        patience = deadline.left(_PATIENCE)
        until = time.monotonic() + patience
        self._send(runner.piece(b"?"))
        while (now := time.monotonic()) < until:
            with contextlib.suppress(TimeoutError):
                self._next(min(_SOON, until - now))
                return
            look()
        if patience < _PATIENCE:
            raise Overdue(f"did not answer within {patience:.0f} s")
        raise ConnectionError(f"its shell did not answer for {patience:.0f} s")

    def run(self, command: bytes) -> tuple[int, bytes, bytes]:
        """Run a command; return its exit code, and what it printed to standard output and standard error.

        Raises:
            ConnectionError: the connection broke. Nothing is known of what became of the command.
            Overdue: it did not end `within` the time that is left. It is killed when the shell is closed.
        """
        start = time.monotonic()
        until = start + deadline.left(math.inf)
        printed = {b"o": bytearray(), b"e": bytearray()}
        self._send(runner.piece(b"c", command))
        try:
            while True:
                letter, body = self._next(until - time.monotonic())
                if letter == b"x":
                    return int(body), bytes(printed[b"o"]), bytes(printed[b"e"])
                printed[letter] += body
        except TimeoutError:
            text = printed[b"o"].decode(errors="replace")
            raise Overdue(f"did not end within {time.monotonic() - start:.0f} s", text) from None

    def close(self) -> None:
        """Close the connection, with which the process and the command that it runs end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        hang_up(self._stream)
        self._socket.close()

    def _send(self, block: bytes) -> None:
        self._socket.settimeout(_PATIENCE)
        try:
            self._socket.sendall(block)
        except ConnectionError:
            pass  # who reads the answer finds out, and reads first what is there
        except OSError as broken:
            raise ConnectionError(f"the connection to its shell broke ({broken})") from broken

    def _next(self, patience: float) -> tuple[bytes, bytes]:
        """Return the next piece: its letter and its bytes.

        Raises:
            TimeoutError: there is none after *patience* seconds.
            ConnectionError: the connection broke.
        """
        head, received = runner.HEAD, self._printed.out
        until = time.monotonic() + patience
        while True:
            if len(received) >= head.size:
                letter, length = head.unpack_from(received)
                if len(received) >= head.size + length:
                    body = bytes(received[head.size : head.size + length])
                    del received[: head.size + length]
                    return letter, body
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError
            self._socket.settimeout(None if left == math.inf else left)
            self._receive()

    def _receive(self) -> None:
        try:
            block = self._socket.recv(_BLOCK)
        except TimeoutError:
            raise
        except OSError as broken:
            raise ConnectionError(f"the connection to its shell broke ({broken})") from broken
        if not block:
            printed = self._printed
            said = bytes(printed.err or printed.rest or printed.out).decode(errors="replace").strip()
            raise ConnectionError(f"the connection to its shell ended{f' ({said[-200:]})' if said else ''}")
        self._printed.add(block)


class NodeBackend(DockerBackend):  # type: ignore[misc]
    """testinfra's connection to a container node, over shells that stay there. Threads may share it.

    A command has nothing to read, and starts with the environment, folder and mask of ``docker exec``. What it leaves
    in the background goes on, and what that prints is in no answer.

    Attributes:
        in_time: commands end `within` the time of `swarmlab.cluster.deadline`.
    """

    in_time = True

    def __init__(self, node: str, container: Callable[[], Container]) -> None:
        """Describe the connection; nothing is started yet.

        Args:
            node: the node's name, for messages.
            container: returns the container; an upgrade replaces it.
        """
        super().__init__(str(container().name))
        self._node = node
        self._container = container
        self._lock = threading.Lock()
        self._idle: list[Shell] = []

    def run(self, command: str, *args: str, **_: Any) -> Any:
        """Run a command, as testinfra's backends do.

        Raises:
            LabError: the node cannot be reached, or the connection broke, after which nothing is known of what became
                of the command.
            Overdue: it did not end in time, and was killed.
        """
        line = self.encode(self.get_command(command, *args))
        shell = self._ready()
        try:
            code, out, err = shell.run(line)
        except ConnectionError as broken:
            shell.close()
            raise LabError(
                f"{self._node} cannot be reached any more: {broken} while a command ran there, and what became of that "
                f"is not known: {line[:200].decode(errors='replace')}"
            ) from broken
        except BaseException:
            shell.close()
            raise
        with self._lock:
            kept = len(self._idle) < _IDLE
            if kept:
                self._idle.append(shell)
        if not kept:
            shell.close()
        return self.result(code, line, out, err)

    def close(self) -> None:
        """End the processes on the node. The next command starts another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for shell in idle:
            shell.close()

    def _ready(self) -> Shell:
        """Return a shell that answers, for the caller alone."""
        while True:
            with self._lock:
                shell = self._idle.pop() if self._idle else None
            fresh = shell is None
            try:
                shell = shell or Shell(self._container())
                shell.greet(self._look)
            except BaseException as failed:
                if shell:
                    shell.close()
                if isinstance(failed, docker.errors.APIError):
                    raise LabError(f"{self._node} cannot be reached: {failed.explanation}") from failed
                if not isinstance(failed, ConnectionError):
                    raise
                if fresh:
                    raise LabError(f"{self._node} cannot be reached: {failed}") from failed
            else:
                return shell

    def _look(self) -> None:
        """Raise why the node cannot answer, if its container says so."""
        container = self._container()
        assert container.client
        try:
            state = container.client.api.inspect_container(str(container.id))["State"]
        except docker.errors.APIError as refused:
            raise LabError(f"{self._node} cannot be reached: {refused.explanation}") from refused
        if state["Paused"] or not state["Running"]:
            raise LabError(f"{self._node} cannot be reached: its container is {state['Status']}")
