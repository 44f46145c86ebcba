"""Preflight's checks, on answers recorded from real nodes, and on faults that a container lab cannot have.

The contents of /proc and /sys were recorded on a container node of engine 20.10.24, unless a comment says otherwise.
tests/proof/preflight shows that the checks find their faults on real clusters.
"""

import copy
import json
import re
import subprocess
from types import SimpleNamespace

import pytest
from cryptography import x509

from swarmlab.cluster.clocks import Clock
from swarmlab.cluster.node import Result
from swarmlab.cluster.pki import Authority, pem_of
from swarmlab.errors import UsageError
from swarmlab.preflight import CHECKS, Level, explaining, reasons
from swarmlab.preflight import checks as made
from swarmlab.preflight.defects import CONDITIONS
from swarmlab.preflight.finding import Finding, Unknown, merged
from swarmlab.preflight.model import Arrivals, NodeView, Sight
from swarmlab.preflight.networks import complete, routes
from swarmlab.preflight.packets import elements
from swarmlab.preflight.sight import QUESTIONS, _read, parse_answers
from swarmlab.verdicts.defects import FILE, defects
from swarmlab.wait import State
from tests.unit.rules_of_engines import MESH, SOUND

ADDRESSES = {"master": "192.168.58.101", "slave01": "192.168.58.104", "slave02": "192.168.58.103"}
ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t013AA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
docker_gwbridge\t000013AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t003AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"""
#: The answer of a machine whose modules are files. It is composed, because container nodes have no such files.
MODULES = """folder /lib/modules/6.1.0-51-cloud-amd64
CONFIG_NET=y
CONFIG_BRIDGE_NETFILTER=m
CONFIG_VXLAN=m
CONFIG_IP_VS=m
CONFIG_IP_VS_RR=m
CONFIG_OVERLAY_FS=m
CONFIG_INET_ESP=m
loaded overlay
loadable overlay
loaded br_netfilter
loaded vxlan
loadable ip_vs
loadable ip_vs_rr
loadable esp4
/proc/sys/net/bridge
nodev\toverlay"""
ANSWERS = {
    "modules": MODULES,
    "forwarding": "1",
    "bridge calls": "1",
    "iptables": "iptables v1.8.9 (nf_tables)",
    "legacy rules": "0",
    "firewalld": "",
    "command line": "dockerd\n--host=unix:///run/docker.sock",
    "runc": "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev",
    "seccomp": "containers 2\nstatx 2\nclone3 2\nfaccessat2 2",
    "daemon.json": '{\n    "insecure-registries": ["registry:5000"]\n}',
    "unit": "",
    "paths": "bytes 48\n/run/docker.sock /run/docker.sock\n/var/lib/docker /var/lib/docker",
    "validate": "unknown flag: --validate\nSee 'dockerd --help'.\nstatus 125",
    "rules": SOUND,
    "mesh rules": MESH,
    "balancers": "",
    "tunnels": "",
    "stopped": "",
    "ipsec before": "",
    "ipsec after": "",
    "disks before": "254 0 vda 100 0 800 50 200 0 1600 90 0 60 140 0 0 0 0 30 20\n1000.5",
    "disks after": "254 0 vda 101 0 808 51 210 0 1680 99 0 64 150 0 0 0 0 31 21\n1002.5",
    "packets": "place the node",
    "reverse path": "all 0\ndefault 0\neth0 0",
    "routes": ROUTES,
    "links": "docker0 1500 \ndocker_gwbridge 1500 \neth0 1500 \nlo 65536 \nveth70f0b35 1500 ",
    "offload": "",
    "resolvers": "nameserver 127.0.0.11\noptions ndots:0",
    "resolved": "",
    "name servers": "",
    "listening": "   0: 00000000:1F0A 00000000:0000 0A 00000000:00000000 00:00000000",
    "listeners": "listen 00000000:0016 111\nlisten 00000000000000000000000000000000:1F98 222\nengine 222\nsshd 111",
    "disk": "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
    "/dev/vda         264212084 34915224  71475688      33% /var/lib/docker\n"
    "tmpfs             12341828       20  12341808       1% /run",
    "disk number": "65024",
    "inodes": "Filesystem Inodes IUsed IFree IUse% Mounted on\n"
    "/dev/vda       16777216 560765 16216451    4% /var/lib/docker",
    "mounted": "/var/lib/docker rw,relatime,errors=remount-ro",
    "engine files": "63 1048576",
    "memory": "MemTotal:       24683656 kB\nMemAvailable:   19203412 kB",
    "threads": "812\n4194304\n192536",
    "inotify": "128\n192536",
    "inotify used": "0",
    "files": "4234\t0\t2466174",
    "neighbours": "1024\n9\n0\n0",
    "connections": "71\n262144",
}
AUTHORITY = Authority.make()


def node_view(name):
    address = ADDRESSES[name]
    others = set(ADDRESSES.values()) - {address}
    answers = ANSWERS | {
        "addresses": f"1: lo    inet 127.0.0.1/8 scope host lo\n42: eth0    inet {address}/24 scope global eth0",
        "member": f'"LocalAddr":"{address}"\n"ListenAddr":"{address}:2377"\n"AdvertiseAddr":"{address}"',
        "machine": f"id \ncontainer\nlink eth0 02:42:c0:a8:3a:0{list(ADDRESSES).index(name)}",
        "certificate": pem_of(AUTHORITY.issue(x509.Name([])).leaf),
    }
    remote = [{"NodeID": f"id-{other}", "Addr": f"{ADDRESSES[other]}:2377"} for other in ADDRESSES]
    return NodeView(
        name,
        info={
            "SystemTime": "2026-11-25T03:10:00.5Z",
            "DockerRootDir": "/var/lib/docker",
            "Warnings": None,
            "SecurityOptions": ["name=seccomp,profile=default"],
            "Swarm": {
                "NodeID": f"id-{name}",
                "NodeAddr": address,
                "LocalNodeState": "active",
                "ControlAvailable": True,
                "RemoteManagers": remote,
            },
        },
        version={"Version": "20.10.24+dfsg1", "ApiVersion": "1.41", "MinAPIVersion": "1.12"},
        clock=Clock(0.0, 0.1),
        networks=[{"Name": "docker_gwbridge"}],
        containers=[],
        images=[],
        answers={question: (0, text) for question, text in answers.items()},
        arrived=Arrivals(
            gossip=set(others),
            small=set(others),
            large=set(others),
            tcp={(other, port): "open" for other in others for port in (2377, 7946)},
        ),
    )


@pytest.fixture
def sight():
    """Three managers, nothing wrong."""
    return sound()


def sound():
    """Return what is read of three managers with which nothing is wrong."""
    return Sight(
        [node_view(name) for name in ADDRESSES],
        asked="master",
        swarm={
            "Spec": {"EncryptionConfig": {"AutoLockManagers": False}},
            "DefaultAddrPool": ["10.0.0.0/8"],
            "DataPathPort": 4789,
            "TLSInfo": {"TrustRoot": pem_of(AUTHORITY.root)},
        },
        members=[
            {
                "ID": f"id-{name}",
                "Description": {"Hostname": name},
                "Spec": {"Role": "manager", "Availability": "active"},
                "ManagerStatus": {"Reachability": "reachable"},
                "Status": {"State": "ready", "Addr": ADDRESSES[name]},
            }
            for name in ADDRESSES
        ],
        networks=[network("ingress", "10.0.0.0/24", Ingress=True)],
        conditions={"agreed leader": State(True)},
    )


def network(name, subnet, **further):
    pool = {"Subnet": subnet, "Gateway": subnet.replace(".0/", ".1/").partition("/")[0]}
    fixed = {"Id": f"id-{name}", "Name": name, "Driver": "overlay", "Scope": "swarm", "Ingress": False, "Options": {}}
    return {**fixed, "IPAM": {"Config": [pool]}, **further}


def set_answer(sight, question, text, *, code=0, node=1):
    sight.nodes[node].answers = {**sight.nodes[node].answers, question: (code, text)}


def found(sight, check):
    return [(str(one.level), one.nodes, one.summary) for one in made.look(check, sight)]


def only(sight, check, level, nodes, part):
    findings = [one for one in made.look(check, sight) if one.level is not Level.OK]
    assert [(str(one.level), one.nodes) for one in findings] == [(level, nodes)], findings
    assert part in findings[0].summary
    assert level in ("unknown", "info") or findings[0].risk, "the finding names no risk"


def test_nothing_is_found_where_nothing_is_wrong(sight):
    for check in CHECKS:
        levels = {level for level, _, _ in found(sight, check)}
        assert levels == {"ok"} or check == "known-defects", (check, found(sight, check))


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_a_node_does_not_tell_is_never_well(sight, question):
    if question == "runc":
        return  # where it is not told, the engine's release counts
    if question == "command line":  # for engines without warnings of their own
        del sight.nodes[1].info["Warnings"]
    if question in ("bridge calls", "legacy rules"):
        set_answer(sight, "iptables", "iptables v1.8.9 (nf_tables)")
    if question == "resolved":
        set_answer(sight, "resolvers", "nameserver 127.0.0.53")
    if question == "offload":
        set_answer(sight, "links", "eth0 1500 vmxnet3")
    before = {check: found(sight, check) for check in CHECKS}
    set_answer(sight, question, "sh: 1: cannot: Permission denied", code=126)
    after = {check: found(sight, check) for check in CHECKS}
    changed = [check for check in CHECKS if ("unknown", ("slave01",)) in [one[:2] for one in after[check]]]
    # Where there is no bridge, no module is loaded, which is another check's. Only encrypted networks need IPsec, and
    # only services that publish ports need them free.
    assert changed or question in ("bridge calls", "last words", "ipsec before", "ipsec after", "listeners")
    for check in changed:
        findings = [level for level, nodes, _ in after[check] if "slave01" in nodes]
        assert "ok" not in findings, (check, after[check], before[check])


def test_an_engine_that_is_silent_is_named_and_nothing_else_of_it_is_well(sight):
    silent = sight.nodes[1]
    silent.info, silent.version, silent.clock, silent.arrived = {}, {}, None, None
    silent.silent = "the engine of slave01 does not answer: timed out"
    only(sight, "engines-answer", "error", ("slave01",), "does not answer: timed out")
    for check in ("daemon-sockets", "port-gossip-udp", "port-data-udp", "gateway-bridge", "known-defects"):
        assert ("unknown", ("slave01",), silent.silent) in found(sight, check), found(sight, check)
    # The other nodes are not blamed for packets that the silent node did not send.
    assert not [one for check in CHECKS for one in made.look(check, sight) if one.level is Level.ERROR][1:]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("812 1 containerd systemd", "containerd is stopped (SIGSTOP)"),
        ("812 1 docker-containe dockerd", "docker-containe is stopped (SIGSTOP)"),
        ("812 0 containerd dockerd\n777 0 dockerd systemd", "containerd and dockerd are stopped (SIGSTOP)"),
    ],
)
def test_an_engine_whose_processes_are_stopped_is_named(sight, line, told):
    set_answer(sight, "stopped", line)
    only(sight, "engines-answer", "error", ("slave01",), told)
    silence = sight.nodes[1]
    silence.info, silence.silent = {}, "the engine of slave01 does not answer: timed out"
    only(sight, "engines-answer", "error", ("slave01",), f"timed out; {told}")
    (finding,) = [one for one in made.look("engines-answer", sight) if one.level is Level.ERROR]
    assert finding.mend.startswith("on slave01: kill -CONT 812")


@pytest.mark.parametrize(
    "line",
    [
        f"812 1 containerd-shim systemd {'a' * 64}",
        f"812 1 docker-containe docker-containe {'a' * 64}",
        f"812 2 dockerd containerd-shim {'a' * 64}",  # an engine in a container
        "812 1 vim bash",
    ],
)
def test_what_else_is_stopped_is_not_the_engine(sight, line):
    set_answer(sight, "stopped", line)
    assert {level for level, _, _ in found(sight, "engines-answer")} == {"ok"}


def test_a_cluster_that_tells_nothing_is_not_well(sight):
    sight.conditions = {}
    only(sight, "membership", "unknown", (), "no engine answered")
    sight.asked, sight.unasked = "", "the engine of master does not answer: timed out"
    assert found(sight, "membership")[0][0] == "error"


@pytest.mark.parametrize(
    ("mode", "meshed", "level"),
    [("host", False, "info"), ("ingress", False, "error"), ("host", True, "error"), ("", False, "info")],
)
def test_a_mesh_that_was_removed_on_purpose_is_no_trouble(sight, mode, meshed, level):
    sight.conditions["ingress present"] = State(False, "missing on master, slave01, slave02")
    sight.networks = sight.networks if meshed else []
    ports = [{"Protocol": "tcp", "PublishedPort": 80, "PublishMode": mode}] if mode else []
    sight.services = [{"ID": "web", "Spec": {"Name": "web", "EndpointSpec": {"Ports": ports}}}]
    assert [one[0] for one in found(sight, "membership")] == ([level, "ok"] if level == "info" else [level])
    sight.asked = ""
    assert "not ready: ingress present" in " ".join(one[2] for one in found(sight, "membership"))


def test_an_answer_that_is_strange_is_not_well(sight):
    del sight.swarm["Spec"]
    only(sight, "autolock", "unknown", (), "could not be made: KeyError")


# What a container lab cannot have


def test_a_kernel_without_modules_is_named(sight):
    lacking = "folder \nCONFIG_NET=y\nCONFIG_BRIDGE_NETFILTER=y\nCONFIG_VXLAN=y\nCONFIG_OVERLAY_FS=y\nloaded overlay"
    set_answer(sight, "modules", lacking)
    only(sight, "kernel-modules", "warning", ("slave01",), "kernel has no ip_vs")
    # A kernel that was replaced without a reboot: what is not loaded cannot be loaded any more.
    set_answer(sight, "modules", MODULES.replace("folder /lib/modules/6.1.0-51-cloud-amd64", "folder "))
    assert {level for level, _, _ in found(sight, "kernel-modules")} == {"ok"}
    gone = "\n".join(line for line in MODULES.splitlines() if not line.startswith("loadable"))
    set_answer(sight, "modules", gone.replace("folder /lib/modules/6.1.0-51-cloud-amd64", "folder "))
    only(sight, "kernel-modules", "warning", ("slave01",), "kernel has no ip_vs")
    set_answer(sight, "modules", "folder \nloaded overlay\nloaded vxlan\n/proc/net/ip_vs\n/proc/sys/net/bridge")
    only(sight, "kernel-modules", "unknown", ("slave01",), "mention ip_vs_rr")


def test_esp_is_needed_by_encrypted_networks_only(sight):
    set_answer(sight, "modules", MODULES.replace("loadable esp4", ""))
    assert {level for level, _, _ in found(sight, "kernel-modules")} == {"ok"}
    sight.networks.append(network("secret", "10.0.9.0/24", Options={"encrypted": ""}))
    only(sight, "kernel-modules", "error", ("slave01",), "kernel has no esp4")


def test_a_network_card_of_vmware_that_computes_checksums_is_named(sight):
    # As ethtool prints it; no such card was at hand.
    set_answer(sight, "links", "eth0 1500 vmxnet3\nlo 65536 ")
    set_answer(sight, "offload", "eth0 \ttx-checksum-ip-generic: on")
    only(sight, "checksum-offload", "warning", ("slave01",), "eth0 is vmxnet3 with tx-checksum-ip-generic on")
    set_answer(sight, "offload", "eth0 \ttx-checksum-ip-generic: off")
    assert found(sight, "checksum-offload")[0][0] == "ok"
    set_answer(sight, "offload", "sh: 1: ethtool: not found\neth0 ")
    only(sight, "checksum-offload", "unknown", ("slave01",), "ethtool does not show")
    set_answer(sight, "offload", "eth0 \ttx-checksum-ip-generic: on")
    set_answer(sight, "links", "eth0 1500 \neth1 1500 vmxnet3\nlo 65536 ")
    set_answer(sight, "offload", "eth1 \ttx-checksum-ip-generic: on")
    only(sight, "checksum-offload", "warning", ("slave01",), "eth1 is vmxnet3 with tx-checksum-ip-generic on")
    set_answer(sight, "links", "eth0 1500 virtio_net\neth1 1500 vmxnet3\nlo 65536 ")
    assert found(sight, "checksum-offload")[0][0] == "ok"
    set_answer(sight, "links", "eth0 1500 vmxnet3\nlo 65536 ")
    set_answer(sight, "offload", "eth0 \ttx-checksum-ip-generic: on")
    sight.swarm["DataPathPort"] = 7789
    assert found(sight, "checksum-offload")[0][0] == "ok"


def test_firewalld_matters_by_the_engines_version(sight):
    set_answer(sight, "firewalld", "/proc/612/comm")
    only(sight, "firewalld", "warning", ("slave01",), "firewalld runs")
    sight.nodes[1].version["Version"] = "29.1.0"
    only(sight, "firewalld", "info", ("slave01",), "firewalld runs")


def test_nodes_whose_distributions_have_other_backends_are_told(sight):
    set_answer(sight, "iptables", "iptables v1.8.7 (legacy)")
    set_answer(sight, "rules", SOUND.replace("nft", "legacy"))
    only(sight, "iptables-backend", "info", ("slave01",), "nf_tables on master, slave02; legacy on slave01")
    # A node of which one program tells, and one that has not told its rules.
    for code, text in ((0, SOUND.replace("iptables-nft-save", "iptables-save")), (1, "Permission denied")):
        set_answer(sight, "rules", text, code=code)
        only(sight, "iptables-backend", "info", ("slave01",), "legacy on slave01")


@pytest.mark.parametrize(("backend", "other"), [("legacy", "nf_tables"), ("nf_tables", "legacy")])
def test_an_engine_whose_rules_are_in_the_other_backend_is_named(sight, backend, other):
    rules = {"nf_tables": SOUND, "legacy": "# by iptables-nft-save\n*filter\nCOMMIT\n" + SOUND.replace("nft", "legacy")}
    for place in range(3):
        set_answer(sight, "iptables", f"iptables v1.8.9 ({backend})", node=place)
        set_answer(sight, "rules", rules[other if place == 1 else backend], node=place)
    told = f"iptables is {backend}, and the engine's rules are in {other}"
    only(sight, "iptables-backend", "warning", ("slave01",), told)


def test_an_engine_that_writes_to_nftables_is_named(sight):
    sight.nodes[1].info["FirewallBackend"] = {"Driver": "nftables"}  # as engines from 29.0 on report it
    only(sight, "engine-firewall", "error", ("slave01",), "the engine's firewall-backend is nftables")
    sight.nodes[1].info["FirewallBackend"] = {"Driver": "iptables"}
    set_answer(sight, "daemon.json", "{")
    assert not [one for one in found(sight, "engine-firewall") if "slave01" in one[1]]


@pytest.mark.parametrize(
    ("question", "text", "part"),
    [
        ("inotify", "64\n192536", "0 of 64 instances used"),
        ("inotify used", "120", "120 of 128 instances used"),
        ("files", "2466000\t0\t2466174", "2466000 of 2466174 files"),
        ("connections", "262000\n262144", "262000 of 262144 connections"),
        ("engine files", "1000 1024", "the engine has 1000 of 1024 files open"),
        ("memory", "MemTotal: 4000000 kB\nMemAvailable: 102400 kB", "100 of 3906 MiB of memory are available"),
        ("threads", "32000\n32768\n192536", "32000 of 32768 threads are there"),
        ("threads", "9600\n4194304\n10000", "9600 of 10000 threads are there"),
        ("neighbours", "1024\n1598\n1172\n1018", "(ARP), of 1024 entries, had no room 2190 times"),
    ],
)
def test_limits_that_are_near_are_named(sight, question, text, part):
    set_answer(sight, question, text)
    only(sight, "limits", "warning", ("slave01",), part)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("engine files", "1000"),  # without a limit
        ("engine files", "0"),  # of an engine that does not run
        ("engine files", "900 1024"),
        ("memory", "MemTotal: 400000000 kB\nMemAvailable: 8000000 kB"),  # 2 %, and yet 8 GB
        ("memory", "MemTotal: 400000000 kB"),
        ("threads", "30000\n32768\n192536"),
    ],
)
def test_limits_that_are_far_or_not_set_are_no_trouble(sight, question, text):
    set_answer(sight, question, text)
    assert [level for level, _, _ in found(sight, "limits")] == ["ok"]


def test_a_data_folder_that_is_mounted_read_only_is_named(sight):
    set_answer(sight, "mounted", "/var/lib/docker ro,relatime")
    only(sight, "disk", "error", ("slave01",), "/var/lib/docker, where the engine's data is, is mounted read-only")


@pytest.mark.parametrize(("told", "level"), [("false", "warning"), ("true", "ok")])
def test_a_file_system_without_d_type_is_named(sight, told, level):
    sight.nodes[1].info |= {
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "xfs"], ["Supports d_type", told]],
    }
    assert found(sight, "disk")[0][0] == level
    if level == "warning":
        only(
            sight, "disk", level, ("slave01",), "the file system of /var/lib/docker has no d_type, which overlay2 needs"
        )


def test_a_table_of_neighbours_that_was_too_small_once_is_no_trouble(sight):
    for text in ("8192\n1598\n1172\n1018", "0\n0", "1024\n900\n0"):
        set_answer(sight, "neighbours", text)
        assert [level for level, _, _ in found(sight, "limits")] == ["ok"]


def test_a_full_disk_is_named(sight):
    full = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1000 900 {} 90% /"
    set_answer(sight, "disk", full.format(100 * 1024))
    only(sight, "disk", "error", ("slave01",), "100 MiB free on /")
    set_answer(sight, "disk", full.format(1000 * 1024))
    only(sight, "disk", "warning", ("slave01",), "1000 MiB free on /")


# The bridge to the outside


def test_a_gateway_bridge_that_is_down_or_has_no_address_is_named(sight):
    assert found(sight, "gateway-bridge") == [("ok", ("master", "slave01", "slave02"), "there")]
    gone = "\n".join(line for line in ROUTES.splitlines() if not line.startswith("docker_gwbridge"))
    set_answer(sight, "routes", gone)
    only(sight, "gateway-bridge", "error", ("slave01",), "docker_gwbridge is down or has no address")
    (finding, *_) = made.look("gateway-bridge", sight)
    assert finding.mend.startswith("on slave01: ip link set docker_gwbridge up; if it has no address: ")
    # As engines from 28.0 on have it where its owner made it without IPv4.
    sight.nodes[1].networks = [{"Name": "docker_gwbridge", "EnableIPv4": False}]
    assert found(sight, "gateway-bridge")[0][0] == "ok"


def test_a_gateway_bridge_that_is_gone_is_named(sight):
    set_answer(sight, "links", "eth0 1500 \nlo 65536 ")
    only(sight, "gateway-bridge", "error", ("slave01",), "no docker_gwbridge: there is no interface of that name")
    sight.nodes[1].networks = [{"Name": "bridge"}]
    only(sight, "gateway-bridge", "error", ("slave01",), "no docker_gwbridge: the engine has no network of that name")


def test_networks_that_an_engine_did_not_list_are_not_missing(sight):
    sight.nodes[1].networks = []
    only(sight, "gateway-bridge", "unknown", ("slave01",), "its engine did not list its networks in time")


# Certificates and managers


def test_a_root_certificate_that_ends_is_told(sight):
    sight.swarm["TLSInfo"]["TrustRoot"] = pem_of(AUTHORITY.issue(AUTHORITY.root.subject, until=30).leaf)
    only(sight, "root-certificate", "warning", (), "valid for 30 days")
    sight.swarm["TLSInfo"]["TrustRoot"] = pem_of(AUTHORITY.issue(AUTHORITY.root.subject, since=-9, until=-1).leaf)
    only(sight, "root-certificate", "error", (), "the root certificate ended 24.0 hours ago")


@pytest.mark.parametrize(
    ("since", "until", "level", "part"),
    [
        (-1, 90, "ok", "valid for"),
        (-80, 10, "warning", "should have been renewed"),
        (0, 1, "warning", "valid for 24.0 hours"),
        (0, 4, "info", "valid for 4 days"),
        (-90, -1, "error", "ended 24.0 hours ago"),
        (1, 90, "error", "not valid yet"),
    ],
)
def test_certificates_of_nodes(sight, since, until, level, part):
    leaf = AUTHORITY.issue(x509.Name([]), since=since, until=until).leaf
    set_answer(sight, "certificate", pem_of(leaf))
    findings = [one for one in found(sight, "node-certificates") if "slave01" in one[1]]
    assert findings[0][0] == level
    assert part in findings[0][2]


def test_a_root_certificate_that_has_been_replaced_for_long_is_told(sight):
    sight.swarm |= {"RootRotationInProgress": True, "UpdatedAt": "2026-11-25T03:05:00.000000000Z"}
    only(sight, "root-certificate", "warning", (), "the root certificate is being replaced")
    sight.swarm["UpdatedAt"] = "2026-11-25T03:09:50.000000000Z"
    only(sight, "root-certificate", "info", (), "the root certificate is being replaced")


@pytest.mark.parametrize(
    ("reachable", "others", "level"), [(3, 0, "ok"), (2, 1, "error"), (4, 1, "warning"), (1, 0, "info"), (9, 0, "info")]
)
def test_quorum_is_judged_by_how_many_managers_are_left(sight, reachable, others, level):
    template = sight.members[0]
    sight.members = [copy.deepcopy(template) | {"ID": f"id-{place}"} for place in range(reachable + others)]
    for member in sight.members[reachable:]:
        member["ManagerStatus"]["Reachability"] = "unreachable"
    assert found(sight, "quorum")[0][0] == level
    odd = found(sight, "odd-managers")[0][0]
    assert odd == ("ok" if (reachable + others) % 2 else "warning")


def test_members_that_nobody_can_look_at_are_told(sight):
    sight.members.append(copy.deepcopy(sight.members[0]) | {"ID": "id-far", "Description": {"Hostname": "far"}})
    only(sight, "membership", "unknown", (), "members that were not checked: far")


# Ways


def test_ways_are_told_by_pair_and_the_node_that_explains_them_is_named(sight):
    blocked = ADDRESSES["slave01"]
    for place in (0, 2):
        sight.nodes[place].arrived.tcp[blocked, 7946] = "silent"
        sight.nodes[place].arrived.gossip.discard(blocked)
        sight.nodes[place].arrived.large.discard(blocked)
    only(sight, "port-gossip-tcp", "error", ("slave01",), "master -> slave01 (silent), slave02 -> slave01 (silent)")
    only(sight, "port-gossip-udp", "error", ("slave01",), "slave01 -> master, slave01 -> slave02")
    only(sight, "path-mtu", "error", ("slave01",), "slave01 -> master, slave01 -> slave02")
    assert found(sight, "port-data-udp")[0][0] == "ok"


def test_of_twenty_nodes_the_bad_one_is_named_with_few_of_its_pairs_and_their_count(monkeypatch):
    names = ["master", *(f"slave{place:02}" for place in range(1, 20))]
    monkeypatch.setitem(globals(), "ADDRESSES", {name: f"10.0.0.{place}" for place, name in enumerate(names, start=1)})
    sight = sound()
    bad = next(view for view in sight.nodes if view.name == "slave07")
    bad.arrived.small, bad.arrived.large = set(), set()
    (one,) = made.look("port-data-udp", sight)
    assert (one.level, one.nodes) == (Level.ERROR, ("slave07",))
    assert one.summary.endswith("slave05 -> slave07 and 13 more")
    assert one.pairs == tuple((name, "slave07") for name in names if name != "slave07")
    assert len(one.to_json()["pairs"]) == 19
    # Where no packet passes at all, there are 380 pairs, and no node explains more of them than another.
    for view in sight.nodes:
        view.arrived.small, view.arrived.large = set(), set()
    (one,) = made.look("port-data-udp", sight)
    assert (len(one.nodes), len(one.pairs)) == (20, 380)
    assert str(one).startswith("master, slave01, slave02, slave03, slave04, slave05 and 14 more: UDP to port 4789")
    assert one.summary.endswith("and 374 more")
    (mended,) = merged([one])
    assert mended.mend.startswith("on master, slave01, slave02, slave03, slave04, slave05 and 14 more: ")


def test_large_packets_are_not_judged_where_nothing_arrives_or_nobody_counts(sight):
    sight.nodes[0].arrived.small, sight.nodes[0].arrived.large = set(), set()
    findings = {level: (nodes, summary) for level, nodes, summary in found(sight, "path-mtu")}
    assert findings["unknown"][0] == ("master",)
    assert findings["ok"][1].endswith("(4 paths)")
    for node in sight.nodes:
        node.arrived.unseen = "nft cannot count there: Operation not permitted"
    for check in ("port-gossip-udp", "port-data-udp", "path-mtu"):
        assert [(level, nodes) for level, nodes, _ in found(sight, check)] == [("unknown", tuple(ADDRESSES))]


def lose(sight, *pairs):
    """Let nothing of the first node of each pair reach the second."""
    views = {view.name: view for view in sight.nodes}
    for source, target in pairs:
        address = ADDRESSES[source]
        for came in (views[target].arrived.gossip, views[target].arrived.small, views[target].arrived.large):
            came.discard(address)
        views[source].arrived.tcp[ADDRESSES[target], 2377] = "silent"
        views[source].arrived.tcp[ADDRESSES[target], 7946] = "silent"


@pytest.mark.parametrize(
    ("check", "port", "protocol"),
    [
        ("port-management-tcp", 2377, "tcp"),
        ("port-gossip-tcp", 7946, "tcp"),
        ("port-gossip-udp", 7946, "udp"),
        ("port-data-udp", 4789, "udp"),
        ("path-mtu", 4789, "udp"),
    ],
)
def test_a_node_that_lets_nothing_out_is_told_so(sight, check, port, protocol):
    lose(sight, ("slave01", "master"), ("slave01", "slave02"))
    (finding,) = [one for one in made.look(check, sight) if one.level is not Level.OK]
    opened = f"iptables -I OUTPUT -p {protocol} --dport {port} -j ACCEPT"
    assert (finding.nodes, opened in finding.mend, "--add-port" in finding.mend) == (("slave01",), True, False)
    assert check == "path-mtu" or finding.fix.startswith(opened)
    assert ("conntrack" in finding.mend) is (protocol == "tcp")
    # What comes to it is lost too: it is all of its firewall.
    lose(sight, ("master", "slave01"), ("slave02", "slave01"))
    (finding,) = [one for one in made.look(check, sight) if one.level is not Level.OK]
    assert f"iptables -I INPUT -p {protocol} --dport {port} -j ACCEPT" in finding.mend


def test_where_one_way_alone_is_closed_either_node_may_close_it(sight):
    lose(sight, ("slave01", "master"))
    (finding,) = made.look("port-data-udp", sight)
    assert finding.nodes == ("master", "slave01")
    assert "iptables -I INPUT -p udp --dport 4789 -j ACCEPT" in finding.mend


def test_gossip_from_an_address_that_is_nobodys_is_no_proof_against_anybody(sight):
    sight.nodes[0].arrived.gossip = {ADDRESSES["slave02"], "10.1.1.1"}
    only(sight, "port-gossip-udp", "unknown", ("slave01",), "to master gossip came from 10.1.1.1")


def test_a_way_whose_mtu_the_kernel_has_learnt_is_told(sight):
    sight.nodes[0].arrived.routes = {ADDRESSES["slave02"]: 1420}
    only(sight, "path-mtu", "warning", ("master",), "the path to slave02 has an MTU of 1420")


def test_networks_with_an_mtu_of_their_own_need_no_more_than_that(sight):
    option = "com.docker.network.driver.mtu"
    for node in range(3):
        set_answer(sight, "links", "eth0 1460 \nlo 65536 ", node=node)
    only(
        sight, "path-mtu", "warning", tuple(ADDRESSES), "eth0 has an MTU of 1460, overlay networks send packets of 1500"
    )
    sight.networks = [network("ingress", "10.0.0.0/24", Options={option: "1460"}, Ingress=True)]
    assert found(sight, "path-mtu") == [("ok", (), "packets of 1460 bytes pass (6 paths)")]


def test_sets_of_the_packet_filter_are_read():
    # As nft 1.0.6 and nft 0.9.8 list them.
    table = (
        "table ip swarmlab_look_0a1b2c3d {\n\tset gossip {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic\n"
        "\t\telements = { 192.168.58.103, 192.168.58.104 }\n\t}\n\n\tset small {\n\t\ttype ipv4_addr\n"
        "\t\tsize 65535\n\t\tflags dynamic\n\t}\n\n\tchain last {\n"
        "\t\ttype filter hook input priority 1000; policy accept;\n"
        "\t\tudp dport 7946 add @gossip { ip saddr }\n\t}\n}\n"
    )
    assert elements(table) == {"gossip": {"192.168.58.103", "192.168.58.104"}, "small": set()}


# Networks and tasks


def test_subnets_are_held_against_routes_name_servers_and_each_other(sight):
    assert routes(ROUTES)[0][0] == "docker0"
    assert str(routes(ROUTES)[2][1]) == "192.168.58.0/24"
    sight.networks.append(network("one", "172.17.5.0/24"))
    findings = found(sight, "subnets-and-routes")
    assert findings[0][:2] == ("error", tuple(ADDRESSES))
    assert "172.17.0.0/16 by docker0" in findings[0][2]
    sight.networks.append(network("two", "172.17.0.0/16"))
    only(sight, "subnets", "error", (), "networks one (172.17.5.0/24) and two (172.17.0.0/16) overlap")
    sight.networks[-1] |= {"Driver": "", "IPAM": {"Driver": "", "Config": None}}
    only(sight, "subnets", "error", (), "network two was given no subnet")


def test_a_route_of_the_node_that_is_wider_than_a_network_is_no_trouble_for_it(sight):
    sight.networks.append(network("app", "10.0.1.0/24"))
    set_answer(sight, "routes", ROUTES + "\neth1\t0000000A\t0100140A\t0003\t0\t0\t0\t000000FF\t0\t0\t0")
    assert {level for level, _, _ in found(sight, "subnets-and-routes")} == {"info"}
    set_answer(sight, "routes", ROUTES + "\neth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0")
    assert {level for level, _, _ in found(sight, "subnets-and-routes")} == {"info", "warning"}
    set_answer(sight, "routes", ROUTES + "\neth1\t0001000A\t0100140A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0")
    assert ("error", ("slave01",)) in [one[:2] for one in found(sight, "subnets-and-routes")]


@pytest.mark.parametrize("held", ["10.0.1.11/24", "10.0.1.11/8", "10.0.1.11/32"])
def test_a_network_in_which_a_node_has_its_address_is_named_once(sight, held):
    sight.networks.append(network("app", "10.0.1.0/24"))
    for place in range(3):
        set_answer(sight, "routes", ROUTES + "\neth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0", node=place)
    own = sight.nodes[1].answers["addresses"][1]
    set_answer(sight, "addresses", f"{own}\n43: eth1    inet {held} scope global eth1")
    errors = [one for one in made.look("subnets-and-routes", sight) if one.level.trouble and "app" in one.summary]
    assert [(str(one.level), one.nodes, one.summary) for one in errors] == [
        ("error", ("slave01",), "network app has 10.0.1.0/24, which 10.0.1.11 of slave01 is in")
    ]
    for bridge in ("br-0123", "ov-001001-ab12c"):
        set_answer(sight, "addresses", f"{own}\n43: {bridge}    inet {held} scope global {bridge}")
        assert "of slave01" not in " ".join(one[2] for one in found(sight, "subnets-and-routes"))
    sight.nodes[2].info["Swarm"]["NodeAddr"] = "10.0.1.12"  # behind NAT
    assert "which 10.0.1.12 of slave02 is in" in " ".join(one[2] for one in found(sight, "subnets-and-routes"))


def test_a_subnet_that_the_manager_does_not_tell_is_read_elsewhere(sight):
    # As managers before 18.06 list networks.
    for name in ("on-node", "by-task", "by-service", "unused"):
        sight.networks.append(network(name, "10.0.0.0/24") | {"IPAM": {"Driver": "default", "Config": []}})
    sight.nodes[2].networks.append(network("on-node", "172.17.5.0/24"))
    options = {"Driver": {"Name": "default"}, "Configs": [{"Subnet": "172.17.6.0/24", "Gateway": "172.17.6.1"}]}
    attachment = {"Network": {"ID": "id-by-task", "IPAMOptions": options}, "Addresses": ["172.17.6.5/24"]}
    sight.tasks = [{"NodeID": "id-master", "Status": {"State": "running"}, "NetworksAttachments": [attachment]}]
    sight.services = [{"Endpoint": {"VirtualIPs": [{"NetworkID": "id-by-service", "Addr": "172.17.7.2/24"}]}}]
    complete(sight)
    for check in ("subnets-and-routes", "subnets", "free-addresses"):
        unknown = [summary for level, _, summary in found(sight, check) if level == "unknown"]
        assert unknown == ["no manager and no node tells the subnet of network unused"]
    overlapping = " ".join(summary for level, _, summary in found(sight, "subnets-and-routes") if level == "error")
    for name, subnet in (("on-node", "172.17.5.0/24"), ("by-task", "172.17.6.0/24"), ("by-service", "172.17.7.0/24")):
        assert f"network {name} has {subnet}, which overlaps" in overlapping


@pytest.mark.parametrize(("version", "free"), [("17.06.2-ce", 12), ("18.03.1-ce", 9), ("18.09.0", 11)])
def test_which_nodes_have_an_address_for_their_balancer_depends_on_the_engine(sight, version, free):
    for node in sight.nodes:
        node.version["Version"] = version
    sight.networks.append(network("narrow", "10.0.9.0/28"))
    attachment = {"Network": {"ID": "id-narrow"}, "Addresses": ["10.0.9.5/28"]}
    sight.tasks = [{"NodeID": "id-master", "Status": {"State": "running"}, "NetworksAttachments": [attachment]}]
    # Of 14: the gateway's, the task's and those of the nodes.
    assert f"narrow {free} of 14" in found(sight, "free-addresses")[0][2]


@pytest.mark.parametrize(
    ("part", "gateway", "told"),
    [
        ("10.0.9.16/29", "10.0.9.16", "narrow 6 of 8"),
        ("10.0.9.16/29", "10.0.9.1", "narrow 7 of 9"),  # the gateway is beside it
        ("10.0.9.0/29", "10.0.9.1", "narrow 5 of 7"),
        ("", "10.0.9.1", "narrow 252 of 254"),
    ],
)
def test_a_network_with_a_range_has_the_addresses_of_that_alone(sight, part, gateway, told):
    pool = {"Subnet": "10.0.9.0/24", "IPRange": part, "Gateway": gateway}
    sight.networks.append(network("narrow", "10.0.9.0/24", IPAM={"Config": [pool]}))
    sight.services = [{"Endpoint": {"VirtualIPs": [{"NetworkID": "id-narrow", "Addr": "10.0.9.18/24"}]}}]
    assert told in found(sight, "free-addresses")[-1][2]


def test_addresses_are_counted_as_managers_tell(sight):
    sight.networks.append(network("narrow", "10.0.9.0/28"))
    attachment = {"Network": {"ID": "id-narrow"}, "Addresses": ["10.0.9.5/28"]}
    tasks = [
        {"NodeID": f"id-{place % 3}", "Status": {"State": state}, "NetworksAttachments": [attachment]}
        for place, state in enumerate(["running"] * 6 + ["shutdown", "failed"])
    ]
    sight.tasks = tasks
    sight.services = [{"Endpoint": {"VirtualIPs": [{"NetworkID": "id-narrow", "Addr": "10.0.9.2/28"}]}}]
    # Of 14: the gateway's, the service's, six tasks' and those of three nodes.
    assert "narrow 3 of 14" in found(sight, "free-addresses")[0][2]
    sight.tasks = [*tasks, tasks[0]]
    only(sight, "free-addresses", "warning", (), "narrow has 2 of 14")


def test_a_task_is_stuck_only_after_a_while(sight):
    task = {
        "ServiceID": "s",
        "DesiredState": "running",
        "Status": {"State": "new", "Timestamp": "2026-11-25T03:09:50Z", "Message": "created"},
    }
    sight.tasks, sight.services = [task], [{"ID": "s", "Spec": {"Name": "web"}}]
    assert found(sight, "stuck-tasks")[0][0] == "ok"
    task["Status"]["Timestamp"] = "2026-11-25T03:09:00Z"
    only(sight, "stuck-tasks", "error", (), "1 task of web new for over 30 s: created")
    task["Status"] |= {"State": "pending", "Err": "no suitable node"}
    only(sight, "stuck-tasks", "warning", (), "pending for over 30 s: no suitable node")
    task["DesiredState"] = "remove"
    only(sight, "stuck-tasks", "info", (), "tasks of web that nobody wants stay pending: 1")


# Engines


def test_engines_of_several_versions_are_told(sight):
    sight.nodes[1].version["Version"] = "28.5.2"
    only(sight, "engine-versions", "warning", (), "20.10.24+dfsg1 on master, slave02; 28.5.2 on slave01")
    sight.nodes[1].version["Version"] = "20.10.24"  # the same release in another package
    only(sight, "engine-versions", "info", (), "20.10.24+dfsg1 on master, slave02; 20.10.24 on slave01")
    sight.nodes[1].version["Version"] = "28.5.2"
    sight.nodes[1].version |= {"MinAPIVersion": "1.44", "ApiVersion": "1.51"}
    only(sight, "api-versions", "error", (), "no version of the API")


def defects_of(sight, name="slave01"):
    findings = made.look("known-defects", sight)
    return {one.incident: one for one in findings if name in one.nodes and one.incident}


@pytest.mark.parametrize(
    ("version", "encrypted", "some", "others"),
    [
        ("17.06.2-ce", False, {"swarmkit#2374", "moby#36672"}, {"swarmkit#2555"}),
        ("18.03.1-ce", False, {"swarmkit#2555", "CVE-2019-5736", "libnetwork#2134"}, {"moby#36672", "docker/cli#2875"}),
        ("18.09.9", False, {"moby#40989, moby#42538"}, {"swarmkit#2555", "CVE-2019-5736"}),
        ("20.10.5+dfsg1", True, {"CVE-2023-28840", "moby#34384"}, {"moby#51798"}),
        ("20.10.24+dfsg1", True, {"moby#34384"}, {"CVE-2023-28840", "moby#40989"}),
        ("26.1.5+dfsg1", True, {"moby#50342"}, {"moby#34384"}),
        ("28.3.3", False, {"moby#52661"}, {"moby#53141"}),
        ("29.2.1", True, {"moby#53141", "moby#52661"}, {"moby#51798", "moby#50342"}),
        ("29.2.0", True, {"moby#51798"}, {"moby#51495"}),
    ],
)
def test_defects_are_told_by_version(sight, version, encrypted, some, others):
    if encrypted:
        sight.networks.append(network("secret", "10.0.9.0/24", Options={"encrypted": ""}))
    sight.nodes[1].version["Version"] = version
    told = " ".join(defects_of(sight))
    assert not [incident for incident in some if incident not in told]
    assert not [incident for incident in others if incident in told]


def test_a_defect_is_told_only_where_the_cluster_has_what_it_takes(sight):
    node = sight.nodes[1]
    node.version["Version"] = "18.03.1-ce"
    assert not {"moby#34827", "CVE-2019-13509", "CVE-2026-34040", "swarmkit#3200"} & set(
        " ".join(defects_of(sight)).split(", ")
    )
    node.info |= {"Debug": True, "Plugins": {"Authorization": ["guard"]}}
    sight.services = [{"Spec": {"TaskTemplate": {"Placement": {"Preferences": [{"Spread": {}}]}}}}]
    for member in sight.members[1:]:
        member["Spec"]["Role"] = "worker"
    told = defects_of(sight)
    for incident in ("CVE-2019-13509", "CVE-2026-34040", "swarmkit#3200, moby#50202", "moby#34827, moby#40831"):
        assert told[incident].level is Level.WARNING
    sight.asked, sight.unasked = "", "no manager answers"
    unjudged = [one for one in made.look("known-defects", sight) if one.level is Level.UNKNOWN]
    assert "no manager answers: it is not known whether these concern the swarm" in unjudged[0].summary


def test_what_engines_that_have_a_defect_do_to_others_is_told_only_where_there_are_others(sight):
    sight.networks.append(network("secret", "10.0.9.0/24", Options={"encrypted": ""}))
    for node, version in zip(sight.nodes, ("29.0.0", "29.2.0", "25.0.13"), strict=True):
        node.version["Version"] = version
    assert "moby#51798" not in defects_of(sight)
    sight.nodes[0].version["Version"] = "29.2.1"
    assert defects_of(sight)["moby#51798"].nodes == ("slave01",)
    sight.nodes[0].version = {}  # a release that is not known
    assert "moby#51798" not in defects_of(sight)


def test_a_manager_of_a_newer_line_beside_an_older_one_is_named(sight):
    assert "docker/cli#2875" not in defects_of(sight)
    sight.nodes[0].version["Version"] = "18.03.1-ce"
    assert defects_of(sight)["docker/cli#2875"].nodes == ("slave01", "slave02")
    assert defects_of(sight)["docker/cli#2875"].mend == "upgrade the other managers too"
    sight.nodes[1].info["Swarm"]["ControlAvailable"] = False
    assert defects_of(sight, "slave02")["docker/cli#2875"].nodes == ("slave02",)


def test_runc_is_judged_by_its_own_version(sight):
    node = sight.nodes[1]
    node.version["Components"] = [{"Name": "Engine", "Version": "24.0.2"}, {"Name": "runc", "Version": "1.1.7"}]
    node.version["Version"] = "24.0.2"
    assert defects_of(sight)["CVE-2024-21626"].level is Level.WARNING
    node.version["Components"][1]["Version"] = "1.1.12"
    assert "CVE-2024-21626" not in defects_of(sight)
    # A distribution mends a program under its old number.
    node.version["Components"][1]["Version"] = "1.1.5+ds1"
    assert defects_of(sight)["CVE-2024-21626"].level is Level.INFO
    assert "distribution" in defects_of(sight)["CVE-2024-21626"].mend
    # The first release candidates had another layout, and not this defect.
    del node.version["Components"]
    set_answer(sight, "runc", "runc version 1.0.0-rc5\ncommit: 4fc53a81fb7c994640722ac585fa9ca548971871")
    assert "CVE-2024-21626" not in defects_of(sight)


def test_every_condition_of_a_defect_can_be_looked_at():
    schema = json.loads(FILE.with_name("defects.schema.json").read_text(encoding="utf-8"))
    assert set(schema["items"]["properties"]["where"]["items"]["enum"]) == set(CONDITIONS)
    assert {name for defect in defects() for name in defect.where} == set(CONDITIONS)


@pytest.mark.parametrize(
    ("version", "runc", "answer", "level", "part"),
    [
        (
            "18.03.1-ce",
            "1.0.0-rc5",
            "containers 0",
            "warning",
            "engine 18.03.1-ce refuses what today's images call: statx, clone3, faccessat2",
        ),
        ("18.09.9", "1.0.0-rc10", "containers 0", "warning", "clone3, faccessat2"),
        ("19.03.15", "1.1.4", "containers 0", "ok", "refuses none"),  # it answers "not implemented"
        ("20.10.9", "1.0.2", "containers 0", "warning", "call: clone3"),
        ("20.10.10", "1.0.2", "containers 0", "ok", "refuses none"),
        ("20.10.5+dfsg1", "1.0.0~rc93+ds1", "containers 0", "unknown", "may be its distribution's own"),
        ("20.10.5+dfsg1", "1.0.0~rc93+ds1", "containers 3\nstatx 3\nclone3 3\nfaccessat2 3", "ok", "refuses none"),
        (
            "28.5.2",
            "1.3.3",
            "containers 3\nstatx 3\nclone3 1\nfaccessat2 3",
            "warning",
            "profile of 2 of 3 containers refuses",
        ),
    ],
)
def test_what_a_seccomp_profile_refuses_is_told(sight, version, runc, answer, level, part):
    sight.nodes[1].version["Version"] = version
    set_answer(sight, "runc", f"runc version {runc}\ncommit: x")
    set_answer(sight, "seccomp", answer)
    (finding,) = [one for one in made.look("seccomp-profile", sight) if "slave01" in one.nodes]
    assert (str(finding.level), part in finding.summary) == (level, True), finding


def test_a_profile_that_is_not_the_engines_own_is_not_judged_by_its_version(sight):
    set_answer(sight, "seccomp", "containers 0")
    node = sight.nodes[1]
    node.info["SecurityOptions"] = ["name=apparmor", "name=seccomp,profile=/etc/docker/own.json"]
    only(sight, "seccomp-profile", "unknown", ("slave01",), "/etc/docker/own.json is not the engine's own")
    for options in (["name=seccomp,profile=unconfined"], ["name=apparmor"], [], None):
        node.info["SecurityOptions"] = options
        assert {level for level, _, _ in found(sight, "seccomp-profile")} == {"ok"}


@pytest.mark.parametrize(
    ("command", "settings", "lacking"),
    [
        ("--host=tcp://0.0.0.0:2375", "", "encryption"),
        ("-H\ntcp://0.0.0.0:2375\n-H\nunix:///run/docker.sock", "{}", "encryption"),
        ("--host\ntcp://0.0.0.0:2375\n--tls", "", "client certificates"),
        ("", '{"hosts": ["fd://", "tcp://0.0.0.0:2375"]}', "encryption"),
        ("-H\ntcp://0.0.0.0:2375\n--tlsverify", "", ""),
        ("-H\ntcp://0.0.0.0:2375", '{"tlsverify": true}', ""),
        ("-H\nfd://", "", ""),
    ],
)
def test_an_engine_without_warnings_is_judged_by_its_options(sight, command, settings, lacking):
    del sight.nodes[1].info["Warnings"]
    set_answer(sight, "command line", f"/usr/bin/dockerd\n{command}")
    set_answer(sight, "daemon.json", settings)
    if lacking:
        only(sight, "daemon-sockets", "error", ("slave01",), f"open on tcp://0.0.0.0:2375 without {lacking}")
    else:
        assert {level for level, _, _ in found(sight, "daemon-sockets")} == {"ok"}


def test_engines_that_clients_of_today_refuse_are_told(sight):
    for node in sight.nodes:
        node.version |= {"Version": "18.03.1-ce", "ApiVersion": "1.37"}
    only(sight, "api-versions", "info", (), "all support 1.12 to 1.37")


# Running checks and reporting findings


def test_what_a_node_prints_is_read_as_it_was_asked():
    output = (
        "before\n=== swarmlab one\n=== a line\nof two\n\n=== swarmlab. 0\n"
        "=== swarmlab two\nno such file\n\n=== swarmlab. 1\n"
    )
    assert parse_answers(output) == {"one": (0, "=== a line\nof two"), "two": (1, "no such file")}


def test_every_question_reaches_the_node_whole(monkeypatch):
    # No name server is asked from this machine.
    asking = re.sub(r"/etc/(resolv.conf|docker)|/run/systemd/resolve", "/nowhere", QUESTIONS["name servers"])
    monkeypatch.setitem(QUESTIONS, "name servers", asking)

    def run(command, **_):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        return Result(command, done.returncode, done.stdout, done.stderr)

    node = SimpleNamespace(name="here", run=run)
    here = NodeView("here", info={"DockerRootDir": "/nowhere"})
    node.ask = lambda *_, **__: []
    _read(node, here)
    assert set(here.answers) == set(QUESTIONS)
    for question in ("certificate", "inodes"):
        with pytest.raises(Unknown, match="nowhere"):
            here.read(question)
    assert here.numbers("forwarding") in ([0], [1])


def test_found_alike_on_several_nodes_is_told_once_the_worst_first():
    findings = merged(
        [
            Finding(Level.OK, "fine", nodes=("a",)),
            Finding(Level.WARNING, "bad", nodes=("b",)),
            Finding(Level.WARNING, "bad", nodes=("c",)),
        ]
    )
    assert [str(one) for one in findings] == ["b, c: bad", "a: fine"]
    assert json.loads(json.dumps(findings[0].to_json()))["level"] == "warning"


def test_a_check_is_skipped_for_a_reason_that_is_told(sight):
    findings = made.look("disk", sight, "shared with the host")
    assert [(one.check, str(one.level), one.summary) for one in findings] == [
        ("disk", "skipped", "shared with the host")
    ]
    assert reasons(["disk=a=b"]) == {"disk": "a=b"}
    with pytest.raises(UsageError, match=r"^no check 'disc'; did you mean disk\?; checks: engines-answer, .*limits$"):
        reasons(["disc=x"])
    with pytest.raises(UsageError, match="to skip disk, give a reason: disk=REASON"):
        reasons(["disk"])


def test_a_finding_stands_beside_the_failures_that_it_may_explain():
    closed = Finding(Level.ERROR, "gossip does not arrive", nodes=("slave01",), check="port-gossip-udp").to_json()
    fine = Finding(Level.OK, "there", nodes=("slave01",), check="gateway-bridge").to_json()
    skew = Finding(Level.WARNING, "slave02 is 40 s ahead", nodes=("slave02",), check="clocks").to_json()
    all_of_them = [closed, fine, skew]
    assert explaining(all_of_them, "7.2.1/reachable", "slave01 does not route to the task") == [closed]
    assert explaining(all_of_them, "7.2.1/reachable", "slave02 does not route to the task") == []
    assert explaining(all_of_them, "8.3/validity", "certificate of slave02 is not valid yet") == [skew]
    assert explaining(all_of_them, "3.1/volume", "the file is empty") == []
    # What closes a port between nodes explains no name in a file of one machine.
    assert explaining([closed], "1.1/hosts-mapping", "slave01 maps slave02 to another address") == []
    assert explaining([closed], "configs/lifecycle", "slave01 lists none\nit timed out") == [closed]


def test_a_cause_stands_before_what_follows_from_it_and_only_where_that_explains_something():
    full = Finding(Level.WARNING, "9 of 9 connections are tracked", nodes=("slave01",), check="limits").to_json()
    closed = Finding(
        Level.ERROR, "gossip does not arrive", nodes=("slave01",), check="port-gossip-udp", because="limits: full"
    ).to_json()
    # The check "limits" explains no claim of chapter 7 by itself.
    assert explaining([full], "7.2.1/routes", "it has no task") == []
    assert explaining([full, closed], "7.2.1/routes", "it has no task") == [full, closed]
    assert explaining([full, closed], "3.1/volume", "the file is empty") == []
    assert explaining([full, closed], "7.2.1/routes", "slave02 has no task of slave01") == [full, closed]
    elsewhere = full | {"nodes": ["slave02"]}
    assert explaining([elsewhere, closed], "7.2.1/routes", "slave01 has no task") == [closed]


def test_an_engine_whose_log_is_damaged_says_so_itself(sight):
    swarm = sight.nodes[1].info["Swarm"]
    swarm |= {
        "LocalNodeState": "error",
        "Error": "can't initialize raft node: irreparable WAL error:\n wal: crc mismatch",
    }
    told = "its engine takes no part in the swarm: can't initialize raft node: irreparable WAL error: wal: crc mismatch"
    only(sight, "engines-answer", "error", ("slave01",), told)
