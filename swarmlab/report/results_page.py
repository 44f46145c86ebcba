"""Markdown pages of runs: their verdicts, and what they took."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.needs import FEATURES, OF_MACHINES
from swarmlab.report import bench, kills, times
from swarmlab.report.markdown import code, plain, table
from swarmlab.report.overall import MEANINGS, SIGNS, overall
from swarmlab.report.pages import duration
from swarmlab.verdicts import catalogue, history
from swarmlab.verdicts.parts import chapter_of
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: Claims that are listed as the slowest of a run.
_SLOWEST = 10
#: What stands for the verdict of a claim that a run was not to judge.
_NOT_CHOSEN = "not chosen"
#: Lines of each table of a profile.
_DEAREST = 10


def render(runs: Iterable[Run], killed: Path | None = None) -> str:
    """Return the page of the verdicts of these runs.

    The same runs in another order, or given twice, make the same page.

    Args:
        runs: Runs, as `swarmlab.verdicts.results.load` returns them.
        killed: Table of the proof that kills runs; None leaves it out.

    Raises:
        UsageError: That table cannot be read.
    """
    held = _in_order(runs)
    blocks = [
        "# Results",
        "<!-- Made by `make results` from the verdicts.json of runs. Do not edit: run it again. -->",
        "Each run wrote one verdict for each claim that it judged. What the verdicts mean: "
        + "; ".join(f"*{word}*: {MEANINGS[word]}" for word in SIGNS)
        + ".",
        "## Runs",
        _overview(held),
        "## Verdicts by chapter",
        _chapters(held),
        "## Claims that did not pass where they were judged, or were never run",
        *_others(held),
        *(block for number, run in enumerate(held, 1) for block in _about(number, run)),
        *(["## Runs that were killed", "\n".join(kills.lines(killed))] if killed else []),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def render_times(runs: Iterable[Run], measured: Mapping[str, Any] | None = None, picture: str = "") -> str:
    """Return the page of what runs took, as far as they have a profile, and of a benchmark.

    Args:
        runs: Runs, as `swarmlab.verdicts.results.load` returns them.
        measured: Benchmark, as `swarmlab.report.bench.load` returns it; None leaves it out.
        picture: Path of the benchmark's picture from the page; empty for none.

    Raises:
        UsageError: No run has a profile, and there is no benchmark.
    """
    held = [run for run in _in_order(runs) if run.profile]
    if not held and not measured:
        raise UsageError("--times: no run has a profile; make one with: pytest suites/ --profile-run")
    blocks = [
        "# Times",
        "<!-- Made by `make times` from the profile.json of runs and bench.json. Do not edit: run it again. -->",
        "What runs of the suites took, and what that hangs on. [Find out where the time goes](../how-to/time.md) says "
        "what the figures mean.",
        *(["## Runs", _overview(held), _times(held)] if held else []),
        *(block for number, run in enumerate(held, 1) for block in (f"## Run {number}", *_dearest(run))),
        *(["## Benchmark", *bench.blocks(measured, picture)] if measured else []),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _in_order(runs: Iterable[Run]) -> list[Run]:
    return sorted(
        {run.path.resolve(): run for run in runs}.values(),
        key=lambda run: (run.started, run.lab, run.each("engine"), str(run.path)),
    )


def _overview(runs: Sequence[Run]) -> str:
    heads = ["run", "begun", "revision", "lab", "engines", "nodes", *SIGNS, "took"]
    return table(
        heads,
        (
            [
                _link(number),
                f"{run.started:%Y-%m-%d %H:%M}",
                plain(str(run.raw.get("suite", {}).get("revision") or "not known")),
                plain(run.lab),
                plain(", ".join(run.each("engine")) or "none"),
                str(len(run.nodes)),
                *(str(count) if count else "" for count in _counts(run.claims.values(), len(run.not_run)).values()),
                duration(run.seconds),
            ]
            for number, run in enumerate(runs, 1)
        ),
    )


def _chapters(runs: Sequence[Run]) -> str:
    """Return the matrix of chapters by run, each cell with its counts."""
    known = catalogue.load().of(_parts(runs))
    rows = []
    for chapter, title in known.titles.items():
        cells = []
        for run in runs:
            judged = [claim for id, claim in run.claims.items() if chapter_of(id) == chapter]
            counts = _counts(judged, sum(chapter_of(id) == chapter for id in run.not_run))
            cells.append(", ".join(f"{count} {word}" for word, count in counts.items() if count))
        rows.append([plain(title), *cells])
    return table(["chapter", *(_head(number) for number in range(1, len(runs) + 1))], rows)


def _times(runs: Sequence[Run]) -> str:
    """Return the table of what the time of the runs and of the processors went to."""
    profiled = [(number, run.profile) for number, run in enumerate(runs, 1) if run.profile]
    rows = [["took", *(duration(profile.seconds) for _, profile in profiled)]]
    rows += [["labs side by side", *(str(profile.labs) for _, profile in profiled)]]
    for prefix, parts in (("tests", times.uses), ("processors", times.processors)):
        columns = [parts(profile) for _, profile in profiled]
        for cells in zip(*columns, strict=True):
            rows.append(
                [f"{prefix}: {cells[0][0]}", *(f"{seconds:.0f} s ({share:.0%})" for _, seconds, share in cells)]
            )
    return table(["", *(_head(number) for number, _ in profiled)], rows)


def _dearest(run: Run) -> Iterator[str]:
    """Yield tables of what took most time in a run, as far as it has a profile."""
    for heading, lines in times.tables(run.profile, _DEAREST) if run.profile else ():
        yield f"### {heading}"
        yield table(
            ["", "times", "seconds", "processors"],
            (
                [
                    code(line.name.removeprefix("suites/")),
                    str(line.count or ""),
                    f"{line.seconds:.1f}",
                    f"{line.busy.total:.1f}",
                ]
                for line in lines
            ),
        )


def _others(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a table of the claims that did not pass where they were judged, or were never run, with all verdicts."""
    of_parts = {id: claim.part for id, claim in catalogue.load().items() if claim.part in _parts(runs)}
    found = {id: {_verdict(run, id) for run in runs if part in run.parts} for id, part in of_parts.items()}
    # Those that no run was to judge are only counted.
    others = [id for id, verdicts in found.items() if verdicts == {_NOT_CHOSEN}]
    ids = [id for id in found if id not in others and found[id] - {"not run", _NOT_CHOSEN} != {str(Verdict.PASS)}]
    ids += sorted({id for run in runs for id in [*run.claims, *run.not_run]} - {*catalogue.load()})
    listed = table(
        ["claim", *(_head(number) for number in range(1, len(runs) + 1))],
        ([code(id), *(_verdict(run, id) for run in runs)] for id in ids),
    )
    yield listed or "None."
    if others:
        yield f"{len(others)} further claims were chosen for none of these runs (`--claim`)."


