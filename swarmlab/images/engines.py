"""The engines that nodes can have: one for each Debian release in images/engines.yaml."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import yaml

from swarmlab.errors import UsageError
from swarmlab.paths import IMAGES
from swarmlab.versions import Version, parsed

#: The release of the default engine and of all workloads.
DEFAULT = "bookworm"

#: Suites that are not released: they have no updates of their own, and a mirror's copy of them may be out of date.
UNRELEASED = ("forky", "sid")


@dataclass(frozen=True)
class EngineChoice:
    """An engine that nodes can have.

    Attributes:
        suite: the Debian release whose package it is.
        version: the version of that package, by engines.yaml.
    """

    suite: str
    version: str

    def __str__(self) -> str:
        """Return version and release, such as "20.10.24 (bookworm)"."""
        return f"{self.version} ({self.suite})"

    @property
    def numbers(self) -> Version:
        """The version as numbers, which can be compared."""
        return parsed(self.version)


@functools.cache
def known_engines() -> dict[str, EngineChoice]:
    """Return the engines that can be chosen, by Debian release."""
    known = yaml.safe_load((IMAGES / "engines.yaml").read_text(encoding="utf-8"))
    return {suite: EngineChoice(suite, str(version)) for suite, version in known.items()}


def engine_choice(name: str) -> EngineChoice:
    """Return the engine of this name.

    Args:
        name: a Debian release, a version or the unique beginning of a version; empty for the default.

    Raises:
        UsageError: no engine has this name, or several have.

    Example:
        engine_choice("26.1") == engine_choice("trixie")
    """
    known = known_engines()
    if (name or DEFAULT) in known:
        return known[name or DEFAULT]
    meant = [choice for choice in known.values() if f"{choice.version}.".startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    clear = "more than one engine begins with" if meant else "no engine"
    raise UsageError(f"{clear} {name!r}; choose from {', '.join(map(str, known.values()))}")
