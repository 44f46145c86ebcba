"""The parts of every generated page: a title, a comment that names its source, and named places."""

from __future__ import annotations


def page(title: str, source: str, *blocks: str) -> str:
    """Return a page.

    Args:
        title: Heading of the page.
        source: What the page is made from.
        blocks: Paragraphs, headings and tables in Markdown. Empty ones are left out.
    """
    note = f"<!-- Made by `make docs` from {source}. Edit that, not this page. -->"
    return "\n\n".join([f"# {title}", note, *filter(None, blocks)]) + "\n"


def anchor(name: str) -> str:
    """Return a named place, for a link to it."""
    return f'<a id="{name}"></a>'
