"""Preflight's checks of IPVS, of VXLAN's entries and of differences; tests/proof/mesh shows them on real machines."""

import re
import subprocess
from types import SimpleNamespace

import pytest

from swarmlab.cluster.node import Result
from swarmlab.preflight import checks, packets, work
from swarmlab.preflight.balancers import balancers
from swarmlab.preflight.finding import Level
from swarmlab.preflight.model import VXLAN, Arrivals
from swarmlab.preflight.unlike import _DROPS, facts
from tests.unit.test_preflight import ADDRESSES, MODULES, found, network, only, set_answer, sight  # noqa: F401

MESH = "*mangle\n-A PREROUTING -p tcp -m tcp --dport 8088 -j MARK --set-xmark 0x100/0xffffffff\nCOMMIT"
TABLE = """ipvs
sandbox ingress_sbox
FWM  00000100 rr
  -> 0A000007:0000      Masq    1      0          0
  -> 0A000008:0000      Masq    1      0          2
sandbox lb_id-app
*mangle
-A INPUT -d 10.0.1.2/32 -j MARK --set-xmark 0x101/0xffffffff
COMMIT
FWM  00000101 rr
  -> 0A000107:0000      Masq    1      0          0
  -> 0A000108:0000      Masq    1      0          0"""
TUNNELS = """network id-ingress
10.0.0.8 dev vxlan0 lladdr 02:42:0a:00:00:08 PERMANENT
02:42:0a:00:00:08 dev vxlan0 dst 192.168.58.103 link-netnsid 0 self permanent
2: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP mode DEFAULT group default
7: vxlan0@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue master br0 state UNKNOWN mode DEFAULT
3: tunl0@NONE: <NOARP> mtu 1480 qdisc noop state DOWN mode DEFAULT group default qlen 1000
4: gretap0@NONE: <BROADCAST,MULTICAST> mtu 1462 qdisc noop state DOWN mode DEFAULT group default qlen 1000"""
PLACE = """place the node
setting ipv4/ip_forward 1
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
2: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP mode DEFAULT group default qlen 1000
44: veth1a2b3c4@if43: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master docker_gwbridge state UP
0:\tfrom all lookup local
qdisc fq_codel 0: dev eth1 root refcnt 2 limit 10240p
default via 192.168.58.1 dev eth1 proto dhcp src 192.168.58.104 metric 100
-t filter -A INPUT -s * -j DROP
table ip filter {
\t\ttype filter hook forward priority filter; policy drop;
table ip swarmlab_look_12345678 {
\t\ttype filter hook prerouting priority -350; policy accept;
place ingress_sbox
setting ipv4/ip_forward 1
16: eth0@if17: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP mode DEFAULT group default
-A POSTROUTING -d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2"""


@pytest.fixture
def balanced(sight):  # noqa: F811
    """A service of two tasks, published and in a network; and a third node that has none of its tasks."""
    ran = {"State": "running", "Timestamp": "2026-11-25T03:00:00Z"}
    sight.networks = [network("ingress", "10.0.0.0/24", Ingress=True), network("app", "10.0.1.0/24")]
    sight.services = [
        {
            "ID": "web",
            "Spec": {"Name": "web"},
            "Endpoint": {
                "Ports": [{"Protocol": "tcp", "PublishedPort": 8088, "PublishMode": "ingress"}],
                "VirtualIPs": [
                    {"NetworkID": "id-ingress", "Addr": "10.0.0.5/24"},
                    {"NetworkID": "id-app", "Addr": "10.0.1.2/24"},
                ],
            },
        }
    ]
    sight.tasks = [
        {
            "ID": f"task{slot}",
            "Slot": slot,
            "ServiceID": "web",
            "NodeID": f"id-{node}",
            "DesiredState": "running",
            "Status": ran,
            "UpdatedAt": "2026-11-25T03:00:00Z",
            "NetworksAttachments": [
                {"Network": {"ID": "id-ingress"}, "Addresses": [f"10.0.0.{6 + slot}/24"]},
                {"Network": {"ID": "id-app"}, "Addresses": [f"10.0.1.{6 + slot}/24"]},
            ],
        }
        for slot, node in ((1, "master"), (2, "slave02"))
    ]
    for place in range(3):
        set_answer(sight, "modules", f"{MODULES}\n/proc/net/ip_vs", node=place)
        set_answer(sight, "mesh rules", MESH, node=place)
        set_answer(sight, "balancers", TABLE, node=place)
        set_answer(sight, "packets", PLACE, node=place)
    set_answer(sight, "tunnels", TUNNELS, node=0)
    return sight


