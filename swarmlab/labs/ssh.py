"""Nodes that are reached over SSH: one connection a machine, over which its shell and its engine's socket are asked."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import docker
import requests
import testinfra

from swarmlab.cluster.node import MANAGEMENT_PORT, Answer, Node, Result
from swarmlab.errors import Blocked, UsageError
from swarmlab.labs.existing.inventory import Machine

_SOCKET = "/var/run/docker.sock"
#: What ssh says, and what it means: the words of a mistake and of its mend.
_REASONS = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "its host key is another than the known one",
        "find out why, and mend known_hosts",
    ),
    r"host key is known|Host key verification failed|authenticity of host": (
        "its host key is not known",
        "add it to known_hosts (ssh-keyscan, and compare), or name the file with known_hosts",
    ),
    r"Permission denied|Too many authentication failures": (
        "it lets the user {user} in with none of the keys",
        "name the right key and user",
    ),
    r"UNPROTECTED PRIVATE KEY|bad permissions": ("ssh does not use a key that others may read", "chmod 600 the key"),
    r"error in libcrypto|invalid format": ("the key is no private key", "name the right file with key"),
    r"Could not resolve hostname": ("its address has no meaning here", "mend its address"),
    r"Connection refused": ("nothing answers on port {port}", "start sshd there, or mend address and port"),
    r"timed out|No route to host|unreachable": ("it does not answer", "switch it on, or mend address, port and jump"),
}


def write_config(folder: Path, machines: Sequence[Machine]) -> Path:
    """Write what ssh is to know of *machines*, each under the name `alias` gives it.

    Nothing of it is taken from the user's own settings but keys and known hosts where the inventory names none.
    """
    lines = []
    for place, machine in enumerate(machines):
        jump = f"{alias(place)}-jump"
        lines += [f"Host {alias(place)}", *_host(machine)]
        lines += [f"  ProxyJump {jump}"] if machine.jump else []
        lines += ["  ControlMaster auto", f"  ControlPath {folder}/{alias(place)}.ssh"]
        if machine.jump:
            found = re.fullmatch(r"(?:([^@]+)@)?([^:]+)(?::(\d+))?", machine.jump)
            assert found, machine.jump
            through = Machine(found[2], user=found[1] or machine.user, port=int(found[3] or 22), key=machine.key)
            lines += [f"Host {jump}", *_host(through)]
            lines += [f'  UserKnownHostsFile "{machine.known_hosts}"'] if machine.known_hosts else []
    lines += ["Host *", "  BatchMode yes", "  StrictHostKeyChecking yes", "  LogLevel ERROR"]
    lines += ["  ConnectTimeout 15", "  ServerAliveInterval 15", "  ServerAliveCountMax 4", "  ForwardAgent no"]
    lines += ["  ClearAllForwardings no", "  StreamLocalBindUnlink yes"]
    file = folder / "ssh_config"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _host(machine: Machine) -> list[str]:
    lines = [f"  HostName {machine.address}", f"  Port {machine.port}", f"  User {machine.user}"]
    if machine.key:
        lines += [f'  IdentityFile "{machine.key}"', "  IdentitiesOnly yes"]
    if machine.known_hosts:
        lines += [f'  UserKnownHostsFile "{machine.known_hosts}"', "  GlobalKnownHostsFile /dev/null"]
    return lines


def alias(place: int) -> str:
    """What ssh calls the machine at this place of the inventory: short, as it is part of a socket's path."""
    return f"n{place}"


