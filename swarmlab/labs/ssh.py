"""SSH to a machine of a lab: one connection that stays open, through which commands and sockets go."""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import testinfra

from swarmlab.cluster import deadline

#: Seconds that a login may take; ssh itself ends sooner if nothing answers.
_LOGIN = 60.0
#: What ssh itself prints where the open connection takes no further session, or has ended, before it makes another.
_OWN = re.compile(
    rb"(?m)^(mux_client_request_session: .*|ControlSocket .* already exists, disabling multiplexing"
    rb"|Control socket connect\(.*\): .*)\r?\n?"
)
#: Settings of ssh_config by their names; a list stands for several lines.
Settings = Mapping[str, object]


def write_config(file: Path, hosts: Mapping[str, Settings], common: Settings) -> Path:
    """Write a configuration file for ssh.

    Args:
        file: where it goes.
        hosts: the settings of each host, by the name that ssh is given.
        common: the settings of all hosts; those of a host come first, so they win.

    Returns:
        The file.
    """
    lines: list[str] = []
    for name, settings in {**hosts, "*": common}.items():
        lines.append(f"Host {name}")
        for key, value in settings.items():
            lines += [f"  {key} {each}" for each in (value if isinstance(value, list) else [value])]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


class Ssh:
    """An SSH connection to one machine.

    `open` starts a control connection, and everything later goes through it; once that has ended, each command logs in
    by itself. The configuration file must set ControlPath.

    Source: ssh(1), options -M, -N, -O; ssh_config(5), ControlMaster.
    """

    def __init__(self, config: Path, host: str, *, timeout: float | None = None) -> None:
        """Describe the connection; nothing is opened yet.

        Args:
            config: the configuration file, as `write_config` writes it.
            host: the machine's name in that file.
            timeout: seconds that one call of ssh may take; None for no limit.
        """
        self.config = config
        self.host = host
        self._timeout = timeout

    def command(self, *remote: str, options: Sequence[str] = ()) -> list[str]:
        """Return the ssh command with *options*, which runs *remote* on the machine."""
        return ["ssh", "-F", str(self.config), *options, self.host, *remote]

    def shell(self, command: str) -> list[str]:
        """Return the command that opens a terminal on the machine, or runs *command* there if it is not empty."""
        return self.command(command) if command else self.command(options=["-t"])

    def testinfra(self, *, sudo: bool = False) -> Any:
        """Return testinfra's view of the machine, as the user who logs in or, with *sudo*, as root."""
        query = f"ssh_config={self.config}&controlpersist=0&timeout=60"
        host = testinfra.get_host(f"ssh://{self.host}?{query}", sudo=sudo)
        backend = host.backend
        deadline.heed(backend)  # a copy of it, as `deadline.run` makes, would have the method that is wrapped here
        send = backend.run_ssh

        def run_ssh(line: str) -> Any:
            done = send(line)
            return backend.result(done.rc, done.command, done.stdout_bytes, _OWN.sub(b"", done.stderr_bytes))

        backend.run_ssh = run_ssh
        return host

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the machine."""
        return self._run(self.command(command))

    def control(self, verb: str, *options: str) -> bool:
        """Send a control command (check, exit, forward, cancel) to the open connection; return whether it was done."""
        return self._run(self.command(options=["-O", verb, *options])).returncode == 0

    def open(self) -> str:
        """Open the connection, if it is not open.

        Returns:
            An empty text, or ssh's message if the connection cannot be opened.
        """
        if self.control("check"):
            return ""
        # To a file and not a pipe: the process that connects through a jump host keeps its standard error open.
        log = self.config.with_name(f"{self.host}.log")
        start = time.monotonic()
        with log.open("w") as out:
            try:
                done = subprocess.run(
                    # At the level ERROR ssh does not say why two of them do not agree on an algorithm, for example.
                    self.command(options=["-f", "-N", "-M", "-o", "LogLevel=INFO"]),
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    timeout=deadline.left(min(self._timeout or _LOGIN, _LOGIN)),
                    start_new_session=True,  # a Ctrl-C is for the run, which needs the connection to clean up
                )
            except subprocess.TimeoutExpired:
                return f"timed out: the login took over {time.monotonic() - start:.0f} s"
            except FileNotFoundError:
                return "no program ssh"
        if done.returncode == 0:
            return ""
        return log.read_text(errors="replace").strip() or f"ssh ended with {done.returncode} and printed nothing"

    def close(self) -> None:
        """Close the connection, if it is open."""
        self.control("exit")

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        limit = deadline.left(self._timeout or math.inf)
        try:
            return subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=None if limit == math.inf else limit,
                start_new_session=True,  # as in `open`
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 255, "", f"timed out after {limit:.0f} s")
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 255, "", "no program ssh")
