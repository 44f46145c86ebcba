"""Refusals: the tasks of a service that an engine did not start, and whether it refuses them for good.

One refusal says little: the image was not there yet, a network was not known on the node yet, a port was about to be
freed. An engine refuses for good if it gave the same reason several times in a row, for long enough, and started no
task of the service since.
"""

# ruff: noqa: D102 - the properties of the protocol are documented where they are

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from swarmlab.cluster.clocks import seconds_of
from swarmlab.wait import scaled

#: Refusals in a row by one node. A global service has a task on each node, whatever becomes of it. The tasks of a
#: replicated service go to other nodes after five failures, so more than these say that they cannot.
#: Source: swarmkit, manager/scheduler/nodeinfo.go (maxFailures).
_OF_GLOBAL, _OF_REPLICATED = 4, 7
#: Seconds at reference speed between the first and the last of them.
_LASTING = 15.0
#: The same where an image is missing: a registry may be late, and other nodes show that it serves.
_LASTING_IMAGE = 45.0
_OF_IMAGES = re.compile(r"no such image|pull|manifest|registry|repository", re.IGNORECASE)
#: Errors of containers that ran: that they ended is not the engine's refusal.
_RAN = re.compile(r"^task: |unhealthy|non-zero exit")
#: The states in which an engine has taken a task.
_TAKEN = {"running", "complete", "shutdown"}
#: Parts of an error that differ from task to task: ids, addresses, numbers.
_OWN = re.compile(r"(\b|_)[0-9a-f]{12,64}\b|\b[0-9a-z]{25}\b|\bveth[0-9a-f]+|\d+")


class Task(Protocol):
    """The part of `swarmlab.cluster.service.Task` that is looked at here."""

    @property
    def id(self) -> str: ...
    @property
    def slot(self) -> int: ...
    @property
    def node(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def created(self) -> str: ...
    @property
    def alive(self) -> bool: ...


def is_refused(task: Task) -> bool:
    """Whether the node's engine did not start this task's container, by the task's state and error."""
    if task.state == "rejected":
        return True
    return task.state == "failed" and bool(task.error) and not _RAN.search(task.error) and not task.exit_code


class Refusals:
    """The refusals of one service's tasks so far.

    Managers keep a few ended tasks only, so refusals are noted at each look.
    """

    def __init__(self) -> None:
        """Start with nothing noted."""
        self._refused: dict[str, dict[str, Task]] = {}
        self._taken: dict[str, str] = {}

    def note(self, tasks: Sequence[Task]) -> str:
        """Note the refusals among *tasks*, all that the managers list; return which node refuses for good, and why.

        The text is empty if none does.
        """
        for task in tasks:
            if not task.node or not task.created:
                continue
            if is_refused(task):
                self._refused.setdefault(task.node, {})[task.id] = task
            elif task.state in _TAKEN:
                self._taken[task.node] = max(task.created, self._taken.get(task.node, ""))
        runs = {task.node for task in tasks if task.alive}
        found = [self._judged(node, noted.values(), runs - {node}) for node, noted in self._refused.items()]
        return "; ".join(filter(None, found))

    def _judged(self, node: str, noted: Iterable[Task], elsewhere: set[str]) -> str:
        since = self._taken.get(node, "")
        refused = sorted((task for task in noted if task.created > since), key=lambda task: task.created)
        if not refused:
            return ""
        last = refused[-1]
        row = []
        for task in reversed(refused):
            if kind(task.error) != kind(last.error):
                break
            row.append(task)
        if len(row) < (_OF_REPLICATED if last.slot else _OF_GLOBAL):
            return ""
        lasted = seconds_of(last.created) - seconds_of(row[-1].created)
        of_image = bool(_OF_IMAGES.search(last.error))
        if lasted < scaled(_LASTING_IMAGE if of_image else _LASTING) or (of_image and not elsewhere):
            return ""
        return f"the engine of {node} refused {len(row)} tasks in a row, for {lasted:.0f} s: {last.error}"


def kind(error: str) -> str:
    """Return a task's error without what differs from task to task."""
    return _OWN.sub("", error)
