"""A service of this machine's init system: whether it is there, why it does not run, and how it is started.

Nothing here asks for a password: a question would keep a run waiting that nobody looks at.

Source: systemctl(1), show and --no-ask-password; systemd.unit(5); org.freedesktop.systemd1(5), LoadState, ActiveState.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import DeadlineExceeded, LabError, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, as_root, run_unasked, why_not_root
from swarmlab.wait import State, wait

#: The services that are a Docker engine: of Debian's and Docker's packages, and of the snap.
DOCKER = ("docker.service", "snap.docker.dockerd.service")
#: Seconds that systemctl and journalctl may take to answer, and that a service may take to start.
_PATIENCE, _START = 20.0, 90.0
#: The folder that is there where systemd is the init system. Source: sd_booted(3).
_BOOTED = Path("/run/systemd/system")


@dataclass(frozen=True)
class Service:
    """A service as the init system knows it.

    Attributes:
        unit: its name.
        load: "loaded", "masked", "not-found", or what else systemd says of its files.
        active: "active", "inactive", "failed", "activating", …
    """

    unit: str
    load: str
    active: str

    @property
    def found(self) -> bool:
        """Whether it is installed."""
        return self.load != "not-found"

    def __str__(self) -> str:
        """Return in words what keeps it from answering."""
        if self.load == "masked":
            return f"{self.unit} is masked"
        if self.active == "failed":
            return f"{self.unit} failed to start: {last_words(self.unit)}"
        if self.active == "inactive":
            return f"{self.unit} is installed and stopped"
        return f"{self.unit} is {self.active}"


def by_systemd() -> bool:
    """Whether systemd is this machine's init system."""
    return _BOOTED.is_dir()


def look(units: Sequence[str]) -> Service | None:
    """Return the first of these services that is installed; None if none is installed, or systemd does not run here."""
    for unit in units if by_systemd() else ():
        said = _ask("systemctl", "show", unit, "--property=LoadState,ActiveState")
        fields = dict(line.partition("=")[::2] for line in said.splitlines())
        service = Service(unit, fields.get("LoadState", "not-found"), fields.get("ActiveState", "unknown"))
        if service.found:
            return service
    return None


def start(service: Service, progress: Progress) -> None:
    """Start a service, and wait until it is up.

    Raises:
        UsageError: this user may not, or it is masked. Nothing is tried then.
        LabError: it does not start; the message has its last words.
    """
    if service.load == "masked":
        raise UsageError(f"{service}, so that nothing starts it; run: sudo systemctl unmask {service.unit}")
    root = as_root()
    if root is None:
        raise UsageError(
            f"{service}, and this user may not start it ({why_not_root()}); run: sudo systemctl start {service.unit}"
        )
    if service.active != "active":
        progress(f"starting {service.unit}")
        # Not waited for by systemctl, as some services have all the time that they like.
        _ask("systemctl", "--no-block", "start", service.unit, prefix=root)

    def up() -> State:
        now = look([service.unit])
        active = now.active if now else "gone"
        return State(active == "active", active, hopeless=active in ("failed", "gone"))

    try:
        wait(up, f"{service.unit} to start", deadline=_START)
    except DeadlineExceeded as missed:
        raise LabError(
            f"{service.unit} does not start: {last_words(service.unit)}; see: journalctl -u {service.unit}"
        ) from missed


def last_words(unit: str) -> str:
    """Return the last line that a service's own program has logged, else the last line about the service.

    An ordinary user may read the journal as a member of some groups only.
    """
    root = as_root() or []
    program = "dockerd" if "docker" in unit else unit.partition(".")[0]
    for more in (["-t", program], []):
        told = _ask("journalctl", "-u", unit, *more, "-n", "1", "-o", "cat", "--no-pager", "-q", prefix=root)
        if lines := [line for line in told.splitlines() if line.strip()]:
            return shown(lines[-1], 300)
    return "this user may not read its journal"


def _ask(program: str, *words: str, prefix: Sequence[str] = ()) -> str:
    """Return what a program of systemd prints; nothing if it cannot tell. It has no terminal to ask on."""
    quiet = ["--no-ask-password"] if program == "systemctl" else []
    try:
        done = run_unasked([*prefix, program, *quiet, *words], timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
