"""The HTML report of runs: what was tested, on what, with which verdict, and the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from swarmlab import outputs
from swarmlab.preflight import Level
from swarmlab.report.about import about, waivers_of
from swarmlab.report.cards import OPEN, cards_of
from swarmlab.report.overall import MEANINGS, SIGNS, overall_of
from swarmlab.report.pages import pages, stylesheet
from swarmlab.report.rows import by_reason, chapters_of, counts_of, rows_of
from swarmlab.verdicts import catalogue, history
from swarmlab.verdicts.results import Run
from swarmlab.verdicts.verdict import Verdict


def render(runs: Sequence[Run], *, beside: Path) -> str:
    """Return the report of these runs, as HTML.

    Args:
        runs: Runs, as `swarmlab.verdicts.results.load` returns them, in the order of the report.
        beside: Folder of the report. Links to evidence are relative to it.
    """
    if not runs:
        raise ValueError("a report has at least one run")
    claims = catalogue.load()
    histories = [history.up_to(run.folder) for run in runs]
    rows = rows_of(runs, claims, histories, beside.absolute())
    cards = cards_of(rows, runs)
    return (
        pages("swarmlab.report")
        .get_template("template.html")
        .render(
            style=stylesheet(),
            script=Markup((Path(__file__).parent / "script.js").read_text(encoding="utf-8")),
            overall=overall_of(runs),
            runs=[about(number, run, runs, beside.absolute()) for number, run in enumerate(runs)],
            chapters=chapters_of(rows, claims),
            levels=[(level, counts_of(row for row in rows if row.level == level)) for level in catalogue.LEVELS],
            rows=rows,
            judged={row.id for row in rows if row.judged},
            order=list(SIGNS),
            finding_levels=[str(level) for level in Level],
            signs=SIGNS,
            meanings=MEANINGS,
            bad=[str(verdict) for verdict in Verdict if verdict.bad],
            cards=cards,
            most_open=OPEN,
            opened={card.row.id for card in cards if card.open},
            waivers=[(number, waiver) for number, run in enumerate(runs) for waiver in waivers_of(run)],
            blocked=by_reason(rows, "blocked"),
            not_run=by_reason(rows, "not run"),
        )
    )


def write(runs: Sequence[Run], out: Path) -> None:
    """Write the report of these runs to *out*.

    Raises:
        LabError: The file cannot be written.
    """
    text = render(runs, beside=out.absolute().parent)
    outputs.write(out, text)
