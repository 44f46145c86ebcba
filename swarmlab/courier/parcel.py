"""What goes with a command into its container, and what comes back.

The working tree and each file that an option names have the same path there as here. So the words of the command line
mean the same, and so do the paths that the command prints.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from swarmlab import configuration
from swarmlab.errors import UsageError
from swarmlab.files import exists, shown
from swarmlab.images import stock
from swarmlab.labs import registry
from swarmlab.paths import REPORTS, ROOT
from swarmlab.verdicts import again, folders

#: Folders that programs make for themselves: they neither go nor come back.
_NOT_OURS = (
    *("__pycache__", ".git", ".venv", ".tox", ".pytest_cache", ".mypy_cache", ".ruff_cache", "node_modules"),
    folders.OWNER,
)
#: Options that name files or folders to read, and those to write. An engine may be named among others, with commas.
_READ = (
    *("--again", "--config", "--engine", "--from", "--image", "--inventory", "--like", "--path", "--rehearse"),
    *("--rehearse-like", "--seconds", "--skip", "--to", "--waivers", "-c"),
)
_WRITTEN = (
    *("--alluredir", "--junit", "--junit-xml", "--junitxml", "--metrics", "--out", "--progress-json", "--reports"),
    "--sarif",
)
#: Bytes of a block that is read of an archive.
_BLOCK = 2**20


@dataclass(frozen=True)
class Parcel:
    """The files of one command.

    Attributes:
        program: its module, ``pytest`` or ``swarmlab``.
        words: the words of the command, with those of its file of options.
        folder: the current folder.
    """

    program: str
    words: Sequence[str]
    folder: Path

    @classmethod
    def of(cls, program: str, words: Sequence[str], folder: Path) -> Parcel:
        """Return the parcel of a command.

        Args:
            program: its module.
            words: its words, without the program's name.
            folder: the current folder.

        Raises:
            UsageError: its file of options is wrong.
        """
        own = list(words[: words.index("--")] if "--" in words else words)
        taken = configuration.take(own, folder, registry.kind_by_option)
        more = [f"{configuration.OPTION}={taken.file}", *taken.words] if taken else []
        verb = 1 if program == "swarmlab" else 0
        # The command line overrides the file, so it comes last.
        return cls(program, [*own[:verb], *more, *own[verb:]], folder)

    # There

    def files(self) -> Iterator[Path]:
        """Return the files and links that go, each with its whole path."""
        yield from _tree(ROOT)
        for option in _READ:
            for value in self._values(option):
                for path in _paths(value, self.folder):
                    yield from _below(path)
        yield from self._earlier()

    def _earlier(self) -> Iterator[Path]:
        """Return of earlier runs what a new one reads: their verdicts, and the whole of the run that is run again."""
        for folder in folders.every(self.reports):
            yield from (folder / name for name in folders.FILES if (folder / name).is_file())
        if (self.reports / folders.LATEST).is_symlink():
            yield self.reports / folders.LATEST
        for value in self._values("--again", alone=again.LATEST):
            with contextlib.suppress(UsageError):  # the command itself refuses it
                yield from _below(again.find(value, self.reports, self.folder))

    def archives(self) -> list[Path]:
        """Return the archives of engines that were downloaded here, as far as the command names them."""
        named = {part for option in _READ for value in self._values(option) for part in value.split(",")}
        kept = stock.archives_here()
        wanted = [
            file
            for place, file in kept.items()
            if any(part == place or (part and f"docker-{part}" in place) for part in named)
        ]
        return [*wanted, *(file.with_suffix(".json") for file in wanted)]

    # Back

    @property
    def reports(self) -> Path:
        """The folder of reports of the command."""
        given = [value for value in self._values("--reports") if "://" not in value]
        return Path(os.path.normpath(self.folder / given[-1])) if given else REPORTS

    @property
    def keep(self) -> int:
        """How many runs stay in the folder of reports."""
        given = [value for value in self._values("--keep-runs") if value.isdecimal()]
        return int(given[-1]) if given else folders.KEPT

    def places(self) -> list[Path]:
        """Return the folders and files that the command writes, so far as they may be there when it has ended."""
        named = [value for option in _WRITTEN for value in self._values(option) if "://" not in value]
        if self.words[:1] == ["logs"]:
            # Without a name for its archive it makes one, in the current folder.
            last = [word for word in self.words[1:][-1:] if not word.startswith("-")]
            named += last or ["."]
        judges = self.program == "pytest" or self.words[:1] == ["rehearse"]
        found = [Path(os.path.normpath(self.folder / word)) for word in named]
        return list(dict.fromkeys([*found, *([self.reports, stock.lock_file()] if judges else [])]))

    def is_made(self, file: Path, sent: set[str]) -> bool:
        """Whether a file that is there at the end is one that the command has made.

        Args:
            file: its whole path.
            sent: the paths of what was there before.
        """
        if file in (self.reports / folders.LATEST, stock.lock_file()):
            return True
        if str(file) in sent or any(part in _NOT_OURS for part in file.parts):
            return False
        return not (self.folder in self.places() and file.parent == self.folder) or file.name.startswith(
            "swarmlab-logs-"
        )

    def _values(self, option: str, alone: str = "") -> Iterator[str]:
        """Return the values of an option.

        Args:
            option: its name.
            alone: its value where it stands alone; empty if it cannot.
        """
        for place, word in enumerate(self.words):
            following = self.words[place + 1] if place + 1 < len(self.words) else ""
            if word.startswith(f"{option}="):
                yield word.partition("=")[2]
            elif word == option and following and not (alone and following.startswith("-")):
                yield following
            elif word == option and alone:
                yield alone


def pack(files: Iterable[Path], to: IO[bytes], *, to_folder: str = "") -> set[str]:
    """Write files to an archive under their whole paths.

    Args:
        files: files and links; what is gone meanwhile is left out.
        to: takes the archive.
        to_folder: the folder that all are in there; empty for the one that each is in here.

    Returns:
        The paths of all that is in it, and of the folders above.
    """
    packed: set[str] = set()
    with tarfile.open(fileobj=to, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            if str(file) in packed:
                continue
            try:
                there = f"{to_folder}/{file.name}" if to_folder else str(file)
                entry = archive.gettarinfo(file, arcname=there.lstrip("/"))
            except OSError:
                continue
            if entry is None or not (entry.isfile() or entry.issym()):
                continue
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            try:
                with contextlib.ExitStack() as opened:
                    content = opened.enter_context(file.open("rb")) if entry.isfile() else None
                    archive.addfile(entry, content)
            except OSError as failed:
                raise UsageError(f"{shown(file)}: cannot be read: {failed.strerror}; mend its rights") from None
            packed |= {str(file), *map(str, file.parents)}
    return packed


def unpack(archive: IO[bytes], folder: Path, wanted: Callable[[Path], bool] = lambda _: True) -> None:
    """Write the files of an archive of an engine into a folder; of links those that stay in it.

    Args:
        archive: as ``GET /containers/ID/archive`` returns it; it is read once, from its beginning.
        folder: takes them.
        wanted: whether a file or link is wanted, by its path here.

    Raises:
        OSError: a file cannot be written.
    """
    with tarfile.open(fileobj=archive, mode="r|") as source:
        for member in source:
            place = Path(os.path.normpath(folder / member.name))
            if not place.is_relative_to(folder) or member.isdir() or not wanted(place):
                continue
            if member.issym():
                _link(place, member.linkname, folder)
            elif member.isfile() and (content := source.extractfile(member)):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                with place.open("wb") as made:
                    shutil.copyfileobj(content, made, _BLOCK)
                place.chmod(0o755 if member.mode & 0o100 else 0o644)
                os.utime(place, (member.mtime, member.mtime))


def _link(place: Path, target: str, folder: Path) -> None:
    if Path(os.path.normpath(place.parent / target)).is_relative_to(folder):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)


def _tree(root: Path) -> Iterator[Path]:
    """Return the files of the working tree: what git knows or would take; without git, all but what programs make."""
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root)]
    try:
        listed = subprocess.run(
            [*command, "ls-files", "-coz", "--exclude-standard"], check=True, capture_output=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        for file in _below(root):
            if not file.is_relative_to(root / "reports"):
                yield file
        return
    for name in filter(None, listed.decode(errors="surrogateescape").split("\0")):
        if os.path.lexists(root / name):  # else it is deleted, and git has not been told
            yield root / name


def _below(path: Path) -> Iterator[Path]:
    """Return a file, or the files and links below a folder."""
    if not path.is_dir():
        yield path
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if name not in _NOT_OURS]
        yield from (Path(folder, name) for name in files)


def _paths(value: str, folder: Path) -> Iterator[Path]:
    """Return the paths that the value of an option names: whole, after NAME=, or among others with commas."""
    for part in {value, value.partition("=")[2], *value.split(",")}:
        if part and "://" not in part and "\0" not in part:
            with contextlib.suppress(RuntimeError):
                path = Path(os.path.normpath(folder / Path(part).expanduser()))
                if exists(path) and path != Path("/"):
                    yield path
