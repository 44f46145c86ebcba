"""Services with options of the API that a specification of the suites does not name, and what their tasks see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suites.support.placement import one_on_each
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service, Task, specification
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.evidence import record
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.versions import parsed
from swarmlab.wait import State, eventually, wait

#: Where a task notes what it tries: in memory, as its root may be read-only.
_FACTS = "/dev/shm/facts"
#: Runs a script whose descriptor 3 is the task's own output.
_TRY = f"""exec 3>&1
say() {{{{ echo "$1=$2"; }}}}
{{{{
{{script}}
say done yes
}}}} > {_FACTS} 2> /dev/null
exec sleep 2147483647"""


def with_options(
    cluster: Swarm,
    name: str,
    container: Mapping[str, Any],
    *,
    task: Mapping[str, Any] | None = None,
    tries: str = "",
    image: str = "client",
    everywhere: bool = True,
    **settings: Any,
) -> Service:
    """Create a service through the manager's API, with one task on every node.

    Args:
        cluster: the cluster.
        name: the middle of its name.
        container: further keys of the API's ContainerSpec.
        task: further keys of the API's TaskTemplate.
        tries: a script that its tasks run at first, whose lines ``say NAME VALUE`` are read by `tried`.
        image: name of a workload image. That of the image "client" has a first process that ends when it is told to.
        everywhere: make a global service.
        settings: further arguments of `specification`.
    """
    reference, labels = cluster.image(image), {cluster.label: ""}
    spec = specification(cluster.unique(name), reference, labels=labels, everywhere=everywhere, **settings)
    spec["TaskTemplate"]["ContainerSpec"].update(container)
    if tries:
        spec["TaskTemplate"]["ContainerSpec"]["Args"] = ["sh", "-c", _TRY.format(script=tries)]
    spec["TaskTemplate"].update(task or {})
    created = cluster.manager.ask("POST", "/services/create", body=spec)
    return Service(cluster, created["ID"], spec["Name"])


def on_every_node(cluster: Swarm, service: Service) -> list[Task]:
    """Return the tasks of a service with one on every node, as soon as they run, as the claim promises.

    Raises:
        AssertionError: they do not.
    """
    eventually(lambda: one_on_each(service, cluster.nodes), f"a task of {service} on every node", deadline=60)
    return service.running()


def version_of(node: Node) -> str:
    """Return the version of the API that a node's engine knows."""
    return str(node.ask("GET", "/version")["ApiVersion"])


def knowing(cluster: Swarm, lowest: str) -> set[str]:
    """Return the host names of the nodes whose engines know a version of the API, in a swarm of several versions.

    Raises:
        Blocked: a manager does not: managers keep of a service what all of them know.
    """
    versions = dict(zip(cluster.nodes, parallel(version_of, cluster.nodes), strict=True))
    for manager in cluster.managers:
        if parsed(versions[manager]) < parsed(lowest):
            raise Blocked(f"{manager}, a manager, knows API {versions[manager]}, needed is {lowest}")
    return {node.name for node, version in versions.items() if parsed(version) >= parsed(lowest)}


def facts(cluster: Swarm, task: Task, script: str) -> dict[str, str]:
    """Run a script in a task that prints lines NAME=VALUE, and return the values by name."""
    done = cluster.probe(task).run(script)
    lines = [line.partition("=") for line in done.out.splitlines()]
    return {name: value for name, _, value in lines if name.isidentifier()}


def seen(cluster: Swarm, service: Service, script: str) -> dict[str, dict[str, str]]:
    """Return the `facts` of the service's task on every node, by host name."""
    tasks = on_every_node(cluster, service)
    found = parallel(lambda task: facts(cluster, task, script), tasks)
    return {task.node: fact for task, fact in zip(tasks, found, strict=True)}


def tried(cluster: Swarm, service: Service) -> dict[str, dict[str, str]]:
    """Return what the service's task on every node said when it tried, by host name (see `with_options`).

    What a task may do it does itself: a command that is run beside it by ``docker exec`` may have other rights.
    """
    tasks = on_every_node(cluster, service)
    found: dict[str, dict[str, str]] = {}

    def all_done() -> State:
        said = parallel(lambda task: facts(cluster, task, f"cat {_FACTS}"), tasks)
        found.update({task.node: fact for task, fact in zip(tasks, said, strict=True)})
        left = [node for node, fact in found.items() if "done" not in fact]
        return State(not left, f"not yet on {few(left) or 'none'}")

    wait(all_done, f"tasks of {service} to have tried what they may", deadline=30)
    return found


def noted(facts_by_node: Mapping[str, Mapping[str, str]], *names: str) -> None:
    """Note facts in the evidence of a test for which no task was asked anew."""
    for node, found in facts_by_node.items():
        told = "\n".join(f"{name}={found.get(name)}" for name in names)
        record(node, "in the task, asked once for several tests", told)
