"""What a report says of a run as a whole: who ran it, on what, when, and whether its files are as it left them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.labs.registry import KINDS
from swarmlab.preflight import Level, grouped
from swarmlab.report import times
from swarmlab.report.files import File
from swarmlab.report.overall import overall
from swarmlab.report.pages import duration, link
from swarmlab.verdicts import manifest
from swarmlab.verdicts.results import Run, account
from swarmlab.verdicts.waivers import waiver_summary

#: The facts of nodes, in the order of their columns.
_COLUMNS = ("name", "address", "engine", "api", "system", "kernel", "firewall", "clock", "lab")


def about(number: int, run: Run, runs: Sequence[Run], beside: Path) -> dict[str, Any]:
    """Return what a report says of a run.

    Args:
        number: Its place among the runs, from 0.
        run: The run.
        runs: All runs of the report.
        beside: Folder of the report.
    """
    raw = run.raw
    several_labs = len(raw["lab"].get("each", {})) > 1
    present = [name for name in _COLUMNS if any(node.get(name) for node in run.nodes)]
    return {
        "number": number,
        "label": label(run, runs),
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
        "started": _moment(run),
        "ended": "not known" if run.unfinished else _moment(run, run.seconds),
        "took": duration(run.seconds),
        "user": raw.get("user", ""),
        "hosts": ", ".join(dict.fromkeys(each["host"] for each in run.shards if each["host"])) or raw.get("host", ""),
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
        "chosen": run.chosen,
        "others": raw.get("others", 0),
        "columns": present if several_labs else [name for name in present if name != "lab"],
        "nodes": run.nodes,
        "preflight": grouped(run.preflight),
        "times": _times(run),
        "found": _found(run),
        "logs": [link(run.folder / look["evidence"], beside) for look in _looks(run)],
        "verdicts": File(run.path.name, link(run.path, beside), manifest.of_file(run.path)[:16]),
        "digest": manifest.digest(run.folder),
        "missing": missing(run),
        "altered": altered(run),
    }


def missing(run: Run) -> dict[str, list[str]]:
    """Return the evidence that verdicts name and that is not there, with what it is of: claims, or preflight."""
    named = [(name, claim.id) for claim in run.claims.values() for name in claim.evidence]
    named += [(name, claim.id) for claim in run.claims.values() for old in claim.before for name in old.evidence]
    named += [(look["evidence"], f"preflight of {look['lab']}") for look in _looks(run)]
    found: dict[str, list[str]] = {}
    for name, of in named:
        if not (run.folder / name).is_file() and of not in found.setdefault(name, []):
            found[name].append(of)
    return found


def waivers_of(run: Run) -> list[Mapping[str, str]]:
    """Return the waivers of a run with what each is for: a claim, or findings of preflight."""
    of_findings = [
        {**waiver, "claim": f"preflight: {waiver_summary(waiver)}"} for waiver in run.raw.get("finding_waivers", [])
    ]
    return [*run.raw.get("waivers", []), *of_findings]


def _looks(run: Run) -> list[Mapping[str, Any]]:
    """Return the looks of preflight that left evidence."""
    return [look for look in run.raw.get("preflight", []) if "evidence" in look]


def altered(run: Run) -> list[str]:
    """Return how a run's files differ from what it left, a line for each; nothing if it left no digests."""
    try:
        listed = manifest.read(run.folder)
    except UsageError as wrong:
        return [str(wrong)] if (run.folder / manifest.NAME).exists() else []
    return [str(difference) for difference in manifest.differences(run.folder, listed)]


def _moment(run: Run, after: float = 0.0) -> str:
    """Return a moment of a run, some seconds after its start; without the day if it is on that of the start."""
    moment = run.started + timedelta(seconds=after)
    day = "" if after and moment.date() == run.started.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M} {moment.tzname() or ''}".strip()


def _times(run: Run) -> dict[str, Any] | None:
    """Return what the report has of a run's profile; None if there is none."""
    if not run.profile:
        return None
    shares = (("Tests", times.uses(run.profile)), ("Processors", times.processors(run.profile)))
    return {"shares": shares, "tables": times.tables(run.profile)}


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


def label(run: Run, runs: Sequence[Run]) -> str:
    """Return a label that only this run has: its engines and, as far as necessary, its lab, date and folder."""
    parts: list[Callable[[Run], str]] = [
        lambda run: " · ".join(run.each("engine")) or "no node",
        lambda run: run.lab,
        lambda run: f"{run.started:%Y-%m-%d %H:%M}",
        lambda run: str(run.folder),
    ]
    found: list[str] = []
    for part in parts:
        found.append(part(run))
        labels = [tuple(each(other) for each in parts[: len(found)]) for other in runs]
        if labels.count(tuple(found)) == 1:
            break
    return ", ".join(found)