def test_tables_are_read_by_namespace_and_mark():
    read = balancers(TABLE, MESH)
    assert read["ingress_sbox"].marks == {"tcp/8088": [0x100]}
    assert read["ingress_sbox"].tables == {0x100: {"10.0.0.7": 1, "10.0.0.8": 1}}
    assert read["lb_id-app"].marks == {"10.0.1.2": [0x101]}


@pytest.mark.parametrize("check", ["load-balancers", "tunnels", "packets"])
def test_nothing_is_found_where_all_is_as_the_managers_have_it(balanced, check):
    assert found(balanced, check) == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("gone", "put", "told"),
    [
        ("0A000008:0000      Masq    1", "0A000008:0000      Masq    0",
         "IPVS of the routing mesh has weight 0 for task web.2 (10.0.0.8)"),
        ("  -> 0A000007:0000      Masq    1      0          0\n", "",
         "IPVS of the routing mesh lacks task web.1 (10.0.0.7)"),
        ("0A000007", "0A000009",
         "IPVS of the routing mesh lacks task web.1 (10.0.0.7); "
         "IPVS of the routing mesh has 10.0.0.9 for web, which none of its tasks has"),
        (TABLE[TABLE.index("FWM") : TABLE.index("sandbox lb")], "", "the IPVS table of the routing mesh is empty"),
        ("FWM  00000100", "FWM  00000200", "IPVS of the routing mesh has no task of web (mark 0x100)"),
        ("sandbox ingress_sbox", "sandbox other", "it has no end of the routing mesh (ingress_sbox), which web needs"),
        ("0A000107:0000      Masq    1", "0A000107:0000      Masq    0",
         "IPVS of app has weight 0 for task web.1 (10.0.1.7)"),
        ("-d 10.0.1.2/32", "-d 10.0.1.9/32",
         "packets for the virtual address 10.0.1.2 of web in app are not marked for IPVS"),
    ],
)  # fmt: skip
def test_what_a_balancer_has_otherwise_than_the_managers_is_named(balanced, gone, put, told):
    assert gone in TABLE
    set_answer(balanced, "balancers", TABLE.replace(gone, put))
    assert found(balanced, "load-balancers") == [("error", ("slave01",), told)]


def test_a_network_that_an_update_adds_has_no_address_before_a_task_is_in_it(balanced):
    balanced.networks.append(network("new", "10.0.9.0/24"))
    balanced.services[0]["Endpoint"]["VirtualIPs"].append({"NetworkID": "id-new", "Addr": "10.0.9.2/24"})
    of_others = "\nsandbox lb_id-new\n*mangle\n-A INPUT -d 10.0.9.77/32 -j MARK --set-xmark 0x150/0xffffffff\nCOMMIT"
    for place in range(3):
        set_answer(balanced, "balancers", TABLE + of_others, node=place)
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    balanced.tasks[0]["NetworksAttachments"].append({"Network": {"ID": "id-new"}, "Addresses": ["10.0.9.7/24"]})
    assert "virtual address 10.0.9.2 of web in new" in found(balanced, "load-balancers")[0][2]
    balanced.services[0]["UpdateStatus"] = {"State": "updating"}
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]


def test_old_and_new_tasks_may_be_in_two_tables_until_the_update_has_ended(balanced):
    both = re.sub(r"(-A .*) 0x10[01](.*)", r"\1 0x10a\2\n\1 0x10b\2", TABLE)
    both = re.sub(r"FWM  0000010[01] rr\n(.*)\n", "FWM  0000010A rr\n\\1\nFWM  0000010B rr\n", both)
    for place in range(3):
        set_answer(balanced, "balancers", both, node=place)
        set_answer(balanced, "mesh rules", re.sub(r"(-A .*) 0x100(.*)", r"\1 0x10a\2\n\1 0x10b\2", MESH), node=place)
    balanced.services[0]["PreviousSpec"] = {"EndpointSpec": {"Ports": balanced.services[0]["Endpoint"]["Ports"]}}
    balanced.services[0]["UpdateStatus"] = {"State": "paused"}
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    balanced.services[0]["UpdateStatus"] = {"State": "completed"}
    assert "lacks task web.1" in found(balanced, "load-balancers")[0][2]


