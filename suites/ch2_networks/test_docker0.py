"""2.1: docker0, and the network of a container that names none."""

from functools import partial
from ipaddress import ip_address, ip_network

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, last
from suites.support.interfaces import addresses, eth0_of, links
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually


@pytest.fixture
def subnet(node):
    """The subnet of the network bridge, as the engine lists it."""
    pools = node.ask("GET", "/networks/bridge")["IPAM"]["Config"]
    (subnet,) = [pool["Subnet"] for pool in pools if ":" not in pool["Subnet"]]  # there may be one of IPv6, too
    return ip_network(subnet, strict=False)


@claim("2.1/docker0")
def test_an_engine_has_a_bridge_docker0(node, subnet):
    docker0 = node.host.interface("docker0")
    assert docker0.exists, f"{node} has no interface docker0; it has {', '.join(links(node.run))}"
    assert node.host.file("/sys/class/net/docker0/bridge").is_directory, f"docker0 of {node} is no bridge"
    assert gateway(node, subnet), f"docker0 of {node} has {docker0.addresses}, and the network bridge is {subnet}"


@claim("2.1/container-address")
def test_each_container_gets_an_address_of_its_own_from_docker0(node, bench, subnet):
    found = {gateway(node, subnet): "docker0"}
    for box in (bench.start("client"), bench.start("client"), bench.start("client")):
        address = bench.address(box)
        assert address, f"on {node}, {box} was given no address"
        assert ip_address(address) in subnet, f"on {node}, {box} has {address}, which is not of docker0's {subnet}"
        assert address not in found, f"on {node}, {box} was given {address}, which {found[address]} has"
        found[address] = box
        held = addresses(partial(bench.execute, box)).get("eth0", [])
        assert held == [f"{address}/{subnet.prefixlen}"], f"on {node}, {box} was given {address}, its eth0 holds {held}"


@claim("2.1/veth-appears")
def test_starting_a_container_adds_one_end_of_a_veth_pair(node, bench):
    before = links(node.run)
    box = bench.start("client")
    after = links(node.run)
    eth0 = eth0_of(bench, box)
    new = [link for name, link in after.items() if name not in before and link.index == eth0.peer]
    (end,) = new if len(new) == 1 else [None]
    appeared = [name for name in after if name not in before]
    assert end, f"on {node}, one interface must appear whose other end is eth0 of {box}; {appeared} appeared"
    assert end.peer == eth0.index, f"{end.name} of {node} leads to interface {end.peer} of {box}, eth0 is {eth0.index}"
    assert end.master == "docker0", f"{end.name} of {node} is a port of {end.master or 'no bridge'}, not of docker0"
    kind = node.run(f"ip -details link show dev {end.name}").out
    assert " veth " in f"{kind} ".replace("\n", " "), f"{end.name} of {node} is no veth: {kind.strip()}"


@claim("2.1/veth-goes")
def test_stopping_the_container_removes_the_interface(node, bench):
    box = bench.start("client")
    eth0 = eth0_of(bench, box)
    ends = [link for link in links(node.run).values() if link.index == eth0.peer]
    assert ends, f"eth0 of {box} leads to no interface of {node}"
    accepted(node, f"stop -t 1 {box}")

    def gone():
        there = {(link.name, link.index) for link in links(node.run).values()}
        left = [link.name for link in ends if (link.name, link.index) in there]
        return State(not left, f"has {few(left)}")

    eventually(
        gone,
        f"{node} to remove the interface of the stopped {box}",
        deadline=10,
    )


@claim("2.1/containers-reach-each-other")
def test_two_containers_on_the_default_bridge_reach_each_other(node, bench):
    boxes = [bench.start("web:1"), bench.start("web:1")]
    for asking, asked in (boxes, reversed(boxes)):
        address = bench.address(asked)
        ping = bench.execute(asking, f"ping -c 1 -W 3 {address}")
        assert ping.ok, f"on {node}, a container does not reach the other by ping to {address}: {last(ping)}"
        eventually(
            partial(served, bench, asking, address),
            f"a container on {node} to be answered over HTTP by the other at {address}",
            deadline=10,
        )


@claim("2.1/default-route")
def test_a_container_that_names_no_network_goes_by_docker0(cluster, node, bench, subnet):
    box = bench.start("web:1")
    attached = list(bench.inspect(box)["NetworkSettings"]["Networks"])
    assert attached == ["bridge"], f"on {node}, a container that names no network is attached to {attached}"
    routes = bench.execute(box, "ip -4 route show default").out.split()
    wanted = ["default", "via", gateway(node, subnet)]
    assert routes[:3] == wanted, f"on {node}, docker0 is {wanted[2] or 'without address'}, the route is {routes}"
    # The other node sees a container that comes through docker0 with the address of the container's node.
    other = next((candidate for candidate in cluster.nodes if candidate is not node), node)
    if ":" in other.address:
        raise Blocked(f"the address of {other} is one of IPv6, to which docker0 leads no container")
    port = bench.port()
    elsewhere = cluster.bench(other)
    elsewhere.start("web:1", f"--publish {port}:80")
    found = eventually(
        lambda: came_as(bench.execute(box, f"curl --noproxy '*' -sS -m 3 -o /dev/null -D - {other.url(port)}")),
        f"a container on {node} to reach {other} through docker0",
        deadline=10,
    ).summary
    if other is not node:
        # A node with several cards is seen with the address of the card that leads there.
        own = node.addresses() - {gateway(node, subnet)}
        assert found in own, f"a container on {node} reaches {other} as {found}, not as {node.address}"


def gateway(node, subnet):
    """Return the address of docker0 in the subnet of the network bridge; empty if it has none."""
    held = [address.split("/")[0] for address in addresses(node.run).get("docker0", [])]
    return next((address for address in held if ip_address(address) in subnet), "")


def served(bench, asking, address):
    """Whether the web server at *address* answers the container *asking*."""
    done = bench.execute(asking, f"curl --noproxy '*' -sS -m 3 http://{address}/")
    return State(done.ok, last(done))


def came_as(done):
    """Whether the web server answered; the summary is the client address that it saw."""
    for line in done.out.splitlines():
        if line.lower().startswith("x-client:"):
            return State(done.ok, line.split()[1])
    return State(False, last(done))
