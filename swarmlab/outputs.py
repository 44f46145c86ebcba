"""Files and folders that results go to, and one message for those that cannot be written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from swarmlab.errors import LabError
from swarmlab.files import exists

#: Bytes that a folder has to take before work begins whose results go there.
_PROBE = 1 << 20


def check(folder: Path) -> None:
    """Write in a folder before work begins whose results are to go there; nothing is left, and no folder is made.

    Raises:
        LabError: It cannot be made or written.
    """
    probe, lacking = folder / f".probe-{os.getpid()}", missing(folder)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(bytes(_PROBE))
        finally:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                probe.unlink()
            remove_empty(lacking)
    except OSError as failed:
        raise LabError(unwritable(folder, failed)) from None


def missing(folder: Path) -> list[Path]:
    """Return which of a folder and those around it are not there, the innermost first."""
    return [path for path in (folder, *folder.parents) if not exists(path)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that are empty, such as those that `missing` found and that nothing was written to."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def target(file: Path) -> Path:
    """Return the file that is written where this one is named: what a link leads to, such as /dev/stdout."""
    return file.resolve() if file.is_file() else file


def write(file: Path, text: str) -> None:
    """Write a file, and make its folder if it is missing. What the file held stays until all is written.

    A link stays, such as /dev/stdout, and so does a device or a pipe.

    Raises:
        LabError: It cannot be written.
    """
    file = target(file)
    fresh = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.is_file() and not file.is_dir():  # a device or a pipe
            file.write_text(text, encoding="utf-8")
            return
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(file)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as failed:
        raise LabError(unwritable(file, failed)) from None


def unwritable(place: Path, failed: OSError) -> str:
    """Return the message for a folder or file that cannot be written."""
    return f"{place} cannot be written: {failed.strerror}; make room there, or name another place"
