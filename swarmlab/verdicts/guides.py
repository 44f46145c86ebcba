"""Guides: what usually breaks a claim, how to look on a node, and what mends it, as claims/guides.yaml has them."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.verdicts.catalogue import FOLDER, entries
from swarmlab.verdicts.parts import chapter_of, part_of

FILE = FOLDER / "guides.yaml"
#: What may stand in a command, with the word that is shown where nothing is known to put there.
PLACEHOLDERS = {"{node}": "NODE", "{manager}": "MANAGER", "{service}": "SERVICE"}
#: What is to be known beside commands of systemd.
_WITHOUT_SYSTEMD = (
    "Without systemd, as on the nodes of a lab of containers, the engine's log is /var/log/dockerd.log, and swarmlab "
    "stop and swarmlab start restart the engine of a node."
)
_LOG = "tail -n 2000 /var/log/dockerd.log"


@dataclass(frozen=True)
class Guide:
    """What an operator does when a claim fails.

    Attributes:
        causes: What usually breaks it, a sentence each, the likeliest first.
        look: Commands to look with, each a line for a root shell on the node that failed; a comment may follow. A
            command that has to be run elsewhere says so in its comment.
        mend: What to do, a sentence each; commands are between backquotes.
        incidents: What is known of such failures: ids of claims/known.yaml (known/slug) and issues (moby#N).
        checks: Names of checks of preflight that find these causes.
    """

    causes: tuple[str, ...]
    look: tuple[str, ...]
    mend: tuple[str, ...]
    incidents: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What to do where a node has no systemd; empty if no command of the guide needs it."""
        lines = (*self.look, *self.mend)
        return _WITHOUT_SYSTEMD if any("journalctl" in line or "systemctl" in line for line in lines) else ""

    def filled(self, *, node: str = "", manager: str = "", service: str = "") -> Guide:
        """Return the guide with names in place of {node}, {manager} and {service}.

        Args:
            node: Host name of the node that failed; empty if it is not known.
            manager: Host name of a manager.
            service: Name of the service.

        Example:
            >>> guide_of("7.2.1/reachable-on-any-node").filled(node="slave02").look
        """
        names = dict(zip(PLACEHOLDERS, (node, manager, service), strict=True))

        def fill(lines: tuple[str, ...]) -> tuple[str, ...]:
            made = []
            for line in lines:
                for placeholder, word in PLACEHOLDERS.items():
                    line = line.replace(placeholder, names[placeholder] or word)
                made.append(line)
            return tuple(made)

        return replace(self, causes=fill(self.causes), look=fill(self.look), mend=fill(self.mend))

    def without_systemd(self) -> Guide:
        """Return the guide for nodes without systemd: the engine's log is read from its file.

        Commands of systemd in `mend` stay, as nothing on such a node takes their place; `note` says what does.
        """
        look = (re.sub(r"journalctl(?: -b)? -u docker\b[^|;#]*?(?=\s*(?:[|;#]|$))", _LOG, line) for line in self.look)
        return replace(self, look=tuple(look))

    def to_json(self) -> dict[str, Any]:
        """Return the guide as `swarmlab explain --json` has it."""
        lists = {key: list(getattr(self, key)) for key in ("causes", "look", "mend", "checks", "incidents")}
        return {**lists, "note": self.note}


def guides(file: Path = FILE) -> Mapping[str, Guide]:
    """Return the guides by the pattern of the claims that they are for.

    Raises:
        UsageError: The file is not valid, or a pattern stands in it twice.
    """
    return _read(file)


@functools.cache
def _read(file: Path) -> Mapping[str, Guide]:
    found: dict[str, Guide] = {}
    for entry in entries(file, FOLDER / "guides.schema.json"):
        guide = _guide(entry)
        for pattern in entry["claims"]:
            if pattern in found:
                raise UsageError(f"{file.name}: two guides are for {pattern}; keep one")
            found[pattern] = guide
    return found


def guide_of(claim_id: str, file: Path = FILE) -> Guide:
    """Return the guide for a claim: that of the most specific pattern alone.

    An id is more specific than a glob, a longer glob than a shorter, any glob than a section (7.2.1, configs), a
    section than a chapter (7).

    Raises:
        UsageError: No guide is for this claim.

    Example:
        >>> guide_of("7.2.1/reachable-on-any-node").checks
    """
    fitting = [pattern for pattern in guides(file) if _fits(pattern, claim_id)]
    if not fitting:
        raise UsageError(f"{file.name}: no guide is for the claim {claim_id}")
    return guides(file)[max(fitting, key=lambda pattern: (_rank(pattern, claim_id), len(pattern)))]


def _fits(pattern: str, claim_id: str) -> bool:
    if "/" in pattern:
        return fnmatch.fnmatchcase(claim_id, pattern)
    return pattern in (claim_id.partition("/")[0], chapter_of(claim_id), part_of(claim_id))


def _rank(pattern: str, claim_id: str) -> int:
    """Return how specific a pattern is that fits a claim."""
    if pattern == claim_id:
        return 3
    if "/" in pattern:
        return 2
    return int(pattern == claim_id.partition("/")[0])


def _guide(entry: Mapping[str, Any]) -> Guide:
    return Guide(**{key: tuple(entry.get(key, ())) for key in ("causes", "look", "mend", "incidents", "checks")})
