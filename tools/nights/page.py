"""What tools/nightly kept of the nights, and the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.report.overall import SIGNS
from swarmlab.report.pages import pages, stylesheet
from swarmlab.verdicts import history, results
from swarmlab.verdicts.history import Flaky, Point
from swarmlab.verdicts.results import Run
from swarmlab.verdicts.verdict import Verdict

#: The file that tools/nightly writes for each night: outcome, time of the plan, address of the job, a line for each.
_NIGHT = "night"
#: What became of a run, as tools/nightly says it: with its sign, its colour on the page, and what it means.
OUTCOMES = {
    "passed": ("✓", "good", "every judged claim passed, and nothing is worse than the baseline"),
    "failed": ("✗", "bad", "a claim is fail, broken or timeout, as in the baseline; or the baseline cannot be read"),
    "worse": ("✗", "bad", "something is worse than the baseline"),
    "did not end": ("!", "open", "the run ended before its last test"),
    "no verdict": ("!", "open", "no claim was judged: a job died before"),
}


@dataclass(frozen=True)
class Night:
    """What became of one run in one night.

    Attributes:
        outcome: A key of `OUTCOMES`.
        planned: When the night was planned, which all of its runs share.
        job: Address of the job in its CI system; empty if there was none.
        folder: What was kept of it.
        run: Its verdicts; None if there are none.
        changes: What changed since the baseline, in Markdown; or why there is no verdict.
    """

    outcome: str
    planned: str
    job: str
    folder: Path
    run: Run | None
    changes: str

    @property
    def summary(self) -> str:
        """The verdicts in a few words: those that are bad, or how many passed."""
        if self.run is None:
            return self.outcome
        bad = [f"{number} {verdict}" for verdict, number in self.run.counts.items() if number and verdict.bad]
        passed = f"{self.run.counts[Verdict.PASS]} pass"
        return ", ".join(bad or [passed])


@dataclass(frozen=True)
class Line:
    """A run of every night.

    Attributes:
        name: Its name.
        nights: What became of it, the oldest first.
        flaky: The claims that are flaky in its history: id, rate and judgements.
    """

    name: str
    nights: Sequence[Night]
    flaky: Sequence[tuple[str, Flaky, Sequence[Point]]]

    @property
    def latest(self) -> Night:
        """What became of it last."""
        return self.nights[-1]

    def at(self, planned: str) -> list[Night]:
        """Return what became of it in a night; more than one if a part of the night was run anew."""
        return [night for night in self.nights if night.planned == planned]


def read(kept: Path) -> list[Line]:
    """Return what was kept of the nights, by the name of the run.

    Args:
        kept: The folder reports/kept.
    """
    lines = []
    for folder in sorted(kept.glob("*/runs")):
        nights = [_night(night.parent) for night in sorted(folder.glob(f"*/{_NIGHT}"))]
        if nights:
            lines.append(Line(folder.parent.name, nights, _flaky(nights)))
    return lines


def _night(folder: Path) -> Night:
    outcome, planned, job = [*(folder / _NIGHT).read_text(encoding="utf-8").splitlines(), "", "", ""][:3]
    try:
        run = results.load(folder)
    except UsageError:
        run = None
    changes = folder / "compare.md"
    return Night(
        outcome if outcome in OUTCOMES else "no verdict",
        planned,
        job,
        folder,
        run,
        changes.read_text(encoding="utf-8") if changes.exists() else "",
    )


def _flaky(nights: Sequence[Night]) -> list[tuple[str, Flaky, Sequence[Point]]]:
    """Return the flaky claims over the nights whose lab and engines were those of the last, the worst first."""
    judged = [night for night in nights if night.run]
    if not judged or judged[-1].run is None:
        return []
    found = history.read([night.folder for night in judged], like=judged[-1].run.raw)
    rates = [(id, rate, found.of(id)) for id in found.points if (rate := found.flaky(id))]
    return sorted(rates, key=lambda one: (-one[1].rate, one[0]))


def overall(lines: Sequence[Line]) -> tuple[str, str]:
    """Return the verdict on the last night in a few words, and its colour."""
    if not lines:
        return "No night yet", "open"
    last = max(line.latest.planned for line in lines)
    of_last = [line.latest for line in lines if line.latest.planned == last]
    wrong = [night for night in of_last if night.outcome != "passed"]
    if not wrong:
        return ("The run passed" if len(of_last) == 1 else f"All {len(of_last)} runs passed"), "good"
    tones = {OUTCOMES[night.outcome][1] for night in wrong}
    return f"{len(wrong)} of {len(of_last)} runs did not pass", "bad" if "bad" in tones else "open"


def render(lines: Sequence[Line], out: Path) -> str:
    """Return the page of nights, as HTML.

    Args:
        lines: As `read` returns them.
        out: Folder of the page. The folder of a run that is there is linked: the latest of its name.
    """
    planned = sorted({night.planned for line in lines for night in line.nights}, reverse=True)
    word, tone = overall(lines)
    published: Mapping[str, bool] = {line.name: (out / line.name / "report.html").exists() for line in lines}
    return (
        pages("tools.nights", "swarmlab.report")
        .get_template("page.html")
        .render(
            style=stylesheet(),
            word=word,
            tone=tone,
            lines=lines,
            planned=planned,
            published=published,
            outcomes=OUTCOMES,
            signs=SIGNS,
            links=[name for name in ("report.html", "allure/index.html") if (out / name).exists()],
        )
    )