def test_a_task_of_which_managers_know_no_more_since_a_moment_may_still_be_known(balanced):
    balanced.tasks.pop(0)
    assert "which none of its tasks has" in found(balanced, "load-balancers")[0][2]
    balanced.services[0]["UpdatedAt"] = "2026-11-25T03:09:55Z"
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]


def test_what_has_just_changed_need_not_be_known(balanced):
    balanced.tasks[0]["UpdatedAt"] = "2026-11-25T03:09:50Z"
    set_answer(balanced, "balancers", TABLE.replace("0A000007:0000      Masq    1", "0A000007:0000      Masq    0"))
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    # It has ended a moment ago, and has left the tables or not.
    balanced.tasks[0]["Status"] = {**balanced.tasks[0]["Status"], "State": "shutdown"}
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    balanced.tasks[0]["UpdatedAt"] = "2026-11-25T03:00:00Z"
    assert "which none of its tasks has" in found(balanced, "load-balancers")[0][2]


@pytest.mark.parametrize(
    ("check", "question", "answer"),
    [("load-balancers", "balancers", TABLE.replace("0A000007", "0A000009")), ("tunnels", "tunnels", TUNNELS[:19])],
)
def test_a_node_whose_engine_has_just_come_back_need_not_know_all(balanced, check, question, answer):
    set_answer(balanced, question, answer, node=0)
    assert found(balanced, check)[0][:2] == ("error", ("master",))
    balanced.members[0]["UpdatedAt"] = "2026-11-25T03:09:40Z"
    assert found(balanced, check) == [("ok", (), "nothing found")]


def test_in_a_large_swarm_it_takes_longer_until_every_node_knows(balanced, monkeypatch):
    balanced.tasks[0]["UpdatedAt"] = "2026-11-25T03:09:20Z"
    set_answer(balanced, "balancers", TABLE.replace("0A000007:0000      Masq    1", "0A000007:0000      Masq    0"))
    assert found(balanced, "load-balancers")[0][0] == "error"
    monkeypatch.setattr(work, "_MANY", 2)
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    balanced.tasks[0]["UpdatedAt"] = "2026-11-25T03:00:00Z"
    assert found(balanced, "load-balancers")[0][0] == "error"


def test_where_engines_answer_slowly_it_takes_longer_until_every_node_knows(balanced):
    balanced.tasks[0]["UpdatedAt"] = "2026-11-25T03:09:30Z"
    set_answer(balanced, "balancers", TABLE.replace("0A000007:0000      Masq    1", "0A000007:0000      Masq    0"))
    assert found(balanced, "load-balancers")[0][0] == "error"
    balanced.pace = 2.5
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]
    balanced.members[0]["UpdatedAt"], balanced.pace = "2026-11-25T03:09:00Z", 1.0
    set_answer(balanced, "tunnels", TUNNELS[:19], node=0)
    assert found(balanced, "tunnels")[0][0] == "error"
    balanced.pace = 2.5
    assert found(balanced, "tunnels") == [("ok", (), "nothing found")]


def test_a_node_without_ip_vs_is_named_and_what_keeps_it_out(balanced):
    set_answer(balanced, "balancers", "")
    set_answer(balanced, "modules", f"{MODULES}\nkept ip_vs /etc/modprobe.d/no.conf")
    told = "the kernel has no IPVS: ip_vs is not loaded, and /etc/modprobe.d/no.conf keeps modprobe from loading it"
    assert found(balanced, "load-balancers") == [("error", ("slave01",), f"{told}; web needs it")]
    (kept, *_) = found(balanced, "kernel-modules")
    assert kept[:2] == ("warning", ("slave01",))
    assert "/etc/modprobe.d/no.conf keeps ip_vs from being loaded" in kept[2]
    loaded = f"{MODULES}\nloaded ip_vs\nloadable ip_vs\nkept ip_vs /etc/modprobe.d/no.conf"
    set_answer(balanced, "modules", loaded)
    (kept, *_) = found(balanced, "kernel-modules")
    assert kept[:2] == ("warning", ("slave01",))
    assert "/etc/modprobe.d/no.conf keeps ip_vs from being loaded at the next boot" in kept[2]
    set_answer(balanced, "modules", f"{loaded}\nbuiltin ip_vs")
    assert all(level == "ok" for level, _, _ in found(balanced, "kernel-modules"))
    for place in range(3):  # a kernel without it, as another check says
        set_answer(balanced, "balancers", "", node=place)
        set_answer(balanced, "modules", MODULES, node=place)
    assert found(balanced, "load-balancers") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("gone", "put", "told"),
    [
        ("10.0.0.8 dev", "10.0.0.9 dev", "in network ingress 10.0.0.8, a task on slave02, is not known"),
        ("dst 192.168.58.103", "dst 192.168.58.104",
         "in network ingress 10.0.0.8, a task on slave02 (192.168.58.103), leads to 192.168.58.104"),
        ("02:42:0a:00:00:08 dev vxlan0 dst", "02:42:0a:00:00:09 dev vxlan0 dst",
         "in network ingress 10.0.0.8, a task on slave02 (192.168.58.103), leads to no node"),
        ("br0: <BROADCAST,MULTICAST,UP,LOWER_UP>", "br0: <BROADCAST,MULTICAST>",
         "in the namespace of network ingress br0 is down"),
    ],
)  # fmt: skip
def test_a_way_to_a_task_that_leads_elsewhere_is_named(balanced, gone, put, told):
    assert gone in TUNNELS
    set_answer(balanced, "tunnels", TUNNELS.replace(gone, put), node=0)
    assert found(balanced, "tunnels") == [("error", ("master",), told)]


