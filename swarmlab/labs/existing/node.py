"""A machine of a swarm that exists: the SSH connection to it, and the machine as a node."""

from __future__ import annotations

import math
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from testinfra.host import Host
from typing_extensions import override

from swarmlab.cluster import deadline
from swarmlab.cluster.marks import FOLDERS
from swarmlab.cluster.node import MANAGEMENT_PORT, Answer, Node, Result, unsent
from swarmlab.errors import Blocked, LabError, NoAnswer, UsageError
from swarmlab.evidence import record
from swarmlab.files import shown
from swarmlab.labs import ssh
from swarmlab.labs.answering import answers
from swarmlab.labs.existing import logins, manners
from swarmlab.labs.existing.bridge import Bridge
from swarmlab.labs.existing.inventory import Machine
from swarmlab.labs.existing.manners import MARK, Manners
from swarmlab.labs.existing.reasons import why_not
from swarmlab.labs.existing.routes import Route
from swarmlab.labs.ssh import Ssh

_SOCKET = "/var/run/docker.sock"


def write_config(folder: Path, routes: Sequence[Route]) -> Path:
    """Write the configuration of ssh for the machines of *routes* to *folder*; `alias` gives each its name there.

    It stands alone: what the user's own configuration says of a machine is in its route.
    """
    hosts: dict[str, dict[str, object]] = {}
    for place, route in enumerate(routes):
        name = alias(place)
        # A command never keeps the connection: what is forwarded would end with it (see `Connection.again`).
        settings = {**route.settings, "ControlMaster": "no", "ControlPath": f"{folder}/{name}.ssh"}
        hosts[name] = settings
        hosts[engine_alias(name)] = other = {**settings, "ControlPath": f"{folder}/{engine_alias(name)}.ssh"}
        # Each jump host is reached through the one before it. The last has the shortest name.
        for number, jump in enumerate(reversed(route.jumps), 1):
            through = f"{name}-jump{number if number > 1 else ''}"
            settings["ProxyJump"] = through
            other.setdefault("ProxyJump", through)
            hosts[through] = settings = dict(jump)
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


def alias(place: int) -> str:
    """Return ssh's name of the machine at this place of the inventory; short, as it is part of a socket's path."""
    return f"n{place}"


def engine_alias(name: str) -> str:
    """Return the name of a second connection to the machine, for what asks its engine."""
    return f"{name}e"


#: What is said of a user who has no right to the engine's socket.
NO_RIGHT = "may not use the engine"
#: How an engine that does not answer is mended.
RESTART = "on it: systemctl restart docker"
#: The most commands that run on a machine at the same time: a server of SSH takes ten sessions a connection, and
#: refuses more (sshd_config(5), MaxSessions).
_COMMANDS = 8
#: Renames the keys of a user's settings of the docker command that change what it prints, or what containers get.
_NEUTRAL = r's/"([A-Za-z]+Format|proxies|aliases|currentContext)"([[:space:]]*):/"swc-\1"\2:/g'
#: Variables of a user's environment that lead docker's commands elsewhere, or have them do something else.
_VARIABLES = "^(DOCKER|COMPOSE|BUILDKIT|BUILDX)_[A-Za-z_]+"
#: Seconds until a lost connection that could not be made again is tried once more, and those that a login may take.
_AGAIN, _LOGIN = 10.0, 60.0


