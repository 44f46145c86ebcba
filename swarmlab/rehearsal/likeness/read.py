"""Reads the likeness of an existing swarm from one of its managers.

Reading changes nothing, and the likeness holds no secret: it has only the names of services' labels and environment
variables, stand-ins for the values of nodes' labels, the names and sizes of configs, and the names of secrets. It lists
what it leaves out.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests

from swarmlab import evidence
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import leads
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress
from swarmlab.images.engines import EngineChoice, engine_choice, known_engines, obtain
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.lists import few
from swarmlab.rehearsal.likeness import restarts
from swarmlab.rehearsal.likeness import services as copies
from swarmlab.rehearsal.likeness.model import (
    AUTOLOCK,
    DATA_PORT,
    EXTERNAL_CA,
    MOST_MANAGERS,
    MOST_NODES,
    POOLS,
    Likeness,
)
from swarmlab.rehearsal.likeness.standins import StandIns
from swarmlab.versions import parsed

#: Bounds within which a rehearsal on one machine can be judged: heartbeat period in nanoseconds, task history.
HEARTBEATS, LEAST_HISTORY = (int(5e9), int(10e9)), 2


class Reader:
    """Reads from a manager of an existing swarm. It refuses to send anything but GET."""

    def __init__(self, manager: Node) -> None:
        """Make the manager's connection refuse every method but GET.

        Args:
            manager: A node that serves the cluster's API.
        """
        self._manager = manager
        api = manager.engine.api
        send = api.send

        def only_get(request: requests.PreparedRequest, **how: Any) -> requests.Response:
            if request.method != "GET":
                raise LabError(f"{manager} is only read: {request.method} {request.path_url} is refused")
            return send(request, **how)

        api.send = only_get  # type: ignore[method-assign]

    def get(self, path: str, **query: Any) -> Any:
        """Return the manager's answer to GET *path*."""
        return self._manager.ask("GET", path, **query)


def read(
    known: Inventory,
    workers: int | None,
    hosts: Sequence[str],
    progress: Progress,
    given: Sequence[EngineChoice] = (),
) -> Likeness:
    """Return the likeness of the swarm that an inventory names.

    Args:
        known: The inventory.
        workers: Number of its workers to copy; None for as many as possible.
        hosts: Host names of the lab's nodes.
        progress: Called with a line for every step that takes time.
        given: Engines that nodes of their versions get.

    Raises:
        UsageError: The swarm cannot be reached, or cannot be copied.
    """
    lab = InventoryLab(known, progress=progress)
    try:
        lab.connect(to_judge=False)
        progress(f"reading swarm {lab.cluster}; nothing on it is changed")
        asked = Reader(lab.manager)
        answers = {name: asked.get(f"/{name}") for name in ("swarm", "nodes", "configs", "secrets", "services")}
        answers["networks"] = asked.get("/networks", filters={"scope": ["swarm"]})
        starts = [*restarts.read(lab.nodes()), *restarts.of_root(answers["swarm"])]
    finally:
        lab.disconnect()
    return of_answers(answers, known.source, workers, hosts, lambda version: same(version, given, progress), starts)


