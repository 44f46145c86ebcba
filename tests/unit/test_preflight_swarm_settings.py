"""Preflight's checks of the swarm's own settings, and of what services need of nodes."""

import os
import socket
import subprocess

import pytest

from swarmlab.preflight import checks as made
from swarmlab.preflight import plugins
from swarmlab.preflight.causes import folded
from swarmlab.preflight.sight import QUESTIONS
from swarmlab.preflight.swarm_settings import _listening
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
    assert found(sight, "engine-restart")[0][0] == "ok"
    sight.nodes[1].info["LoggingDriver"] = "json-file"
    assert ("error", ("slave01",)) in [one[:2] for one in found(sight, "engine-restart")]
    sight.nodes[1].info["LoggingDriver"] = "loki:latest"
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


def publish(sight, port, protocol="tcp", *, mode="ingress", replicas=1):
    for member, view in zip(sight.members, sight.nodes, strict=True):
        member["ManagerStatus"]["Addr"] = f"{view.address}:2377"
    published = {"Protocol": protocol, "TargetPort": 80, "PublishedPort": port, "PublishMode": mode}
    sight.services = [service(replicas=replicas, Endpoint={"Ports": [published]})]


@pytest.mark.parametrize(
    ("port", "protocol", "whose"),
    [
        (2377, "tcp", "management"),
        (7946, "tcp", "gossip"),
        (7946, "udp", "gossip"),
        (4789, "udp", "the data of overlay networks"),
    ],
)
def test_a_service_that_takes_a_port_of_the_swarm_is_named(sight, port, protocol, whose):
    publish(sight, port, protocol)
    only(sight, "service-needs", "error", (), f"web publishes port {port}/{protocol} by the mesh, which is the swarm's")
    (finding,) = made.look("service-needs", sight)
    assert finding.summary.endswith(whose)
    assert finding.mend == "docker service update --publish-rm 80 --publish-add OTHER:80 web"
    publish(sight, port, protocol, replicas=0)
    only(sight, "service-needs", "warning", (), "which is the swarm's")


@pytest.mark.parametrize(
    ("port", "protocol", "mode"),
    [(8080, "tcp", "ingress"), (2377, "udp", "ingress"), (4789, "tcp", "ingress"), (2377, "tcp", "host")],
)
def test_other_ports_that_a_service_publishes_are_its_own(sight, port, protocol, mode):
    publish(sight, port, protocol, mode=mode)
    assert found(sight, "service-needs")[0][0] == "ok"


def test_the_ports_of_a_swarm_that_has_others_are_free(sight):
    sight.swarm["DataPathPort"] = 7789
    publish(sight, 4789, "udp")
    assert found(sight, "service-needs")[0][0] == "ok"
    publish(sight, 7789, "udp")
    assert found(sight, "service-needs")[0][0] == "error"
    publish(sight, 2377)
    for member in sight.members:
        member["ManagerStatus"]["Addr"] = "192.168.58.101:2400"
    assert found(sight, "service-needs")[0][0] == "ok"


def test_what_a_port_of_the_swarm_that_is_taken_brings_about_stands_below_it(sight):
    publish(sight, 7946, "udp")
    for view in sight.nodes:
        view.arrived.gossip = view.arrived.small = set()

    def heads():
        looked = [
            one for name in ("service-needs", "port-gossip-udp", "port-data-udp") for one in made.look(name, sight)
        ]
        return [one.check for one in folded(looked, {}) if not one.because]

    assert heads() == ["service-needs", "port-gossip-udp", "port-data-udp"]  # nothing is passed on to it yet
    sight.tasks = [task()]
    assert heads() == ["service-needs", "port-data-udp"]