class Connection:
    """The connection to one machine, and to its engine.

    Attributes:
        machine: the machine, as the inventory has it.
        engine_socket: a local socket at which the machine's engine answers while the connection is open.
        ssh: the SSH connection.
        manners: how commands are given there; known once the connection is open.
        root: commands run as root there; known once the connection is open.
        made: how often the way to the engine was made.
        through: what the way to the machine begins with.
    """

    def __init__(self, machine: Machine, place: int, config: Path, through: str = "") -> None:
        """Describe the connection; nothing is opened yet.

        Args:
            machine: the machine.
            place: its place in the inventory.
            config: the configuration file that `write_config` wrote.
            through: what the way to it begins with (see `Route.through`).
        """
        self.machine = machine
        self.through = through
        self.engine_socket = config.parent / f"{alias(place)}.sock"
        self.ssh = Ssh(config, alias(place), timeout=120)
        self._engine_ssh = Ssh(config, engine_alias(alias(place)), timeout=120)
        self._slots = threading.BoundedSemaphore(_COMMANDS)
        self.manners = Manners()
        self.root = False
        self._bridge: Bridge | None = None
        self.made = 0
        self._making = threading.Lock()
        self._failed = -math.inf  # when a lost connection could not be made again, by the monotonic clock

    def log_in(self) -> None:
        """Log in at the machine. Call it in a `logins.turn`, whose time is not the machine's.

        Raises:
            UsageError: the machine cannot be reached; the message names the mend.
        """
        if message := logins.log_in(self.ssh, str(self.machine)):
            raise UsageError(why_not(message, self.machine))

    def open(self, *, to_ask: bool = True) -> None:
        """Open the connection, and check that user and engine are fit for use.

        Args:
            to_ask: the engine is to be asked. Without, only commands run there.

        Raises:
            UsageError: the machine cannot be reached, the user lacks rights, or the engine does not answer; the message
                names the mend.
        """
        self.log_in()  # if it is not yet
        user, where = self.machine.user, f"node {self.machine}"
        try:
            self.manners, self.root = manners.learn(self._run, where, user, sudo=self.machine.sudo)
        except UsageError as refused:
            unused = f" ({self.machine.unused} of the inventory is not used)" if self.machine.unused else ""
            raise UsageError(f"{refused}{unused}") from None
        if not to_ask:
            return
        line = self.manners.line("docker version --format '{{.Server.Version}}'")
        asked = self.ssh.run(line)
        if asked.returncode == 255 and asked.stderr.startswith("timed out after"):  # commands do run there
            raise UsageError(f"{where}: its engine does not answer (docker version {asked.stderr}); {RESTART}")
        asked = self._run(line) if asked.returncode == 255 else asked
        if asked.returncode != 0:
            message = " ".join(self.manners.printed(asked.stderr.encode()).decode().split())
            if "permission denied" in message.lower():
                raise UsageError(
                    f"{where}: the user {user} {NO_RIGHT}; add the user to the group docker, or set sudo: true"
                )
            if re.search(r"docker: .*not found|not found.*docker|No such file.*docker", message, re.IGNORECASE):
                raise UsageError(
                    f"{where}: has no docker command, neither in the PATH of {user} nor in the usual folders; install "
                    "the engine, or mend its address"
                )
            raise UsageError(f"{where}: its engine does not answer ({message[-150:]}); {RESTART}")
        self._lead_to_engine()
        self.made += 1

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line there.

        Raises:
            UsageError: ssh itself failed.
        """
        done = self.ssh.run(line)
        # What sshd prints for an account that may not log in stands for the command.
        closed = r"account is currently not available|password has expired|Password change required|account has expired"
        if done.returncode == 255 or (done.returncode != 0 and re.search(closed, f"{done.stdout}{done.stderr}")):
            raise UsageError(why_not(f"{done.stdout}\n{done.stderr}", self.machine))
        return done

    def testinfra(self) -> Any:
        """Return testinfra's view of the machine, as root if commands run as root there."""
        host = self.ssh.testinfra()
        backend, learned = host.backend, self.manners
        send = backend.run_ssh

        def run_ssh(line: str) -> Any:
            with self._slots:
                done = send(line)
            out, err = learned.printed(done.stdout_bytes), learned.printed(done.stderr_bytes)
            return backend.result(done.rc, done.command, out, err)

        backend.get_command = lambda command, *args: learned.line(backend.quote(command, *args))
        backend.run_ssh = run_ssh
        return host

    def shell(self, command: str) -> list[str]:
        """Return the command that opens a root shell there, or runs a shell command as root if it is not empty.

        Where the user does not become root, it is a shell of the user.
        """
        quiet = replace(self.manners, talks=False)
        if command:
            return self.ssh.command(quiet.line(command))
        # sudo and doas open the shell of root's account by these options.
        opens = {"sudo": "sudo -n -i", "doas": "doas -n -s"}.get(quiet.become.partition(" ")[0], "")
        return self.ssh.command(*filter(None, [opens]), options=["-t"])

    def again(self, since: int) -> bool:
        """Make what has ended of the connection again, as it does where no packet comes for a minute.

        As long as all of it is open, it is the engine that does not answer, and nothing is made. In that minute it
        cannot be told from such an engine.

        Args:
            since: `made`, before the engine was asked.

        Returns:
            Whether it was made again since then, by whichever thread.
        """
        with self._making:
            if 0 < self.made == since and time.monotonic() - self._failed >= _AGAIN:
                self._make_again()
            return self.made > since

    def lost(self, since: int) -> bool:
        """Whether the connection has ended since `made` was *since*; if it can be, it is made again."""
        return self.again(since) or (self.made > 0 and not _listens(_control_socket(self.ssh)))

    def _make_again(self) -> None:
        """Open what has ended: connections, and the local socket of an interruption that came before it was there."""
        lost = [each for each in self._all() if not _listens(_control_socket(each))]
        if not lost and _listens(self.engine_socket):
            return
        for each in lost:
            # What a killed process of ssh left: another would do without a socket of its own.
            _control_socket(each).unlink(missing_ok=True)
        with logins.turn(self.through):
            messages = [message for each in lost if (message := each.open())]
        if not messages and (self._bridge or self._forward()):
            self.made += 1
            return
        for each in lost:
            each.close()
        if deadline.left(_LOGIN) == _LOGIN:  # else the next who asks may have more time for it
            self._failed = time.monotonic()
        why = shown(" ".join(messages) or "its sshd does not forward the socket of the engine")
        record(str(self.machine), "the connection over SSH", f"has ended, and cannot be made again: {why}")

    def close(self) -> None:
        """Close the connection, if it is open."""
        with self._making:
            self.made = 0
            if self._bridge:
                self._bridge.close()
                self._bridge = None
                self._engine_ssh.close()
            self.ssh.close()
            self.engine_socket.unlink(missing_ok=True)

    def _all(self) -> list[Ssh]:
        """Return the connections that are in use, the one on which the engine is asked last."""
        return [self.ssh, self._engine_ssh] if self._bridge else [self.ssh]

    def _lead_to_engine(self) -> None:
        """Connect the local socket to the engine's socket.

        SSH forwards it. If the server does not allow that, or the user needs sudo, each connection goes through a
        docker command there. These commands have a connection of SSH of their own, as they last.
        """
        if not self.manners.become:
            if self._forward() and self._answers():
                return
            self._forward("cancel")
            self.engine_socket.unlink(missing_ok=True)
        with logins.turn(self.through, "engine"):
            message = logins.log_in(self._engine_ssh, str(self.machine))
        if message:
            raise UsageError(why_not(message, self.machine))
        command = self._engine_ssh.command(self.manners.line("docker system dial-stdio"))
        self._bridge = Bridge(self.engine_socket, command, after=f"{MARK}\n".encode() if self.manners.talks else b"")
        if not self._answers():
            raise UsageError(f"node {self.machine}: its engine cannot be asked over SSH (docker system dial-stdio)")

    def _forward(self, verb: str = "forward") -> bool:
        return self.ssh.control(verb, "-L", f"{self.engine_socket}:{_SOCKET}")

    def _answers(self) -> bool:
        return answers(f"unix://{self.engine_socket}", timeout=math.ceil(deadline.left(30)))