@pytest.mark.parametrize(
    ("gone", "put", "told"),
    [
        ("ip_forward 1", "ip_forward 0", "only here the node: ipv4.ip_forward is 0"),
        ("eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500", "eth1: <BROADCAST,MULTICAST> mtu 1500",
         "only here the node: link eth1 is down, with mtu 1500"),
        ("qdisc fq_codel 0: dev eth1 root", "qdisc netem 8001: dev eth1 root limit 1000 loss 40%",
         "only here the node: queue netem dev eth1 root limit 1000 loss 40%"),
        ("dev eth1 proto dhcp", "dev eth0 proto dhcp", "only here the node: default route is by eth0"),
        ("default via 192.168.58.1 dev eth1 proto dhcp src 192.168.58.104 metric 100\n", "",
         "not as elsewhere the node: default route is by eth1"),
        ("-t filter -A INPUT -s * -j DROP\n", "", "not as elsewhere the node: -t filter -A INPUT -s * -j DROP"),
        ("-t filter -A INPUT -s", "-t raw -A PREROUTING -p tcp -m tcp --dport 8080 -j DROP\n-t filter -A INPUT -s",
         "only here the node: -t raw -A PREROUTING -p tcp -m tcp --dport * -j DROP"),
        ("-t filter -A INPUT -s",
         "-t filter -A INPUT -m statistic --mode random --probability 0.29999999981 -j DROP\n-t filter -A INPUT -s",
         "only here the node: -t filter -A INPUT -m statistic --mode random --probability 0.29999999981 -j DROP"),
        ("ip_forward 1", "ip_forward 1\nsetting ipv4/conf/eth1/forwarding 0",
         "only here the node: ipv4.conf.eth1.forwarding is 0"),
        ("ip_forward 1", "ip_forward 1\nsetting netfilter/nf_conntrack_tcp_timeout_established 300",
         "only here the node: netfilter.nf_conntrack_tcp_timeout_established is 300"),
        ("table ip filter", "192.168.58.103 dev eth1 lladdr 02:00:00:00:00:09 PERMANENT\ntable ip filter",
         "only here the node: a permanent entry for a neighbour by eth1"),
        ("-A POSTROUTING -d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2", "",
         "not as elsewhere ingress_sbox: -A POSTROUTING -d * -m ipvs --ipvs -j SNAT --to-source *"),
        ("table ip filter {", "table inet firewall {",
         "only here the node: nft's table inet firewall: type filter hook forward priority filter; policy drop;"),
    ],
)  # fmt: skip
def test_a_node_that_differs_from_all_others_is_named(balanced, gone, put, told):
    assert gone in PLACE
    set_answer(balanced, "packets", PLACE.replace(gone, put, 1))
    ((level, nodes, summary),) = found(balanced, "packets")
    assert (level, nodes) == ("info", ("slave01",))
    assert told in summary


def test_nodes_of_which_no_two_others_are_alike_are_not_compared(balanced):
    balanced.nodes[0].version = {**balanced.nodes[0].version, "Version": "28.5.2"}
    set_answer(balanced, "packets", PLACE.replace("ip_forward 1", "ip_forward 0"))
    assert found(balanced, "packets") == [("ok", (), "nothing found")]


