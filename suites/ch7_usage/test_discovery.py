"""7.2: services, their names, and the replacement of containers that die."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.names import names_follow, tasks_resolve
from suites.support.traffic import GOSSIP, all_answer, all_reached, from_each
from swarmlab.cluster.swarm import suspects
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


@pytest.fixture
def probes(cluster, network):
    """A client container in the network on every node."""
    clients = cluster.create_service("client", "client", everywhere=True, networks=[network])
    return [cluster.probe(task) for task in clients.wait_running(len(cluster.nodes))]


@claim("7.2/run-does-not-scale")
def test_a_container_of_docker_run_is_no_service(cluster):
    manager = cluster.manager
    name = cluster.unique("lone")
    accepted(manager, f"run -d --label {cluster.label} --name {name} {cluster.image('client')}")
    refused = manager.docker(f"service scale {name}=2")
    assert not refused.ok, f"docker service scale on {manager} took a container of docker run"
    assert name in refused.output, f"{manager} refused docker service scale without naming {name}: {refused.output}"
    found = len(manager.containers(all=True, name=name))
    assert found == 1, f"{manager} refused the scaling, and has {found} containers {name}"


@claim("7.2/service-name-resolves")
@pytest.mark.smoke
def test_names_resolve_on_every_node(cluster, network, probes):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    web.wait_running(len(cluster.nodes))
    eventually(
        lambda: names_follow(cluster, probes, web, network),
        f"{web} to resolve to one virtual address, and tasks.{web} to every task, on every node",
        deadline=GOSSIP,
        alike=True,
    )


@claim("7.2/virtual-address-balances")
def test_requests_to_the_virtual_address_reach_all_replicas(cluster, network, probes):
    web = cluster.create_service("web", "web:1", replicas=3, networks=[network])
    tasks = web.wait_running(3)
    address = web.virtual_address(network)

    urls = [f"http://{address}/"] * 30
    eventually(
        lambda: from_each(probes, lambda probe: all_answer(tasks, probe.fetch(urls, timeout=1))),
        "requests from every node to the virtual address to reach all replicas, and none to be lost",
        deadline=GOSSIP,
        stable=2,
        alike=True,
    )
    for probe in probes:
        probe.node.ipvs(probe.container)


@claim("7.2/dns-round-robin")
def test_dnsrr_gives_the_tasks_own_addresses(cluster, network, probes):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = web.wait_running(len(cluster.nodes))
    eventually(
        lambda: tasks_resolve(cluster, probes, web.name, tasks, network),
        f"{web} to resolve to the addresses of its tasks on every node",
        deadline=GOSSIP,
        alike=True,
    )
    eventually(
        lambda: all_reached(cluster, probes, tasks, network),
        f"every task of {web} to answer at its own address on every node",
        deadline=GOSSIP,
        alike=True,
    )


@claim("7.2/names-follow-tasks")
def test_names_follow_replaced_moved_and_removed_tasks(cluster, network, probes):
    web = cluster.create_service("web", "web:1", replicas=3, networks=[network])

    def follow(change):
        def everywhere():
            # The containers of the service itself resolve the names too.
            return names_follow(cluster, probes + [cluster.probe(task) for task in web.running()], web, network)

        eventually(everywhere, f"names to follow {web}, {change}", deadline=GOSSIP, stable=2, alike=True)

    tasks = web.wait_running(3)
    follow("which is new")

    killed = tasks[0]
    accepted(cluster.node(killed.node), f"kill {killed.container}")
    eventually(
        lambda: killed.id not in [task.id for task in web.running()] and web.converged(3),
        f"the killed task of {web} to be replaced",
        deadline=60,
    )
    follow(f"whose task on {killed.node} was replaced")

    web.scale(5)
    web.wait_running(5)
    follow("scaled up to five tasks")

    web.scale(1)
    web.wait_running(1)
    follow("scaled down to one task")

    # Move its one task to another node.
    other = next(node for node in cluster.nodes if node.name != web.running()[0].node)
    moved = web.move_to(other)
    follow(f"moved to {other}")

    former = {web.virtual_address(network), moved.addresses[network]}
    web.remove()
    eventually(
        lambda: forgotten(cluster, probes, [web.name, f"tasks.{web}"], former),
        f"the names of {web}, which was removed, to be forgotten on every node",
        deadline=60,
        stable=2,
        alike=True,
    )


def forgotten(cluster, probes, names, former):
    """Whether no probe resolves any of *names* to one of the *former* addresses."""
    each = parallel(lambda probe: set().union(*probe.resolve_each(names)) & former, probes)
    resolved = [(probe.node, found) for probe, found in zip(probes, each, strict=True)]
    known = {node: f"on {node} {names[0]} is still {few(sorted(found))}" for node, found in resolved if found}
    blame = few(suspects([(node, node) for node in known], cluster.nodes), " and ")
    said = f"wrong with {blame}: {few(known.values(), '; ')}" if known else "all forgot"
    return State(not known, said, each={node.name: not found for node, found in resolved})


@claim("7.2/failure-management")
def test_a_killed_container_is_replaced(cluster):
    count = max(2, len(cluster.nodes))
    web = cluster.create_service("web", "web:1", replicas=count)
    for node in cluster.sample:
        before = web.wait_running(count)
        killed = next((task for task in before if task.node == node.name), None)
        assert killed, f"{node} was given none of the {count} tasks: {few(map(str, before), '; ')}"
        accepted(node, f"kill {killed.container}")
        eventually(
            lambda killed=killed: killed.id not in [task.id for task in web.running()],
            f"the killed task on {node} to be seen as ended",
            deadline=30,
        )
        after = web.expect_running(count)
        new = [task for task in after if task.id not in {task.id for task in before}]
        assert len(new) == 1, f"{killed} was killed, and new are {len(new)} tasks: {few(map(str, new), '; ')}"
        assert new[0].slot == killed.slot, f"{killed} was killed, and {new[0]} is in another slot"
        assert new[0].container != killed.container, f"the new task on {new[0].node} has the killed task's container"
