"""A service, its specification and its tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swarmlab.cluster.node import Answer, Node
from swarmlab.cluster.refusals import Refusals
from swarmlab.errors import DeadlineExceeded
from swarmlab.lists import few
from swarmlab.wait import State, scaled, wait

#: Labels that an engine puts on the container of a task: ids of task and service, and the service's name.
TASK_LABEL = "com.docker.swarm.task.id"
SERVICE_LABEL = "com.docker.swarm.service.id"
SERVICE_NAME_LABEL = "com.docker.swarm.service.name"
#: The states of a task that has ended, and does not run again.
ENDED = {"complete", "failed", "shutdown", "rejected", "orphaned", "remove"}


#: States of a task that no node was found for yet.
UNASSIGNED = ("new", "pending")
#: Seconds at reference speed after which managers will not remove such a task any more. They take less than one.
_KEPT = 20.0


def over(state: str, desired: str) -> bool:
    """Whether a task is over: it has ended, or its desired state became shutdown before it had a node.

    In the second case its state stays new or pending.

    Args:
        state: the task's state.
        desired: its desired state.
    """
    return state in ENDED or (state in UNASSIGNED and desired == "shutdown")


def specification(
    name: str,
    image: str,
    *,
    labels: Mapping[str, str],
    replicas: int = 1,
    everywhere: bool = False,
    command: Sequence[str] = (),
    publish: Mapping[int, int] | None = None,
    publish_mode: str = "ingress",
    protocol: str = "tcp",
    ports: Sequence[Mapping[str, Any]] = (),
    endpoint_mode: str = "",
    networks: Sequence[str | Mapping[str, Any]] = (),
    constraints: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    health: Sequence[str] = (),
    health_every: float = 5,
    stop_grace: float | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    limits: Mapping[str, int] | None = None,
    reservations: Mapping[str, int] | None = None,
    restart: Mapping[str, Any] | None = None,
    update: Mapping[str, Any] | None = None,
    rollback: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a service's specification for the API. It holds the given settings only, so the engine sets the defaults.

    Args:
        name: the service's name.
        image: image reference.
        labels: labels of the service.
        replicas: number of replicas.
        everywhere: make a global service, one task on every node; *replicas* is then unused.
        command: replaces the image's command.
        publish: target port of the container by published port of the cluster.
        publish_mode: ingress (the routing mesh) or host.
        protocol: protocol of the published ports: tcp or udp.
        ports: further published ports with the API's keys (Protocol, TargetPort, PublishedPort, PublishMode).
        endpoint_mode: vip or dnsrr.
        networks: overlay networks, by name or with the API's keys (Target, Aliases).
        constraints: placement constraints such as ``node.hostname==master``.
        environment: environment variables of the container.
        health: command of the health check.
        health_every: seconds between two health checks.
        stop_grace: seconds between SIGTERM and SIGKILL.
        mounts: mounts with the API's keys (Type, Source, Target …).
        limits: resources that a task may use, with the API's keys (NanoCPUs, MemoryBytes).
        reservations: resources that a node must have free for a task, with the same keys.
        restart: restart policy with the API's keys (Condition, Delay in ns, MaxAttempts …).
        update: update policy with the API's keys (Parallelism, Delay in ns, Order, FailureAction …).
        rollback: rollback policy, with the same keys.

    Source:
        https://docs.docker.com/reference/api/engine/, operation ServiceCreate
    """
    container: dict[str, Any] = {"Image": image}
    if command:
        container["Command"] = list(command)
    if environment:
        container["Env"] = [f"{name}={value}" for name, value in environment.items()]
    if health:
        container["Healthcheck"] = {
            "Test": ["CMD", *health],
            "Interval": int(health_every * 1e9),
            "Timeout": int(30e9),
            "Retries": 5,
        }
    if stop_grace is not None:
        container["StopGracePeriod"] = int(stop_grace * 1e9)
    if mounts:
        container["Mounts"] = [dict(mount) for mount in mounts]
    template: dict[str, Any] = {"ContainerSpec": container}
    if limits or reservations:
        resources = {"Limits": limits, "Reservations": reservations}
        template["Resources"] = {kind: dict(what) for kind, what in resources.items() if what}
    if restart:
        template["RestartPolicy"] = dict(restart)
    if networks:
        template["Networks"] = [
            {"Target": network} if isinstance(network, str) else dict(network) for network in networks
        ]
    if constraints:
        template["Placement"] = {"Constraints": list(constraints)}
    endpoint: dict[str, Any] = {}
    if endpoint_mode:
        endpoint["Mode"] = endpoint_mode
    if publish or ports:
        endpoint["Ports"] = [
            {"Protocol": protocol, "TargetPort": target, "PublishedPort": published, "PublishMode": publish_mode}
            for published, target in (publish or {}).items()
        ] + [dict(port) for port in ports]
    return {
        "Name": name,
        "Labels": dict(labels),
        "TaskTemplate": template,
        "Mode": {"Global": {}} if everywhere else {"Replicated": {"Replicas": replicas}},
        **({"EndpointSpec": endpoint} if endpoint else {}),
        **({"UpdateConfig": dict(update)} if update else {}),
        **({"RollbackConfig": dict(rollback)} if rollback else {}),
    }


