"""Logins at many machines: few at once through one jump host, and what sshd drops is tried again."""

import threading

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import lab, logins
from swarmlab.labs.existing.inventory import Inventory, Machine
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.existing.reasons import is_dropped
from swarmlab.labs.existing.routes import Route

BY_JUMP = """kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535
"""
DROPPED = "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.9 port 22\n"


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (DROPPED, True),
        (DROPPED + BY_JUMP, True),
        ("kex_exchange_identification: banner line 0: Exceeded MaxStartups", True),
        ("Connection closed by 10.0.0.9 port 22", True),
        ("", False),
        ("ssh: connect to host gate port 22: Connection refused\n" + BY_JUMP, False),
        ("channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n" + BY_JUMP, False),
        ("root@10.0.0.1: Permission denied (publickey).\nConnection closed by 10.0.0.9 port 22", False),
        ("kex_exchange_identification: banner line 0: Not allowed at this time", False),
    ],
)
def test_what_sshd_drops_is_told_from_what_it_refuses(message, dropped):
    assert is_dropped(message) is dropped


class Ssh:
    """Prints the messages in turn; then it is open."""

    def __init__(self, *messages):
        self.messages, self.tries = list(messages), 0

    def open(self):
        self.tries += 1
        return self.messages.pop(0) if self.messages else ""


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(logins, "_PAUSE", 0.01)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("messages", "told", "tries"),
    [
        ([], "", 1),
        ([DROPPED, DROPPED], "", 3),
        ([DROPPED] * 5, DROPPED, 3),
        (["Permission denied"], "Permission denied", 1),
    ],
)
def test_a_login_that_is_dropped_is_tried_again(messages, told, tries):
    ssh = Ssh(*messages)
    assert (logins.log_in(ssh, "slave01"), ssh.tries) == (told, tries)


@pytest.fixture
def connections(monkeypatch, tmp_path):
    """How many machines a lab logs in at while it logs in at another, once for each."""
    counting, enough, now, seen = threading.Lock(), threading.Event(), [], []

    class Connection:
        def __init__(self, machine, _place, _config, through):
            self.machine, self.through = machine, through

        def log_in(self):
            with counting:
                now.append(self)
                seen.append(len(now))
                if len(now) == 5:
                    enough.set()
            # Those that wait for a turn never are so many.
            enough.wait(0.05 if self.through else 10)
            with counting:
                now.remove(self)

        def open(self, **_):
            raise UsageError("that is enough")

        def close(self):
            pass

    monkeypatch.setattr(lab, "Connection", Connection)
    monkeypatch.setattr(lab, "_home", lambda: tmp_path)
    return seen


@pytest.mark.parametrize("jump", ["gate", "none"])
def test_few_logins_go_through_a_jump_host_at_once(connections, jump):
    machines = tuple(Machine(f"10.0.0.{number}", jump=jump) for number in range(1, 13))
    with pytest.raises(UsageError, match="that is enough"):
        InventoryLab(Inventory("swarm.yaml", machines)).connect()
    assert len(connections) == 12
    assert (max(connections) <= 4) is (jump == "gate")


def test_ways_that_begin_alike_are_known():
    jumps = ({"HostName": "gate", "Port": 22}, {"HostName": "inner", "Port": 2222})
    assert (
        Route(Machine("10.0.0.1"), {}, jumps).through == Route(Machine("10.0.0.2"), {}, jumps[:1]).through == "gate 22"
    )
    assert Route(Machine("10.0.0.1"), {"ProxyCommand": "nc -X connect %h %p"}).through == "nc -X connect %h %p"
    assert Route(Machine("10.0.0.1"), {}).through == ""
