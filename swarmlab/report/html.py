"""From verdicts to one HTML file: what was tested, on what, with which result, and how that is known."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from swarmlab.errors import UsageError
from swarmlab.preflight import Level, explaining
from swarmlab.report.condense import asked, condense
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Catalogue
from swarmlab.verdicts.results import Judged, Run
from swarmlab.verdicts.verdict import Verdict

#: Characters of evidence that stand in the report itself: in all, and of one claim in one run by how it came out.
_MOST_EVIDENCE = 4_500_000
_OF_PASS, _OF_OTHERS = 8_000, 40_000
_MOST_PICTURE = 400_000

_LEVELS = ("critical", "major", "minor")
#: What the nodes of a kind of lab are.
_KINDS = {"dind": "each a container with an engine of its own", "vagrant": "each a virtual machine"}

#: What a verdict is called in the report, with a sign that tells it also without colour.
SIGNS = {"pass": "✓", "fail": "✗", "blocked": "○", "broken": "!", "timeout": "…", "waived": "~", "not run": "–"}
MEANINGS = {
    "pass": "the cluster does what the claim says",
    "fail": "it does not; the reason names the node where there is one",
    "broken": "the lab itself failed, so nothing is known of the cluster",
    "timeout": "what the judgement needs did not come about in time, so the claim was not judged",
    "blocked": "the lab lacks what the claim needs, by name; the claim was not judged",
    "waived": "it is not so, and its owner has accepted that until a date",
    "not run": "no test of the claim was run to its end",
}


@dataclass(frozen=True)
class Overall:
    """What is said of a run, or of all, in a word and a sentence.

    Attributes:
        word: the verdict.
        tone: "good" (all passed), "part" (all that was judged did), "open" or "bad", which decides its colour.
        sentence: the numbers behind it.
    """

    word: str
    tone: str
    sentence: str


@dataclass
class File:
    """An evidence file as the report shows it.

    Attributes:
        name: its file name.
        link: where it is, from the report.
        digest: beginning of its SHA-256, empty if it is gone.
        asked: how often who was asked in it.
        text: its essential part, as HTML.
        picture: what an image element shows, where it is a picture.
        caption: what the picture shows.
    """

    name: str
    link: str
    digest: str = ""
    asked: str = ""
    text: str = ""
    picture: str = ""
    caption: str = ""


@dataclass
class Cell:
    """A claim in one run."""

    run: int
    verdict: str
    reason: str = ""
    seconds: float = 0.0
    tests: Sequence[str] = ()
    waiver: Mapping[str, str] | None = None
    must: str = ""
    files: list[File] = field(default_factory=list)


@dataclass
class Row:
    """A claim in all runs."""

    id: str
    must: str
    level: str
    erratum: str
    cells: list[Cell] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Its element's id; ids of claims have no blanks."""
        return self.id

    @property
    def section(self) -> str:
        """The document's section."""
        return self.id.partition("/")[0]

    @property
    def chapter(self) -> str:
        """The document's chapter."""
        return self.id.partition(".")[0].partition("/")[0]

    @property
    def judged(self) -> list[Cell]:
        """Its cells in runs that came to a verdict."""
        return [cell for cell in self.cells if cell.verdict != "not run"]


def overall(run: Run) -> Overall:
    """The verdict of a run as a whole; never better than the worst that it holds."""
    counts = run.counts
    passed, failed, waived = counts[Verdict.PASS], counts[Verdict.FAIL], counts[Verdict.WAIVED]
    lost = counts[Verdict.BROKEN] + counts[Verdict.TIMEOUT]
    ended = sum(why == "the run ended before" for why in run.not_run.values())
    told = {str(verdict): number for verdict, number in counts.items()} | {"not run": len(run.not_run)}
    numbers = [f"{told[word]} {word}" for word in SIGNS if told[word]]
    sentence = f"Of the catalogue's {len(run.claims) + len(run.not_run)} claims: {', '.join(numbers)}."
    if failed:
        return Overall("Does not conform", "bad", sentence)
    if lost or ended:
        why = "The run ended before all that it selected was judged. " if ended else "Some claims were not judged. "
        return Overall("Not established", "open", why + sentence)
    if not passed + waived:
        return Overall("Nothing judged", "open", sentence)
    accepted = f", {waived} waived" if waived else ""
    if counts[Verdict.BLOCKED] or run.not_run:
        return Overall(f"No failure in what was judged{accepted}", "open" if waived else "part", sentence)
    return Overall(f"Conforms{accepted}", "open" if waived else "good", sentence)


