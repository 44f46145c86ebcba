"""The inventory that ``swarmlab init`` writes: a run that reads it reaches each node as it was reached."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
import yaml

from swarmlab.cli import init
from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.labs.existing import inventory, routes, written
from swarmlab.labs.existing.inventory import Inventory, Machine, learned
from swarmlab.labs.existing.node import NO_RIGHT
from swarmlab.labs.existing.places import is_reachable
from swarmlab.needs import Offers

TODAY = date(2026, 11, 30)


def member(identity, name, role="worker", address="", of_manager="", **more):
    return {
        "ID": identity,
        "Spec": {"Role": role, "Availability": "active", **more},
        "Status": {"State": "ready", "Addr": address},
        "Description": {
            "Hostname": name,
            "Engine": {"EngineVersion": "28.5.2"},
            "Platform": {"Architecture": "x86_64"},
        },
        **({"ManagerStatus": {"Addr": of_manager}} if of_manager else {}),
    }


@pytest.fixture
def swarm(tmp_path, monkeypatch):
    """Return a function that makes a lab of one manager, and of machines that were learned from it."""
    monkeypatch.setattr(routes, "USERS_OWN", (str(tmp_path / "config"),))
    (tmp_path / "config").write_text("")

    def _swarm(members, *, given=None, reached=None, unreached=None, config="", offers=None):
        (tmp_path / "config").write_text(config)
        given = given or Machine("10.0.0.1", user="ops")
        lab = SimpleNamespace(
            known=Inventory(f"ssh://ops@{given.address}", (given,), discover=True),
            members=members,
            cluster="c1u5ter",
            unreached=unreached or {},
            identities={},
            routes={},
            offers=Offers(3, look=offers or {}),
        )
        addresses = {members[0]["ID"]: given.address} if members else {}
        addresses |= reached or {}
        for identity, address in addresses.items():
            machine = given if address == given.address else learned(given, address)
            route = routes.route(machine, tmp_path)
            lab.routes[route.machine] = route
            connection = SimpleNamespace(machine=route.machine)
            lab.identities[identity] = SimpleNamespace(connection=connection)
        return lab

    return _swarm


MASTER = member("m1", "master", "manager", "0.0.0.0", "10.0.0.1:2377")
WORKER = member("w1", "slave01", address="10.0.0.2")


def read(tmp_path, text):
    file = tmp_path / "written.yaml"
    file.write_text(text)
    return inventory.read(str(file))


def test_it_has_every_node_with_the_way_to_it(swarm, tmp_path):
    made = written.write(swarm([MASTER, WORKER], reached={"w1": "10.0.0.2"}), today=TODAY)
    assert (made.notes, made.whole) == ((), True)
    known = read(tmp_path, made.text)
    assert known.machines == (
        Machine("10.0.0.1", "master", "manager", "ops"),
        Machine("10.0.0.2", "slave01", "worker", "ops"),
    )
    assert not known.discover
    assert "\nuser: ops\n" in made.text
    assert "  - {address: 10.0.0.1, name: master, role: manager}   # engine 28.5.2, x86_64" in made.text
    assert "--may-disrupt c1u5ter" in made.text
    assert "2026-11-30" in made.text


def test_what_differs_between_nodes_stands_with_each(swarm, tmp_path):
    config = "Host 10.0.0.2\n Port 2222\n User root\n"
    lab = swarm([MASTER, WORKER], given=Machine("10.0.0.1"), reached={"w1": "10.0.0.2"}, config=config)
    known = read(tmp_path, written.write(lab, today=TODAY).text)
    assert [(one.user, one.port) for one in known.machines] == [("root", 0), ("root", 2222)]


def test_an_alias_of_ssh_stays_and_holds_for_what_was_learned(swarm, tmp_path):
    for name in ("key", "key-of-gate"):
        (tmp_path / name).write_text("")
    config = (
        f"Host m1\n HostName 10.0.0.1\n User ops\n Port 2200\n IdentityFile {tmp_path}/key\n IdentitiesOnly yes\n"
        f" ProxyJump gate.example:2022\nHost gate.example\n User door\n IdentityFile {tmp_path}/key-of-gate\n"
    )
    lab = swarm([MASTER, WORKER], given=Machine("m1"), reached={"w1": "10.0.0.2"}, config=config)
    made = written.write(lab, today=TODAY)
    assert made.notes == ()
    known = read(tmp_path, made.text)
    first, second = known.machines
    assert (first.address, first.jump, first.key) == ("m1", "", None), "the configuration says it of the alias"
    assert (second.address, second.user, second.port) == ("10.0.0.2", "ops", 2200)
    assert (second.jump, second.key) == ("door@gate.example:2022", tmp_path / "key")
    for machine, reached in zip(known.machines, lab.routes.values(), strict=True):
        assert written._alike(machine, reached)[1] == []


def test_a_file_of_host_keys_is_taken_over_and_jumps_without_a_key_are_told(swarm, tmp_path):
    (tmp_path / "known").write_text("")
    config = f"Host m1\n HostName 10.0.0.1\n User ops\n UserKnownHostsFile {tmp_path}/known\n"
    lab = swarm([MASTER, WORKER], given=Machine("m1"), reached={"w1": "10.0.0.2"}, config=config)
    made = written.write(lab, today=TODAY)
    assert made.notes == ()
    assert [one.known_hosts for one in read(tmp_path, made.text).machines] == [None, tmp_path / "known"]
    (tmp_path / "key").write_text("")
    config = f"Host m1\n HostName 10.0.0.1\n IdentityFile {tmp_path}/key\n ProxyJump gate\n"
    lab = swarm([MASTER, WORKER], given=Machine("m1"), reached={"w1": "10.0.0.2"}, config=config)
    (note,) = written.write(lab, today=TODAY).notes
    assert "was reached with jumps of your configuration of ssh of m1" in note


def test_what_an_inventory_cannot_say_is_told(swarm, tmp_path):
    config = "Host m1\n HostName 10.0.0.1\n User ops\n ProxyCommand nc %h %p\n"
    lab = swarm([MASTER, WORKER], given=Machine("m1"), reached={"w1": "10.0.0.2"}, config=config)
    made = written.write(lab, today=TODAY)
    (note,) = made.notes
    assert note == (
        "node slave01: was reached with proxycommand of your configuration of ssh of m1, which an inventory does not "
        "hold; write them for Host 10.0.0.2 too"
    )
    assert made.whole
    read(tmp_path, made.text)


def test_what_was_given_with_the_manager_holds_for_all(swarm, tmp_path):
    (tmp_path / "key").write_text("")
    given = Machine("fd00::1", user="ops", port=2222, key=tmp_path / "key", jump="gate", sudo=True)
    lab = swarm([MASTER, WORKER], given=given, reached={"w1": "fd00::2"})
    made = written.write(lab, today=TODAY)
    assert made.notes == ()
    assert '{address: "fd00::2", name: slave01' in made.text
    for machine in read(tmp_path, made.text).machines:
        assert (machine.user, machine.port, machine.key, machine.jump, machine.sudo) == (
            "ops",
            2222,
            tmp_path / "key",
            "gate",
            True,
        )


def test_a_node_that_is_not_reached_has_its_entry_and_its_reason(swarm, tmp_path):
    why = "node slave01 (10.0.0.2): it does not answer; switch it on, or mend address, port and jump"
    made = written.write(swarm([MASTER, WORKER], unreached={"slave01": why}), today=TODAY)
    assert (made.notes, made.whole) == ((why,), False)
    assert f"  # NOT REACHED: {why}\n  - {{address: 10.0.0.2, name: slave01, role: worker}}" in made.text
    assert [machine.address for machine in read(tmp_path, made.text).machines] == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("address", ["0.0.0.0", "", "127.0.0.1", "::"])
def test_an_address_that_leads_nowhere_is_no_entry(swarm, tmp_path, address):
    worker = member("w1", "slave01", address=address)
    why = f"node slave01: the swarm has {address or 'no address'} for it, where it cannot be reached; write its address"
    made = written.write(swarm([MASTER, worker], unreached={"slave01": why}), today=TODAY)
    assert not made.whole
    assert (
        f"  # - {{address: ADDRESS}}   # slave01, worker: the swarm has {address or 'no address'} for it" in made.text
    )
    assert len(read(tmp_path, made.text).machines) == 1
    assert not is_reachable(address)


def test_nodes_of_one_host_name_have_none(swarm, tmp_path):
    other = member("w2", "slave01", address="10.0.0.3", Availability="drain")
    lab = swarm([MASTER, WORKER, other], reached={"w1": "10.0.0.2", "w2": "10.0.0.3"})
    made = written.write(lab, today=TODAY)
    assert [one.name for one in read(tmp_path, made.text).machines] == ["master", "", ""]
    assert made.notes == ("node slave01: other nodes have this host name too, so the inventory gives it none",)
    assert "drain" in made.text


def test_what_the_swarm_offers_is_told(swarm):
    offers = {"curl": lambda: "", "ipvs": lambda: "kernel has\nno IPVS", "api": lambda _: ""}
    text = written.write(swarm([MASTER], offers=offers), today=TODAY).text
    assert "# It offers: curl\n" in text
    assert "# It lacks ipvs, so claims that need it are blocked: kernel has no IPVS\n" in text


def test_text_of_the_swarm_makes_no_other_yaml(swarm, tmp_path):
    odd = member("w1", "yes", address="10.0.0.2")
    assert read(tmp_path, written.write(swarm([MASTER, odd], reached={"w1": "10.0.0.2"}), today=TODAY).text)
    wrong = member("w1", "a b", address="10.0.0.2")
    with pytest.raises(LabError, match=r"^what the swarm tells makes no inventory: .*; write it by hand$"):
        written.write(swarm([MASTER, wrong], reached={"w1": "10.0.0.2"}), today=TODAY)
    assert yaml.safe_load(f"x: {written._scalar('yes')}") == {"x": "yes"}
    assert yaml.safe_load(f"x: {written._scalar('1.0')}") == {"x": "1.0"}


def test_a_manager_without_a_leader_makes_no_inventory(swarm):
    with pytest.raises(UsageError, match="does not list the nodes of its swarm; see that the managers have a leader"):
        written.write(swarm([]), today=TODAY)


# The command


@pytest.fixture
def reach(monkeypatch, swarm):
    """Let the command reach a swarm; return what was tried."""
    tried = []

    class Lab:
        def __init__(self, known, **_):
            self.known = known
            self.down = lambda: tried.append("down")

        def connect(self, **how):
            assert how == {"to_judge": False, "partly": True}
            sudo = self.known.machines[0].sudo
            tried.append(sudo)
            if tried[0] is False and sudo is False and refusal:
                raise UsageError(refusal[0])
            made = swarm(members, given=replace(self.known.machines[0]), unreached=unreached)
            vars(self).update({name: value for name, value in vars(made).items() if name != "known"})

    refusal, members, unreached = [], [MASTER], {}
    monkeypatch.setattr(init, "InventoryLab", Lab)
    return SimpleNamespace(tried=tried, refusal=refusal, members=members, unreached=unreached)


def test_the_inventory_is_all_that_stands_on_standard_output(reach, capsys, tmp_path):
    assert main(["init", "--inventory", "ssh://ops@10.0.0.1"]) == 0
    printed = capsys.readouterr()
    assert len(read(tmp_path, printed.out).machines) == 1
    assert printed.err == "swarmlab: asking 10.0.0.1 for the nodes of its swarm\n"
    assert reach.tried == [False, "down"]


def test_a_user_who_needs_sudo_gets_it_without_a_try_where_it_is_not_needed(reach, capsys, tmp_path):
    reach.refusal.append(f"node 10.0.0.1: the user ops {NO_RIGHT}; add the user to the group docker")
    assert main(["init", "--inventory", "ssh://ops@10.0.0.1"]) == 0
    printed = capsys.readouterr()
    assert read(tmp_path, printed.out).machines[0].sudo
    assert "ops may use the engine by sudo alone: sudo: true" in printed.err
    assert reach.tried == [False, True, "down"]


def test_an_error_leaves_nothing_on_standard_output(reach, capsys):
    reach.refusal.append("node 10.0.0.1: it does not answer; switch it on")
    assert main(["init", "--inventory", "ssh://ops@10.0.0.1"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()[-1]) == ("", f"swarmlab: {reach.refusal[0]}")
    reach.refusal.clear()
    reach.members.clear()
    assert main(["init", "--inventory", "ssh://ops@10.0.0.1"]) == 2
    assert capsys.readouterr().out == ""


def test_a_node_that_is_not_reached_is_told_and_changes_the_status(reach, capsys):
    reach.members.append(WORKER)
    reach.unreached["slave01"] = "node slave01 (10.0.0.2): it does not answer; switch it on"
    assert main(["init", "--inventory", "ssh://ops@10.0.0.1"]) == 1
    printed = capsys.readouterr()
    assert "swarmlab: node slave01 (10.0.0.2): it does not answer; switch it on" in printed.err
    assert "NOT REACHED" in printed.out
