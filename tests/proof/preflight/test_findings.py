"""Faults are planted in a real cluster, many at once, and preflight has to find each, name its node, and nothing else.

Not collected by `pytest tests/`, as it takes a lab and some minutes: `make preflight-power` (with ENGINE, on another).
"""

import functools
import itertools
import json
import os
import re
import time
from dataclasses import dataclass

import pytest

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.fault import applied, close_port, deafen, split
from swarmlab.cluster.swarm import Swarm, join
from swarmlab.errors import EngineRefused
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.containers.outer import connect
from swarmlab.ownership import this_process
from swarmlab.preflight import CHECKS, Level, preflight
from swarmlab.wait import State, wait
from tests.proof.claims.planting import clock


def started_by(command):
    """The script that has *command* start the node's engine from its next start on."""
    return (
        "mv /usr/sbin/dockerd /usr/sbin/dockerd.real;"
        f" printf '#!/bin/sh\\nexec {command} \"$@\"\\n' > /usr/sbin/dockerd;"
        " chmod +x /usr/sbin/dockerd"
    )


#: A dockerd that also listens where anybody may ask it.
OPEN_SOCKET = started_by("dockerd.real --host=tcp://127.0.0.1:2375")
#: A dockerd that refuses clients which are older than it is.
NEWEST_API_ONLY = started_by("env DOCKER_MIN_API_VERSION=1.44 dockerd.real")

#: A network card of VMware, as far as /sys and ethtool tell of one: there is none to be had.
VMWARE = (
    "mkdir /tmp/cards; cd /sys/class/net; for L in *; do mkdir /tmp/cards/$L; cat $L/mtu > /tmp/cards/$L/mtu; done;"
    " mkdir /tmp/cards/eth0/device; ln -s /nowhere/vmxnet3 /tmp/cards/eth0/device/driver;"
    " printf '#!/bin/sh\nprintf \"Features for $2:\\\\n\\\\ttx-checksum-ip-generic: on\\\\n\"\n' > /usr/sbin/ethtool;"
    " chmod +x /usr/sbin/ethtool; mount --bind /tmp/cards /sys/class/net"
)


@dataclass(frozen=True)
class Fault:
    """What is planted, and what has to be found.

    Attributes:
        check: the check that finds it.
        level: the level of the finding.
        says: a regular expression that what was seen has to match.
        node: where it is planted, and whom the finding has to name; empty for the cluster as a whole.
        script: a shell script that plants it; empty where something else does.
    """

    check: str
    level: str
    says: str
    node: str = ""
    script: str = ""


def drop(what, chain="prerouting", priority=-350):
    return (
        f"nft 'add table ip gremlin; add chain ip gremlin {chain} "
        f"{{ type filter hook {chain} priority {priority}; }}; add rule ip gremlin {chain} {what} drop'"
    )


#: Of the cluster's state and its nodes' settings.
STATE = [
    Fault("odd-managers", "warning", "2 managers, an even number"),
    Fault("autolock", "info", "autolock", "", "docker swarm update --autolock=true"),
    Fault("availability", "warning", "worker with availability drain", "slave02", "-"),
    Fault("availability", "info", "manager with availability drain", "slave01", "-"),
    Fault("node-certificates", "warning", r"good for [01]\.\d hours", "slave02"),
    Fault("stuck-tasks", "warning", r"1 task of nowhere pending .*no suitable node"),
    Fault("stuck-tasks", "error", r"\d+ tasks? of crowd new"),
    Fault("free-addresses", "error", r"network narrow has 0 of 14 addresses left"),
    Fault("subnets-and-routes", "error", r"routed has 10\.77\.5\.0/24, .*10\.77\.0\.0/16 by eth0", "slave01",
          "ip route add 10.77.0.0/16 dev eth0"),
    Fault("subnets-and-routes", "warning", r"routed has .*name server 10\.77\.5\.53", "slave03",
          "echo nameserver 10.77.5.53 >> /etc/resolv.conf"),
    Fault("subnets-and-routes", "info", r"pool 10\.0\.0\.0/8 has the host's 10\.77\.0\.0/16", "slave01"),
    Fault("iptables-backend", "warning", "legacy on slave02", "slave02",
          "update-alternatives --set iptables /usr/sbin/iptables-legacy"),
    Fault("legacy-rules", "warning", "1 rules of iptables-legacy", "slave01",
          "iptables-legacy -A INPUT -s 203.0.113.9 -j ACCEPT"),
    Fault("engine-firewall", "error", "firewall-backend is nftables, from its next start on", "slave02",
          "echo '{\"firewall-backend\": \"nftables\"}' > /etc/docker/daemon.json"),
    Fault("daemon-sockets", "error", r"open on http://127\.0\.0\.1:2375 without encryption", "slave03"),
    Fault("gateway-bridge", "error", "no interface of that name", "slave03", "ip link delete docker_gwbridge"),
    Fault("forwarding", "error", "ip_forward is 0", "slave02", "sysctl -w net.ipv4.ip_forward=0"),
    Fault("disk", "error", r"[01] MiB free on /run", "slave02",
          "mount -o remount,size=$(($(df -Pk /run | awk 'NR == 2 {print $3}') + 1100))k /run"),
    Fault("firewalld", "warning", "firewalld runs", "slave01",
          "cp /bin/sleep /tmp/firewalld; setsid /tmp/firewalld 3600 >/dev/null 2>&1 </dev/null &"),
    Fault("limits", "warning", r"inotify: \d+ of 64 instances used", "slave03",
          "echo 64 > /tmp/few; mount --bind /tmp/few /proc/sys/fs/inotify/max_user_instances"),
    Fault("subnets", "error", "network within was given no subnet"),
    Fault("clocks", "warning", "slave01 is (39|40|41) s ahead", "slave01", clock(40)),
]  # fmt: skip

