"""Preflight's check of the rules that engines make; tests/proof/preflight shows it on real clusters."""

import re

import pytest

from swarmlab.preflight import checks
from swarmlab.preflight.filters import Packet, Rules
from tests.unit.rules_of_engines import MESH, SOUND
from tests.unit.test_preflight import MODULES, found, set_answer, sight  # noqa: F401

BRIDGES = [
    {"Id": "0" * 64, "Name": "bridge", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]},
     "Options": {"com.docker.network.bridge.name": "docker0"}},
    {"Id": "1" * 64, "Name": "docker_gwbridge", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.19.0.0/16"}]},
     "Options": {"com.docker.network.bridge.name": "docker_gwbridge"}},
]  # fmt: skip


@pytest.fixture
def published(sight):  # noqa: F811
    """A cluster with IPVS, a port of the mesh and, on slave01, one of a task."""
    ran = {"State": "running", "Timestamp": "2026-11-25T03:00:00Z"}
    host = {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8089, "PublishMode": "host"}]}
    sight.services = [
        {"ID": "web", "Endpoint": {"Ports": [{"Protocol": "tcp", "PublishedPort": 8088, "PublishMode": "ingress"}]}}
    ]
    sight.tasks = [
        {"ServiceID": "web", "NodeID": "id-slave02", "DesiredState": "running", "Status": ran},
        {"ServiceID": "own", "NodeID": "id-slave01", "DesiredState": "running", "Status": {**ran, "PortStatus": host}},
    ]
    for place, view in enumerate(sight.nodes):
        view.networks = BRIDGES
        set_answer(sight, "modules", f"{MODULES}\n/proc/net/ip_vs", node=place)
        set_answer(sight, "rules", SOUND, node=place)
    return sight


def test_rules_as_engines_make_them_are_whole(published):
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("gone", "put", "told"),
    [
        (r"-A .*\n", "", "FORWARD leads to none of the engine's chains"),
        (r"-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n", "", "does not lead to DOCKER-ISOLATION-STAGE-1"),
        (r"-A FORWARD -j DOCKER-USER\n", "", "does not lead to DOCKER-USER, as on the other nodes"),
        (r"-A FORWARD -j DOCKER-INGRESS\n", "", "port 8088/tcp, published by the mesh, is dropped in chain FORWARD"),
        (r"-A PREROUTING .* DOCKER\n", "", "chain PREROUTING of table nat does not lead to DOCKER"),
        (r"-A OUTPUT .* DOCKER\n", "", "chain OUTPUT of table nat does not lead to DOCKER"),
        (r"-A POSTROUTING -s 172.19.*\n", "", r"no masquerading of 172.19.0.0/16 \(network docker_gwbridge\)"),
        (r"-A DOCKER-INGRESS .*DNAT.*\n", "", "8088/tcp, published by the mesh, is not led on in chain PREROUTING"),
        (r"-A OUTPUT .*INGRESS\n", "", "8088/tcp, published by the mesh, is not led on in chain OUTPUT"),
        (r"-A DOCKER .*8089.*\n", "", "8089/tcp, published on the node, is not led on in chain PREROUTING"),
        (r"-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n", "", "what leaves network bridge is dropped"),
        (r"-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n", "-A FORWARD -p icmp -j ACCEPT\n", "network bridge is"),
        (r"-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n", "-A FORWARD -p 17 -j ACCEPT\n", "network bridge is"),
        (r"-A DOCKER-USER -j RETURN", "-A DOCKER-USER -j DROP", "DOCKER-USER stop .*docker_gwbridge is dropped"),
        (r"(-A FORWARD -j DOCKER-USER)", r"-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n\1", "is dropped"),
        (r"(-A FORWARD -j DOCKER-USER)", r"-A FORWARD ! -i lo -p tcp -j DROP\n\1", "is dropped"),
    ],
)  # fmt: skip
def test_what_rules_lack_is_named_on_its_node(published, gone, put, told):
    broken = re.sub(gone, put, SOUND)
    assert broken != SOUND
    set_answer(published, "rules", broken)
    ((level, nodes, summary),) = found(published, "engine-rules")
    assert (level, nodes) == ("error", ("slave01",))
    assert re.search(told, summary), summary


