"""A short Markdown page of runs, for a pull request or a chat: counts, what needs attention, what got worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from swarmlab.preflight import Level, grouped, headline
from swarmlab.report.markdown import code, plain, said, table
from swarmlab.report.overall import SIGNS, overall
from swarmlab.report.pages import duration
from swarmlab.verdicts import compare
from swarmlab.verdicts.catalogue import rank
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict
from swarmlab.verdicts.waivers import accepted_by

#: Most claims, and most findings, that the page names.
_MOST = 20


def render(runs: Sequence[Run], baseline: Run | None = None) -> str:
    """Return the page.

    Args:
        runs: Runs, as `swarmlab.verdicts.results.load` returns them.
        baseline: An earlier run, with which each is compared; None for none.
    """
    return "\n\n".join(block for run in runs for block in _blocks(run, baseline) if block) + "\n"


def _blocks(run: Run, baseline: Run | None) -> Iterator[str]:
    whole = overall(run)
    counts = {str(verdict): number for verdict, number in run.counts.items()} | {"not run": len(run.not_run)}
    shown = [word for word in SIGNS if counts[word]]
    engines = ", ".join(run.each("engine")) or "no node"
    yield f"## Swarm conformance of {said(_name(run))}: {whole.word[0].lower()}{whole.word[1:]}"
    yield said(whole.summary)
    yield table(
        ["engine", *shown, "took"], [[said(engines), *(str(counts[word]) for word in shown), duration(run.seconds)]]
    )
    for refusal in run.raw.get("certification") or []:
        yield f"**Not certified:** {said(refusal)}"
    yield from _listed("Needs attention", [_claim(claim) for claim in _bad(run)])
    waived = [claim for claim in run.claims.values() if claim.verdict is Verdict.WAIVED]
    yield from _listed("Waived", [_claim(claim) for claim in waived])
    yield from _listed("Preflight", list(_findings(run)))
    if baseline:
        yield "### Compared with the baseline"
        # Its headings are one level below this one.
        found = compare.lines(baseline, run, compare.compare(baseline, run), markdown=True)
        yield "\n".join(f"#{line}" if line.startswith("### ") else line for line in found)
    yield _made(run)


def _name(run: Run) -> str:
    cluster = str(run.raw.get("cluster", ""))
    return run.lab if cluster in ("", run.raw["lab"].get("kind")) else f"{cluster} ({run.lab})"


def _bad(run: Run) -> list[Judged]:
    """Return the claims that need attention: critical ones first, of these the worst."""
    verdicts = list(Verdict)
    bad = [claim for claim in run.claims.values() if claim.verdict.bad]
    return sorted(bad, key=lambda claim: (rank(claim.level), verdicts.index(claim.verdict)))


def _claim(claim: Judged) -> str:
    return f"{claim.verdict} {code(claim.id)} ({claim.level}): {said(claim.explained)}"


def _findings(run: Run) -> Iterator[str]:
    for finding, followers in grouped(run.preflight):
        worst = [each for each in (finding, *followers) if Level(each["level"]).trouble]
        if worst:
            yield said(headline(finding, followers))
        for each in followers:  # which the line above only counts
            if each.get("waiver"):
                yield said(f"{each['level']}: {each['check']}: {accepted_by(each['waiver'])}")


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        more = [f"and {len(lines) - _MOST} more, which the run's report has"] if len(lines) > _MOST else []
        yield f"### {title}: {len(lines)}"
        yield "\n".join(f"- {line}" for line in [*lines[:_MOST], *more])


def _made(run: Run) -> str:
    suite = run.raw.get("suite", {})
    parts = [f"started {run.started:%Y-%m-%d %H:%M} {run.started.tzname() or ''}".strip()]
    parts += [f"suite {suite['version']}"] if suite.get("version") else []
    parts += [f"revision {suite['revision']}"] if suite.get("revision") else []
    return plain(", ".join(parts))
