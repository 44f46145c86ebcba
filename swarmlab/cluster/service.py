"""A service, its specification and its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmlab.cluster.node import Answer, Node
from swarmlab.errors import DeadlineExceeded
from swarmlab.wait import State, wait

if TYPE_CHECKING:
    from swarmlab.cluster.swarm import Swarm

#: States in which a task has ended; it leaves none of them.
ENDED = {"complete", "failed", "shutdown", "rejected", "orphaned", "remove"}


def over(state: str, desired: str) -> bool:
    """Whether a task has ended, or will never begin: one that was not given to a node before it was to end stays so."""
    return state in ENDED or (state in ("new", "pending") and desired == "shutdown")


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
    """A service's specification as the API takes it; what is not given is left out, so the engine's defaults hold.

    Args:
        name: the service's name.
        image: image reference.
        labels: labels of the service.
        replicas: wanted number of tasks.
        everywhere: a global service, one task on every node; *replicas* is then unused.
        command: replaces the image's command.
        publish: target port of the container by published port of the cluster.
        publish_mode: ingress (the routing mesh) or host.
        protocol: of the published ports, tcp or udp.
        endpoint_mode: vip or dnsrr.
        networks: overlay networks by name, or in the API's own words (Target, Aliases).
        constraints: placement constraints such as ``node.hostname==master``.
        environment: variables of the container.
        health: a command that tells whether the container is healthy.
        health_every: seconds between two such commands.
        stop_grace: seconds between SIGTERM and SIGKILL.
        mounts: what is mounted, in the API's own words (Type, Source, Target …).
        limits: most that a task may use, in the API's own words (NanoCPUs, MemoryBytes).
        reservations: what a node must have free for a task, in the same words.
        restart: when an ended task is replaced, in the API's own words (Condition, Delay in ns, MaxAttempts …).
        update: how updates are done, in the API's own words (Parallelism, Delay, Order, FailureAction …).
        rollback: how a rollback is done, in the same words.
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
    if publish:
        endpoint["Ports"] = [
            {"Protocol": protocol, "TargetPort": target, "PublishedPort": published, "PublishMode": publish_mode}
            for published, target in publish.items()
        ]
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
    """One task as the managers know it.

    Attributes:
        id: the task's id.
        slot: its place among the replicas, 0 in a global service.
        node: host name of the node that it was given to, empty before.
        state: where it is (new … orphaned).
        desired: where the swarm wants it to be.
        container: id of its container, empty before there is one.
        addresses: its IPv4 address by network name.
        image: image reference of its specification.
        message: what the node says of the state.
        error: why it failed, empty if it did not.
        exit_code: exit code of its container, None while there is none.
        at: when it came into its state, by its node's clock (RFC 3339).
        created: when the managers made it, by the leader's clock (RFC 3339).
        updated: when the managers last changed what they know of it, by the same clock.
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
        """Read a task of the API; *names* gives host names by node id."""
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
        """Whether the task runs and is meant to."""
        return self.state == "running" and self.desired == "running"

    def __str__(self) -> str:
        why = f" ({self.error})" if self.error else ""
        return f"{self.slot or ''}@{self.node or 'no node'} {self.state}, wanted {self.desired}{why}"


class Service:
    """A service of a swarm, asked and changed through the swarm's managers."""

    def __init__(self, swarm: Swarm, id: str, name: str) -> None:
        self.swarm = swarm
        self.id = id
        self.name = name

    def __str__(self) -> str:
        return self.name

    def inspect(self) -> dict[str, Any]:
        """The service as the API gives it."""
        answer: dict[str, Any] = self.swarm.manager.ask("GET", f"/services/{self.id}")
        return answer

    def tasks(self) -> list[Task]:
        """All tasks that the managers still remember, by slot."""
        manager = self.swarm.manager
        raw = manager.ask("GET", "/tasks", filters={"service": [self.id]})
        names = self.swarm.names(manager)
        return sorted((Task.from_api(task, names) for task in raw), key=lambda task: (task.slot, task.node))

    def running(self) -> list[Task]:
        """The tasks that run and are meant to."""
        return [task for task in self.tasks() if task.alive]

    def converged(
        self, replicas: int, where: Callable[[Task], bool] = lambda _: True, tasks: list[Task] | None = None
    ) -> State:
        """Whether exactly *replicas* tasks run, all of them as *where* wants, and none is on its way in or out.

        *tasks* are those of a look that was taken already.
        """
        tasks = self.tasks() if tasks is None else tasks
        moving = [task for task in tasks if not over(task.state, task.desired) and not task.alive]
        alive = [task for task in tasks if task.alive]
        recent = tasks if len(tasks) < 12 else [task for task in tasks if task.state not in ENDED]
        done = len(alive) == replicas and not moving and all(where(task) for task in alive)
        return State(done, f"{len(alive)} running, wanted {replicas}: " + ("; ".join(map(str, recent)) or "no task"))

    def wait_running(self, replicas: int, *, error: type[Exception] = DeadlineExceeded) -> list[Task]:
        """Wait until exactly *replicas* tasks run, as the way to a judgement, and give them."""
        wait(lambda: self.converged(replicas), f"{replicas} running tasks of {self.name}", deadline=90, error=error)
        return self.running()

    def expect_running(self, replicas: int) -> list[Task]:
        """`wait_running` where a claim promises it: if it does not come about, that is an AssertionError."""
        return self.wait_running(replicas, error=AssertionError)

    def update(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the specification in place: *change* is given the present one and alters it."""
        self.swarm.manager.revise(f"/services/{self.id}", change)

    def rollback(self) -> None:
        """Have the managers bring back the specification before the present one.

        Raises:
            EngineRefused: there is none.
        """
        self.swarm.manager.revise(f"/services/{self.id}", lambda _: None, rollback="previous")

    def scale(self, replicas: int) -> None:
        """Set the wanted number of tasks."""

        def change(spec: dict[str, Any]) -> None:
            spec["Mode"]["Replicated"]["Replicas"] = replicas

        self.update(change)

    def move_to(self, node: Node) -> Task:
        """Bind the service of one replica to *node*, and wait until its task runs there and nowhere else."""

        def change(spec: dict[str, Any]) -> None:
            spec["TaskTemplate"].setdefault("Placement", {})["Constraints"] = [f"node.hostname=={node.name}"]

        self.update(change)
        reason = f"the one task of {self.name} to run on {node}"
        wait(lambda: self.converged(1, lambda task: task.node == node.name), reason, deadline=60)
        return self.running()[0]

    def get(self, node: Node, path: str = "/", *, timeout: float = 5.0) -> Answer:
        """Ask the service's first published port at *node*'s address."""
        return node.get(self.published(), path, timeout=timeout)

    def published(self) -> int:
        """The service's first published port."""
        port: int = self.inspect()["Endpoint"]["Ports"][0]["PublishedPort"]
        return port

    def virtual_address(self, network: str) -> str:
        """The service's virtual IPv4 address on the network of this name."""
        identity = self.swarm.manager.ask("GET", f"/networks/{network}")["Id"]
        for address in self.inspect()["Endpoint"].get("VirtualIPs", []):
            if address["NetworkID"] == identity:
                given: str = address["Addr"].split("/")[0]
                return given
        raise AssertionError(f"{self.name} has no virtual address on {network}")

    def remove(self) -> None:
        """Remove the service."""
        self.swarm.manager.ask("DELETE", f"/services/{self.id}")