#: Of the ways between the nodes.
WAYS = [
    Fault("port-gossip-tcp", "error", r"master -> slave01 \(silent\), slave02 -> slave01 \(silent\)", "slave01",
          drop("tcp dport 7946")),
    # Behind all that sees the packets first: those of connections that stand are followed there, and never arrive.
    Fault("port-gossip-udp", "error", "gossip does not arrive: master -> slave02, slave01 -> slave02, slave03",
          "slave02", "iptables -I INPUT -p udp --dport 7946 -j DROP"),
    Fault("port-data-udp", "error", r"UDP to port 7789 does not arrive: master -> slave02, .*slave03 -> slave02",
          "slave02", drop("udp dport 7789")),
    Fault("path-mtu", "warning", "eth0 has an MTU of 1400, overlay networks send packets of 1500", "master",
          "ip link set eth0 mtu 1400"),
    Fault("path-mtu", "error", r"packets of 1500 bytes are lost, small ones pass: .*slave01 -> master", "master"),
]  # fmt: skip


#: The checks of ways between nodes that faults close.
ALL_WAYS = ("port-management-tcp", "port-gossip-tcp", "port-gossip-udp", "port-data-udp")


def fired(found):
    return [finding for finding in found if finding.level not in (Level.OK, Level.SKIPPED)]


def hold_against(found, faults, always):
    """Every fault was found, on its node, and nothing else was but *always*."""
    said = "\n".join(f"{finding.level} {finding.check}: {finding}" for finding in fired(found))
    print(said)
    missed = [fault for fault in faults if not any(_is(finding, fault) for finding in found)]
    assert not missed, f"not found: {missed}; found:\n{said}"
    expected = {fault.check for fault in faults} | always
    others = [finding for finding in fired(found) if finding.check not in expected]
    assert not others, "\n".join(map(str, others))


def _is(finding, fault):
    named = (fault.node in finding.nodes) if fault.node else True
    return (
        (finding.check, str(finding.level)) == (fault.check, fault.level)
        and named
        and re.search(fault.says, finding.seen)
    )


@pytest.fixture(scope="module")
def always(lab):
    """What is so on every cluster of this lab, and truly."""
    kernel = {"kernel-modules"} if lab.offers.missing(["ipvs"]) else set()
    engines = (
        {"engine-versions"} if len({node.ask("GET", "/version")["Version"] for node in lab.nodes()}) > 1 else set()
    )
    return kernel | engines | {"known-defects"}


def plant(nodes, faults):
    for fault in faults:
        if fault.script not in ("", "-"):
            node = next(node for node in nodes if node.name == (fault.node or "master"))
            done = node.run(fault.script)
            assert done.ok, f"{fault}: {done.said}"


def done(node, words):
    told = node.docker(words)
    assert told.ok, told.said


@pytest.fixture(scope="module")
def broken(lab):
    """Two managers and two workers, with certificates for an hour, and an engine that anybody may ask."""
    nodes = lab.more(4)
    master, second, *workers = nodes
    last = nodes[-1]
    assert last.run(OPEN_SOCKET).ok
    last.stop()
    last.start()
    done(master, f"swarm init --advertise-addr {master.address} --data-path-port 7789")
    done(master, "swarm update --cert-expiry 1h0m0s")
    swarm = Swarm(nodes, image=lab.image)
    tokens = swarm.tokens()
    join(second, master, tokens["Manager"])
    for node in workers:
        join(node, master, tokens["Worker"])
    swarm.wait_ready()
    done(master, "swarm ca --rotate --detach")

    def rotated():
        told = master.ask("GET", "/swarm")
        return State(not told["RootRotationInProgress"], "the root certificate is being replaced")

    wait(rotated, "certificates for an hour", deadline=120, stable=3, every=1)
    yield swarm
    lab.remove(nodes)