@pytest.mark.parametrize(
    ("port", "mode", "listeners", "level", "part"),
    [
        (
            8088,
            "ingress",
            "listen 00000000:1F98 7\nengine 8",
            "warning",
            "another program listens on port 8088/tcp, which",
        ),
        (8088, "ingress", "listen 0100007F:1F98 7", "warning", "which web publishes by the mesh"),
        (22, "ingress", "listen 00000000:0016 7", "error", "sshd listens on port 22/tcp"),  # systemd listens for it
        (2222, "ingress", "listen 00000000:08AE 7\nengine 8\nsshd 7", "error", "sshd listens on port 2222/tcp"),
        (8088, "host", "listen 00000000:1F98 7\nengine 8", "warning", "which web publishes on its nodes (mode host)"),
    ],
)
def test_a_program_that_listens_on_a_port_of_a_service_is_named(sight, port, mode, listeners, level, part):
    publish(sight, port, mode=mode)
    set_answer(sight, "listeners", listeners)
    set_answer(sight, "listeners", "", node=0)
    set_answer(sight, "listeners", "", node=2)
    only(sight, "service-needs", level, ("slave01",), part)
    (finding,) = made.look("service-needs", sight)
    assert finding.mend.endswith(f"on slave01: ss -ltnp 'sport = :{port}'")


@pytest.mark.parametrize(
    ("listeners", "protocol", "replicas"),
    [
        ("listen 00000000:1F98 7\nengine 7", "tcp", 1),
        ("listen 00000000:1F99 7\nengine 8", "tcp", 1),
        ("listen 00000000:1F98 7\nengine 8", "udp", 1),
        ("listen 00000000:1F98 7\nengine 8", "tcp", 0),
    ],
)
def test_ports_of_services_on_which_no_other_program_listens_are_well(sight, listeners, protocol, replicas):
    publish(sight, 8088, protocol, replicas=replicas)
    set_answer(sight, "listeners", listeners)
    assert found(sight, "service-needs")[0][0] == "ok"


def test_a_task_on_the_network_of_its_node_listens_itself(sight):
    publish(sight, 8088, mode="host")
    for node in (0, 2):
        set_answer(sight, "listeners", "", node=node)
    set_answer(sight, "listeners", "listen 00000000:1F98 7\nengine 8")
    own = [{"Network": {"DriverState": {"Name": "host"}}}]
    sight.tasks = [task(node="slave01", NetworksAttachments=own)]
    assert found(sight, "service-needs")[0][0] == "ok"
    sight.tasks = [task(node="slave01", NetworksAttachments=[{"Network": {"DriverState": {"Name": "overlay"}}}])]
    only(sight, "service-needs", "warning", ("slave01",), "another program listens on port 8088/tcp")


def test_ports_on_which_nobody_could_look_are_unknown(sight):
    publish(sight, 8088)
    set_answer(sight, "listeners", "ls: /proc/1/fd: Permission denied", code=2)
    only(sight, "service-needs", "unknown", ("slave01",), "Permission denied")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whose a socket is")
def test_who_listens_is_read_of_a_node(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as own:
        (tmp_path / "pid").write_text(str(os.getpid()))
        script = QUESTIONS["listeners"].replace("/run/docker.pid", f"{tmp_path}/pid")
        listed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        numbers = [os.fstat(each.fileno()).st_ino for each in (other, own)]
        ports = [each.getsockname()[1] for each in (other, own)]
    assert {f"engine {number}" for number in numbers} <= set(listed.splitlines())
    assert not set(ports) & set(_listening(listed))
    assert set(ports) <= set(_listening(listed.replace("engine ", "other ")))


@pytest.mark.parametrize(
    ("limit", "told", "what"),
    [("MemoryBytes", "MemoryLimit", "memory"), ("NanoCPUs", "CpuCfsQuota", "CPUs"), ("Pids", "PidsLimit", "processes")],
)
def test_a_limit_that_a_kernel_does_not_hold_is_named(sight, limit, told, what):
    sight.services = [service(template={"Resources": {"Limits": {limit: 100}}})]
    assert found(sight, "service-needs")[0][0] == "ok"
    sight.nodes[1].info[told] = False
    sight.nodes[2].info[told] = True
    only(sight, "service-needs", "warning", ("slave01",), f"web limits its {what}, which the kernel there does not do")
    sight.services = [service(template={"Placement": {"Constraints": ["node.hostname!=slave01"]}})]
    sight.services[0]["Spec"]["TaskTemplate"]["Resources"] = {"Limits": {limit: 100}}
    assert found(sight, "service-needs")[0][0] == "ok"
    sight.services = [service()]
    assert found(sight, "service-needs")[0][0] == "ok"
