"""Quotes: the document's own sentence for each claim of it, as claims/quotes.yaml places it in claims/document.txt."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text
from swarmlab.verdicts.catalogue import FOLDER

FILE = FOLDER / "quotes.yaml"
#: The document, as it was given.
DOCUMENT = FOLDER / "document.txt"
#: A heading of the document, such as "7.2 Docker service" or "8. Swarm 工作原理".
_HEADING = re.compile(r"^(\d(?:\.\d)*)\.? \S")


@dataclass(frozen=True)
class Quote:
    """A sentence or an example of the document.

    Attributes:
        line: Its line in the document, counted from 1.
        text: The sentence, in the document's own words.
        section: The heading that it stands under.
    """

    line: int
    text: str
    section: str

    def to_json(self) -> dict[str, str | int]:
        """Return the quote as `swarmlab explain --json` has it."""
        return {"line": self.line, "section": self.section, "text": self.text}


@functools.cache
def quotes(file: Path = FILE, document: Path = DOCUMENT) -> Mapping[str, Quote]:
    """Return the quotes by the id of the claim.

    Raises:
        UsageError: The file is not valid, or a quote does not stand in its line of the document.
    """
    lines = read_text(document).splitlines()
    read = YamlFile(read_text(file), file.name)
    found = {}
    for id, raw in (read.content or {}).items():
        match raw:
            case [int(line), str(text)] if 0 < line <= len(lines) and text.strip() and text in lines[line - 1]:
                found[id] = Quote(line, text, _section(lines, line))
            case _:
                raise UsageError(f"{read.place(id)}, {id}: {document.name} has no such text in that line")
    return found


def quote_of(claim_id: str) -> Quote | None:
    """Return the document's own sentence for a claim; None for claims of other parts."""
    return quotes().get(claim_id)


def _section(lines: list[str], line: int) -> str:
    return next(_headings(lines, line), "")


def _headings(lines: list[str], line: int) -> Iterator[str]:
    """Yield the headings above a line, the nearest first."""
    return (text for text in reversed(lines[:line]) if _HEADING.match(text))
