"""Faults are planted in a real cluster, many at once: preflight finds each, names its node, and finds nothing else.

`make proof-preflight` (minutes; ENGINE: another engine).
"""

import dataclasses
import functools
import itertools
import json
import os
import re
import time

import pytest

from swarmlab.cluster import tables
from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.fault import applied, close_port, cut_off, deafen, split
from swarmlab.cluster.swarm import Swarm, join
from swarmlab.errors import EngineRefused
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.outer import connect
from swarmlab.parallel import parallel
from swarmlab.preflight import CHECKS, Level, packets, preflight
from swarmlab.versions import parsed
from swarmlab.wait import State, wait
from tests.proof.planting import drop
from tests.proof.preflight.faults import (
    APART,
    CARD,
    CUT_OFF,
    FAR_OFF,
    FILTERED,
    FILTERED_NO_MORE,
    FIRST_STRAYED,
    GONE_ON_ALONE,
    HELD_BACK,
    LED_ASTRAY,
    LOST,
    MANAGEMENT,
    NEWEST_API_ONLY,
    OPEN_SOCKET,
    REVERSED,
    ROUTED_AGAIN,
    ROUTED_ASTRAY,
    STATE,
    STRAYS,
    TORN,
    WAYS,
    WORK,
    WORK_OF_JOBS,
    WORK_OF_POOLS,
)
from tests.unit.helpers import check_words

pytestmark = pytest.mark.lab

#: A program that says whether the profile of its container refuses clone3 or faccessat2.
REFUSED = (
    "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True); "
    "print(['refused' for n in (435, 439) if c.syscall(n, 0, 0, 0, 0) and ctypes.get_errno() == errno.EPERM])"
)
#: The checks that look at the ways between nodes which faults close.
ALL_WAYS = ("port-management-tcp", "port-gossip-tcp", "port-gossip-udp", "port-data-udp")


def fired(found):
    return [finding for finding in found if finding.level not in (Level.OK, Level.SKIPPED)]


def hold_against(found, faults, always):
    """Check that every fault was found, on its node, and nothing else but *always*."""
    listed = "\n".join(f"{finding.level} {finding.check}: {finding} <- {finding.because}" for finding in fired(found))
    print(listed)
    check_words(found)
    missed = [fault.name for fault in faults if not any(_is(finding, fault) for finding in found)]
    assert not missed, f"not found: {missed}; found:\n{listed}"
    expected = {fault.check for fault in faults} | always
    others = [finding for finding in fired(found) if finding.check not in expected]
    assert not others, "\n".join(map(str, others))


def _is(finding, fault):
    return (
        (finding.check, str(finding.level)) == (fault.check, fault.level)
        and set(fault.nodes) <= set(finding.nodes)
        and re.search(fault.finding, finding.summary)
        and re.search(fault.because or "^$", finding.because)
        and re.search(fault.mend, finding.mend)
    )


@pytest.fixture(scope="module")
def always(lab):
    """Checks that rightly find something on every cluster of this lab."""
    kernel = {"kernel-modules"} if lab.offers.missing(["ipvs"]) else set()
    told = [node.ask("GET", "/version") for node in lab.nodes()]
    engines = {"engine-versions"} if len({each["Version"] for each in told}) > 1 else set()
    apart = [
        parsed(each["ApiVersion"]) < (1, 40) or parsed(each.get("MinAPIVersion", "1.12")) >= (1, 40) for each in told
    ]
    clients = {"api-versions"} if any(apart) else set()
    tried = [node.docker(f'run --rm {lab.image("python:3")} python3 -c "{REFUSED}"').expect() for node in lab.nodes()]
    profile = {"seccomp-profile"} if any("refused" in one for one in tried) else set()
    return kernel | engines | clients | profile | {"known-defects"}


def plant(nodes, faults):
    for fault in faults:
        fault.plant(nodes)


def done(node, command):
    result = node.docker(command)
    assert result.ok, result.output


