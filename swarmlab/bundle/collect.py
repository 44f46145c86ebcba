"""Collects the files of a bundle: all nodes at once, each within a time and a size, and none hides another."""

from __future__ import annotations

import functools
import json
import platform
import re
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import docker

from swarmlab import signals
from swarmlab.bundle import questions
from swarmlab.bundle.questions import Question
from swarmlab.cluster import deadline
from swarmlab.cluster.node import Node
from swarmlab.errors import LabError, Overdue, SwarmlabError
from swarmlab.evidence import redact
from swarmlab.files import shown
from swarmlab.host import Progress
from swarmlab.labs.base import Lab
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.preflight import Finding, host
from swarmlab.verdicts.results import suite_version
from swarmlab.wait import scaled

#: Characters of one file, and of all files of a node.
MOST_OF_FILE, MOST_OF_NODE = 4_000_000, 20_000_000
#: Seconds at reference speed for one file, and after how many that were not got in time a shell or an engine is left.
_PATIENCE, _MOST_LATE = 20.0, 2
_FAILURES = (SwarmlabError, docker.errors.DockerException, OSError, KeyError, IndexError, TypeError, ValueError)
#: What stands before the reason where a shell or an engine was not asked any more.
NOT_ASKED = "not asked any more: "
_SWARM, _FINDINGS, _ABOUT = "swarm", "preflight", "about.txt"


@dataclass(frozen=True)
class Entry:
    """A file of the bundle, or one that could not be got.

    Attributes:
        file: its path in the bundle.
        what: what it holds.
        size: its characters.
        note: how it was cut; empty if it is whole.
        missing: why it could not be got; empty if it was.
    """

    file: str
    what: str
    size: int = 0
    note: str = ""
    missing: str = ""


@dataclass
class Bundle:
    """What was collected.

    Attributes:
        name: the name of the lab, or the id of the swarm.
        parts: the files by the part of the bundle that they are in: a node, or what is of the swarm.
        unreached: why nodes were not reached, by name.
        findings: the findings of preflight.
        began: when it was begun.
    """

    name: str
    parts: dict[str, list[Entry]] = field(default_factory=dict)
    unreached: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    began: float = field(default_factory=time.time)

    @property
    def missing(self) -> list[tuple[str, Entry]]:
        """The files that could not be got, each with its part."""
        return [(part, entry) for part, entries in self.parts.items() for entry in entries if entry.missing]


