"""The outer engine: the engine on this machine that labs are made on.

The engine that answers is used as it is, through sudo where only root may reach it. Where none answers, the init
system's docker service is started. On a machine without an init system (a container, a build machine) a private engine
is started in a network namespace of its own; it is stopped when the last lab on it is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import queue
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Any

import docker
from docker.models.containers import Container

from swarmlab import netns, ownership, signals
from swarmlab.errors import DeadlineExceeded, LabError, NoAnswer, SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.host import (
    Progress,
    alone,
    as_root,
    cache_folder,
    drop_folder,
    install,
    lock_file,
    make_folder,
    process,
    run_folder,
)
from swarmlab.images.own import alive, own_container
from swarmlab.labs import inside, rights, service
from swarmlab.labs.answering import answers, engine_at, refused_by_tls
from swarmlab.labs.context import Named, named_engine
from swarmlab.labs.credentials import Credentials
from swarmlab.labs.nearness import listener_pid, why_apart
from swarmlab.labs.patience import watch
from swarmlab.labs.routes import Routes, routes
from swarmlab.labs.service import Service
from swarmlab.labs.tunnel import Tunnel
from swarmlab.netns import NETNS
from swarmlab.ownership import LABEL
from swarmlab.wait import State, wait

#: Seconds that one request to the outer engine may take.
_TIMEOUT = 120
#: Seconds until an engine that does not answer is given up, and until a line says that it is waited for.
_PATIENCE, _SOON = 20, 3
#: What to do where this user may not start an engine.
_WAYS = "run as root, with sudo, or name an engine that answers: DOCKER_HOST=ADDRESS"
#: Where an engine is if the user names none.
_DEFAULT = "unix:///var/run/docker.sock"


def _out_of_reach(url: str, why: str = "") -> str:
    """Return the message that this process cannot send packets to the networks of the engine at *url*."""
    place = f"the engine at {shown(url)} keeps its networks where this process cannot go"
    return f"{place}{f': {why}' if why else ''}; run on the engine's own machine, as root"


class Apart(UsageError):
    """The engine's networks are where this process cannot go; a container of that engine can (`swarmlab.courier`).

    Attributes:
        engine: the engine.
    """

    def __init__(self, engine: OuterEngine) -> None:
        super().__init__(_out_of_reach(engine.url, engine.apart))
        self.engine = engine


class OuterEngine:
    """An engine that answers, to make labs on.

    Attributes:
        client: docker-py's client of it.
        url: its address, as DOCKER_HOST takes it.
        named: the engine as its user named it; None if nobody did.
        own: the container of it that this process runs in; None if it runs in none.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        url: str,
        users: IO[str] | None = None,
        *,
        named: Named | None = None,
        tunnel: Tunnel | None = None,
    ) -> None:
        """Use an engine that has answered.

        Args:
            client: a client that the engine has answered.
            url: see above.
            users: the lock file of a private engine's users, held by this process; None for any other engine.
            named: see above.
            tunnel: what the client speaks through, if that is to end with the use of the engine.
        """
        self.client = client
        self.url = url
        self.named = named
        self._users = users
        self._tunnel = tunnel
        self.own = own_container(client)
        if self.own:
            ownership.runs_in(str(self.own.id))

    def speak(self) -> None:
        """Have the docker command, as `swarmlab shell` and the making of images run it, speak to this engine."""
        os.environ["DOCKER_HOST"] = self._tunnel.url if self._tunnel else self.url
        if self.named and self.named.credentials:
            os.environ.update(self.named.credentials.environment())
        os.environ.pop("DOCKER_CONTEXT", None)  # which the command would refuse beside it

    @functools.cached_property
    def apart(self) -> str:
        """Why this process cannot send packets to the engine's networks; empty if it can.

        Raises:
            UsageError: this process was carried into a container of another engine.
        """
        if self.private or self.own:
            return ""
        if os.environ.get("SWARMLAB_COURIER"):
            raise UsageError(
                "the socket that this container was given is of another engine; set SWARMLAB_ENGINE_SOCKET to the path "
                "of the engine's own on its machine"
            )
        return why_apart(self.client, self.url)

    def need_networks(self) -> None:
        """Go on only if this process can send packets to the engine's networks.

        Raises:
            Apart: it cannot; `swarmlab.courier` can do the work in a container of the engine.
        """
        if self.apart:
            raise Apart(self)

    def containers(self, *wanted: str) -> list[Container]:
        """Return the containers, running or not, that carry each label of *wanted* (NAME or NAME=VALUE).

        Containers that another run removes meanwhile are left out.
        """
        filters: dict[str, Any] = {"label": list(wanted)}
        found: list[Container] = self.client.containers.list(all=True, filters=filters, ignore_removed=True)
        return found

    def alive(self, owner: str) -> bool | None:
        """Whether the owner of something on this engine still exists (see `swarmlab.images.own.alive`)."""
        return alive(self.client, owner)

    @property
    def shares_files(self) -> bool:
        """Whether the engine's containers can have folders of this process's machine."""
        return self.own is None

    @functools.cached_property
    def cgroups(self) -> int:
        """The version of the control groups of the engine's host; engines before 20.10 know the first only."""
        return int(self.client.info().get("CgroupVersion") or 1)

    @functools.cached_property
    def has_modules(self) -> bool:
        """Whether the engine's machine has a folder of modules of its kernel, which nodes load from."""
        return (
            Path("/lib/modules").is_dir()
            if self.own is None
            else inside.has_folder(self.client, self.own, "/lib/modules")
        )

    @property
    def private(self) -> bool:
        """Whether swarmlab started the engine, and stops it."""
        return self._users is not None

    def reach(self, network_id: str) -> None:
        """Make sure that this process can send packets to the engine's network *network_id*.

        Where the network's bridge is not in this process's network namespace, the process moves to the engine's
        namespace, or has its own container connected to the network. No packet is sent to find out.

        Raises:
            UsageError: this process cannot enter the engine's namespace.
        """
        bridge = f"br-{network_id[:12]}"
        if netns.interface_exists(bridge):
            return
        if self.own:
            inside.connect(self.client, self.own, network_id)
            return
        pid = listener_pid(self.url)
        try:
            if pid:
                netns.enter(f"/proc/{pid}/ns/net")
        except OSError:
            pid = None
        if not pid or not netns.interface_exists(bridge):
            raise UsageError(_out_of_reach(self.url))

    def routes(self) -> Routes:
        """Return the routes of the network namespace of the engine's bridges; none where this process cannot look."""
        try:
            return routes(listener_pid(self.url))
        except OSError:
            return {}

    def enter(self) -> None:
        """Move this process to the private engine's network namespace; do nothing for any other engine."""
        if self.private and not Path("/run/netns", NETNS).samefile("/proc/thread-self/ns/net"):
            netns.enter(f"/run/netns/{NETNS}")

    def release(self) -> None:
        """Stop using the engine. A private engine is stopped if no other process uses it and no lab is on it."""
        if self._tunnel:
            self._tunnel.close()
        if self._users is None:
            return
        with signals.deferred("the end of the private engine"):
            try:
                labs = self.containers(LABEL)
                self.client.close()
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # another run uses it, or it does not answer (requests' errors are of this class)
                return
            else:
                if not labs:
                    _stop_private()
            finally:
                self._users.close()
                self._users = None


