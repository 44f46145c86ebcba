"""What keeps a machine from being reached over SSH: ssh's own words, as OpenSSH 9.2 prints them, and keys' files."""

import subprocess

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import lab
from swarmlab.labs.existing.inventory import Inventory, Machine, refuse
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.existing.reasons import trouble_of, why_not

DENIED = "root@10.0.0.1: Permission denied (publickey,password,keyboard-interactive).\n"
CHANGED = """@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key for 10.0.0.1 has changed and you have requested strict checking.
Host key verification failed.
"""
REVOKED = """@       WARNING: REVOKED HOST KEY DETECTED!               @
ED25519 host key for 10.0.0.1 was revoked and you have requested strict checking.
Host key verification failed.
"""
UNKNOWN = """No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.
Host key verification failed.
"""
CLOSED_BY_JUMP = """kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535
"""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (DENIED, "it does not accept any of the agent's and the default keys for the user root; name the right key"),
        (CHANGED, "its host key differs from the known key"),
        (REVOKED, "its host key is marked as revoked"),
        (UNKNOWN, "its host key is not known; add it to known_hosts"),
        ("ssh: Could not resolve hostname a: Name or service not known", "its name does not resolve; mend its address"),
        (
            "ssh: Could not resolve hostname a: Temporary failure in name resolution",
            "its name cannot be looked up from here",
        ),
        ("ssh: connect to host 10.0.0.1 port 22: Connection refused", "nothing answers on port 22; start sshd there"),
        ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable", "it does not answer"),
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", "it does not answer"),
        (
            "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out",
            "what answers on port 22 is no sshd",
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22",
            "too many log in at once (MaxStartups)",
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22",
            "too many log in at once (MaxStartups)",
        ),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\nDisconnected from 10.0.0.1",
            "takes no more keys before the right one was tried (MaxAuthTries)",
        ),
        (
            "mux_client_request_session: session request failed: Session open refused by peer\n"
            "channel 0: open failed: connect failed: open failed",
            "opens no further session on a connection (MaxSessions)",
        ),
        ("channel 0: open failed: connect failed: open failed", "(MaxSessions)"),
        (
            "Unable to negotiate with 10.0.0.1 port 22: no matching key exchange method found. Their offer: x",
            "its sshd and this machine's ssh have no key exchange method in common",
        ),
        ("This account is currently not available.", "the user root may not log in there"),
        ("no program ssh", "this machine has no ssh command; install openssh-client"),
        ("timed out: the login took over 60 s", "it does not answer"),
        ("something else\nin two lines", "cannot be reached over SSH: something else in two lines"),
    ],
)
def test_failures_are_told_apart(message, told):
    line = why_not(message, Machine("10.0.0.1", "master"))
    assert line.startswith("node master (10.0.0.1): ")
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n" + CLOSED_BY_JUMP,
            "node 10.0.0.1, from the jump host gate: nothing answers on port 22",
        ),
        (
            "channel 0: open failed: connect failed: Temporary failure in name resolution\nstdio forwarding failed\n"
            + CLOSED_BY_JUMP,
            "node 10.0.0.1, from the jump host gate: its name does not resolve there",
        ),
        (
            "ssh: connect to host gate port 22: Connection refused\n" + CLOSED_BY_JUMP,
            "node 10.0.0.1: its jump host gate cannot be reached: nothing answers",
        ),
        (DENIED + CLOSED_BY_JUMP, "node 10.0.0.1: its jump host gate cannot be reached: it does not accept"),
        (DENIED, "node 10.0.0.1 (through gate): it does not accept"),
    ],
)
def test_it_is_told_whether_the_jump_host_or_the_node_fails(message, told):
    assert why_not(message, Machine("10.0.0.1", jump="gate")).startswith(told)


