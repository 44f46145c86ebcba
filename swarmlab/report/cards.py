"""The cards of what needs attention: one for each claim that is fail, broken or timeout, with what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.report.next_steps import NextSteps, next_steps
from swarmlab.report.rows import Row
from swarmlab.verdicts.catalogue import rank
from swarmlab.verdicts.defects import KnownFailure
from swarmlab.verdicts.explain import Explanation, explanation
from swarmlab.verdicts.results import Run
from swarmlab.verdicts.verdict import Verdict

#: How many cards are open, also on paper, and characters of a reason that stand in one line.
OPEN, _LINE = 10, 130


@dataclass(frozen=True)
class Card:
    """A claim that needs attention, for one reason.

    Attributes:
        row: The claim.
        verdict: Its verdict.
        reason: Why it did not pass.
        numbers: The runs in which it has this verdict for this reason.
        next: What to do about it, by the first of these runs.
        causes: The findings of preflight in these runs that may be the cause.
        known: The known defects of engines that explain it.
        explained: What is known of the claim; None for a claim that the catalogue does not have any more.
        open: Whether it is shown in full, and not folded to its first lines.
    """

    row: Row
    verdict: str
    reason: str
    numbers: Sequence[int]
    next: NextSteps
    causes: Sequence[Mapping[str, Any]]
    known: Sequence[KnownFailure]
    explained: Explanation | None
    open: bool

    @property
    def line(self) -> str:
        """The reason in one line; its end is left out if it is long."""
        line = " ".join(self.reason.split()) or "no reason given"
        return line if len(line) <= _LINE else line[:_LINE].rpartition(" ")[0] + " …"


def cards_of(rows: Sequence[Row], runs: Sequence[Run]) -> list[Card]:
    """Return the cards of a report: by verdict, the worst first, and by level."""
    found = list(_found(rows))
    found.sort(key=lambda one: (list(Verdict).index(Verdict(one[1])), rank(one[0].level)))
    return [_card(*one, runs, open=place < OPEN) for place, one in enumerate(found)]


def _found(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str, list[int]]]:
    """Yield each claim with a bad verdict, by verdict and reason, with the numbers of those runs."""
    for row in rows:
        alike: dict[tuple[str, str], list[int]] = {}
        for cell in row.judged:
            if Verdict(cell.verdict).bad:
                alike.setdefault((cell.verdict, cell.reason), []).append(cell.run)
        for (verdict, reason), numbers in alike.items():
            yield row, verdict, reason, numbers


def _card(row: Row, verdict: str, reason: str, numbers: list[int], runs: Sequence[Run], *, open: bool) -> Card:
    steps = [next_steps(runs[number], runs[number].claims[row.id]) for number in numbers]
    causes: list[Mapping[str, Any]] = []
    for cause in (cause for each in steps for cause in each.causes):
        if cause not in causes:
            causes.append(cause)
    known = dict.fromkeys(known for number in numbers for known in row.cells[number].known)
    try:
        explained = explanation(row.id)
    except UsageError:
        explained = None
    return Card(row, verdict, reason, numbers, steps[0], causes, list(known), explained, open)
