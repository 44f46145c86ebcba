"""7.3: overlay networks: their subnets, and the containers that may join them."""

from ipaddress import ip_address, ip_interface

from fixtures.claims import claim
from suites.support.commands import refusal
from suites.support.names import names_follow, tasks_resolve
from suites.support.subnets import (
    create_overlay,
    disjoint,
    free_subnets,
    overlaps,
    subnet_options,
    subnets,
    told,
    wide_subnet,
)
from suites.support.traffic import GOSSIP, all_reached, every_size_reached
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import TASK_LABEL
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import eventually


def held(probe):
    """Return the IPv4 addresses of a container's interfaces, each with its subnet."""
    listed = probe.run("ip -4 -oneline address show")
    return [ip_interface(line.split()[3]) for line in listed.out.splitlines() if line.split()[1] != "lo"]


@claim("7.3/overlay-subnet")
def test_tasks_have_addresses_of_the_subnet_that_was_given(cluster):
    wide, other = free_subnets(cluster, 2)
    narrow = next(other.subnets(new_prefix=24))
    # The document's form, and one with the second address as gateway: a task gets it if it is not kept free.
    wanted = {}
    for name, subnet, gateway, word in (("wide", wide, wide[1], ""), ("narrow", narrow, narrow[2], "--attachable")):
        wanted[create_overlay(cluster, name, word, f"--subnet {subnet} --gateway {gateway}")] = (subnet, gateway)
    web = cluster.create_service("web", "web:1", everywhere=True, networks=list(wanted))
    tasks = web.expect_running(len(cluster.nodes))
    for network, (subnet, gateway) in wanted.items():
        for node in cluster.nodes:
            pools = [
                (entry["Subnet"], entry["Gateway"])
                for entry in node.ask("GET", f"/networks/{network}")["IPAM"]["Config"]
            ]
            assert pools == [(str(subnet), str(gateway))], (
                f"{network} was given {subnet} and the gateway {gateway}; {node} lists {pools}"
            )
        virtual = web.virtual_address(network)
        used = [virtual]
        assert ip_address(virtual) in subnet, f"the virtual address of {web} is {virtual}, {network} has {subnet}"
        insides = parallel(lambda task: [str(entry) for entry in held(cluster.probe(task))], tasks)
        for task, inside in zip(tasks, insides, strict=True):
            address = task.addresses[network]
            assert ip_address(address) in subnet, f"the task on {task.node} has {address}, {network} has {subnet}"
            assert address != str(gateway), f"the task on {task.node} was given the gateway's address, {gateway}"
            assert address not in used, f"the task on {task.node} was given {address}, which is in use: {few(used)}"
            used.append(address)
            assert f"{address}/{subnet.prefixlen}" in inside, (
                f"the task on {task.node} was given {address} of {subnet}, its container holds {inside}"
            )
        eventually(
            lambda network=network: all_reached(cluster, [cluster.probe(task) for task in tasks], tasks, network),
            f"tasks to reach each other at their addresses of {network}",
            deadline=GOSSIP,
            alike=True,
        )