#: Whether this process has asked for an engine, and may have started one.
_connecting = False


def end_unused() -> None:
    """Stop a private engine that nobody uses and that holds no lab, as an interruption of `connect` may leave one."""
    with contextlib.suppress(SwarmlabError, docker.errors.DockerException, OSError):
        if _connecting and _socket().exists() and (found := running()):
            found.release()


def connect(progress: Progress, *, networks: bool = True) -> OuterEngine:
    """Return the outer engine of this machine; start or install it if necessary.

    Args:
        progress: called with a line for every step that takes time.
        networks: whether the caller is to send packets to the engine's networks.

    Raises:
        Apart: the caller is to, and this process cannot.
        UsageError: there is no engine, and this user lacks the rights to install or start one, or to reach the one that
            there is. Nothing is installed or started then.
        LabError: the engine was started and does not answer.
    """
    engine = _connect(progress)
    if networks:
        engine.need_networks()
    engine.speak()
    return engine


def _connect(progress: Progress) -> OuterEngine:
    global _connecting
    _connecting = True
    if found := running(progress):
        return found
    if os.environ.get("SWARMLAB_IMAGE"):
        raise UsageError(
            f"no engine answers at {_DEFAULT} of this container; give it the engine's socket: "
            "docker run -v /var/run/docker.sock:/var/run/docker.sock …"
        )
    if not (installed := _installed()):
        install(["engine", "images"], progress)
        if found := running(progress):  # packages start what they install
            return found
        installed = _installed()
    if isinstance(installed, Service) and not _wants_private():
        service.start(installed, progress)
        if found := running(progress):
            return found
        raise LabError(
            f"{installed.unit} is up, and no engine answers at {_DEFAULT}; see: journalctl -u {installed.unit}"
        )
    if os.geteuid() != 0:
        raise UsageError(f"{absence()}, and only root may start a private one; {_WAYS}")
    return _private(progress)


