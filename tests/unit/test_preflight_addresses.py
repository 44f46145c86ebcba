"""Preflight's checks of addresses, bridges and name servers, and of what tells nodes apart."""

import subprocess

import pytest

from swarmlab.preflight.addresses import _listening
from swarmlab.preflight.ahead import NAME_SERVERS
from swarmlab.preflight.resolvers import parse
from tests.unit.test_preflight import ADDRESSES, ROUTES, found, network, node_view, only, set_answer
from tests.unit.test_preflight import made as checks
from tests.unit.test_preflight import sight as sight

GONE = "1: lo    inet 127.0.0.1/8 scope host lo\n42: eth0    inet 192.168.58.190/24 scope global eth0"


def test_an_address_that_no_interface_has_is_named_and_explains_the_ports(sight):
    address = ADDRESSES["slave01"]
    set_answer(sight, "addresses", GONE)
    for place in (0, 2):
        for port in (2377, 7946):
            sight.nodes[place].arrived.tcp[address, port] = "silent"
    only(
        sight, "advertised-addresses", "error", ("slave01",), f"advertises {address}, which none of its interfaces has"
    )
    (finding,) = [one for one in checks.look("advertised-addresses", sight) if one.nodes]
    assert "eth0 192.168.58.190" in finding.summary
    assert f"ip address add {address}/24 dev eth0" in finding.mend
    assert "docker node demote slave01" in finding.mend
    assert "port-management-tcp" in checks.CHECKS["advertised-addresses"].causes


def test_an_address_behind_nat_at_which_the_others_reach_it_is_no_trouble(sight):
    set_answer(sight, "addresses", GONE)
    only(sight, "advertised-addresses", "info", ("slave01",), "which none of its interfaces has")
    assert {level for level, _, _ in found(sight, "source-addresses")} == {"ok"}
    sight.nodes[1].arrived.leaving = {ADDRESSES["master"]: (ADDRESSES["slave01"], "eth0")}
    assert {level for level, _, _ in found(sight, "path-mtu")} == {"ok"}
    for view in sight.nodes:
        view.arrived.untried = "bash and timeout are not there"
    only(sight, "advertised-addresses", "unknown", ("slave01",), "was not tried")


def test_a_listening_address_is_held_against_the_advertised_one(sight):
    line = "   0: BE3AA8C0:1F0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1"
    assert _listening(line) == {"192.168.58.190"}
    mapped = "   0: 0000000000000000FFFF0000BE3AA8C0:1F0A 00000000000000000000000000000000:0000 0A 0:0"
    assert _listening(mapped) == {"192.168.58.190"}
    set_answer(sight, "listening", line)
    only(sight, "advertised-addresses", "error", ("slave01",), "listens at 192.168.58.190 alone")
    set_answer(sight, "listening", "")
    set_answer(sight, "member", '"ListenAddr":"10.9.9.9:2377"')
    only(sight, "advertised-addresses", "error", ("slave01",), "is set to listen at 10.9.9.9")


def test_a_data_path_address_of_its_own_is_held_against_the_interfaces_and_what_arrives(sight):
    data = {name: address.replace("192.168.58", "10.1.0") for name, address in ADDRESSES.items()}
    for view in sight.nodes:
        held = f"42: eth0    inet {view.address}/24 scope\n43: eth1    inet {data[view.name]}/24 scope"
        view.answers = {
            **view.answers,
            "addresses": (0, held),
            "member": (0, f'"ListenAddr":"0.0.0.0:2377"\n"DataPathAddr":"{data[view.name]}"'),
            "links": (0, "eth0 1500 \neth1 1500 \ndocker_gwbridge 1500 "),
        }
        others = {address for name, address in data.items() if name != view.name}
        view.arrived.small, view.arrived.large = set(others), set(others)
        view.arrived.senders = {name: {address} for name, address in data.items() if name != view.name}
    for check in ("advertised-addresses", "port-data-udp", "path-mtu", "source-addresses", "port-gossip-udp"):
        assert {level for level, _, _ in found(sight, check)} == {"ok"}, found(sight, check)
    set_answer(sight, "addresses", f"42: eth0    inet {ADDRESSES['slave01']}/24 scope")
    sight.nodes[0].arrived.tcp[ADDRESSES["slave01"], 7946] = "open"
    sight.nodes[0].arrived.senders.pop("slave01")
    for place in (0, 2):
        sight.nodes[place].arrived.small.discard(data["slave01"])
    sight.nodes[1].arrived.small = set()
    only(
        sight, "advertised-addresses", "error", ("slave01",), "takes the data of overlay networks at 10.1.0.104, which"
    )
    assert found(sight, "port-data-udp")[0][:2] == ("error", ("slave01",))
    sight.nodes[1].arrived.unseen = "nft cannot count there"
    only(sight, "advertised-addresses", "unknown", ("slave01",), "address 10.1.0.104; whether it is reached there was")


