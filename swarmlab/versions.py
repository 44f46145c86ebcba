"""Versions of engines and of their API, as numbers that can be compared."""

from __future__ import annotations

import fnmatch
import re
import string

Version = tuple[int, ...]


def parsed(version: str) -> Version:
    """Return the numbers of a version, without what a distribution or edition adds ("20.10.24+dfsg1", "18.03.1-ce")."""
    return tuple(int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number)  # type: ignore[index]


def can_match(pattern: str) -> bool:
    """Whether a pattern of `fnmatch` matches any text of the form of an engine's version: numbers, then a suffix.

    Example:
        can_match("20.10.*") and not can_match("bookworm")
    """
    tokens = re.findall(r"\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    # Follow the pattern and the form side by side, over every character that a version may have.
    reached, todo = {(0, "start")}, [(0, "start")]
    while todo:
        at, state = todo.pop()
        if at == len(tokens):
            if state in _ENDS:
                return True
            continue
        star = tokens[at] == "*"
        steps = {(at + 1, state)} if star else set()
        for char in _CHARACTERS:
            if (following := _next(state, char)) and (star or fnmatch.fnmatchcase(char, tokens[at])):
                steps.add((at if star else at + 1, following))
        todo += steps - reached
        reached |= steps
    return False


_CHARACTERS = string.ascii_letters + string.digits + ".+~-"
#: The states in which a version may end: within its second or a later number, or within its suffix.
_ENDS = ("number", "suffix")


def _next(state: str, char: str) -> str:
    """Return the state of a version after one more character; empty if no version has it there.

    A version is such as 20.10.24, 18.03.1-ce or 28.5.2+dfsg1: at least two numbers, then + or - or ~ and a suffix.
    """
    if state in ("separator", "suffix"):
        return "suffix"
    if char.isdigit():
        return "first" if state in ("start", "first") else "number"
    if char == "." and state in ("first", "number"):
        return "point"
    return "separator" if char in "+~-" and state == "number" else ""
