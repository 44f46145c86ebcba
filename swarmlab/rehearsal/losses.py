"""What was lost while engines were restarted as they are (the control), compared with what an upgrade lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The kind of loss by the claim that judges it.
KINDS = {
    "upgrade/no-request-lost": "requests",
    "upgrade/no-write-lost": "writes",
    "upgrade/streams-kept": "downloads",
    "upgrade/datagrams-kept": "datagrams",
}
#: All kinds, with the words for how many were lost.
WORDS = {
    "requests": "requests lost",
    "names": "of them as a name did not resolve",
    "datagrams": "nodes that left datagrams unanswered",
    "writes": "managers that took no write",
    "kept": "managers that lack an acknowledged write",
    "downloads": "downloads cut",
}
#: Places of a loss: through the node that was away, once it was back, and through the other nodes.
ITSELF, OTHERS = "itself", "others"
#: An upgrade that loses up to so many times what the control lost is of the same order.
TIMES = 3
#: Seconds, at reference speed, that it may lose more than the control: so many in any case, and so many at most. Nodes
#: tell each other all that they know of names every 30 s, and look for a lost manager every 60 s. So two restarts of
#: one engine differ by half a minute in how long names are away on the node itself.
LEAST, MOST = 5.0, 30.0


@dataclass(frozen=True)
class Loss:
    """What was lost of one kind, at one place, while a node was away and until the next one was.

    Attributes:
        count: How many losses count for the claim. Those through the node itself count from the end of its step on.
        whole: How many there were. Those through the node itself are counted from when it had its tasks again.
        seconds: For how long these were lost, at the node where it was longest.
    """

    count: int = 0
    whole: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return the figures."""
        return f"{self.whole} in {self.seconds:.1f} s" if self.whole else "none"


@dataclass(frozen=True)
class Compared:
    """A loss of a step beside that of the control.

    Attributes:
        node: Host name of the node that was upgraded.
        step: Number of the step.
        kind: A key of `WORDS`.
        place: `ITSELF` or `OTHERS`.
        lost: What the step lost.
        control: What the restart of the engine lost that the step is compared with.
        restarted: Host name of the node that was restarted then; empty if there was no control.
        alike: Whether the control lost it too, and the step clearly no more.
    """

    node: str
    step: int
    kind: str
    place: str
    lost: Loss
    control: Loss
    restarted: str
    alike: bool

    @property
    def what(self) -> str:
        """What was lost, and where, in words."""
        if self.kind == "kept":
            return WORDS[self.kind]
        own = self.place == ITSELF
        return WORDS[self.kind] + (" through it after it was back" if own else " through or on other nodes")

    def __str__(self) -> str:
        """Return both figures in words."""
        if self.kind == "kept":
            return f"{self.what}: {self.lost.whole}"
        control = f"{self.control} when {self.restarted} was restarted as it is" if self.restarted else "not held"
        return f"in step {self.step}, of {self.node}, {self.what}: {self.lost}; in the control: {control}"


def total(spans: Iterable[tuple[float, float]]) -> float:
    """Return how many seconds lie in at least one of *spans* (begin, end)."""
    seconds, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        seconds += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return seconds


def counterparts(step: Mapping[str, Any], control: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the restarts of the control that a step is compared with: of the same node in the same role.

    The leader of the control need not be the leader at the step. A step of the leader is compared with the restart of
    the leader, and that of another manager with one of another manager where the node itself led.
    """
    alike = [one for one in control if (one["role"], one["leads"]) == (step["role"], step["leads"])]
    names = [one["node"] for one in alike or control]
    name = step["node"] if step["node"] in names or not alike else names[0]
    return [one for one in alike or control if one["node"] == name]


def alike(lost: Loss, control: Loss, place: str = OTHERS, scale: float = 1.0) -> bool:
    """Whether the control lost this too, and the upgrade clearly no more.

    Args:
        lost: What the upgrade lost.
        control: What the control lost.
        place: Where.
        scale: How much slower than the reference the lab is.
    """
    if not control.whole:
        return False
    more = MOST * scale
    if place == OTHERS:
        more = min(max((TIMES - 1) * control.seconds, LEAST * scale), more)
    if lost.seconds > control.seconds + more:
        return False
    # A longer loss has more of them. Losses that come and go are short, and many.
    longer = (control.seconds + more) / control.seconds if control.seconds >= 1 else TIMES
    return lost.whole <= control.whole * max(TIMES, longer)


def compare(course: Mapping[str, Any], kinds: Iterable[str] = tuple(WORDS), *, all: bool = False) -> list[Compared]:
    """Return every loss of an upgrade beside what the control lost.

    Args:
        course: The parsed rehearsal.json.
        kinds: The kinds of loss that are compared.
        all: Also return losses that do not count for a claim, and what the control alone lost.
    """
    losses = course.get("losses") or {}
    wanted, control, found = list(kinds), losses.get("control", []), []
    if "writes" in wanted and (missing := losses.get("missing", [])):
        # No restart is an excuse for a write that was acknowledged and is gone.
        gone = Loss(len(missing), len(missing))
        found.append(Compared("", 0, "kept", OTHERS, gone, Loss(), "", alike=False))
    for step in losses.get("steps", []):
        others = counterparts(step, control)
        name = others[0]["node"] if others else ""
        for kind in wanted:
            for place in (ITSELF, OTHERS):
                lost = _loss(step, kind, place)
                was = max((_loss(other, kind, place) for other in others), key=_size, default=Loss())
                if lost.count or (all and (lost.whole or was.whole)):
                    same = alike(lost, was, place, losses.get("scale", 1.0))
                    found.append(Compared(step["node"], step["number"], kind, place, lost, was, name, same))
    return found


def _loss(move: Mapping[str, Any], kind: str, place: str) -> Loss:
    given = move.get("losses", {}).get(kind, {}).get(place, {})
    return Loss(**given)


def _size(loss: Loss) -> tuple[float, int]:
    return loss.seconds, loss.whole
