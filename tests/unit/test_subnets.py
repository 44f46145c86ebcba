"""Subnets of networks as engines tell them, at once or only while a task uses the network."""

from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest

from suites.support.subnets import addresses_in_use, free_subnets, pools, routes, subnets, wide_subnet
from swarmlab.errors import Blocked


class Engine:
    """An engine that lists *networks* and, as a manager, *tasks*."""

    def __init__(self, networks, tasks=()):
        self._answers = {"/networks": networks, "/tasks": list(tasks)}
        self.asked = []

    def ask(self, _, path):
        self.asked.append(path)
        return self._answers[path]

    def serves_cluster(self):
        return True


def network(name, *listed, driver="overlay", scope="swarm"):
    return {"Id": f"id-{name}", "Name": name, "Driver": driver, "Scope": scope, "IPAM": {"Config": list(listed)}}


def task(name, *listed):
    attached = {"ID": f"id-{name}", "IPAMOptions": {"Configs": list(listed)}}
    return {"NetworksAttachments": [{"Network": attached, "Addresses": ["10.0.1.3/24"]}]}


FIRST = {"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}


def test_what_networks_tell_is_taken_without_a_look_at_tasks():
    engine = Engine([network("first", FIRST), network("host", driver="host", scope="local")])
    assert subnets(engine) == {"first": [IPv4Network("10.0.1.0/24")], "host": []}
    assert engine.asked == ["/networks"]


def test_what_networks_do_not_tell_is_told_by_their_tasks():
    engine = Engine([network("first"), network("unused")], [{"ID": "of-a-container"}, task("first", FIRST)])
    assert pools(engine) == {"first": [("10.0.1.0/24", "10.0.1.1")], "unused": []}


def test_a_pool_of_another_protocol_is_no_subnet_here():
    assert subnets(Engine([network("both", FIRST, {"Subnet": "fd00::/64"})])) == {"both": [IPv4Network("10.0.1.0/24")]}


def test_routes_of_every_kind_are_told_by_their_subnet():
    lines = [
        "default ",
        "\tnexthop via 192.0.2.1 dev eth0 weight 1 ",
        "\tnexthop via 192.0.2.2 dev eth1 weight 1 ",
        "default via 192.0.2.3 dev eth0 metric 100",
        "10.1.0.0/16 proto static ",
        "unreachable 10.2.0.0/16 metric 4294967295",
        "local 127.0.0.1 dev lo table local",
    ]
    node = SimpleNamespace(run=lambda _: SimpleNamespace(out="\n".join(lines)))
    assert list(map(str, routes(node))) == ["10.1.0.0/16", "10.2.0.0/16", "127.0.0.1/32"]


@pytest.mark.parametrize(
    ("nodes", "size", "wide"),
    [(3, 24, None), (20, None, None), (62, 24, None), (63, 24, "172.30.0.0/16"), (20, 26, "172.30.0.0/16")],
)
def test_a_network_of_more_nodes_than_a_usual_subnet_has_addresses_for_gets_a_wide_one(monkeypatch, nodes, size, wide):
    monkeypatch.setattr("suites.support.subnets.free_subnets", lambda _: [IPv4Network("172.30.0.0/16")])
    manager = SimpleNamespace(ask=lambda *_: {"SubnetSize": size} if size else {})
    cluster = SimpleNamespace(manager=manager, nodes=[None] * nodes)
    assert wide_subnet(cluster) == (IPv4Network(wide) if wide else None)


def test_a_network_has_the_addresses_of_its_own_tasks_and_services_alone():
    def attached(network, state="running"):
        return {"Status": {"State": state}, "NetworksAttachments": [{"Network": {"ID": network}}]}

    tasks = [attached("one"), attached("one"), attached("one", "shutdown"), attached("other")]
    services = [{"Endpoint": {"VirtualIPs": [{"NetworkID": network}]}} for network in ("one", "other", "other")]
    services += [{}, {"Endpoint": {}}]
    assert [addresses_in_use(network, tasks, services) for network in ("one", "other")] == [3, 3]
    assert addresses_in_use("none", [*tasks, {"Status": {"State": "new"}}], services) == 0


def machine(*taken):
    listed = "".join(f"{subnet} via 192.0.2.1 dev eth0\n" for subnet in taken)
    return SimpleNamespace(own_processors=False, run=lambda _: SimpleNamespace(out=listed), ask=lambda *_: [])


def test_where_the_usual_private_subnets_are_taken_others_are_found():
    cluster = SimpleNamespace(nodes=[machine("172.16.0.0/12"), machine("10.0.0.0/8")])
    assert [str(it) for it in free_subnets(cluster, 3)] == ["198.18.0.0/16", "198.19.0.0/16", "100.100.0.0/16"]


def test_what_becomes_a_route_of_nodes_is_nobodys_subnet():
    assert free_subnets(SimpleNamespace(nodes=[machine()]), routed=True) == [IPv4Network("198.18.0.0/16")]
    with pytest.raises(Blocked, match=r"1 must be free on every node, and are: none"):
        free_subnets(SimpleNamespace(nodes=[machine("198.18.0.0/15")]), routed=True)