@pytest.fixture(scope="module")
def broken(lab):
    """Two managers and two workers with certificates for an hour; one engine listens without encryption."""
    nodes = lab.more(4)
    master, second, *workers = nodes
    last = nodes[-1]
    assert last.run(OPEN_SOCKET).ok
    last.stop()
    last.start()
    knows_port = "--data-path-port" in master.docker("swarm init --help").out
    done(master, f"swarm init --advertise-addr {master.address} {'--data-path-port 7789' if knows_port else ''}")
    done(master, "swarm update --cert-expiry 1h0m0s")
    swarm = Swarm(nodes, image=lab.image)
    tokens = swarm.tokens()
    join(second, master, tokens["Manager"])
    for node in workers:
        join(node, master, tokens["Worker"])
    swarm.wait_ready()
    done(master, "swarm ca --rotate --detach")

    def rotated():
        swarm = master.ask("GET", "/swarm")
        return State(not swarm["RootRotationInProgress"], "the root certificate is being replaced")

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
    assert not tables_of(healthy)


def tables_of(swarm):
    """Return the lines of all tables of the suite on the nodes."""
    return [line for node in swarm.nodes for line in node.run(tables.LIST).out.splitlines()]


def test_looks_at_once_do_not_disturb_each_other(healthy, always):
    for found in parallel(lambda later: time.sleep(later) or preflight(healthy), (0, 1.5, 3)):
        hold_against(found, [], always)
    assert not tables_of(healthy)


def test_the_table_of_a_look_that_was_killed_is_removed_by_the_next(healthy, always, monkeypatch):
    with monkeypatch.context() as patched:
        # A process that has ended, and one that runs.
        patched.setattr(tables, "signature", lambda: (f"by_{2**22:x}_1_{tables._here()}", "at_0"))
        patched.setattr(packets, "_forget", lambda *_: None)
        preflight(healthy)
    living = f"ip {tables.LOOK}other"  # of another machine
    healthy.nodes[0].run(f"nft add table {living}; nft add chain {living} at_{int(time.time()):x}")
    assert len(tables_of(healthy)) == len(healthy.nodes) + 1
    hold_against(preflight(healthy), [], always)
    assert [line.split()[1] for line in tables_of(healthy)] == [f"{tables.LOOK}other"]
    healthy.nodes[0].run(f"nft delete table {living}")


def test_what_needs_rights_is_unknown_to_a_user_without(healthy, monkeypatch):
    for node in healthy.nodes:
        monkeypatch.setattr(node, "run", functools.partial(node.run, user="hadoop"))
    found = preflight(healthy)
    print("\n".join(f"{finding.level} {finding.check}: {finding}" for finding in found))
    by_level = {level: {finding.check for finding in found if finding.level is level} for level in Level}
    needing = {"legacy-rules", "port-gossip-udp", "port-data-udp", "path-mtu", "node-certificates", "limits"}
    needing |= {"load-balancers", "tunnels", "packets", "service-needs"}
    needing |= {"seccomp-profile", "advertised-addresses", "source-addresses", "engine-restart", "engine-rules"}
    assert by_level[Level.UNKNOWN] == needing
    assert not by_level[Level.OK] & needing


def test_a_card_of_vmware_is_named(healthy, always):
    plant(healthy.nodes, [CARD])
    try:
        hold_against(preflight(healthy), [CARD], always)
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
        # TCP fails both ways, as neither side gets an answer.
        both = {(first.name, last.name), (last.name, first.name)}
        assert broken_ways(healthy) == dict.fromkeys(ALL_WAYS, both)
    expect_healed(healthy, always)


def test_a_manager_that_is_cut_off_is_named_in_a_short_time_and_explains_the_rest(healthy, always):
    leader = healthy.leader
    cut = next(node for node in reversed(healthy.nodes) if node is not leader)
    with applied(cut_off(cut, [node for node in healthy.nodes if node is not cut]), healthy):
        # Until it knows that it has no leader, it hesitates with all that it tells.
        wait(lambda: refuses(cut), "the manager to know that it is alone", deadline=90, every=1)
        start = time.monotonic()
        found = preflight(healthy)
        took = time.monotonic() - start
        print(f"{took:.1f} s")
        others = [one for one in found if one.level is not Level.UNKNOWN and not one.because]
        hold_against(others, [dataclasses.replace(CUT_OFF, nodes=(cut.name,))], always)
        assert took < 30, "at most 15 s at reference speed"
    expect_healed(healthy, always)


