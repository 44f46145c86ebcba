"""The HTML report of runs: what was tested, on what, with which verdict, and the evidence for it."""

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

from swarmlab import outputs
from swarmlab.labs.registry import KINDS
from swarmlab.preflight import Level, explaining, grouped
from swarmlab.report import times
from swarmlab.report.condense import asked, condense
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Catalogue
from swarmlab.verdicts.defects import KnownFailure, mend
from swarmlab.verdicts.parts import chapter_of, section_title
from swarmlab.verdicts.results import Judged, Run, account
from swarmlab.verdicts.verdict import Verdict
from swarmlab.verdicts.waivers import told

#: Most characters of evidence in the report itself: in all, and for one claim of one run that passed or did not.
_MOST_EVIDENCE = 4_500_000
_OF_PASS, _OF_OTHERS = 8_000, 40_000
_MOST_PICTURE = 400_000

_LEVELS = ("critical", "major", "minor")
#: The verdicts in the order of the report, each with a sign by which readers distinguish it without colour.
SIGNS = {"pass": "✓", "fail": "✗", "blocked": "○", "broken": "!", "timeout": "…", "waived": "~", "not run": "–"}
#: What each verdict means.
MEANINGS = {
    "pass": "the cluster does what the claim says",
    "fail": "the cluster does not do it; the reason names the node where there is one",
    "broken": "the lab itself failed, so nothing is known about the cluster",
    "timeout": "a state that the judgement needs was not reached in time, so the claim was not judged",
    "blocked": "the lab lacks what the claim needs, so the claim was not judged; the reason names the need",
    "waived": "the claim did not pass, and an owner has accepted that until a date",
    "not run": "no test of the claim was run to its end",
}


@dataclass(frozen=True)
class Overall:
    """The verdict of a whole run, or of several.

    Attributes:
        word: The verdict, in a few words.
        tone: Its colour: "good" (all passed), "part" (all that was judged passed), "open" or "bad".
        summary: The numbers behind it.
    """

    word: str
    tone: str
    summary: str


@dataclass
class File:
    """An evidence file as the report shows it.

    Attributes:
        name: Its file name.
        link: Its path, relative to the report.
        digest: The first characters of its SHA-256; empty if the file is gone.
        asked: The number of commands and calls in it, by node.
        text: Its essential part, as HTML.
        picture: A data: URI, if it is a picture.
        caption: What the picture shows.
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


def overall(run: Run) -> Overall:
    """Return the verdict of a whole run. It is never better than the worst verdict in it."""
    counts = run.counts
    passed, failed, waived = counts[Verdict.PASS], counts[Verdict.FAIL], counts[Verdict.WAIVED]
    lost = counts[Verdict.BROKEN] + counts[Verdict.TIMEOUT]
    ended = bool(run.unfinished) or any(why.startswith("the run ended before") for why in run.not_run.values())
    by_word = {str(verdict): number for verdict, number in counts.items()} | {"not run": len(run.not_run)}
    numbers = [f"{by_word[word]} {word}" for word in SIGNS if by_word[word]]
    stopped = f"The run did not end: {run.unfinished}. " if run.unfinished else ""
    summary = f"{stopped}Of the catalogue's {len(run.claims) + len(run.not_run)} claims: {', '.join(numbers)}."
    if failed:
        return Overall("Does not conform", "bad", summary)
    if lost or ended:
        why = "The run ended before all that it selected was judged. " if ended else "Some claims were not judged. "
        return Overall("Not established", "open", why + summary)
    if not passed + waived:
        return Overall("Nothing judged", "open", summary)
    accepted = f", {waived} waived" if waived else ""
    if counts[Verdict.BLOCKED] or run.not_run:
        return Overall(f"No failure in what was judged{accepted}", "open" if waived else "part", summary)
    return Overall(f"Conforms{accepted}", "open" if waived else "good", summary)


def overall_of(runs: Sequence[Run]) -> Overall:
    """Return the verdict of all runs together: that of the worst."""
    each = [overall(run) for run in runs]
    if len(each) == 1:
        return each[0]
    order = ["Does", "Not", "Nothing", "No", "Conforms"]
    worst = min(each, key=lambda verdict: (order.index(re.split(r"\W", verdict.word)[0]), verdict.tone != "open"))
    same = sum(verdict.word == worst.word for verdict in each)
    return Overall(worst.word, worst.tone, f"{same} of {len(each)} runs: {worst.word[0].lower()}{worst.word[1:]}.")


def render(runs: Sequence[Run], *, beside: Path) -> str:
    """Return the report of these runs, as HTML.

    Args:
        runs: Runs, as `swarmlab.verdicts.results.load` returns them, in the order of the report.
        beside: Folder of the report. Links to evidence are relative to it.
    """
    if not runs:
        raise ValueError("a report has at least one run")
    claims = catalogue.load()
    rows = _rows(runs, claims, beside.absolute())
    environment = pages("swarmlab.report")
    environment.filters["duration"] = duration
    environment.filters["mend"] = mend
    folder = Path(__file__).parent
    bad = [str(verdict) for verdict in Verdict if verdict.bad]
    return environment.get_template("template.html").render(
        style=stylesheet(),
        script=Markup((folder / "script.js").read_text(encoding="utf-8")),
        overall=overall_of(runs),
        runs=[_about(number, run, runs, beside.absolute()) for number, run in enumerate(runs)],
        chapters=_chapters(rows, claims),
        levels=[(level, _counts(row for row in rows if row.level == level)) for level in _LEVELS],
        rows=rows,
        judged={row.id for row in rows if row.judged},
        order=list(SIGNS),
        finding_levels=[str(level) for level in Level],
        signs=SIGNS,
        meanings=MEANINGS,
        bad=bad,
        attention=[
            (verdict, reason, row, numbers, _explained(runs, numbers, row.id, reason), _known(row, numbers))
            for verdict in bad
            for reason, found in _by_reason(rows, verdict)
            for row, numbers in found
        ],
        waivers=[(number, waiver) for number, run in enumerate(runs) for waiver in _waivers(run)],
        blocked=_by_reason(rows, "blocked"),
        not_run=_by_reason(rows, "not run"),
    )


def pages(*packages: str) -> jinja2.Environment:
    """Return a Jinja environment that finds templates in *packages*, the first that has one."""
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
        LabError: The file cannot be written.
    """
    text = render(runs, beside=out.absolute().parent)
    outputs.write(out, text)