def overall_of(runs: Sequence[Run]) -> Overall:
    """The verdict of all runs together: that of the worst."""
    each = [overall(run) for run in runs]
    if len(each) == 1:
        return each[0]
    order = ["Does", "Not", "Nothing", "No", "Conforms"]
    worst = min(each, key=lambda one: (order.index(re.split(r"\W", one.word)[0]), one.tone != "open"))
    same = sum(one.word == worst.word for one in each)
    return Overall(worst.word, worst.tone, f"{same} of {len(each)} runs: {worst.word[0].lower()}{worst.word[1:]}.")


def render(runs: Sequence[Run], *, beside: Path) -> str:
    """The report of these runs.

    Args:
        runs: what `swarmlab.verdicts.results.load` gave, in the order in which they are shown.
        beside: the folder that the report will be in; links to evidence are relative to it.
    """
    if not runs:
        raise ValueError("a report has at least one run")
    claims = catalogue.load()
    rows = _rows(runs, claims, beside.absolute())
    environment = pages("swarmlab.report")
    environment.filters["duration"] = duration
    folder = Path(__file__).parent
    bad = [str(verdict) for verdict in Verdict if verdict.bad]
    return environment.get_template("template.html").render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "script.js").read_text(encoding="utf-8")),
        overall=overall_of(runs),
        runs=[_about(number, run, runs, beside.absolute()) for number, run in enumerate(runs)],
        chapters=_chapters(rows, claims),
        levels=[(level, _counts(row for row in rows if row.level == level)) for level in _LEVELS],
        rows=rows,
        order=list(SIGNS),
        finding_levels=[str(level) for level in Level],
        signs=SIGNS,
        meanings=MEANINGS,
        bad=bad,
        attention=[
            (verdict, reason, row, numbers, _explained(runs, numbers, row.id, reason))
            for verdict in bad
            for reason, found in _by_reason(rows, verdict)
            for row, numbers in found
        ],
        waivers=[(number, waiver) for number, run in enumerate(runs) for waiver in run.told.get("waivers", [])],
        blocked=_by_reason(rows, "blocked"),
        not_run=_by_reason(rows, "not run"),
    )