def other_source(sight, source):
    own = ADDRESSES["slave01"]
    for place in (0, 2):
        arrived = sight.nodes[place].arrived
        arrived.senders = {"slave01": {source}}
        for came in (arrived.small, arrived.large, arrived.gossip):
            came.discard(own)
            came.add(source)


@pytest.mark.parametrize(
    ("routed", "part", "mend"),
    [
        ("10.1.1.1", "arrive at master, slave02 from 10.1.1.1 of its eth1", "ip route change … src 192.168.58.104"),
        ("", "arrive at master, slave02 from 10.1.1.1 of its eth1", "on slave01: take the nodes' addresses out"),
    ],
)
def test_packets_with_another_source_are_named_and_blame_nobody_else(sight, routed, part, mend):
    other_source(sight, "10.1.1.1")
    held = f"42: eth0    inet {ADDRESSES['slave01']}/24 scope global eth0\n43: eth1    inet 10.1.1.1/24 scope global"
    set_answer(sight, "addresses", held)
    if routed:
        sight.nodes[1].arrived.leaving = {ADDRESSES["master"]: (routed, "eth1")}
    only(sight, "source-addresses", "warning", ("slave01",), part)
    assert mend in checks.look("source-addresses", sight)[0].mend
    for check in ("port-gossip-udp", "port-data-udp", "path-mtu", "advertised-addresses"):
        assert {level for level, _, _ in found(sight, check)} == {"ok"}, found(sight, check)
    sight.networks.append(network("secret", "10.0.9.0/24", Options={"encrypted": ""}))
    only(sight, "source-addresses", "error", ("slave01",), part)


def test_an_address_that_is_translated_on_the_way_is_named(sight):
    other_source(sight, "203.0.113.7")
    only(sight, "source-addresses", "warning", ("slave01",), "from 203.0.113.7, which none of its interfaces has")
    # The address of another node proves nothing of that one's packets, and nothing of this one's gossip.
    other_source(sight, ADDRESSES["slave02"])
    sight.nodes[0].arrived.gossip, sight.nodes[2].arrived.gossip = {ADDRESSES["slave02"]}, {ADDRESSES["master"]}
    assert ("error", ("slave01",)) in [one[:2] for one in found(sight, "port-gossip-udp")]


def test_packets_are_lost_though_a_router_gives_all_nodes_one_address(sight):
    other_source(sight, "203.0.113.7")
    for place in (0, 1):
        sight.nodes[place].arrived.senders["slave02"] = {"203.0.113.7"}
    sight.nodes[2].arrived.senders = {"slave01": {"203.0.113.7"}}
    sight.nodes[0].arrived.senders.pop("slave02")
    sight.nodes[0].arrived.small = {"203.0.113.7"}
    only(sight, "port-data-udp", "error", ("master", "slave02"), "does not arrive: slave02 -> master")


def test_packets_that_nobody_counts_have_an_unknown_source(sight):
    for view in sight.nodes:
        view.arrived.unseen = "nft cannot count there: Operation not permitted"
    assert [one[:2] for one in found(sight, "source-addresses")] == [("unknown", tuple(ADDRESSES))]


def test_an_address_that_two_machines_have_is_named(sight):
    taken = f"{GONE}\n43: eth1    inet {ADDRESSES['master']}/24 scope global eth1"
    set_answer(sight, "addresses", taken.replace("58.190", "58.104"))
    only(sight, "same-addresses", "error", ("master", "slave01"), "192.168.58.101 of master is also on slave01")


