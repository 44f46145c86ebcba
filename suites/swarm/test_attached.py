"""networks: containers of docker run in overlay networks, and the addresses that they have there."""

from functools import partial

import pytest

from fixtures.claims import claim
from suites.support.joined import boxes, held, identity, knows
from suites.support.names import names_follow
from suites.support.subnets import free_subnets, subnets
from suites.support.traffic import GOSSIP, all_reached
from swarmlab.cluster.probe import Probe
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, wait

#: The most replicas of a service that is first made; in a large cluster there are enough containers all the same.
MOST = 6
#: Containers that end by themselves: what they run, options and command of docker run, and the codes that it ends with.
FAILING = (
    ("a command that is not there", "--entrypoint /no/such/command", "", (126, 127)),
    ("a command that ended", "", "sh -c 'exit 3'", (3,)),
)


def given_subnet(cluster):
    """Create an attachable network with a subnet of its own, and return its name and the subnet."""
    (subnet,) = free_subnets(cluster)
    return cluster.create_network("net", IPAM={"Config": [{"Subnet": str(subnet)}]}), subnet


def each_with_another(cluster, subnet):
    """Return each node of the sample, each with another node and an address of *subnet* of its own."""
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")
    others = dict(zip(cluster.nodes, [*cluster.nodes[1:], cluster.nodes[0]], strict=True))
    first = subnet.num_addresses // 2
    return [(here, others[here], subnet[first + place]) for place, here in enumerate(cluster.sample)]


def two_nodes(cluster):
    """Return two nodes, not managers where there are others."""
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")
    return cluster.nodes[-1], cluster.nodes[-2]


def started_at(cluster, node, network, address):
    """Return a state that is true once a container runs on *node* with this address of *network*, and its name."""
    bench, name = cluster.bench(node), cluster.unique("one")
    command = f"run --detach --name {name} --label {bench.label} --network {network} --ip {address}"
    done = node.docker(f"{command} {bench.image('client')}")
    if not done.ok:
        node.docker(f"rm --force {name}")
    return State(done.ok, done.output[-300:]), name


def given_in_time(cluster, node, network, address, why):
    """Expect that a container on *node* gets this address of *network* soon, and return its name."""
    names = []

    def given():
        got, name = started_at(cluster, node, network, address)
        names.append(name)
        return got

    eventually(given, f"a container on {node} to get {address}, {why}", deadline=60)
    return names[-1]


@claim("networks/attach-fixed-address")
def test_a_container_gets_the_address_that_it_asks_for_if_nobody_has_it(cluster):
    network, subnet = given_subnet(cluster)
    places = each_with_another(cluster, subnet)

    def ask(place):
        here, _, address = place
        got, name = started_at(cluster, here, network, address)
        assert got, f"{here} refused docker run --ip {address} in {network} of {subnet}: {got.summary}"
        has = [str(it.ip) for it in held(Probe(here, name))]
        assert str(address) in has, f"a container on {here} asked for {address}, and has {few(has)}"
        return name

    def ask_too(place):
        here, there, address = place
        got, name = started_at(cluster, there, network, address)
        assert not got, f"{there} let container {name} have {address}, which one on {here} has"

    def ask_again(place):
        here, there, address = place
        return given_in_time(cluster, there, network, address, f"as the one on {here} has gone")

    # On all nodes at the same time, as engines refuse after 20 seconds.
    made = parallel(ask, places)
    parallel(ask_too, places)
    for (here, _, _), box in zip(places, made, strict=True):
        cluster.bench(here).remove(box)
    parallel(ask_again, places)


@claim("networks/attach-by-id")
def test_containers_join_a_network_by_its_id_from_every_node(cluster, network):
    web = cluster.create_service("web", "web:1", networks=[network])
    web.wait_running(1)
    tasks = [web.move_to(cluster.manager)]
    probes = boxes(cluster, identity(cluster, network))
    eventually(
        lambda: all_reached(cluster, probes, tasks, network) and names_follow(cluster, probes, web, network),
        f"containers that joined {network} by its id to reach {web} on every node",
        deadline=GOSSIP,
        alike=True,
    )


def run_failing(cluster, network, failing, place):
    """Run a container that ends by itself on the first node of a place (see `each_with_another`)."""
    (what, options, command, codes), (here, _, address) = failing, place
    failed = cluster.bench(here).run("client", f"--network {network} --ip {address} {options}", command)
    # With another code it was not the command that failed, and nothing may ever have had the address.
    assert failed.code in codes, f"{here} was to run {what} in {network}, and says ({failed.code}): {failed.output}"


