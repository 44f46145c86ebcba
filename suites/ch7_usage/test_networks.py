"""7.1: the swarm's networks, ingress and overlay."""

import pytest

from fixtures.claims import claim
from suites.traffic import all_answer, note_mesh, without_loss
from swarmlab.errors import Blocked
from swarmlab.wait import eventually

#: From what fits into any packet to what needs many; 1400 fits a plain packet and not one that VXLAN wraps.
SIZES = (1024, 1400, 65536, 1048576)


@claim("7.1/ingress-network")
def test_ingress_is_a_swarm_overlay_on_every_node(cluster):
    for node in cluster.nodes:
        networks = node.ask("GET", "/networks", filters={"name": ["ingress"]})
        found = [network for network in networks if network["Name"] == "ingress"]
        assert found, f"{node} has no network ingress"
        network = found[0]
        assert network["Driver"] == "overlay", f"ingress on {node} has driver {network['Driver']}"
        assert network["Scope"] == "swarm", f"ingress on {node} has scope {network['Scope']}"
        assert network["Ingress"] is True, f"ingress on {node} is not marked as ingress"


@claim("7.1/ingress-balances")
def test_requests_to_the_published_port_reach_all_replicas(cluster):
    web = cluster.create_service("web", "web:1", replicas=3, publish={cluster.port(): 80})
    tasks = web.wait_running(3)
    port = web.published()
    note_mesh(cluster)
    for asked in cluster.nodes:
        eventually(
            lambda asked=asked: all_answer(tasks, [asked.get(port) for _ in range(30)]),
            f"{asked} to pass requests to its port {port} on to all replicas, and to lose none",
            deadline=20,
            stable=2,
        )


@claim("7.1/overlay-spans-nodes")
@pytest.mark.smoke
def test_bodies_of_every_size_pass_between_every_pair_of_nodes(cluster, network):
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    tasks = web.wait_running(len(cluster.nodes))

    def passing(sizes, *, timeout):
        lost = {}
        for source in tasks:
            asked = [(target, size) for target in tasks for size in sizes]
            urls = [f"http://{target.addresses[network]}/bytes/{size}" for target, size in asked]
            for (target, size), fetched in zip(asked, cluster.probe(source).fetch(urls, timeout=timeout), strict=True):
                if fetched.status != 200 or fetched.size != size or fetched.container != target.container[:12]:
                    pair = cluster.node(source.node), cluster.node(target.node)
                    lost.setdefault(pair, f"{source.node} -> {target.node}, {size} bytes: {fetched}")
        return without_loss(lost, cluster.nodes)

    # A new network's paths may take a moment; once there they carry everything.
    eventually(lambda: passing(SIZES[:1], timeout=2), "every node to reach every other on the overlay", deadline=20)
    every_size = passing(SIZES, timeout=5)
    assert every_size, every_size.seen
