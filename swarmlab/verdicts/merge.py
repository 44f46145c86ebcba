"""One run of the parts of a run that was split over machines (see `swarmlab.verdicts.shards`).

The parts' records are put together, and the verdicts follow from that as they do from the record of any run: a claim
whose tests were in several parts has the worst of their verdicts.
"""

from __future__ import annotations

import json
import shlex
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from swarmlab import layouts, outputs
from swarmlab.errors import LabError, UsageError
from swarmlab.files import shown
from swarmlab.verdicts import folders, record, results
from swarmlab.verdicts.gathered import Gathered, understood
from swarmlab.verdicts.record import Record
from swarmlab.verdicts.shards import Shard

#: What a run leaves for Allure, and the file there that names the lab and its nodes.
_ALLURE, _ENVIRONMENT = "allure-results", "environment.properties"


@dataclass(frozen=True)
class Part:
    """A part of a run, read from its record.

    Attributes:
        folder: Its folder.
        shard: Which part it is.
        entries: The entries of its record.
        found: What they say.
        unfinished: Why it ended before its last test; empty if it did not.
    """

    folder: Path
    shard: Shard
    entries: Sequence[Mapping[str, Any]]
    found: Gathered
    unfinished: str

    @classmethod
    def read(cls, path: Path) -> Part:
        """Read a part.

        Args:
            path: Its folder, or a folder of reports, of which the latest run is taken.

        Raises:
            UsageError: It is no part of a run, or goes on.
        """
        folder = folders.find(path).parent
        file = folder / folders.RECORD
        with understood(file):
            entries = list(record.read(file))
            found = Gathered(entries)
            result = found.result()
            if wrong := layouts.mistake(result, results.layout()):
                raise ValueError(wrong)
            # What is read of it later, where nothing tells its file any more.
            datetime.fromisoformat(found.start["started"]) + timedelta(seconds=float(result["seconds"]))
            shlex.split(found.start["command"])
            shard = found.start.get("shard")
        if not shard:
            raise UsageError(f"{folder} is no part of a run: it was run without --shard")
        if folders.running(folder, elsewhere=False):
            raise UsageError(f"{folder}: the run goes on; merge it when it has ended")
        return cls(folder, Shard.read(shard), entries, found, result["unfinished"])

    @property
    def host(self) -> str:
        """The name of the machine that it ran on."""
        return str(self.found.start.get("host", ""))

    @property
    def started(self) -> datetime:
        """When it started."""
        return datetime.fromisoformat(self.found.start["started"])

    @property
    def seconds(self) -> float:
        """How long it took."""
        return float(self.found.result()["seconds"])

    def facts(self) -> Iterator[tuple[str, Any]]:
        """Yield what the parts of one run have in common, by its name; None if it is not known."""
        start, lab = self.found.start, self.found.lab
        engines = {str(node["engine"]) for node in lab["nodes"] if node.get("engine")}
        yield "revision of the suites", " ".join(map(str, start["suite"].values()))
        yield "--catalogue", ",".join(start.get("catalogue", []))
        yield "--claim", ",".join(start.get("chosen", []))
        yield "catalogue", json.dumps([start["claims"], start["tests"]])
        yield "kind of lab", lab["kind"] or None
        for name in ("provider", "cluster"):
            yield (
                name,
                ", ".join(sorted({str(facts[name]) for facts in lab["each"].values() if facts.get(name)})) or None,
            )
        yield "engines", ", ".join(sorted(engines)) or None
        yield "--engine", start["options"].get("engine") or "none"
        yield "profile", start["profile"]
        yield "waivers", json.dumps([start["waivers"], start.get("finding_waivers", [])])
        split = self.found.split
        yield "tests that were split, or their seconds", split["digest"] if split else None

    def name(self, lab: str) -> str:
        """Return the name of one of its labs in the merged run: labs of two machines may have the same name."""
        return f"{lab} of {self.shard}"

    def evidence(self, file: str) -> str:
        """Return the name of a file of its evidence that is about a lab, in the merged run."""
        folder, _, name = file.rpartition("/")
        return f"{folder}/shard-{self.shard.number}-{name}"

    def renamed(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, str]]]:
        """Yield its entries for the merged record, each with the files that have another name there."""
        for entry in self.entries:
            kind = entry["record"]
            if kind == "lab":
                facts, files = dict(entry["facts"]), {}
                if file := facts.get("preflight", {}).get("evidence"):
                    files[file] = self.evidence(file)
                    facts["preflight"] = {**facts["preflight"], "evidence": files[file]}
                facts["name"] = name = self.name(entry["name"])
                host = entry.get("host") or self.host
                yield {**entry, "name": name, "facts": facts, "shard": str(self.shard), "host": host}, files
            elif kind == "test" and entry.get("judgement"):
                judgement = entry["judgement"]
                lab = self.name(judgement["lab"]) if judgement.get("lab") else ""
                yield {**entry, "judgement": {**judgement, "lab": lab}}, {}
            elif kind == "lost":
                yield {**entry, "worker": self.name(entry["worker"])}, {}
            elif kind in ("selected", "test", "before"):
                yield entry, {}


def read(paths: Sequence[Path]) -> list[Part]:
    """Read the parts of a run, and check that they are all of its parts and of nothing else.

    Args:
        paths: See `Part.read`.

    Returns:
        The parts, in their order.

    Raises:
        UsageError: They are not; a line for each reason.
    """
    parts, wrong = [], []
    for path in paths:
        try:
            parts.append(Part.read(path))
        except UsageError as refused:
            wrong.append(str(refused))
    if wrong or (wrong := list(_mismatches(parts)) or list(_twice(parts))):
        raise UsageError("\n".join(wrong))
    return sorted(parts, key=lambda part: part.shard.number)