def refuses(manager):
    """Whether a manager refuses to list the nodes, as one without quorum does."""
    try:
        manager.ask("GET", "/nodes")
    except EngineRefused as error:
        return State(True, str(error))
    return State(False, "answers as before")


def test_who_is_deaf_is_heard_until_it_is_healed(healthy, always):
    first, second, deaf = healthy.nodes
    with applied(deafen(deaf, healthy.nodes), healthy):
        # Engines soon take it for dead and send it nothing, so of gossip more is lost than is dropped.
        assert broken_ways(healthy)["port-data-udp"] == {(first.name, deaf.name), (second.name, deaf.name)}
    expect_healed(healthy, always)


def broken_ways(cluster):
    """Return the pairs of nodes between which nothing arrives, by the check that finds them."""
    pairs = {}
    for finding in fired(preflight(cluster)):
        if finding.check in ALL_WAYS:
            pairs.setdefault(finding.check, set()).update(re.findall(r"(\w+) -> (\w+)", finding.summary))
    return pairs


def expect_healed(cluster, always):
    cluster.wait_ready()
    hold_against(preflight(cluster), [], always)


def test_a_way_back_by_another_interface_is_found_and_explains_what_is_lost(healthy, always):
    first, _, last = healthy.nodes
    plant(healthy.nodes, [REVERSED])
    last.run(f"ip route add {first.address}/32 dev eth9")
    try:
        # What passes no more between these two follows from it.
        others = [finding for finding in preflight(healthy) if not finding.because]
        hold_against(others, [REVERSED], {*always, "packets", "engines-answer", "membership", "source-addresses"})
    finally:
        last.run("ip link del eth9; sysctl -w net.ipv4.conf.eth0.rp_filter=0")
    expect_healed(healthy, always)


def test_a_part_of_the_swarms_state_that_is_gone_from_a_disk_is_named(healthy, always):
    _, second, third = healthy.nodes
    plant(healthy.nodes, TORN)
    try:
        hold_against(preflight(healthy), TORN, always)
    finally:
        second.run("cd /var/lib/docker/swarm; mv raft.away raft")
        third.run("mv /root/swarm-node.crt /var/lib/docker/swarm/certificates/")
    expect_healed(healthy, always)


def test_a_node_that_lets_nothing_out_is_named_and_what_lets_it_out(healthy, always):
    plant(healthy.nodes, HELD_BACK)
    try:
        # What is sent to nobody is not measured, and the rules are those of one node alone.
        hold_against(preflight(healthy), HELD_BACK, {*always, "path-mtu", "packets"})
    finally:
        healthy.nodes[1].run("; ".join(fault.script.replace("-I", "-D", 1) for fault in HELD_BACK))
    expect_healed(healthy, always)


def test_a_way_to_a_task_that_leads_astray_is_found(healthy, always):
    wait(lambda: settled(healthy), "tasks to be known everywhere", deadline=60, every=1)
    plant(healthy.nodes, [LED_ASTRAY])
    try:
        hold_against(preflight(healthy), [LED_ASTRAY], always)
    finally:
        [node] = [node for node in healthy.nodes if node.name in LED_ASTRAY.nodes]
        assert node.run("cd /run/docker/netns; for N in 1-*; do nsenter --net=$N sh /run/fdb-$N; done").ok
    expect_healed(healthy, always)


