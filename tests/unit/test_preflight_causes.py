"""What may follow from what, on clusters that have a cause with all that comes of it."""

import pytest
from cryptography import x509

from swarmlab.cluster.clocks import Clock
from swarmlab.cluster.pki import pem_of
from swarmlab.preflight import CHECKS, Level
from swarmlab.preflight import checks as made
from swarmlab.preflight.causes import folded
from swarmlab.wait import State
from tests.unit.test_preflight import ADDRESSES, ANSWERS, AUTHORITY, MODULES, network, set_answer
from tests.unit.test_preflight import sight as sight

ALWAYS = {"known-defects"}
WAYS = {"port-management-tcp", "port-gossip-tcp", "port-gossip-udp", "port-data-udp", "path-mtu"}


def groups(sight):
    """Return the checks that follow from each head that is no good, by the head's check and nodes."""
    found = [one for name in CHECKS for one in made.look(name, sight)]
    made_of = {}
    for one in folded(found, {name: check.causes for name, check in CHECKS.items()}):
        if one.level in (Level.OK, Level.INFO) or one.check in ALWAYS:
            continue
        if not one.because:
            head = (one.check, one.nodes)
            made_of[head] = set()
        else:
            made_of[head].add(one.check)
    return made_of


def close(sight, node):
    """Let nothing arrive at a node, as where its table of connections is full."""
    view = sight.nodes[node]
    for other in sight.nodes:
        if other is not view:
            other.arrived.tcp[view.address, 2377] = other.arrived.tcp[view.address, 7946] = "silent"
    view.arrived.gossip, view.arrived.small, view.arrived.large = set(), set(), set()


def cut_off(sight, node):
    """Let no packet pass between a node and the others."""
    close(sight, node)
    view = sight.nodes[node]
    view.arrived.tcp = dict.fromkeys(view.arrived.tcp, "silent")
    for other in sight.nodes:
        for came in (other.arrived.gossip, other.arrived.small, other.arrived.large):
            came.discard(view.address)


def lose(sight, node):
    """Let the managers see a node of theirs as lost."""
    member, name = sight.members[node], sight.nodes[node].name
    member["ManagerStatus"]["Reachability"] = "unreachable"
    member["Status"]["State"] = "down"
    sight.conditions["all managers reachable"] = State(False, f"master sees {name} unreachable")
    sight.conditions["all nodes ready"] = State(False, f"master sees {name} down, slave02 sees {name} down")


def silence(sight, node):
    view = sight.nodes[node]
    view.info, view.version, view.clock, view.arrived = {}, {}, None, None
    view.silent = f"the engine of {view.name} does not answer: timed out"


def test_a_full_table_of_connections_explains_what_does_not_arrive_there(sight):
    set_answer(sight, "connections", "262144\n262144")
    close(sight, 1)
    lose(sight, 1)
    assert groups(sight) == {("limits", ("slave01",)): WAYS | {"quorum", "membership"}}
    found = [one for name in CHECKS for one in made.look(name, sight)]
    (head, *_) = folded(found, {name: check.causes for name, check in CHECKS.items()})
    assert (head.check, head.mend.startswith("on slave01: sysctl -w net.netfilter.nf_conntrack_max=1048576")) == (
        "limits",
        True,
    )


def test_a_node_that_is_cut_off_explains_all_that_does_not_arrive(sight):
    cut_off(sight, 1)
    lose(sight, 1)
    assert groups(sight) == {("paths", ("slave01",)): WAYS | {"quorum", "membership"}}
    (finding,) = made.look("paths", sight)
    assert finding.summary == "no packet passes between master and slave01, slave01 and slave02"
    # One way that is open is enough to say that it is no more than a firewall.
    sight.nodes[0].arrived.tcp[ADDRESSES["slave01"], 7946] = "refused"
    assert found_by(sight, "paths") == [("error", ("slave01", "slave02"))]
    sight.nodes[2].arrived.gossip.add(ADDRESSES["slave01"])
    assert found_by(sight, "paths") == [("ok", ())]
    sight.nodes[1].arrived.untried = "bash and timeout are not there"
    assert ("unknown", ("slave01",)) in found_by(sight, "paths")


def found_by(sight, check):
    return [(str(one.level), one.nodes) for one in made.look(check, sight)]


def test_a_full_table_elsewhere_and_another_limit_explain_nothing(sight):
    close(sight, 1)
    set_answer(sight, "connections", "262144\n262144", node=2)
    heads = groups(sight)
    assert heads["limits", ("slave02",)] == set()
    assert heads["port-gossip-udp", ("slave01",)] == set()
    set_answer(sight, "connections", ANSWERS["connections"], node=2)
    set_answer(sight, "inotify", "64\n192536")
    heads = groups(sight)
    assert heads["limits", ("slave01",)] == set()
    assert ("port-data-udp", ("slave01",)) in heads