@pytest.fixture(scope="module")
def healthy(lab):
    """Three managers, and a service."""
    nodes = lab.more(3)
    swarm = Swarm.form(nodes, managers=3, image=lab.image)
    web = swarm.create_service("web", "web:1", replicas=3, publish={swarm.port(): 80})
    web.wait_running(3)
    yield swarm
    lab.remove(nodes)


def test_nothing_is_found_where_nothing_is_wrong(healthy, always):
    start = time.monotonic()
    found = preflight(healthy)
    print(f"{time.monotonic() - start:.1f} s")
    hold_against(found, [], always)
    assert {finding.check for finding in found} == set(CHECKS)
    assert not any(node.run("nft list table ip swarmlab_preflight").ok for node in healthy.nodes)


def test_what_needs_rights_is_unknown_to_a_user_without(healthy, monkeypatch):
    for node in healthy.nodes:
        monkeypatch.setattr(node, "run", functools.partial(node.run, user="hadoop"))
    found = preflight(healthy)
    print("\n".join(f"{finding.level} {finding.check}: {finding}" for finding in found))
    by_level = {level: {finding.check for finding in found if finding.level is level} for level in Level}
    needing = {"legacy-rules", "port-gossip-udp", "port-data-udp", "path-mtu", "node-certificates", "limits"}
    assert by_level[Level.UNKNOWN] == needing
    assert not by_level[Level.OK] & needing


def test_a_card_of_vmware_is_named(healthy, always):
    card = Fault("checksum-offload", "warning", "eth0 is vmxnet3 with tx-checksum-ip-generic on", "slave01", VMWARE)
    plant(healthy.nodes, [card])
    try:
        hold_against(preflight(healthy), [card], always)
    finally:
        healthy.nodes[1].run("umount /sys/class/net; rm -r /tmp/cards /usr/sbin/ethtool")


@pytest.mark.parametrize(
    ("port", "protocol", "check"),
    [
        (2377, "tcp", "port-management-tcp"),
        (7946, "tcp", "port-gossip-tcp"),
        (7946, "udp", "port-gossip-udp"),
        (4789, "udp", "port-data-udp"),
    ],
)
def test_a_port_is_closed_until_it_is_healed(healthy, always, port, protocol, check):
    closed = healthy.nodes[1]
    pairs = itertools.permutations(map(str, healthy.nodes), 2)
    with applied(close_port(port, closed, protocols=[protocol]), healthy):
        assert broken_ways(healthy) == {check: {pair for pair in pairs if closed.name in pair}}
    expect_healed(healthy, always)


def test_two_sides_hear_only_their_bridge_until_they_are_healed(healthy, always):
    first, bridge, last = healthy.nodes
    with applied(split([first, bridge], [bridge, last]), healthy):
        # By TCP each is silent to the other.
        both = {(first.name, last.name), (last.name, first.name)}
        assert broken_ways(healthy) == dict.fromkeys(ALL_WAYS, both)
    expect_healed(healthy, always)


def test_who_is_deaf_is_heard_until_it_is_healed(healthy, always):
    first, second, deaf = healthy.nodes
    with applied(deafen(deaf, healthy.nodes), healthy):
        # Engines that take it for dead are soon told nothing by it, so of gossip more is lost.
        assert broken_ways(healthy)["port-data-udp"] == {(first.name, deaf.name), (second.name, deaf.name)}
    expect_healed(healthy, always)


def broken_ways(cluster):
    """From where to where nothing comes, by the check that finds it."""
    told = {}
    for finding in fired(preflight(cluster)):
        if finding.check in ALL_WAYS:
            told.setdefault(finding.check, set()).update(re.findall(r"(\w+) -> (\w+)", finding.seen))
    return told


def expect_healed(cluster, always):
    cluster.wait_ready()
    hold_against(preflight(cluster), [], always)


def test_a_manager_that_is_lost_is_named_and_nobody_else(healthy, always):
    first, _, lost = healthy.nodes
    lost.kill()

    def noticed():
        states = {one["ID"]: (one.get("ManagerStatus") or {}).get("Reachability") for one in first.ask("GET", "/nodes")}
        return State("unreachable" in states.values() and "down" in str(first.ask("GET", "/nodes")), str(states))

    wait(noticed, "managers to notice", deadline=90, every=1)
    faults = [
        Fault("engines-answer", "error", "does not answer", "slave02"),
        Fault("membership", "error", "all managers reachable: .*slave02 unreachable"),
        Fault("membership", "error", "all nodes ready: .*slave02 down"),
        Fault("quorum", "error", "2 of 3 managers can be reached, 0 of them may be lost", "slave02"),
    ]
    found = preflight(healthy)
    # What the lost node would have told is not known, and the others are well.
    others = [one for one in found if one.level is not Level.UNKNOWN]
    hold_against(others, faults, always)
    assert {one.nodes for one in found if one.level is Level.UNKNOWN} == {("slave02",)}


