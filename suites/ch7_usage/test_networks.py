"""7.1: the swarm's networks, ingress and overlay."""

from fixtures.claims import claim
from suites.ch7_usage.traffic import spread_of_answers
from swarmlab.swarm import common

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
    replicas = {task.container[:12] for task in web.wait_running(3)}
    for asked in cluster.nodes:
        answered = spread_of_answers(lambda asked=asked: web.get(asked), times=30)
        assert set(answered) == replicas, f"asked at {asked}, of the replicas {replicas} answered {dict(answered)}"


@claim("7.1/overlay-spans-nodes")
def test_bodies_of_every_size_pass_between_every_pair_of_nodes(cluster, network):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
    tasks = web.wait_running(len(cluster.nodes))
    lost = {}
    for source in tasks:
        probe = cluster.probe(source)
        for target in tasks:
            urls = [f"http://{target.addresses[network]}/bytes/{size}" for size in SIZES]
            for size, fetched in zip(SIZES, probe.fetch(urls), strict=True):
                if fetched.status != 200 or fetched.size != size:
                    pair = cluster.node(source.node), cluster.node(target.node)
                    lost.setdefault(pair, f"{source.node} -> {target.node}, {size} bytes: {fetched}")
    assert not lost, f"no traffic on the overlay with {' and '.join(common(lost, cluster.nodes))}: " + "; ".join(
        lost.values()
    )
