"""A machine of a swarm that exists: the SSH connection to it, and the machine as a node."""

from __future__ import annotations

import math
import os
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from typing_extensions import override

from swarmlab.cluster import deadline
from swarmlab.cluster.marks import FOLDERS
from swarmlab.cluster.node import MANAGEMENT_PORT, Answer, Node, Result
from swarmlab.errors import Blocked, UsageError
from swarmlab.labs import ssh
from swarmlab.labs.answering import answers
from swarmlab.labs.existing.inventory import Machine, jump_of
from swarmlab.labs.existing.reasons import why_not
from swarmlab.labs.ssh import Ssh

_SOCKET = "/var/run/docker.sock"


def write_config(folder: Path, machines: Sequence[Machine]) -> Path:
    """Write the configuration of ssh for *machines* to *folder*; `alias` gives each its name there.

    The user's own ssh_config is not read. The user's keys and known hosts are used if the inventory names none.
    """
    hosts: dict[str, dict[str, object]] = {}
    for place, machine in enumerate(machines):
        settings = _settings(machine)
        settings |= {"ControlMaster": "auto", "ControlPath": f"{folder}/{alias(place)}.ssh"}
        hosts[alias(place)] = settings
        if machine.jump:
            jump = f"{alias(place)}-jump"
            settings["ProxyJump"] = jump
            hosts[jump] = {**_settings(jump_of(machine)), "LogLevel": "INFO"}  # see `Ssh.open`
    common = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
        "ConnectTimeout": 15,
        "ServerAliveInterval": 15,
        "ServerAliveCountMax": 4,
        "ForwardAgent": "no",
        "ClearAllForwardings": "no",
        "StreamLocalBindUnlink": "yes",
    }
    return ssh.write_config(folder / "ssh_config", hosts, common)


def _settings(machine: Machine) -> dict[str, object]:
    settings: dict[str, object] = {"HostName": machine.address, "Port": machine.port, "User": machine.user}
    if machine.key:
        settings |= {"IdentityFile": f'"{machine.key}"', "IdentitiesOnly": "yes"}
    if machine.known_hosts:
        settings |= {"UserKnownHostsFile": f'"{machine.known_hosts}"', "GlobalKnownHostsFile": "/dev/null"}
    return settings


def alias(place: int) -> str:
    """Return ssh's name of the machine at this place of the inventory; short, as it is part of a socket's path."""
    return f"n{place}"


#: Renames the keys of a user's settings of the docker command that change what it prints, or what containers get.
_NEUTRAL = r's/"([A-Za-z]+Format|proxies|aliases|currentContext)"([[:space:]]*):/"swc-\1"\2:/g'
#: Variables of a user's environment that lead docker's commands elsewhere, or have them do something else.
_VARIABLES = "^(DOCKER|COMPOSE|BUILDKIT|BUILDX)_[A-Za-z_]+"


class Connection:
    """The connection to one machine, and to its engine.

    Attributes:
        machine: the machine, as the inventory has it.
        engine_socket: a local socket at which the machine's engine answers while the connection is open.
        ssh: the SSH connection.
        root: commands run as root there; known once the connection is open.
    """

    def __init__(self, machine: Machine, place: int, config: Path) -> None:
        """Describe the connection; nothing is opened yet.

        Args:
            machine: the machine.
            place: its place in the inventory.
            config: the configuration file that `write_config` wrote.
        """
        self.machine = machine
        self.engine_socket = config.parent / f"{alias(place)}.sock"
        self.ssh = Ssh(config, alias(place), timeout=120)
        self.root = False
        self._bridge: Bridge | None = None

    def open(self) -> None:
        """Open the connection, and check that user and engine are fit for use.

        Raises:
            UsageError: the machine cannot be reached, the user lacks rights, or the engine does not answer; the message
                names the mend.
        """
        if message := self.ssh.open():
            raise UsageError(why_not(message, self.machine))
        user = self.machine.user
        asked = self.ssh.run("id -u")
        if asked.returncode != 0:
            raise UsageError(why_not(f"{asked.stdout}\n{asked.stderr}", self.machine))
        self.root = asked.stdout.split()[-1:] == ["0"]  # a login shell may print a greeting before
        if not self.root and self.machine.sudo:
            if self.ssh.run("sudo -n true").returncode != 0:
                raise UsageError(
                    f"node {self.machine}: sudo asks {user} for a password; "
                    "allow all commands without one (NOPASSWD), or take sudo out of the inventory"
                )
            self.root = True
        asked = self.ssh.run(f"{self.sudo}docker version --format '{{{{.Server.Version}}}}'")
        if asked.returncode != 0:
            message = asked.stderr.strip().replace("\n", " ")
            if "permission denied" in message.lower():
                raise UsageError(
                    f"node {self.machine}: the user {user} may not use the engine; "
                    "add the user to the group docker, or set sudo: true"
                )
            if "not found" in message:
                raise UsageError(f"node {self.machine}: has no docker command; install the engine, or mend its address")
            raise UsageError(f"node {self.machine}: its engine does not answer; start it ({message[-150:]})")
        self._lead_to_engine()

    @property
    def sudo(self) -> str:
        """The prefix for commands that need root, if the user becomes root by sudo; else empty."""
        return "sudo -n " if self.machine.sudo and self.machine.user != "root" else ""

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._bridge:
            self._bridge.close()
            self._bridge = None
        self.ssh.close()
        self.engine_socket.unlink(missing_ok=True)

    def _lead_to_engine(self) -> None:
        """Connect the local socket to the engine's socket.

        SSH forwards it. If the server does not allow that, or the user needs sudo, each connection goes through a
        docker command there.
        """
        forward = ("-L", f"{self.engine_socket}:{_SOCKET}")
        if not self.sudo:
            if self.ssh.control("forward", *forward) and self._answers():
                return
            self.ssh.control("cancel", *forward)
            self.engine_socket.unlink(missing_ok=True)
        self._bridge = Bridge(self.engine_socket, self.ssh.command(f"{self.sudo}docker system dial-stdio"))
        if not self._answers():
            raise UsageError(f"node {self.machine}: its engine cannot be asked over SSH (docker system dial-stdio)")

    def _answers(self) -> bool:
        return answers(f"unix://{self.engine_socket}", timeout=math.ceil(deadline.left(30)))


