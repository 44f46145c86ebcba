"""What is left of an overlay network, and nodes that have one id."""

from suites.support.upgrade.leftovers import not_each_once, refused_for_vxlan

_SAID = 'subnet sandbox join failed for "10.0.2.0/24": error creating vxlan interface: file exists'


def test_nodes_that_refused_a_task_or_logged_it_are_named():
    tasks = [
        {"NodeID": "a", "Status": {"State": "rejected", "Err": _SAID}},
        {"NodeID": "b", "Status": {"State": "running"}},
    ]
    found = refused_for_vxlan(tasks, {"slave02": f"one\n…{_SAID}"}, {"a": "slave01", "b": "master"})
    assert [line.partition(":")[0] for line in found] == ["slave01", "slave02"]
    assert all(line.endswith("file exists") for line in found)


def test_other_errors_are_no_leftover():
    tasks = [{"NodeID": "a", "Status": {"Err": "No such image: web"}}, {"NodeID": "b"}]
    assert refused_for_vxlan(tasks, {"slave01": "file exists"}, {}) == []


def test_two_nodes_of_one_id_are_named():
    listed = [("1", "master"), ("2", "slave01")]
    assert not_each_once({"master": "1", "slave01": "2"}, listed) == []
    wrong = not_each_once({"master": "1", "slave01": "2", "slave02": "2"}, listed)
    assert wrong == ["slave01 and slave02 have one id, 2", "slave02 has the id 2, and is listed with it 0 times"]