@dataclass(frozen=True)
class Task:
    """A task as a manager lists it.

    Attributes:
        id: the task's id.
        slot: its slot, 0 in a global service.
        node: host name of its node, empty before it is assigned to one.
        state: its state (new … orphaned).
        desired: its desired state.
        container: id of its container, empty before there is one.
        addresses: its IPv4 address by network name.
        image: image reference of its specification.
        message: the node's message about the state.
        error: why it failed, empty if it did not.
        exit_code: exit code of its container, None while there is none.
        at: time of its state, by its node's clock (RFC 3339).
        created: time of its creation, by the leader's clock (RFC 3339).
        updated: time of its last change, by the leader's clock (RFC 3339).
    """

    id: str
    slot: int
    node: str
    state: str
    desired: str
    container: str
    addresses: dict[str, str]
    image: str
    message: str
    error: str
    exit_code: int | None = None
    at: str = ""
    created: str = ""
    updated: str = ""

    @classmethod
    def from_api(cls, raw: dict[str, Any], names: Mapping[str, str]) -> Task:
        """Return a task of the API's answer; *names* has host names by node id."""
        status = raw["Status"]
        return cls(
            id=raw["ID"],
            slot=raw.get("Slot", 0),
            node=names.get(raw.get("NodeID", ""), raw.get("NodeID", "")),
            state=status["State"],
            desired=raw["DesiredState"],
            container=(status.get("ContainerStatus") or {}).get("ContainerID", ""),
            addresses={
                attached["Network"]["Spec"]["Name"]: attached["Addresses"][0].split("/")[0]
                for attached in raw.get("NetworksAttachments") or []
                if attached.get("Addresses")
            },
            image=raw["Spec"]["ContainerSpec"]["Image"].split("@")[0],
            message=status.get("Message", ""),
            error=status.get("Err", ""),
            exit_code=(status.get("ContainerStatus") or {}).get("ExitCode"),
            at=status.get("Timestamp", ""),
            created=raw.get("CreatedAt", ""),
            updated=raw.get("UpdatedAt", ""),
        )

    @property
    def alive(self) -> bool:
        """Whether both state and desired state are running."""
        return self.state == "running" and self.desired == "running"

    def __str__(self) -> str:
        why = f" ({self.error})" if self.error else ""
        return f"{self.slot or ''}@{self.node or 'no node'} {self.state}, wanted {self.desired}{why}"


class Managers(Protocol):
    """The part of a swarm that a service uses. `swarmlab.cluster.swarm.Swarm` implements it."""

    @property
    def manager(self) -> Node:
        """A node that serves the cluster's API."""

    def names(self, asked: Node | None = None) -> dict[str, str]:
        """Host names of the members by node id."""


