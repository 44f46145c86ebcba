"""The digests of the files that a run left, as ``sha256sum`` writes and checks them, and the one digest over all.

The run writes `NAME` into its folder as its last file. The digest of that file stands for the whole run: the terminal
and the report show it, and ``swarmlab verify`` checks it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.files import shown

#: The file with a line for each file of a run.
NAME = "SHA256SUMS"
#: What commands write into the folder of a run that has ended. It is made from the run, and is not covered.
LATER = ("report.html", "report.md", "compare.md", "allure")
#: A line: the digest, a blank, a blank or "*" (binary), the name. A backslash before it: the name has escapes.
_LINE = re.compile(rb"(?P<escaped>\\?)(?P<digest>[0-9a-f]{64}) [ *](?P<name>.+)", re.DOTALL)
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Difference:
    """A file that is not as the run left it.

    Attributes:
        kind: "changed", "missing" or "added".
        name: Its name in the run's folder.
        why: More about it, such as that it is a link now; empty if the kind says all.
    """

    kind: str
    name: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {shown(self.name)}{f' ({self.why})' if self.why else ''}"


def write(folder: Path) -> str:
    """Write the manifest of a run that has ended, and return the one digest over it.

    Args:
        folder: The run's folder.

    Raises:
        OSError: A file cannot be read, or the manifest cannot be written.
    """
    lines = []
    for name in _names(folder):
        if stat.S_ISREG((folder / name).lstat().st_mode):
            lines.append(_line(name, of_file(folder / name)))
    content = b"".join(lines)
    fresh = folder / f".{NAME}-{os.getpid()}"
    try:
        fresh.write_bytes(content)
        fresh.replace(folder / NAME)
    finally:
        fresh.unlink(missing_ok=True)
    return of_content(content)


def digest(folder: Path) -> str:
    """Return the one digest over all files of a run; empty if the run has none, as it did not end or is of old."""
    try:
        return of_file(folder / NAME)
    except OSError:
        return ""


def of_file(file: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    found = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def of_content(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def read(folder: Path) -> Mapping[str, str]:
    """Return the digests of a run's files by their names, as its manifest has them.

    Raises:
        UsageError: There is no manifest, or it is none of a run.
    """
    file = folder / NAME
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"{folder} has no {NAME}: the run did not end, or older suites made it; nothing can be verified"
        ) from None
    except OSError as failed:
        raise UsageError(f"{file} cannot be read: {failed.strerror}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(content.split(b"\n")[:-1] if content.endswith(b"\n") else [b""], start=1):
        matched = _LINE.fullmatch(line)
        if not matched:
            raise UsageError(f"{file}, line {number}: is no line of sha256sum; the file was changed or cut")
        name = os.fsdecode(_plain(matched["name"]) if matched["escaped"] else matched["name"])
        if name in found:
            raise UsageError(f"{file}, line {number}: {shown(name)} stands there twice; the file was changed")
        if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
            raise UsageError(f"{file}, line {number}: {shown(name)} is no file of the run; the file was changed")
        found[name] = matched["digest"].decode()
    return found


def differences(folder: Path, listed: Mapping[str, str]) -> Iterator[Difference]:
    """Yield the files of a run that are not as it left them, in the order of their names.

    Args:
        folder: The run's folder.
        listed: The digests by name (see `read`).
    """
    there = set(_names(folder))
    for name in sorted(there | set(listed)):
        file = folder / name
        if name not in there:
            yield Difference("missing", name)
            continue
        mode = file.lstat().st_mode
        kind = "added" if name not in listed else "changed"
        if stat.S_ISLNK(mode):
            yield Difference(kind, name, "is a link")
        elif not stat.S_ISREG(mode):
            yield Difference(kind, name, "is no plain file")
        elif kind == "added":
            yield Difference(kind, name)
        else:
            try:
                if of_file(file) != listed[name]:
                    yield Difference(kind, name)
            except OSError as failed:
                yield Difference(kind, name, f"cannot be read: {failed.strerror}")


def later(folder: Path) -> list[str]:
    """Return what is in a run's folder and not covered, as commands write it after the run's end."""
    return [name for name in LATER if os.path.lexists(folder / name)]


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of all that a run's folder holds, but of folders, of the manifest and of what is not covered."""
    found = []
    for root, folders, files in os.walk(folder):
        place = Path(root).relative_to(folder)
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found += [(place / name).as_posix() for name in [*files, *links]]
    for name in sorted(found):
        if name != NAME and name.partition("/")[0] not in LATER:
            yield name


def _line(name: str, digest: str) -> bytes:
    raw = os.fsencode(name)
    escaped = b"".join(_ESCAPES.get(raw[at : at + 1], raw[at : at + 1]) for at in range(len(raw)))
    return (b"\\" if escaped != raw else b"") + digest.encode() + b"  " + escaped + b"\n"


def _plain(name: bytes) -> bytes:
    return re.sub(rb"\\(.)", lambda found: {b"n": b"\n", b"r": b"\r"}.get(found[1], found[1]), name)
