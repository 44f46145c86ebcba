"""Addresses of a container lab's clusters, and the memory that it takes."""

from types import SimpleNamespace

import pytest

from swarmlab import host
from swarmlab.errors import LabError, UsageError
from swarmlab.host import MIB, free_memory
from swarmlab.labs import hosts
from swarmlab.labs.base import Request
from swarmlab.labs.containers import kind, lab, neighbours
from swarmlab.labs.containers.lab import NODE_MEMORY, DindLab


@pytest.fixture
def made(monkeypatch):
    """Return a function that makes a lab of which only the addresses of nodes are made."""
    monkeypatch.setattr(DindLab, "prefix", "192.168.56")
    monkeypatch.setattr(lab, "remove_cluster", lambda *_: None)
    monkeypatch.setattr(lab.provision, "share_keys", lambda _: None)

    def create(self, _, place, addresses, known, __):
        name = list(addresses)[place]
        assert known["registry"] == f"192.168.56.{hosts.REGISTRY_OCTET}"
        if self.name == "broken":
            raise LabError(f"{name} ended at once")
        return SimpleNamespace(name=name, address=addresses[name])

    monkeypatch.setattr(DindLab, "_create_node", create)
    monkeypatch.setattr(DindLab, "_root", lambda *_: "root")

    def make(nodes, name="one"):
        one = DindLab(SimpleNamespace(), name=name, nodes=nodes)
        one.images = ["image"]
        return one

    return make


def octets(nodes):
    return [int(node.address.rpartition(".")[2]) for node in nodes]


def test_the_documents_nodes_have_its_addresses_and_no_address_is_twice():
    assert hosts.OCTETS[:3] == (101, 104, 103)
    assert len(set(hosts.OCTETS)) == len(hosts.OCTETS) == 244
    assert not {0, 1, *hosts.GUESTS, hosts.REGISTRY_OCTET, 255}.intersection(hosts.OCTETS)


def test_clusters_take_the_addresses_that_are_free(made):
    one = made(20)
    second, third = one.more(60), one.more(5)
    first = one.nodes()
    taken = octets([*first, *second, *third])
    assert octets(first)[:3] == [101, 104, 103]
    assert len(set(taken)) == 85
    assert one.free == 244 - 85
    one.remove(second)
    assert one.free == 244 - 25
    assert set(octets(one.more(60))) == set(octets(second))


def test_the_default_clusters_addresses_stay_its_own_while_it_is_away(made):
    one = made(3)
    assert not {101, 104, 103}.intersection(octets(one.more(60)))
    one.remove(one.nodes())
    assert not {101, 104, 103}.intersection(octets(one.more(60)))
    assert octets(one.nodes()) == [101, 104, 103]


def test_more_nodes_than_there_is_room_for_are_refused_with_the_number(made):
    one = made(3)
    with pytest.raises(LabError, match="room for 60 nodes more, not for 61"):
        one.more(61)
    for _ in range(4):
        one.more(60)
    with pytest.raises(LabError, match="room for 1 nodes more, not for 10"):
        one.more(10)
    assert one.free == 1


def test_a_cluster_that_does_not_come_up_gives_its_addresses_back(made):
    one = made(3, name="broken")
    with pytest.raises(LabError, match="ended at once"):
        one.more(5)
    assert one.free == 241


def test_a_larger_lab_declares_the_addresses_of_all_its_nodes(made, monkeypatch):
    monkeypatch.setattr(DindLab, "_system", lambda *_: ("bookworm", ""))
    declared = made(20).declared("slave19")
    assert len(declared.names) == len(declared.places) == 20
    assert declared.places["slave03"] == "192.168.56.102"
    assert not made(3).declared("master").addresses