def _about(number: int, run: Run) -> Iterator[str]:
    """Yield heading, facts and tables of one run."""
    whole = overall(run)
    yield f"## Run {number}"
    yield f"**{plain(whole.word)}.** {plain(whole.summary)}"
    yield table(["of the run", ""], ([name, value] for name, value in _facts(run) if value))
    bad = [claim for claim in run.claims.values() if claim.verdict.bad or claim.verdict is Verdict.WAIVED]
    if bad:
        yield "### Not passed"
        yield table(
            ["claim", "verdict", "reason"],
            ([code(claim.id), str(claim.verdict), plain(claim.explained)] for claim in _sorted(bad)),
        )
    before = history.up_to(run.folder)
    if flaky := [(id, found) for id in run.claims if (found := before.flaky(id))]:
        yield "### Flaky"
        yield table(["claim", "verdict", ""], ([code(id), _verdict(run, id), plain(str(found))] for id, found in flaky))
    blocked = [(claim.reason, id) for id, claim in run.claims.items() if claim.verdict is Verdict.BLOCKED]
    if blocked:
        yield "### Blocked"
        yield _by_reason(blocked)
        yield from _kernel(blocked)
    if run.not_run:
        yield "### Not run"
        yield _by_reason((reason, id) for id, reason in run.not_run.items())
    if run.claims:
        yield "### Slowest claims"
        slowest = sorted(run.claims.values(), key=lambda claim: (-claim.seconds, claim.id))[:_SLOWEST]
        yield table(["claim", "took"], ([code(claim.id), duration(claim.seconds)] for claim in slowest))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    raw = run.raw
    suite = raw.get("suite", {})
    yield "begun", f"{run.started:%Y-%m-%d %H:%M} {run.started.tzname() or ''}".strip()
    yield "took", duration(run.seconds)
    yield "did not end", plain(run.unfinished)
    yield "command", code(_without_folders(str(raw["command"]))) if raw.get("command") else ""
    yield "profile", plain(str(raw.get("profile", "")))
    yield "catalogue", plain(", ".join(raw.get("catalogue", [])))
    hosts = {str(part["host"]) for part in run.shards}
    yield "split", f"{len(run.shards)} shards on {len(hosts)} host{'s' if len(hosts) > 1 else ''}" if hosts else ""
    taken = [claim.run for claim in run.claims.values() if claim.run]
    earlier = [f"{code(str(one['run']))} ({taken.count(one['run'])} of its verdicts)" for one in run.runs]
    yield "goes on with", ", ".join(earlier)
    yield "suite", plain(", ".join(f"{name} {value}" for name, value in suite.items() if value))
    labs = len(raw["lab"].get("each", {}))
    yield "lab", plain(run.lab) + (f", {labs} side by side" if labs > 1 else "")
    yield "nodes", str(len(run.nodes))
    for name in ("engine", "system", "kernel", "firewall"):
        yield name, plain(", ".join(run.each(name)))
    yield "speed factor", f"{run.speed:g}"
    levels = ["waived" if "waiver" in finding else str(finding["level"]) for finding in run.preflight]
    yield "preflight", ", ".join(f"{levels.count(level)} {level}" for level in dict.fromkeys(sorted(levels)))
    lost = raw.get("lost_workers", {})
    yield "workers lost", plain("; ".join(f"{name}: {why}" for name, why in lost.items()))