def duration(seconds: float) -> str:
    """Return seconds as a readable duration: 1.5 s, 75 s, 12 min, 1 h 30 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _about(number: int, run: Run, runs: Sequence[Run], beside: Path) -> dict[str, Any]:
    raw = run.raw
    columns = ("name", "address", "engine", "api", "system", "kernel", "firewall", "clock", "lab")
    several_labs = len(raw["lab"].get("each", {})) > 1
    present = [name for name in columns if any(node.get(name) for node in run.nodes)]
    return {
        "number": number,
        "label": _label(run, runs),
        "lab": run.lab,
        "name": raw["lab"].get("name") or "none",
        "cluster": _cluster(run),
        "followed": raw.get("followed", {}),
        "lost": raw.get("lost_workers", {}),
        "each": {name: account(each) for name, each in raw["lab"].get("each", {}).items()},
        "engines": run.each("engine"),
        "kernels": run.each("kernel"),
        "firewalls": run.each("firewall"),
        "systems": run.each("system"),
        "started": f"{run.started:%Y-%m-%d %H:%M} {run.started.tzname() or ''}".strip(),
        "took": duration(run.seconds),
        "command": raw.get("command", ""),
        "suite": raw.get("suite", {}),
        "options": {
            name: value for name, value in raw.get("options", {}).items() if value and not isinstance(value, list)
        },
        "counts": {str(verdict): count for verdict, count in run.counts.items()} | {"not run": len(run.not_run)},
        "total": len(run.claims) + len(run.not_run),
        "overall": overall(run),
        "unfinished": run.unfinished,
        "certification": raw.get("certification"),
        "certification_waived": raw.get("certification_waived", []),
        "profile": raw.get("profile", ""),
        "parts": run.parts,
        "columns": present if several_labs else [name for name in present if name != "lab"],
        "nodes": run.nodes,
        "preflight": grouped(run.preflight),
        "times": _times(run),
        "found": _found(run),
        "logs": [
            _link(run.folder / look["evidence"], beside) for look in raw.get("preflight", []) if "evidence" in look
        ],
        "verdicts": File(run.path.name, _link(run.path, beside), _digest(run.path.read_bytes())),
    }


def _times(run: Run) -> dict[str, Any] | None:
    """Return what the report has of a run's profile; None if there is none."""
    if not run.profile:
        return None
    shares = (("Tests", times.uses(run.profile)), ("Processors", times.processors(run.profile)))
    return {"shares": shares, "tables": times.tables(run.profile)}


def _waivers(run: Run) -> list[Mapping[str, str]]:
    """Return the waivers of a run with what each is for: a claim, or findings of preflight."""
    of_findings = [{**waiver, "claim": f"preflight: {told(waiver)}"} for waiver in run.raw.get("finding_waivers", [])]
    return [*run.raw.get("waivers", []), *of_findings]