def pages(*packages: str) -> jinja2.Environment:
    """Where pages are made from the templates that lie in *packages*."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
    return environment


def write(runs: Sequence[Run], out: Path) -> None:
    """Write the report of these runs to *out*.

    Raises:
        UsageError: it cannot be written there.
    """
    text = render(runs, beside=out.absolute().parent)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as failed:
        raise UsageError(f"{out} cannot be written: {failed.strerror}") from None


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _about(number: int, run: Run, runs: Sequence[Run], beside: Path) -> dict[str, Any]:
    told = run.told
    columns = ("name", "address", "engine", "api", "system", "kernel", "firewall", "clock", "lab")
    several_labs = len(told["lab"].get("each", {})) > 1
    present = [name for name in columns if any(node.get(name) for node in run.nodes)]
    return {
        "number": number,
        "label": _label(run, runs),
        "lab": run.lab,
        "name": told["lab"].get("name") or "none",
        "cluster": _cluster(run),
        "followed": told.get("followed", {}),
        "lost": told.get("lost_workers", {}),
        "each": {name: _account(each) for name, each in told["lab"].get("each", {}).items()},
        "engines": run.each("engine"),
        "kernels": run.each("kernel"),
        "firewalls": run.each("firewall"),
        "systems": run.each("system"),
        "started": f"{run.started:%Y-%m-%d %H:%M} {run.started.tzname() or ''}".strip(),
        "took": duration(run.seconds),
        "command": told.get("command", ""),
        "suite": told.get("suite", {}),
        "options": {name: value for name, value in told.get("options", {}).items() if value},
        "counts": {str(verdict): count for verdict, count in run.counts.items()} | {"not run": len(run.not_run)},
        "total": len(run.claims) + len(run.not_run),
        "overall": overall(run),
        "certification": told.get("certification"),
        "profile": told.get("profile", ""),
        "columns": present if several_labs else [name for name in present if name != "lab"],
        "nodes": run.nodes,
        "preflight": run.preflight,
        "found": _found(run),
        "logs": [
            _link(run.folder / look["evidence"], beside) for look in told.get("preflight", []) if "evidence" in look
        ],
        "verdicts": File(run.path.name, _link(run.path, beside), _digest(run.path.read_bytes())),
    }


def _cluster(run: Run) -> str:
    """How many nodes, in how many labs, and what they are."""
    labs = {node.get("lab", "") for node in run.nodes}
    words = [f"{len(run.nodes)} nodes" + (f" in {len(labs)} labs" if len(labs) > 1 else "")]
    words += filter(None, [_KINDS.get(str(run.told["lab"].get("kind")))])
    return ", ".join(words)


def _found(run: Run) -> str:
    """What preflight found of a run's cluster, in numbers; empty if nobody looked."""
    levels = [str(finding["level"]) for finding in run.preflight]
    told = [f"{levels.count(level)} {level}" for level in map(str, Level) if level in levels]
    return ", ".join(told)


def _explained(runs: Sequence[Run], numbers: Iterable[int], claim: str, reason: str) -> list[Mapping[str, Any]]:
    """What preflight found in these runs that may be why a claim was not judged well for this reason, each once."""
    found = [finding for number in numbers for finding in explaining(runs[number].preflight, claim, reason)]
    return [finding for place, finding in enumerate(found) if finding not in found[:place]]


def _account(told: Mapping[str, Any]) -> str:
    words = [str(told[key]) for key in ("provider", "driver") if told.get(key)]
    if "speed" in told:
        words.append(f"{told['speed']} times as slow as deadlines are written for")
    if told.get("memory_mib"):
        words.append(f"{sum(told['memory_mib'].values())} MiB of memory")
    words += [f"{step} {seconds} s" for step, seconds in told.get("seconds", {}).items()]
    return ", ".join(words)


def _label(run: Run, runs: Sequence[Run]) -> str:
    """What tells a run from the others: its engines; then its lab, its date or its folder, where those differ."""
    parts: list[Callable[[Run], str]] = [
        lambda one: " · ".join(one.each("engine")) or "no node",
        lambda one: one.lab,
        lambda one: f"{one.started:%Y-%m-%d %H:%M}",
        lambda one: str(one.folder),
    ]
    words: list[str] = []
    for part in parts:
        words.append(part(run))
        told = [tuple(one(other) for one in parts[: len(words)]) for other in runs]
        if told.count(tuple(words)) == 1:
            break
    return ", ".join(words)


# Claims


def _rows(runs: Sequence[Run], claims: Catalogue, beside: Path) -> list[Row]:
    ids = list(dict.fromkeys([*claims, *(id for run in runs for id in [*run.claims, *run.not_run])]))
    allowance = _Allowance(runs)
    rows = []
    for id in ids:
        found = [run.claims[id] for run in runs if id in run.claims]
        known = found[0] if found else claims.get(id)
        row = Row(
            id,
            known.must if known else "(of an older catalogue)",
            known.level if known else "",
            next((one.erratum for one in found if one.erratum), "") or (claims[id].erratum if id in claims else ""),
        )
        for number, run in enumerate(runs):
            judged = run.claims.get(id)
            row.cells.append(
                _cell(number, run, judged, row, allowance, beside)
                if judged
                else Cell(number, "not run", run.not_run.get(id, "not in the catalogue of this run"))
            )
        rows.append(row)
    return rows


