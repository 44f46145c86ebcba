"""Preflight's check of what encrypted networks send; the kernel of a container lab's host may lack IPsec."""

import itertools
import subprocess

import pytest

from swarmlab.preflight.secrecy import QUESTION
from tests.unit.test_preflight import ADDRESSES, found, network, set_answer, sight  # noqa: F401

#: As ip of iproute2 lists an association, and one of another program.
LISTED = """src {0} dst {1}
\tproto esp spi 0x6e5b3f1c(1851473692) reqid {2}(0x00d0c4e3) mode transport
\treplay-window 0 seq 0x00000000 flag  (0x00000000)
\taead rfc4106(gcm(aes)) 0x6b6579 (160 bits) 64
\tanti-replay context: seq 0x0, oseq 0x7, bitmap 0x00000000
\tsel src 0.0.0.0/0 dst 0.0.0.0/0 uid 0
\tlifetime config:
\t  limit: soft (INF)(bytes), hard (INF)(bytes)
\t  limit: soft (INF)(packets), hard (INF)(packets)
\t  expire add: soft 0(sec), hard 0(sec)
\tlifetime current:
\t  1234(bytes), 7(packets)
\t  add 2026-11-25 03:00:00 use 2026-11-25 03:00:05
\tstats:
\t  replay-window 0 replay 0 failed 0
"""
NAMES = list(ADDRESSES)
BACK = {address: name for name, address in ADDRESSES.items()}


@pytest.fixture
def secret(sight):  # noqa: F811
    """A network that encrypts, with a task on each node, and nothing sent in it yet."""
    sight.networks = [network("secret", "10.0.9.0/24", Options={"encrypted": ""})]
    sight.services = [{"ID": "web", "Spec": {"Name": "web"}}]
    sight.tasks = [
        {
            "ID": f"task{place}",
            "ServiceID": "web",
            "NodeID": f"id-{name}",
            "DesiredState": "running",
            "Status": {"State": "running", "Timestamp": "2026-11-25T03:00:00Z"},
            "UpdatedAt": "2026-11-25T03:00:00Z",
            "NetworksAttachments": [{"Network": {"ID": "id-secret"}, "Addresses": [f"10.0.9.{place}/24"]}],
        }
        for place, name in enumerate(NAMES)
    ]
    for place, name in enumerate(NAMES):
        entries = "".join(
            f"\n10.0.9.{other} dev vxlan0 lladdr 02:0{other} PERMANENT\n02:0{other} dev vxlan0 dst {ADDRESSES[far]}"
            for other, far in enumerate(NAMES)
            if far != name
        )
        set_answer(sight, "tunnels", f"network id-secret{entries}", node=place)
    listen(sight)
    return sight


def listen(sight, lost=(), sent=(5, 9), got=(3, 8)):  # noqa: F811
    """Let each node have sent and got some packets before and after it was looked at, but for what is lost."""
    for place, name in enumerate(NAMES):
        own = ADDRESSES[name]
        for question, out, came in zip(("ipsec before", "ipsec after"), sent, got, strict=True):
            lines = []
            for other in (address for address in BACK if address != own):
                arrives = 0 if (BACK[other], name) in lost else came
                lines += [f"{own} {other} 0xa{place} {out}", f"{other} {own} 0xb{place} {arrives}"]
            set_answer(sight, question, "\n".join(lines), node=place)


def test_what_arrives_and_what_is_not_sent_is_well(secret):
    assert found(secret, "tunnels") == [("ok", (), "nothing found")]
    listen(secret, sent=(0, 0), got=(0, 0))
    assert found(secret, "tunnels") == [("ok", (), "nothing found")]


@pytest.mark.parametrize(
    ("sent", "seen"),
    [((5, 9), True), ((5, 6), False), ((0, 9), False), ((9, 1), False)],  # idle, begins now, has other keys since
)
def test_esp_that_does_not_arrive_is_named_by_pairs(secret, sent, seen):
    lost = [pair for pair in itertools.permutations(NAMES, 2) if pair[1] == "slave01"]
    listen(secret, lost, sent)
    told = found(secret, "tunnels")
    summary = "ESP (IP protocol 50) does not arrive: master -> slave01, slave02 -> slave01"
    assert told == [("error", ("slave01",), summary) if seen else ("ok", (), "nothing found")]


def test_keys_that_changed_meanwhile_are_not_held_against_each_other(secret):
    listen(secret, [("master", "slave01")])
    text = secret.nodes[0].answers["ipsec after"][1].replace("0xa0", "0xc0")
    set_answer(secret, "ipsec after", text, node=0)
    assert found(secret, "tunnels") == [("ok", (), "nothing found")]


def test_a_node_whose_kernel_has_no_associations_is_named(secret):
    for question in ("ipsec before", "ipsec after"):
        set_answer(secret, question, "")
    told = "the kernel has no IPsec association with master, slave02, which encrypted networks need"
    assert found(secret, "tunnels") == [("error", ("slave01",), told)]
    secret.members[1]["UpdatedAt"] = "2026-11-25T03:09:40Z"  # its engine has just come back
    assert found(secret, "tunnels") == [("ok", (), "nothing found")]


@pytest.mark.parametrize("change", ["plain", "no task", "young task", "not seen", "address not read"])
def test_associations_are_expected_only_between_nodes_with_tasks_in_an_encrypted_network(secret, change):
    for question in ("ipsec before", "ipsec after"):
        set_answer(secret, question, "")
    if change == "plain":
        secret.networks[0]["Options"] = {}
    elif change == "no task":
        secret.tasks.pop(1)
    elif change == "young task":
        secret.tasks[1]["UpdatedAt"] = "2026-11-25T03:09:55Z"
    elif change == "not seen":  # as of an engine in a network namespace of its own
        set_answer(secret, "tunnels", "")
    else:
        set_answer(secret, "member", "Permission denied", code=1, node=0)
        set_answer(secret, "member", "Permission denied", code=1, node=2)
    assert found(secret, "tunnels") == [("ok", (), "nothing found")]


@pytest.mark.parametrize("question", ["ipsec before", "ipsec after"])
def test_a_node_that_does_not_list_its_associations_is_unknown(secret, question):
    set_answer(secret, question, "ip does not list them", code=3)
    ((level, nodes, _),) = found(secret, "tunnels")
    assert (level, nodes) == ("unknown", ("slave01",))


def test_the_keys_stay_on_the_node(tmp_path):
    listed = LISTED.format("10.1.0.1", "10.1.0.2", 13681891) + LISTED.format("10.1.0.2", "10.1.0.1", 13681891)
    listed += LISTED.format("10.1.0.1", "10.1.0.9", 42)
    program = tmp_path / "ip"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
    program.chmod(0o755)
    (tmp_path / "netlink").write_text("sk Eth Pid\n0 0 0\n0 6 0\n")
    script = QUESTION.replace("/proc/net/netlink", str(tmp_path / "netlink")).replace("$(id -u) = 0", "1")

    def ask():
        command = ["sh", "-c", f"PATH={tmp_path}:$PATH; {script}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert ask().stdout.splitlines() == [
        "10.1.0.1 10.1.0.2 0x6e5b3f1c(1851473692) 7",
        "10.1.0.2 10.1.0.1 0x6e5b3f1c(1851473692) 7",
    ]
    program.write_text("#!/bin/sh\nexit 1\n")
    assert ask().returncode == 3
    (tmp_path / "netlink").write_text("sk Eth Pid\n0 0 0\n")
    assert (ask().returncode, ask().stdout) == (0, "")