def _cluster(run: Run) -> str:
    """Return how many nodes a run had, in how many labs, and of which kind."""
    labs = {node.get("lab", "") for node in run.nodes}
    parts = [f"{len(run.nodes)} nodes" + (f" in {len(labs)} labs" if len(labs) > 1 else "")]
    if kind := KINDS.get(str(run.raw["lab"].get("kind"))):
        parts.append(kind.summary)
    return ", ".join(parts)


def _found(run: Run) -> str:
    """Return the number of preflight's findings by level; empty if preflight did not run."""
    levels = ["waived" if "waiver" in finding else str(finding["level"]) for finding in run.preflight]
    return ", ".join(f"{levels.count(level)} {level}" for level in (*map(str, Level), "waived") if level in levels)


def _explained(runs: Sequence[Run], numbers: Iterable[int], claim: str, reason: str) -> list[Mapping[str, Any]]:
    """Return the findings of preflight in these runs that may explain a claim's reason, each once.

    A finding that may follow from another of them is not listed beside it: the other has its check in "with".
    """
    found: list[Mapping[str, Any]] = []
    for number in numbers:
        for head, followers in grouped(explaining(runs[number].preflight, claim, reason)):
            checks = list(dict.fromkeys(finding["check"] for finding in followers))
            found.append({**head, "with": checks})
    return [finding for place, finding in enumerate(found) if finding not in found[:place]]


def _known(row: Row, numbers: Iterable[int]) -> list[KnownFailure]:
    """Return the known defects that explain a claim's failures in these runs, each once."""
    return list(dict.fromkeys(known for number in numbers for known in row.cells[number].known))


def _label(run: Run, runs: Sequence[Run]) -> str:
    """Return a label that only this run has: its engines and, as far as necessary, its lab, date and folder."""
    parts: list[Callable[[Run], str]] = [
        lambda run: " · ".join(run.each("engine")) or "no node",
        lambda run: run.lab,
        lambda run: f"{run.started:%Y-%m-%d %H:%M}",
        lambda run: str(run.folder),
    ]
    label: list[str] = []
    for part in parts:
        label.append(part(run))
        labels = [tuple(each(other) for each in parts[: len(label)]) for other in runs]
        if labels.count(tuple(label)) == 1:
            break
    return ", ".join(label)


# Claims


def _rows(runs: Sequence[Run], claims: Catalogue, beside: Path) -> list[Row]:
    judged_parts = {part for run in runs for part in run.parts}
    of_parts = [id for id, claim in claims.items() if claim.part in judged_parts]
    ids = list(dict.fromkeys([*of_parts, *(id for run in runs for id in [*run.claims, *run.not_run])]))
    allowance = _Allowance(runs)
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
        places=judged.places if run.shards else (),
        waiver=judged.waiver,
        known=judged.known,
        must=judged.must if judged.must != row.must else "",
        files=_files(run, judged, allowance.of(judged), beside),
    )


def _by_function(tests: Iterable[str]) -> list[str]:
    """Return node ids with the parameters of one test together: suites/t.py::test[master], [slave01]."""
    parameters: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        function, mark, rest = test.partition("[")
        parameters.setdefault(function, []).append(mark + rest)
    return [function + ", ".join(held) for function, held in parameters.items()]


class _Allowance:
    """How many characters of evidence each claim may show: more where it did not pass, all together below a bound."""

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
    found = [match[1] for tag in ("title", "desc") if (match := re.search(rf"<{tag}\b[^>]*>([^<]*)</{tag}>", text))]
    file.caption = html.unescape(". ".join(" ".join(part.split()) for part in found if part.strip())) or file.name
    if len(content) <= _MOST_PICTURE:
        file.picture = svg_uri(content)


def stylesheet() -> Markup:
    """Return the style sheet that all HTML pages share."""
    return Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))


def svg_uri(content: bytes) -> str:
    """Return an SVG picture as a data: URI for an image element.

    As an image and not as elements: no script in it runs, and its names and styles clash with no other picture's.
    """
    return "data:image/svg+xml;base64," + base64.b64encode(content).decode()


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
    """Return the number of claims by verdict, for each run."""
    cells = zip(*(row.cells for row in rows), strict=True)
    return [{verdict: sum(cell.verdict == verdict for cell in held) for verdict in SIGNS} for held in cells]


def _by_reason(rows: Iterable[Row], verdict: str) -> list[tuple[str, list[tuple[Row, list[int]]]]]:
    """Return the rows that have a verdict in any run, by reason, each with the numbers of those runs."""
    reasons: dict[str, dict[str, tuple[Row, list[int]]]] = {}
    for row in rows:
        for cell in row.cells:
            if cell.verdict == verdict:
                reasons.setdefault(cell.reason, {}).setdefault(row.id, (row, []))[1].append(cell.run)
    return [(reason, list(found.values())) for reason, found in reasons.items()]