@pytest.mark.parametrize(
    ("rule", "level", "told", "mend"),
    [
        ("-A DOCKER-USER -i docker0 -j DROP", "info", "isolate networks: what leaves network bridge is", "meant"),
        ("-A DOCKER-USER -i docker0 -j OWN\n-A OWN -j REJECT", "info", "isolate .*: what leaves network bridge", ""),
        ("-A DOCKER-USER -i docker_gwbridge -j DROP", "error", "stop .*: what leaves network docker_gw", "narrow"),
        ("-A DOCKER-USER -i eth0 -p tcp -j DROP", "error", "stop .*: port 8088/tcp, published by the mesh", "or"),
        ("-A FORWARD -i docker0 -j DROP", "error", "are not whole: what leaves network bridge", "restart"),
    ],
)  # fmt: skip
def test_what_the_owners_own_rules_stop_is_told_as_theirs(published, rule, level, told, mend):
    first = "-A FORWARD -j DOCKER-USER"
    set_answer(published, "rules", SOUND.replace(first, f":OWN - [0:0]\n{rule}\n{first}"))
    (finding,) = checks.look("engine-rules", published)
    assert (str(finding.level), finding.nodes) == (level, ("slave01",))
    assert re.search(told, finding.summary), finding.summary
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("gone", "put"),
    [
        (r"(-A FORWARD -j DOCKER-USER)", r"-A FORWARD -s 198.51.100.0/24 -j DROP\n-A FORWARD -i eth7 -j DROP\n\1"),
        (r"(-A DOCKER-USER -j RETURN)", r'-A DOCKER-USER -m comment --comment "no, not so" -p udp -j DROP\n\1'),
        (r"-A POSTROUTING -s 172.19.*\n", "-A POSTROUTING -o eth0 -j MASQUERADE\n"),
        (r":FORWARD DROP", ":FORWARD ACCEPT"),
        (r"(-A DOCKER-USER -j RETURN)", r"-A DOCKER-USER -i eth0 ! -s 10.0.0.0/8 -j DROP\n\1"),
        (r"(-A DOCKER-USER -j RETURN)", r"-A DOCKER-USER -o eth0 ! -d 10.0.0.0/8 -j DROP\n\1"),
        (r"(-A FORWARD -j DOCKER-USER)", r"-A FORWARD -m set --match-set bad src -j DROP\n\1"),
    ],
)
def test_rules_of_others_that_let_packets_pass_are_no_trouble(published, gone, put):
    broken = re.sub(gone, put, SOUND)
    assert broken != SOUND
    set_answer(published, "rules", broken)
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


#: As 29.1.3 makes them; the mesh's lines are those that its source makes in its chains.
NEW = """# by iptables-nft-save
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INGRESS - [0:0]
:DOCKER-INTERNAL - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.19.0.3/32 ! -i docker_gwbridge -o docker_gwbridge -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER ! -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-BRIDGE -o docker_gwbridge -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-CT -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-INGRESS
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-INTERNAL
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --dport 8088 -j ACCEPT
-A DOCKER-INGRESS -j RETURN
COMMIT
""" + SOUND[SOUND.rindex("# by") :]


def test_rules_as_new_engines_make_them_are_whole(published):
    for place in range(3):
        set_answer(published, "rules", NEW, node=place)
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]
    # In 28.0.0 the jump of the mesh went missing behind those that drop.
    moved = NEW.replace("-A DOCKER-FORWARD -j DOCKER-INGRESS\n", "")
    set_answer(published, "rules", moved)
    ((level, _, summary),) = found(published, "engine-rules")
    assert level == "error"
    assert "8088/tcp, published by the mesh, is dropped in chain FORWARD" in summary


def test_tables_that_iptables_cannot_list_are_unknown(published):
    set_answer(published, "rules", "# Table `filter' is incompatible, use 'nft' tool.\n")
    ((level, nodes, _),) = found(published, "engine-rules")
    assert (level, nodes) == ("unknown", ("slave01",))


def test_a_network_of_the_swarm_that_is_not_on_the_node_has_no_rules(published):
    config = {**BRIDGES[0], "Name": "far", "Scope": "swarm", "IPAM": {"Config": [{"Subnet": "10.8.0.0/24"}]}}
    published.nodes[1].networks = [*BRIDGES, config]
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


def test_rules_in_iptables_legacy_count_too(published):
    set_answer(published, "rules", "# by iptables-nft-save\n" + SOUND.replace("nft", "legacy"))
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


def test_an_engine_that_is_to_make_no_rules_is_named(published):
    set_answer(published, "daemon.json", '{"iptables": false}')
    ((level, nodes, summary),) = found(published, "engine-rules")
    assert (level, nodes) == ("error", ("slave01",))
    assert "make no rules, from its next start on" in summary
    set_answer(published, "rules", re.sub(r"-A .*\n", "", SOUND))
    set_answer(published, "daemon.json", "{}")
    set_answer(published, "command line", "dockerd\n--iptables=false")
    ((level, nodes, summary),) = found(published, "engine-rules")
    assert (level, nodes, summary) == ("error", ("slave01",), "the engine is set to make no rules (iptables: false)")


def test_a_port_of_a_task_that_has_just_started_is_not_yet_expected(published):
    set_answer(published, "rules", re.sub(r"-A DOCKER .*8089.*\n", "", SOUND))
    published.tasks[1]["Status"]["Timestamp"] = "2026-11-25T03:09:55Z"
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


