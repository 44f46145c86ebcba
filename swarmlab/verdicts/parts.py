"""The parts of the catalogue: the document, what Swarm promises beyond it, and the CIS benchmark.

The id of a claim tells its part: 7.2.1/create-with-port is of the document, configs/immutable of Swarm, cis/autolock of
the benchmark.
"""

from __future__ import annotations

from swarmlab.errors import UsageError
from swarmlab.files import shown

DOCUMENT, SWARM, CIS = "document", "swarm", "cis"
#: The parts in the order of reports, each with what it is.
PARTS = {
    DOCUMENT: "the document's claims",
    SWARM: "what Swarm promises beyond the document",
    CIS: "the recommendations of the CIS Docker Benchmark for swarms",
}
#: The parts that a run judges unless it says otherwise. Each site decides for itself which recommendations it follows.
DEFAULT = (DOCUMENT, SWARM)
#: The word for all parts.
ALL = "all"
#: What stands before the slash in ids of claims that are of no section of the document and of no area of Swarm: the
#: benchmark's, and those of a rehearsal.
_OWN = (CIS, "upgrade", "known")


def part_of(id: str) -> str:
    """Return the part that a claim is of, given its id; of a rehearsal's claim what stands before the slash."""
    section = id.partition("/")[0]
    if section[:1].isdigit():
        return DOCUMENT
    return section if section in _OWN else SWARM


def chapter_of(id: str) -> str:
    """Return the chapter that a claim is of, given its id: 7 for one of the document, else its part."""
    part = part_of(id)
    return id.partition("/")[0].partition(".")[0] if part == DOCUMENT else part


def section_title(id: str) -> str:
    """Return the heading of a claim's section: Section 7.2.1, or Area configs for one of Swarm."""
    part = part_of(id)
    return "Recommendations" if part == CIS else f"{'Area' if part == SWARM else 'Section'} {id.partition('/')[0]}"


def read(text: str) -> tuple[str, ...]:
    """Return the parts that an option names, in the order of reports.

    Args:
        text: Names of parts by comma, or all.

    Raises:
        UsageError: It names none, or one that does not exist.

    Example:
        >>> read("cis,document")
        ('document', 'cis')
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in (*PARTS, ALL):
            raise UsageError(
                f"{shown(repr(word), 60)} is no part of the catalogue; write {', '.join(PARTS)} or {ALL}, or several "
                "by comma"
            )
    return tuple(part for part in PARTS if ALL in words or part in words)
