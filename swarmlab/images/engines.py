"""The engines that nodes can have, and the choice of one by its name."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmlab.errors import UsageError
from swarmlab.files import exists, named, read_yaml, shown
from swarmlab.host import Progress
from swarmlab.images import archives, stock
from swarmlab.paths import IMAGES
from swarmlab.versions import Version, parsed

#: The release of the default engine.
DEFAULT = "bookworm"

#: Suites that are not released: they have no updates of their own, and a mirror's copy of them may be out of date.
UNRELEASED = ("forky", "sid")

_VERSION = re.compile(r"\d+(\.\d+){0,2}(-ce)?")
_ARCHIVE = (".tgz", ".tar.gz")


@dataclass(frozen=True)
class EngineChoice:
    """An engine that nodes can have.

    Attributes:
        name: the name by which `engine_choice` finds it: a Debian release, a version, a file, a folder or a URL.
        version: its version, without what a distribution adds.
        source: where it is from: a package of Debian, a static archive, or a folder of Docker's packages.
        place: the Debian release; the archive's file, URL, or path on Docker's site; or the folder.
    """

    name: str
    version: str
    source: Literal["debian", "archive", "packages"]
    place: str

    def __str__(self) -> str:
        """Return version and source, such as "20.10.24 (bookworm)" or "18.03.1-ce (docker-18.03.1-ce.tgz)"."""
        return f"{self.version} ({self.place if self.source == 'debian' else Path(self.place).name})"

    @property
    def numbers(self) -> Version:
        """The version as numbers, which can be compared."""
        return parsed(self.version)


@functools.cache
def known_engines() -> dict[str, EngineChoice]:
    """Return the engines of Debian's packages, by release.

    Raises:
        UsageError: the list of them cannot be read, or is none.
    """
    file = IMAGES / "engines.yaml"
    known = read_yaml(file)
    if not isinstance(known, dict) or DEFAULT not in known:
        raise UsageError(f"{file}: is no list of engines: write lines RELEASE: VERSION, one of them {DEFAULT}")
    for suite, version in known.items():
        if not isinstance(suite, str) or not isinstance(version, str) or not _VERSION.fullmatch(version):
            wrong = f"{shown(suite, 60)}: {shown(repr(version), 60)}"
            raise UsageError(f"{file}: {wrong} is not RELEASE: VERSION, such as {DEFAULT}: 20.10.24")
    return {suite: EngineChoice(suite, version, "debian", suite) for suite, version in known.items()}


def options_help() -> str:
    """Return the help of an option that takes the engines of a lab's nodes."""
    try:
        known = f"of Debian: {', '.join(map(str, known_engines().values()))}; "
    except UsageError:  # which ends the commands that need an engine; the others work without that list
        known = ""
    return (
        "engine of the nodes: a Debian release, a version, the file or URL of a static archive, or a folder of "
        f"packages; several, separated by commas, alternate ({known}all: swarmlab engines)"
    )


def split(names: str, option: str = "") -> list[str]:
    """Return the engines' names in a list that commas separate.

    Args:
        names: the list; empty for the default engine.
        option: the option that has the value, put before it in a message.

    Raises:
        UsageError: a part of it is empty.
    """
    parts = [part.strip() for part in names.split(",")]
    if names and not all(parts):
        raise UsageError(f"{option} {shown(names)}: has an empty part; write ENGINE,ENGINE without one".strip())
    return parts


def engine_choice(name: str) -> EngineChoice:
    """Return the engine of this name. Only the beginning of a version may be looked up on Docker's site.

    Args:
        name: a Debian release; a version or its beginning, of a Debian package or else of Docker's static archives;
            the file or URL of a static archive; a folder of Docker's .deb packages; empty for the default.

    Raises:
        UsageError: no engine has this name, several have, or a file or folder holds none for this machine.

    Example:
        engine_choice("26.1") == engine_choice("trixie")
        engine_choice("18.03.1").version == "18.03.1-ce"
    """
    known = known_engines()
    if (name or DEFAULT) in known:
        return known[name or DEFAULT]
    if "://" in name:
        return EngineChoice(name, archives.version_in(name), "archive", name)
    if "/" in name or name.startswith("~") or name.endswith(_ARCHIVE) or exists(Path(name)):
        return _of_path(named(name, "engine"))
    meant = [choice for choice in known.values() if f"{choice.version}.".startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    choices = ", ".join(map(str, known.values()))
    if meant:
        raise UsageError(f"more than one engine begins with {shown(repr(name))}; choose from {choices}")
    if not _VERSION.fullmatch(name):
        raise UsageError(
            f"no engine {shown(repr(name), 60)}; choose from {choices}, or write a version such as 18.03.1, or the "
            "file or URL of a static archive, or a folder of packages"
        )
    version = stock.official_version(name)
    return EngineChoice(version, version, "archive", stock.official_place(version))


def _of_path(path: Path) -> EngineChoice:
    if not exists(path):
        raise UsageError(f"engine {shown(path)}: there is no such file or folder")
    if path.is_dir():
        packages = archives.packages(path)
        return EngineChoice(str(path.absolute()), packages.version, "packages", str(path.absolute()))
    return EngineChoice(str(path.absolute()), stock.given(path).version, "archive", str(path.absolute()))


def obtain(choices: Iterable[EngineChoice], progress: Progress) -> None:
    """Have the archives of *choices* on this machine, so that `held` returns them.

    Args:
        choices: any engines; those of Debian are left to the making of images.
        progress: called with a line every few seconds of a download.

    Raises:
        UsageError: an archive cannot be had, is not the one in the lock, or holds another engine than its name says.
    """
    for choice in dict.fromkeys(choices):
        if choice.source == "archive" and not Path(choice.place).is_absolute():
            found = stock.obtain(choice.place, progress)
            if parsed(found.version) != choice.numbers:
                raise UsageError(f"{choice.place} holds engine {found.version}, and not {choice.version}")


def held(choice: EngineChoice) -> archives.Content:
    """Return the content of a choice's archive or packages, which are on this machine.

    Raises:
        UsageError: they are not, or hold no engine for this machine. Call `obtain` first.
    """
    if choice.source == "packages":
        return archives.packages(Path(choice.place))
    if Path(choice.place).is_absolute():
        return stock.given(Path(choice.place))
    return stock.kept(choice.place)
