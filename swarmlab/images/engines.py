"""The engines that nodes can have."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import yaml

from swarmlab.errors import UsageError
from swarmlab.paths import IMAGES
from swarmlab.versions import Version, parsed

#: The release whose engine is the default, and that workloads are made from.
DEFAULT = "bookworm"

#: Suites that are no releases yet: they have no updates of their own; their files may be past their date on a mirror.
UNRELEASED = ("forky", "sid")


@dataclass(frozen=True)
class EngineChoice:
    """An engine that nodes can have.

    Attributes:
        suite: the Debian release that it is a package of.
        version: the version that this release is known to give.
    """

    suite: str
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.suite})"

    @property
    def numbers(self) -> Version:
        """The version as what can be compared."""
        return parsed(self.version)


@functools.cache
def known_engines() -> dict[str, EngineChoice]:
    """The engines that can be chosen, by Debian release."""
    known = yaml.safe_load((IMAGES / "engines.yaml").read_text(encoding="utf-8"))
    return {suite: EngineChoice(suite, str(version)) for suite, version in known.items()}


def engine_choice(name: str) -> EngineChoice:
    """The engine of this Debian release or version; a version may be cut short while it is clear, "" is the default.

    Raises:
        UsageError: no engine, or more than one, is meant.
    """
    known = known_engines()
    if (name or DEFAULT) in known:
        return known[name or DEFAULT]
    meant = [choice for choice in known.values() if f"{choice.version}.".startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    clear = "more than one engine begins with" if meant else "no engine"
    raise UsageError(f"{clear} {name!r}; choose from {', '.join(map(str, known.values()))}")