@pytest.mark.parametrize(
    ("faults", "healing"),
    [(FILTERED, FILTERED_NO_MORE), (ROUTED_ASTRAY, ROUTED_AGAIN)],
    ids=["filtered", "routed"],
)
def test_a_node_that_treats_packets_otherwise_than_the_others_is_named(healthy, always, faults, healing):
    try:
        plant(healthy.nodes, faults)
        hold_against(preflight(healthy), faults, always)
    finally:
        healed = [node.run(healing[node.name]) for node in healthy.nodes if node.name in healing]
    assert all(one.ok for one in healed), healed
    expect_healed(healthy, always)


@pytest.mark.parametrize("fault", FAR_OFF, ids=lambda fault: fault.name)
def test_a_clock_that_is_far_off_is_found(healthy, always, fault):
    plant(healthy.nodes, [fault])
    try:
        others = [finding for finding in preflight(healthy) if not finding.because]
        # Tasks and certificates of the node are dated otherwise.
        hold_against(others, [fault], {*always, "stuck-tasks", "node-certificates", "membership"})
    finally:
        [node] = [node for node in healthy.nodes if node.name in fault.nodes]
        node.stop()
        node.start()
    wait(lambda: settled(healthy), "tasks to be known everywhere", deadline=90, every=1)
    expect_healed(healthy, always)


def settled(cluster):
    """Whether tasks and nodes have been as they are for long enough for the tasks to be known on all nodes."""
    now = seconds_of(cluster.manager.info()["SystemTime"])
    tasks = min(now - seconds_of(each["UpdatedAt"]) for each in cluster.manager.ask("GET", "/tasks"))
    nodes = nodes_settled(cluster)
    return State(tasks > 16 and bool(nodes), f"tasks for {tasks:.0f} s, nodes {nodes.summary}")


def test_a_manager_that_is_lost_is_named_and_nobody_else(healthy, always):
    first, _, lost = healthy.nodes
    lost.kill()

    def noticed():
        states = {one["ID"]: (one.get("ManagerStatus") or {}).get("Reachability") for one in first.ask("GET", "/nodes")}
        return State("unreachable" in states.values() and "down" in str(first.ask("GET", "/nodes")), str(states))

    wait(noticed, "managers to notice", deadline=90, every=1)
    found = preflight(healthy)
    # The lost node's own settings are unknown; everything else is well.
    others = [one for one in found if one.level is not Level.UNKNOWN]
    hold_against(others, LOST, always)
    assert {one.nodes for one in found if one.level is Level.UNKNOWN} == {("slave02",)}


@pytest.fixture(scope="module")
def parted(lab):
    """Three managers and a worker, some of which leave the swarm."""
    nodes = lab.more(4)
    yield Swarm.form(nodes, managers=3, image=lab.image)
    lab.remove(nodes)


def bring_back(cluster, manager, strays):
    """Do with nodes what the mend says; *strays* has their roles."""
    for node, role in strays.items():
        done(node, "swarm leave --force")
        for old in manager.ask("GET", "/nodes"):
            if old["Description"].get("Hostname") == node.name:
                done(manager, f"node demote {old['ID']}")
                wait(
                    functools.partial(removed, manager, old["ID"]), "the old entry to be removed", deadline=30, every=1
                )
        join(node, manager, manager.ask("GET", "/swarm")["JoinTokens"][role])
    cluster.wait_ready()
    wait(lambda: nodes_settled(cluster), "nodes to have been as they are for a while", deadline=90, every=1)


def removed(manager, old):
    """Remove a node of the list: for a moment after it was demoted, it is a manager yet."""
    result = manager.docker(f"node rm --force {old}")
    return State(result.ok, result.output)


def nodes_settled(cluster):
    """Whether nodes have been as they are for so long that what happened to them is known everywhere."""
    now = seconds_of(cluster.manager.info()["SystemTime"])
    since = min(now - seconds_of(each["UpdatedAt"]) for each in cluster.manager.ask("GET", "/nodes"))
    return State(since > 31, f"for {since:.0f} s")


def leads_still(manager):
    """Whether a manager tells its nodes, for which the swarm needs a leader."""
    refused = refuses(manager)
    return State(not refused, refused.summary)


