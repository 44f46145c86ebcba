"""Checks of what managers believe against what nodes hold: containers, networks, and the names that nodes know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster.service import ENDED, SERVICE_LABEL, SERVICE_NAME_LABEL, TASK_LABEL
from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import VXLAN, NodeView, Sight, by_managers
from swarmlab.preflight.networks import subnets_of
from swarmlab.preflight.stopped import holding

#: The release from which on a task stays listed until its container has ended (swarmkit#2461). Before, managers forget
#: the tasks of a service that is removed at once.
_LISTED_TO_THE_END = (18, 3)


@dataclass(frozen=True)
class Difference:
    """Something of which managers and a node tell different things.

    Attributes:
        subject: containers, networks or names: which check tells of it.
        node: host name of the node.
        what: the difference in words, which are the same at every look.
        mend: how to mend it.
        level: how much it matters.
        order: the task or address; differences that differ in it alone are told together.
    """

    subject: str
    node: str
    what: str
    mend: str
    level: Level = Level.ERROR
    order: str = ""


_RISKS = {
    "containers": "managers count tasks that do not serve, or do not know of what runs",
    "networks": "the task cannot be reached on it, and reaches nobody",
    "names": "from there names of services do not lead to all their tasks, or lead to tasks that are gone",
}


@by_managers
def containers(sight: Sight) -> Iterator[Finding]:
    """Whether the tasks that managers count as running have a container that runs, and no container runs besides."""
    yield from _told(sight, "containers", "tasks")


@by_managers
def networks(sight: Sight) -> Iterator[Finding]:
    """Whether nodes and containers have the overlay networks of their tasks as the managers have them."""
    yield from _told(sight, "networks", "networks of tasks")


@by_managers
def names(sight: Sight) -> Iterator[Finding]:
    """Whether every node that uses an overlay network knows the addresses of all its tasks, and of no others."""
    yield from _told(sight, "names", "names on networks")


def _told(sight: Sight, subject: str, what: str) -> Iterator[Finding]:
    for view in sight.nodes:
        try:
            view.check_active()
        except Unknown as why:
            yield why.finding(view.name)
            continue
        if view.containers is None:
            mend = "docker ps -a on the node says what its engine lacks"
            yield Finding(Level.UNKNOWN, "its engine does not list its containers", nodes=(view.name,), mend=mend)
    lasting = sight.lasting if sight.lasting is not None else differences(sight)
    found: dict[tuple[str, str, str, Level], list[str]] = {}
    for one in sorted(lasting, key=lambda one: (one.node, one.what, one.order)):
        if one.subject == subject:
            found.setdefault((one.node, one.what, one.mend, one.level), []).append(one.order)
    for (node, text, mend, level), orders in found.items():
        summary = f"{text}: {few(filter(None, orders))}" if any(orders) else text
        risk = _RISKS[subject] if level.trouble else ""
        yield Finding(level, summary, risk, nodes=(node,), mend=mend)
    if not found:
        yield Finding(Level.OK, f"{what} are as the managers have them")


def differences(sight: Sight) -> set[Difference]:
    """Return what managers and nodes tell differently, as far as it was read."""
    found: set[Difference] = set()
    for view in sight.nodes:
        if view.active and view.containers is not None:
            found.update(_of_containers(sight, view))
            found.update(_of_networks(sight, view))
            found.update(_of_names(sight, view))
    return found


def _on(sight: Sight, view: NodeView) -> list[dict[str, Any]]:
    """Return the tasks of services that managers count as running on a node that they hear."""
    identity = view.node_id
    if not any(member["ID"] == identity and work.ready(member) for member in sight.members):
        return []
    return [task for task in sight.tasks if task.get("NodeID") == identity and work.runs(task)]


def _label(task: Mapping[str, Any], services: Mapping[str, str]) -> str:
    """Return a task's name, such as web.1; of a global service its name alone."""
    name = services.get(task.get("ServiceID", ""), "no service")
    return f"{name}.{task['Slot']}" if task.get("Slot") else name


def _services(sight: Sight) -> dict[str, str]:
    return {service["ID"]: service["Spec"]["Name"] for service in sight.services}


def _of_containers(sight: Sight, view: NodeView) -> Iterator[Difference]:
    services, known = _services(sight), {task["ID"]: task for task in sight.tasks}
    listed = {container["Id"]: container for container in view.containers or []}
    look = "docker ps -a on the node; docker service update --force {} starts its tasks anew"
    for task in _on(sight, view):
        identity = work.container_id(task)
        if not identity:
            continue  # of a plugin, or of a container that is attached to a network
        name, mend = _label(task, services), look.format(services.get(task.get("ServiceID", ""), "SERVICE"))
        container = listed.get(identity)
        if container is None:
            yield Difference("containers", view.name, f"{name} runs, say the managers, and has no container", mend)
        elif container["State"] == "paused":
            what = f"the container of {name} is paused, while the managers count it as running"
            yield Difference("containers", view.name, what, f"docker unpause {identity[:12]}")
        elif container["State"] != "running":
            what = f"the container of {name} is {container['State']}, while the managers count it as running"
            yield Difference("containers", view.name, what, mend)
        elif halted := holding(view, identity):
            what = f"the container of {name} is held up: {halted.program} is stopped (SIGSTOP)"
            yield Difference("containers", view.name, what, f"kill -CONT {halted.number}")
        elif "(unhealthy)" in container.get("Status", ""):
            what = f"the container of {name} is unhealthy, while the managers count it as running"
            mend = f"docker inspect --format '{{{{json .State.Health}}}}' {identity[:12]}; {mend}"
            yield Difference("containers", view.name, what, mend, Level.WARNING)
    for identity, container in listed.items():
        labels = container.get("Labels") or {}
        if TASK_LABEL not in labels or container["State"] not in ("running", "paused", "restarting"):
            continue
        name = labels.get(SERVICE_NAME_LABEL) or "no service"
        task_known = known.get(labels[TASK_LABEL])
        if task_known is None:
            if view.release < _LISTED_TO_THE_END and labels.get(SERVICE_LABEL) not in services:
                continue
            what = f"a container of {name} runs whose task the managers do not know"
        elif task_known["Status"]["State"] in ENDED:
            what = f"a container of {name} runs whose task is {task_known['Status']['State']}, say the managers"
        elif task_known.get("NodeID") not in ("", view.node_id, None):
            what = f"a container of {name} runs whose task is on another node, say the managers"
        else:
            continue
        mend = f"docker rm -f {identity[:12]}; if it comes back, docker swarm leave, and join again"
        yield Difference("containers", view.name, what, mend, Level.WARNING, identity[:12])