def standing(progress: Progress) -> OuterEngine:
    """Return the engine that labs stand on, for commands that need one of these. None is installed or started for them.

    Args:
        progress: called with a line while an engine keeps this process waiting.

    Raises:
        UsageError: no engine answers.
    """
    if found := revived(progress):
        return found
    raise UsageError(f"no lab is up: {absence()}")


def revived(progress: Progress) -> OuterEngine | None:
    """Return the engine that answers; a private one that was killed is started again, as its labs are on it still.

    Raises:
        Apart: this process cannot send packets to its networks.
        UsageError: see `running`.
    """
    global _connecting
    _connecting = True
    found = running(progress)
    if found is None and os.geteuid() == 0 and _folder().exists():
        found = _private(progress)
    if found:
        found.need_networks()
        found.speak()
    return found


def absence() -> str:
    """Return in words why no engine answers, where none does and none was named."""
    if _wants_private():
        return "no private engine runs (SWARMLAB_PRIVATE=1)"
    installed = _installed()
    if isinstance(installed, Service):
        return f"no engine answers, as {installed}"
    return f"no engine answers, as {installed} does not run" if installed else "no engine is installed"


def barred() -> str:
    """Return what to do before `connect` could start an engine; empty if it can, where none answers."""
    installed = None if _wants_private() else _installed()
    if isinstance(installed, Service) and installed.load == "masked":
        return f"sudo systemctl unmask {installed.unit}, or name another engine: DOCKER_HOST=ADDRESS"
    private = _wants_private() or isinstance(installed, str) or not service.by_systemd()
    return _WAYS if as_root() is None or (private and os.geteuid() != 0) else ""


def _installed() -> Service | str | None:
    """Return the service of an engine that is installed here, else the path of its program; None if there is none."""
    return service.look(service.DOCKER) or shutil.which("dockerd")


def _wants_private() -> bool:
    """Whether the user wants a private engine, whatever other engine runs here (SWARMLAB_PRIVATE=1).

    Raises:
        UsageError: the variable has another value than 0 or 1.
    """
    wanted = os.environ.get("SWARMLAB_PRIVATE", "0")
    if wanted not in ("", "0", "1"):
        raise UsageError(f"SWARMLAB_PRIVATE={shown(wanted)}: write 1 for a private engine, or 0")
    return wanted == "1"


