"""Containers in overlay networks: boxes of docker run on every node, and what they hold there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, ip_interface
from typing import Any

from suites.support.subnets import free_subnets, wide_subnet
from swarmlab.cluster.node import Node
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State


def roomy(cluster: Swarm, *names: str, **settings: Any) -> list[str]:
    """Create attachable overlay networks with addresses for containers of a test on every node; return their names.

    Args:
        cluster: the swarm.
        names: the middles of the names.
        settings: further keys of the API's network specification.
    """
    if wide_subnet(cluster) is None:
        return [cluster.create_network(name, **settings) for name in names]
    pools = [{"IPAM": {"Config": [{"Subnet": str(it)}]}} for it in free_subnets(cluster, len(names))]
    return [cluster.create_network(name, **pool, **settings) for name, pool in zip(names, pools, strict=True)]


def boxes(cluster: Swarm, network: str, nodes: Iterable[Node] | None = None) -> list[Probe]:
    """Start a client container in an attachable network on each of *nodes*, or on every node."""
    return parallel(
        lambda node: Probe(node, cluster.bench(node).start("client", f"--network {network}")),
        cluster.nodes if nodes is None else nodes,
    )


def held(probe: Probe) -> list[IPv4Interface]:
    """Return the IPv4 addresses of a container's interfaces, each with its subnet; not the loopback's."""
    listed = probe.run("ip -4 -oneline address show")
    found = [ip_interface(line.split()[3]) for line in listed.out.splitlines() if line.split()[1] != "lo"]
    return [address for address in found if isinstance(address, IPv4Interface)]


def join_networks(service: Service, networks: Sequence[str | Mapping[str, Any]]) -> None:
    """Update a service so that its tasks are in these *networks* and no others."""

    def change(spec: dict[str, Any]) -> None:
        wanted = [{"Target": network} if isinstance(network, str) else dict(network) for network in networks]
        spec["TaskTemplate"]["Networks"] = wanted

    service.update(change)


def tasks_in(service: Service, count: int, networks: Collection[str]) -> State:
    """Whether *count* tasks run, each with an address in each of *networks* and in no other."""
    state = service.converged(count, lambda task: set(task.addresses) == set(networks))
    where = [f"{task.node}: {few(sorted(task.addresses)) or 'none'}" for task in service.running()]
    return State(state.done, f"{state.summary}; in the networks {few(where, '; ') or 'none'}", refused=state.refused)


def nothing_passes(probes: Sequence[Probe], tasks: Collection[Task], network: str) -> State:
    """Whether no probe gets an answer from any of *tasks* at its address in *network*."""
    urls = [f"http://{task.addresses[network]}/healthz" for task in tasks]
    fetched = parallel(lambda probe: probe.fetch(urls, timeout=1.5, at_once=len(urls)), probes)
    passed = [
        f"{probe.node} -> {task.node}: {answer}"
        for probe, answers in zip(probes, fetched, strict=True)
        for task, answer in zip(tasks, answers, strict=True)
        if answer.status
    ]
    each = {
        str(probe): not any(answer.status for answer in answers) for probe, answers in zip(probes, fetched, strict=True)
    }
    return State(not passed, f"answered: {few(passed, '; ')}" if passed else "nothing answered", each=each)


def knows(node: Node, network: str) -> bool:
    """Whether a node's engine lists the network of this id."""
    return any(found["Id"] == network for found in node.ask("GET", "/networks", filters={"id": [network]}))


def identity(cluster: Swarm, network: str) -> str:
    """Return the id of the network of this name."""
    return str(cluster.manager.ask("GET", f"/networks/{network}")["Id"])
