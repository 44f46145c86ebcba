"""BuildKit's cache on a node. Its records carry no mark of the suite's: what is new is known by when it was made.

Source: https://docs.docker.com/reference/api/engine/version-history/ (`GET /system/df`: 1.42 and 1.52)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, LabError
from swarmlab.wait import State, wait

#: Seconds in which an engine lists its cache. Before API 1.42 it measures all images, containers and volumes, too.
_PATIENCE = 120
#: What such an engine says while it does so for another.
_BUSY = "already running"


def records(node: Node) -> dict[str, float]:
    """Return the records of the cache by id, each with when it was made: seconds since 1970 by the node's clock.

    Raises:
        LabError: the engine does not list them.
    """
    answers: list[dict[str, Any]] = []

    def ask() -> State:
        try:
            answers.append(node.ask("GET", "/system/df", type="build-cache", verbose=1, timeout=_PATIENCE))
        except EngineRefused as refused:
            return State(False, refused.explanation, hopeless=_BUSY not in refused.explanation)
        return State(True)

    wait(ask, f"the engine of {node} to list its build cache", deadline=60, error=LabError)
    usage = answers[0]
    if "BuildCacheUsage" in usage and "BuildCache" not in usage:  # since API 1.52
        listed = usage["BuildCacheUsage"].get("Items")
    elif "BuildCache" in usage or "LayersSize" in usage:  # an engine without BuildKit has no cache
        listed = usage.get("BuildCache")
    else:
        raise LabError(f"the engine of {node} does not list its build cache")
    return {record["ID"]: seconds_of(record.get("CreatedAt", "")) for record in listed or []}


def now(node: Node) -> float:
    """Return a time by the node's clock, in seconds since 1970: every later record, and no present one, is after it.

    Raises:
        SwarmlabError: the engine does not tell.
    """
    time = seconds_of(node.info()["SystemTime"])
    return max([time, *records(node).values()])  # the clock may have been ahead


def since(node: Node, time: float) -> list[str]:
    """Return the ids of the records that were made after a time of `now`, the newest first.

    Raises:
        LabError: the engine does not list them.
    """
    found = records(node)
    return sorted((record for record in found if found[record] > time), key=lambda record: found[record], reverse=True)


def prune(node: Node, wanted: Iterable[str]) -> None:
    """Remove records.

    Args:
        node: the node.
        wanted: their ids, the newest first: a record can be removed only after those that build on it.

    Raises:
        SwarmlabError: the engine refuses, or some are in use.
    """
    left = list(wanted)
    fewer = True
    while left and fewer:
        for record in left:
            node.ask("POST", "/build/prune", all=True, filters={"id": [record]})
        there = records(node)
        before, left = left, [record for record in left if record in there]
        fewer = len(left) < len(before)
    if left:
        raise LabError(f"{len(left)} records of the build cache are in use")