def test_nodes_that_are_not_of_the_swarm_are_named_and_the_mend_brings_them_back(parted, always):
    first, _, third, last = parted.nodes
    done(first, f"node rm --force {last.name}")
    done(third, "swarm leave --force")
    done(third, f"swarm init --advertise-addr {third.address}")
    wait(lambda: leads_still(first), "the others to have a leader", deadline=90, stable=3, every=1)
    # What else is found of these nodes follows from it.
    hold_against([one for one in preflight(parted) if not one.because], STRAYS, {*always, "packets"})
    bring_back(parted, first, {third: "Manager", last: "Worker"})
    hold_against(preflight(parted), [], always)


def test_the_first_manager_is_named_where_it_left_the_swarm_and_not_the_others(parted, always):
    first, second, *_ = parted.nodes
    done(first, "swarm leave --force")
    done(first, f"swarm init --advertise-addr {first.address}")
    wait(lambda: leads_still(second), "the others to have a leader", deadline=90, stable=3, every=1)
    hold_against([one for one in preflight(parted) if not one.because], [FIRST_STRAYED], {*always, "packets"})
    bring_back(parted, second, {first: "Manager"})
    hold_against(preflight(parted), [], always)


def test_a_manager_that_goes_on_alone_while_it_is_cut_off_is_named_below_that(parted, always):
    first, second, third, last = parted.nodes
    with applied(cut_off(third, [first, second, last]), parted):
        done(third, f"swarm init --force-new-cluster --advertise-addr {third.address}")

        def alone():
            managing = [one for one in third.ask("GET", "/nodes") if one.get("ManagerStatus")]
            led = leads_still(first)
            return State(len(managing) == 1 and bool(led), f"{len(managing)} managers there; here: {led.summary}")

        wait(alone, "both sides to have a leader", deadline=90, stable=3, every=1)
        found = preflight(parted)
    told = [one for one in found if not one.because or "swarm of its own" in one.summary]
    hold_against([one for one in told if one.level is not Level.UNKNOWN], GONE_ON_ALONE, {*always, "packets"})


def test_faults_of_state_are_found_on_their_nodes(broken, lab, always):
    master, second, third, last = broken.nodes
    image = lab.image("web:1")
    done(master, "swarm update --autolock=true")
    done(master, "network create --driver overlay --subnet 10.77.5.0/24 routed")
    done(master, "network create --driver overlay --subnet 10.78.0.0/28 narrow")
    done(master, "network create --driver overlay --subnet 10.77.5.128/25 within")
    done(master, f"service create --detach --name nowhere --constraint node.hostname==nowhere {image}")
    # They have no task, so that the mesh does not pass anything on to them.
    for name, port in {"taken": 7946, "heard": 8099}.items():
        publish = f"--constraint node.hostname==nowhere --publish {port}:80"
        done(master, f"service create --detach --name {name} {publish} {image}")
    done(master, f"service create --detach --name crowd --replicas 16 --network narrow --endpoint-mode dnsrr {image}")
    done(master, "network create --driver overlay --subnet 10.79.0.0/24 --ip-range 10.79.0.16/30 ranged")
    done(master, f"service create --detach --name range --replicas 6 --network ranged --endpoint-mode dnsrr {image}")
    for node in (second, third):
        done(master, f"node update --availability drain {node.name}")
    options = {"stored": ("type=tmpfs", "device=tmpfs", "o=size=1m"), "mixed": ("type=tmpfs", "device=tmpfs")}
    for name, own in options.items():
        done(last, f"volume create {' '.join(f'--opt {option}' for option in own)} {name}")
    done(second, "volume create mixed")
    done(master, "volume create mixed")
    asked = "volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=2m"
    for name, more in {"stored": f",{asked}", "mixed": ""}.items():
        mount = f"--mount type=volume,src={name},dst=/data{more}"
        done(master, f"service create --detach --name {name} --mode global {mount} {image}")
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
    hold_against(preflight(broken), STATE, {*always, "replicas", "packets"})


