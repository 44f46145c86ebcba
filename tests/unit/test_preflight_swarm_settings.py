"""Preflight's checks of the swarm's own settings, and of what services need of nodes."""

import pytest

from swarmlab.preflight import plugins
from tests.unit.test_preflight import found, network, only, set_answer, sound
from tests.unit.test_preflight_services import service, task

SECOND = int(1e9)
#: As engine 20.10.24 lists them.
DEFAULTS = {
    "Orchestration": {"TaskHistoryRetentionLimit": 5},
    "Raft": {"SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500},
    "Dispatcher": {"HeartbeatPeriod": 5 * SECOND},
    "CAConfig": {"NodeCertExpiry": 90 * 86400 * SECOND},
}


@pytest.fixture
def sight():
    """A swarm with the settings that engines give it."""
    one = sound()
    one.swarm["Spec"] |= {name: dict(part) for name, part in DEFAULTS.items()}
    return one


@pytest.mark.parametrize(
    ("part", "key", "value", "level", "words"),
    [
        ("Dispatcher", "HeartbeatPeriod", 60 * SECOND, "warning", "nodes send a heartbeat every 60 s"),
        ("Dispatcher", "HeartbeatPeriod", SECOND // 5, "warning", "nodes send a heartbeat every 200 ms"),
        ("Orchestration", "TaskHistoryRetentionLimit", 0, "info", "no ended task is kept"),
        ("Orchestration", "TaskHistoryRetentionLimit", 1000, "warning", "1000 ended tasks of each slot are kept"),
        ("Orchestration", "TaskHistoryRetentionLimit", -1, "warning", "every ended task is kept"),
        ("Raft", "SnapshotInterval", 5_000_000, "warning", "5000000 changes between two snapshots"),
        ("CAConfig", "NodeCertExpiry", 3600 * SECOND, "warning", "certificates are made for 1.0 hours"),
    ],
)
def test_settings_that_bite_later_are_named(sight, part, key, value, level, words):
    assert found(sight, "swarm-settings")[0][0] == "ok"
    sight.swarm["Spec"][part][key] = value
    only(sight, "swarm-settings", level, (), words)


def test_a_pool_without_subnets_is_named(sight):
    assert found(sight, "address-pool") == [("ok", (), "65535 of 65536 subnets are free")]
    sight.swarm |= {"DefaultAddrPool": ["10.0.0.0/22"], "SubnetSize": 24}
    sight.networks += [network("a", "10.0.1.0/24"), network("own", "10.77.0.0/24")]
    only(sight, "address-pool", "warning", (), "2 of 4 subnets of the swarm's pool are free (10.0.0.0/22, /24 each)")
    sight.networks.append(network("wide", "10.0.2.0/23"))
    only(sight, "address-pool", "error", (), "0 of 4 subnets")


def test_a_driver_that_a_node_lacks_is_named(sight):
    mount = {"Type": "volume", "Source": "v", "VolumeOptions": {"DriverConfig": {"Name": "netapp"}}}
    sight.services = [service(replicas=3, template={"LogDriver": {"Name": "splunk"}})]
    sight.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Mounts"] = [mount]
    for view in sight.nodes:
        view.info["Plugins"] = {"Log": ["json-file", "splunk"], "Volume": ["local", "netapp:latest"]}
    assert found(sight, "service-needs")[0][0] == "ok"
    sight.nodes[1].info["Plugins"] = {"Log": ["json-file", "splunk"], "Volume": ["local"]}
    only(sight, "service-needs", "warning", ("slave01",), "web asks for the volume driver netapp")
    sight.nodes[1].info["Plugins"] = {"Log": ["json-file"], "Volume": ["local", "netapp:latest"]}
    only(sight, "service-needs", "warning", ("slave01",), "web asks for the log driver splunk")
    sight.members[1]["Spec"]["Availability"] = "drain"
    assert found(sight, "service-needs")[0][0] == "ok"


def test_a_driver_of_a_managed_plugin_is_told_by_the_managers(sight):
    mount = {"Type": "volume", "Source": "v", "VolumeOptions": {"DriverConfig": {"Name": "vieux/sshfs:latest"}}}
    sight.services = [service(replicas=3, template={"LogDriver": {"Name": "loki"}})]
    sight.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["Mounts"] = [mount]
    installed = [{"Type": "Log", "Name": "loki:latest"}, {"Type": "Volume", "Name": "vieux/sshfs:latest"}]
    for place, (view, member) in enumerate(zip(sight.nodes, sight.members, strict=True)):
        view.info |= {"Plugins": {"Log": ["json-file"], "Volume": ["local"]}, "LoggingDriver": "loki"}
        member["Description"]["Engine"] = {"Plugins": [{"Type": "Network", "Name": "overlay"}, *installed]}
        set_answer(sight, "daemon.json", '{"log-driver": "loki"}', node=place)
    assert found(sight, "service-needs")[0][0] == "warning"
    assert found(sight, "engine-restart")[0][0] == "error"
    plugins.complete(sight)
    assert found(sight, "service-needs")[0][0] == "ok"
    assert "log-driver" not in " ".join(summary for *_, summary in found(sight, "engine-restart"))


def test_a_task_that_was_not_placed_reserves_nothing(sight):
    sight.members[1]["Description"]["Resources"] = {"MemoryBytes": 2**30}
    asked = {"Resources": {"Reservations": {"MemoryBytes": 2 * 2**30}}}
    sight.tasks = [task("pending", slot=0, node="slave01", Spec=asked)]
    assert found(sight, "service-needs")[0][0] == "ok"
    sight.tasks = [task("assigned", slot=0, node="slave01", Spec=asked)]
    assert found(sight, "service-needs")[0][0] == "warning"


def test_a_node_that_has_less_than_its_tasks_reserve_is_named(sight):
    sight.members[1]["Description"]["Resources"] = {"NanoCPUs": 2 * SECOND, "MemoryBytes": 2**30}
    reserved = {"Resources": {"Reservations": {"MemoryBytes": 600 * 2**20, "NanoCPUs": SECOND}}}
    sight.tasks = [task(slot=slot, node="slave01", Spec=reserved) for slot in (1, 2)]
    only(sight, "service-needs", "warning", ("slave01",), "its tasks reserve 1200.0 MiB of 1024.0")
    sight.tasks[1]["DesiredState"] = "shutdown"
    assert found(sight, "service-needs")[0][0] == "ok"