def of_answers(
    answers: Mapping[str, Any],
    source: str,
    workers: int | None,
    hosts: Sequence[str],
    choose: Callable[[str], EngineChoice],
    starts: Sequence[Mapping[str, Any]] = (),
) -> Likeness:
    """Return the likeness from a manager's answers; see `read`.

    Args:
        answers: The answers to GET /swarm, /nodes, /networks, /configs, /secrets and /services, by these names.
        source: File or address of the inventory.
        workers: See `read`.
        hosts: See `read`.
        choose: Returns the engine for a node, by the version of that node's engine.
        starts: What the next start of each node's engine brings (`restarts.read`), and what there is to the root
            certificate.

    Raises:
        UsageError: The swarm cannot be copied.
    """
    left: list[str] = []
    limits: list[str] = []
    standins = StandIns()
    nodes = _nodes(answers["nodes"], workers, hosts, functools.partial(_node, standins, choose, limits), left, limits)
    networks = {raw["Id"]: raw for raw in answers["networks"]}
    data = {
        "cluster": answers["swarm"]["ID"],
        "inventory": source,
        "read": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "nodes": nodes,
        "settings": _settings(answers["swarm"], left, limits),
        "networks": list(copies.networks(networks.values(), left)),
        # The answer holds the content of configs; the likeness keeps its size only.
        "configs": [{"name": raw["Spec"]["Name"], "bytes": copies.size(raw["Spec"])} for raw in answers["configs"]],
        "secrets": [{"name": raw["Spec"]["Name"]} for raw in answers["secrets"]],
        "restarts": list(starts),
    }
    overlays = {raw["name"] for raw in data["networks"]}
    services = [copies.service(raw["Spec"], networks, overlays, standins, left) for raw in answers["services"]]
    data["services"] = copies.bounded([raw for raw in services if raw], len(nodes), left, limits)
    left.append("Images, values of environments and labels, and what configs, secrets and volumes hold.")
    data["left_out"], data["limits"] = left, limits
    made = Likeness(evidence.scrub(data))
    limits += [f"{engine}." for engine in made.other_engines()]
    return made


def same(version: str, given: Sequence[EngineChoice], progress: Progress) -> EngineChoice:
    """Return the engine of this version: one of *given*, Debian's, or else Docker's; if none can be had, the nearest.

    Args:
        version: The version that an engine tells of itself, such as "20.10.24+dfsg1".
        given: Engines that the user named.
        progress: Called with a line for a download, and where the nearest is taken.
    """
    for choice in (*given, *known_engines().values()):
        if choice.numbers == parsed(version):
            return choice
    try:
        choice = engine_choice(".".join(version.split("+")[0].split("-")[0].split(".")[:3]))
        obtain([choice], progress)
    except UsageError as missing:
        choice = nearest(version)
        progress(f"engine {version} is rehearsed as {choice}: {missing}")
    return choice


def nearest(version: str) -> EngineChoice:
    """Return the engine of Debian's nearest to a version: the same, else the newest older one, else the oldest."""
    known = sorted(known_engines().values(), key=lambda choice: choice.numbers)
    not_newer = [choice for choice in known if choice.numbers <= parsed(version)]
    return (not_newer[-1:] or known[:1])[0]


# Nodes


def _nodes(
    members: Sequence[Mapping[str, Any]],
    wanted: int | None,
    hosts: Sequence[str],
    make: Callable[[Mapping[str, Any], str], dict[str, Any]],
    left: list[str],
    limits: list[str],
) -> list[dict[str, Any]]:
    up = [member for member in members if member["Status"]["State"] == "ready"]
    left += [
        f"Node {_name(member)}, which is {member['Status']['State']}."
        for member in members
        if member["Status"]["State"] != "ready"
    ]
    managers = [member for member in up if member["Spec"]["Role"] == "manager"]
    managers.sort(key=lambda member: not leads(member))
    workers = _various([member for member in up if member["Spec"]["Role"] != "manager"])
    if wanted is not None and wanted > len(workers):
        raise UsageError(f"--workers {wanted}: the swarm has {len(workers)}; leave it out, or take fewer")
    most = MOST_NODES - min(len(managers), MOST_MANAGERS)
    if wanted is not None and wanted > most:
        raise UsageError(f"--workers {wanted}: a likeness has at most {MOST_NODES} nodes; take {most} or fewer")
    chosen = [*managers[:MOST_MANAGERS], *workers[: most if wanted is None else wanted]]
    if len(chosen) < 3:
        raise UsageError(
            f"a rehearsal needs 3 nodes, because draining one of two loses requests; this swarm gives {len(chosen)}"
        )
    if len(chosen) < len(up):
        kept = [id(member) for member in chosen]
        gone = few(_name(member) for member in up if id(member) not in kept)
        of = f"{len(managers)} managers and {len(workers)} workers"
        limits.append(
            f"Of {of} {min(len(managers), MOST_MANAGERS)} and {len(chosen) - min(len(managers), MOST_MANAGERS)} were "
            f"rehearsed (at most {MOST_NODES} nodes; --workers N takes fewer), without {gone}."
        )
    return [make(member, host) for member, host in zip(chosen, hosts, strict=False)]