@pytest.fixture(scope="module")
def busy(lab):
    """A manager and two workers, with a pool of four subnets where the engine knows pools."""
    nodes = lab.more(3)
    master, *workers = nodes
    pools = "--default-addr-pool" in master.docker("swarm init --help").out
    pool = "--default-addr-pool 10.66.0.0/22 --default-addr-pool-mask-length 24" if pools else ""
    done(master, f"swarm init --advertise-addr {master.address} {pool}")
    swarm = Swarm(nodes, image=lab.image)
    for node in workers:
        join(node, master, swarm.tokens()["Worker"])
    swarm.wait_ready()
    yield swarm
    for node in nodes:  # nothing can end what is frozen
        node.run("pkill -CONT -f containerd-shim; docker ps -q --filter status=paused | xargs -r docker unpause")
    lab.remove(nodes)


#: What a container prints, and thereby what it is, on a node.
ODD = (
    'docker create --name odd {image} && docker commit --change \'CMD ["sleep", "100{place}"]\' odd registry:5000/odd:1'
)
NONE = f"sha256:{'1' * 64}"


def test_faults_of_work_are_found_on_their_nodes(busy, lab, always):
    master, second, third = busy.nodes
    image = lab.image("web:1")
    jobs = "replicated-job" in master.docker("service create --help").out
    pools = bool(master.ask("GET", "/swarm").get("SubnetSize")) and "10.66" in str(master.ask("GET", "/swarm"))
    only = "--constraint node.hostname=="

    def create(name, options, command="", of=image):
        done(master, f"service create --detach=true --name {name} {options} {of} {command}")

    def container(name):
        return f"$(docker ps -q --no-trunc --filter label=com.docker.swarm.service.name={name})"

    done(master, "network create --driver overlay app")
    assert all(node.run("mkdir /run/there").ok for node in busy.nodes)
    for place, node in enumerate(busy.nodes):
        assert node.run(ODD.format(image=image, place=place)).ok
    here, quick = f"{only}{third.name}", "--restart-delay 1s"
    for name in ("tough", "still", "frozen"):
        create(name, here)
    create("apart", f"{here} --network app")
    create("everywhere", "--mode global --network app")
    create("odd", "--mode global --no-resolve-image", of="registry:5000/odd:1")
    for name in ("pausing", "back"):
        create(name, f"--replicas 2 {here}")
    plain = [busy.service(name) for name in ("tough", "still", "frozen", "apart", "pausing", "back")]
    for each in plain:
        each.wait_running(2 if each.name in ("pausing", "back") else 1)
    busy.service("everywhere").wait_running(3)
    busy.service("odd").wait_running(3)

    plant(busy.nodes, WORK)
    create("nomount", f"--replicas 2 {only}{second.name} --mount type=bind,src=/nowhere,dst=/x")
    create("agent", f"--mode global {quick} --mount type=bind,src=/run/there,dst=/x")
    create("failing", f"{quick} {here}", "sh -c 'exit 3'")
    create("hungry", f"{quick} {here} --limit-memory 32M", "dd if=/dev/zero of=/dev/null bs=200M count=1")
    create("ending", f"{quick} {here}", "true")
    create("sick", f"{quick} {here} --health-cmd false --health-interval 1s --health-retries 1")
    create("attempts", f"{quick} {here} --restart-condition on-failure --restart-max-attempts 2", "sh -c 'exit 5'")
    create("never", f"{here} --restart-condition none", "sh -c 'exit 4'")
    create("noimage", f"{only}{second.name} --no-resolve-image", of="registry:5000/nothing:1")
    create("closed", f"{here} --no-resolve-image", of="127.0.0.1:5001/closed:1")
    create("nodigest", f"{here} --no-resolve-image", of=f"{image}@{NONE}")
    create("novolume", f"{here} --mount type=volume,src=v,dst=/v,volume-driver=nope")
    if jobs:
        create("job", f"--mode replicated-job --restart-condition none {here}", "sh -c 'exit 6'")
    update = "service update --detach=true --update-monitor 3s"
    done(master, f"{update} --args \"sh -c 'exit 7'\" pausing")
    done(master, f"{update} --update-failure-action rollback --args \"sh -c 'exit 8'\" back")
    done(master, "swarm update --dispatcher-heartbeat 60s")
    assert third.run(f"docker pause {container('still')}").ok
    assert third.run(f"kill -STOP $(docker inspect --format '{{{{.State.Pid}}}}' {container('frozen')})").ok
    assert third.run(f"docker network disconnect -f app {container('apart')}").ok
    labels = {"task.id": "ghost", "service.id": busy.service("still").id, "service.name": "ghost"}
    given = " ".join(f"--label com.docker.swarm.{name}={value}" for name, value in labels.items())
    done(third, f"run -d {given} {image}")
    assert third.run(f"kill -STOP $(pgrep -f shim.*{container('tough')})").ok
    done(master, "service rm tough")
    # What is gossiped from now on does not reach the third node.
    assert third.run(drop("tcp dport 7946")).ok
    assert third.run("nft add rule ip gremlin in udp dport 7946 drop").ok
    create("late", f"{only}{master.name} --network app")

    started = seconds_of(master.info()["SystemTime"])

    def ripe():
        passed = seconds_of(master.info()["SystemTime"]) - started
        states = {each["Spec"]["Name"]: (each.get("UpdateStatus") or {}).get("State") for each in
                  master.ask("GET", "/services")}  # fmt: skip
        settled = (states["pausing"], states["back"]) == ("paused", "rollback_completed")
        return State(settled and passed > 50, f"{passed:.0f} s, updates {states['pausing']}, {states['back']}")

    wait(ripe, "the faults to show", deadline=150, every=1)
    faults = [*WORK, *([WORK_OF_JOBS] if jobs else []), *([WORK_OF_POOLS] if pools else [])]
    ports = {"port-gossip-tcp", "port-gossip-udp", "membership", "quorum", "tunnels", "packets"}
    hold_against(preflight(busy), faults, {*always, *ports})


