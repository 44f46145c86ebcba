"""networks: what passes through overlay networks, and what does not."""

from fixtures.claims import claim
from suites.support.captures import captured
from suites.support.joined import nothing_passes, roomy
from suites.support.names import addresses_of, leads_nowhere
from suites.support.traffic import GOSSIP, PROBES, REQUESTS, all_reached, every_size_reached
from suites.support.wire import vxlan_of
from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled, wait

#: Bytes that VXLAN adds to each packet on its way between nodes.
VXLAN = 50


def everywhere(cluster, network):
    """Create a web service with a task on every node in *network*, and return it with its tasks and their probes."""
    # Its name leads to its tasks, so that no request depends on a load balancer.
    service = cluster.create_service("web", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = service.expect_running(len(cluster.nodes))
    return service, tasks, [cluster.probe(task) for task in tasks]


def expect_passing(cluster, probes, tasks, network):
    """Expect that tasks of one network reach each other."""
    eventually(
        lambda: all_reached(cluster, probes, tasks, network),
        f"tasks to reach each other on {network}",
        deadline=GOSSIP,
        alike=True,
    )


@claim("networks/isolated")
def test_tasks_of_two_networks_do_not_reach_each_other(cluster):
    networks = roomy(cluster, "one", "two")
    sides = [(network, *everywhere(cluster, network)) for network in networks]
    for network, _, tasks, probes in sides:
        expect_passing(cluster, probes, tasks, network)
    for (mine, _, _, probes), (theirs, service, tasks, _) in (sides, sides[::-1]):
        passed = nothing_passes(probes, tasks, theirs)
        assert passed, f"tasks in {mine} reach tasks in {theirs}, which they are not in: {passed.summary}"
        unknown = leads_nowhere(probes, service.name, addresses_of(tasks))
        assert unknown, f"{service} of {theirs} resolves for tasks in {mine}: {unknown.summary}"


@claim("networks/internal")
def test_tasks_of_an_internal_network_reach_each_other_and_nothing_else(cluster):
    (inner,), (outer,) = roomy(cluster, "inner", Internal=True), roomy(cluster, "outer")
    _, tasks, probes = everywhere(cluster, inner)
    _, _, others = everywhere(cluster, outer)

    def reached(probe):
        """Return the nodes whose engine a container reaches."""
        asked = [f"nc -z -w {scaled(2):.0f} {node.address} {GOSSIP_PORT} && echo {node}" for node in cluster.nodes]
        return set(probe.run("; ".join(asked)).out.split())

    before = dict(zip(map(str, others), parallel(reached, others), strict=True))
    if not all(before.values()):
        shut = [name for name, found in before.items() if not found]
        raise Blocked(f"{few(shut)} in a network that is not internal reach no node")
    for probe, found in zip(probes, parallel(reached, probes), strict=True):
        assert not found, f"a task on {probe.node} in an internal network reaches {few(sorted(found))}"
    expect_passing(cluster, probes, tasks, inner)


@claim("networks/mtu-option")
def test_packets_of_a_network_are_as_short_as_its_mtu_says_and_bodies_pass(cluster):
    (network,) = roomy(cluster, "narrow", Options={"com.docker.network.driver.mtu": "1300"})
    wanted = 1300 - VXLAN
    _, tasks, probes = everywhere(cluster, network)
    for task, probe in zip(tasks, probes, strict=True):
        listed = probe.run(
            f"cat /sys/class/net/$(ip -o -4 address show to {task.addresses[network]} | cut -d ' ' -f 2)/mtu"
        )
        found = listed.output.strip()
        assert found == str(wanted), f"the interface of the task on {task.node} has MTU {found}, not {wanted}"
    expect_passing(cluster, probes, tasks, network)
    every_size = every_size_reached(cluster, probes, tasks, network)
    assert every_size, every_size.summary


def sealed(cluster):
    """Create an encrypted network, and return it with the tasks of a service on every node and their probes."""
    (network,) = roomy(cluster, "sealed", Options={"encrypted": ""})
    return (network, *everywhere(cluster, network)[1:])


@claim("networks/encrypted-passes")
def test_bodies_of_every_size_pass_through_an_encrypted_network(cluster):
    network, tasks, probes = sealed(cluster)
    expect_passing(cluster, probes, tasks, network)
    every_size = every_size_reached(cluster, probes, tasks, network)
    assert every_size, every_size.summary


@claim("networks/encrypted-unreadable")
def test_what_passes_through_an_encrypted_network_cannot_be_read_between_nodes(cluster):
    (plain,) = roomy(cluster, "plain")
    # The plain network comes last: once it can be read, all before it has been captured.
    sides = [sealed(cluster), (plain, *everywhere(cluster, plain)[1:])]
    words = {}
    with captured(cluster.nodes, [vxlan_of(cluster, network) for network, _, _ in sides]) as read:
        for network, tasks, probes in sides:
            expect_passing(cluster, probes, tasks, network)
            words[network] = cluster.unique("word")

            def ask(probe, network=network, tasks=tasks):
                others = [task for task in tasks if task.container != probe.container]
                urls = [f"http://{task.addresses[network]}/{words[network]}" for task in others]
                probe.fetch(urls, at_once=REQUESTS)

            parallel(ask, probes, at_once=PROBES)
        # The control: what passes through a network that is not encrypted is there to be read.
        wait(
            lambda: State(
                not (deaf := [str(node) for node in cluster.nodes if not read(node, words[plain])]), few(deaf)
            ),
            "every node's packets to be captured",
        )
        for network, word in words.items():
            if network != plain:
                readable = [str(node) for node in cluster.nodes if read(node, word)]
                assert not readable, f"what {few(readable)} sends through an encrypted network can be read"
