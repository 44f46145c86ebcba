"""The likeness of a swarm that exists: what can be copied of it into a lab, as plain data read from a manager.

Nothing is changed there, and no secret is taken from it: of environments and labels of services the names, of configs
and secrets the names and sizes. What is left out is told beside what was copied.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from swarmlab import evidence
from swarmlab.cluster.node import Node
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress
from swarmlab.images.engines import EngineChoice, engine_choice, known_engines
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.rehearsal import specs
from swarmlab.versions import parsed

#: Where it is written, in the folder of the rehearsal.
FILE = "likeness.json"
#: So many nodes of a swarm are rehearsed, and so many of them as managers: more are too much for one machine.
MOST_NODES, MOST_MANAGERS = 9, 7
#: Bounds of settings within which a rehearsal can be judged on one machine: heartbeats in ns, remembered tasks.
HEARTBEATS, LEAST_HISTORY = (int(5e9), int(10e9)), 2


class Reader:
    """Asks a manager of a swarm that exists. It can do nothing but ask: its engine is sent no method but GET."""

    def __init__(self, manager: Node) -> None:
        """Refuse from now on, at the connection itself, whatever is no question.

        Args:
            manager: a node that serves the cluster's API.
        """
        self._manager = manager
        api = manager.engine.api
        send = api.send

        def only_get(request: requests.PreparedRequest, **how: Any) -> requests.Response:
            if request.method != "GET":
                raise LabError(f"{manager} is only read, and not sent {request.method} {request.path_url}")
            return send(request, **how)

        api.send = only_get  # type: ignore[method-assign]

    def get(self, path: str, **query: Any) -> Any:
        """What the manager answers to GET *path*."""
        return self._manager.ask("GET", path, **query)


@dataclass(frozen=True)
class Likeness:
    """What is copied of a swarm, as it stands in `FILE`.

    Attributes:
        told: cluster, inventory, nodes, settings, networks, configs, secrets, services; what is left out, and the
            limits that this sets to a rehearsal, in sentences. A node has its own name and, as `host`, its copy's.
    """

    told: dict[str, Any]

    @classmethod
    def load(cls, file: Path) -> Likeness:
        """Read it back from a file.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            return cls(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as failed:
            raise UsageError(f"likeness {file}: cannot be read: {failed}") from failed

    def write(self, file: Path) -> None:
        """Write it to a file."""
        file.write_text(json.dumps(self.told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def start(self) -> dict[str, EngineChoice]:
        """The engine that each node of the lab begins with, by its host name, the managers first."""
        return {node["host"]: engine_choice(node["suite"]) for node in self.told["nodes"]}

    @property
    def oldest(self) -> EngineChoice:
        """The oldest engine that the lab begins with."""
        return min(self.start.values(), key=lambda choice: choice.numbers)

    @property
    def managers(self) -> int:
        """How many of the nodes are managers."""
        return sum(node["role"] == "manager" for node in self.told["nodes"])

    @property
    def workers(self) -> int:
        """How many are workers."""
        return len(self.told["nodes"]) - self.managers

    def hosts(self) -> dict[str, str]:
        """The host name of each node's copy, by the node's own."""
        return {node["name"]: node["host"] for node in self.told["nodes"]}

    def other_engines(self) -> list[str]:
        """The nodes whose engine is another in the lab, in words."""
        return [
            f"{node['name']} runs {node['engine']}, rehearsed as {node['rehearsed']}"
            for node in self.told["nodes"]
            if parsed(node["engine"]) != parsed(node["rehearsed"])
        ]


def read(known: Inventory, workers: int | None, hosts: Sequence[str], progress: Progress) -> Likeness:
    """The likeness of the swarm that an inventory names.

    Args:
        known: the inventory.
        workers: how many of its workers are copied; None for as many as can be.
        hosts: the host names that nodes of the lab have.
        progress: called with a line for every step that takes time.

    Raises:
        UsageError: the swarm cannot be reached, or no lab can be like it.
    """
    lab = InventoryLab(known, progress=progress)
    try:
        lab.connect(to_judge=False)
        progress(f"reading swarm {lab.cluster}, which is only asked")
        asked = Reader(lab.manager)
        answers = {name: asked.get(f"/{name}") for name in ("swarm", "nodes", "configs", "secrets", "services")}
        answers["networks"] = asked.get("/networks", filters={"scope": ["swarm"]})
    finally:
        lab.disconnect()
    return of_answers(answers, known.source, workers, hosts)


def of_answers(answers: Mapping[str, Any], source: str, workers: int | None, hosts: Sequence[str]) -> Likeness:
    """The likeness that a manager's answers make; see `read`.

    Args:
        answers: what it answers to GET /swarm, /nodes, /networks, /configs, /secrets and /services, by those words.
        source: the inventory, in words.
        workers: see `read`.
        hosts: see `read`.

    Raises:
        UsageError: no lab can be like it.
    """
    left: list[str] = []
    limits: list[str] = []
    nodes = _nodes(answers["nodes"], workers, hosts, left, limits)
    networks = {one["Id"]: one for one in answers["networks"]}
    told = {
        "cluster": answers["swarm"]["ID"],
        "inventory": source,
        "read": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "nodes": nodes,
        "settings": _settings(answers["swarm"], left, limits),
        "networks": list(specs.networks(networks.values(), left)),
        # The list of configs comes with their content, of which its size alone is kept.
        "configs": [{"name": one["Spec"]["Name"], "bytes": specs.size(one["Spec"])} for one in answers["configs"]],
        "secrets": [{"name": one["Spec"]["Name"]} for one in answers["secrets"]],
    }
    overlays = {one["name"] for one in told["networks"]}
    services = [specs.service(one["Spec"], networks, overlays, left) for one in answers["services"]]
    told["services"] = specs.bounded([one for one in services if one], len(nodes), left, limits)
    left.append("Images, values of environments and labels of services, and what configs, secrets and volumes hold.")
    told["left_out"], told["limits"] = left, limits
    made = Likeness(evidence.scrub(told))
    limits += [f"{words}." for words in made.other_engines()]
    return made


def nearest(version: str) -> EngineChoice:
    """What can be had for an engine of this version: itself, else the newest that is not newer, else the oldest."""
    known = sorted(known_engines().values(), key=lambda choice: choice.numbers)
    not_newer = [choice for choice in known if choice.numbers <= parsed(version)]
    return (not_newer[-1:] or known[:1])[0]


# Nodes


def _nodes(
    members: Sequence[Mapping[str, Any]], wanted: int | None, hosts: Sequence[str], left: list[str], limits: list[str]
) -> list[dict[str, Any]]:
    up = [one for one in members if one["Status"]["State"] == "ready"]
    left += [
        f"Node {_name(one)}, which is {one['Status']['State']}." for one in members if one["Status"]["State"] != "ready"
    ]
    managers = [one for one in up if one["Spec"]["Role"] == "manager"]
    managers.sort(key=lambda one: not (one.get("ManagerStatus") or {}).get("Leader"))
    workers = _various([one for one in up if one["Spec"]["Role"] != "manager"])
    if wanted is not None and wanted > len(workers):
        raise UsageError(f"--workers {wanted}: the swarm has {len(workers)}; leave it out, or take fewer")
    most = MOST_NODES - min(len(managers), MOST_MANAGERS)
    if wanted is not None and wanted > most:
        raise UsageError(f"--workers {wanted}: a likeness has at most {MOST_NODES} nodes; take {most} or fewer")
    chosen = [*managers[:MOST_MANAGERS], *workers[: most if wanted is None else wanted]]
    if len(chosen) < 3:
        raise UsageError(
            f"a rehearsal has 3 nodes or more, as draining one of two loses requests; this swarm gives {len(chosen)}"
        )
    if len(chosen) < len(up):
        kept = [id(one) for one in chosen]
        gone = ", ".join(_name(one) for one in up if id(one) not in kept)
        of = f"{len(managers)} managers and {len(workers)} workers"
        limits.append(
            f"Of {of} {min(len(managers), MOST_MANAGERS)} and {len(chosen) - min(len(managers), MOST_MANAGERS)} were "
            f"rehearsed (at most {MOST_NODES} nodes; --workers N takes fewer), without {gone}."
        )
    return [_node(one, host, limits) for one, host in zip(chosen, hosts, strict=False)]


def _various(workers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Workers in an order in which the first differ most: one of each engine and set of labels, then the rest."""
    seen: set[str] = set()
    first: list[Mapping[str, Any]] = []
    rest: list[Mapping[str, Any]] = []
    for one in workers:
        kind = json.dumps([one["Description"]["Engine"]["EngineVersion"], one["Spec"].get("Labels")], sort_keys=True)
        (rest if kind in seen else first).append(one)
        seen.add(kind)
    return [*first, *rest]


def _name(member: Mapping[str, Any]) -> str:
    return str(member["Description"].get("Hostname") or member["ID"])


def _node(member: Mapping[str, Any], host: str, limits: list[str]) -> dict[str, Any]:
    engine = member["Description"]["Engine"]
    choice = nearest(engine["EngineVersion"])
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
        "suite": choice.suite,
        "labels": evidence.redact_labels(member["Spec"].get("Labels") or {}),
        "engine_labels": evidence.redact_labels(engine.get("Labels") or {}),
    }


# Settings


def _settings(swarm: Mapping[str, Any], left: list[str], limits: list[str]) -> dict[str, int]:
    spec = swarm["Spec"]
    if (spec.get("EncryptionConfig") or {}).get("AutoLockManagers"):
        left.append("Autolock: a manager of yours has to be unlocked after its engine was started.")
    if (spec.get("CAConfig") or {}).get("ExternalCAs"):
        left.append("The external CA.")
    for key, default, words in (
        ("DefaultAddrPool", ["10.0.0.0/8"], "The address pool of networks"),
        ("DataPathPort", 4789, "The port of the overlay networks' data"),
    ):
        if swarm.get(key) and swarm[key] != default:
            left.append(f"{words}, {swarm[key]}: the lab has the default.")
    settings = {
        "task_history": (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit", 5),
        "snapshot_interval": (spec.get("Raft") or {}).get("SnapshotInterval", 10000),
        "heartbeat": (spec.get("Dispatcher") or {}).get("HeartbeatPeriod", int(5e9)),
        "certificates": (spec.get("CAConfig") or {}).get("NodeCertExpiry", int(7776e12)),
    }
    least, most = HEARTBEATS
    if not least <= settings["heartbeat"] <= most:
        within = min(max(settings["heartbeat"], least), most)
        words = f"every {settings['heartbeat'] / 1e9:g} s, rehearsed with {within / 1e9:g} s"
        limits.append(f"Nodes send a heartbeat {words}, as all share one machine.")
        settings["heartbeat"] = within
    if settings["task_history"] < LEAST_HISTORY:
        limits.append(f"The history of tasks is {settings['task_history']} long, rehearsed with {LEAST_HISTORY}.")
        settings["task_history"] = LEAST_HISTORY
    return settings
