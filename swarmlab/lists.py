"""Lists of names in messages: the first few and the count, and all of them in the evidence."""

from __future__ import annotations

from collections.abc import Iterable

from swarmlab.evidence import record

#: The most things that a message names: all pairs of three nodes.
MOST = 6


def few(things: Iterable[object], separator: str = ", ", *, most: int = MOST) -> str:
    """Return *things* as a list for a message: the first few, and how many more there are; the evidence has all.

    Args:
        things: what is listed.
        separator: what stands between two of them.
        most: how many are named.

    Example:
        few(["a", "b", "c"], most=2) == "a, b and 1 more"
    """
    every = [str(thing) for thing in things]
    if len(every) <= most:
        return separator.join(every)
    record("suite", f"a list of {len(every)}, of which a message names {most}", "\n".join(every))
    last = " " if separator == ", " else separator.rstrip(" ").removesuffix(" and") + " "
    return f"{separator.join(every[:most])}{last}and {len(every) - most} more"
