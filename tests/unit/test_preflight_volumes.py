"""Preflight's check of volumes that differ from node to node, or from what a service asks for."""

import pytest

from swarmlab.preflight import Level
from swarmlab.preflight.checks import look
from tests.unit.test_preflight import sight  # noqa: F401 - a fixture

NFS = {"type": "nfs", "o": "addr=10.0.0.9,password=hush", "device": ":/data"}
NODES = ("master", "slave01", "slave02")


def service(options=None, *, driver="", constraints=(), name="shop_db", volume="shop_data"):
    config = {"Name": driver, "Options": options} if options is not None else None
    mount = {"Type": "volume", "Source": volume, "Target": "/data", "VolumeOptions": {"DriverConfig": config}}
    template = {"ContainerSpec": {"Mounts": [mount]}, "Placement": {"Constraints": list(constraints)}}
    return {"ID": f"id-{name}", "Spec": {"Name": name, "TaskTemplate": template}}


def task(node, state="running", name="shop_db"):
    return {"ServiceID": f"id-{name}", "NodeID": f"id-{node}", "Status": {"State": state}}


@pytest.fixture
def with_volumes(sight):  # noqa: F811 - the fixture
    """Return a function that gives the nodes volumes, by node: driver and options, or None for no volume."""

    def give(services, tasks=(), **made):
        sight.services, sight.tasks = list(services), list(tasks)
        for view in sight.nodes:
            driver, options = made.get(view.name) or ("", None)
            view.volumes = [{"Name": "shop_data", "Driver": driver, "Options": options}] if driver else []
        return [one for one in look("volumes", sight) if one.level is not Level.OK]

    return give


def local(options=None):
    return "local", options


def test_volumes_that_are_as_asked_for_or_alike_are_well(with_volumes):
    assert not with_volumes([service(NFS)], master=local(dict(NFS)), slave01=local(dict(NFS)))
    assert not with_volumes([service(driver="local", options={})], master=local(None), slave01=local({}))
    assert not with_volumes([service()], master=local(None), slave01=local({}))
    assert not with_volumes([service()], master=("rexray:latest", None), slave01=("rexray", {}))
    assert not with_volumes([], master=local(NFS), slave01=local(None))


def test_a_volume_that_was_made_before_the_file_was_changed_is_named(with_volumes):
    older = {**NFS, "device": ":/old"}
    (one,) = with_volumes([service(NFS)], master=local(older), slave01=local(dict(NFS)))
    assert (one.level, one.nodes) == (Level.WARNING, ("master",))
    assert one.summary == "volume shop_data is not made as shop_db asks for: option device"
    assert "docker volume rm shop_data" in one.mend
    assert one.risk


def test_nodes_with_the_same_difference_are_named_together_and_no_value_is_told(with_volumes):
    found = with_volumes([service(NFS)], master=local(None), slave02=local(None), slave01=("other", dict(NFS)))
    assert {one.nodes for one in found} == {("master", "slave02"), ("slave01",)}
    assert "the driver is other, not local" in " ".join(one.summary for one in found)
    told = " ".join(f"{one.summary} {one.risk} {one.mend}" for one in found)
    assert not [value for value in NFS.values() if value in told]


def test_a_volume_of_another_kind_on_one_node_is_named(with_volumes):
    tmpfs = {"type": "tmpfs", "device": "tmpfs"}
    (one,) = with_volumes([service()], master=local(tmpfs), slave01=local(None), slave02=local({}))
    assert (one.level, one.nodes) == (Level.WARNING, ("master",))
    assert one.summary == (
        "volume shop_data of shop_db differs from that on slave01, slave02: option device, option type"
    )


def test_a_value_of_each_nodes_own_is_told_and_no_trouble(with_volumes):
    disks = {node: local({"type": "none", "o": "bind", "device": f"/mnt/{node}"}) for node in NODES}
    found = with_volumes([service()], **disks)
    assert found
    assert {one.level for one in found} == {Level.INFO}


def test_where_a_service_may_not_run_its_volume_does_not_count(with_volumes):
    other = {"master": local(NFS), "slave01": local(None)}
    bound = service(constraints=["node.labels.disk==ssd"])
    assert not with_volumes([bound], [task("slave01")], **other)
    assert with_volumes([bound], [task("slave01"), task("master")], **other)
    assert not with_volumes([bound], [task("slave01"), task("master", "failed")], **other)


def test_a_name_that_differs_for_each_task_is_not_judged(with_volumes):
    own = service(volume="data-{{.Task.Slot}}")
    assert not with_volumes([own], master=local(NFS), slave01=local(None))


def test_an_option_that_differs_for_each_task_is_not_judged(with_volumes):
    own = service({**NFS, "device": ":/x/{{.Node.Hostname}}"})
    made = {node: local({**NFS, "device": f":/x/{node}"}) for node in NODES}
    assert not with_volumes([own], **made)
    (one,) = with_volumes([own], **made | {"slave01": local({**NFS, "o": "ro", "device": ":/x/slave01"})})
    assert (one.nodes, one.summary) == (
        ("slave01",),
        "volume shop_data is not made as shop_db asks for: option o",
    )
    (one,) = with_volumes([own], **made | {"slave01": local(None)})
    assert one.summary.endswith("option device, option o, option type")


def test_a_node_that_does_not_list_its_volumes_is_unknown(with_volumes, sight):  # noqa: F811 - the fixture
    assert not with_volumes([service()], master=local(None))
    sight.nodes[1].volumes = None
    (one,) = [one for one in look("volumes", sight) if one.level is not Level.OK]
    assert (one.level, one.nodes) == (Level.UNKNOWN, ("slave01",))
    assert one.mend
    sight.services = []
    assert {one.level for one in look("volumes", sight)} == {Level.OK}
