"""Who uses a lab: one run at a time works on a lab that stands, and nothing takes it down meanwhile.

A run that uses a lab which was brought up by hand holds a lock on the engine that has the lab. It is free as soon as
the process ends, however it ends. A lab that a run made for itself has the run as its owner.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.images import locks
from swarmlab.images.locks import Held, Lock
from swarmlab.labs import standing
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.standing import Standing
from swarmlab.ownership import LABEL, USER, owner_of


class Foreign(UsageError):
    """A lab is another user's, and nobody has agreed to touch it."""


def hold(outer: OuterEngine, lab: Standing) -> Lock:
    """Let this process alone use a lab, until what is returned is closed or the process ends.

    Raises:
        UsageError: another process uses it; the message says which, since when, and what to do.
    """
    if using := _owner_at_work(lab):
        raise UsageError(f"lab {lab.name} was made by {using}, which is at work; wait until it ends")
    try:
        # With the lab's label it goes with the lab.
        return locks.take(outer.client, f"{lab.name}-use", {LABEL: lab.name})
    except Held as held:
        raise UsageError(f"lab {lab.name} is in use by {held}; wait until it ends") from None


@contextlib.contextmanager
def held(outer: OuterEngine, name: str, *, agreed: Callable[[Standing], bool] = lambda _: False) -> Iterator[None]:
    """`hold` the lab of this name for a while; do nothing if there is none.

    Args:
        outer: the engine that holds it.
        name: its name.
        agreed: asked for a lab that another user made: whether it is to be treated as this user's.

    Raises:
        UsageError: see `hold`; or it is another user's, and nobody agreed.
    """
    with contextlib.ExitStack() as afterwards:
        for lab in standing.labs(outer):
            if lab.name != name:
                continue
            if lab.foreign and not agreed(lab):
                raise Foreign(f"lab {name} is {lab.person}'s, and stays; add --yes if that is agreed with {lab.person}")
            afterwards.enter_context(hold(outer, lab))
        yield


def _owner_at_work(lab: Standing) -> str:
    """Return which process made a lab for itself, if it still runs and did not start this process; else nothing."""
    if lab.owner == USER or not lab.alive:
        return ""
    its = owner_of(lab.owner)
    return "" if its.here and int(its.pid) in _lineage() else str(its)


def _lineage() -> Iterator[int]:
    """Yield the number of this process, of the process that started it, and so on."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