class Bridge:
    """A local socket that runs a command for each connection, with the connection as its input and output."""

    def __init__(self, path: Path, command: Sequence[str]) -> None:
        """Listen at *path*, and run *command* for each connection until `close`."""
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
                self._running = [process for process in self._running if process.poll() is None]
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
        """Close the socket, and end the commands."""
        self._socket.close()
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()
        self._path.unlink(missing_ok=True)


class _NoHost:
    """Takes the place of testinfra's view of a machine where the user is not root: every use of it is blocked."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise Blocked(self._why)


class SshNode(Node):
    """A machine of a swarm that exists, as a node.

    It is never switched off or halted. If the user is not root there, whatever needs root raises Blocked.

    Attributes:
        published: its published ports can be reached from this machine.
        management: its port for managers can be reached from this machine.
        client_settings: name of the folder of the docker command's settings, with {user} in it, as of
            `swarmlab.cluster.marks.unique`; empty where commands may use their users' own settings.
        connection: the connection to it.
    """

    published = True
    management = True
    client_settings = ""

    def __init__(self, connection: Connection, name: str, address: str) -> None:
        """Describe a machine whose connection is open.

        Args:
            connection: the connection.
            name: its host name.
            address: its address in the swarm.
        """
        shell = connection.ssh.testinfra(sudo=bool(connection.sudo))
        super().__init__(name, address, shell, f"unix://{connection.engine_socket}")
        self.connection = connection
        self.root = connection.root
        self._shell = shell
        if not self.root:
            user = connection.machine.user
            self._why = f"the user {user} is not root on {name} (if sudo makes that user root: sudo: true)"
            self.host = _NoHost(self._why)

    @override
    def run(self, command: str, *, user: str | None = None, shown: Callable[[str], str] | None = None) -> Result:
        if not self.root and (user or not command.startswith("docker ")):
            raise Blocked(self._why)
        line = self._apart(command)
        return self._run(self.host, f"su - {user} -c {shlex.quote(line)}" if user else line, command, shown)

    @override
    def look(self, command: str) -> Result:
        return self._run(self._shell, self._apart(command), command)

    def _apart(self, command: str) -> str:
        """Have a command of docker's write nothing on the machine that stays.

        It gets a copy of its user's settings, as docker writes files beside them: `docker build` .buildNodeID, buildx
        its state. An old docker-compose, which is a program of Python's, would write compiled modules beside its own.
        In the copy, keys that change what commands print, and what containers get, have a name that docker does not
        know. The builder is the engine's own, whichever the user has chosen, and variables of docker's do not count.
        """
        if not self.client_settings or "docker" not in command:
            return command
        made = f"settings={FOLDERS}/{self.client_settings.format(user='$(id -un)')}; "
        made += '[ -d "$settings" ] || { mkdir -m 700 "$settings"; cd ~/.docker && {'
        made += ' cp -a config.json buildx "$settings"; for part in cli-plugins contexts trust; do'
        made += ' [ ! -e $part ] || ln -s ~/.docker/$part "$settings"; done;'
        made += f' sed -i -E {shlex.quote(_NEUTRAL)} "$settings/config.json"; cd; }}; }} 2>/dev/null; '
        exported = 'DOCKER_CONFIG="$settings" BUILDX_BUILDER=default PYTHONDONTWRITEBYTECODE=1'
        return f"{made}unset $(env | grep -oE '{_VARIABLES}'); export {exported}; {command}"

    @override
    def send(self, method: str, port: int, path: str = "/", **how: Any) -> Answer:
        self.expect_reachable(port)
        return super().send(method, port, path, **how)

    @override
    def expect_reachable(self, port: int) -> None:
        if not (self.management if port == MANAGEMENT_PORT else self.published):
            raise Blocked(f"port {port} of nodes cannot be reached from where the suite runs")

    @override
    def stop(self) -> None:
        self._never()

    @override
    def start(self) -> None:
        self._never()

    @override
    def kill(self) -> None:
        self._never()

    @override
    def freeze(self) -> None:
        self._never()

    @override
    def thaw(self) -> None:
        self._never()

    def _never(self) -> NoReturn:
        raise Blocked("nodes of a swarm that exists are not switched off")

    def _log_command(self) -> str:
        unit = "journalctl --no-pager --unit docker --lines 2000"
        return f"{unit} 2>/dev/null || tail -n 2000 /var/log/dockerd.log /var/log/docker.log 2>/dev/null"
