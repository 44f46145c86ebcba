"""networks: what a swarm takes for a network, where it is known, and when it goes."""

from ipaddress import ip_address

from fixtures.claims import claim
from suites.support.commands import refusal
from suites.support.joined import boxes, held, identity, knows
from suites.support.placement import containers, lives, stays
from suites.support.subnets import free_subnets
from suites.support.traffic import GOSSIP, all_reached
from swarmlab.cluster.node import nodes_where
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait


def overlay(cluster, name, **settings):
    """Return the specification of an overlay network of the suite."""
    return {"Name": name, "Driver": "overlay", "Attachable": True, "Labels": {cluster.label: ""}, **settings}


@claim("networks/name-once")
def test_a_second_network_of_a_name_is_refused(cluster):
    name = cluster.create_network("once")
    first = identity(cluster, name)
    for manager in cluster.managers:
        refused = refusal(manager.ask, "POST", "/networks/create", body=overlay(cluster, name))
        assert "exists" in refused, f"{manager} made a second network {name}: {refused or 'not refused'}"
        listed = [net["Id"] for net in manager.ask("GET", "/networks", filters={"name": [name]}) if net["Name"] == name]
        assert listed == [first], f"{manager} lists for the name {name} {listed}, and {first} was made"


@claim("networks/in-use-stays")
def test_a_network_in_use_is_not_removed(cluster):
    network = cluster.create_network("used")
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = web.wait_running(len(cluster.nodes))
    before = lives(cluster, tasks)
    (box,) = boxes(cluster, network, cluster.nodes[-1:])
    _refused(cluster, network, f"{web} uses it")
    probes = [cluster.probe(task) for task in tasks]
    eventually(
        lambda: all_reached(cluster, [box, *probes], tasks, network),
        f"tasks to reach each other on {network}, which was not removed",
        deadline=GOSSIP,
        alike=True,
    )
    after = lives(cluster, tasks)
    changed = [f"{life} became {after[id]}" for id, life in before.items() if after[id] != life]
    assert not changed, f"a removal that was refused touched tasks of {web}: {few(changed, '; ')}"
    web.remove()
    # The container of docker run alone keeps it, on whatever node it is.
    wait(lambda: State(not (left := containers(cluster, web)), f"{len(left)} left"), f"the containers of {web} to end")
    _refused(cluster, network, f"a container of docker run on {box.node} uses it")
    assert held(box), f"the container on {box.node} lost its addresses"
    cluster.bench(box.node).remove(box.container)
    cluster.remove_network(network)


def _refused(cluster, network, why):
    for manager in cluster.managers:
        refused = refusal(manager.ask, "DELETE", f"/networks/{network}")
        assert "in use" in refused or "active endpoints" in refused, (
            f"{manager} was to remove {network} while {why}: {refused or 'not refused'}"
        )


@claim("networks/only-where-used")
def test_a_worker_knows_a_network_while_it_runs_something_in_it(cluster):
    workers = cluster.workers
    if len(workers) < 2:
        raise Blocked("the cluster has fewer than two workers")
    network = cluster.create_network("net")
    id = identity(cluster, network)
    for manager in cluster.managers:
        assert knows(manager, id), f"{manager}, a manager, does not list {network}"
    early = [str(worker) for worker in workers if knows(worker, id)]
    assert not early, f"{', '.join(early)} lists {network} before anything runs in it"
    # The first is a manager's, which lists every network: what it keeps of this one must go as well. A large cluster's
    # sample may have one worker.
    hosts = dict.fromkeys((cluster.manager, *cluster.sample, *workers[:2]))
    service = cluster.create_service("client", "idle", networks=[network])
    for host in hosts:
        service.move_to(host)
        assert knows(host, id), f"{host} runs a task in {network} and does not list it"
        # Else nothing would show whether it goes.
        wait(lambda host=host: _has_interfaces(host, id), f"{host} to have the interfaces of {network}")
        # Engines before 18.09.7 list it as long as the managers list the task that has ended.
        eventually(
            lambda host=host: _without_interfaces(cluster, id, host),
            f"no other node than {host} to keep {network}, once the task has moved there",
        )
    service.remove()
    eventually(lambda: _gone(cluster, id), f"no node to keep {network} once its last task has gone")


def _without_interfaces(cluster, id, *using):
    """Whether no node but those that are *using* a network has its interfaces."""
    others = [node for node in cluster.nodes if node not in using]
    left = [f"{node} has its interfaces" for node in nodes_where(lambda node: _has_interfaces(node, id), others)]
    return State(not left, few(left, "; ") or "none has its interfaces")


