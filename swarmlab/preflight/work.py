"""What managers say of services and tasks, as the checks need it: ages, slots, and which nodes a service may use."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.service import ENDED
from swarmlab.cluster.swarm import leads
from swarmlab.preflight.finding import Unknown
from swarmlab.preflight.model import NodeView, Sight

#: The desired states of a task that is to run, or to end by itself, as that of a job.
WANTED = ("ready", "running", "complete")
#: States in which tasks end by themselves. Managers end the others.
ENDED_ALONE = ("failed", "rejected", "complete")
#: Health checks as engines make them if nobody sets how: seconds between two, seconds for one, and how many may fail.
_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3
#: Seconds for a task that waits for a health check of which nobody tells how it is made.
_UNTOLD_HEALTH = 600.0
#: Seconds after a change of a task in which nodes need not know of it.
_SETTLED = 15.0
#: Seconds after a change of a node, such as that its engine came back, in which it need not know of tasks.
_BACK = 30.0
#: In a swarm of more nodes than this, gossip passes some by: they hear of a change when they exchange all that they
#: know with another node, every half minute. So they have this many seconds more.
_MANY, _EXCHANGED = 10, 45.0
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def now(sight: Sight) -> float:
    """Return the time of the look by the leader's clock, which managers date what they note by, in s since 1970.

    Raises:
        Unknown: no manager answered.
    """
    if not sight.asked:
        raise Unknown(sight.unasked, "docker node ls on a manager says what the managers lack")
    leading = [member["ID"] for member in sight.members if leads(member)]
    views = [view for id, view in sight.members_read.items() if id in leading]
    views += [view for view in sight.nodes if view.name == sight.asked]
    # The tasks were read after the clock.
    return max([seconds_of(views[0].info["SystemTime"]), *map(created, filter(_dated, sight.tasks))])


def heard(sight: Sight) -> float:
    """Return the time up to which every node has heard of what changed (see `settled`), as `now` does.

    Engines that answer slowly, as on a busy host, are late with their gossip too.

    Raises:
        Unknown: no manager answered.
    """
    return now(sight) - (_EXCHANGED if large(sight) else 0.0) - _SETTLED * (sight.pace - 1)


def large(sight: Sight) -> bool:
    """Whether the swarm has so many nodes that some hear of a change late."""
    return len(sight.nodes) > _MANY


def _dated(task: Mapping[str, Any]) -> bool:
    return bool(task.get("CreatedAt"))


def created(task: Mapping[str, Any]) -> float:
    """Return the time of a task's creation by the leader's clock, or of its state where no manager tells it."""
    return seconds_of(task.get("CreatedAt") or task["Status"]["Timestamp"])


def changed(thing: Mapping[str, Any]) -> float:
    """Return the time at which managers last noted a change of a task or of another object; 0 if they do not tell."""
    status = thing.get("Status")
    stamp = thing.get("UpdatedAt") or thing.get("CreatedAt")
    stamp = stamp or (status.get("Timestamp") if isinstance(status, dict) else None)
    return seconds_of(stamp) if stamp else 0.0


def settled(task: Mapping[str, Any], heard: float) -> bool:
    """Whether a task changed so long before the time `heard` that every node must know of it."""
    return heard - changed(task) > _SETTLED


def long_there(sight: Sight, view: NodeView) -> bool:
    """Whether a node has been as it is for so long that it must know of all `settled` tasks.

    An engine that has just started hears of them one after the other.

    Raises:
        Unknown: no manager answered.
    """
    return now(sight) - changed(members_by_id(sight).get(view.node_id, {})) > _BACK * sight.pace


def serves(task: Mapping[str, Any], heard: float) -> bool:
    """Whether a task runs, is to run, and is `settled`."""
    return bool(task["Status"]["State"] == task.get("DesiredState") == "running" and settled(task, heard))


def updated(service: Mapping[str, Any]) -> bool:
    """Whether all tasks of a service are of its last specification, as far as its update tells: none is under way."""
    return (service.get("UpdateStatus") or {}).get("State", "completed") in ("completed", "rollback_completed")


def mesh_ports(service: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the ports that the routing mesh must publish for a service whose tasks serve, as (protocol, port).

    While its tasks may be those of before an update, they lack the ports that the update adds.
    """
    ports = published((service.get("Endpoint") or {}).get("Ports"), "ingress")
    if updated(service):
        return ports
    before = published(((service.get("PreviousSpec") or {}).get("EndpointSpec") or {}).get("Ports"), "ingress")
    return [port for port in ports if port in before]


