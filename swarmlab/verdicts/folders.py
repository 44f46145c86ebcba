"""The folders of runs below a folder of reports: one for each run, and which of them is the latest.

::

    reports/runs/20261129T091500Z-dind-20.10.24/   what one run leaves
    reports/latest                                 a link to the run that last had a verdict
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swarmlab import outputs, ownership
from swarmlab.errors import LabError, UsageError
from swarmlab.files import kind_of, shown
from swarmlab.verdicts import manifest

#: The file of a run's verdicts, and the record that grows while the run goes on.
VERDICTS, RECORD = "verdicts.json", "verdicts.jsonl"
FILES = (VERDICTS, RECORD)
#: The folder of all runs, and the link to the latest, in a folder of reports.
RUNS, LATEST = "runs", "latest"
#: How many runs stay in a folder of reports.
KEPT = 20
#: The process that writes to a run's folder. The file is gone once the run has ended.
OWNER = ".owner"
#: Seconds without a new verdict after which a run of another host is taken for killed. One test may take a day.
_SILENT = 7 * 24 * 3600.0
#: What the name of a run's folder begins with: its time.
_TIME = r"\d{8}T\d{6}Z-"


def count(text: str) -> int:
    """Return how many runs an option says to keep.

    Raises:
        argparse.ArgumentTypeError: It is no number.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{shown(text, 60)!r} is not a number: write how many to keep, or 0 for all")
    return int(text)


#: The option --keep-runs of what makes a run, for a parser of arguments.
KEEP_RUNS: dict[str, Any] = {
    "type": count,
    "default": KEPT,
    "metavar": "N",
    "help": f"how many runs stay below runs/, this one among them; 0 keeps all (default: {KEPT})",
}


def new(reports: Path, names: Sequence[str], started: datetime) -> Path:
    """Make the folder of a run.

    Args:
        reports: The folder of reports.
        names: What to name the run after its time: its lab and its engine, as far as they are known.
        started: When the run started.

    Raises:
        LabError: The folder cannot be made or written.
    """
    name = f"{started.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}-{_label(names)}"
    try:
        (reports / RUNS).mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = reports / RUNS / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
                break
            except FileExistsError:  # another run started in the same second
                number += 1
        (folder / OWNER).write_text(ownership.this_process(), encoding="utf-8")
        (folder / "evidence").mkdir()
    except OSError as failed:
        raise LabError(outputs.unwritable(reports, failed)) from None
    return folder


def _label(names: Sequence[str]) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9.+]+", "-", name).strip("-.")[:60] for name in names if name)


def alike(reports: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders of earlier runs on the same kind of lab and the same engine, the newest first.

    Args:
        reports: The folder of reports.
        names: See `new`.
    """
    form = re.compile(rf"{_TIME}{re.escape(_label(names))}(-\d+)?")
    return [folder for folder in reversed(every(reports)) if form.fullmatch(folder.name)]


def publish(folder: Path) -> None:
    """Let `latest` point to a run. Where the file system has no links, readers take the newest run instead."""
    link = folder.parent.parent / LATEST
    fresh = link.with_name(f".{LATEST}-{os.getpid()}")
    with contextlib.suppress(OSError):
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path(RUNS) / folder.name)
        fresh.replace(link)


def ended(folder: Path, *, keep: int) -> str:
    """Note that a run has ended: remove its folder if it has no verdict, else write its manifest, and remove old runs.

    Args:
        folder: The run's folder, to which nothing is written any more.
        keep: How many runs stay, this one among them; 0 for all.

    Returns:
        The one digest over all files of the run (see `swarmlab.verdicts.manifest`); empty if it has no verdict, or its
        files could not be read or written.
    """
    digest = ""
    with contextlib.suppress(OSError):
        (folder / OWNER).unlink(missing_ok=True)
        if not judged(folder):
            shutil.rmtree(folder, ignore_errors=True)
            return digest
        digest = manifest.write(folder)
    prune(folder.parent.parent, keep)
    return digest


def prune(reports: Path, keep: int) -> None:
    """Remove the oldest runs, and killed runs that had no verdict. A run whose process is alive stays.

    A folder without a verdict stays, too, unless it has a file that every run begins with: it may be somebody else's.

    Args:
        reports: The folder of reports.
        keep: How many runs stay; 0 for all.
    """
    found = [folder for folder in every(reports) if not running(folder)]
    of_use = [folder for folder in found if judged(folder)]
    begun = [folder for folder in found if any((folder / name).exists() for name in (OWNER, RECORD))]
    blank = [folder for folder in begun if folder not in of_use]
    for old in [*blank, *(of_use[:-keep] if keep else [])]:
        shutil.rmtree(old, ignore_errors=True)


def running(folder: Path, *, elsewhere: bool = True) -> bool:
    """Whether the process that writes to a run's folder is alive.

    Args:
        folder: The run's folder.
        elsewhere: What is returned of a process of which this host knows nothing, such as one of another host, while
            the run's record grows. Where it has not grown for a week, the process was killed.
    """
    return bool(going_on(folder) if elsewhere else _owner(folder)[1])


def going_on(folder: Path) -> str:
    """Return in words that a run goes on, or may, and where; empty if its process has ended (see `running`)."""
    owner, alive = _owner(folder)
    if alive:
        return "it is still running"
    if alive is False or time.time() - max(map(_written, (folder / RECORD, folder / OWNER))) > _SILENT:
        return ""
    return f"it runs as {owner}, or was killed"


def _owner(folder: Path) -> tuple[str, bool | None]:
    """Return in words which process writes to a run's folder, and whether it is alive; None if that is not known."""
    try:
        mark = (folder / OWNER).read_text(encoding="utf-8")
    except OSError:
        return "", False
    return str(ownership.owner_of(mark)), ownership.alive(mark)


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def judged(folder: Path) -> bool:
    """Whether a run has any verdict."""
    if (folder / VERDICTS).exists():
        return True
    try:
        with (folder / RECORD).open(encoding="utf-8", errors="replace") as lines:
            return any('"judgement"' in line for line in lines)
    except OSError:
        return False


def find(path: Path) -> Path:
    """Return the file of a run's verdicts: verdicts.json, or verdicts.jsonl of a run that did not end.

    Args:
        path: The file, the run's folder, or a folder of reports, of which the latest run is taken.

    Raises:
        UsageError: There is no run, or this user may not read it.
    """
    found = kind_of(path)
    if found == "file":
        return path
    for folder in (path, path / LATEST, *reversed(every(path))):
        for name in FILES:
            if kind_of(folder / name):
                return folder.resolve() / name if folder.name == LATEST else folder / name
    missing = "no run in it" if found else "no such file or folder"
    raise UsageError(f"{shown(path)}: {missing}; a run of the suites writes a folder below runs/ of its reports")


def every(reports: Path) -> list[Path]:
    """Return the folders of all runs, the oldest first: their names begin with the time. Other folders are no runs."""
    try:
        return sorted(
            folder for folder in (reports / RUNS).iterdir() if re.match(_TIME, folder.name) and folder.is_dir()
        )
    except OSError:
        return []
