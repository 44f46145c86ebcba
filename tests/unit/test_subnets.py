"""Subnets of networks as engines tell them, at once or only while a task uses the network."""

from ipaddress import IPv4Network

from suites.support.subnets import pools, subnets


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
