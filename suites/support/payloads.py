"""Configs and secrets of a test, services that have them, and what their tasks read."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.wait import eventually

#: Kinds by their path in the API, and the word for one of each.
WORDS = {"configs": "config", "secrets": "secret"}
#: An update that replaces the tasks one after the other, without a pause.
ONE_BY_ONE = {"Parallelism": 1, "Delay": 0}


@dataclass(frozen=True)
class Payload:
    """A config or secret that a test made.

    Attributes:
        kind: configs or secrets.
        id: its id.
        name: its name.
        data: its content.
    """

    kind: str
    id: str
    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        """The word for its kind, and its name."""
        return f"{WORDS[self.kind]} {self.name}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/{self.kind}/{self.id}"

    def at(self, target: str, *, uid: str = "0", gid: str = "0", mode: int = 0o444) -> dict[str, Any]:
        """Return what a service's specification has of it.

        Args:
            target: the file in the container; of a secret it may be relative to /run/secrets.
            uid: the file's owner.
            gid: the file's group.
            mode: the file's mode.
        """
        word = WORDS[self.kind].capitalize()
        file = {"Name": target, "UID": uid, "GID": gid, "Mode": mode}
        return {f"{word}ID": self.id, f"{word}Name": self.name, "File": file}


def value() -> str:
    """Return a new text that occurs nowhere else."""
    return secrets.token_hex(16)


def body(cluster: Swarm, kind: str, data: bytes, *, name: str = "", template: bool = False) -> dict[str, Any]:
    """Return the body of a request that creates a config or secret.

    Args:
        cluster: the swarm.
        kind: configs or secrets.
        data: the content.
        name: the full name; a new one if empty.
        template: whether each task gets the content with its placeholders filled in.
    """
    spec: dict[str, Any] = {"Name": name or cluster.unique(WORDS[kind]), "Labels": {cluster.label: ""}}
    if template:
        spec["Templating"] = {"Name": "golang"}
    return {**spec, "Data": base64.b64encode(data).decode()}


def make(cluster: Swarm, kind: str, data: bytes | str, *, name: str = "", template: bool = False) -> Payload:
    """Create a config or secret through the manager's API (see `body`).

    Raises:
        EngineRefused: the manager refused.
    """
    data = data.encode() if isinstance(data, str) else data
    spec = body(cluster, kind, data, name=name, template=template)
    made = cluster.manager.ask("POST", f"/{kind}/create", body=spec)
    return Payload(kind, made["ID"], spec["Name"], data)


def create(
    cluster: Swarm,
    name: str,
    *,
    configs: Sequence[Mapping[str, Any]] = (),
    secrets: Sequence[Mapping[str, Any]] = (),
    container: Mapping[str, Any] | None = None,
    image: str = "idle",
    **settings: Any,
) -> Service:
    """Create a service that has configs and secrets.

    Args:
        cluster: the swarm.
        name: the middle of its name.
        configs: what `Payload.at` returns of each config.
        secrets: the same of each secret.
        container: further keys of the API's container specification.
        image: name of a workload image, or a reference with a slash.
        settings: further arguments of `specification`.

    Raises:
        EngineRefused: the manager refused.
    """
    given = {"Configs": [*configs], "Secrets": [*secrets], **(container or {})}

    def alter(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"] |= {key: what for key, what in given.items() if what}

    return cluster.create_service(name, image, alter=alter, **settings)


def on_every_node(cluster: Swarm, name: str, **settings: Any) -> tuple[Service, list[Task]]:
    """Create a global service (see `create`), expect a task of it on every node, and return both."""
    service = create(cluster, name, everywhere=True, **settings)
    return service, service.expect_running(len(cluster.nodes))


def printed(cluster: Swarm, task: Task, command: str) -> str:
    """Return what a shell command prints in the task's container, where it must succeed.

    Raises:
        AssertionError: it failed.
    """
    done = cluster.probe(task).run(command)
    return done.expect(f"in the task on {task.node}, {command}", error=AssertionError).strip()


def expect_content(cluster: Swarm, tasks: Sequence[Task], path: str, payload: Payload) -> None:
    """Judge that *path* in each of *tasks* has the content of *payload*, to the last byte."""
    wanted = hashlib.sha256(payload.data).hexdigest(), len(payload.data)
    for task in tasks:
        place = f"in the task on {task.node}"
        found = cluster.probe(task).run(f"sha256sum < {path} && wc -c < {path}")
        assert found.ok, f"{place} there is no {path}, at which it has the {payload}: {found.output}"
        digest, _, size = found.out.split()
        summary = f"{place}, {path} has {size} bytes and the {payload} {wanted[1]}; the content is another"
        assert (digest, int(size)) == wanted, summary


def expect_replaced(service: Service, before: Sequence[Task]) -> list[Task]:
    """Expect other tasks in place of those that ran *before* an update; return them."""
    old = {task.id for task in before}
    eventually(
        lambda: service.replaced(len(before), lambda task: task.id not in old),
        f"an update of {service} to replace all its tasks",
        deadline=60 + 10 * len(before),
    )
    return service.running()
