"""Whether the engines of a swarm come back with what is set on its nodes, as its own and as a later engine.

A lab's engines have the lab's settings, and certificates that are minutes old. What an engine of the swarm is told, and
how long its certificate is valid, is therefore read and judged, not tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.errors import SwarmlabError
from swarmlab.images.engines import EngineChoice
from swarmlab.parallel import parallel
from swarmlab.preflight import ahead, refused
from swarmlab.preflight.checks import look
from swarmlab.preflight.finding import Level, Unknown
from swarmlab.preflight.model import NodeView, Sight
from swarmlab.preflight.sight import answers
from swarmlab.versions import parsed

#: The checks of preflight that say whether an engine comes back, and what they read of a node.
_CHECKS = ("engine-restart", "engine-firewall", "node-certificates")
_READ = (*ahead.READ, "certificate")


def read(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Return for each node what its engine's next start brings, without values of its settings.

    Nodes are asked by GET, and by one shell script that reads files and has the engine's own program validate them.
    """
    return parallel(_of_node, nodes)


def _of_node(node: Node) -> dict[str, Any]:
    view = NodeView(node.name)
    try:
        view.info, view.version = node.ask("GET", "/info"), node.ask("GET", "/version")
    except SwarmlabError as failed:
        return of_view(view) | {"findings": [_found(Level.UNKNOWN, f"its engine does not answer: {failed}", "")]}
    view.answers = answers(node, view, _READ)
    return of_view(view)


def of_root(swarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be said of a swarm's root certificate, as `read` does of a node; nothing if all is well.

    Args:
        swarm: a manager's answer to ``GET /swarm``.
    """
    sight = Sight([], asked="a manager", swarm={"TLSInfo": swarm.get("TLSInfo")})
    told = _findings("root-certificate", sight)
    return [{"name": "the swarm", "engine": "", "driver": "", "options": [], "findings": told}] if told else []


def of_view(view: NodeView) -> dict[str, Any]:
    """Return what the next start of a node's engine brings, from what was read of the node."""
    found = [one for check in _CHECKS for one in _findings(check, Sight([view]))]
    options: list[str] = []
    driver = str(view.info.get("Driver", ""))
    try:
        known = ahead.of_view(view).settings
        options = sorted({*known.file, *known.flags, *known.unknown})
        driver = str(known.get("storage-driver") or driver)
    except (SwarmlabError, Unknown, ahead.Unreadable):
        pass  # the findings say so
    return {
        "name": view.name,
        "engine": str(view.version.get("Version", "")),
        "driver": driver,
        "options": options,
        "findings": found,
    }


def _findings(check: str, sight: Sight) -> list[dict[str, str]]:
    return [
        _found(one.level, one.summary, one.mend or one.risk)
        for one in look(check, sight)
        if one.level not in (Level.OK, Level.INFO)
    ]


def _found(level: Level, seen: str, mend: str) -> dict[str, str]:
    return {"level": str(level), "seen": seen, "mend": mend}


def against(restarts: Iterable[Mapping[str, Any]], path: Sequence[EngineChoice]) -> Iterator[str]:
    """Yield why engines of the swarm do not come back, now or as one of the engines that they are to get.

    Args:
        restarts: what `read` returned.
        path: the engines that the nodes get, in order.
    """
    for node in restarts:
        yield from _told(node, lambda level: level == Level.ERROR)
        options = [str(option) for option in node["options"]]
        own = parsed(node["engine"])
        known = refused.unknown_to(options, own)
        later = [engine for engine in path if engine.numbers > own]  # it is given no other
        for engine in later:
            lost = [one for one in refused.unknown_to(options, engine.numbers) if one not in known]
            if lost:
                yield (
                    f"{node['name']}: engine {engine.version} does not know {', '.join(lost)}, and does not start with "
                    f"it: remove it from daemon.json and the engine's command line before the step."
                )
                break
        for engine in later:
            gone = refused.GONE_DRIVERS.get(str(node["driver"]), (999,))
            if own < gone <= engine.numbers:
                yield (
                    f"{node['name']}: engine {engine.version} has no storage driver {node['driver']}: move the node to "
                    "overlay2 before the step (its images and containers are lost)."
                )
                break


def besides(restarts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what changes with the restarts of engines, and what could not be read."""
    for node in restarts:
        yield from _told(node, lambda level: level != Level.ERROR)


def _told(node: Mapping[str, Any], which: Any) -> Iterator[str]:
    for found in node["findings"]:
        if which(Level(found["level"])):
            mend = f"; {found['mend']}" if found["mend"] else ""
            unread = "it is not known whether it comes back: " if found["level"] == "unknown" else ""
            yield f"{node['name']}: {unread}{found['seen']}{mend}."
