"""Markdown of pages that a command writes: tables, code and text that is shown as it stands."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing if it has no rows.

    Args:
        heads: Headings of the columns.
        rows: Cells, in Markdown.
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines]) if lines else ""


def plain(text: str) -> str:
    """Return *text* escaped and on one line, so that Markdown shows it as it stands, also in a cell of a table."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_|\[\]])", r"\\\1", escaped)


def said(text: str) -> str:
    """Return *text* as `plain` does, and so that it mentions nobody and links to no issue of the page's own project."""
    return re.sub(r"([#~])", r"\\\1", plain(text)).replace("@", "@\u200b")


def code(text: str) -> str:
    """Return *text* as code on one line, also in a cell of a table."""
    line = " ".join(text.split()).replace("|", r"\|")
    return f"`` {line} ``" if "`" in line else f"`{line}`"