def test_rules_that_drop_are_listed_with_their_tables_each_once(tmp_path):
    lines = [f"-A INPUT -s 203.0.113.{last}/32 -j DROP" for last in range(3)]
    saved = "\n".join(
        ["*raw", "-A PREROUTING -p tcp -j NOTRACK", "COMMIT", "*filter", *lines, "-A INPUT -j MINE", "-A MINE -j DROP"]
    )
    (tmp_path / "iptables-nft-save").write_text(f"#!/bin/sh\necho '{saved}'\n")
    (tmp_path / "iptables-legacy-save").write_text("#!/bin/sh\necho '*raw'; echo '-A OUTPUT -j CT --notrack'\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    (tmp_path / "names").write_text("raw\n")
    script = _DROPS.replace("/proc/net/ip_tables_names", str(tmp_path / "names"))
    done = subprocess.run(["sh", "-c", f"PATH={tmp_path}:$PATH; {script}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "-t filter -A INPUT -s * -j DROP",
        "-t raw -A OUTPUT -j CT --notrack",
        "-t raw -A PREROUTING -p tcp -j NOTRACK",
    ]


def test_what_differs_by_its_nature_is_no_fact():
    assert facts(PLACE) == facts(
        PLACE.replace("veth1a2b3c4@if43", "veth9f8e7d6@if99").replace("10.0.0.2", "10.0.0.3").replace("_12345678", "_9")
    )


@pytest.mark.parametrize(
    "line",
    [
        "-t raw -A PREROUTING -d */32 ! -i docker_gwbridge -j DROP",
        "-t raw -A PREROUTING -d * ! -i br-0123456789ab -p tcp -m tcp --dport 80 -j DROP",
        "-t filter -A FORWARD -i br-0123456789ab -o br-0123456789ab -j DROP",
        '-t filter -A INPUT -p udp -m policy --dir in --pol none -m udp --dport 4789 -m u32 --u32 "0x0=0x1" -j DROP',
        "setting ipv4/conf/veth1a2b3c4/forwarding 0",
        "setting netfilter/nf_conntrack_tcp_timeout_established 86400",
        "10.1.0.9 dev br-0123456789ab lladdr 02:00:00:00:00:09 PERMANENT",
        "table ip raw {\n\t\ttype filter hook prerouting priority raw; policy accept;",
    ],
)
def test_what_an_engine_makes_for_a_container_or_a_network_is_no_difference(balanced, line):
    set_answer(balanced, "packets", PLACE.replace("table ip filter", f"{line}\ntable ip filter"))
    assert found(balanced, "packets") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("links", "later", "level"),
    [
        ("eth1 1500 virtio_net\nvx-001001-ab12c 1450 ", "9: vx-001001-ab12c: <BROADCAST>", "error"),
        ("eth1 1500 virtio_net\nvx-001002-ab12c 1450 ", "9: vx-001002-ab12c: <BROADCAST>", "warning"),
        ("vx-001001-ab12c 1450 ", "", "ok"),  # it was just being made
        ("ov-001001-ab12c 1450 \nvx-001001-ab12c 1450 ", "vx-001001-ab12c", "ok"),  # on a kernel of old
    ],
)
def test_a_vxlan_interface_that_was_left_is_named(balanced, links, later, level):
    balanced.networks[1]["Options"] = {VXLAN: "4097"}
    set_answer(balanced, "links", links)
    set_answer(balanced, "packets", f"{PLACE}\n{later}")
    told = [one for one in checks.look("tunnels", balanced) if one.level is not Level.OK]
    assert [(str(one.level), one.nodes) for one in told] == ([] if level == "ok" else [(level, ("slave01",))])
    for one in told:
        assert one.mend == f"on slave01: ip link delete {links.split()[3]}"
        assert ("no task of network app starts" in one.risk) is (level == "error")


def test_a_firewall_that_drops_what_is_forwarded_is_named_also_where_all_nodes_have_it(balanced):
    hook = "type filter hook forward priority filter; policy drop;"
    chains = f"\nplace chains\nchains inet firewall\n\tchain forward {{\n\t\t{hook}\n\t}}"
    for place in (0, 1, 2):
        text = PLACE.replace("place ingress_sbox", f"table inet firewall {{\n\t\t{hook}{chains}\nplace ingress_sbox")
        set_answer(balanced, "packets", text, node=place)
    (finding,) = checks.look("packets", balanced)
    assert (str(finding.level), finding.nodes) == ("warning", tuple(ADDRESSES))
    assert finding.summary == f"nft's table inet firewall: {hook} and no rule accepts a new connection"
    assert 'nft insert rule inet firewall forward oifname "docker_gwbridge" accept' in finding.mend
    set_answer(balanced, "packets", PLACE)
    only(balanced, "packets", "warning", ("master", "slave02"), "no rule accepts a new connection")


def test_rules_are_told_without_what_others_say_in_them():
    line = '-t filter -A INPUT -p tcp -m comment --comment "for \\"Bob\\", no" -m string --string "hush" -j DROP'
    (fact,) = facts(f"place the node\n{line}")
    assert fact.startswith("the node: -t filter -A INPUT -p tcp -m string --string ‹")
    assert "Bob" not in fact
    assert "hush" not in fact


@pytest.mark.parametrize(("mode", "leaves", "seen"), [(1, "eth9", True), (2, "eth9", False), (1, "eth0", False)])
def test_packets_that_would_be_answered_by_another_interface_are_dropped(sight, mode, leaves, seen):  # noqa: F811
    set_answer(sight, "reverse path", f"all 0\neth0 {mode}\ndropped 17")
    arrived = sight.nodes[1].arrived
    arrived.leaving = {ADDRESSES["master"]: (ADDRESSES["slave01"], leaves)}
    arrived.small, arrived.large = set(), set()
    told = found(sight, "reverse-path")
    if not seen:
        assert told == [("ok", (), "nothing found")]
        return
    ((level, nodes, summary),) = told
    assert (level, nodes) == ("error", ("slave01",))
    assert "strict on eth0, and the node would answer master by eth9" in summary
    assert "(17 packets so far)" in summary


@pytest.mark.parametrize(
    ("dropped", "of_gossip", "data", "level"),
    [
        (17, True, False, "error"),
        (0, False, False, "error"),
        (0, True, False, "info"),
        (17, True, True, "info"),  # other packets were dropped
    ],
)
def test_what_arrives_is_not_told_as_dropped(sight, dropped, of_gossip, data, level):  # noqa: F811
    set_answer(sight, "reverse path", f"all 1\neth0 0\ndropped {dropped}")
    arrived, master = sight.nodes[1].arrived, ADDRESSES["master"]
    arrived.leaving = {master: (ADDRESSES["slave01"], "eth9")}
    arrived.gossip, arrived.small, arrived.large = ({master} if of_gossip else set()), set(), set()
    if data:
        arrived.small = {master}
    only(sight, "reverse-path", level, ("slave01",), "strict on eth0, and the node would answer master by eth9")
    arrived.unseen, arrived.gossip, arrived.small = "nft cannot count there", set(), set()
    only(sight, "reverse-path", "error" if dropped else "info", ("slave01",), "the node would answer master by eth9")


def test_an_interface_of_a_vlan_is_set_by_a_name_that_sysctl_takes(sight):  # noqa: F811
    own = ADDRESSES["slave01"]
    set_answer(sight, "addresses", f"9: eth0.100    inet {own}/24 scope global eth0.100")
    set_answer(sight, "links", "eth0 1500 virtio_net\neth0.100 1500 ")
    set_answer(sight, "routes", "Iface\n" + "\t".join(["eth0.100", "003AA8C0", "0", "1", "0", "0", "0", "00FFFFFF"]))
    set_answer(sight, "reverse path", "all 1\neth0.100 1\ndropped 17")
    arrived = sight.nodes[1].arrived
    arrived.small, arrived.large, arrived.leaving = set(), set(), {ADDRESSES["master"]: (own, "eth9")}
    (finding,) = checks.look("reverse-path", sight)
    setting = "net/ipv4/conf/eth0.100/rp_filter=2"
    file = "/etc/sysctl.d/90-net-ipv4-conf-eth0.100-rp_filter.conf"
    assert finding.mend.startswith(f"on slave01: sysctl -w {setting} && echo {setting} > {file}")
    assert finding.fix.startswith(f"sysctl -w {setting} ")


def test_the_way_of_answers_counts_where_rules_of_routing_choose_it(sight):  # noqa: F811
    set_answer(sight, "reverse path", "all 1\neth0 1\ndropped 17")
    arrived, master, own = sight.nodes[1].arrived, ADDRESSES["master"], ADDRESSES["slave01"]
    arrived.small, arrived.large = set(), set()
    arrived.leaving = {master: ("10.9.9.9", "eth9")}
    arrived.answering = {(own, master): "eth0"}
    assert found(sight, "reverse-path") == [("ok", (), "nothing found")]
    arrived.leaving, arrived.answering = {master: (own, "eth0")}, {(own, master): "eth9"}
    only(sight, "reverse-path", "error", ("slave01",), "the node would answer master by eth9")


def test_the_way_of_answers_is_read_of_a_node(sight):  # noqa: F811
    own, others = ADDRESSES["slave01"], [ADDRESSES["master"], ADDRESSES["slave02"]]
    scripts = []

    def run(script, **_):
        scripts.append(script)
        way = f"{others[0]} from {own} dev eth1 uid 0 \\    cache"
        return Result(script, 0, f"back {own} {others[0]} {way}\nback {own} {others[1]} local {others[1]} dev lo", "")

    packets._send(sight, SimpleNamespace(name="slave01", run=run), sight.nodes[1], arrived := Arrivals(), limit=3)
    assert arrived.answering == {(own, others[0]): "eth1"}
    assert [f"ip route get {other} from {own})" in scripts[0] for other in others] == [True, True]


@pytest.mark.parametrize("link", ["lo", "dummy0"])
def test_an_address_of_a_routed_node_is_on_no_interface_by_which_packets_come(sight, link):  # noqa: F811
    held = f"1: lo    inet 127.0.0.1/8 scope host lo\n9: {link}    inet {ADDRESSES['slave01']}/32 scope global {link}"
    set_answer(sight, "addresses", held)
    set_answer(sight, "links", "lo 65536 \ndummy0 1500 \neth0 1500 virtio_net")
    set_answer(sight, "reverse path", "all 1\neth0 1\nlo 1\ndummy0 1\ndropped 0")
    sight.nodes[1].arrived.leaving = {ADDRESSES["master"]: (ADDRESSES["slave01"], "eth0")}
    assert found(sight, "reverse-path") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("254 0 vda 100 0 800 50 202 0 1600 6090 3 60 140 0 0 0 0 30 20\n1004.5",
         "a write to the disk of /var/lib/docker takes 3.0 s (2 of them in 4 s)"),
        ("254 0 vda 400 0 800 80 204 0 1600 4090 3 60 140 0 0 0 0 230 20\n1004.5",
         "a write to the disk of /var/lib/docker takes 1.0 s (4 of them in 4 s)"),
        ("254 0 vda 100 0 800 50 230 0 1600 120 3 60 140 0 0 0 0 33 1820\n1004.5",
         "a flush of the disk of /var/lib/docker takes 0.6 s (3 of them in 4 s)"),
        ("254 0 vda 101 0 800 450 230 0 1600 120 3 60 140 0 0 0 0 33 920\n1004.5", "nothing found"),
        ("254 0 vda 100 0 800 50 201 0 1600 990 2 60 140 0 0 0 0 30 20\n1004.5", "nothing found"),
        ("254 0 vda 100 0 800 50 200 0 1600 90 4 60 140 0 0 0 0 30 20\n1004.5",
         "the disk of /var/lib/docker has ended none of 4 reads and writes for 4 s"),
        ("254 0 vda 100 0 800 50 200 0 1600 90 0 60 140 0 0 0 0 30 20\n1004.5", "nothing found"),
        ("1004.5", "nothing found"),
    ],
)  # fmt: skip
def test_a_disk_that_takes_seconds_is_slow(sight, after, told):  # noqa: F811
    set_answer(sight, "disks before", "254 0 vda 100 0 800 50 200 0 1600 90 2 60 140 0 0 0 0 30 20\n1000.5")
    set_answer(sight, "disks after", after)
    assert found(sight, "disk-speed")[0][2] == told


@pytest.mark.parametrize(("name", "number"), [("mapper/vg-root", 65024), ("vda", 41)])  # LVM; btrfs
def test_a_disk_is_known_by_its_number_or_its_name(sight, name, number):  # noqa: F811
    set_answer(sight, "disk", f"Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/{name} 9 1 8 33% /")
    set_answer(sight, "disk number", str(number))
    set_answer(sight, "disks after", "254 0 vda 100 0 800 50 230 0 1600 18090 0 60 140 0 0 0 0 30 20\n1004.5")
    assert found(sight, "disk-speed")[0][2].startswith("a write to the disk of /var/lib/docker takes 0.6 s")
