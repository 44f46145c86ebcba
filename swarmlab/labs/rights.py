"""Whether this user may reach an engine's socket, what to do if not, and the way there through sudo."""

from __future__ import annotations

import atexit
import contextlib
import errno
import grp
import os
import re
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from swarmlab.errors import Forbidden, LabError
from swarmlab.files import reason, shown
from swarmlab.host import as_root, drop_folder, ended, in_folder, login_name, own_name, run_folder, why_not_root
from swarmlab.labs import passage

#: The scheme of an address that is a socket's path.
_UNIX = "unix://"
#: Seconds that sudo may take to start the passage.
_PATIENCE = 20.0
#: The socket of a passage begins with this and the process that started it (see `swarmlab.host.own_name`).
_PREFIX = "sudo-"
_NAME = re.compile(rf"{_PREFIX}\d+-\d+-\d+\.sock")


def forbidden(url: str) -> bool:
    """Whether there is a socket at *url* that this user may not reach."""
    if not url.startswith(_UNIX):
        return False
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_PATIENCE)
        try:
            asking.connect(url.removeprefix(_UNIX))
        except OSError as failed:
            return failed.errno in (errno.EACCES, errno.EPERM)
        except ValueError:  # a NUL character
            return False
    return False


def refusal(url: str) -> Forbidden:
    """Return the error that this user may not reach the engine at *url*, with the three ways out."""
    name, group = login_name(), _group(Path(url.removeprefix(_UNIX)))
    ways = ["run with sudo", "name an engine that it may reach (DOCKER_HOST=unix://PATH)"]
    if group and group.gr_gid not in (os.getegid(), *os.getgroups()):
        joined = f"it joined the group {group.gr_name} after this session began: log in again"
        join = f"join the group {group.gr_name} (sudo usermod -aG {group.gr_name} {name}) and log in again"
        ways.insert(0, joined if name in group.gr_mem else join)
    what = f"user {name} may not reach the engine at {shown(url)}, and {why_not_root()}"
    return Forbidden(what, "; or ".join(ways))


def _group(place: Path) -> grp.struct_group | None:
    """Return the group that may use a socket; None if none but root may, or if it is in a folder that is closed."""
    try:
        found = place.stat()
        return grp.getgrgid(found.st_gid) if found.st_gid != 0 and found.st_mode & 0o060 == 0o060 else None
    except (OSError, KeyError):
        return None


@dataclass(frozen=True)
class Passage:
    """A program of root's that passes connections on, for this process and those that it starts.

    Attributes:
        url: its address, which only this user may reach.
        program: sudo, which ends with it.
        life: it ends when this is closed in all processes that have it, as when they end.
    """

    url: str
    program: subprocess.Popen[bytes]
    life: IO[bytes]

    def end(self) -> None:
        """End it. Root's process cannot be ended by this user, and need not be."""
        self.life.close()
        place = Path(self.url.removeprefix(_UNIX))
        place.unlink(missing_ok=True)
        drop_folder(place.parent)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.program.communicate(timeout=_PATIENCE)


#: The passages of this process, by the address that they lead to.
_passages: dict[str, Passage] = {}


def through_sudo(url: str) -> str:
    """Return an address that leads to the engine at *url* for this user alone, while this process runs.

    Raises:
        Forbidden: sudo runs no command for this user without a password; the message names the ways out.
        LabError: the passage does not start.
    """
    if url in _passages:
        return _passages[url].url
    root = as_root()
    if root is None:
        raise refusal(url)
    _passages[url] = found = _start(url.removeprefix(_UNIX), root)
    return found.url


def is_passage(url: str) -> bool:
    """Whether an address is that of a passage, which this process or its parent may have named."""
    place = Path(url.removeprefix(_UNIX))
    return bool(url.startswith(_UNIX) and _NAME.fullmatch(place.name) and place.parent == run_folder())


def behind(url: str) -> str:
    """Return the address to which a passage of this process leads; any other address as it is."""
    return next((target for target, found in _passages.items() if found.url == url), url)


def outlive_exec() -> None:
    """Let the passages of this process serve the program that takes its place."""
    for found in _passages.values():
        os.set_inheritable(found.life.fileno(), True)


def _start(target: str, root: list[str]) -> Passage:
    _sweep()
    place = run_folder() / f"{own_name(_PREFIX)}-{len(_passages)}.sock"
    try:
        with socket.socket(socket.AF_UNIX) as accepting:
            in_folder(place.parent, lambda: _bind(accepting, place))
            accepting.listen(128)
            # Root's own Python, and nothing of this user's environment.
            command = [*root, str(Path(sys.executable).resolve()), "-I", "-S", passage.__file__, target]
            pipe = subprocess.PIPE
            started = subprocess.Popen(
                command, stdin=accepting.fileno(), stdout=pipe, stderr=pipe, start_new_session=True
            )
    except OSError as failed:
        raise LabError(f"no way to {target} through sudo: {reason(failed)}") from failed
    assert started.stdout
    found = Passage(f"{_UNIX}{place}", started, started.stdout)
    ready, _, _ = select.select([found.life], [], [], _PATIENCE)
    said = os.read(found.life.fileno(), 4096).decode(errors="replace").strip() if ready else ""
    if said != "ready":
        assert started.stderr
        os.set_blocking(started.stderr.fileno(), False)
        said = said or (started.stderr.read() or b"").decode(errors="replace")
        found.end()
        raise LabError(f"no way to {target} through sudo: {shown(said) or 'it does not start'}")
    atexit.register(found.end)
    return found


def _bind(accepting: socket.socket, place: Path) -> None:
    """Bind a socket that this user alone may reach."""
    before = os.umask(0o177)
    try:
        accepting.bind(str(place))
    finally:
        os.umask(before)


def _sweep() -> None:
    """Remove the sockets of passages whose process was killed."""
    for left in run_folder().glob(f"{_PREFIX}*.sock"):
        if ended(left.name, _PREFIX):
            left.unlink(missing_ok=True)
    drop_folder(run_folder())
