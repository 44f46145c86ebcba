"""The engines that nodes can have, and the choice of one by its name."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from swarmlab.errors import UsageError
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
    """Return the engines of Debian's packages, by release."""
    known = yaml.safe_load((IMAGES / "engines.yaml").read_text(encoding="utf-8"))
    return {suite: EngineChoice(suite, str(version), "debian", suite) for suite, version in known.items()}


def options_help() -> str:
    """Return the help of an option that takes the engines of a lab's nodes."""
    return (
        "engine of the nodes: a Debian release, a version, the file or URL of a static archive, or a folder of "
        "packages; several, separated by commas, alternate "
        f"(of Debian: {', '.join(map(str, known_engines().values()))}; all: swarmlab engines)"
    )


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
    path = Path(name).expanduser()
    if path.exists() or "/" in name or name.startswith("~") or name.endswith(_ARCHIVE):
        return _of_path(path)
    meant = [choice for choice in known.values() if f"{choice.version}.".startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    choices = ", ".join(map(str, known.values()))
    if meant:
        raise UsageError(f"more than one engine begins with {name!r}; choose from {choices}")
    if not _VERSION.fullmatch(name):
        raise UsageError(
            f"no engine {name!r}; choose from {choices}, or write a version such as 18.03.1, or the file or URL of a "
            "static archive, or a folder of packages"
        )
    version = stock.official_version(name)
    return EngineChoice(version, version, "archive", stock.official_place(version))


def _of_path(path: Path) -> EngineChoice:
    if path.is_dir():
        packages = archives.packages(path)
        return EngineChoice(str(path.absolute()), packages.version, "packages", str(path.absolute()))
    if not path.exists():
        raise UsageError(f"engine {path}: there is no such file or folder")
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
