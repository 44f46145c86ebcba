"""Commands in containers of a node, asked of a double of the node's engine."""

import json
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

import pytest

from swarmlab.cluster import deadline
from swarmlab.cluster.node import Node
from swarmlab.cluster.streams import Streams
from swarmlab.errors import Overdue
from swarmlab.evidence import recording


class Machine(Node):
    stop = start = kill = freeze = thaw = _log_command = lambda _: None


def piece(stream, text):
    return struct.pack(">BxxxI", stream, len(text)) + text


@pytest.fixture
def engine(tmp_path):
    """An engine that prints `printed` with a pause after each block, and then tells `code`; `refused` by path."""

    class Engine(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        printed, pause, code, refused, asked = (), 0, 0, {}, []

        def address_string(self):
            return "here"

        def log_message(self, *_):
            pass

        def answer(self, status, raw):
            body = json.dumps(raw).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", len(body))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path.endswith("/exec/e1/json"):
                self.answer(200, {"ExitCode": self.code})
            else:
                self.answer(200, {"ApiVersion": "1.41", "Version": "20.10.24"})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.asked.append((self.path.partition("1.41")[2], body))
            for end, (status, message) in self.refused.items():
                if self.path.endswith(end):
                    self.answer(status, {"message": message})
                    return
            if self.path.endswith("/exec"):
                self.answer(201, {"Id": "e1"})
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.docker.raw-stream")
            self.end_headers()
            self.close_connection = True
            for block in self.printed:
                self.wfile.write(block)
                time.sleep(self.pause)

    server = ThreadingUnixStreamServer(str(tmp_path / "engine"), Engine)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Engine.node = Machine("slave01", "192.0.2.1", None, f"unix://{tmp_path / 'engine'}")
    Engine.asked = []
    yield Engine
    server.shutdown()
    server.server_close()


def test_a_command_has_its_code_and_both_its_outputs_and_the_record_has_the_command(engine):
    whole = piece(1, b"one\n") + piece(2, b"wrong\n") + piece(1, b"\xff\n")
    engine.printed, engine.code = (whole[:3], whole[3:11], whole[11:]), 3
    with recording() as kept:
        done = engine.node.execute("c1", "echo 'a b'")
    assert (done.code, done.out, done.err, done.node) == (3, "one\n�\n", "wrong\n", "slave01")
    assert engine.asked[0] == (
        "/containers/c1/exec",
        {"AttachStdout": True, "AttachStderr": True, "Cmd": ["sh", "-c", "echo 'a b'"]},
    )
    assert kept.text().count("slave01") == 1
    assert "docker exec c1 sh -c 'echo '\"'\"'a b'\"'\"''\n    exit 3" in kept.text()


def test_a_container_that_is_not_there_is_told_as_the_command_tells_it(engine):
    engine.refused = {"/exec": (404, "No such container: c1")}
    done = engine.node.execute("c1", "true")
    assert (done.code, done.out, done.err) == (1, "", "Error response from daemon: No such container: c1")
    engine.refused = {"/start": (400, "no such file")}
    assert engine.node.execute("c1", "true").code == 126


def test_an_engine_that_is_not_there_fails_the_command(tmp_path):
    done = Machine("slave02", "192.0.2.2", None, f"unix://{tmp_path / 'none'}").execute("c1", "true")
    assert done.code == 1
    assert "engine of slave02 does not answer" in done.err


def test_a_command_that_prints_for_ever_ends_with_its_time(engine):
    engine.printed, engine.pause = [piece(1, b"more\n")] * 300, 0.05
    assert engine.node.ask("GET", "/version")
    with deadline.within(3), pytest.raises(Overdue, match="container of slave01 did not end in time") as late:
        engine.node.execute("c1", "ping master")
    assert late.value.printed.startswith("more\nmore\n")
    engine.printed, engine.pause = [b"", piece(1, b"late")], 5
    start = time.monotonic()
    with deadline.within(1), pytest.raises(Overdue):
        engine.node.execute("c1", "sleep 60")
    assert time.monotonic() - start < 4


def test_a_stream_is_taken_apart_wherever_it_is_cut():
    whole = piece(1, b"out") + piece(2, b"err") + piece(1, b"") + piece(1, b"put")
    for cut in range(len(whole)):
        streams = Streams()
        streams.add(whole[:cut])
        streams.add(whole[cut:])
        assert (streams.out, streams.err, streams.rest) == (b"output", b"err", b"")
