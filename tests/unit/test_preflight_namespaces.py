"""What preflight asks in the network namespaces of engines, with programs that the tests make."""

import os
import shutil
import subprocess

import pytest

from swarmlab.preflight.balancers import QUESTION as BALANCERS
from swarmlab.preflight.balancers import balancers
from swarmlab.preflight.model import NodeView, Unknown
from swarmlab.preflight.tunnels import QUESTION as TUNNELS
from swarmlab.preflight.tunnels import tunnels
from swarmlab.preflight.unlike import QUESTION as PACKETS
from swarmlab.preflight.unlike import Dropping, dropping, facts

#: What a node is asked, by the programs that it takes.
ASKED = {"tunnels": (TUNNELS, "ip", "bridge"), "balancers": (BALANCERS, "iptables-save"), "packets": (PACKETS, "ip")}
#: Enters no namespace, and none that is gone.
NSENTER = """#!/bin/sh
N=${1#--net=}; shift
case $N in *gone*) echo "nsenter: reassociate to namespace failed: Invalid argument" >&2; exit 1;; esac
NS=$N exec "$@"
"""
PROGRAMS = {
    "id": "echo 0",
    "nsenter": "",
    "ip": 'case "$*" in *neigh*) echo "10.0.0.8 dev vxlan0 lladdr 02:08 PERMANENT";; esac',
    "bridge": 'case $NS in *broken*) echo "no socket" >&2; exit 1;; esac; echo "02:08 dev vxlan0 dst 10.9.9.9"',
    "tc": ":",
    "iptables-save": 'echo "-A INPUT -d 10.0.1.2/32 -j MARK --set-xmark 0x101/0xffffffff"',
    "iptables-nft-save": ":",
    "iptables-legacy-save": 'echo "-A INPUT -d 10.0.1.3/32 -j MARK --set-xmark 0x102/0xffffffff"',
}


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks a question where there are these namespaces, and not these programs."""

    def asked(question, *namespaces, without=(), **instead):
        programs, spaces = tmp_path / "bin", tmp_path / "netns"
        programs.mkdir()
        spaces.mkdir()
        for name in namespaces:
            (spaces / name).touch()
        for name in ("sh", "cat", "tail", "grep", "awk", "sort", "sed", "true"):
            if found := shutil.which(name):
                (programs / name).symlink_to(found)
        for name, body in {**PROGRAMS, **instead}.items():
            (programs / name).unlink(missing_ok=True)
            if name not in without:
                (programs / name).write_text(NSENTER if name == "nsenter" else f"#!/bin/sh\n{body}\n")
                (programs / name).chmod(0o755)
        environment = {**os.environ, "PATH": str(programs), "NAMESPACES": str(spaces)}
        done = subprocess.run(
            ["sh", "-c", f"{{ {question}; }} 2>&1"], capture_output=True, text=True, check=False, env=environment
        )
        return done.returncode, done.stdout.strip()

    return asked


@pytest.mark.parametrize(
    ("name", "program"), [(name, program) for name, (_, *taken) in ASKED.items() for program in (*taken, "nsenter")]
)
def test_a_program_that_is_missing_is_named_with_its_package(ask, name, program):
    without = {program, "iptables-nft-save", "iptables-legacy-save"} if program == "iptables-save" else {program}
    code, text = ask(ASKED[name][0], "1-abc", "ingress_sbox", without=without)
    assert code == 3
    with pytest.raises(Unknown, match=rf"^{name}: .*{program}: not found$") as unknown:
        NodeView("n1", answers={name: (code, text)}).read(name)
    assert unknown.value.mend.startswith("on {nodes}: apt-get install ")


def test_a_namespace_that_is_gone_meanwhile_is_left_out(ask):
    code, text = ask(TUNNELS, "1-abc", "1-gone", "lb_abc")
    assert (code, list(tunnels(text))) == (0, ["abc"])
    assert tunnels(text)["abc"].behind == {"02:08": "10.9.9.9"}


def test_a_namespace_that_does_not_tell_is_not_taken_for_empty(ask):
    code, text = ask(TUNNELS, "1-abc", "1-broken")
    assert (code, text.splitlines()[-1]) == (3, "no socket")


def test_load_balancers_that_are_gone_meanwhile_are_left_out(ask):
    code, text = ask(BALANCERS, "ingress_sbox", "lb_abc", "lb_gone", without={"iptables-nft-save"})
    assert (code, list(balancers(text))) == (0, ["ingress_sbox", "lb_abc"])
    assert balancers(text)["lb_abc"].marks == {"10.0.1.2": [0x101]}


@pytest.mark.parametrize(("listed", "marks"), [(0, ["10.0.1.3"]), (1, [])])
def test_marks_that_are_made_by_iptables_legacy_count_too(ask, listed, marks):
    code, text = ask(BALANCERS, "lb_abc", grep=f"exit {listed}")
    assert (code, list(balancers(text)["lb_abc"].marks)) == (0, marks)


#: As nft 1.0.6 lists them.
FIREWALL = """table inet firewall {
\tset bad {
\t\ttype ipv4_addr
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\ttcp dport 22 accept
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tct state established,related accept
\t}

\tchain allowed {
\t\toifname "docker_gwbridge" accept
\t}
}"""
FORWARD = "type filter hook forward priority filter; policy drop;"
ONLY_ANSWERS = "\t\tct state established,related accept\n\t}\n\n\tchain allowed"


@pytest.mark.parametrize(
    "rules",
    [
        "ct state established,related accept",
        "ct state { established, related } counter packets 4 bytes 240 accept",
        "ct state vmap { established : accept, related : accept, invalid : drop }",
        'ct state related,established accept comment "and accept no more"',
        "meta l4proto icmp accept\n\t\ticmp type echo-request accept",
        "jump empty\n\t}\n\n\tchain empty {\n\t\tcounter packets 0 bytes 0 drop",
        "counter packets 0 bytes 0",
    ],
)
def test_a_chain_that_drops_what_is_forwarded_is_named(ask, rules):
    asked = FIREWALL.replace(ONLY_ANSWERS, f"\t\t{rules}\n\t}}\n\n\tchain allowed")
    code, text = ask(PACKETS, nft=f"cat <<'RULES'\n{asked}\nRULES")
    assert (code, list(dropping(text))) == (0, [Dropping("inet firewall", "forward", FORWARD)])
    assert {fact for fact in facts(text) if "nft" in fact} == {
        f"the node: nft's table inet firewall: type filter hook {hook} priority filter; policy drop;"
        for hook in ("input", "forward")
    }


@pytest.mark.parametrize(
    ("gone", "put"),
    [
        (ONLY_ANSWERS, "\t\tjump allowed\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, "\t\tct status dnat accept\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, "\t\tct state new,established accept\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, "\t\tct state vmap { established : accept, new : jump allowed }\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, "\t\tip saddr {\n\t\t\t10.0.0.0/8 } accept\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, f"{250 * 'counter' + chr(10)}\t}}\n\n\tchain allowed".replace("counter", "\t\tcounter\n")),
        (ONLY_ANSWERS, "\t\tmeta l4proto { icmp, tcp, udp } accept\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, "\t\tiifname . oifname vmap @allowed\n\t}\n\n\tchain allowed"),
        (ONLY_ANSWERS, f"\t\tip saddr {{ {', '.join(['192.168.100.100'] * 25)} }} accept\n\t}}\n\n\tchain allowed"),
        ("\tset bad", "\tflags dormant\n\n\tset bad"),
        (FORWARD, FORWARD.replace("drop", "accept")),
        ("table inet firewall", "table inet firewalld"),  # which another check tells
        ("table inet firewall", "table ip filter"),  # iptables lists it
        ("table inet firewall", "table ip6 firewall"),
        ("table inet firewall", "table ip docker-bridges"),
    ],
)
def test_a_chain_that_may_let_traffic_through_is_not_named(ask, gone, put):
    assert gone in FIREWALL
    code, text = ask(PACKETS, nft=f"cat <<'RULES'\n{FIREWALL.replace(gone, put)}\nRULES")
    assert (code, list(dropping(text))) == (0, [])
