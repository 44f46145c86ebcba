"""The claims of a report: each with what every run found of it, in chapters, counted and by reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmlab.report.files import Allowance, File, files_of
from swarmlab.report.overall import SIGNS
from swarmlab.report.trend import trend
from swarmlab.verdicts.catalogue import Catalogue
from swarmlab.verdicts.defects import KnownFailure
from swarmlab.verdicts.history import Flaky, History
from swarmlab.verdicts.parts import chapter_of, section_title
from swarmlab.verdicts.results import Before, Judged, Run

#: Begins the reason for which a claim was left out by whoever began the run.
NOT_SELECTED = "not selected"


@dataclass
class Cell:
    """A claim in one run.

    Attributes:
        run: Number of the run.
        verdict: Its verdict, or "not run".
        reason: Why it did not pass; empty if it did.
        seconds: Duration of its tests.
        tests: Node ids of its tests, the parameters of one test together.
        places: Where they ran, in a run of several parts.
        waiver: The waiver that was applied.
        known: The known defects of its engines that explain why it fails.
        must: The claim's text in this run's catalogue, if it differs from the row's.
        files: Its evidence.
        of_run: The run that judged it, where that is another.
        before: How it ended in the runs that this one has gone on with.
        trend: The picture of its history; empty if it has none.
        flaky: How flaky it is; None if it is not.
    """

    run: int
    verdict: str
    reason: str = ""
    seconds: float = 0.0
    tests: Sequence[str] = ()
    places: Sequence[str] = ()
    waiver: Mapping[str, str] | None = None
    known: Sequence[KnownFailure] = ()
    must: str = ""
    files: list[File] = field(default_factory=list)
    of_run: str = ""
    before: Sequence[Before] = ()
    trend: str = ""
    flaky: Flaky | None = None


@dataclass
class Row:
    """A claim in all runs.

    Attributes:
        id: Its id.
        must: What a conforming cluster does.
        level: critical, major or minor.
        erratum: Where the document is wrong; empty where it is not.
        source: What promises it; empty for the document's own claims.
        cost: Of a recommendation: what following it costs.
        beside: Of a recommendation: ids of claims of the document that say otherwise.
        cells: The claim in each run.
    """

    id: str
    must: str
    level: str
    erratum: str
    source: str = ""
    cost: str = ""
    beside: Sequence[str] = ()
    cells: list[Cell] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The id of its element: ids of claims have no blanks."""
        return self.id

    @property
    def section(self) -> str:
        """The heading of its section of the document, or of its area of Swarm."""
        return section_title(self.id)

    @property
    def chapter(self) -> str:
        """The chapter of the document, or the part of the catalogue."""
        return chapter_of(self.id)

    @property
    def judged(self) -> list[Cell]:
        """Its cells in the runs that judged it."""
        return [cell for cell in self.cells if cell.verdict != "not run"]


def rows_of(runs: Sequence[Run], claims: Catalogue, histories: Sequence[History], beside: Path) -> list[Row]:
    """Return the claims of runs, in the order of the catalogue.

    Args:
        runs: The runs.
        claims: The catalogue of today.
        histories: The history up to each run.
        beside: Folder of the report.
    """
    # A run that chose its claims says nothing of the others.
    judged_parts = {part for run in runs if not run.chosen for part in run.parts}
    of_parts = [id for id, claim in claims.items() if claim.part in judged_parts]
    ids = list(dict.fromkeys([*of_parts, *(id for run in runs for id in [*run.claims, *run.not_run])]))
    allowance = Allowance(runs)
    rows = []
    for id in ids:
        found = [run.claims[id] for run in runs if id in run.claims]
        known = found[0] if found else claims.get(id)
        row = Row(
            id,
            known.must if known else "(of an older catalogue)",
            known.level if known else "",
            next((judged.erratum for judged in found if judged.erratum), "")
            or (claims[id].erratum if id in claims else ""),
            known.source if known else "",
            known.cost if known else "",
            known.beside if known else (),
        )
        for number, run in enumerate(runs):
            if judged := run.claims.get(id):
                row.cells.append(_cell(number, run, judged, row, histories[number], allowance, beside))
            else:
                why = run.not_run.get(id, "not in the catalogue of this run")
                row.cells.append(Cell(number, "not run", why))
        rows.append(row)
    return rows


def _cell(
    number: int, run: Run, judged: Judged, row: Row, history: History, allowance: Allowance, beside: Path
) -> Cell:
    return Cell(
        run=number,
        verdict=str(judged.verdict),
        reason=judged.reason,
        seconds=judged.seconds,
        tests=_by_function(judged.tests),
        places=judged.places if run.shards or run.runs else (),
        waiver=judged.waiver,
        known=judged.known,
        must=judged.must if judged.must != row.must else "",
        files=files_of(run, judged, allowance.of(judged), beside),
        of_run=judged.run,
        before=judged.before,
        trend=trend(history.of(judged.id)),
        flaky=history.flaky(judged.id),
    )


def _by_function(tests: Iterable[str]) -> list[str]:
    """Return node ids with the parameters of one test together: suites/t.py::test[master], [slave01]."""
    parameters: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        function, mark, rest = test.partition("[")
        parameters.setdefault(function, []).append(mark + rest)
    return [function + ", ".join(held) for function, held in parameters.items()]


def chapters_of(rows: Iterable[Row], claims: Catalogue) -> list[dict[str, Any]]:
    """Return the chapters of rows, each with its sections and its counts for each run."""
    chapters: dict[str, dict[str, Any]] = {}
    for row in rows:
        chapter = chapters.setdefault(
            row.chapter,
            {"number": row.chapter, "title": claims.titles.get(row.chapter, f"Chapter {row.chapter}"), "sections": {}},
        )
        chapter["sections"].setdefault(row.section, []).append(row)
    for chapter in chapters.values():
        held = [row for section in chapter["sections"].values() for row in section]
        chapter["judged"] = any(row.judged for row in held)
        chapter["counts"] = counts_of(held)
        chapter["left_out"] = [sum(map(is_left_out, cells)) for cells in zip(*(row.cells for row in held), strict=True)]
    return list(chapters.values())


def counts_of(rows: Iterable[Row]) -> list[dict[str, int]]:
    """Return the number of claims by verdict, for each run."""
    cells = zip(*(row.cells for row in rows), strict=True)
    return [{verdict: sum(cell.verdict == verdict for cell in held) for verdict in SIGNS} for held in cells]


def is_left_out(cell: Cell) -> bool:
    """Whether a claim was not run because whoever began the run did not choose it."""
    return cell.verdict == "not run" and cell.reason.startswith(NOT_SELECTED)


def by_reason(rows: Iterable[Row], verdict: str) -> list[tuple[str, list[tuple[Row, list[int]]]]]:
    """Return the rows that have a verdict in any run, by reason, each with the numbers of those runs.

    Claims that were not selected are not among them (see `is_left_out`).
    """
    reasons: dict[str, dict[str, tuple[Row, list[int]]]] = {}
    for row in rows:
        for cell in row.cells:
            if cell.verdict == verdict and not is_left_out(cell):
                reasons.setdefault(cell.reason, {}).setdefault(row.id, (row, []))[1].append(cell.run)
    return [(reason, list(found.values())) for reason, found in reasons.items()]