def test_of_a_jump_host_its_own_user_and_port_are_told():
    machine = Machine("10.0.0.1", jump="ops@gate:2299")
    line = why_not("ssh: connect to host gate port 2299: Connection refused\n" + CLOSED_BY_JUMP, machine)
    assert "nothing answers on port 2299" in line
    assert "for the user ops" in why_not(DENIED + CLOSED_BY_JUMP, machine)


CHAIN = Machine("10.0.0.1", user="ops", jump="me@[fd00::1]:2201,inner:2202")
REFUSED = "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "ssh: connect to host fd00::1 port 2201: Connection refused\n" + CLOSED_BY_JUMP * 2,
            "node 10.0.0.1: its jump host fd00::1 cannot be reached: nothing answers on port 2201",
        ),
        (
            REFUSED + CLOSED_BY_JUMP * 2,
            "node 10.0.0.1: its jump host inner:2202 cannot be reached from the jump host me@[fd00::1]:2201: nothing "
            "answers on port 2202",
        ),
        (REFUSED + CLOSED_BY_JUMP, "node 10.0.0.1, from the jump host inner:2202: nothing answers on port 22"),
        (
            "x@inner: Permission denied (publickey).\n" + CLOSED_BY_JUMP,
            "node 10.0.0.1: its jump host inner cannot be reached: it does not accept any of",
        ),
        (DENIED, "node 10.0.0.1 (through me@[fd00::1]:2201,inner:2202): it does not accept any"),
    ],
)
def test_of_a_chain_the_host_that_fails_is_told(message, told):
    assert why_not(message, CHAIN).startswith(told)


def test_a_password_of_the_inventory_is_told_where_the_key_is_not_accepted():
    line = why_not(DENIED, Machine("10.0.0.1", user="ops", unused="ansible_password"))
    assert "; ansible_password is not used, as the suite logs in by key only: ssh-copy-id ops@10.0.0.1" in line


@pytest.fixture
def keys(tmp_path):
    for name, passphrase in (("plain", ""), ("locked", "words")):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(tmp_path / name)]
        subprocess.run(made, check=True)
    (tmp_path / "open").write_bytes((tmp_path / "plain").read_bytes())
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "text").chmod(0o600)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "wrong", "mend"),
    [
        ("locked", "its key {} has a passphrase, and nobody is asked for it", "ssh-add {}, or name a key without one"),
        ("open", "ssh does not use its key {}, which others may read", "chmod 600 {}"),
        ("text", "its key {} is not a private key", "name the right file"),
        ("plain.pub", "its key {} is a public key", "name the private one"),
    ],
)
def test_a_key_that_ssh_does_not_use_is_the_reason(keys, name, wrong, mend):
    key = keys / name
    line = why_not(DENIED, Machine("10.0.0.1", key=key))
    assert wrong.format(key) in line
    assert mend.format(key) in line


def test_a_good_key_that_is_not_accepted_is_named(keys):
    assert trouble_of(keys / "plain") is None
    line = why_not(DENIED, Machine("10.0.0.1", key=keys / "plain", user="ops"))
    assert f"it does not accept the key {keys / 'plain'} for the user ops" in line


def test_every_node_that_fails_is_told_at_once(monkeypatch, tmp_path):
    class Failing:
        through = ""

        def __init__(self, machine, *_):
            self.machine = machine

        def open(self, **_):
            pass

        def log_in(self):
            if self.machine.address != "b":
                raise UsageError(f"node {self.machine}: it does not answer")

        def close(self):
            pass

    monkeypatch.setattr(lab, "Connection", Failing)
    monkeypatch.setattr(lab, "_home", lambda: tmp_path)
    tested = InventoryLab(Inventory("swarm.yaml", tuple(map(Machine, "abc"))))
    with pytest.raises(UsageError) as wrong:
        tested.connect()
    assert str(wrong.value).splitlines() == ["node a: it does not answer", "node c: it does not answer"]


def test_nothing_wrong_refuses_nothing():
    refuse([])