def running(progress: Progress = lambda _: None, *, sudo: bool = True) -> OuterEngine | None:
    """Return the engine that the user names, else the private one, or that at the default socket; None without one.

    Args:
        progress: called with a line while an engine keeps this process waiting.
        sudo: go through sudo where only root may reach the engine.

    Raises:
        UsageError: the engine that DOCKER_HOST or the Docker context names does not answer, or this user may not reach
            the engine, also not through sudo.
    """
    asked = None if _wants_private() else named_engine()
    if asked and (asked.url == _private_url() or (rights.is_passage(asked.url) and not answers(asked.url))):
        asked = None  # named by this process or its parent, which found it; it may have ended since
    if asked is None and _socket().exists():
        users = _join_users()
        if client := _client(_private_url(), progress):
            return OuterEngine(client, _private_url(), users)
        users.close()
    if _wants_private():
        return None
    if asked:
        return _named(asked, progress, sudo=sudo)
    url = _way_to(_DEFAULT, sudo=sudo)
    client = _client(url, progress)
    return OuterEngine(client, url) if client else None


def _way_to(url: str, *, sudo: bool) -> str:
    """Return the address at which this user reaches the engine at *url*: the same, or one through sudo.

    Raises:
        Forbidden: there is none.
    """
    if not rights.forbidden(url):
        return url
    if not sudo:
        raise rights.refusal(url)
    return rights.through_sudo(url)


def _named(asked: Named, progress: Progress, *, sudo: bool) -> OuterEngine:
    """Return the engine that the user names.

    Raises:
        UsageError: it does not answer, or this user may not reach it.
    """
    tunnel = Tunnel(asked.url, asked.by, progress) if asked.url.startswith("ssh://") else None
    url = tunnel.url if tunnel else _way_to(asked.url, sudo=sudo)
    whys: list[str] = []
    if client := _client(url, progress, asked.credentials, whys):
        return OuterEngine(client, asked.url if tunnel else url, named=asked, tunnel=tunnel)
    if tunnel:
        tunnel.close()
    why = f" ({whys[0]})" if whys else ""
    raise UsageError(f"no engine answers at {asked.by}{why}; mend or unset it")


