"""The place of a bundle: an archive or a folder that is there whole, or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swarmlab import outputs
from swarmlab.errors import LabError, UsageError
from swarmlab.files import kind_of, named, reason, shown

#: How the name of an archive ends.
ENDINGS = (".tar.gz", ".tgz")


def is_archive(place: Path) -> bool:
    """Whether a place is to be an archive, by its name."""
    return place.name.endswith(ENDINGS)


def check(path: str) -> Path:
    """Return the place that a user names for a bundle.

    Raises:
        UsageError: something else is there, or this user may not look there.
    """
    place = named(path, "the bundle").absolute()
    about = f"{shown(place)}:"
    found = kind_of(place)
    if is_archive(place):
        if found == "folder":
            raise UsageError(f"{about} is a folder; name a file for the archive")
        return place
    if found == "file":
        raise UsageError(f"{about} is a file; name a folder, or an archive that ends with {ENDINGS[0]}")
    try:
        empty = not found or not any(place.iterdir())
    except OSError as failed:
        raise UsageError(f"{about} cannot be read: {reason(failed)}") from None
    if not empty:
        raise UsageError(f"{about} is not empty; name a new folder, or an archive that ends with {ENDINGS[0]}")
    return place


@contextlib.contextmanager
def place(path: Path) -> Iterator[Path]:
    """Yield an empty folder, whose files are at *path* once the context ends, as an archive or as they are.

    If the context raises, nothing is left.

    Args:
        path: the place, as `check` returned it.

    Raises:
        LabError: it cannot be written.
    """
    name = path.name
    for ending in ENDINGS:
        name = name.removesuffix(ending) or "bundle"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=path.parent) as made:
            folder = Path(made) / name
            folder.mkdir()
            yield folder
            if is_archive(path):
                packed = Path(made) / f"{name}.archive"
                _pack(folder, packed)
                packed.replace(path)
            else:
                if path.is_dir():
                    path.rmdir()
                shutil.move(folder, path)
    except OSError as failed:
        raise LabError(outputs.unwritable(path, failed)) from None


def _pack(folder: Path, file: Path) -> None:
    def nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder, arcname=folder.name, filter=nobody)
