"""Events of the cluster: what every manager tells of objects that a test makes, changes and removes."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import specification
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, DeadlineExceeded
from swarmlab.evidence import record
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.versions import parsed
from swarmlab.wait import State, wait

#: The engines that tell of configs, and those that filter events by the object that they are of (api>=1.33).
_CONFIGS, _FILTERS = "1.31", "1.33"
#: How many events an engine remembers, of everybody (moby, daemon/events).
_REMEMBERED = 256
#: Seconds at reference speed within which all managers have told of a change.
_SOON = 15.0


@dataclass(frozen=True)
class Change:
    """A change of an object that managers keep.

    Attributes:
        kind: what it is: service, node, network, secret or config.
        action: what became of it: create, update or remove.
        id: its id.
        name: its name.
    """

    kind: str
    action: str
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.action} of {self.kind} {self.name}"

    def told_by(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is of this change."""
        return (event.get("Type"), event.get("Action"), event["Actor"].get("ID")) == (self.kind, self.action, self.id)


@dataclass
class Told:
    """Changes that were made, and the events that managers told.

    Attributes:
        changes: the changes, in their order.
        events: by host name of a manager, its events meanwhile, in their order.
        filtered: by filter, such as ("type", "secret"), and host name, the events that pass it.
        remembered: by host name, the events that a manager still told after all filters were tried. It remembers its
            last ones only, of whatever is done on it.
        overrun: by host name of a manager that may have forgotten events before it was asked for them, how many changes
            had been made each time.
        service: id of the service.
        images: its image before and after the update.
    """

    changes: list[Change]
    events: dict[str, list[dict[str, Any]]]
    filtered: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    remembered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    overrun: dict[str, set[int]] = field(default_factory=dict)
    service: str = ""
    images: tuple[str, str] = ("", "")

    def of(self, *kinds: str) -> list[Change]:
        """Return the changes of objects of these kinds."""
        return [change for change in self.changes if change.kind in kinds]

    def add(self, manager: str, events: Sequence[dict[str, Any]]) -> None:
        """Add all *events* that a manager remembers of the time since the first change."""
        known = self.events[manager]
        new = [event for event in events if event not in known]
        if len(events) >= _REMEMBERED and len(new) == len(events):  # all are younger than what it told before
            self.overrun.setdefault(manager, set()).add(len(self.changes))
        known += new

    def lacking(self, changes: Sequence[Change]) -> dict[str, list[Change]]:
        """Return those of *changes* that a manager did not tell of, by its host name."""
        each = {
            name: [change for change in changes if not any(map(change.told_by, events))]
            for name, events in self.events.items()
        }
        return {name: what for name, what in each.items() if what}

    def missing(self, changes: Sequence[Change]) -> list[str]:
        """Return a sentence for each manager that did not tell of all of *changes*.

        Raises:
            Blocked: all of these managers may have forgotten them before they were asked.
        """
        lacking = self.lacking(changes)
        if lacking and all(self._forgot(name, change) for name, what in lacking.items() for change in what):
            raise Blocked(f"{few(lacking)} had more events than the {_REMEMBERED} that an engine remembers")
        return [f"{name} told nothing of the {few(what, ' and the ')}" for name, what in lacking.items()]

    def _forgot(self, manager: str, change: Change) -> bool:
        """Whether a manager may have forgotten a change: the last when it was overrun, or the one before."""
        number = 1 + self.changes.index(change)
        return any(number in (made, made - 1) for made in self.overrun.get(manager, ()))

    def of_change(self, manager: str, change: Change) -> dict[str, Any]:
        """Return the event that *manager* told of a change."""
        return next(event for event in self.events[manager] if change.told_by(event))


def now(node: Node) -> int:
    """Return the time by the engine's clock, in nanoseconds since 1970."""
    return int(seconds_of(node.info()["SystemTime"]) * 1e9)


def knows(cluster: Swarm, lowest: str) -> bool:
    """Whether every manager's engine knows this version of the API."""
    versions = parallel(lambda node: node.ask("GET", "/version")["ApiVersion"], cluster.managers)
    return all(parsed(version) >= parsed(lowest) for version in versions)


