"""7.1: the swarm's networks, ingress and overlay."""

import pytest

from fixtures.claims import claim
from suites.support.traffic import (
    GOSSIP,
    all_answer,
    all_reached,
    asked_in_turn,
    every_size_reached,
    from_each,
    note_mesh,
)
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually


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
        # Managers list the networks of the swarm, and not those of their own engine, which tells of its own by the id.
        eventually(
            lambda node=node, id=network["Id"]: has_its_end(node, id),
            f"the engine of {node} to have its end of the network ingress",
        )


def has_its_end(node, id):
    """Whether an engine's own network of the routing mesh has its end, a sandbox without a container."""
    held = node.ask("GET", f"/networks/{id}").get("Containers") or {}
    return State("ingress-sbox" in held, f"it has the ends {few(held) or 'none'}")


@claim("7.1/ingress-balances")
def test_requests_to_the_published_port_reach_all_replicas(cluster):
    web = cluster.create_service("web", "web:1", replicas=3, publish={cluster.port(): 80})
    tasks = web.wait_running(3)
    port = web.published()
    note_mesh(cluster)

    eventually(
        lambda: from_each(cluster.nodes, lambda asked: all_answer(tasks, asked_in_turn(asked, port, 30))),
        f"every node to pass requests to its port {port} on to all replicas, and to lose none",
        deadline=GOSSIP,
        stable=2,
        alike=True,
    )


@claim("7.1/overlay-spans-nodes")
@pytest.mark.smoke
def test_bodies_of_every_size_pass_between_every_pair_of_nodes(cluster, network):
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    tasks = web.wait_running(len(cluster.nodes))
    probes = [cluster.probe(task) for task in tasks]
    # A new network may need a moment; then it must carry bodies of every size.
    eventually(
        lambda: all_reached(cluster, probes, tasks, network),
        "every node to reach every other on the overlay",
        deadline=GOSSIP,
        alike=True,
    )
    every_size = every_size_reached(cluster, probes, tasks, network)
    assert every_size, every_size.summary
