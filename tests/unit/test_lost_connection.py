"""A connection to a machine that has ended is made again; an engine that has ended is not mistaken for that."""

import contextlib
import http.server
import socket
import socketserver
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmlab.cluster import deadline
from swarmlab.errors import LabError, NoAnswer
from swarmlab.evidence import recording
from swarmlab.labs.existing import node as existing
from swarmlab.labs.existing.inventory import Machine
from swarmlab.labs.existing.node import Connection, SshNode
from swarmlab.parallel import parallel

ANSWER = b'{"ApiVersion": "1.41", "Id": "made"}'


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        return super().get_request()[0], ("far", 0)


class Ssh:
    """Stands for a connection that forwards a socket to an engine, and for that engine."""

    def __init__(self, config):
        self.config, self.host, self.server, self.master = config, "n0", None, None
        self.works, self.opened, self.asked = True, 0, []
        self.drops = ""
        self.begin()

    def control(self, verb, *options):
        if verb == "forward" and self.server is None:
            path = options[1].partition(":")[0]
            Path(path).unlink(missing_ok=True)  # StreamLocalBindUnlink
            self.server = Server(path, self._answer(self))
            threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return True

    def open(self):
        self.opened += 1
        if self.works:
            self.begin()
        return "" if self.works else "Connection timed out"

    def begin(self):
        self.master = socket.socket(socket.AF_UNIX)
        self.master.bind(str(self.config.with_name("n0.ssh")))  # which fails where ssh would do without
        self.master.listen(64)

    def close(self):
        self.end()

    def end(self):
        """End as ssh does that hears nothing: its socket stays, and nobody listens there."""
        self.master.close()
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def testinfra(self):
        backend = SimpleNamespace(run_ssh=None, get_command=None, quote=None, result=None)
        return SimpleNamespace(backend=backend)

    @staticmethod
    def _answer(ssh):
        class Answers(http.server.BaseHTTPRequestHandler):
            log_message = lambda *_: None  # noqa: E731

            def do_GET(self):
                ssh.asked.append(f"{self.command} {self.path.rpartition('/')[2]}")
                if ssh.drops and ssh.drops in self.path:
                    return  # the connection ends without an answer
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(ANSWER)))
                self.end_headers()
                self.wfile.write(ANSWER)

            do_POST = do_GET

        return Answers


@pytest.fixture
def node(tmp_path, monkeypatch):
    connection = Connection(Machine("10.0.0.1", name="slave01", user="root"), 0, tmp_path / "ssh_config")
    connection.ssh = ssh = Ssh(tmp_path / "ssh_config")
    assert connection._forward()
    connection.made = 1
    monkeypatch.setattr(existing, "_AGAIN", 0.0)
    node = SshNode(connection, "slave01", "10.0.0.1")
    assert node.ask("GET", "/version")
    ssh.asked.clear()
    yield node
    ssh.works = False
    connection.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "/nodes"), ("POST", "/services/create")])
def test_a_connection_that_has_ended_is_made_again(node, method, path):
    ssh = node.connection.ssh
    ssh.end()
    with recording() as journal:
        assert node.ask(method, path)["Id"] == "made"
    assert (ssh.opened, ssh.asked.count(f"{method} {path.rpartition('/')[2]}")) == (1, 1)
    assert "had ended, and is made again" in journal.text()
    node.greet()
    assert ssh.opened == 1


def test_many_that_find_it_ended_make_it_again_once(node):
    node.connection.ssh.end()
    answers = parallel(lambda _: node.ask("GET", "/nodes")["Id"], range(10))
    assert answers == ["made"] * 10
    assert node.connection.ssh.opened == 1


def test_an_engine_that_has_ended_is_told_and_nothing_is_made_again(node):
    ssh = node.connection.ssh
    ssh.drops = "nodes"
    for method in ("GET", "POST"):
        with pytest.raises(NoAnswer, match=f"does not answer {method} /nodes"):
            node.ask(method, "/nodes")
    assert ssh.opened == 0
    assert [asked for asked in ssh.asked if "nodes" in asked] == ["GET nodes", "POST nodes"]


def test_what_may_have_come_to_the_engine_is_not_sent_twice(node):
    ssh = node.connection.ssh
    ssh.drops = "create"
    ssh.master.close()  # it ends while the engine is at work
    with pytest.raises(NoAnswer, match="does not answer POST /services/create"):
        node.ask("POST", "/services/create")
    assert (ssh.opened, ssh.asked.count("POST create")) == (1, 1)
    ssh.drops = ""
    assert node.ask("GET", "/nodes")


def test_a_connection_that_cannot_be_made_is_not_tried_all_the_time(node, monkeypatch):
    monkeypatch.setattr(existing, "_AGAIN", 60.0)
    ssh = node.connection.ssh
    ssh.works = False
    ssh.end()
    with recording() as journal:
        for _ in range(5):
            with pytest.raises(NoAnswer):
                node.ask("GET", "/nodes")
    assert ssh.opened == 1
    assert "cannot be made again: Connection timed out" in journal.text()


@pytest.mark.parametrize("works", [True, False])
def test_of_a_command_whose_connection_ends_meanwhile_nothing_is_known(node, monkeypatch, works):
    ssh = node.connection.ssh
    outcome = SimpleNamespace(rc=255, stdout_bytes=b"", stderr_bytes=b"")
    monkeypatch.setattr("swarmlab.cluster.deadline.run", lambda *_: outcome)
    assert node.look("false").code == 255, "the connection is whole: it is the command's own"
    ssh.works = works
    ssh.end()
    with pytest.raises(LabError, match="the connection to slave01 ended while a command ran there"):
        node.look("false")
    assert ssh.opened == 1
    assert existing._listens(node.connection.engine_socket) is works


def test_whether_somebody_listens_is_told_at_once_where_many_wait(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as waiting:
        server.bind(str(tmp_path / "full"))
        server.listen(0)
        for _ in range(2):
            one = waiting.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(str(tmp_path / "full"))
        assert existing._listens(tmp_path / "full")


def test_a_socket_to_the_engine_that_an_interruption_kept_from_being_made_is_made(node):
    ssh = node.connection.ssh
    ssh.server.shutdown()
    ssh.server.server_close()
    ssh.server = None
    assert node.ask("GET", "/nodes")
    assert ssh.opened == 0


def test_one_who_has_no_time_keeps_nobody_from_making_it_again(node, monkeypatch):
    monkeypatch.setattr(existing, "_AGAIN", 60.0)
    ssh = node.connection.ssh
    ssh.works = False
    ssh.end()
    with deadline.within(1), pytest.raises(NoAnswer):
        node.ask("GET", "/nodes")
    ssh.works = True
    assert node.ask("GET", "/nodes")


def test_a_connection_that_was_closed_stays_closed(node):
    ssh = node.connection.ssh
    node.connection.close()
    with contextlib.suppress(NoAnswer):
        node.ask("GET", "/nodes")
    assert ssh.opened == 0