def run_after(cluster, network, failing, place):
    """Expect that a container on the other node of a place gets the address of `run_failing`; return its name."""
    here, there, address = place
    return given_in_time(cluster, there, network, address, f"which one on {here} had, of {failing[0]}")


def forgot(node, id):
    """Whether a node does not list the network of this id."""
    return State(not knows(node, id), f"{node} lists it")


@claim("networks/attach-released")
def test_a_container_that_cannot_start_keeps_nothing_of_the_network(cluster):
    network, subnet = given_subnet(cluster)
    places = each_with_another(cluster, subnet)
    id = identity(cluster, network)
    for failing in FAILING:
        parallel(partial(run_failing, cluster, network, failing), places)
        made = parallel(partial(run_after, cluster, network, failing), places)
        for (_, there, _), box in zip(places, made, strict=True):
            cluster.bench(there).remove(box)
        for worker in cluster.workers:
            forgotten = partial(forgot, worker, id)
            eventually(forgotten, f"{worker} to forget {network}, in which nothing runs any more")
    cluster.remove_network(network)
    # A manager whose own engine had it may list it for a moment longer.
    for manager in cluster.managers:
        eventually(partial(forgot, manager, id), f"{manager} to forget {network}, which was removed")


@claim("networks/attach-ends-at-leave")
@pytest.mark.cluster(apart=True)
def test_a_node_that_leaves_lets_go_of_the_network(cluster):
    network, subnet = given_subnet(cluster)
    here, there = two_nodes(cluster)
    address = subnet[subnet.num_addresses // 2]
    id = identity(cluster, network)
    got, box = started_at(cluster, here, network, address)
    assert got, f"{here} refused docker run in {network}: {got.summary}"
    assert knows(here, id), f"{here} runs a container in {network} and does not list it"
    member = here.node_id()
    here.docker("swarm leave --force").expect(f"docker swarm leave on {here}", error=AssertionError)
    eventually(lambda: forgot(here, id), f"{here}, which left, to forget {network}")
    bench = cluster.bench(here)
    eventually(
        lambda: State(
            network not in (inside := bench.inspect(box)["NetworkSettings"]["Networks"]), f"in {list(inside)}"
        ),
        f"the container on {here}, which left, to be in {network} no more",
    )
    wait(lambda: cluster.state_of(member) == "down", f"the managers to see {here} down", deadline=60)
    cluster.manager.ask("DELETE", f"/nodes/{member}", force=True)
    given_in_time(cluster, there, network, address, f"which one on {here} had before {here} left")


@claim("networks/addresses-unique")
def test_no_two_containers_of_a_network_have_one_address(cluster, network):
    nodes = min(len(cluster.nodes), MOST)
    names = ["one", "two", "three"]
    services = parallel(lambda name: cluster.create_service(name, "idle", replicas=nodes, networks=[network]), names)
    inside = boxes(cluster, network)
    for service in services:
        service.wait_running(nodes)
    _expect_unique(cluster, network, services, inside)
    # Addresses of what has gone are given again, and not twice.
    parallel(lambda service: service.scale(2 * nodes), services)
    inside += boxes(cluster, network)
    for service in services:
        service.wait_running(2 * nodes)
    parallel(lambda service: service.scale(nodes), services)
    last = cluster.create_service("last", "idle", replicas=2 * nodes, networks=[network])
    last.wait_running(2 * nodes)
    _expect_unique(cluster, network, [*services, last], inside)


def _expect_unique(cluster, network, services, inside):
    """Expect that no two containers and services have one address of *network*, by what containers hold themselves."""
    mine = subnets(cluster.manager)[network]
    tasks = [task for service in services for task in service.running()]
    containers = {f"the task {task.id} on {task.node}": cluster.probe(task) for task in tasks}
    containers |= {f"the container {probe.container} on {probe.node}": probe for probe in inside}
    owners = {service.virtual_address(network): [f"{service}, its virtual address"] for service in services}
    for who, addresses in zip(containers, parallel(held, containers.values()), strict=True):
        # Older engines give a task its service's virtual address too, as one of no subnet (/32).
        own = [str(it.ip) for it in addresses if it.network.prefixlen < 32 and any(it.ip in subnet for subnet in mine)]
        assert own, f"{who} has no address of {network}: {few(map(str, addresses))}"
        for address in own:
            owners.setdefault(address, []).append(who)
    twice = {address: each for address, each in owners.items() if len(each) > 1}
    assert not twice, f"in {network} one address is of several: {twice}"