def test_a_machine_that_answers_for_another_is_named_by_its_hardware_address(sight):
    hardware = {name: f"02:42:c0:a8:3a:0{place}" for place, name in enumerate(ADDRESSES)}
    for view in sight.nodes:
        view.arrived.neighbours = {ADDRESSES[name]: hardware[name] for name in ADDRESSES if name != view.name}
    assert {level for level, _, _ in found(sight, "same-addresses")} == {"ok"}
    sight.nodes[0].arrived.neighbours[ADDRESSES["slave01"]] = "de:ad:be:ef:00:01"
    only(sight, "same-addresses", "error", ("slave01",), "master reaches 192.168.58.104 of slave01 at the hardware")
    # Where a node sees one other alone, that may be the hardware address of a router, unless a node has it.
    sight.nodes[0].arrived.neighbours = {ADDRESSES["slave01"]: "12:34:56:78:9a:bc"}
    assert {level for level, _, _ in found(sight, "same-addresses")} == {"ok"}
    sight.nodes[0].arrived.neighbours = {ADDRESSES["slave01"]: hardware["slave02"]}
    only(sight, "same-addresses", "error", ("slave01",), "02:42:c0:a8:3a:02, which is of slave02, and slave01 has")
    # A router or a cloud that answers for all addresses.
    for view in sight.nodes:
        view.arrived.neighbours = dict.fromkeys(view.arrived.neighbours, "12:34:56:78:9a:bc")
    assert {level for level, _, _ in found(sight, "same-addresses")} == {"ok"}


def test_lists_that_name_an_address_nobody_has_are_named(sight):
    sight.members[1]["ManagerStatus"]["Addr"] = "192.168.58.9:2377"
    only(sight, "known-addresses", "error", ("slave01",), "managers know it at 192.168.58.9, and it advertises")
    del sight.members[1]["ManagerStatus"]["Addr"]
    sight.nodes[2].info["Swarm"]["RemoteManagers"][0]["Addr"] = "192.168.58.9:2377"
    only(sight, "known-addresses", "warning", ("slave02",), "looks for managers where none is: master at 192.168.58.9")
    sight.nodes[2] = node_view("slave02")
    for own in ("0.0.0.0", "127.0.0.1", ""):
        sight.members[1]["Status"]["Addr"] = own
        assert {level for level, _, _ in found(sight, "known-addresses")} == {"ok"}
    sight.members[1]["Status"]["Addr"] = "192.168.58.77"
    only(sight, "known-addresses", "warning", ("slave01",), "came from 192.168.58.77, which none of its interfaces")


def bridge(name, subnet, link):
    return {
        "Name": name,
        "Id": f"{name}0123456789ab",
        "Driver": "bridge",
        "Options": {"com.docker.network.bridge.name": link},
        "IPAM": {"Config": [{"Subnet": subnet}]},
    }