class Service:
    """A service of a swarm, read and changed through the swarm's managers.

    Attributes:
        swarm: its swarm.
        id: its id.
        name: its name.

    Example:
        web = cluster.create_service("web", "web:1", replicas=3)
        web.wait_running(3)
        web.scale(5)
        web.expect_running(5)
    """

    def __init__(self, swarm: Managers, id: str, name: str) -> None:
        self.swarm = swarm
        self.id = id
        self.name = name
        self._refusals = Refusals()
        self._unassigned: dict[str, float] = {}

    def __str__(self) -> str:
        return self.name

    def inspect(self) -> dict[str, Any]:
        """Return the service as the API describes it."""
        answer: dict[str, Any] = self.swarm.manager.ask("GET", f"/services/{self.id}")
        return answer

    def tasks(self) -> list[Task]:
        """Return all tasks that the managers list, also ended ones, by slot."""
        manager = self.swarm.manager
        raw = manager.ask("GET", "/tasks", filters={"service": [self.id]})
        names = self.swarm.names(manager)
        return sorted((Task.from_api(task, names) for task in raw), key=lambda task: (task.slot, task.node))

    def running(self) -> list[Task]:
        """Return the tasks whose state and desired state are running."""
        return [task for task in self.tasks() if task.alive]

    def containers(self, node: Node, *, all: bool = False) -> list[dict[str, Any]]:
        """Return the service's running containers on *node*, or *all*, as its engine lists them."""
        return node.containers(all=all, label=f"{SERVICE_LABEL}={self.id}")

    def converged(
        self, replicas: int, where: Callable[[Task], bool] = lambda _: True, tasks: list[Task] | None = None
    ) -> State:
        """Whether exactly *replicas* tasks run and no other task is about to start or to end.

        A node that refuses tasks of the service for good makes it hopeless (see `swarmlab.cluster.refusals`), and so
        does a task without a node that managers should have removed long ago.

        Args:
            replicas: number of running tasks.
            where: a condition that every running task must meet.
            tasks: the service's tasks, if they were just listed.
        """
        tasks = self.tasks() if tasks is None else tasks
        moving = [task for task in tasks if not over(task.state, task.desired) and not task.alive]
        alive = [task for task in tasks if task.alive]
        recent = tasks if len(tasks) < 12 else [task for task in tasks if task.state not in ENDED]
        recent = sorted(recent, key=lambda task: task.alive)  # what is not well is named first
        done = len(alive) == replicas and not moving and all(where(task) for task in alive)
        refused = self._refusals.note(tasks)
        if refused and not done:
            return State(False, f"{len(alive)} running, wanted {replicas}: {refused}", refused=True)
        summary = f"{len(alive)} running, wanted {replicas}: " + (few(map(str, recent), "; ") or "no task")
        return State(done, summary, hopeless=self._kept(tasks) and not done)

    def _kept(self, tasks: list[Task]) -> bool:
        """Whether managers have kept a task that is to be removed, and has no node, for much longer than they take.

        Source: moby/swarmkit#2555, by which some engines never remove it.
        """
        now = time.monotonic()
        left = [task.id for task in tasks if not task.node and task.state in UNASSIGNED and task.desired == "remove"]
        self._unassigned = {id: self._unassigned.get(id, now) for id in left}
        return any(now - since > scaled(_KEPT) for since in self._unassigned.values())

    def updated(self) -> State:
        """Whether the swarm has completed the service's update; hopeless once it has paused it or rolls it back."""
        now = self.inspect().get("UpdateStatus") or {}
        stage = str(now.get("State", ""))
        given_up = stage == "paused" or stage.startswith("rollback")
        why = f": {now['Message']}" if given_up and now.get("Message") else ""
        return State(stage == "completed", f"the update is {stage or 'not begun'}{why}", hopeless=given_up)

    def replaced(
        self, replicas: int, where: Callable[[Task], bool] = lambda _: True, tasks: list[Task] | None = None
    ) -> State:
        """`converged` after an update; hopeless once the swarm has paused it or rolls it back."""
        state = self.converged(replicas, where, tasks)
        if state or state.refused:
            return state
        update = self.updated()
        return State(False, f"{update.summary}; {state.summary}", hopeless=update.hopeless)

    def wait_running(self, replicas: int, *, error: type[Exception] = DeadlineExceeded) -> list[Task]:
        """Wait until exactly *replicas* tasks run, as a precondition of a judgement, and return them.

        Raises:
            DeadlineExceeded: they do not run in time; or an *error*, if it is given.
            TasksRefused: a node refuses them for good.
        """
        wait(lambda: self.converged(replicas), f"{replicas} running tasks of {self.name}", deadline=90, error=error)
        return self.running()

    def expect_running(self, replicas: int) -> list[Task]:
        """`wait_running` where a claim promises it: a missed deadline raises an AssertionError."""
        return self.wait_running(replicas, error=AssertionError)

    def update(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Update the service: *change* alters its present specification in place (see `Node.revise`).

        Example:
            web.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=cluster.image("web:2")))
        """
        self.swarm.manager.revise(f"/services/{self.id}", change)

    def rollback(self) -> None:
        """Roll the service back to its previous specification.

        Raises:
            EngineRefused: it has no previous specification.
        """
        self.swarm.manager.revise(f"/services/{self.id}", lambda _: None, rollback="previous")

    def renew(self) -> None:
        """Replace every task without another change of the specification, as ``docker service update --force`` does."""

        def change(spec: dict[str, Any]) -> None:
            spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1

        self.update(change)

    def scale(self, replicas: int) -> None:
        """Set the number of replicas."""

        def change(spec: dict[str, Any]) -> None:
            spec["Mode"]["Replicated"]["Replicas"] = replicas

        self.update(change)

    def move_to(self, node: Node) -> Task:
        """Constrain the service, which has one replica, to *node*; return its task once it runs there alone."""

        def change(spec: dict[str, Any]) -> None:
            spec["TaskTemplate"].setdefault("Placement", {})["Constraints"] = [f"node.hostname=={node.name}"]

        self.update(change)
        reason = f"the one task of {self.name} to run on {node}"
        wait(lambda: self.replaced(1, lambda task: task.node == node.name), reason, deadline=60)
        return self.running()[0]

    def get(self, node: Node, path: str = "/", *, timeout: float = 5.0) -> Answer:
        """Send an HTTP GET to the service's first published port at *node*'s address."""
        return node.get(self.published(), path, timeout=timeout)

    def published(self) -> int:
        """Return the service's first published port."""
        port: int = self.inspect()["Endpoint"]["Ports"][0]["PublishedPort"]
        return port

    def virtual_address(self, network: str) -> str:
        """Return the service's virtual IPv4 address on the network of this name.

        Raises:
            AssertionError: it has none.
        """
        identity = self.swarm.manager.ask("GET", f"/networks/{network}")["Id"]
        for address in self.inspect()["Endpoint"].get("VirtualIPs", []):
            if address["NetworkID"] == identity:
                given: str = address["Addr"].split("/")[0]
                return given
        raise AssertionError(f"{self.name} has no virtual address on {network}")

    def remove(self) -> None:
        """Remove the service."""
        self.swarm.manager.ask("DELETE", f"/services/{self.id}")
