"""Preflight's comparison of the nodes' settings."""

import pytest

from tests.unit.test_preflight import found, set_answer, sight  # noqa: F401

#: As engines of 20.10.24 tell them; the lists are shortened.
INFO = {
    "LoggingDriver": "json-file",
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1",
    "Driver": "overlay2",
    "DefaultRuntime": "runc",
    "ExperimentalBuild": False,
    "HttpProxy": "",
    "HttpsProxy": "",
    "NoProxy": "",
    "RegistryConfig": {
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}, "registry:5000": {"Secure": False}},
        "Mirrors": [],
    },
}


@pytest.fixture
def cluster(sight):  # noqa: F811
    for view in sight.nodes:
        view.info |= INFO
    return sight


def test_nodes_that_are_alike_are_well(cluster):
    assert found(cluster, "engine-settings") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("info", "text", "level", "summary"),
    [
        ({"HttpProxy": "http://u:geheim@p"}, "{}", "warning", "proxy: not alike on slave01 and master, slave02"),
        ({"LoggingDriver": "local"}, "{}", "warning", "log driver: json-file on master, slave02; local on slave01"),
        ({}, '{"log-opts": {"max-size": "geheim"}}', "warning", "log options: not alike on slave01"),
        (
            {"RegistryConfig": {**INFO["RegistryConfig"], "Mirrors": ["https://geheim/"]}},
            "{}",
            "warning",
            "registry mirrors: not alike on slave01",
        ),
        (
            {"RegistryConfig": {**INFO["RegistryConfig"], "IndexConfigs": {}}},
            "{}",
            "warning",
            "insecure registries: not alike on slave01",
        ),
        ({}, '{"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}}', "warning", "default ulimits"),
        ({}, '{"mtu": 1400}', "warning", "MTU and traffic of bridges"),
        ({}, '{"dns": ["10.0.0.9"]}', "warning", "DNS settings"),
        ({}, '{"init": true}', "warning", "defaults of containers"),
        ({"DefaultRuntime": "crun"}, "{}", "warning", "default runtime: runc on master, slave02; crun on slave01"),
        ({"SecurityOptions": []}, "{}", "warning", "security options: ['seccomp'] on master, slave02; ['no seccomp']"),
        ({"Driver": "vfs"}, "{}", "warning", "storage driver: overlay2 on master, slave02; vfs on slave01"),
        ({"Driver": "overlayfs"}, "{}", "info", "storage driver: overlay2 on master, slave02; overlayfs on slave01"),
        ({"DefaultRuntime": "nvidia"}, "{}", "info", "default runtime: runc on master, slave02; nvidia on slave01"),
        (
            {"CgroupDriver": "systemd"},
            '{"exec-opts": ["native.cgroupdriver=systemd"]}',
            "warning",
            "cgroup driver: cgroupfs on master, slave02; systemd",
        ),
        ({"CgroupVersion": "2"}, "{}", "info", "cgroup version: 1 on master, slave02; 2 on slave01"),
        ({"DockerRootDir": "/srv/d"}, "{}", "info", "data root: /var/lib/docker on master, slave02; /srv/d on slave01"),
        ({}, '{"default-address-pools": [{"base": "10.9.0.0/16", "size": 24}]}', "info", "default address pools"),
        ({"ExperimentalBuild": True}, "{}", "info", "experimental features: not alike on slave01"),
    ],
)
def test_the_node_that_differs_is_named_with_the_setting_and_no_value_of_others(cluster, info, text, level, summary):
    cluster.nodes[1].info |= info
    set_answer(cluster, "daemon.json", text)
    ((seen, nodes, told),) = found(cluster, "engine-settings")
    assert (seen, nodes) == (level, ("slave01",))
    assert told.startswith(summary), told
    assert "geheim" not in told


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"]}, "{}"),  # as engines from 23.0 tell it
        ({"RegistryConfig": {**INFO["RegistryConfig"], "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"]}}, "{}"),
        ({"CgroupVersion": ""}, '{"mtu": 1500, "icc": true, "labels": ["a=b"]}'),
        ({"HttpProxy": ""}, '{"default-ulimits": {}, "dns": []}'),
        ({"HttpProxy": ""}, '{"init": false, "no-new-privileges": false}'),
    ],
)
def test_what_is_only_told_otherwise_is_alike(cluster, info, text):
    cluster.nodes[1].info |= info
    set_answer(cluster, "daemon.json", text)
    assert found(cluster, "engine-settings") == [("ok", (), "nothing found")]


def test_each_node_may_reach_itself_past_the_proxy(cluster):
    for view in cluster.nodes:
        view.info |= {"HttpProxy": "http://p:3128", "NoProxy": f"localhost,{view.address},registry"}
        view.info["Swarm"]["NodeAddr"] = view.address
    assert found(cluster, "engine-settings") == [("ok", (), "nothing found")]
    cluster.nodes[1].info["NoProxy"] = f"localhost,{cluster.nodes[1].address}"
    assert found(cluster, "engine-settings")[0][:2] == ("warning", ("slave01",))


def test_a_setting_of_the_command_line_is_that_of_the_file(cluster):
    limits = '{"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 64, "Hard": 64}}}'
    for place, text in enumerate((limits, "{}", limits)):
        set_answer(cluster, "daemon.json", text, node=place)
    set_answer(cluster, "command line", "dockerd\n--default-ulimit\nnofile=64")
    assert found(cluster, "engine-settings") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("driver", "systemd", "given", "level"),
    [
        ("systemd", True, "", "info"),
        ("systemd", True, "systemd", "info"),
        ("cgroupfs", False, "cgroupfs", "info"),
        ("cgroupfs", True, "cgroupfs", "warning"),
    ],
)
def test_a_cgroup_driver_that_engines_choose_by_the_node_is_no_trouble(cluster, driver, systemd, given, level):
    # The last one has version 1, and of those with version 2 one need not run systemd.
    for place, own in enumerate(("systemd", driver, "cgroupfs")):
        cluster.nodes[place].info |= {"CgroupDriver": own, "CgroupVersion": "2" if place < 2 else "1"}
    set_answer(cluster, "unit", "[Service]\n# states active enabled", node=0)
    set_answer(cluster, "unit", "[Service]\n# states active enabled" if systemd else "")
    set_answer(cluster, "daemon.json", f'{{"exec-opts": ["native.cgroupdriver={given}"]}}' if given else "{}")
    told = {summary.partition(":")[0]: level for level, _, summary in found(cluster, "engine-settings")}
    assert told == {"cgroup driver": level, "cgroup version": "info"}


def test_engines_of_several_releases_may_have_other_drivers(cluster):
    cluster.nodes[1].version = {"Version": "29.1.3"}
    cluster.nodes[1].info |= {"Driver": "overlayfs", "CgroupDriver": "systemd", "CgroupVersion": "2"}
    assert {level for level, _, _ in found(cluster, "engine-settings")} == {"info"}