def test_what_is_in_the_subnet_of_a_bridge_is_named(sight):
    view = sight.nodes[1]
    own = [bridge("bridge", "172.17.0.0/16", "docker0"), bridge("docker_gwbridge", "172.19.0.0/16", "docker_gwbridge")]
    view.networks = own
    held = f"1: eth0    inet {ADDRESSES['slave01']}/24 scope global\n2: docker0    inet 172.17.0.1/16 scope global"
    set_answer(sight, "addresses", held)
    set_answer(sight, "resolvers", "nameserver 172.17.0.1")
    set_answer(sight, "links", "\n".join(f"{link} 1500 " for link in ("eth0", "docker0", "docker_gwbridge", "br-user")))
    assert {level for level, _, _ in found(sight, "bridges")} == {"ok"}
    set_answer(sight, "resolvers", "nameserver 172.17.0.53")
    only(
        sight, "bridges", "error", ("slave01",), "bridge (docker0) has 172.17.0.0/16, which the name server 172.17.0.53"
    )
    set_answer(sight, "name servers", "172.17.0.5 silent\n172.17.0.53 answers")  # it is a container there
    assert {level for level, _, _ in found(sight, "bridges")} == {"ok"}
    set_answer(sight, "resolvers", "")
    wide = "\neth0\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0"
    set_answer(sight, "routes", f"{ROUTES}{wide}")
    assert [one[:2] for one in found(sight, "bridges")] == [("warning", ("slave01",))] * 2
    set_answer(sight, "routes", ROUTES + wide.replace("00000000\t0001", "0100140A\t0003"))  # by a gateway
    assert [one[:2] for one in found(sight, "bridges")] == [("info", ("slave01",))] * 2
    set_answer(sight, "routes", f"{ROUTES}\neth0\t000513AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0")
    only(
        sight, "bridges", "error", ("slave01",), "docker_gwbridge) has 172.19.0.0/16, which overlaps the host's 172.19"
    )
    set_answer(sight, "routes", ROUTES)
    set_answer(sight, "addresses", f"{held}\n3: eth1    inet 172.19.5.5/24 scope global")
    only(sight, "bridges", "error", ("slave01",), "the host's own address 172.19.5.5 of eth1")
    set_answer(sight, "addresses", held)
    sight.nodes[0].info["Swarm"]["NodeAddr"] = "172.17.9.9"
    only(sight, "bridges", "error", ("slave01",), "which 172.17.9.9 of master is in")
    sight.nodes[0].info["Swarm"]["NodeAddr"] = ADDRESSES["master"]
    only_settings = {**bridge("settings", "172.17.8.0/24", "br-settings"), "ConfigOnly": True}
    view.networks = [*own, only_settings, bridge("lan", "192.168.58.0/24", "eth0")]
    assert {level for level, _, _ in found(sight, "bridges")} == {"ok"}
    view.networks = [*own, bridge("user", "172.17.8.0/24", "br-user")]
    only(sight, "bridges", "error", ("slave01",), "bridge (172.17.0.0/16) and user (172.17.8.0/24) overlap")


# What tells nodes apart


def test_two_nodes_of_one_host_name_are_named_by_id(sight):
    sight.members[2]["Description"]["Hostname"] = "slave01"
    only(
        sight, "host-names", "warning", ("slave01", "slave02"), "2 nodes have the host name slave01: id-slave01 (ready)"
    )
    sight.members[2]["Status"]["State"] = "down"
    assert "docker node rm id-slave02" in checks.look("host-names", sight)[0].mend


def test_copies_of_a_machine_are_named_by_what_they_share(sight):
    sight.nodes[2].info["Swarm"]["NodeID"] = "id-slave01"
    only(sight, "copies", "error", ("slave01", "slave02"), "2 machines have the node id id-slave01")
    finding = checks.look("copies", sight)[0]
    assert "rm -r /var/lib/docker/swarm" in finding.mend
    assert "not docker swarm leave" in finding.mend
    sight.nodes[2] = node_view("slave02")
    for place in (1, 2):
        sight.nodes[place].info["ID"] = "ABCD"
    only(sight, "copies", "warning", ("slave01", "slave02"), "engine id ABCD")
    sight.nodes[2].info["ID"] = "EFGH"
    same = "id 0123\nlink eth0 02:42:c0:a8:3a:0{}"
    for place in (1, 2):
        set_answer(sight, "machine", same.format(place), node=place)
    only(sight, "copies", "warning", ("slave01", "slave02"), "2 machines have the machine id 0123")
    for place in (1, 2):
        set_answer(sight, "machine", "id \nlink eth0 02:42:c0:a8:3a:01", node=place)
    only(sight, "copies", "warning", ("slave01", "slave02"), "hardware address 02:42:c0:a8:3a:01")


# Name servers