def _by_reason(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of reasons and the ids of their claims; a reason with more claims stands first."""
    ids: dict[str, list[str]] = {}
    for reason, id in pairs:
        ids.setdefault(reason, []).append(id)
    found = sorted(ids.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return table(
        ["reason", "claims", "number"],
        ([plain(reason), ", ".join(map(code, held)), str(len(held))] for reason, held in found),
    )


def _kernel(blocked: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield what the host's kernel alone keeps from being judged, if anything does, and what only machines judge.

    Args:
        blocked: reasons, each with the id of its claim.
    """
    known = catalogue.load()
    waiting = [id for reason, id in blocked if reason == FEATURES["ipvs"]]
    machines = [id for _, id in blocked if id in known and OF_MACHINES.intersection(known[id].needs)]
    rest = len(blocked) - len(waiting) - len(machines)
    if waiting:
        others = f"{len(machines)} of the others are of machines alone" + (
            f"; the reasons of the other {rest} say what else lets a lab judge them." if rest else "."
        )
        yield (
            f"{len(waiting)} of these {len(blocked)} claims lack IPVS alone, a part of the host's kernel: where it has "
            f"that, the same lab judges them. {others}"
        )


def _counts(judged: Iterable[Judged], not_run: int) -> dict[str, int]:
    """Return the number of claims by verdict, and of those not run."""
    verdicts = [str(claim.verdict) for claim in judged] + ["not run"] * not_run
    return {word: verdicts.count(word) for word in SIGNS}


def _sorted(claims: Iterable[Judged]) -> list[Judged]:
    """Return claims with the worst verdict first, then by id."""
    order = list(Verdict)
    return sorted(claims, key=lambda claim: (order.index(claim.verdict), claim.id))


def _verdict(run: Run, id: str) -> str:
    if id in run.claims:
        return str(run.claims[id].verdict)
    if id in run.not_run:
        return "not run"
    return _NOT_CHOSEN if run.chosen else "not in its catalogue"


def _parts(runs: Iterable[Run]) -> set[str]:
    """Return the parts of the catalogue that any of these runs judged."""
    return {part for run in runs for part in run.parts}


def _head(number: int) -> str:
    return f"run {number}"


def _link(number: int) -> str:
    return f"[{number}](#run-{number})"


def _without_folders(command: str) -> str:
    """Return a command with the last part of each absolute path alone: the rest is of one host only."""
    return re.sub(r"(?<![\w:/.])/(?:[^\s/,]+/)+", "", command)