def _various(workers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return *workers* in another order: first one for each pair of engine and labels, then the rest."""
    known: set[str] = set()
    first: list[Mapping[str, Any]] = []
    rest: list[Mapping[str, Any]] = []
    for worker in workers:
        kind = json.dumps(
            [worker["Description"]["Engine"]["EngineVersion"], worker["Spec"].get("Labels")], sort_keys=True
        )
        (rest if kind in known else first).append(worker)
        known.add(kind)
    return [*first, *rest]


def _name(member: Mapping[str, Any]) -> str:
    return str(member["Description"].get("Hostname") or member["ID"])


def _node(
    standins: StandIns,
    choose: Callable[[str], EngineChoice],
    limits: list[str],
    member: Mapping[str, Any],
    host: str,
) -> dict[str, Any]:
    engine = member["Description"]["Engine"]
    choice = choose(engine["EngineVersion"])
    name, availability = _name(member), member["Spec"]["Availability"]
    if availability == "drain":
        limits.append(f"{name} is drained: in the lab it is active, and copied services are kept off it.")
    elif availability == "pause":
        limits.append(f"{name} is paused: in the lab it is active.")
    if name != host:
        limits.append(f"{name} is called {host} in the lab.")
    return {
        "name": name,
        "id": member["ID"],
        "host": host,
        "role": member["Spec"]["Role"],
        "availability": availability,
        "engine": engine["EngineVersion"],
        "rehearsed": choice.version,
        "choice": choice.name,
        "labels": standins.of_labels("node.labels.", member["Spec"].get("Labels") or {}),
        "engine_labels": standins.of_labels("engine.labels.", engine.get("Labels") or {}),
    }


# Settings


def _settings(swarm: Mapping[str, Any], left: list[str], limits: list[str]) -> dict[str, int]:
    spec = swarm["Spec"]
    if (spec.get("EncryptionConfig") or {}).get("AutoLockManagers"):
        left.append(f"{AUTOLOCK}: after each restart of its engine, a manager of yours must be unlocked.")
    if (spec.get("CAConfig") or {}).get("ExternalCAs"):
        left.append(f"{EXTERNAL_CA}.")
    for key, default, name in (
        ("DefaultAddrPool", ["10.0.0.0/8"], POOLS),
        ("DataPathPort", 4789, DATA_PORT),
    ):
        if swarm.get(key) and swarm[key] != default:
            left.append(f"{name}, {swarm[key]}: the lab has the default.")
    settings = {
        "task_history": (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit", 5),
        "snapshot_interval": (spec.get("Raft") or {}).get("SnapshotInterval", 10000),
        "heartbeat": (spec.get("Dispatcher") or {}).get("HeartbeatPeriod", int(5e9)),
        "certificates": (spec.get("CAConfig") or {}).get("NodeCertExpiry", int(7776e12)),
    }
    least, most = HEARTBEATS
    if not least <= settings["heartbeat"] <= most:
        within = min(max(settings["heartbeat"], least), most)
        period = f"every {settings['heartbeat'] / 1e9:g} s, rehearsed with {within / 1e9:g} s"
        limits.append(f"Nodes send a heartbeat {period}, because all share one machine.")
        settings["heartbeat"] = within
    if settings["task_history"] < LEAST_HISTORY:
        limits.append(f"The task history limit is {settings['task_history']}, rehearsed with {LEAST_HISTORY}.")
        settings["task_history"] = LEAST_HISTORY
    return settings
