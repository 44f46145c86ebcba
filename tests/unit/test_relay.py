"""Connections to a node's engine through the outer engine: what runs there is the process itself, behind a double."""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import docker
import pytest

from swarmlab import host
from swarmlab.labs import pieces, relay
from swarmlab.labs.relay import Relay
from swarmlab.wait import wait
from tests.unit.execs import Outer


class Engine:
    """What listens on a node: it sends back what it gets, and at the end says how much that was."""

    def __init__(self, path):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.silent = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            one, _ = self.listening.accept()
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one):
        got = 0
        while not self.silent and (block := one.recv(65536)):
            got += len(block)
            one.sendall(block)
        if self.silent:
            threading.Event().wait()
        with contextlib.suppress(BrokenPipeError):
            one.sendall(b"%d" % got)
        one.close()


@pytest.fixture
def folder():
    """A folder whose name is short: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="relay-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture(autouse=True)
def engine(folder, monkeypatch):
    monkeypatch.setattr(relay, "_ENGINE", str(folder / "engine.sock"))
    monkeypatch.setattr(host, "run_folder", lambda: folder)
    monkeypatch.setattr(relay, "_AGAIN", 0.01)
    return Engine(folder / "engine.sock")


@pytest.fixture
def outer():
    made = Outer()
    yield made
    for process in made.started:
        process.kill()
        process.wait()


@pytest.fixture
def made(outer):
    with Relay(lambda: outer) as one:
        yield one


def connected(made):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(20)
    one.connect(made.url.removeprefix("unix://"))
    return one


def said(one, sent):
    """Send data, end that direction, and return all that comes."""

    def send():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    got = b""
    while block := one.recv(65536):
        got += block
    one.close()
    return got


def test_what_is_sent_arrives_and_each_direction_ends_by_itself(made):
    for sent in (b"", b"a", os.urandom(5_000_000)):
        assert said(connected(made), sent) == sent + b"%d" % len(sent)


def test_many_connections_go_over_one_process_on_the_node(made, outer):
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: said(connected(made), b"%d" % n * 1000)}))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: b"%d" % n * 1000 + b"%d" % len(b"%d" % n * 1000) for n in range(20)}
    assert len(outer.started) == 1


def test_a_connection_whose_reader_is_slow_holds_up_no_other(made):
    slow = connected(made)
    sender = threading.Thread(target=lambda: slow.sendall(bytes(20_000_000)), daemon=True)
    sender.start()
    assert said(connected(made), b"quick") == b"quick5"
    assert sender.is_alive()
    left = 20_000_000
    while left:
        left -= len(slow.recv(65536))
    slow.close()


def test_where_no_engine_listens_a_connection_is_closed(made, folder):
    (folder / "engine.sock").unlink()
    assert connected(made).recv(1) == b""


def test_a_node_that_does_not_run_closes_connections_and_is_reached_when_it_runs(made, outer):
    outer.refusal = "container 4f is not running"
    assert connected(made).recv(1) == b""
    outer.refusal = ""
    assert said(connected(made), b"a") == b"a1"
    outer.started[-1].kill()
    outer.started[-1].wait()
    wait(lambda: _answers(made), "the node to be reached anew")
    assert len(outer.started) == 2


def _answers(made):
    try:
        return said(connected(made), b"b") == b"b1"
    except OSError:
        return False


def test_a_node_that_is_halted_keeps_connections_waiting_until_it_goes_on(made, outer):
    outer.refusal = "Container 4f is paused, unpause the container before exec"
    one = connected(made)
    one.settimeout(0.2)
    with pytest.raises(TimeoutError):
        one.recv(1)
    outer.refusal = ""
    one.settimeout(20)
    assert said(one, b"a") == b"a1"


def test_an_engine_client_speaks_over_it(made):
    with pytest.raises(docker.errors.DockerException):  # the double is no engine, and says so
        docker.DockerClient(base_url=made.url, version="auto", timeout=5)


def test_the_process_ends_with_the_relay_and_nothing_is_left(outer):
    with Relay(lambda: outer) as one:
        assert said(connected(one), b"a") == b"a1"
        socket_file = Path(one.url.removeprefix("unix://"))
        assert socket_file.is_socket()
    assert outer.started[0].wait(timeout=20) == 0
    assert not socket_file.exists()


def test_folders_of_processes_that_were_killed_are_removed(outer, folder):
    script = "import os, pathlib, sys; from swarmlab import host; from swarmlab.labs import relay; "
    script += "host.run_folder = lambda: pathlib.Path(sys.argv[1]); relay.Relay(lambda: None); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    assert len(list((folder / "relays").iterdir())) == 1
    with Relay(lambda: outer):
        [own] = (folder / "relays").iterdir()
        assert own.name.startswith(f"{os.getpid()}-")
    assert not (folder / "relays").exists()


def test_an_event_of_a_connection_that_another_event_has_closed_is_let_go():
    with selectors.DefaultSelector() as selector:
        ends = [socket.socketpair() for _ in range(2)]
        for near, far in ends:
            selector.register(near, selectors.EVENT_READ)
            far.send(b"x")
        first, second = (key for key, _ in selector.select(1))
        assert pieces.is_watched(selector, first)
        selector.unregister(second.fileobj)
        second.fileobj.close()
        assert not pieces.is_watched(selector, second)
        for pair in ends:
            for end in pair:
                end.close()