def told(cluster: Swarm) -> Told:
    """Return what the managers tell of a life of each kind of object; it is lived once for all tests of a cluster."""
    result = cluster.keep("events of the cluster", lambda: _live(cluster))
    for name, events in result.events.items():
        record("suite", f"events of {name} meanwhile", "\n".join(map(_line, events)) or "(none)")
    return result


def _line(event: dict[str, Any]) -> str:
    actor = event["Actor"]
    return f"{event.get('scope')} {event['Type']} {event['Action']} {actor.get('ID')} {actor.get('Attributes')}"


def _live(cluster: Swarm) -> Told:
    managers = cluster.managers
    since = dict(zip(managers, parallel(now, managers), strict=True))
    result = Told([], {manager.name: [] for manager in managers})

    def listen() -> None:
        heard = parallel(lambda manager: manager.events(since[manager], now(manager)), managers)
        for manager, events in zip(managers, heard, strict=True):
            result.add(manager.name, events)

    for change in _changes(cluster, result):
        result.changes.append(change)
        listen()  # an engine remembers its last events only, and a busy one has many

    def heard_all() -> State:
        listen()
        lacking = result.lacking(result.changes)
        return State(not lacking, few((f"{name}: {few(what)}" for name, what in lacking.items()), "; "))

    with contextlib.suppress(DeadlineExceeded):  # each test judges what it is about
        wait(heard_all, "every manager to tell of every change", deadline=_SOON)
    for kind, value in _wanted(cluster, result):
        result.filtered[kind, value] = {
            manager.name: manager.events(since[manager], now(manager), {kind: [value]}) for manager in managers
        }
    result.remembered = {manager.name: manager.events(since[manager], now(manager)) for manager in managers}
    return result


def _wanted(cluster: Swarm, result: Told) -> Iterator[tuple[str, str]]:
    """Yield the filters that are tried, each with its value."""
    if not knows(cluster, _FILTERS):
        return
    yield "scope", "swarm"
    yield "type", "secret"
    yield "event", "remove"
    for change in result.changes:
        if change.action == "remove" and change.kind != "network":
            yield change.kind, change.name


def _changes(cluster: Swarm, result: Told) -> Iterator[Change]:
    """Make, change and remove an object of each kind; yield each change when it has been made."""
    ask, label = cluster.manager.ask, {cluster.label: ""}
    network = cluster.create_network("told")
    identity = ask("GET", f"/networks/{network}")["Id"]
    yield Change("network", "create", identity, network)
    kinds = ["secret", "config"] if knows(cluster, _CONFIGS) else ["secret"]
    data = base64.b64encode(b"told").decode()
    kept = {}
    for kind in kinds:
        name = cluster.unique("told")
        kept[kind] = ask("POST", f"/{kind}s/create", body={"Name": name, "Data": data, "Labels": label})["ID"], name
        yield Change(kind, "create", *kept[kind])
        cluster.manager.revise(
            f"/{kind}s/{kept[kind][0]}", lambda spec: spec["Labels"].update({"swarm-conformance.told": "more"})
        )
        yield Change(kind, "update", *kept[kind])
    # No node has the label, so nothing is started.
    before, after = (cluster.image(name).removesuffix(":latest") for name in ("idle", "client"))
    spec = specification(
        cluster.unique("told"), before, labels=label, replicas=1, constraints=["node.labels.swarm-conformance==never"]
    )
    result.service, result.images = ask("POST", "/services/create", body=spec)["ID"], (before, after)
    yield Change("service", "create", result.service, spec["Name"])

    def other(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = after
        spec["Mode"]["Replicated"]["Replicas"] = 2

    cluster.manager.revise(f"/services/{result.service}", other)
    yield Change("service", "update", result.service, spec["Name"])
    ask("DELETE", f"/services/{result.service}")
    yield Change("service", "remove", result.service, spec["Name"])
    for kind, (identity_of, name) in kept.items():
        ask("DELETE", f"/{kind}s/{identity_of}")
        yield Change(kind, "remove", identity_of, name)
    member = cluster.members()[-1]
    path, key = f"/nodes/{member['ID']}", cluster.unique("told")
    cluster.manager.revise(path, lambda spec: spec.setdefault("Labels", {}).update({key: "yes"}))
    yield Change("node", "update", member["ID"], member["Description"]["Hostname"])
    cluster.manager.revise(path, lambda spec: spec["Labels"].pop(key, None))
    cluster.remove_network(network)
    yield Change("network", "remove", identity, network)