def collect(
    lab: Lab,
    folder: Path,
    *,
    table: Callable[[Sequence[Finding]], list[str]],
    more: Sequence[Node] = (),
    unreached: Mapping[str, str] | None = None,
    about: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> Bundle:
    """Write the files of a bundle.

    Args:
        lab: the lab or swarm.
        folder: where they go; it is empty.
        table: returns the lines of a table of findings.
        more: further nodes, whose engines do not answer.
        unreached: why further nodes were not reached, by name; those of *more* among them.
        about: further texts about where the bundle was made, by name.
        progress: called with a line for every step that takes time.

    Raises:
        OSError: a file cannot be written.
    """
    bundle = Bundle(lab.name, unreached=dict(unreached or {}))
    nodes = [*lab.nodes(), *more]
    alone = threading.Lock()

    def tell(line: str) -> None:  # nodes end at the same time
        with alone:
            progress(line)

    _write(folder / _ABOUT, _about(lab, about or {}))
    bundle.parts["this machine"] = [Entry(_ABOUT, "who made the bundle, where, and of what")]
    progress(f"collecting from {len(nodes)} nodes")
    collected = parallel(functools.partial(_of_node, folder=folder, progress=tell), nodes, at_once=ELSEWHERE)
    bundle.parts[_SWARM] = _of_swarm(lab.nodes(), folder)
    bundle.parts |= {node.name: entries for node, entries in zip(nodes, collected, strict=True)}
    progress("looking with preflight")
    bundle.findings, entries = _findings(lab, folder, bundle.unreached, table, progress)
    bundle.parts[_SWARM] += entries
    return bundle


def _of_node(node: Node, *, folder: Path, progress: Progress) -> list[Entry]:
    start = time.monotonic()
    asker = _Asker(node, folder, Path("nodes") / _for_file(node.name), most=MOST_OF_NODE)
    entries = [asker.file(question) for question in questions.of_node()]
    try:
        with deadline.within(scaled(_PATIENCE)):
            own = list(questions.of_containers(node))
    except _FAILURES as failed:
        entries.append(Entry("containers", "the suite's own containers", missing=shown(redact(str(failed)), 300)))
        own = []
    entries += [asker.file(question) for question in own]
    missing = sum(bool(entry.missing) for entry in entries)
    size = sum(entry.size for entry in entries)
    lacking = f", {missing} could not be got" if missing else ""
    progress(f"{node}: {len(entries) - missing} files, {size / 1e6:.1f} MB{lacking} ({time.monotonic() - start:.0f} s)")
    return entries


def _of_swarm(nodes: Iterable[Node], folder: Path) -> list[Entry]:
    """Write what the first manager tells that answers."""
    reasons = []
    for node in nodes:
        try:
            with deadline.within(scaled(_PATIENCE)):
                if not node.info()["Swarm"]["ControlAvailable"]:
                    continue
                node.ask("GET", "/nodes")
        except _FAILURES as failed:
            reasons.append(str(failed))
            continue
        asker = _Asker(node, folder, Path(_SWARM), most=MOST_OF_NODE)
        return [asker.file(question) for question in questions.of_swarm()]
    why = "; ".join(dict.fromkeys(reasons[-2:])) or "no node that answers is a manager"
    return [Entry(_SWARM, "what managers tell", missing=shown(redact(why), 300))]


class _Asker:
    """Puts questions to a node, and writes the answers."""

    def __init__(self, node: Node, folder: Path, part: Path, *, most: int) -> None:
        self._node = node
        self._folder = folder
        self._part = part
        self._left = most
        #: How often the shell and the engine did not answer in time, and why they are asked no more.
        self._late = {True: 0, False: 0}
        self._silent = {True: "", False: ""}

    def file(self, question: Question) -> Entry:
        """Write one file, and return what became of it."""
        file = str(self._part / "/".join(map(_for_file, question.file.split("/"))))
        why = "interrupted" if signals.given_up.is_set() else self._silent[question.shell]
        if why:
            return Entry(file, question.what, missing=why)
        try:
            with deadline.within(scaled(_PATIENCE)):
                text = question.ask(self._node)
        except _FAILURES as failed:
            return Entry(file, question.what, missing=self._failed(question, failed))
        self._late[question.shell] = 0
        text, note = self._cut(redact(text).strip())
        _write(self._folder / file, text + "\n")
        return Entry(file, question.what, len(text), note)

    def _failed(self, question: Question, failed: BaseException) -> str:
        kind = "" if isinstance(failed, SwarmlabError) else f"{type(failed).__name__}: "
        why = shown(redact(f"{kind}{failed}"), 300)
        self._late[question.shell] += 1
        gone = isinstance(failed, LabError) and "cannot be reached" in why
        if gone or (
            isinstance(failed, Overdue | LabError) and self._late[question.shell] >= _MOST_LATE and _is_silent(why)
        ):
            self._silent[question.shell] = f"{NOT_ASKED}{why}"
        return why

    def _cut(self, text: str) -> tuple[str, str]:
        """Return the end of a text that is too long for a file, or for what is left of the node's room, and a note."""
        most = max(min(MOST_OF_FILE, self._left), 0)
        note = ""
        if len(text) > most:
            note = f"its first {len(text) - most} of {len(text)} characters are left out"
            text = f"({note})\n{text[len(text) - most :]}"
        self._left -= len(text)
        return text, note


def _is_silent(why: str) -> bool:
    return "does not answer" in why or "did not end" in why


def _findings(
    lab: Lab,
    folder: Path,
    unreached: Mapping[str, str],
    table: Callable[[Sequence[Finding]], list[str]],
    progress: Progress,
) -> tuple[Sequence[Finding], list[Entry]]:
    what = {"json": "findings of preflight", "txt": "the same as a table, with what to do"}
    try:
        found = host.lab_and_swarm(lab, {}, progress=progress, unreached=unreached)
    except _FAILURES as failed:
        why = shown(redact(f"{type(failed).__name__}: {failed}"), 300)
        return (), [Entry(f"{_FINDINGS}.json", what["json"], missing=why)]
    texts = {
        "json": json.dumps([finding.to_json() for finding in found], indent=1, ensure_ascii=False),
        "txt": "\n".join(table(found)),
    }
    entries = []
    for ending, text in texts.items():
        clean = redact(text)
        _write(folder / f"{_FINDINGS}.{ending}", clean + "\n")
        entries.append(Entry(f"{_FINDINGS}.{ending}", what[ending], len(clean)))
    return found, entries


def _about(lab: Lab, more: Mapping[str, str]) -> str:
    facts = {
        "bundle of": f"{lab.name} ({lab.kind})",
        "made": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "on": socket.gethostname(),
        "by": shlex.join(sys.argv),
        "swarmlab": suite_version(),
        "Python": platform.python_version(),
        "system": platform.platform(),
        **more,
    }
    return redact("\n".join(f"{name}: {text}" for name, text in facts.items())) + "\n"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="replace")


def _for_file(name: str) -> str:
    """Return a name as that of a file."""
    return re.sub(r"[^\w.-]+", "-", name).lstrip(".") or "unnamed"
