"""7.2: services, their names, and what happens when a container dies."""

import pytest

from fixtures.claims import claim
from suites.commands import accepted
from suites.traffic import all_answer
from swarmlab.swarm import common
from swarmlab.wait import State, eventually


@pytest.fixture
def probes(cluster, network):
    """A client container in the network on every node."""
    clients = cluster.create_service("client", "client", everywhere=True, networks=[network])
    return [cluster.probe(task) for task in clients.wait_running(len(cluster.nodes))]


def names_follow(cluster, probes, service, network):
    """Whether on every node *service*'s names stand for its live tasks: its virtual address, and one address a task."""
    virtual = service.virtual_address(network)
    seen = {probe.node.name: probe.resolve(service.name) for probe in probes}
    wrong = [f"on {node} {service} is {found or 'unknown'}" for node, found in seen.items() if found != {virtual}]
    if wrong:
        return State(False, f"the virtual address is {virtual}; {'; '.join(wrong)}")
    return tasks_resolve(cluster, probes, f"tasks.{service}", service.running(), network)


def tasks_resolve(cluster, probes, name, tasks, network):
    """Whether on every node *name* stands for the addresses of *tasks* and no other; if not, with which nodes."""
    if not tasks:
        return State(False, f"{name} has no running task to stand for")
    live = {task.addresses[network]: cluster.node(task.node) for task in tasks}
    wrong, pairs = [], []
    for probe in probes:
        seen = probe.resolve(name)
        lacking = [live[address] for address in set(live) - seen]
        stale = sorted(seen - set(live))
        if lacking or stale:
            wrong.append(f"on {probe.node} it lacks the tasks on {[n.name for n in lacking]}, and has stale {stale}")
            pairs += [(probe.node, node) for node in lacking] or [(probe.node, probe.node)]
    blame = (
        f"wrong with {' and '.join(common(pairs, cluster.nodes))}: {'; '.join(wrong)}" if wrong else "the live tasks"
    )
    return State(not wrong, f"{name} is {blame}")


@claim("7.2/run-does-not-scale")
def test_a_container_of_docker_run_is_no_service(cluster):
    manager = cluster.manager
    name = cluster.unique("lone")
    accepted(manager, f"run -d --label {cluster.label} --name {name} {cluster.image('client')}")
    refused = manager.docker(f"service scale {name}=2")
    assert not refused.ok, "docker service scale took a container of docker run"
    assert name in refused.said, f"the refusal does not name it: {refused.said}"
    found = len(manager.containers(all=True, name=name))
    assert found == 1, f"the scaling was refused, and there are {found} containers {name}"


@claim("7.2/service-name-resolves")
@pytest.mark.smoke
def test_names_resolve_on_every_node(cluster, network, probes):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    web.wait_running(len(cluster.nodes))
    eventually(
        lambda: names_follow(cluster, probes, web, network),
        f"{web} to resolve to one virtual address, and tasks.{web} to every task, on every node",
        deadline=20,
    )


@claim("7.2/virtual-address-balances")
def test_requests_to_the_virtual_address_reach_all_replicas(cluster, network, probes):
    web = cluster.create_service("web", "web:1", replicas=3, networks=[network])
    replicas = {task.container[:12] for task in web.wait_running(3)}
    address = web.virtual_address(network)
    for probe in probes:
        eventually(
            lambda probe=probe: all_answer(replicas, probe.fetch([f"http://{address}/"] * 30, timeout=1)),
            f"requests from {probe.node} to the virtual address to reach all replicas, and none to be lost",
            deadline=20,
            stable=2,
        )
        probe.node.ipvs(probe.container)


@claim("7.2/dns-round-robin")
def test_dnsrr_gives_the_tasks_own_addresses(cluster, network, probes):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = web.wait_running(len(cluster.nodes))
    eventually(
        lambda: tasks_resolve(cluster, probes, web.name, tasks, network),
        f"{web} to resolve to the addresses of its tasks on every node",
        deadline=20,
    )
    lost = {
        (probe.node, cluster.node(task.node)): f"{probe.node} -> {task.node}: {fetched}"
        for probe in probes
        for task in tasks
        for fetched in probe.fetch([f"http://{task.addresses[network]}/"])
        if fetched.status != 200 or fetched.container != task.container[:12]
    }
    assert not lost, f"tasks do not answer with {' and '.join(common(lost, cluster.nodes))}: {list(lost.values())}"


@claim("7.2/names-follow-tasks")
def test_names_follow_replaced_and_removed_tasks(cluster, network, probes):
    web = cluster.create_service("web", "web:1", replicas=3, networks=[network])
    tasks = web.wait_running(3)
    eventually(lambda: names_follow(cluster, probes, web, network), f"{web} to resolve on every node", deadline=20)

    killed = tasks[0]
    accepted(cluster.node(killed.node), f"kill {killed.container}")
    eventually(
        lambda: killed.id not in [task.id for task in web.running()] and web.converged(3),
        f"the killed task of {web} to be replaced",
        deadline=60,
    )
    eventually(
        lambda: names_follow(cluster, probes, web, network),
        f"names to follow the task that replaced the one on {killed.node}",
        deadline=20,
        stable=2,
    )

    web.scale(1)
    web.wait_running(1)
    eventually(
        lambda: names_follow(cluster, probes, web, network),
        f"names to follow {web} scaled down to one task",
        deadline=20,
        stable=2,
    )


@claim("7.2/failure-management")
def test_a_killed_container_is_replaced(cluster):
    web = cluster.create_service("web", "web:1", replicas=2)
    before = web.wait_running(2)
    killed = before[0]
    accepted(cluster.node(killed.node), f"kill {killed.container}")
    eventually(
        lambda: killed.id not in [task.id for task in web.running()],
        f"the killed task on {killed.node} to be seen as ended",
        deadline=30,
    )
    after = web.expect_running(2)
    new = [task for task in after if task.id not in {task.id for task in before}]
    assert len(new) == 1, f"one task was killed, new are {len(new)}: {'; '.join(map(str, new))}"
    assert new[0].slot == killed.slot, f"{killed} was killed, and {new[0]} is in another slot"
    assert new[0].container != killed.container, f"the new task on {new[0].node} has the killed task's container"
