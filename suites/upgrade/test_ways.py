"""The ways between nodes of both engines, and from them to the registry."""

from fixtures.claims import claim
from fixtures.rehearsal import at
from suites.traffic import GOSSIP, all_reached, every_size_reached
from suites.upgrade.names import names_lead
from swarmlab.labels import parallel
from swarmlab.wait import State, eventually


@claim("upgrade/names-and-bodies", "known/bodies-over-mtu")
def test_names_resolve_and_bodies_pass_between_all_nodes(course, cluster):
    estate = course.estate
    tasks = estate.site.wait_running(len(cluster.nodes))
    probes = [cluster.probe(task) for task in tasks]
    eventually(lambda: names_lead(estate, probes), "every name to resolve on every node", deadline=GOSSIP)
    eventually(
        lambda: every_size_reached(cluster, probes, tasks, estate.network),
        "bodies of every size to pass between every two nodes",
        deadline=GOSSIP,
    )


@claim("upgrade/pulls")
def test_every_node_pulls_from_the_registry(cluster):
    image = cluster.image("hello")

    def pulled(node):
        node.docker(f"image rm -f {image}")
        done = node.docker(f"pull -q {image}")
        return "" if done.ok else f"{node} cannot pull {image}: {done.said[-300:]}"

    wrong = [words for words in parallel(pulled, cluster.nodes) if words]
    assert not wrong, "; ".join(wrong)


@claim("upgrade/published-ports")
def test_a_published_port_answers_on_every_node(cluster):
    port = cluster.port()
    web = cluster.create_service("mesh", "web:1", replicas=2, publish={port: 80})
    web.wait_running(2)
    for node in cluster.nodes:

        def answered(node=node):
            answers = [node.get(port) for _ in range(6)]
            wrong = [str(answer) for answer in answers if not answer.ok]
            return State(not wrong, f"{node} answers {', '.join(wrong)}")

        eventually(answered, f"port {port} to answer on {node}", deadline=GOSSIP)
    web.remove()


@claim("upgrade/encrypted-overlay", "known/encrypted-overlay-mixed")
@at("mixed")
def test_an_encrypted_overlay_passes_bodies_between_engines(cluster):
    network = cluster.create_network("sealed", Options={"encrypted": ""})
    site = cluster.create_service("sealed", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    tasks = site.wait_running(len(cluster.nodes))
    probes = [cluster.probe(task) for task in tasks]
    eventually(
        lambda: all_reached(cluster, probes, tasks, network, (1048576,), timeout=10),
        "bodies of 1 MB to pass between every two nodes on an encrypted network",
        deadline=40,
    )
    site.remove()
    cluster.remove_network(network)