def test_a_table_that_has_room_loses_nothing(sight):
    set_answer(sight, "connections", "230000\n262144")
    close(sight, 1)
    heads = groups(sight)
    assert heads["limits", ("slave01",)] == set()
    assert ("port-gossip-udp", ("slave01",)) in heads


def test_two_full_tables_explain_what_each_of_them_loses(sight):
    for node in (1, 2):
        set_answer(sight, "connections", f"26214{node}\n262144", node=node)
        close(sight, node)
    heads = groups(sight)
    assert set(heads) == {("limits", ("slave01",)), ("limits", ("slave02",))}
    assert heads["limits", ("slave01",)] == WAYS | {"paths"}  # between the two nothing passes at all


def test_a_small_interface_explains_the_large_packets_that_are_lost(sight):
    set_answer(sight, "links", "eth0 1400 \nlo 65536 \ndocker_gwbridge 1500 ")
    for view in sight.nodes:
        view.arrived.large = {address for address in view.arrived.large if view.name != "slave01"}
        view.arrived.large.discard(ADDRESSES["slave01"])
    assert groups(sight) == {("path-mtu", ("slave01",)): {"path-mtu"}}
    set_answer(sight, "links", ANSWERS["links"])
    set_answer(sight, "links", "eth0 1400 \nlo 65536 \ndocker_gwbridge 1500 ", node=2)
    assert groups(sight) == {("path-mtu", ("slave02",)): set(), ("path-mtu", ("slave01",)): set()}


def test_an_engine_that_is_silent_explains_all_that_is_unknown_of_it(sight):
    silence(sight, 1)
    lose(sight, 1)
    heads = groups(sight)
    assert set(heads) == {("engines-answer", ("slave01",))}
    assert {"quorum", "membership", "gateway-bridge", "port-gossip-udp", "seccomp-profile"} <= set(
        heads["engines-answer", ("slave01",)]
    )


def test_another_engine_that_is_silent_does_not_explain_a_lost_manager(sight):
    silence(sight, 2)
    lose(sight, 1)
    heads = groups(sight)
    assert ("quorum", ("slave01",)) in heads
    assert not {"quorum", "membership"} & heads["engines-answer", ("slave02",)]


def test_a_lost_quorum_explains_what_only_managers_tell(sight):
    sight.asked, sight.unasked = "", "the engine of master refused (503): the swarm does not have a leader"
    sight.conditions = {"managers answer": State(False, sight.unasked)}
    sight.swarm, sight.members, sight.networks = {}, [], []
    assert groups(sight) == {
        ("membership", ()): {
            "quorum", "odd-managers", "autolock", "availability", "stuck-tasks", "free-addresses", "root-certificate",
            "subnets", "subnets-and-routes", "host-names", "known-addresses", "subnets-host-bits",
            "swarm-settings", "address-pool", "registries", "service-needs", "images", "replicas", "updates",
            "task-containers", "task-networks", "task-names", "volumes", "load-balancers", "tunnels",
        }
    }  # fmt: skip
    silence(sight, 1)
    assert set(groups(sight)) == {("engines-answer", ("slave01",))}


def test_a_full_disk_explains_the_engine_that_it_stops(sight):
    full = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 1000 900 10 99% /"
    set_answer(sight, "disk", full)
    silence(sight, 1)
    lose(sight, 1)
    assert set(groups(sight)) == {("disk", ("slave01",))}
    set_answer(sight, "disk", full.replace("900 10 99%", "900 1000000 90%"))  # little room stops no engine
    assert set(groups(sight)) == {("disk", ("slave01",)), ("engines-answer", ("slave01",))}
    set_answer(sight, "disk", ANSWERS["disk"])
    set_answer(sight, "disk", full, node=2)
    assert set(groups(sight)) == {("disk", ("slave02",)), ("engines-answer", ("slave01",))}


def test_settings_that_no_engine_can_read_explain_one_that_does_not_start(sight):
    set_answer(sight, "daemon.json", "{")
    silence(sight, 1)
    assert set(groups(sight)) == {("engine-restart", ("slave01",))}
    set_answer(sight, "daemon.json", ANSWERS["daemon.json"])
    set_answer(sight, "daemon.json", "{", node=0)
    assert set(groups(sight)) == {("engine-restart", ("master",)), ("engines-answer", ("slave01",))}


@pytest.mark.parametrize("seconds", [40, 4000])
def test_a_clock_that_is_far_off_explains_certificates_that_are_not_valid(sight, seconds):
    sight.nodes[1].clock = Clock(seconds, 0.1)
    set_answer(sight, "certificate", pem_of(AUTHORITY.issue(x509.Name([]), since=1, until=90).leaf))
    lose(sight, 1)
    heads = groups(sight)
    # 40 seconds are no reason to refuse a certificate.
    assert (heads["clocks", ("slave01",)] == {"node-certificates", "quorum", "membership"}) is (seconds == 4000), heads
    assert (("node-certificates", ("slave01",)) in heads) is (seconds == 40)


