"""Checks of the doctor, and the function that makes all of them at once: none hides what another finds."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import docker

from swarmlab.cluster import deadline
from swarmlab.cluster.node import Node
from swarmlab.errors import SwarmlabError
from swarmlab.evidence import redact
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.preflight.finding import Finding, Level, merged
from swarmlab.wait import scaled

T = TypeVar("T")

#: A check: takes what is looked at, and yields findings. Its docstring says in one line what it looks for.
Look = Callable[[T], Iterator[Finding]]
#: Seconds at reference speed that a node has for one check.
_PATIENCE = 30.0
#: Errors that a node, or an answer of an unexpected form, causes. What was looked for is not known then.
_FAILURES = (SwarmlabError, docker.errors.DockerException, OSError, KeyError, IndexError, TypeError, ValueError)


def examine(checks: Mapping[str, Look[T]], patient: T) -> list[Finding]:
    """Make all checks at once, and return at least one finding of each, in their order.

    A check that fails is a finding of level *unknown*.

    Args:
        checks: the checks by name.
        patient: what they look at.
    """
    return [finding for found in parallel(lambda name: _made(name, checks[name], patient), checks) for finding in found]


def _made(name: str, look: Look[T], patient: T) -> list[Finding]:
    try:
        found = merged(look(patient))
    except _FAILURES as failed:
        found = [_unknown(failed)]
    found = found or [Finding(Level.OK, "nothing is wrong")]
    return [
        replace(one, check=name, summary=redact(one.summary), risk=redact(one.risk), mend=redact(one.mend))
        for one in found
    ]


def _unknown(failed: BaseException, *nodes: str) -> Finding:
    kind = "" if isinstance(failed, SwarmlabError) else f"{type(failed).__name__}: "
    mend = "mend what the reason names, and look again"
    return Finding(Level.UNKNOWN, f"could not be looked at: {kind}{failed}", nodes=nodes, mend=mend)


def on_each(nodes: Iterable[Node], look: Callable[[Node], Iterable[Finding]]) -> Iterator[Finding]:
    """Look at all nodes at once, and yield the findings of each, with its name; one that fails hides no other.

    Args:
        nodes: the nodes.
        look: returns the findings about a node.
    """
    listed = list(nodes)
    for node, found in zip(listed, parallel(functools.partial(_of_node, look), listed, at_once=ELSEWHERE), strict=True):
        yield from (replace(finding, nodes=finding.nodes or (node.name,)) for finding in found)


def _of_node(look: Callable[[Node], Iterable[Finding]], node: Node) -> list[Finding]:
    try:
        with deadline.within(scaled(_PATIENCE)):
            return list(look(node))
    except _FAILURES as failed:
        return [_unknown(failed, node.name)]


def from_line(line: str, level: Level = Level.ERROR, risk: str = "") -> Finding:
    """Return the finding that a line tells: "node NAME (ADDRESS): what is wrong; how to mend it"."""
    said, _, mend = line.partition("; ")
    nodes: tuple[str, ...] = ()
    # The address, and how the node was to be reached, may stand behind its name.
    if named := re.match(r"node (\S+?)((?: \([^()]*\)|, from the jump host \S+)*): ", said):
        nodes = (named[1],)
        said = f"{said[named.end() :]}{named[2]}"
    return Finding(level, said, risk, nodes=nodes, mend=mend or "mend what the reason names, and look again")


def wrong(found: Iterable[Finding]) -> bool:
    """Whether any finding is of something that is wrong, or could not be looked at."""
    return any(one.level.trouble or one.level is Level.UNKNOWN for one in found)