def _overlays(sight: Sight) -> dict[str, dict[str, Any]]:
    return {network["Id"]: network for network in sight.overlays}


def _attached(sight: Sight, task: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the overlay networks that a task is on, each with its address there."""
    overlays = _overlays(sight)
    for attachment in task.get("NetworksAttachments") or []:
        if network := overlays.get(attachment["Network"]["ID"]):
            yield network, (attachment.get("Addresses") or [""])[0].partition("/")[0]


def networks_in_use(sight: Sight, view: NodeView) -> list[str]:
    """Return the ids of the overlay networks that running tasks on a node are on."""
    found = (network["Id"] for task in _on(sight, view) for network, _ in _attached(sight, task))
    return list(dict.fromkeys(found))


def _of_networks(sight: Sight, view: NodeView) -> Iterator[Difference]:
    services, listed = _services(sight), {container["Id"]: container for container in view.containers or []}
    held = {network.get("Id"): network for network in view.networks}
    for task in _on(sight, view):
        identity = work.container_id(task)
        container, name = listed.get(identity), _label(task, services)
        service = services.get(task.get("ServiceID", ""), "SERVICE")
        mend = f"docker service update --force {service} starts its tasks anew"
        for network, address in _attached(sight, task):
            if held and network["Id"] not in held:
                what = f"the engine has no network {network['Name']}, which {name} is on"
                yield Difference("networks", view.name, what, mend)
            if container is None or "NetworkSettings" not in container:
                continue
            ends = ((container["NetworkSettings"] or {}).get("Networks") or {}).values()
            end = next((end for end in ends if end.get("NetworkID") == network["Id"]), None)
            if end is None:
                what = f"the container of {name} is not on network {network['Name']}, while the managers have it there"
                yield Difference("networks", view.name, what, mend)
            elif address and end.get("IPAddress") and end["IPAddress"] != address:
                what = f"{name} has {end['IPAddress']} on network {network['Name']}, and {address} say the managers"
                yield Difference("networks", view.name, what, mend)
    for identity in networks_in_use(sight, view):
        if identity in held:
            yield from _same(view, _overlays(sight)[identity], held[identity])


def _same(view: NodeView, network: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what a node's account of a network has differently from the managers'."""
    mend = f"drain the node, docker network rm {network['Name']} there, and make it active again"
    ids = [(one.get("Options") or {}).get(VXLAN) for one in (network, here)]
    subnets = [sorted(map(str, subnets_of(dict(one)))) for one in (network, here)]
    for what, (ours, theirs) in (("VXLAN id", ids), ("subnet", subnets)):
        if ours and theirs and ours != theirs:
            told = f"{theirs if isinstance(theirs, str) else ', '.join(theirs)}"
            have = f"{ours if isinstance(ours, str) else ', '.join(ours)}"
            text = f"network {network['Name']} has {what} {told} there, and {have} say the managers"
            yield Difference("networks", view.name, text, mend)


def _of_names(sight: Sight, view: NodeView) -> Iterator[Difference]:
    services, ready = _services(sight), {member["ID"] for member in sight.members if work.ready(member)}
    heard = work.heard(sight)
    by_name = {service["Spec"]["Name"]: service for service in sight.services}

    def judged(name: str) -> bool:
        """Whether nodes must have forgotten the tasks that managers have forgotten; not so soon after a change."""
        return work.settled(by_name[name], heard) if name in by_name else not work.large(sight)

    for identity, table in view.tables.items():
        network = _overlays(sight).get(identity)
        if network is None or network.get("Ingress") or "Services" not in table:
            continue  # nobody looks up a name on the network of the routing mesh
        known = {
            address.partition("/")[0]: name
            for name, service in (table["Services"] or {}).items()
            if name  # those without are the nodes' own, and containers that are no task's
            for one in service.get("Tasks") or []
            if (address := one.get("EndpointIP") or "")
        }
        every: set[str] = set()
        for task in sight.tasks:
            address = next((own for net, own in _attached(sight, task) if net["Id"] == identity), "")
            if address and (task["Status"]["State"] not in ENDED or not work.settled(task, heard)):
                every.add(address)
            there = work.runs(task) and task.get("NodeID") in ready and task.get("ServiceID") in services
            if address and there and work.settled(task, heard) and address not in known:
                what = f"on network {network['Name']} the node does not know tasks that run"
                order = f"{_label(task, services)} ({address})"
                yield Difference("names", view.name, what, _GOSSIP, order=order)
        for address in (address for address, name in known.items() if address not in every and judged(name)):
            what = f"on network {network['Name']} the node knows addresses that no task has"
            yield Difference("names", view.name, what, _GOSSIP, Level.WARNING, address)


_GOSSIP = (
    "open TCP and UDP 7946 between all nodes; then restart the node's engine: systemctl restart docker, "
    "or move its tasks: docker node update --availability drain"
)