@pytest.mark.parametrize(
    ("free", "nodes", "told"),
    [
        (20 * NODE_MEMORY, 20, ""),
        (None, 60, ""),
        (NODE_MEMORY // 2, 1, ""),
        (4000 * MIB, 60, "a lab of 60 nodes takes 11.7 GiB .* 3.9 GiB are free here: .* at most 20 nodes"),
        (100 * MIB, 3, "at most 1 nodes"),
    ],
)
def test_a_lab_that_memory_does_not_hold_is_refused_before_anything_is_made(monkeypatch, free, nodes, told):
    monkeypatch.setattr(lab, "free_memory", lambda: free)
    request = Request(nodes=nodes)
    if not told:
        kind.CONTAINERS.check(request)
        return
    with pytest.raises(UsageError, match=told):
        kind.CONTAINERS.check(request)
    kind.CONTAINERS.check(Request())  # a run may use a lab that stands


def test_memory_has_to_hold_the_machine_of_the_way_back_too(monkeypatch):
    monkeypatch.setattr(lab, "free_memory", lambda: 4 * NODE_MEMORY)
    kind.CONTAINERS.check(Request(nodes=4))
    with pytest.raises(UsageError, match=r"a lab of 4 nodes and 1 beside them takes .* at most 3 nodes"):
        kind.CONTAINERS.check(Request(nodes=4, spare="bookworm"))


@pytest.mark.parametrize("nodes", [0, 61])
def test_a_cluster_has_at_most_60_nodes(nodes):
    with pytest.raises(UsageError, match=f"has 1 to 60 nodes, not {nodes}"):
        kind.CONTAINERS.check(Request(nodes=nodes))


def test_free_memory_is_what_the_kernel_and_the_limit_of_a_container_leave(tmp_path):
    assert free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 100 kB\nMemAvailable:    2048 kB\n")
    assert free_memory(tmp_path) == 2 * MIB
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert free_memory(tmp_path) == 2 * MIB
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{MIB}\n")
    assert free_memory(tmp_path) == MIB


@pytest.fixture
def table(monkeypatch, tmp_path):
    """The files of the kernel's limits of neighbours, with its usual values."""
    for name, value in (("SOFT", 512), ("HARD", 1024)):
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setattr(neighbours, name, str(tmp_path / name))
    monkeypatch.setattr(neighbours, "as_root", list)
    monkeypatch.setattr(neighbours.netns, "outside", list)
    for module in (neighbours, host):
        monkeypatch.setattr(module, "run_folder", lambda: tmp_path / "run")
    return tmp_path


def test_the_kernels_table_of_neighbours_is_made_large_enough_for_the_pairs_of_nodes(table):
    said = []
    neighbours.make_room(11, said.append)
    assert not said
    neighbours.make_room(20, said.append)
    assert [(table / name).read_text() for name in ("SOFT", "HARD")] == ["1600\n", "3200\n"]
    assert said == ["this machine has room for 3200 neighbours (ARP) from now on, as 20 nodes need; it was 1024"]
    neighbours.make_room(12, said.append)
    assert len(said) == 1


def limits(table):
    return [int((table / name).read_text()) for name in ("SOFT", "HARD")]


def test_the_limits_are_put_back_with_the_last_lab(table, monkeypatch):
    left = ["another lab"]
    monkeypatch.setattr(neighbours, "labs", lambda _: left)
    for nodes in (20, 30):
        neighbours.make_room(nodes, print)
    neighbours.put_back(None)
    assert limits(table) == [3600, 7200]
    left.clear()
    neighbours.put_back(None)
    assert limits(table) == [512, 1024]
    assert not (table / "run").exists()
    neighbours.put_back(None)  # nothing is noted
    assert limits(table) == [512, 1024]


def test_limits_that_another_has_set_since_stay(table, monkeypatch):
    monkeypatch.setattr(neighbours, "labs", lambda _: [])
    neighbours.make_room(20, print)
    (table / "HARD").write_text("9999\n")
    neighbours.put_back(None)
    assert limits(table) == [1600, 9999]
    assert not (table / "run").exists()


def test_who_may_not_put_the_limits_back_leaves_that_to_another(table, monkeypatch):
    monkeypatch.setattr(neighbours, "labs", lambda _: [])
    neighbours.make_room(20, print)
    monkeypatch.setattr(neighbours, "as_root", lambda: None)
    neighbours.put_back(None)
    assert (limits(table), (table / "run" / "neighbours.json").exists()) == ([1600, 3200], True)


def test_limits_that_may_not_be_raised_are_one_line_with_the_command(table, monkeypatch):
    monkeypatch.setattr(neighbours, "as_root", lambda: None)
    with pytest.raises(
        UsageError, match=r"room for 1024 neighbours .* needs 3200: as root, sysctl -w .*gc_thresh3=3200"
    ):
        neighbours.make_room(20, print)
    (table / "HARD").unlink()  # as in a container
    neighbours.make_room(20, print)
