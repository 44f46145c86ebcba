"""An engine that answers at first and then falls silent is waited for with a line, and not for long."""

import socketserver
import threading
import time

import pytest

from swarmlab.labs import patience
from swarmlab.labs.answering import engine_at
from swarmlab.parallel import parallel

VERSION = b'{"ApiVersion": "1.41", "MinAPIVersion": "1.12"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Engine(socketserver.StreamRequestHandler):
    """An engine that tells its version, ends the connection when asked for volumes, and answers nothing else."""

    def handle(self):
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            if b"/version" in line:
                self.wfile.write(HEAD % len(VERSION) + VERSION)
            elif b"/volumes" in line:
                return
            else:
                self.server.ended.wait(30)


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "SOON", 0.2)
    monkeypatch.setattr(patience, "MOST", 0.6)
    place = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(place, Engine) as server:
        server.ended = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lines = []
        made = patience.watch(engine_at(f"unix://{place}", timeout=1), "unix:///its", lines.append)
        made.lines = lines
        yield made
        made.close()
        server.ended.set()
        server.shutdown()


def test_a_question_that_is_not_answered_is_told_and_given_up(client):
    with pytest.raises(
        patience.EngineSilent, match=r"engine at unix:///its does not answer GET /v1.41/networks; restart"
    ):
        client.networks.list()
    assert client.lines == ["waiting for the engine at unix:///its to answer GET /v1.41/networks (at most 1 s)"]


def test_what_changes_something_keeps_its_time(client):
    begun = time.monotonic()
    with pytest.raises(patience.EngineSilent, match="POST"):
        client.networks.create("x")
    assert time.monotonic() - begun >= 1


def test_an_engine_that_ends_is_told(client, monkeypatch):
    monkeypatch.setattr(patience, "SOON", 30)
    with pytest.raises(patience.EngineSilent, match=r"ended while it was asked GET /v1.41/volumes"):
        client.volumes.list()
    assert client.lines == []


@pytest.mark.parametrize("named", ["{:064x}", "swarmlab-x-slave{:02d}"], ids=["by id", "by name"])
def test_many_that_are_waited_for_at_once_are_told_in_a_line(client, named):
    def start(number):
        with pytest.raises(patience.EngineSilent):
            client.api.start(named.format(number))

    parallel(start, range(3))
    assert len(client.lines) == 1
    assert "/containers/" in client.lines[0]