@pytest.mark.parametrize(
    ("text", "version", "level", "part"),
    [
        ("nameserver 10.1.1.1\noptions ndots: 2", "20.10.24", "error", "malformed option 'ndots:'"),
        ("nameserver 10.1.1.1\noptions ndots", "28.5.2", "info", "malformed option 'ndots'"),
        ("nameserver 10.1.1.1\noptions ndots: 2\noptions rotate", "20.10.24", "ok", ""),  # the last line counts
        ("nameserver 10.1.1.1\noptions ndots:2 timeout:1", "20.10.24", "ok", ""),
        ("nameserver 10.1.1.1\nsearch a\noptions ndots:2", "20.10.24", "info", "ndots:2, and search domains"),
        ("nameserver 10.1.1.1\nsearch a\noptions ndots:2", "19.03.15", "ok", ""),
        ("nameserver 10.1.1.1\nsearch a\noptions ndots:0", "20.10.24", "ok", ""),
        ("", "20.10.24", "warning", "no name server"),
        ("search example.org", "28.5.2", "warning", "no name server"),
        ("nameserver 127.0.0.1", "28.5.2", "warning", "local name servers only (127.0.0.1)"),
        ("nameserver 127.0.0.1\nnameserver 10.1.1.1", "28.5.2", "ok", ""),
        ("nameserver 127.0.0.53", "18.03.1-ce", "warning", "local name servers only"),
        ("nameserver 127.0.0.53", "20.10.24", "ok", ""),
        ("nameserver 127.0.0.11\noptions ndots:0", "17.06.2-ce", "ok", ""),
        ("nameserver fd00::53", "20.10.24", "warning", "by IPv6 only (fd00::53)"),
        ("nameserver fe80::1%eth0", "28.5.2", "ok", ""),
        ("nameserver dns.example.org\nnameserver 10.1.1.1", "28.5.2", "warning", "dns.example.org, which is no IP"),
        ("\n".join(f"nameserver 10.1.1.{last}" for last in range(1, 5)), "28.5.2", "info", "4 name servers"),
        ("nameserver 10.1.1.1\nsearch a b c d e f g", "28.5.2", "info", "7 search domains"),
    ],
)
def test_what_tasks_make_of_a_resolv_conf_is_told_by_engine(sight, text, version, level, part):
    for place, view in enumerate(sight.nodes):
        view.version["Version"] = version
        set_answer(sight, "resolvers", text, node=place)
        set_answer(sight, "resolved", "nameserver 10.1.1.1", node=place)
    if level == "ok":
        assert {one for one, _, _ in found(sight, "name-servers")} == {"ok"}, found(sight, "name-servers")
    else:
        only(sight, "name-servers", level, tuple(ADDRESSES), part)
    assert {one for one, _, _ in found(sight, "name-servers-alike")} == {"ok"}


def test_name_servers_of_the_engine_stand_in_for_those_of_the_node(sight):
    set_answer(sight, "resolvers", "nameserver 127.0.0.1")
    set_answer(sight, "daemon.json", '{"dns": ["10.1.1.1"]}')
    assert {level for level, _, _ in found(sight, "name-servers")} == {"ok"}


@pytest.mark.parametrize(
    ("silent", "level", "named"),
    [
        ("10.1.1.1", "warning", "10.1.1.1"),
        ("10.1.1.1 10.1.1.2", "error", "10.1.1.1, 10.1.1.2"),  # the stub answers all the same
        ("127.0.0.53", "error", "127.0.0.53"),
    ],
)
def test_the_servers_behind_systemd_resolved_are_those_that_tasks_ask(sight, silent, level, named):
    set_answer(sight, "resolvers", "nameserver 127.0.0.53")
    servers = ("127.0.0.53", "10.1.1.1", "10.1.1.2", "10.1.1.3")[: 4 if level == "warning" else 3]
    set_answer(sight, "resolved", "\n".join(f"nameserver {server}" for server in servers[1:]))
    ends = [f"{server} {'silent' if server in silent.split() else 'answers'}" for server in servers]
    set_answer(sight, "name servers", "\n".join(ends))
    only(sight, "name-servers", level, ("slave01",), f"name server {named} does not answer")