def _cell(number: int, run: Run, judged: Judged, row: Row, allowance: _Allowance, beside: Path) -> Cell:
    return Cell(
        run=number,
        verdict=str(judged.verdict),
        reason=judged.reason,
        seconds=judged.seconds,
        tests=_by_function(judged.tests),
        waiver=judged.waiver,
        must=judged.must if judged.must != row.must else "",
        files=_files(run, judged, allowance.of(judged), beside),
    )


def _by_function(tests: Iterable[str]) -> list[str]:
    """Node ids with all parameters of a test in one: "suites/t.py::test[master], [slave01]"."""
    parameters: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        function, mark, rest = test.partition("[")
        parameters.setdefault(function, []).append(mark + rest)
    return [function + ", ".join(told) for function, told in parameters.items()]


class _Allowance:
    """How much of its evidence each claim may show: all together below a bound, more of what did not pass."""

    def __init__(self, runs: Sequence[Run]) -> None:
        judged = [claim for run in runs for claim in run.claims.values()]
        passed = sum(claim.verdict is Verdict.PASS for claim in judged)
        others = len(judged) - passed
        self._others = min(_OF_OTHERS, int(_MOST_EVIDENCE * 0.7 / max(others, 1)))
        self._passed = min(_OF_PASS, int((_MOST_EVIDENCE - self._others * others) / max(passed, 1)))

    def of(self, claim: Judged) -> int:
        return self._passed if claim.verdict is Verdict.PASS else self._others


def _files(run: Run, judged: Judged, allowance: int, beside: Path) -> list[File]:
    files = []
    texts = [name for name in judged.evidence if not name.endswith(".svg")]
    for name in judged.evidence:
        file = File(Path(name).name, _link(run.folder / name, beside))
        files.append(file)
        content = run.read(name)
        if content is None:
            file.text = Markup("(the file is gone)")
            continue
        file.digest = _digest(content)
        if name.endswith(".svg"):
            _picture(file, content)
        else:
            text = content.decode("utf-8", errors="replace")
            file.asked = ", ".join(f"{name} ({number})" for name, number in asked(text).items())
            short = condense(text, allowance // len(texts), answer=400 if judged.verdict is Verdict.PASS else 2000)
            # Quotes need no escaping between tags, and evidence is full of them.
            file.text = Markup(html.escape(short, quote=False))
    return files


def _picture(file: File, content: bytes) -> None:
    text = content.decode("utf-8", errors="replace")
    words = [found[1] for tag in ("title", "desc") if (found := re.search(rf"<{tag}\b[^>]*>([^<]*)</{tag}>", text))]
    file.caption = html.unescape(". ".join(" ".join(word.split()) for word in words if word.strip())) or file.name
    if len(content) <= _MOST_PICTURE:
        # As an image and not as elements: nothing in it can run, or clash with another picture's names and styles.
        file.picture = "data:image/svg+xml;base64," + base64.b64encode(content).decode()


def _link(path: Path, beside: Path) -> str:
    return quote(os.path.relpath(path.absolute(), beside).replace(os.sep, "/"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# Groups


def _chapters(rows: Iterable[Row], claims: Catalogue) -> list[dict[str, Any]]:
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
        chapter["counts"] = _counts(held)
    return list(chapters.values())


def _counts(rows: Iterable[Row]) -> list[dict[str, int]]:
    """How many of some claims have each verdict, for each run."""
    cells = zip(*(row.cells for row in rows), strict=True)
    return [{verdict: sum(cell.verdict == verdict for cell in held) for verdict in SIGNS} for held in cells]


def _by_reason(rows: Iterable[Row], verdict: str) -> list[tuple[str, list[tuple[Row, list[int]]]]]:
    """Rows that have a verdict, by its reason: each with the runs where it is so."""
    reasons: dict[str, dict[str, tuple[Row, list[int]]]] = {}
    for row in rows:
        for cell in row.cells:
            if cell.verdict == verdict:
                reasons.setdefault(cell.reason, {}).setdefault(row.id, (row, []))[1].append(cell.run)
    return [(reason, list(found.values())) for reason, found in reasons.items()]
