"""The ways between nodes of both engines, and from them to the registry."""

from contextlib import ExitStack, suppress

from fixtures.claims import claim
from fixtures.rehearsal import at
from suites.support.traffic import GOSSIP, all_reached, every_size_reached
from suites.support.upgrade.encrypted_packets import counting
from swarmlab.errors import DeadlineExceeded
from swarmlab.parallel import parallel
from swarmlab.rehearsal.likeness.services import VXLAN_ID
from swarmlab.wait import eventually, wait


@claim("upgrade/names-and-bodies", "known/bodies-over-mtu")
def test_names_resolve_and_bodies_pass_between_all_nodes(course, cluster):
    estate = course.estate
    tasks = estate.site.wait_running(len(cluster.nodes))
    probes = [cluster.probe(task) for task in tasks]
    eventually(lambda: estate.names_resolve(probes), "every name to resolve on every node", deadline=course.patience)
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
        done = node.docker(f"pull {image}")
        return "" if done.ok else f"{node} cannot pull {image}: {done.output[-300:]}"

    wrong = [error for error in parallel(pulled, cluster.nodes) if error]
    assert not wrong, "; ".join(wrong)


@claim("upgrade/encrypted-overlay", "known/encrypted-overlay-mixed")
@at("mixed")
def test_an_encrypted_overlay_passes_bodies_between_engines(cluster):
    network, site = sealed(cluster)
    promise = "bodies of 1 MB to pass between every two nodes on an encrypted network"
    eventually(bodies_pass(cluster, network, site), promise, deadline=40)
    site.remove()
    cluster.remove_network(network)


@claim("known/encrypted-overlay-cleartext")
@at("turns")
def test_an_encrypted_overlay_sends_nothing_in_clear(cluster):
    network, site = sealed(cluster)
    vxlan = cluster.manager.ask("GET", f"/networks/{network}")["Options"][VXLAN_ID]
    with ExitStack() as held:
        counted = {node: held.enter_context(counting(node, vxlan)) for node in cluster.nodes}
        with suppress(DeadlineExceeded):  # another claim judges that they pass
            wait(bodies_pass(cluster, network, site), "bodies to be sent", deadline=40)
        for node, read in counted.items():
            clear, encrypted = read()
            assert not clear, f"{clear} packets of an encrypted network came to {node} in clear"
            assert encrypted, f"no packet of an encrypted network came to {node}"
    site.remove()
    cluster.remove_network(network)


def sealed(cluster):
    """Create an encrypted network, and a service in it with a task on every node."""
    network = cluster.create_network("sealed", Options={"encrypted": ""})
    site = cluster.create_service("sealed", "web:1", everywhere=True, networks=[network], endpoint_mode="dnsrr")
    site.wait_running(len(cluster.nodes))
    return network, site


def bodies_pass(cluster, network, site):
    """Return a function that looks whether bodies of 1 MB pass between all tasks of *site*."""
    tasks = site.running()
    probes = [cluster.probe(task) for task in tasks]
    return lambda: all_reached(cluster, probes, tasks, network, (1048576,), timeout=10)
