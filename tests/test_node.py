import socket
import threading
import time

import pytest

from swarmlab import node as nodes
from swarmlab.errors import LabError, NoAnswer
from swarmlab.node import Node

ANSWER = b'{"ApiVersion": "1.41", "Version": "20.10.24"}'


class Machine(Node):
    stop = start = kill = freeze = thaw = _log_command = lambda _: None


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A node whose engine answers as long as `talks` is set: a socket, as the lab's engines have."""
    monkeypatch.setattr(nodes, "_GREETING", 4)
    monkeypatch.setattr(nodes, "_LATELY", -1)  # greet before every question
    monkeypatch.setattr(nodes, "scaled", lambda seconds: min(seconds, 1))
    talks = threading.Event()
    talks.set()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "engine"))
    server.listen(20)

    def answer(connection):
        with connection:
            while connection.recv(65536) and talks.is_set():
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
                connection.sendall(head.encode() + ANSWER)
            time.sleep(60)  # silent for longer than anybody waits

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    machine = Machine("slave01", "192.0.2.1", None, f"unix://{tmp_path / 'engine'}")
    machine.talks = talks
    yield machine
    server.close()


def test_an_engine_that_was_frozen_is_given_up_soon(engine):
    assert engine.ask("GET", "/version")["Version"] == "20.10.24"
    engine.talks.clear()
    start = time.monotonic()
    with pytest.raises(NoAnswer, match=r"engine of slave01 does not answer.*timed out"):
        engine.ask("GET", "/version")
    assert time.monotonic() - start < 30
    engine.talks.set()
    assert engine.ask("GET", "/version")


def test_an_engine_that_is_not_there_is_the_labs_failure(tmp_path):
    with pytest.raises(LabError, match="engine of slave02 does not answer"):
        Machine("slave02", "192.0.2.2", None, f"unix://{tmp_path / 'none'}").ask("GET", "/version")


class Shell:
    """Stands for testinfra's view over SSH, whose error for exit code 255 is that of a lost connection."""

    def __init__(self, *, lost):
        self._lost = lost

    def run(self, command):
        if self._lost or command != "true":
            raise RuntimeError(Ended(255, command))
        return Ended(0, command)


class Ended:
    def __init__(self, rc, command):
        self.rc, self.command = rc, command
        self.stdout, self.stderr = "", "Permission denied (publickey)."


def test_a_command_that_ends_as_ssh_does_is_no_lost_connection():
    done = Machine("slave01", "192.0.2.1", Shell(lost=False), "").run("ssh elsewhere")
    assert (done.code, done.err) == (255, "Permission denied (publickey).")
    with pytest.raises(LabError, match="slave01 cannot be reached"):
        Machine("slave01", "192.0.2.1", Shell(lost=True), "").run("ssh elsewhere")