def published(ports: Iterable[Mapping[str, Any]] | None, mode: str) -> list[tuple[str, int]]:
    """Return those ports that are published in a mode, ingress or host, as (protocol, port)."""
    return [
        (str(port.get("Protocol", "tcp")), int(port["PublishedPort"]))
        for port in ports or []
        if port.get("PublishMode", "ingress") == mode and port.get("PublishedPort")
    ]


def address_in(task: Mapping[str, Any], network: str) -> str:
    """Return a task's address in the network of this id; empty if it has none."""
    for attached in task.get("NetworksAttachments") or []:
        if attached["Network"]["ID"] == network and attached.get("Addresses"):
            return str(attached["Addresses"][0]).partition("/")[0]
    return ""


def ready(member: Mapping[str, Any]) -> bool:
    """Whether the managers hear a member."""
    return bool(member.get("Status", {}).get("State") == "ready")


def members_by_id(sight: Sight) -> dict[str, dict[str, Any]]:
    """Return the members by node id."""
    return {member["ID"]: member for member in sight.members}


def reason(task: Mapping[str, Any]) -> str:
    """Return the engine's words about a task: its error, or else its message."""
    status = task["Status"]
    return str(status.get("Err") or status.get("Message") or "")


def exit_code(task: Mapping[str, Any]) -> int | None:
    """Return the exit code of a task's container; None if there is none."""
    code = (task["Status"].get("ContainerStatus") or {}).get("ExitCode")
    return None if code is None else int(code)


def container_id(task: Mapping[str, Any]) -> str:
    """Return the id of a task's container; empty if there is none."""
    return str((task["Status"].get("ContainerStatus") or {}).get("ContainerID", ""))


