"""Settings of addresses and ports that a swarm is given when it is made."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, refusal
from suites.support.membership import init_with, join_with
from suites.support.subnets import create_overlay, free_subnets, overlaps, subnets, told
from suites.support.traffic import GOSSIP, all_reached
from suites.support.wire import counted, of_vxlan, vxlan_of
from swarmlab.cluster.node import DATA_PORT, MANAGEMENT_PORT
from swarmlab.cluster.swarm import Swarm
from swarmlab.wait import eventually

#: The size of subnets, and the port, that the swarms here are given.
SIZE, PORT = 26, 7789
outside = pytest.mark.cluster(managers=0, workers=0, spare=1)


@claim("pools/default-pool")
@outside
def test_new_overlays_have_subnets_of_the_pool_and_size_that_init_was_given(cluster):
    node = cluster.spare[0]
    swarm = Swarm([node], image=cluster.image)
    [pool] = free_subnets(swarm, 1)
    accepted(node, init_with(node, f"--default-addr-pool {pool} --default-addr-pool-mask-length {SIZE}"))
    swarm.wait_ready()
    networks = [create_overlay(swarm, f"net{number}", "--attachable") for number in range(3)]
    with told(swarm, networks):
        listed = subnets(node)
    # Not every engine lists the subnet of the mesh's network.
    chosen = {name: listed.get(name, []) for name in [*networks, *(["ingress"] if listed.get("ingress") else [])]}
    for name, given in chosen.items():
        assert len(given) == 1, f"{node} lists the subnets {given} of {name}"
        assert given[0].subnet_of(pool), f"{name} has {given[0]}, and the swarm was given the pool {pool}"
        assert given[0].prefixlen == SIZE, f"{name} has {given[0]}, and the swarm was given subnets of /{SIZE}"
    pairs = overlaps([(name, subnet) for name, given in chosen.items() for subnet in given])
    assert not pairs, f"of the pool {pool} these overlap: {'; '.join(pairs)}"


@claim("pools/data-path-port")
@pytest.mark.cluster(managers=0, workers=0, spare=2)
def test_overlays_use_the_port_for_data_that_init_was_given(cluster):
    manager, worker = cluster.spare
    accepted(manager, init_with(manager, f"--data-path-port {PORT}"))
    swarm = Swarm([manager, worker], image=cluster.image)
    accepted(worker, join_with(worker, manager, swarm.tokens()["Worker"]))
    swarm.wait_ready()
    network = swarm.create_network("net")
    web = swarm.create_service("web", "web:1", everywhere=True, networks=[network])
    tasks = web.wait_running(2)
    vxlan = vxlan_of(swarm, network)
    kinds = {"given": of_vxlan(PORT, vxlan), "usual": of_vxlan(DATA_PORT, vxlan)}
    probes = [swarm.probe(task) for task in tasks]
    with counted(manager, kinds) as at_manager, counted(worker, kinds) as at_worker:
        eventually(
            lambda: all_reached(swarm, probes, tasks, network),
            f"tasks on two nodes to reach each other with data on port {PORT}",
            deadline=GOSSIP,
        )
        for node, read in ((manager, at_manager), (worker, at_worker)):
            came = read()
            assert not came["usual"], (
                f"data was to use port {PORT}, and {came['usual']} packets came to {node} on {DATA_PORT}"
            )
            assert came["given"], f"no packet of data came to {node} on port {PORT}"


def expect_refused(node, wrong):
    """Judge that *node* makes no swarm with settings of *wrong*: a word of each refusal, and what is set, by name."""
    own = {"AdvertiseAddr": node.address, "ListenAddr": f"{node.address}:{MANAGEMENT_PORT}"}
    for what, (word, settings) in wrong.items():
        said = refusal(node.ask, "POST", "/swarm/init", body={**own, **settings})
        assert said, f"{node} made a swarm with {what}"
        assert word in said.lower(), f"{node} refuses {what} without a word of that: {said}"
        state = node.swarm_state()
        assert state == "inactive", f"{node} refused {what}, and is {state}"


@claim("pools/bad-addresses-refused")
@outside
def test_init_refuses_addresses_that_are_none(cluster):
    node = cluster.spare[0]
    wrong = {
        "the advertised address 0.0.0.0": ("address", {"AdvertiseAddr": "0.0.0.0"}),
        "an advertised address that is no address": ("address", {"AdvertiseAddr": "no-such-interface"}),
        "a listen address that is no address": ("address", {"ListenAddr": "no-such-interface:2377"}),
        "the address for data 0.0.0.0": ("address", {"DataPathAddr": "0.0.0.0"}),
        "an address for data that is no address": ("address", {"DataPathAddr": "no-such-interface"}),
    }
    expect_refused(node, wrong)


@claim("pools/bad-pools-refused")
@outside
def test_init_refuses_pools_that_are_none(cluster):
    node = cluster.spare[0]
    pool, size = "DefaultAddrPool", "SubnetSize"
    wrong = {
        "a pool that is no subnet": ("10.0.0.0/33", {pool: ["10.0.0.0/33"], size: 24}),
        "a pool of a host's address": ("10.77.1.1", {pool: ["10.77.1.1"], size: 24}),
        "subnets of /30": ("subnet", {pool: ["10.77.0.0/16"], size: 30}),
        "subnets that are wider than their pool": ("subnet", {pool: ["10.77.0.0/16"], size: 12}),
    }
    expect_refused(node, wrong)


@claim("pools/bad-ports-refused")
@outside
def test_init_refuses_ports_for_data_out_of_range(cluster):
    node = cluster.spare[0]
    expect_refused(node, {f"port {port} for data": ("port", {"DataPathPort": port}) for port in (1023, 49152, 70000)})