def _gone(cluster, id):
    """Whether no node has a network: workers list it, nodes have its interfaces."""
    left = [f"{worker} lists it" for worker in nodes_where(lambda worker: knows(worker, id), cluster.workers)]
    state = _without_interfaces(cluster, id)
    return State(state.done and not left, "; ".join(filter(None, (few(left, "; "), state.summary))))


def _has_interfaces(node, id):
    # Engines name the namespace of an overlay network by its id, and mount it while the network has interfaces.
    return node.run(f"grep -q -e '-{id[:10]} ' /proc/mounts").ok


@claim("networks/ip-range")
def test_addresses_are_of_the_range_that_was_given(cluster):
    (subnet,) = free_subnets(cluster)
    span = list(subnet.subnets(new_prefix=20))[7]
    config = {"Subnet": str(subnet), "IPRange": str(span), "Gateway": str(subnet[-2])}
    network = cluster.create_network("ranged", IPAM={"Config": [config]})
    services = [cluster.create_service(name, "idle", everywhere=True, networks=[network]) for name in ("one", "two")]
    for service in services:
        tasks = service.expect_running(len(cluster.nodes))
        given = {f"the task on {task.node}": task.addresses[network] for task in tasks}
        given[f"the virtual address of {service}"] = service.virtual_address(network)
        outside = {what: address for what, address in given.items() if ip_address(address) not in span}
        assert not outside, f"{network} was given the range {span} of {subnet}, and outside of it are {outside}"
    for box in boxes(cluster, network):
        mine = [address for address in held(box) if address.ip in subnet]
        assert mine, f"a container of docker run on {box.node} has no address in {subnet}: {held(box)}"
        for address in mine:
            assert address.ip in span, f"a container of docker run on {box.node} has {address}, not of {span}"
            assert address.network == subnet, f"a container on {box.node} has {address}, and the subnet is {subnet}"


@claim("networks/subnets-checked")
def test_a_subnet_that_makes_no_sense_is_refused(cluster):
    first, second = free_subnets(cluster, 2)
    for config, wrong in (
        ({"Subnet": str(first), "IPRange": str(second)}, "a range of another subnet"),
        ({"Subnet": str(first), "Gateway": str(second[1])}, "a gateway of another subnet"),
        ({"Subnet": "swarm"}, "no subnet at all"),
    ):
        body = overlay(cluster, cluster.unique("wrong"), IPAM={"Config": [config]})
        refused = refusal(cluster.manager.ask, "POST", "/networks/create", body=body)
        assert refused, f"{cluster.manager} made a network with {wrong}: {config}"
        made = [net["Name"] for net in cluster.manager.ask("GET", "/networks", filters={"name": [body["Name"]]})]
        assert not made, f"{cluster.manager} refused a network with {wrong}, and lists {made}"


@claim("networks/overlap-unused")
def test_no_task_is_given_an_address_of_a_subnet_that_another_network_has(cluster):
    (subnet,) = free_subnets(cluster)
    half = next(subnet.subnets(new_prefix=17))
    first = cluster.create_network("first", IPAM={"Config": [{"Subnet": str(subnet)}]})
    web = cluster.create_service("web", "idle", everywhere=True, networks=[first])
    web.wait_running(len(cluster.nodes))
    body = overlay(cluster, cluster.unique("second"), IPAM={"Config": [{"Subnet": str(half)}]})
    refused = refusal(cluster.manager.ask, "POST", "/networks/create", body=body)
    if refused:
        assert "overlap" in refused, f"a network of {half}, of which {first} has all, was refused so: {refused}"
        return
    # Managers that take the network must not give its addresses away.
    late = cluster.create_service("late", "idle", everywhere=True, networks=[body["Name"]])
    control = cluster.create_service("control", "idle", everywhere=True, networks=[cluster.create_network("third")])
    control.wait_running(len(cluster.nodes))

    def waits():
        given = [f"{task.node}: {task.addresses[body['Name']]}" for task in late.tasks() if task.addresses]
        return State(not given and not late.running(), f"{body['Name']} of {half} has tasks: {few(given) or 'none'}")

    stays(waits, f"no task to be given an address of {half}, which {first} has")


@claim("networks/ipv4-stays")
def test_a_network_of_a_swarm_without_ipv4_is_refused(cluster):
    body = overlay(cluster, cluster.unique("six"), EnableIPv4=False, EnableIPv6=True)
    refused = refusal(cluster.manager.ask, "POST", "/networks/create", body=body)
    assert "IPv4" in refused, f"a network of the swarm was made without IPv4: {refused or 'not refused'}"
