"""Versions of engines and of their API, as numbers that can be compared."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def parsed(version: str) -> Version:
    """Return the numbers of a version, without what a distribution or edition adds ("20.10.24+dfsg1", "18.03.1-ce")."""
    return tuple(int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number)  # type: ignore[index]