class Connection:
    """The way to one machine.

    Attributes:
        machine: where it is.
        engine_socket: a local socket at which the machine's engine answers while the way is open.
        root: commands have root's rights there; known once it is open.
    """

    def __init__(self, machine: Machine, place: int, config: Path) -> None:
        self.machine = machine
        self.engine_socket = config.parent / f"{alias(place)}.sock"
        self.root = False
        self._alias = alias(place)
        self._config = config
        self._bridge: Bridge | None = None

    def ssh(self, *words: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run ssh itself with the machine's name as the last of its options."""
        return subprocess.run(
            ["ssh", "-F", str(self._config), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the run, which needs the connection to clean up
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command as the user who logs in."""
        return self.ssh(self._alias, command)

    def open(self) -> None:
        """Open it, and see that user and engine are as they have to be.

        Raises:
            UsageError: the machine, its user or its engine cannot be had; the message names the mend.
        """
        # To a file, as what leads through a jump host keeps its standard error open for as long as it lives.
        said = self._config.with_name(f"{self._alias}.log")
        with said.open("w") as log:
            words = ["ssh", "-F", str(self._config), "-f", "-N", "-M", self._alias]
            done = subprocess.run(
                words,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=120,
                start_new_session=True,
            )
        if done.returncode != 0:
            self._refuse(said.read_text(errors="replace"))
        user = self.machine.user
        self.root = self.run("id -u").stdout.strip() == "0"
        if not self.root and self.machine.sudo:
            if self.run("sudo -n true").returncode != 0:
                raise UsageError(
                    f"node {self.machine}: sudo asks {user} for a password; "
                    "let him do all without one (NOPASSWD), or take sudo out of the inventory"
                )
            self.root = True
        asked = self.run(f"{self.sudo}docker version --format '{{{{.Server.Version}}}}'")
        if asked.returncode != 0:
            told = asked.stderr.strip().replace("\n", " ")
            if "permission denied" in told.lower():
                raise UsageError(
                    f"node {self.machine}: the user {user} may not use the engine; "
                    "put him into the group docker, or set sudo: true"
                )
            if "not found" in told:
                raise UsageError(f"node {self.machine}: has no docker command; install the engine, or mend its address")
            raise UsageError(f"node {self.machine}: its engine does not answer; start it ({told[-150:]})")
        self._lead_to_engine()

    @property
    def sudo(self) -> str:
        """What goes before a command that takes root's rights, where the user has them by sudo."""
        return "sudo -n " if self.machine.sudo and self.machine.user != "root" else ""

    def close(self) -> None:
        """Close it, if it is open."""
        if self._bridge:
            self._bridge.close()
            self._bridge = None
        self.ssh("-O", "exit", self._alias)
        self.engine_socket.unlink(missing_ok=True)

    def _refuse(self, said: str) -> NoReturn:
        told = {"user": self.machine.user, "port": self.machine.port}
        through = f" (through {self.machine.jump})" if self.machine.jump else ""
        for pattern, (seen, mend) in _REASONS.items():
            if re.search(pattern, said, re.IGNORECASE):
                raise UsageError(f"node {self.machine}{through}: {seen.format(**told)}; {mend}")
        words = " ".join(said.split())[-200:] or "ssh said nothing"
        raise UsageError(f"node {self.machine}{through}: cannot be reached over SSH: {words}")

    def _lead_to_engine(self) -> None:
        """Lead the local socket to the engine's: by forwarding, or, where the server does not or only root may, not."""
        if not self.sudo:
            done = self.ssh("-O", "forward", "-L", f"{self.engine_socket}:{_SOCKET}", self._alias)
            if done.returncode == 0 and self._answers():
                return
            self.ssh("-O", "cancel", "-L", f"{self.engine_socket}:{_SOCKET}", self._alias)
            self.engine_socket.unlink(missing_ok=True)
        command = ["ssh", "-F", str(self._config), self._alias, f"{self.sudo}docker system dial-stdio"]
        self._bridge = Bridge(self.engine_socket, command)
        if not self._answers():
            raise UsageError(f"node {self.machine}: its engine cannot be asked over SSH (docker system dial-stdio)")

    def _answers(self) -> bool:
        try:
            client = docker.DockerClient(base_url=f"unix://{self.engine_socket}", version="auto", timeout=30)
        except (docker.errors.DockerException, requests.exceptions.RequestException):
            return False
        client.close()
        return True


class Bridge:
    """A local socket, each connection to which is led through a command's standard input and output."""

    def __init__(self, path: Path, command: Sequence[str]) -> None:
        self._command = list(command)
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
            except OSError:  # it was closed
                return
            with connection:
                self._running = [one for one in self._running if one.poll() is None]
                self._running.append(
                    subprocess.Popen(
                        self._command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )

    def close(self) -> None:
        """End it, and what goes through it."""
        self._socket.close()
        for one in self._running:
            one.terminate()
        for one in self._running:
            one.wait()
        self._path.unlink(missing_ok=True)


class _NoHost:
    """What stands for testinfra's view of a machine where the user has no root's rights."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise Blocked(self._why)


class SshNode(Node):
    """A machine of a swarm that exists.

    It is never switched off or halted. What has to be seen as root is blocked where the user is not root there.

    Attributes:
        published: its published ports can be reached from where the suite runs.
        management: so can its managers' port.
    """

    published = True
    management = True

    def __init__(self, connection: Connection, name: str, address: str) -> None:
        machine = connection.machine
        config = f"ssh_config={connection.engine_socket.parent}/ssh_config"
        host = testinfra.get_host(
            f"ssh://{connection.engine_socket.stem}?{config}&controlpersist=0&timeout=60", sudo=bool(connection.sudo)
        )
        super().__init__(name, address, host, f"unix://{connection.engine_socket}")
        self.connection = connection
        self.root = connection.root
        self._shell = host
        if not self.root:
            self._why = f"the user {machine.user} is not root on {name} (where sudo makes him so: sudo: true)"
            self.host = _NoHost(self._why)

    def run(self, command: str, *, user: str | None = None) -> Result:
        if not self.root and (user or not command.startswith("docker ")):
            raise Blocked(self._why)
        return super().run(command, user=user)

    def look(self, command: str) -> Result:
        return self._run(self._shell, command)

    def send(self, method: str, port: int, path: str = "/", **how: Any) -> Answer:
        self.expect_way(port)
        return super().send(method, port, path, **how)

    def expect_way(self, port: int) -> None:
        if not (self.management if port == MANAGEMENT_PORT else self.published):
            raise Blocked(f"port {port} of nodes cannot be reached from where the suite runs")

    def stop(self) -> None:
        self._never()

    def start(self) -> None:
        self._never()

    def kill(self) -> None:
        self._never()

    def freeze(self) -> None:
        self._never()

    def thaw(self) -> None:
        self._never()

    def _never(self) -> NoReturn:
        raise Blocked("nodes of a swarm that exists are not switched off")

    def _log_command(self) -> str:
        unit = "journalctl --no-pager --unit docker --lines 2000"
        return f"{unit} 2>/dev/null || tail -n 2000 /var/log/dockerd.log /var/log/docker.log 2>/dev/null"
