"""What was lost in a rehearsal, by kind, for each restart of the control and each step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from swarmlab.rehearsal.losses import ITSELF, OTHERS, Loss, total
from swarmlab.wait import scaled
from swarmlab.watching.asker import Heard
from swarmlab.watching.datagrams import Datagrams

#: Seconds for which a node may leave datagrams unanswered.
HOLE = 3.0
#: How an agent says that it does not know a name (see `swarmlab.rehearsal.agent`).
_UNKNOWN = " does not resolve: "


class Move(Protocol):
    """The part of a step, or of a restart of the control, that losses are told by: see `Step` of the course."""

    number: int
    node: str
    role: str
    leads: bool
    began: float
    back: float
    ended: float
    cut: tuple[str, ...]


class Watched(Protocol):
    """The part of a course that losses are counted from: see `Course`."""

    datagrams: Datagrams
    ended: float
    every: float
    missing: list[str]

    @property
    def control(self) -> Sequence[Move]:
        """The restarts of the control that were begun."""

    @property
    def watches(self) -> Mapping[str, Any]:
        """The requests through every node, by host name."""

    @property
    def moves(self) -> Sequence[Move]:
        """The restarts of the control and the steps, in their order."""

    def losses_through(self, name: str) -> list[Heard]:
        """Return the requests lost through a node."""

    def idle_managers(self, step: Any) -> Sequence[Any]:
        """Return the other managers that took no write while the node of *step* was away."""


def present(away: Iterable[tuple[float, float]], begin: float, end: float) -> list[tuple[float, float]]:
    """Return the spans from *begin* to *end* in which a node is not away.

    Args:
        away: when it is away, in order. Spans that begin before *begin*, as those of the control do, do not count.
        begin: the begin of the first step.
        end: the end of the last.
    """
    edges = [begin, *(edge for span in away if span[0] >= begin for edge in span), end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def losses(course: Watched) -> dict[str, Any]:
    """Return the losses of the control and of the steps (see `swarmlab.rehearsal.losses`)."""
    moves = course.moves
    ends = [*(move.began for move in moves[1:]), math.inf]
    rows = [_of_move(course, move, end) for move, end in zip(moves, ends, strict=True)]
    held = len(course.control)
    return {"control": rows[:held], "steps": rows[held:], "missing": course.missing, "scale": scaled(1.0)}


def _of_move(course: Watched, move: Move, end: float) -> dict[str, Any]:
    """Return the losses from the beginning of *move* until *end*, when the next one begins."""
    requests, names = {}, {}
    for name in course.watches:
        given = [heard for heard in course.losses_through(name) if move.began <= heard.at < end]
        requests[name] = given
        names[name] = [heard for heard in given if _UNKNOWN in heard.error]
    found = {
        "requests": _by_place(move, requests, course.every),
        "names": _by_place(move, names, course.every),
        "datagrams": _datagrams(course, move, end),
        "writes": {OTHERS: _writes(course, move)},
        "downloads": {OTHERS: Loss(len(move.cut), len(move.cut))},
    }
    return {
        "number": move.number,
        "node": move.node,
        "role": move.role,
        "leads": move.leads,
        "losses": {kind: {place: asdict(loss) for place, loss in by.items()} for kind, by in found.items()},
    }


def _by_place(move: Move, lost: Mapping[str, Sequence[Heard]], every: float) -> dict[str, Loss]:
    """Return the losses through the node itself and through the others."""

    def seconds(requests: Sequence[Heard]) -> float:
        return round(total((heard.at, heard.end + every) for heard in requests), 1)

    mine = [heard for heard in lost[move.node] if move.back and heard.end > move.back]
    others = {name: given for name, given in lost.items() if name != move.node}
    count = sum(map(len, others.values()))
    return {
        ITSELF: Loss(sum(bool(move.ended) and heard.at > move.ended for heard in mine), len(mine), seconds(mine)),
        OTHERS: Loss(count, count, max(map(seconds, others.values()), default=0.0)),
    }


def _datagrams(course: Watched, move: Move, end: float) -> dict[str, Loss]:
    last = min(end, course.ended)

    def silence(name: str, since: float) -> float:
        silent = course.datagrams.silence(name, since, last) if since and last > since else 0.0
        return silent if silent > scaled(HOLE) else 0.0

    mine = silence(move.node, move.ended)
    others = [silent for name in course.watches if name != move.node and (silent := silence(name, move.began))]
    return {
        ITSELF: Loss(int(mine > 0), int(mine > 0), round(mine, 1)),
        OTHERS: Loss(len(others), len(others), round(max(others, default=0.0), 1)),
    }


def _writes(course: Watched, move: Move) -> Loss:
    """Return how many other managers took no write while the node was away, which is for as long as it was."""
    idle = course.idle_managers(move)
    return Loss(len(idle), len(idle), round(move.ended - move.began, 1) if idle and move.ended else 0.0)