@claim("7.3/attachable")
def test_docker_run_joins_an_attachable_overlay_from_every_node(cluster):
    network = create_overlay(cluster, "net", "--attachable", *subnet_options(cluster))
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    # Its name resolves to its tasks, so that requests by name go through no load balancer.
    direct = cluster.create_service("direct", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = web.wait_running(len(cluster.nodes))
    behind = direct.wait_running(len(cluster.nodes))
    chosen = subnets(cluster.manager)[network]

    def joined(node):
        bench = cluster.bench(node)
        box = bench.start("client", f"--network {network}")
        address = bench.address(box, network)
        assert address, f"a container of docker run on {node} has no address in {network}"
        inside = any(ip_address(address) in subnet for subnet in chosen)
        assert inside, f"a container of docker run on {node} has {address}, and {network} has {chosen}"
        return Probe(node, box)

    probes = parallel(joined, cluster.nodes)
    eventually(
        lambda: names_follow(cluster, probes, web, network),
        f"{web} to resolve in a container of docker run on every node",
        deadline=GOSSIP,
        alike=True,
    )
    eventually(
        lambda: tasks_resolve(cluster, probes, direct.name, behind, network),
        f"{direct} to resolve in a container of docker run on every node",
        deadline=GOSSIP,
        alike=True,
    )
    eventually(
        lambda: all_reached(cluster, probes, [*tasks, *behind], network),
        "containers of docker run to reach the tasks on every node",
        deadline=GOSSIP,
        alike=True,
    )
    every_size = every_size_reached(cluster, probes, tasks, network)
    assert every_size, every_size.summary
    known = {task.container[:12]: cluster.node(task.node) for task in behind}
    for probe, answers in zip(
        probes, parallel(lambda probe: probe.fetch([f"http://{direct}/"] * 5), probes), strict=True
    ):
        for answer in answers:
            assert answer.status == 200, f"a container of docker run on {probe.node} asked {direct} by name: {answer}"
            assert answer.container in known, f"{direct}, asked by name on {probe.node}, answered as {answer.container}"


@claim("7.3/not-attachable-refused")
def test_docker_run_is_refused_where_the_overlay_is_not_attachable(cluster):
    first, second = subnet_options(cluster, 2)
    closed, open = create_overlay(cluster, "closed", first), create_overlay(cluster, "open", "--attachable", second)
    service = cluster.create_service("web", "web:1", everywhere=True, networks=[closed])
    service.wait_running(len(cluster.nodes))

    def refuses(node):
        before = attached(node, closed)
        bench = cluster.bench(node)
        # The same command works for the attachable network, so a refusal is for this one not being attachable.
        let_in = bench.run("client", f"--network {open}", "true")
        assert let_in.ok, f"{node} refused docker run in {open}, which is attachable: {let_in.output}"
        refused = bench.run("client", f"--network {closed}", "true")
        assert not refused.ok, f"{node} let docker run into {closed}, which is not attachable"
        assert closed in refused.output, f"{node} refused docker run in {closed} without naming it: {refused.output}"
        left = [
            container["Names"][0] for container in node.containers(all=True, network=closed) if not is_task(container)
        ]
        assert not left, f"{node} refused docker run in {closed}, and has of it {left}"
        # A running container may not be connected either.
        box = bench.start("client")
        explanation = refusal(node.ask, "POST", f"/networks/{closed}/connect", body={"Container": box})
        assert explanation, f"{node} connected a container of docker run to {closed}, which is not attachable"
        assert not bench.address(box, closed), f"{node} refused to connect a container to {closed}, and it is connected"
        assert attached(node, closed) == before, f"{node} has in {closed} {attached(node, closed)}, before {before}"

    parallel(refuses, cluster.nodes)
    service.expect_running(len(cluster.nodes))


def attached(node, network):
    """Return the names of the network's endpoints on *node*."""
    return {endpoint["Name"] for endpoint in node.ask("GET", f"/networks/{network}").get("Containers", {}).values()}


def is_task(container):
    """Whether a container is a task's."""
    return TASK_LABEL in container["Labels"]


@claim("7.3/overlay-subnets-disjoint")
def test_subnets_that_the_swarm_chooses_overlap_nothing(cluster):
    networks = [create_overlay(cluster, f"net{number}") for number in range(6)]
    expect_disjoint(cluster, networks)
    # Subnets of removed networks may be used again, but not twice.
    for network in networks[::2]:
        cluster.remove_network(network)
    networks = networks[1::2] + [create_overlay(cluster, f"again{number}") for number in range(4)]
    expect_disjoint(cluster, networks)
    # A small subnet, as an owner may have the swarm choose, has no addresses for a task on every node.
    small = wide_subnet(cluster) is not None
    user = cluster.create_service("user", "client", everywhere=not small, networks=networks)
    tasks = user.expect_running(1 if small else len(cluster.nodes))
    expect_disjoint(cluster, networks)  # with all networks in use
    # The interfaces of one container show, too, whether the subnets differ.
    for task, found in zip(tasks, parallel(lambda task: held(cluster.probe(task)), tasks), strict=True):
        lacking = [
            f"{name} ({address})"
            for name, address in task.addresses.items()
            if address not in [str(it.ip) for it in found]
        ]
        assert not lacking, f"the task on {task.node} lacks interfaces in {lacking}"
        # Older engines give a container its service's virtual address too, which is of no subnet of its own (/32).
        own = [(str(address.ip), address.network) for address in found if address.network.num_addresses > 1]
        wrong = overlaps(own)
        assert not wrong, f"interfaces of a container on {task.node} overlap: {'; '.join(wrong)}"


def expect_disjoint(cluster, networks):
    """Expect that the subnets of *networks* come to overlap nothing."""
    with told(cluster, networks):
        # An engine lists a removed network until its last container is gone, and the subnet is free before that.
        eventually(
            lambda: disjoint(cluster, networks), "networks made without a subnet to overlap nothing", deadline=20
        )
