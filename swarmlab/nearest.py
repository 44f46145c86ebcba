"""The word that a user may have meant, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Characters of a word that are looked at: the search takes long for long words, and no name is as long.
_MOST = 200


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the known word that is most like one that is not known; empty if none is.

    Args:
        word: What was written.
        known: The words that there are.
        cutoff: How alike they have to be, from 0 to 1.

    Example:
        >>> nearest("--inventroy", ["--inventory", "--name"])
        '--inventory'
    """
    found = difflib.get_close_matches(word[:_MOST], list(known), n=1, cutoff=cutoff)
    return found[0] if found else ""


def hint(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return the end of a message that names the nearest word: ``; did you mean NEAREST?``, or nothing."""
    near = nearest(word, known, cutoff=cutoff)
    return f"; did you mean {near}?" if near else ""
