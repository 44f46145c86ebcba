"""Quotes: the document's own sentence for each claim of it, as claims/quotes.yaml places it in claims/document.txt."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import read_text
from swarmlab.verdicts.catalogue import FOLDER, entries

FILE = FOLDER / "quotes.yaml"
#: The document, as it was given.
DOCUMENT = FOLDER / "document.txt"
#: A heading of the document, such as "7.2 Docker service" or "8. Swarm 工作原理".
_HEADING = re.compile(r"^\d(\.\d)*\.? \S")


@dataclass(frozen=True)
class Quote:
    """A sentence or an example of the document.

    Attributes:
        line: The line of the document in which it begins, counted from 1.
        text: The sentence, in the document's own words and with its line breaks.
        heading: The heading that it stands under, with the number that the document gives it.
    """

    line: int
    text: str
    heading: str

    @property
    def place(self) -> str:
        """Where it stands: heading and line."""
        return f"{self.heading}, line {self.line}"

    def to_json(self) -> dict[str, str | int]:
        """Return the quote as `swarmlab explain --json` has it."""
        return {"line": self.line, "heading": self.heading, "text": self.text}


@functools.cache
def quotes(file: Path = FILE, document: Path = DOCUMENT) -> Mapping[str, Quote]:
    """Return the quotes by the id of the claim.

    Raises:
        UsageError: The file is not valid, or a quote does not stand in its place in the document.
    """
    lines = read_text(document).splitlines()
    found: dict[str, Quote] = {}
    for entry in entries(file, FOLDER / "quotes.schema.json"):
        if entry["id"] in found:
            raise UsageError(f"{file.name}, {entry['id']}: two entries have this id")
        found[entry["id"]] = _quote(entry, lines, file, document)
    return found


def quote_of(claim_id: str) -> Quote | None:
    """Return the document's own sentence for a claim; None for claims of other parts."""
    return quotes().get(claim_id)


def _quote(entry: Mapping[str, Any], lines: Sequence[str], file: Path, document: Path) -> Quote:
    line, text = entry["line"], entry["text"]
    first = line - 1
    passage = "\n".join(lines[first : first + text.count("\n") + 1])
    # A quote of several lines that began later in the passage would end beyond it, so that it begins in this line.
    if text not in passage:
        raise UsageError(f"{file.name}, {entry['id']}: line {line} of {document.name} has no such text")
    heading = next((above for above in reversed(lines[:line]) if _HEADING.match(above)), "")
    return Quote(line, text, heading)