def _client(
    url: str, progress: Progress, credentials: Credentials | None = None, whys: list[str] | None = None
) -> docker.DockerClient | None:
    """Return a client of the engine at *url*; None if none answers in `_PATIENCE` seconds.

    The request is made in a thread: an engine that answers a byte at a time would outlast every timeout of a socket.

    Args:
        url: its address.
        progress: called with a line while the engine keeps this process waiting.
        credentials: what a connection over TLS takes.
        whys: takes what TLS said where it failed.
    """
    found: queue.SimpleQueue[docker.DockerClient | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(engine_at(url, timeout=_PATIENCE, credentials=credentials))
        except NoAnswer as failed:
            if whys is not None and (said := refused_by_tls(failed)):
                whys.append(said)
            found.put(None)

    threading.Thread(target=ask, daemon=True).start()
    for seconds in (_SOON, _PATIENCE - _SOON):
        with contextlib.suppress(queue.Empty):
            client = found.get(timeout=seconds)
            if client:
                client.api.timeout = _TIMEOUT
                return watch(client, url, progress)
            return None
        if seconds == _SOON:
            progress(f"waiting for the engine at {shown(url)} to answer (at most {_PATIENCE} s)")
    return None


# The private engine


def _folder() -> Path:
    return run_folder() / "engine"


def _socket() -> Path:
    return _folder() / "docker.sock"


def _users() -> Path:
    return run_folder() / "engine.users"


def _private_url() -> str:
    return f"unix://{_socket()}"


def _join_users() -> IO[str]:
    """Count this process among the private engine's users: a shared lock, which ends with the process."""
    return lock_file(_users(), lambda users: fcntl.flock(users, fcntl.LOCK_SH))


def _private(progress: Progress) -> OuterEngine:
    with alone("engine"):
        if found := running():
            return found
        users = _join_users()
        progress("starting a private Docker engine in a network namespace of its own")
        try:
            engine = _spawn()

            def started() -> State:
                tail = (_folder() / "dockerd.log").read_text().strip().splitlines()[-1:]
                return State(answers(_private_url()), " ".join(tail), hopeless=engine.poll() is not None)

            wait(started, "the private engine to answer", deadline=60, error=DeadlineExceeded)
            client = engine_at(_private_url(), timeout=_TIMEOUT)
            return OuterEngine(watch(client, _private_url(), progress), _private_url(), users)
        except (DeadlineExceeded, subprocess.CalledProcessError, OSError) as failed:
            users.close()
            _stop_private()
            said = (getattr(failed, "stderr", None) or b"").decode(errors="replace").strip()
            mend = "; in a container, start that with --privileged, or give it an engine's socket" if said else ""
            raise LabError(f"the private Docker engine did not start: {shown(said or failed)}{mend}") from failed
        except BaseException:  # it was started, and nobody uses it
            with signals.deferred("the end of the private engine"):
                _stop_private()
            raise


def _spawn() -> subprocess.Popen[bytes]:
    """Start the private engine in its namespace; return its process."""
    # The files of an engine that was killed stay: the new engine finds the old one's containers by them.
    make_folder(_folder())
    (_folder() / "dockerd.pid").unlink(missing_ok=True)
    if not (Path("/run/netns") / NETNS).exists():
        _ip("netns", "add", NETNS)
    enter = ["nsenter", f"--net=/run/netns/{NETNS}"]
    for prepare in ("ip link set lo up", "echo 1 > /proc/sys/net/ipv4/ip_forward"):
        subprocess.run([*enter, "sh", "-c", prepare], check=True, capture_output=True)
    data = cache_folder() / "engine"
    data.mkdir(parents=True, exist_ok=True)
    settings = _folder() / "daemon.json"
    settings.write_text("{}")
    with (_folder() / "dockerd.log").open("w") as log:
        return subprocess.Popen(
            # nsenter and not `ip netns exec`, which would hide the cgroups behind a new /sys
            [*enter, "dockerd", *_flags(data, settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "GOGC": "400"},  # as in images/node/root/usr/local/sbin/node-start
            start_new_session=True,  # a Ctrl-C is for the run, not for the engine under it
        )


def _flags(data: Path, settings: Path) -> list[str]:
    flags = {
        "host": _private_url(),
        "data-root": data,
        "exec-root": _folder() / "exec",
        "pidfile": _folder() / "dockerd.pid",
        "config-file": settings,
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def _stop_private() -> None:
    """End the private engine and remove its namespace, mounts and files. Its images stay in the cache."""
    pidfile = _folder() / "dockerd.pid"
    if pidfile.exists():
        pid = int(pidfile.read_text())
        if _is_private(pid):
            os.kill(pid, signal.SIGTERM)
            try:
                # By its number: the engine removes its pid file before it ends.
                wait(lambda: not _is_private(pid), f"the private engine (process {pid}) to end", deadline=30)
            except DeadlineExceeded:
                os.kill(pid, signal.SIGKILL)
    _sweep()


def _sweep() -> None:
    """Remove the mounts, the namespace and the files that the private engine leaves."""
    mounts = [Path(line.split()[1].replace("\\040", " ")) for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.is_relative_to(_folder()) or mount.is_relative_to(cache_folder() / "engine"):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    if (Path("/run/netns") / NETNS).exists():
        with contextlib.suppress(subprocess.CalledProcessError):  # where it could not be made, only its file is there
            _ip("netns", "delete", NETNS)
    shutil.rmtree(_folder(), ignore_errors=True)
    _users().unlink(missing_ok=True)
    drop_folder(run_folder())


def _is_private(pid: int) -> bool:
    """Whether this process is the private engine: its number alone may by now be another process's."""
    found = process(pid)
    return found is not None and any(str(_folder()) in argument for argument in found.arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
