"""Names that services have in a network, resolved by containers on every node."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from swarmlab.cluster.node import Node
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm, suspects
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State

#: The addresses that a name has for a probe.
Resolved = tuple[Probe, set[str]]


def names_follow(cluster: Swarm, probes: Iterable[Probe], service: Service, network: str) -> State:
    """Whether the service's names resolve for every probe: to its virtual address, and to one address for each task."""
    virtual = service.virtual_address(network)
    tasks = service.running()
    hosts = [cluster.node(task.node) for task in tasks]
    asked = list(probes)
    names = [service.name, f"tasks.{service}"]
    resolved = list(zip(asked, parallel(lambda probe: probe.resolve_each(names), asked), strict=True))
    wrong: list[str] = []
    pairs: list[tuple[Node, Node]] = []
    for probe, (found, _) in resolved:
        if found != {virtual}:
            wrong.append(f"on {probe.node} it is {few(sorted(found)) or 'unknown'}")
            # A name is unknown where no gossip arrived from the nodes that have its tasks.
            pairs += [(probe.node, host) for host in hosts if not found] or [(probe.node, probe.node)]
    if wrong:
        blame = few(suspects(pairs, cluster.nodes), " and ")
        said = f"wrong with {blame}: {service} has the virtual address {virtual}, and {few(wrong, '; ')}"
        return State(False, said, each={str(probe): found == {virtual} for probe, (found, _) in resolved})
    return _of_tasks(cluster, f"tasks.{service}", [(probe, found) for probe, (_, found) in resolved], tasks, network)


def tasks_resolve(cluster: Swarm, probes: Iterable[Probe], name: str, tasks: Collection[Task], network: str) -> State:
    """Whether *name* resolves for every probe to the addresses of *tasks*, and to no other."""
    asked = list(probes)
    found = parallel(lambda probe: probe.resolve(name), asked)
    return _of_tasks(cluster, name, zip(asked, found, strict=True), tasks, network)


def _of_tasks(cluster: Swarm, name: str, resolved: Iterable[Resolved], tasks: Collection[Task], network: str) -> State:
    if not tasks:
        return State(False, f"{name} has no running task to stand for")
    live = {task.addresses[network]: cluster.node(task.node) for task in tasks}
    wrong: list[str] = []
    pairs: list[tuple[Node, Node]] = []
    each: dict[str, bool] = {}
    for probe, found in resolved:
        each |= {f"{node} on {probe.node}": address in found for address, node in live.items()}
        lacking = [live[address] for address in set(live) - found]
        stale = sorted(found - set(live))
        if lacking or stale:
            wrong.append(
                f"on {probe.node} it lacks the tasks on {few(lacking) or 'none'}, and has stale {few(stale) or 'none'}"
            )
            pairs += [(probe.node, node) for node in lacking] or [(probe.node, probe.node)]
    blame = few(suspects(pairs, cluster.nodes), " and ")
    said = f"wrong with {blame}: {few(wrong, '; ')}" if wrong else "the live tasks"
    return State(not wrong, f"{name} is {said}", each=each)


def resolve_to(probes: Sequence[Probe], wanted: Mapping[str, set[str]]) -> State:
    """Whether each name of *wanted* resolves for every probe to these addresses, and to no other."""
    resolved = parallel(lambda probe: probe.resolve_each(list(wanted)), probes)
    wrong = [
        f"on {probe.node} {name} leads to {_list(found)}, and should to {_list(wanted[name])}"
        for probe, each in zip(probes, resolved, strict=True)
        for name, found in zip(wanted, each, strict=True)
        if found != wanted[name]
    ]
    follows = {str(probe): found == list(wanted.values()) for probe, found in zip(probes, resolved, strict=True)}
    return State(not wrong, few(wrong, "; ") or "all lead where they should", each=follows)


def addresses_of(tasks: Iterable[Task]) -> set[str]:
    """Return the addresses of *tasks* in all their networks."""
    return {address for task in tasks for address in task.addresses.values()}


def leads_nowhere(probes: Sequence[Probe], name: str, addresses: Collection[str]) -> State:
    """Whether *name* resolves for no probe to any of *addresses*.

    Of a name that a network does not have, servers outside are asked, and may know any name.
    """
    resolved = parallel(lambda probe: probe.resolve(name) & set(addresses), probes)
    wrong = [f"on {probe.node} to {_list(found)}" for probe, found in zip(probes, resolved, strict=True) if found]
    each = {str(probe): not found for probe, found in zip(probes, resolved, strict=True)}
    return State(not wrong, f"{name} leads {few(wrong, '; ')}" if wrong else f"{name} leads nowhere", each=each)


def _list(addresses: Iterable[str]) -> str:
    return few(sorted(addresses)) or "nothing"