def _control_socket(connection: Ssh) -> Path:
    return connection.config.with_name(f"{connection.host}.ssh")


def _listens(path: Path) -> bool:
    """Whether somebody listens at a local socket, whatever time is left."""
    with socket.socket(socket.AF_UNIX) as tried:
        tried.setblocking(False)
        try:
            tried.connect(str(path))
        except BlockingIOError:  # many wait there
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


class _NoHost:
    """Takes the place of testinfra's view of a machine where the user is not root: every use of it is blocked."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise Blocked(self._why)


class SshNode(Node):
    """A machine of a swarm that exists, as a node.

    It is never switched off, halted or cut off. If the user is not root there, whatever needs root raises Blocked.

    Attributes:
        published: its published ports can be reached from this machine.
        management: its port for managers can be reached from this machine.
        client_settings: name of the folder of the docker command's settings, with {user} in it, as of
            `swarmlab.cluster.marks.unique`; empty where commands may use their users' own settings.
        connection: the connection to it.
    """

    own_processors = True
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
        shell = connection.testinfra()
        super().__init__(name, address, shell, f"unix://{connection.engine_socket}")
        self.connection = connection
        self.root = connection.root
        self._shell = shell
        if not self.root:
            user = connection.machine.user
            self._why = f"the user {user} is not root on {name} (if sudo makes that user root: sudo: true)"
            self.host = _NoHost(self._why)

    @override
    def greet(self) -> None:
        made = self.connection.made
        try:
            super().greet()
        except NoAnswer:
            if not self._connected_again(made):
                raise
            super().greet()

    @override
    def ask(self, method: str, path: str, **how: Any) -> Any:
        made = self.connection.made
        try:
            return super().ask(method, path, **how)
        except NoAnswer as silent:
            # What changes something, and may have come to the engine, is not sent twice.
            if not self._connected_again(made) or not (method == "GET" or unsent(silent)):
                raise
        return super().ask(method, path, **how)

    @override
    def execute(self, container: str, command: str) -> Result:
        made = self.connection.made
        result = super().execute(container, command)
        # The outcome of an engine that ends meanwhile is 1 as well (see `Node.execute`).
        return self._held(made, result, result.code == 1)

    @override
    def _run(self, host: Host, line: str, command: str = "", shown: Callable[[str], str] | None = None) -> Result:
        made = self.connection.made
        result = super()._run(host, line, command, shown)
        return self._held(made, result, result.code == 255)  # that of ssh, but also of commands

    def _held(self, since: int, result: Result, doubtful: bool) -> Result:
        """Return the outcome of a command.

        Raises:
            LabError: it is doubtful, and the connection has ended meanwhile: nothing is known of the command.
        """
        if doubtful and self.connection.lost(since):
            raise LabError(f"the connection to {self.name} ended while a command ran there")
        return result

    def _connected_again(self, since: int) -> bool:
        """Whether it was the connection that had ended, not the engine, and is made again (see `Connection.again`)."""
        if not self.connection.again(since):
            return False
        record(self.name, "the connection over SSH", "had ended, and is made again")
        self._silent = False
        return True

    @override
    def run(self, command: str, *, user: str | None = None, shown: Callable[[str], str] | None = None) -> Result:
        if not self.root and (user or not command.startswith("docker ")):
            raise Blocked(self._why)
        line = self._apart(command)
        if user:
            line = self.connection.manners.with_path(line)
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

    @override
    def cut(self, addresses: Iterable[str], *, one_way: bool = False) -> None:
        self._never()

    @override
    def cut_port(self, protocol: str, port: int, *, outgoing: bool = False) -> None:
        self._never()

    def _never(self) -> NoReturn:
        raise Blocked("nodes of a swarm that exists are neither switched off nor cut off")

    def _log_command(self) -> str:
        unit = "journalctl --no-pager --unit docker --lines 2000"
        return f"{unit} 2>/dev/null || tail -n 2000 /var/log/dockerd.log /var/log/docker.log 2>/dev/null"