@pytest.mark.parametrize(
    ("silent", "level", "risk"),
    [
        ("10.1.1.1", "error", "do not resolve for the tasks of the node"),
        ("10.2.2.2", "warning", "look-ups of the node itself"),
        ("10.2.2.2 10.2.2.3", "error", "do not resolve for the node itself, as when it pulls images"),
    ],
)
def test_servers_of_the_engine_and_of_the_node_are_judged_apart(sight, silent, level, risk):
    set_answer(sight, "resolvers", "nameserver 10.2.2.2\nnameserver 10.2.2.3")
    set_answer(sight, "daemon.json", '{"dns": ["10.1.1.1"]}')
    servers = ("10.1.1.1", "10.2.2.2", "10.2.2.3")
    ends = {server: "silent" if server in silent.split() else "answers" for server in servers}
    set_answer(sight, "name servers", "\n".join(f"{server} {end}" for server, end in ends.items()))
    (finding, *_) = [one for one in checks.look("name-servers", sight) if one.nodes == ("slave01",)]
    assert (str(finding.level), risk in finding.risk) == (level, True), finding


def test_the_servers_of_the_engines_settings_are_asked_too(tmp_path):
    (tmp_path / "daemon.json").write_text(
        '{\n  "dns": [\n    "10.1.1.1",\n    "fd00::1"\n  ],\n  "dns-search": ["a"]\n}'
    )
    (tmp_path / "words").write_text("dockerd\0--dns\x0010.1.1.2\0--dns=10.1.1.3\0")
    script = NAME_SERVERS[NAME_SERVERS.rindex("{ tr") :].replace("/proc/$P/cmdline", f"{tmp_path}/words")
    ran = ["sh", "-c", f"F={tmp_path}/daemon.json; {script}"]
    listed = subprocess.run(ran, capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["10.1.1.2", "10.1.1.3", "10.1.1.1", "fd00::1"]


def test_name_servers_that_do_not_answer_are_named(sight):
    set_answer(sight, "resolvers", "nameserver 10.1.1.1\nnameserver 10.1.1.2")
    set_answer(sight, "name servers", "10.1.1.2 answers\n10.1.1.1 silent")
    only(sight, "name-servers", "warning", ("slave01",), "name server 10.1.1.1 does not answer")
    set_answer(sight, "name servers", "10.1.1.2 silent\n10.1.1.1 silent")
    only(sight, "name-servers", "error", ("slave01",), "name server 10.1.1.1, 10.1.1.2 does not answer")
    set_answer(sight, "name servers", "10.1.1.2 untried\n10.1.1.1 untried")
    only(sight, "name-servers", "unknown", ("slave01",), "was not tried")


def test_a_node_with_other_name_servers_is_named(sight):
    set_answer(sight, "resolvers", "nameserver 10.1.1.1\nsearch example.org")
    only(sight, "name-servers-alike", "info", ("slave01",), "10.1.1.1 with 1 search domains on slave01")
    for place in range(3):
        set_answer(sight, "resolvers", "nameserver 127.0.0.53", node=place)
        set_answer(sight, "resolved", f"nameserver 10.1.1.{1 + place // 2}", node=place)
    only(sight, "name-servers-alike", "info", ("slave02",), "10.1.1.2 with 0 search domains on slave02")


def test_the_last_search_line_counts_and_options_add_up():
    settings = parse("search a b\ndomain c\noptions rotate\noptions ndots:1\n# nameserver 1.1.1.1\nnameserver\n")
    assert (settings.domains, settings.options) == (("c",), (("rotate",), ("ndots:1",)))
    assert (settings.servers, settings.wrong) == ((), ("nothing",))


# Subnets with bits beyond the mask


def test_a_subnet_with_host_bits_is_named_with_the_engines_that_reject_it(sight):
    sight.networks.append(network("odd", "10.90.0.1/24"))
    only(sight, "subnets-host-bits", "info", (), "network odd has 10.90.0.1/24, with bits beyond the mask")
    assert {level for level, _, _ in found(sight, "subnets-and-routes")} == {"ok"}
    sight.nodes[1].version["Version"] = "25.0.3"
    only(sight, "subnets-host-bits", "error", ("slave01",), "its subnet is 10.90.0.0/24")
    assert "moby#47331" in [one.incident for one in checks.look("known-defects", sight) if "slave01" in one.nodes]
    sight.networks.pop()
    assert "moby#47331" not in [one.incident for one in checks.look("known-defects", sight)]