def template(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a service's specification that its tasks have."""
    made: dict[str, Any] = service["Spec"].get("TaskTemplate") or {}
    return made


def image_of(part: Mapping[str, Any]) -> str:
    """Return the image of a service's template or of a task's specification; empty if it has none."""
    return str((part.get("ContainerSpec") or {}).get("Image") or "")


def container(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification of a task's container; empty if it has none."""
    made: dict[str, Any] = task.get("Spec", {}).get("ContainerSpec") or {}
    return made


def seconds(nanoseconds: object, default: float) -> float:
    """Return nanoseconds of a specification in seconds, or what engines take if it sets none."""
    return float(nanoseconds) / 1e9 if isinstance(nanoseconds, int | float) and nanoseconds else default


def patience(sight: Sight, task: Mapping[str, Any]) -> float:
    """Return the seconds that a task may wait for its first good health check."""
    check = container(task).get("Healthcheck") or {}
    identity = container_id(task)
    listed = next((one for view in sight.nodes for one in view.containers or [] if one["Id"] == identity), {})
    if not check.get("Interval") and "health" in listed.get("Status", ""):
        return _UNTOLD_HEALTH
    if not check or check.get("Test") == ["NONE"]:
        return 0.0
    once = seconds(check.get("Interval"), _INTERVAL) + seconds(check.get("Timeout"), _TIMEOUT)
    return seconds(check.get("StartPeriod"), 0.0) + once * (1 + (check.get("Retries") or _RETRIES))


@dataclass(frozen=True)
class Work:
    """A service with its tasks.

    Attributes:
        service: the service as managers list it.
        tasks: its tasks; of a job those of its present run.
    """

    service: dict[str, Any]
    tasks: Sequence[dict[str, Any]]

    @property
    def name(self) -> str:
        """The service's name."""
        return str(self.service["Spec"]["Name"])

    @property
    def mode(self) -> str:
        """The service's mode: Replicated, Global, ReplicatedJob or GlobalJob."""
        return str(next(iter(self.service["Spec"].get("Mode") or {"Replicated": {}})))

    @property
    def job(self) -> bool:
        """Whether its tasks are to end."""
        return self.mode.endswith("Job")

    @property
    def everywhere(self) -> bool:
        """Whether every node that fits has a task."""
        return self.mode.startswith("Global")

    def wanted(self, sight: Sight) -> int:
        """Return how many tasks are to run, or to complete."""
        if self.everywhere:
            return len(self.nodes(sight))
        settings = (self.service["Spec"].get("Mode") or {}).get(self.mode) or {}
        number = settings.get("TotalCompletions" if self.job else "Replicas")
        return int(settings.get("MaxConcurrent", 1) if number is None and self.job else number or 0)

    def nodes(self, sight: Sight) -> list[str]:
        """Return the ids of the nodes that are there, take tasks, and fit the service's constraints."""
        return [
            member["ID"]
            for member in sight.members
            if ready(member) and member["Spec"]["Availability"] == "active" and fits(self.service, member)
        ]

    def slots(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tasks by slot, or by node id in a global service, the oldest first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for task in sorted(self.tasks, key=created):
            key = task.get("NodeID", "") if self.everywhere else str(task.get("Slot", ""))
            found.setdefault(key, []).append(task)
        return found


def works(sight: Sight) -> list[Work]:
    """Return the services of a cluster with their tasks."""
    by_service: dict[str, list[dict[str, Any]]] = {}
    for task in sight.tasks:
        by_service.setdefault(task.get("ServiceID", ""), []).append(task)
    return [Work(service, _of_run(service, by_service.get(service["ID"], []))) for service in sight.services]


def _of_run(service: Mapping[str, Any], tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of a job's tasks that belong to its present run; of other services all."""
    if "JobStatus" not in service:
        return tasks
    run = ((service["JobStatus"] or {}).get("JobIteration") or {}).get("Index", 0)
    return [task for task in tasks if (task.get("JobIteration") or {}).get("Index", 0) == run]


def alive(task: Mapping[str, Any]) -> bool:
    """Whether a task is to run and has not ended."""
    return task["DesiredState"] in WANTED and task["Status"]["State"] not in ENDED


def placed(task: Mapping[str, Any]) -> bool:
    """Whether a task is `alive` and has been given its node. Those of global services name it before they get it."""
    return alive(task) and task["Status"]["State"] not in ("new", "allocated", "pending")


def runs(task: Mapping[str, Any]) -> bool:
    """Whether a task runs and is to."""
    return task["Status"]["State"] == "running" and task["DesiredState"] in WANTED


def count(work: Work, sight: Sight) -> str:
    """Return how many of a service's tasks run, such as "2 of 3 replicas"."""
    wanted = work.wanted(sight)
    if work.job:
        return f"{sum(task['Status']['State'] == 'complete' for task in work.tasks)} of {wanted} tasks"
    slots = {key for key, tasks in work.slots().items() if any(map(runs, tasks))}
    if work.everywhere:
        return f"{len(slots & set(work.nodes(sight)))} of {wanted} nodes"
    return f"{len(slots)} of {wanted} replicas"


def fits(service: Mapping[str, Any], member: Mapping[str, Any]) -> bool:
    """Whether a member meets the constraints of a service's placement.

    Source: swarmkit, manager/constraint/constraint.go
    """
    constraints = (template(service).get("Placement") or {}).get("Constraints") or []
    return all(_meets(constraint, member) for constraint in constraints)


def _meets(constraint: str, member: Mapping[str, Any]) -> bool:
    equal = "==" in constraint
    key, _, value = (part.strip() for part in constraint.partition("==" if equal else "!="))
    description = member.get("Description") or {}
    spec = member.get("Spec") or {}
    platform = description.get("Platform") or {}
    known = {
        "node.id": member.get("ID"),
        "node.hostname": description.get("Hostname"),
        "node.role": spec.get("Role"),
        "node.platform.os": platform.get("OS"),
        "node.platform.arch": platform.get("Architecture"),
    }
    labels = {"node.labels.": spec.get("Labels"), "engine.labels.": (description.get("Engine") or {}).get("Labels")}
    found = known.get(key.lower())
    if key.lower() == "node.ip":
        return _within(member.get("Status", {}).get("Addr", ""), value) == equal
    for prefix, given in labels.items():
        if key.lower().startswith(prefix):
            found = (given or {}).get(key[len(prefix) :])
    return (str(found or "").casefold() == value.casefold()) == equal


def _within(address: str, subnet: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False


def suits(service: Mapping[str, Any], member: Mapping[str, Any]) -> bool:
    """Whether a member has a platform that a service's image has; true where no image tells any."""
    platforms = (template(service).get("Placement") or {}).get("Platforms") or []
    have = (member.get("Description") or {}).get("Platform") or {}

    def same(wanted: str, given: str) -> bool:
        wanted, given = _ARCHITECTURES.get(wanted, wanted), _ARCHITECTURES.get(given, given)
        return not wanted or not given or wanted == given

    return not platforms or any(
        same(one.get("OS", ""), have.get("OS", "")) and same(one.get("Architecture", ""), have.get("Architecture", ""))
        for one in platforms
    )