def test_an_engine_that_has_just_come_back_is_still_making_its_rules(published):
    set_answer(published, "rules", re.sub(r"-A DOCKER-INGRESS .*DNAT.*\n", "", SOUND))
    assert found(published, "engine-rules")[0][:2] == ("error", ("slave01",))
    published.members[1]["UpdatedAt"] = "2026-11-25T03:09:40Z"
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]
    # What no task is needed for is judged, also where no manager tells since when it is there.
    set_answer(published, "rules", re.sub(r"-A .*\n", "", SOUND))
    assert "leads to none of the engine's chains" in found(published, "engine-rules")[0][2]
    published.asked, published.tasks, published.services = "", [], []
    assert found(published, "engine-rules")[0][:2] == ("error", ("slave01",))


def test_rules_that_were_read_before_an_engine_that_has_just_started_answered_are_not_judged(published):
    set_answer(published, "rules", re.sub(r"-A .*\n", "", SOUND))
    published.nodes[1].early = True
    assert found(published, "engine-rules")[0][:2] == ("error", ("slave01",))  # it is slow, and there for long
    published.members[1]["UpdatedAt"] = "2026-11-25T03:09:40Z"
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


def test_the_end_of_the_mesh_is_where_the_rules_lead_its_ports(published):
    """As engines make them that publish ports of the mesh like those of containers."""
    lines = [line for line in SOUND.splitlines() if "INGRESS" not in line]
    allowed = "-A DOCKER -d {0}/32 ! -i docker_gwbridge -o docker_gwbridge -p tcp -m tcp --dport 8088 -j ACCEPT"
    lead = "-A DOCKER ! -i docker_gwbridge -p tcp -m tcp --dport 8088 -j DNAT --to-destination {0}:8088"
    first = next(place for place, line in enumerate(lines) if line.startswith("-A DOCKER -d 172.19.0.3/32"))
    lines[first:first] = [allowed, "-A DOCKER ! -i docker_gwbridge -o docker_gwbridge -j DROP"]
    first = next(place for place, line in enumerate(lines) if "--dport 8089 -j DNAT" in line)
    lines.insert(first, lead)
    for address in ("172.19.0.2", "172.19.0.7"):
        for place in range(3):
            set_answer(published, "rules", "\n".join(lines).replace("{0}", address), node=place)
        assert found(published, "engine-rules") == [("ok", (), "nothing found")]
    without = "\n".join(line for line in lines if line != allowed).replace("{0}", "172.19.0.7")
    set_answer(published, "rules", without)
    assert "port 8088/tcp, published by the mesh, is dropped" in found(published, "engine-rules")[0][2]


@pytest.mark.parametrize(
    ("state", "before", "expected"),
    [
        ("updating", [], False),  # its tasks are still those that publish nothing
        ("paused", [], False),
        ("updating", [{"PublishedPort": 8088}], True),
        ("paused", [{"PublishedPort": 8088, "PublishMode": "host"}], False),
        ("paused", [{"PublishedPort": 8088, "Protocol": "udp"}], False),
        ("completed", [], True),
        ("rollback_completed", [], True),
    ],
)
def test_a_port_that_an_update_adds_is_not_expected_until_it_has_ended(published, state, before, expected):
    set_answer(published, "rules", re.sub(r"-A DOCKER-INGRESS .*DNAT.*\n", "", SOUND))
    published.services[0] |= {
        "UpdateStatus": {"State": state},
        "PreviousSpec": {"EndpointSpec": {"Ports": before}} if before else {},
    }
    ((level, *_),) = found(published, "engine-rules")
    assert level == ("error" if expected else "ok")


def test_where_the_kernel_lacks_ipvs_no_rules_of_the_mesh_are_expected(published):
    bare = "".join(line for line in SOUND.splitlines(keepends=True) if "INGRESS" not in line)
    for place in range(3):
        set_answer(published, "modules", MODULES, node=place)
        set_answer(published, "rules", bare, node=place)
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


@pytest.mark.parametrize("gone", [r"-A PREROUTING.*\n", r"(?s).*"])
def test_a_port_that_is_not_marked_as_on_the_other_nodes_is_named(published, gone):
    set_answer(published, "mesh rules", re.sub(gone, "", MESH))
    ((level, nodes, summary),) = found(published, "engine-rules")
    assert (level, nodes) == ("error", ("slave01",))
    assert summary.endswith("port 8088/tcp, published by the mesh, is not marked in the engine's own namespace")


def test_where_no_node_marks_a_port_nothing_is_said(published):
    for place in range(3):
        set_answer(published, "mesh rules", "", node=place)
    assert found(published, "engine-rules") == [("ok", (), "nothing found")]


def test_a_packet_of_which_little_is_known_has_several_outcomes():
    rules = Rules.read("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -o eth0 -j ACCEPT\n")
    assert rules.outcomes("filter", "FORWARD", Packet()) == {"ACCEPT", "DROP"}
    assert rules.outcomes("filter", "FORWARD", Packet(leaves="eth1")) == {"DROP"}
