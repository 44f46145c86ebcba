"""An engine behind ssh:// as a unix socket of this process, so that all else speaks to it as to any other engine.

Each connection to the socket is a `docker system dial-stdio` on the engine's machine, as the docker command has it. All
share one connection of ssh, which nobody is asked a password for.

Source: docker's reference of the command line, "Daemon socket option"; ssh_config(5), ControlMaster.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, drop_folder, in_folder, own_folder

#: Seconds that ssh may take to connect, and the command on the engine's machine to answer.
_CONNECT, _ANSWER = 10, 30
#: Seconds until a line says that ssh is waited for.
_SOON = 3
#: Seconds after which the shared connection ends by itself, where a process is killed before it ends it.
_PERSIST = 20
#: The exit status of ssh where it is ssh itself that failed, and of a shell that lacks a program.
_SSH_FAILED, _NO_PROGRAM = 255, 127


#: The tunnels of this process that are open.
_open: set[Tunnel] = set()


def close_all() -> None:
    """Close the tunnels of this process, before another program takes its place or it ends."""
    for tunnel in list(_open):
        tunnel.close()


class Tunnel:
    """A unix socket whose connections end at an engine behind ssh.

    Attributes:
        url: the address of the socket.
    """

    def __init__(self, address: str, by: str, progress: Progress = lambda _: None) -> None:
        """Connect, and listen.

        Args:
            address: as ssh://USER@HOST:PORT; a path names the engine's socket on that machine.
            by: what names the engine, for messages.
            progress: called with a line if the connection takes long.

        Raises:
            UsageError: there is no ssh here, it cannot connect, or there is no docker command or engine there.
        """
        if not shutil.which("ssh"):
            raise UsageError(f"{by}: this machine has no ssh command; install openssh-client")
        self._by = by
        try:
            parts = urlsplit(address)
            self._host, port = parts.hostname or "", parts.port
        except ValueError:
            self._host, port = "", None
        if not self._host or self._host.startswith("-") or parts.password:
            raise UsageError(f"{by}: is no address of ssh; write ssh://USER@HOST or ssh://USER@HOST:PORT")
        mine = own_folder("tunnels")
        self._folder = in_folder(mine, lambda: Path(tempfile.mkdtemp(prefix="", dir=mine)))
        own = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT}", "-o", "ServerAliveInterval=15"]
        own += ["-o", "ControlMaster=auto", "-o", f'ControlPath="{self._folder}/master"']
        own += ["-o", f"ControlPersist={_PERSIST}"]
        own += ["-l", parts.username] if parts.username else []
        own += ["-p", str(port)] if port else []
        self._ssh = ["ssh", "-T", *own]
        there = ["--host", f"unix://{parts.path}"] if parts.path.strip("/") else []
        self._command = [*self._ssh, "--", self._host, "docker", *there, "system", "dial-stdio"]
        self._ends: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        _open.add(self)
        try:
            soon = threading.Timer(_SOON, lambda: progress(f"waiting for ssh to connect to {shown(self._host)}"))
            soon.daemon = True
            soon.start()
            try:
                self._try()
            finally:
                soon.cancel()
            self._listener.bind(str(self._folder / "docker.sock"))
            self._listener.listen(64)
        except BaseException:
            self.close()
            raise
        self.url = f"unix://{self._folder}/docker.sock"
        threading.Thread(target=self._serve, name="tunnel", daemon=True).start()

    def _try(self) -> None:
        """Make the shared connection with a command that asks the engine nothing."""
        try:
            # Its errors go to a file: the shared connection stays behind, and would hold a pipe open.
            with tempfile.TemporaryFile() as errors:
                done = subprocess.run(
                    self._command,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    timeout=_CONNECT + _ANSWER,
                    start_new_session=True,
                )
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
        except subprocess.TimeoutExpired:
            raise UsageError(f"{self._by}: {self._host} takes a login and no command; look at its shell") from None
        if not done.returncode:
            return
        said = shown(next((line for line in reversed(lines) if line.strip()), f"status {done.returncode}"), 200)
        if done.returncode == _SSH_FAILED:
            try_it = f"this has to work without a question: ssh {self._address()}"
            raise UsageError(f"{self._by}: ssh cannot connect: {said}; {try_it}")
        if done.returncode == _NO_PROGRAM:
            raise UsageError(f"{self._by}: {self._host} has no docker command ({said}); install docker-cli there")
        raise UsageError(f"{self._by}: docker on {self._host} reaches no engine: {said}; mend that there")

    def _address(self) -> str:
        words = self._ssh[self._ssh.index(f"ControlPersist={_PERSIST}") + 1 :]
        return shown(" ".join([*words, self._host]))

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            with asking, contextlib.suppress(OSError):
                self._ends = [end for end in self._ends if end.poll() is None]
                self._ends.append(
                    # A session of its own: a terminal's Ctrl-C is for the run, not for what it speaks through.
                    subprocess.Popen(
                        self._command,
                        stdin=asking.fileno(),
                        stdout=asking.fileno(),
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )

    def close(self) -> None:
        """End the connections and remove the socket; what is closed already stays so."""
        _open.discard(self)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.terminate()
                end.wait(5)
        if (self._folder / "master").exists():
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                leave = [*self._ssh, "-O", "exit", "--", self._host]
                subprocess.run(leave, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)
        drop_folder(self._folder.parent)


atexit.register(close_all)
