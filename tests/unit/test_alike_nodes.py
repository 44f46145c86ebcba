"""Nodes of a swarm that exists whose host name or identity another one has are told apart, or refused in one line."""

from types import SimpleNamespace

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import lab as existing
from swarmlab.labs.existing.fitness import member_faults
from swarmlab.labs.existing.inventory import Inventory, Machine, refuse
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.existing.names import FINGERPRINT, names_of


def swarm(*machines):
    """Return the answers of machines, each given as host name, node id and address, and their swarm's members."""
    infos = {Connected(address): {"Name": name, "Swarm": {"NodeID": identity}} for name, identity, address in machines}
    members = {
        identity: {
            "ID": identity,
            "Description": {"Hostname": name},
            "Spec": {"Role": "worker", "Availability": "active"},
            "Status": {"State": "ready", "Addr": address},
        }
        for name, identity, address in machines
    }
    return infos, members


class Connected:
    """A connection to a machine."""

    def __init__(self, address):
        self.machine = Machine(address=address)


WEB = ("web", "abcdefgh1", "10.0.0.1")
OTHER = ("web", "zyxwvuts2", "10.0.0.2")
LAST = ("db", "mnopqrst3", "10.0.0.3")


def refuse_members(infos, members, manager, **how):
    refuse(member_faults(infos, members, manager, **how))


def refused(infos, members, *, to_judge, prints=None):
    with pytest.raises(UsageError) as told:
        refuse_members(infos, members, next(iter(infos)), to_judge=to_judge, prints=prints)
    return str(told.value).splitlines()


def test_nodes_of_one_host_name_are_told_apart_by_their_ids():
    infos, members = swarm(WEB, OTHER, LAST)
    refuse_members(infos, members, next(iter(infos)), to_judge=False)
    assert list(names_of(infos).values()) == ["web-abcde", "web-zyxwv", "db"]
    (line,) = refused(infos, members, to_judge=True)
    assert line.startswith("node web: 10.0.0.1 (id abcdefgh1) and 10.0.0.2 (id zyxwvuts2) have this host name")
    assert "hostnamectl set-hostname" in line


def test_copies_of_a_machine_are_told_apart_by_their_addresses():
    infos, members = swarm(WEB, ("web", WEB[1], "10.0.0.2"), LAST)
    prints = dict(zip(infos, ["boot 1 mac 1", "boot 2 mac 2", ""], strict=True))
    refuse_members(infos, members, next(iter(infos)), to_judge=False, prints=prints)
    assert list(names_of(infos).values()) == ["web-abcde-10.0.0.1", "web-abcde-10.0.0.2", "db"]
    (line,) = refused(infos, members, to_judge=True, prints=prints)
    assert "have one node id, abcdefgh1, so one is a copy of the other" in line
    assert "not: docker swarm leave" in line


def test_one_machine_that_is_named_twice_is_refused():
    infos, members = swarm(WEB, ("web", WEB[1], "10.9.9.1"), LAST)
    prints = dict.fromkeys(list(infos)[:2], "boot 1 mac 1")
    for to_judge in (False, True):
        (line,) = refused(infos, members, to_judge=to_judge, prints=prints)
        assert "are one machine, named twice; take one out of the inventory" in line


def test_a_member_that_is_missing_is_removed_by_its_id_where_its_name_is_anothers():
    infos, members = swarm(WEB, LAST)
    _, others = swarm(WEB, OTHER, LAST)
    assert "or: docker node rm zyxwvuts2" in refused(infos, others, to_judge=False)[0]
    _, others = swarm(WEB, ("cache", "zyxwvuts2", "10.0.0.2"), LAST)
    assert "or: docker node rm cache" in refused(infos, others, to_judge=False)[0]
    refuse_members(infos, members, next(iter(infos)), to_judge=True)


class Machinery:
    """Takes the place of a machine over SSH: its engine's answers are of a swarm of `swarm`."""

    infos, members, prints = {}, {}, {}

    def __init__(self, connection, name, address):
        self.connection, self.name, self.address = connection, name, address

    def info(self):
        info = self.infos[self.connection]
        swarm = {"LocalNodeState": "active", "ControlAvailable": True, "Cluster": {"ID": "c"}, "NodeAddr": "10.0.0.9"}
        return {**info, "Swarm": {**info["Swarm"], **swarm}}

    def ask(self, *_):
        return list(self.members.values())

    def look(self, command):
        assert command == FINGERPRINT
        return SimpleNamespace(out=self.prints.get(self.connection, ""))


@pytest.mark.parametrize("to_judge", [False, True])
def test_a_lab_of_nodes_of_one_host_name_has_names_that_differ_or_is_refused(monkeypatch, to_judge):
    infos, members = swarm(WEB, OTHER, ("web", OTHER[1], "10.0.0.4"), LAST)
    Machinery.infos, Machinery.members = infos, members
    Machinery.prints = {connection: connection.machine.address for connection in infos}
    monkeypatch.setattr(existing, "SshNode", Machinery)
    monkeypatch.setattr(existing, "be_discreet", lambda _: None)
    lab = InventoryLab(Inventory("nodes.yaml", tuple(connection.machine for connection in infos)))
    lab._connections = list(infos)
    if to_judge:
        with pytest.raises(UsageError, match=r"have one node id, zyxwvuts2(.|\n)*node web: .* have this host name"):
            lab._join_up(to_judge=True)
    else:
        lab._join_up(to_judge=False)
        assert [node.name for node in lab.nodes()] == [
            "web-abcde",
            "web-zyxwv-10.0.0.2",
            "web-zyxwv-10.0.0.4",
            "db",
        ]