def test_a_certificate_that_ended_explains_the_member_that_is_lost(sight):
    set_answer(sight, "certificate", pem_of(AUTHORITY.issue(x509.Name([]), since=-90, until=-1).leaf))
    lose(sight, 1)
    assert groups(sight) == {("node-certificates", ("slave01",)): {"quorum", "membership"}}
    set_answer(sight, "certificate", pem_of(AUTHORITY.issue(x509.Name([]), since=-80, until=10).leaf))
    assert groups(sight)["node-certificates", ("slave01",)] == set(), "it is valid still"
    set_answer(sight, "certificate", pem_of(AUTHORITY.issue(x509.Name([]), since=-90, until=-1).leaf))
    sight.swarm["TLSInfo"]["TrustRoot"] = pem_of(AUTHORITY.issue(AUTHORITY.root.subject, since=-9, until=-1).leaf)
    assert groups(sight) == {("root-certificate", ()): {"node-certificates", "quorum", "membership"}}


def test_a_kernel_without_a_module_explains_what_an_engine_makes_with_it(sight):
    lacking = "\n".join(line for line in MODULES.splitlines() if "vxlan" not in line and "VXLAN" not in line)
    set_answer(sight, "modules", lacking)
    sight.conditions["ingress present"] = State(False, "missing on slave01")
    assert groups(sight) == {("kernel-modules", ("slave01",)): {"membership"}}
    sight.conditions["ingress present"] = State(False, "missing on slave02")
    assert set(groups(sight)) == {("kernel-modules", ("slave01",)), ("membership", ("slave02",))}


def test_firewalls_of_a_node_explain_its_ports_and_no_other_nodes(sight):
    set_answer(sight, "firewalld", "/proc/612/comm")
    close(sight, 1)
    assert groups(sight) == {("firewalld", ("slave01",)): WAYS}
    set_answer(sight, "firewalld", "")
    set_answer(sight, "firewalld", "/proc/612/comm", node=0)
    assert groups(sight)["firewalld", ("master",)] == set()


def test_tasks_that_wait_are_put_below_what_they_wait_for(sight):
    task = {
        "ServiceID": "s",
        "DesiredState": "running",
        "Status": {"State": "pending", "Timestamp": "2026-11-25T03:09:00Z", "Err": "no suitable node"},
    }
    sight.tasks, sight.services = [task], [{"ID": "s", "Spec": {"Name": "web"}}]
    sight.members[2]["Spec"] = {"Role": "worker", "Availability": "drain"}
    heads = groups(sight)
    assert heads["availability", ("slave02",)] == {"stuck-tasks"}
    # No address is another reason than no node.
    task["Status"] = {"State": "new", "Timestamp": "2026-11-25T03:09:00Z", "Message": "created"}
    assert ("stuck-tasks", ()) in groups(sight)
    sight.networks.append(network("two", "10.9.0.0/24") | {"Driver": "", "IPAM": {"Driver": "", "Config": None}})
    assert groups(sight)["subnets", ()] == {"stuck-tasks"}


def test_the_shell_that_tells_nothing_stands_above_all_that_it_does_not_tell(sight):
    view = sight.nodes[1]
    view.answers, view.unread, view.access = {}, "its shell did not answer within 10 s", "on slave01: look for it"
    heads = groups(sight)
    assert set(heads) == {("engines-answer", ("slave01",))}
    assert {"disk", "limits", "forwarding", "node-certificates"} <= heads["engines-answer", ("slave01",)]
    level = {str(one.level) for one in made.look("engines-answer", sight)}
    assert level == {"unknown"}
    view.hangs = True
    assert {str(one.level) for one in made.look("engines-answer", sight)} == {"error"}
    assert set(groups(sight)) == set(heads)


def test_a_closed_way_explains_a_manager_that_looks_for_a_leader(sight):
    view = sight.nodes[1]
    arrived = view.arrived
    silence(sight, 1)
    view.silent += ", though it answers GET /version: a manager that looks for a leader does that"
    view.listed, view.arrived = sight.members[1], arrived
    assert view.address == ADDRESSES["slave01"]
    assert view.node_id == "id-slave01"
    for other in sight.nodes:
        others = set(ADDRESSES.values()) if other is view else {view.address}
        for address in others - {other.address}:
            other.arrived.tcp[address, 2377] = "silent"
    heads = groups(sight)
    assert set(heads) == {("port-management-tcp", ("slave01",))}
    assert "engines-answer" in heads["port-management-tcp", ("slave01",)]
