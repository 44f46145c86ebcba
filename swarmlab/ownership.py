"""Who owns a lab: the labels that say so, whether the process that owns it still runs, and what it made of its labs."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass

from swarmlab import signals
from swarmlab.host import containers_here, machine, numbering, process, runs
from swarmlab.paths import command

#: Label on every container, network and volume of a lab; its value is the lab's name.
LABEL = "swarmlab.lab"
#: Label whose value is the owner: `USER`, or a process as `this_process` names it.
OWNER = "swarmlab.owner"
#: Label whose value is the login name of who made the lab: others do not take it down without being asked.
PERSON = "swarmlab.person"
#: The owner of a lab that was brought up by hand. It stays until it is taken down by hand.
USER = "user"

#: What became of each thing that this process made, such as a lab, in the order in which they were made.
_fates: dict[str, str] = {}


def note(thing: str, fate: str) -> None:
    """Note what becomes of a thing that this process makes or removes, should the process end now.

    Args:
        thing: such as "lab run-12".
        fate: such as "was taken down"; empty to forget the thing.
    """
    _fates.pop(thing, None)
    if fate:
        _fates[thing] = fate


def note_left(name: str) -> None:
    """Note that parts of a lab exist which no user keeps."""
    note(f"lab {name}", f"is left; the next run or `{command('swarmlab', 'down', '--name', name)}` removes it")


def note_gone(name: str) -> None:
    """Note that nothing of a lab is left."""
    note(f"lab {name}", "was taken down")


def forget(name: str) -> None:
    """Forget a lab, which was another process's."""
    note(f"lab {name}", "")


def note_kept(name: str) -> None:
    """Note that a lab is up and its user's."""
    note(f"lab {name}", f"is up and stays; take it down with `{command('swarmlab', 'down', '--name', name)}`")


def fates() -> str:
    """Return what became of all things that were noted, for the last line of a process that is interrupted."""
    return "; ".join(f"{thing} {fate}" for thing, fate in _fates.items()) or "it had made no lab"


def last_line() -> str:
    """Return the last line of a process that is interrupted: by which signal, and what became of all things."""
    number = signals.received()
    return f"interrupted by {signal.Signals(number).name if number else 'a signal'}; {fates()}"


#: How the home of a process begins that runs in a container of the engine on which its labs are.
CONTAINER = "container:"
#: The container of the outer engine that this process runs in, as `CONTAINER` and its id; empty if it runs in none.
_home = ""


@dataclass(frozen=True)
class Owner:
    """A process as an owner. As a string: its number, and where it runs if that is elsewhere than this process.

    Attributes:
        home: where it runs: the name of its host, or `CONTAINER` and the id of its container.
        pid: its number there.
        started: when it started (see `swarmlab.host.Process`).
        machine: see `swarmlab.host.machine`; empty if it is not known.
        numbering: see `swarmlab.host.numbering`; empty if it is not known.
    """

    home: str
    pid: str
    started: str
    machine: str = ""
    numbering: str = ""

    @property
    def container(self) -> str:
        """The id of its container; empty if it runs in none of the engine's."""
        return self.home.removeprefix(CONTAINER) if self.home.startswith(CONTAINER) else ""

    @property
    def here(self) -> bool:
        """Whether its number means something to this process. Another machine may have the name of this one's host."""
        near = self.home in filter(None, (_home, socket.gethostname()))
        return near and self.numbering in ("", numbering())

    @property
    def earlier(self) -> bool:
        """Whether it ran on this machine before its last boot, or on a clone with the same name and machine-id."""
        same = self.home == socket.gethostname() and self.machine in filter(None, [machine()])
        return same and _boot(self.numbering) != _boot(numbering())

    def __str__(self) -> str:
        which = f"process {self.pid}"
        if self.here:
            return which
        return f"{which} in container {self.container}" if self.container else f"{which} on {self.home}"


def _boot(numbering: str) -> str:
    return numbering.partition("-")[0]


def owner_of(mark: str) -> Owner:
    """Return the process that an owner's mark names, as `this_process` wrote it."""
    where, pid, started = [*mark.split("/"), "", ""][:3]
    home, _, place = where.partition("@")
    known, _, numbers = place.partition(".")
    return Owner(home, pid, started, known, numbers)


def runs_in(container: str) -> None:
    """Note that this process runs in a container of the engine on which its labs are.

    The numbers of its processes mean nothing elsewhere, and its host's name may be another's too.
    """
    global _home
    _home = f"{CONTAINER}{container[:12]}"


def this_process() -> str:
    """Return the calling process as an owner: its host or container, its number and its start time.

    Example:
        "db1@1c7bd2f0.95a0c6de-0b1f77aa/4211/1748822", "container:0123456789ab/12/1748822"
    """
    own = process(os.getpid())
    where = _home or f"{socket.gethostname()}@{machine()}.{numbering()}"
    return f"{where}/{os.getpid()}/{own.started if own else ''}"


def is_here(owner: str) -> bool:
    """Whether an owner's mark is of a process whose number means something to this process."""
    return owner_of(owner).here


def alive(owner: str) -> bool | None:
    """Whether an owner still exists, as far as this process knows by itself.

    None is returned for a process of another host or container (see `swarmlab.images.own.alive`), and for one that this
    user may not see. One of an earlier boot of this machine has ended (see `Owner.earlier`).
    """
    if owner == USER:
        return True
    its = owner_of(owner)
    if its.earlier:
        return False
    if not its.here:
        return None
    return runs(int(its.pid), its.started) if its.pid.isdigit() else False


def own_suffix() -> str:
    """Return what tells the names of this process's labs from those of others: its number, and its container's id."""
    inside = containers_here()
    return f"{inside[0][:6]}-{os.getpid()}" if inside else str(os.getpid())
