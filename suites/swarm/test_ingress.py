"""networks: a swarm whose network of the routing mesh is taken away and made anew."""

from ipaddress import ip_address

import pytest

from fixtures.claims import claim
from suites.support.commands import refusal
from suites.support.mesh import mesh_of
from suites.support.published import published
from suites.support.subnets import free_subnets
from suites.support.traffic import GOSSIP, all_answer, asked_in_turn, from_each
from swarmlab.cluster.swarm import has_ingress
from swarmlab.wait import State, eventually, wait


def rid_of_ingress(cluster):
    """Remove the network of the routing mesh, and wait until no node has it."""
    cluster.manager.ask("DELETE", f"/networks/{mesh_of(cluster)}")

    def gone():
        # Managers list the swarm's networks, not those of their own engine, so that its namespace counts too.
        left = [str(it) for it in cluster.nodes if has_ingress(it) or it.run("grep -q ingress_sbox /proc/mounts").ok]
        return State(not left, f"it is on {', '.join(left) or 'none'}")

    wait(gone, "the network of the routing mesh to be gone", deadline=60)


@claim("networks/ingress-in-use-stays")
@pytest.mark.cluster(apart=True)
def test_the_network_of_the_mesh_stays_while_a_service_publishes(cluster):
    web = cluster.create_service("web", "idle", publish={cluster.port(): 80})
    web.wait_running(1)
    mesh = mesh_of(cluster)
    refused = refusal(cluster.manager.ask, "DELETE", f"/networks/{mesh}")
    named = web.name in refused or web.id in refused
    assert named, f"{cluster.manager} was to remove {mesh} while {web} publishes: {refused or 'not refused'}"
    lacking = [str(node) for node in cluster.nodes if not has_ingress(node)]
    assert not lacking, f"{mesh} was not to be removed, and is gone from {', '.join(lacking)}"


@claim("networks/no-ingress-no-publishing")
@pytest.mark.cluster(apart=True)
def test_without_a_network_of_the_mesh_nothing_is_published_through_it(cluster):
    port = cluster.port()
    rid_of_ingress(cluster)
    refused = refusal(cluster.create_service, "web", "web:1", publish={port: 80})
    assert "ingress" in refused, (
        f"{cluster.manager} lets a service publish {port}, and the mesh has no network: {refused or 'not refused'}"
    )
    plain = cluster.create_service("plain", "web:1", everywhere=True, publish={port: 80}, publish_mode="host")
    plain.expect_running(len(cluster.nodes))


@claim("networks/ingress-made-anew")
@pytest.mark.cluster(apart=True)
def test_the_network_of_the_mesh_can_be_made_with_another_subnet(cluster):
    rid_of_ingress(cluster)
    (subnet,) = free_subnets(cluster)
    name = cluster.unique("mesh")
    body = {
        "Name": name,
        "Driver": "overlay",
        "Ingress": True,
        "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": str(subnet[2])}]},
        "Options": {"com.docker.network.driver.mtu": "1200"},
    }
    cluster.manager.ask("POST", "/networks/create", body=body)
    refused = refusal(cluster.manager.ask, "POST", "/networks/create", body={**body, "Name": cluster.unique("mesh")})
    assert refused, f"{cluster.manager} made a second network for the swarm's routing mesh"

    port = cluster.port()
    web = cluster.create_service("web", "web:1", everywhere=True, publish={port: 80})
    for task in web.expect_running(len(cluster.nodes)):
        address = task.addresses.get(name, "")
        assert address, f"the task on {task.node} publishes {port}, and is not in {name}"
        assert ip_address(address) in subnet, (
            f"the task on {task.node} publishes {port} and has {address}, and {name} has {subnet}"
        )
        inside = cluster.probe(task).run(f"ip -o -4 address show to {address}").out.split()
        mtu = cluster.probe(task).run(f"cat /sys/class/net/{inside[1]}/mtu").out.strip() if inside else "no interface"
        assert mtu == "1150", f"the task on {task.node} has MTU {mtu} in {name}, which was made with 1200"

    def everywhere():
        lacking = [str(node) for node in cluster.nodes if not _has(node, name, subnet)]
        return State(not lacking, f"not so on {', '.join(lacking) or 'none'}")

    eventually(everywhere, f"every node to have the mesh's network {name} of {subnet}", deadline=60)
    given = [entry for entry in published(web) if entry[0] == port]
    assert given, f"{cluster.manager} does not list {port} of {web}: {published(web)}"


def _has(node, name, subnet):
    found = [net for net in node.ask("GET", "/networks", filters={"name": [name]}) if net["Name"] == name]
    return any(
        net["Ingress"] and [pool["Subnet"] for pool in net["IPAM"]["Config"] or []] == [str(subnet)] for net in found
    )


@claim("networks/ingress-anew-routes")
@pytest.mark.cluster(apart=True)
def test_a_network_of_the_mesh_that_was_made_anew_routes_to_all_tasks(cluster):
    rid_of_ingress(cluster)
    name = cluster.unique("mesh")
    cluster.manager.ask("POST", "/networks/create", body={"Name": name, "Driver": "overlay", "Ingress": True})
    port = cluster.port()
    web = cluster.create_service("web", "web:1", replicas=2, publish={port: 80})
    tasks = web.expect_running(2)

    eventually(
        lambda: from_each(cluster.nodes, lambda asked: all_answer(tasks, asked_in_turn(asked, port, 12))),
        f"every node to pass requests to its port {port} on to all replicas, by the new network {name}",
        deadline=GOSSIP,
        alike=True,
    )