def test_faults_of_the_ways_are_found_on_their_nodes(broken, always):
    plant(broken.nodes, WAYS)
    first, second, _, last = broken.nodes
    assert second.run(f"nft add rule ip gremlin in ip saddr {last.address} tcp dport 2377 drop").ok
    found = preflight(broken)
    assert first.run("ip link set eth0 mtu 1500").ok
    hold_against(
        found, [*WAYS, MANAGEMENT], {*always, "membership", "replicas", "packets", *(fault.check for fault in STATE)}
    )


def test_engines_that_no_client_can_ask_alike_are_told(always):
    engine = connect(print)
    lab = DindLab(engine, name=f"apart-{os.getpid()}", engines=("20.10.24", "28.5.2"), nodes=2)
    try:
        lab.up()
        newer = lab.nodes()[-1]
        assert newer.run(NEWEST_API_ONLY).ok
        newer.stop()
        newer.start()
        hold_against(preflight(Swarm.form(lab.nodes(), managers=1, image=lab.image)), APART, always)
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
        of_node = [finding for finding in found if finding.check == check and last.name in finding.nodes]
        assert any(finding.level is Level.UNKNOWN for finding in of_node), (check, [f.to_json() for f in found])
        assert not any(finding.level is Level.OK for finding in of_node), (check, of_node)


def test_a_cluster_without_managers_is_not_well(broken):
    first, second, *_ = broken.nodes
    second.kill()

    wait(lambda: refuses(first), "the last manager to know that quorum is lost", deadline=90, stable=3, every=1)
    found = preflight(broken)
    by_check = {finding.check: (str(finding.level), finding.nodes, finding.summary) for finding in found}
    print(json.dumps(by_check, indent=1))
    assert by_check["engines-answer"][:2] == ("error", ("slave01",))
    assert by_check["membership"][0] == "error"
    for check in ("quorum", "odd-managers", "free-addresses", "stuck-tasks", "root-certificate", "availability"):
        assert by_check[check][0] == "unknown", by_check[check]
