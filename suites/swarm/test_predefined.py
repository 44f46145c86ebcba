"""networks: services on networks that every node has by itself, and on networks that each node configures."""

from contextlib import contextmanager
from ipaddress import IPv4Network

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.interfaces import stack
from suites.support.joined import held
from suites.support.subnets import free_subnets
from swarmlab.cluster.marks import removed
from swarmlab.errors import Blocked, LabError
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait


@claim("networks/predefined-host")
def test_a_service_on_host_uses_the_network_of_each_node(cluster):
    port = cluster.port()
    command = ["sh", "-c", f"sed -i 's/listen 80/listen {port}/' /etc/nginx/nginx.conf && exec web"]
    web = cluster.create_service("web", "web:1", everywhere=True, networks=["host"], command=command)
    tasks = web.expect_running(len(cluster.nodes))
    for task in tasks:
        node = cluster.node(task.node)
        inside, outside = stack(cluster.probe(task).run), stack(node.run)
        assert inside == outside, f"the task on {node} is in network {inside}, and the node's own is {outside}"
    if len(cluster.nodes) < 2:
        raise Blocked("the cluster has one node")

    def answer():
        wrong = []
        for node, other in zip(cluster.nodes, [*cluster.nodes[1:], cluster.nodes[0]], strict=True):
            answered = other.run(f"curl --noproxy '*' -s -m 5 {node.url(port)}").output.strip()
            # A task in its node's network has its node's host name.
            if answered != node.run("hostname").out.strip():
                wrong.append(f"{other} asked {node}, and was answered {answered[-200:] or 'nothing'}")
        return State(not wrong, few(wrong, "; ") or "all answer")

    eventually(answer, f"what tasks on host listen on, port {port}, to answer at their nodes' addresses", deadline=20)


@claim("networks/predefined-bridge")
def test_a_service_on_bridge_is_on_the_bridge_of_each_node(cluster):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=["bridge"])
    for task in web.expect_running(len(cluster.nodes)):
        node = cluster.node(task.node)
        configured = node.ask("GET", "/networks/bridge")["IPAM"]["Config"]
        subnets = [IPv4Network(entry["Subnet"]) for entry in configured if ":" not in entry["Subnet"]]
        given = held(cluster.probe(task))
        mine = [it for it in given if it.network in subnets]
        assert mine, (
            f"the task on {node} has {few(map(str, given)) or 'no address'}, and the bridge {few(map(str, subnets))}"
        )
        assert len(given) == len(mine), f"the task on {node} is on the bridge, and has {few(map(str, given))}"
        # The node reaches the task there; that address means nothing on other nodes.
        answer = node.run(f"curl --noproxy '*' -s -m 5 http://{mine[0].ip}/")
        assert answer.out.strip() == task.container[:12], (
            f"{node} asked its task at {mine[0].ip} on the bridge, and was answered {answer.output[-200:] or 'nothing'}"
        )


@claim("networks/node-configurations")
def test_a_network_of_the_swarm_takes_the_configuration_of_each_node(cluster):
    (subnet,) = free_subnets(cluster, routed=True)
    mine = dict(zip(map(str, cluster.nodes), subnet.subnets(new_prefix=24), strict=False))
    with configured(cluster, "bridge", {node.name: f"--subnet {mine[node.name]}" for node in cluster.nodes}) as network:
        web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
        for task in web.expect_running(len(cluster.nodes)):
            given = held(cluster.probe(task))
            assert any(it.network == mine[task.node] for it in given), (
                f"the task on {task.node} has {few(map(str, given)) or 'no address'}, and {network} is there"
                f" configured with {mine[task.node]}"
            )


@claim("networks/macvlan")
@pytest.mark.cluster(apart=True)
def test_tasks_of_a_macvlan_network_are_on_the_network_of_their_nodes(cluster):
    made = "ip link add one type veth peer name two && ip link add link one name three type macvlan"
    for node in cluster.nodes:
        if not node.run(f"unshare -n sh -c '{made}'").ok:
            raise Blocked(f"the kernel of {node} has no macvlan")
    (subnet,) = free_subnets(cluster)
    ranges = dict(zip(map(str, cluster.nodes), subnet.subnets(new_prefix=24), strict=False))
    options = {}
    for node in cluster.nodes:
        listed = node.run(f"ip -o -4 address show to {node.address}").expect(f"the interface of {node}")
        span = f"--subnet {subnet} --gateway {subnet[-2]} --ip-range {ranges[node.name]}"
        options[node.name] = f"{span} --opt parent={listed.split()[1]}"
    with configured(cluster, "macvlan", options) as network:
        web = cluster.create_service("web", "web:1", everywhere=True, networks=[network])
        tasks = web.expect_running(len(cluster.nodes))
        given = {}
        for task in tasks:
            has = [it for it in held(cluster.probe(task)) if it.network == subnet]
            assert has, f"the task on {task.node} has no address of {subnet}"
            assert has[0].ip in ranges[task.node], (
                f"the task on {task.node} has {has[0]}, and {network} is there configured with {ranges[task.node]}"
            )
            given[task.container[:12]] = str(has[0].ip)

        def all_pass():
            wrong = []
            for task in tasks:
                for name, answer in zip(
                    given, cluster.probe(task).fetch(f"http://{it}/" for it in given.values()), strict=True
                ):
                    if answer.container != name:
                        wrong.append(f"{task.node} -> {given[name]}: {answer}")
            return State(not wrong, few(wrong, "; ") or "all passed")

        eventually(all_pass, f"tasks of {network} on all nodes to reach each other", deadline=20)


@contextmanager
def configured(cluster, driver, options):
    """Make a network of the swarm of a driver that is each node's own.

    Args:
        cluster: the swarm.
        driver: the driver.
        options: the options by which each node configures it, by the node's name.

    Yields:
        The network's name.
    """
    configuration, network = cluster.unique("configuration"), cluster.unique("net")
    label = f"--label {cluster.label}"
    for node in cluster.nodes:
        accepted(node, f"network create --config-only {options[node.name]} {label} {configuration}")
    # Such a network has no labels of its own.
    command = f"network create --driver {driver} --scope swarm --config-from {configuration} {network}"
    accepted(cluster.manager, command)
    try:
        yield network
    finally:
        # Nodes do not part with a configuration while something uses it.
        cluster.remove(cluster.made("services"))
        cluster.remove_network(network)
        for node in cluster.nodes:
            wait(
                lambda node=node: removed(node, f"/networks/{configuration}"),
                f"the configuration of {node} to be free",
                error=LabError,
            )
