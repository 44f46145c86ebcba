"""Where a claim was judged, and the commands that lead there: a shell on a node, and the claim once more."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmlab.joined import joined
from swarmlab.labs.base import FoundKind, LabKind
from swarmlab.labs.registry import DEFAULT, KINDS, MADE
from swarmlab.paths import command, suites
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.profiles import PROFILES
from swarmlab.verdicts.results import Judged, Run

#: Options that choose the lab of a run and say how it is judged, which its repetition needs, too. What selects tests or
#: splits a run is not among them. The others take no value.
KEPT = (
    *("--lab", "--lab-name", "--engine", "--image", "--profile", "--hours", "--waivers", "--catalogue", "--reports"),
    *("--cis-key-days", "--cis-node-days", "--cis-root-days"),
    *(option.name for kind in KINDS.values() for option in kind.options),
)
FLAGS = ("--every-node",)
#: Options that make a lab of the run's own: they are refused, or make another lab, where one is to be used that stands.
_MAKE = ("--engine", "--provider")
#: How systemd's journal and systemctl are asked about an engine, as preflight and the guides write it.
_JOURNAL = re.compile(
    r"journalctl(?:\s+(?:-[bfe]|--no-pager|(?:-u|--unit)[ =][\w@.-]+|(?:-n|--lines)[ =]\d+"
    r"|--since[ =](?:'[^']*'|\"[^\"]*\"|[\w:.-]+)))+"
)
_RESTART = re.compile(r"systemctl (?:re)?start docker(?:\.service)?\b")


@dataclass(frozen=True)
class Place:
    """The lab that a claim was judged on.

    Attributes:
        kind: Its kind; None if it is not known.
        name: Its name.
        stands: Whether it stayed when the run ended. A lab of the run's own did not.
        own_cluster: The test made a cluster of its own beside that of the lab, and removed it.
        host: The machine that the run was on.
        options: The options of the run that choose the lab and say how it is judged, with their values.
        nodes: Host names of its nodes, a manager first.
    """

    kind: LabKind | None
    name: str
    stands: bool
    own_cluster: bool = False
    host: str = ""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run, claim: Judged) -> Place:
        """Return where a claim of a run was judged."""
        place = next((each for each in claim.judged_on if each.get("lab")), {})
        options = options_of(run)
        known = place.get("lab") or next(iter(run.raw["lab"].get("each", {})), str(run.raw["lab"].get("name", "")))
        part = place.get("shard") or place.get("run")
        name = known.removesuffix(f" of {part}") if part else known
        kind = KINDS.get(str(run.raw["lab"].get("kind")))
        facts = run.raw["lab"].get("each", {}).get(known, {})
        nodes = tuple(str(node["name"]) for node in run.nodes if node.get("lab", known) == known)
        stands = _stands(kind, name, facts if isinstance(facts, dict) else {}, options)
        host = str(place.get("host") or run.raw.get("host", ""))
        return cls(kind, name, stands, claim.own_cluster, host, options, nodes)

    @property
    def exists_by_itself(self) -> bool:
        """Whether it is a swarm that exists, and not a lab of this project."""
        return isinstance(self.kind, FoundKind)

    @property
    def lab(self) -> str:
        """The lab in words."""
        return f"lab {self.name}" if self.name else "its lab"

    @property
    def standing_name(self) -> str:
        """The name of the lab that is there once its commands are followed."""
        if self.stands:
            return self.name
        return (MADE.get(self.kind.word, DEFAULT) if self.kind else DEFAULT).default_name

    def up(self) -> str:
        """Return the command that brings up a lab like this one, which stays."""
        own = getattr(self.kind, "default_name", DEFAULT.default_name)
        name = ["--name", self.name] if self.stands and self.name != own else []
        return command("swarmlab", "up", *self._kind_option(), *name, *self._given(*_MAKE))

    def shell(self, node: str, line: str = "") -> str:
        """Return the command that opens a root shell on a node, or has it run a line.

        Args:
            node: Host name of the node.
            line: A line for a root shell of a machine with systemd.
        """
        if line and self.kind and self.kind.engine_log:
            if _RESTART.search(line):
                return self._restart(node)
            line = self.adapted(line, node)
        words = ["swarmlab", "shell", node, *self._where()]
        return command(*words, "--", line) if line else command(*words)

    def adapted(self, text: str, node: str = "NODE") -> str:
        """Return lines or words for an operator as they are right for its nodes, which may have no systemd.

        Args:
            text: Lines or words for machines with systemd.
            node: Host name of the node that they are about.
        """
        if not (self.kind and self.kind.engine_log):
            return text
        log = f"tail -n 200 {self.kind.engine_log}"
        text = _JOURNAL.sub(lambda found: log if "docker" in found[0] else found[0], text)
        return _RESTART.sub(lambda _: self._restart(node), text)

    def _restart(self, node: str) -> str:
        """Return the commands that restart the engine of a node that is its engine: both are switched off and on."""
        return "; ".join(command("swarmlab", verb, node, *self._name_option()) for verb in ("stop", "start"))

    def preflight(self) -> str:
        """Return the command that checks its cluster for known causes of trouble."""
        return command("swarmlab", "preflight", *self._where())

    def again(self, claim: str) -> str:
        """Return the command that judges a claim there once more.

        Args:
            claim: The claim's id.
        """
        if claim not in catalogue.load():
            return command("swarmlab", "rehearse", "--from", "ENGINE", "--to", "ENGINE")
        return command("pytest", suites(), "--claim", claim, *self.run_options())

    def run_options(self) -> list[str]:
        """Return the options of pytest that choose it, and that say how it is judged."""
        if self.stands:
            return [*self._given(*self.options)]
        kept = [name for name in self.options if name not in (*_MAKE, "--lab-name", "--lab")]
        return [*self._kind_option(), *self._given(*kept)]

    def _kind_option(self) -> list[str]:
        return [] if self.kind in (None, DEFAULT) else ["--lab", self.kind.word]

    def _name_option(self) -> list[str]:
        return [] if self.standing_name == DEFAULT.default_name else ["--name", self.standing_name]

    def _where(self) -> list[str]:
        """Return the options of ``swarmlab`` that name it."""
        return [*self._given("--inventory", "--group")] if self.exists_by_itself else self._name_option()

    def _given(self, *names: str) -> Iterator[str]:
        for name in names:
            for value in self.options.get(name, ()):
                yield name
                if value:
                    yield value


def options_of(run: Run) -> dict[str, tuple[str, ...]]:
    """Return the options of a run that choose its lab and say how it is judged, each with its values.

    A run keeps them. Of an older one some are in its command line alone.
    """
    found: dict[str, tuple[str, ...]] = {}
    try:
        words = shlex.split(str(run.raw.get("command", "")))
    except ValueError:
        words = []
    for word in joined(words[1:]):
        name, _, value = word.partition("=")
        if name in FLAGS:
            found[name] = ("",)
        elif name in KEPT and value:
            found[name] = (*(found.get(name, ()) if name == "--image" else ()), value)
    for name, value in run.raw.get("options", {}).items():
        if value and f"--{name}" in (*KEPT, *FLAGS):
            each = value if isinstance(value, list) else ["" if value is True else value]
            found[f"--{name}"] = tuple(map(str, each))
    if found.get("--lab") == (DEFAULT.word,):
        del found["--lab"]
    (profile,) = found.get("--profile", ("",))
    # Most profiles only choose claims, and one is chosen by its id.
    if (known := PROFILES.get(profile)) is None or not (known.offers or known.parts):
        found.pop("--profile", None)
    return found


def _stands(kind: LabKind | None, name: str, facts: Mapping[str, Any], options: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a lab stayed when its run ended, as far as an older run tells."""
    if "standing" in facts:
        return bool(facts["standing"])
    if isinstance(kind, FoundKind) or "--lab-name" in options:
        return True
    return kind is DEFAULT and name == DEFAULT.default_name