def _mismatches(parts: Sequence[Part]) -> Iterator[str]:
    """Yield why parts are not those of one run, a line for each reason."""
    first = parts[0]
    there: dict[Shard, Part] = {}
    for part in parts:
        if part.shard.of != first.shard.of:
            yield f"{part.folder} is shard {part.shard}, and {first.folder} shard {first.shard}: not of one split"
        elif part.shard in there:
            yield f"shard {part.shard} is there twice: {there[part.shard].folder} and {part.folder}; leave one out"
        there.setdefault(part.shard, part)
    for number in range(1, first.shard.of + 1):
        if (missing := Shard(number, first.shard.of)) not in there:
            yield f"shard {missing} is missing; name its folder, too"
    common: dict[str, tuple[Part, Any]] = {}
    for part in parts:
        for name, value in part.facts():
            if value is None:
                continue
            one, known = common.setdefault(name, (part, value))
            if known != value:
                values = "" if len(f"{known}{value}") > 160 else f": {shown(known)} and {shown(value)}"
                yield f"shards {one.shard} and {part.shard} differ in {name}{values}; run them anew, alike"


def _twice(parts: Sequence[Part]) -> Iterator[str]:
    """Yield a line for each part with a test that an earlier part had, too."""
    ended: dict[str, Part] = {}
    for part in parts:
        for test in part.found.tests:
            if test in ended:
                yield f"{shown(test)} was run in shard {ended[test].shard} and in shard {part.shard}"
                break
            ended[test] = part


def write(parts: Sequence[Part], reports: Path) -> Path:
    """Write the run that parts make together, with the evidence of all.

    Args:
        parts: As `read` returns them.
        reports: The folder of reports in which the run's folder is made.

    Returns:
        The folder of the run, which is now the latest.

    Raises:
        LabError: The folder cannot be written; nothing of it is left.
    """
    entries, files = _entries(parts)
    start = parts[0].found.start
    folder = folders.new(reports, start.get("names") or [start["options"]["lab"]], min(part.started for part in parts))
    try:
        for part in parts:
            _copy(part, folder, files[part.shard])
        _join_junit(parts, folder)
        kept = Record(folder / folders.RECORD)
        for entry in entries:
            kept.add(entry["record"], **{key: value for key, value in entry.items() if key != "record"})
        result = Gathered(entries).result()
        outputs.write(folder / folders.VERDICTS, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    except OSError as failed:
        shutil.rmtree(folder, ignore_errors=True)
        raise LabError(outputs.unwritable(folder, failed)) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    folders.publish(folder)
    return folder


def _entries(parts: Sequence[Part]) -> tuple[list[Mapping[str, Any]], dict[Shard, dict[str, str]]]:
    """Return the entries of the merged record, and of each part the files that have another name in it."""
    begun = min(part.started for part in parts)
    ended = max(part.started + timedelta(seconds=part.seconds) for part in parts)
    whole = {
        **parts[0].found.start,
        "record": "start",
        "started": begun.isoformat(timespec="milliseconds"),
        "command": _unsplit(parts[0].found.start["command"]),
        "host": "",
        "user": ", ".join(dict.fromkeys(filter(None, (part.found.start.get("user", "") for part in parts)))),
        "shard": "",
        "shards": [
            {
                "shard": str(part.shard),
                "host": part.host,
                "started": part.started.isoformat(timespec="milliseconds"),
                "seconds": part.seconds,
                "tests": len(part.found.tests),
                "unfinished": part.unfinished,
            }
            for part in parts
        ],
    }
    if earlier := [run for part in parts for run in part.found.start.get("runs", [])]:
        whole["runs"] = sorted(earlier, key=lambda run: str(run["started"]))
    entries: list[Mapping[str, Any]] = [whole]
    files: dict[Shard, dict[str, str]] = {}
    for part in parts:
        for entry, names in part.renamed():
            entries.append(entry)
            files.setdefault(part.shard, {}).update(names)
    why = "; ".join(f"shard {part.shard}: {part.unfinished}" for part in parts if part.unfinished)
    entries.append({"record": "end", "seconds": round((ended - begun).total_seconds(), 1), "why": why})
    return entries, {part.shard: files.get(part.shard, {}) for part in parts}


def _unsplit(command: str) -> str:
    """Return a command without the option that made it one of a part."""
    words = iter(shlex.split(command))
    kept = []
    for word in words:
        if word == "--shard":
            next(words, None)
        elif not word.startswith("--shard="):
            kept.append(word)
    return shlex.join(kept)


def _copy(part: Part, folder: Path, names: Mapping[str, str]) -> None:
    """Copy the evidence of a part, and what it left for Allure."""
    for file in sorted((part.folder / "evidence").glob("*")):
        name = f"evidence/{file.name}"
        shutil.copy2(file, folder / names.get(name, name))
    results = part.folder / _ALLURE
    (folder / _ALLURE).mkdir(exist_ok=True)
    for file in sorted(results.glob("*")):
        target = folder / _ALLURE / file.name
        if file.name == _ENVIRONMENT and target.exists():
            lines = dict.fromkeys([*_lines(target), *_lines(file)])
            target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        elif not target.exists():
            shutil.copy2(file, target)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _join_junit(parts: Sequence[Part], folder: Path) -> None:
    """Write one junit.xml with the test suites of all parts; a part that was killed has none."""
    joined = ET.Element("testsuites")
    for part in parts:
        try:
            suites = list(ET.parse(part.folder / "junit.xml").getroot())
        except (FileNotFoundError, ET.ParseError):
            continue
        for suite in suites:
            suite.set("name", f"{suite.get('name', 'pytest')} {part.shard}")
            joined.append(suite)
    ET.ElementTree(joined).write(folder / "junit.xml", encoding="utf-8", xml_declaration=True)