def test_faults_of_state_are_found_on_their_nodes(broken, lab, always):
    master, second, third, _ = broken.nodes
    image = lab.image("web:1")
    done(master, "network create --driver overlay --subnet 10.77.5.0/24 routed")
    done(master, "network create --driver overlay --subnet 10.78.0.0/28 narrow")
    done(master, "network create --driver overlay --subnet 10.77.5.128/25 within")
    done(master, f"service create --detach --name nowhere --constraint node.hostname==nowhere {image}")
    done(master, f"service create --detach --name crowd --replicas 16 --network narrow --endpoint-mode dnsrr {image}")
    for node in (second, third):
        done(master, f"node update --availability drain {node.name}")
    plant(broken.nodes, STATE)

    def stuck():
        now = seconds_of(master.info()["SystemTime"])
        tasks = master.ask("GET", "/tasks")
        states = {
            task["Status"]["State"]: now - seconds_of(task["Status"]["Timestamp"])
            for task in tasks
            if task["Status"]["State"] in ("new", "pending")
        }
        return State(len(states) == 2 and min(states.values()) > 31, f"seconds by state: {states}")

    wait(stuck, "tasks to be stuck for so long", deadline=120, every=1)
    hold_against(preflight(broken), STATE, always)


def test_faults_of_the_ways_are_found_on_their_nodes(broken, always):
    plant(broken.nodes, WAYS)
    first, second, _, last = broken.nodes
    assert second.run(f"nft add rule ip gremlin prerouting ip saddr {last.address} tcp dport 2377 drop").ok
    blocked = Fault("port-management-tcp", "error", r"^slave03 -> slave01 \(silent\)$", "slave01")
    found = preflight(broken)
    assert first.run("ip link set eth0 mtu 1500").ok
    hold_against(found, [*WAYS, blocked], {*always, "membership", *(fault.check for fault in STATE)})


def test_engines_that_no_client_can_ask_alike_are_told(always):
    engine = connect(print)
    lab = DindLab(engine, name=f"apart-{os.getpid()}", engines=("20.10.24", "28.5.2"), nodes=2, owner=this_process())
    try:
        lab.up()
        newer = lab.nodes()[-1]
        assert newer.run(NEWEST_API_ONLY).ok
        newer.stop()
        newer.start()
        faults = [
            Fault("api-versions", "error", "no version of the API is spoken by all engines"),
            Fault("quorum", "info", "one manager"),
            Fault("engine-versions", "warning", r"20\.10\.24.*28\.5\.2"),
        ]
        hold_against(preflight(Swarm.form(lab.nodes(), managers=1, image=lab.image)), faults, always)
    finally:
        lab.down()
        engine.release()


def test_what_cannot_be_looked_at_is_never_well(broken):
    last = broken.nodes[-1]
    assert last.run("mv /usr/sbin/nft /usr/sbin/nft.away; mv /bin/bash /bin/bash.away").ok
    assert last.run("rm /var/lib/docker/swarm/certificates/swarm-node.crt; mv /usr/sbin/iptables /root/").ok
    found = preflight(broken)
    for check in ("port-gossip-udp", "port-data-udp", "path-mtu", "port-gossip-tcp", "node-certificates",
                  "iptables-backend"):  # fmt: skip
        told = [finding for finding in found if finding.check == check and last.name in finding.nodes]
        assert any(finding.level is Level.UNKNOWN for finding in told), (check, [f.told() for f in found])
        assert not any(finding.level is Level.OK for finding in told), (check, told)


def test_a_cluster_without_managers_is_not_well(broken):
    first, second, *_ = broken.nodes
    second.kill()

    def refused():
        try:
            first.ask("GET", "/nodes")
        except EngineRefused as error:
            return State(True, str(error))
        return State(False, "answers as before")

    wait(refused, "the last manager to know that quorum is lost", deadline=90, stable=3, every=1)
    found = preflight(broken)
    told = {finding.check: (str(finding.level), finding.nodes, finding.seen) for finding in found}
    print(json.dumps(told, indent=1))
    assert told["engines-answer"][:2] == ("error", ("slave01",))
    assert told["membership"][0] == "error"
    for check in ("quorum", "odd-managers", "free-addresses", "stuck-tasks", "root-certificate", "availability"):
        assert told[check][0] == "unknown", told[check]
