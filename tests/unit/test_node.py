import logging
import socket
import threading
import time

import pytest
import testinfra

from suites.support.commands import accepted, in_sequence
from swarmlab.cluster import node as nodes
from swarmlab.cluster.node import OUT_OF_SEQUENCE, REVISIONS, Node, Result, look_for, nodes_where, oldest
from swarmlab.errors import EngineRefused, LabError, NoAnswer
from swarmlab.needs import FEATURES, Offers

ANSWER = b'{"ApiVersion": "1.41", "Version": "20.10.24"}'


class Machine(Node):
    stop = start = kill = freeze = thaw = _log_command = lambda _: None


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A node whose engine answers as long as `talks` is set: a socket, as the lab's engines have."""
    monkeypatch.setattr(nodes, "GREETING", 4)
    monkeypatch.setattr(nodes, "LATELY", -1)  # greet before every question
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


def test_nodes_for_which_something_holds_come_in_their_order():
    machines = [Machine(name, "192.0.2.1", None, "unix:///none") for name in ("one", "two", "three")]
    assert nodes_where(lambda node: node.name != "two", machines) == [machines[0], machines[2]]


def test_what_the_oldest_engine_knows_is_known_everywhere(monkeypatch):
    machines = [Machine(name, "192.0.2.1", None, "unix:///none") for name in ("one", "two", "three", "four")]
    known = {"one": "1.41", "two": "1.9", "three": "1.37", "four": "1.9"}
    monkeypatch.setattr(Machine, "ask", lambda node, *_: {"ApiVersion": known[node.name]})
    assert oldest(machines) is machines[1]


def test_an_engine_that_was_frozen_is_given_up_soon(engine):
    assert engine.ask("GET", "/version")["Version"] == "20.10.24"
    engine.talks.clear()
    start = time.monotonic()
    with pytest.raises(NoAnswer, match=r"engine of slave01 does not answer.*timed out"):
        engine.ask("GET", "/version")
    assert time.monotonic() - start < 30
    engine.talks.set()
    assert engine.ask("GET", "/version")


def test_an_engine_that_hangs_holds_up_no_other(engine, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen(1)
        hanging = Machine("slave02", "192.0.2.2", None, f"unix://{tmp_path / 'silent'}")
        refused = []

        def ask():
            try:
                hanging.ask("GET", "/version")
            except NoAnswer:
                refused.append(time.monotonic())

        asking = threading.Thread(target=ask)
        asking.start()
        asked, _ = silent.accept()
        with asked:
            assert engine.ask("GET", "/version")
            answered = time.monotonic()
            asking.join()
    assert answered < refused[0]


def test_an_engine_that_is_not_there_is_the_labs_failure(tmp_path):
    with pytest.raises(LabError, match="engine of slave02 does not answer"):
        Machine("slave02", "192.0.2.2", None, f"unix://{tmp_path / 'none'}").ask("GET", "/version")


def test_what_commands_print_is_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("testinfra").setLevel(logging.DEBUG)  # as its plugin does with pytest -vv
    assert testinfra.get_host("local://").run("echo blue-horse-77").rc == 0
    assert "blue-horse-77" not in caplog.text


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
        self.stdout_bytes, self.stderr_bytes = b"", b"Permission denied (publickey)."


def test_a_command_that_ends_as_ssh_does_is_no_lost_connection():
    done = Machine("slave01", "192.0.2.1", Shell(lost=False), "").run("ssh elsewhere")
    assert (done.code, done.err) == (255, "Permission denied (publickey).")
    with pytest.raises(LabError, match="slave01 cannot be reached"):
        Machine("slave01", "192.0.2.1", Shell(lost=True), "").run("ssh elsewhere")


class Prints:
    """Stands for testinfra's view of a machine whose every command prints the same bytes."""

    def __init__(self, printed):
        self._printed = printed

    def run(self, command):
        done = Ended(0, command)
        done.stdout_bytes = self._printed
        return done


def test_output_that_is_no_text_is_read_all_the_same():
    certificate = b"-----BEGIN CERTIFICATE-----\n"
    done = Machine("slave01", "192.0.2.1", Prints(b"\0\0\x12\4\xff\xff" + certificate), "").run("openssl s_client")
    assert done.out.endswith(certificate.decode())


SOCKETS = """\
State      Recv-Q Send-Q        Local Address:Port          Peer Address:Port
LISTEN     0      128            192.168.56.2:2377                     *:*
LISTEN     0      128          127.0.0.53%lo:2377                     *:*
LISTEN     0      128                      :::2377                    :::*
LISTEN     0      4096                  [::1]:2377                 [::]:*
LISTEN     0      4096                      *:2377                    *:*
"""
ADDRESSES = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 192.168.56.2/24 brd 192.168.56.255 scope global eth0\\       valid_lft forever preferred_lft forever
"""


def test_where_a_machine_listens_and_what_addresses_it_has():
    machine = Machine("slave01", "192.0.2.1", Prints(SOCKETS.encode()), "")
    assert machine.listening(2377) == {"192.168.56.2", "127.0.0.53", "::", "::1", "*"}
    assert Machine("slave01", "192.0.2.1", Prints(ADDRESSES.encode()), "").addresses() == {"127.0.0.1", "192.168.56.2"}


@pytest.mark.parametrize("ask", [lambda machine: machine.listening(2377), Machine.addresses])
def test_a_machine_that_lacks_the_command_does_not_count_as_one_without_sockets_or_addresses(monkeypatch, ask):
    monkeypatch.setattr(Machine, "look", lambda self, line: Result(line, 127, "", f"{line[:2]}: not found", self.name))
    with pytest.raises(LabError, match=r"on slave01 ended with 127: .*not found"):
        ask(Machine("slave01", "192.0.2.1", None, ""))


def looked(monkeypatch, printed="", code=0, api="1.37"):
    """Return what is looked for on a node whose commands print *printed* and end with *code*."""
    monkeypatch.setattr(Machine, "look", lambda self, command: Result(command, code, "", printed, self.name))
    monkeypatch.setattr(Machine, "ask", lambda *_: {"ApiVersion": api})
    return Offers(3, look=look_for(Machine("master", "192.0.2.1", None, "")))


def test_what_an_old_command_line_and_engine_lack_has_its_reason(monkeypatch):
    old = looked(monkeypatch, "unsupported Compose file version: 3.9", code=1)
    assert old.missing(["api>=1.37", "api>=1.40", "compose>=3.9", "buildkit"]) == [
        "the node's engine knows API 1.37, needed is 1.40",
        "the node's command line takes no compose file of version 3.9",
        FEATURES["buildkit"],
    ]


def test_what_a_command_line_and_engine_have_is_offered(monkeypatch):
    new = looked(monkeypatch, "Cannot connect to the Docker daemon at tcp://127.0.0.1:1.", api="1.100")
    assert new.missing(["api>=1.37", "compose>=3.9", "buildkit"]) == []


class Written(Machine):
    """A node whose managers write the object between each of so many readings and the writings after them."""

    def __init__(self, others, message=f"rpc error: code = Unknown desc = {OUT_OF_SEQUENCE}"):
        self.name, self._others, self._message, self.wrote = "master", others, message, None

    def ask(self, method, path, *, body=None, version=None):
        if method == "GET":
            return {"Version": {"Index": self._others}, "Spec": {"Replicas": 1}}
        self._others -= 1
        if self._others >= 0:
            raise EngineRefused("master", 500, self._message)
        self.wrote = (path, body, version)
        return None

    def docker(self, command):
        self._others -= 1
        return Result(command, 1, "", self._message) if self._others >= 0 else Result(command, 0, "done", "")


def test_what_managers_wrote_meanwhile_is_read_and_changed_anew():
    node = Written(2)
    node.revise("/services/1", lambda spec: spec.update(Replicas=spec["Replicas"] + 1))
    assert node.wrote == ("/services/1/update", {"Replicas": 2}, 0)
    assert accepted(Written(2), "service update") == "done"


def test_what_is_refused_for_another_reason_or_always_is_refused():
    for node in (Written(1, message="no such thing"), Written(REVISIONS)):
        with pytest.raises(EngineRefused):
            node.revise("/services/1", lambda _: None)
    for node in (Written(1, message="no such thing"), Written(REVISIONS)):
        assert not in_sequence(lambda node=node: node.docker("service update")).ok


def test_a_command_that_must_succeed_gives_its_output():
    assert Result("docker ps", 0, "listed\n", "", "slave01").expect() == "listed\n"


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("", LabError, "^docker ps on slave01 ended with 1: no such host$"),
        ("docker ps", AssertionError, "^docker ps ended with 1: no such host$"),
        ("docker ps", EngineRefused, r"the engine of slave01 refused \(1\): docker ps: no such host"),
    ],
)
def test_a_command_that_fails_and_must_not_is_an_error_of_the_kind_that_was_chosen(what, error, message):
    with pytest.raises(error, match=message):
        Result("docker ps", 1, "", "no such host\n", "slave01").expect(what, error=error)


def test_only_a_node_that_was_a_manager_is_asked_for_what_managers_answer(monkeypatch):
    machine = Machine("slave01", "192.0.2.1", None, "unix:///none")
    asked, manages = [], False

    def ask(_, path, **__):
        asked.append(path)
        if path == "/info":
            return {"Swarm": {"ControlAvailable": manages}}
        if not manages:
            raise EngineRefused("slave01", 503, "This node is not a swarm manager")
        return []

    monkeypatch.setattr(machine, "ask", ask)
    assert not machine.serves_cluster()
    assert not machine.serves_cluster()
    assert asked == ["/info"] * 2
    manages = True
    assert machine.serves_cluster()
    asked.clear()
    assert machine.serves_cluster()
    assert asked == ["/nodes"]
    manages = False
    assert not machine.serves_cluster()
    asked.clear()
    assert not machine.serves_cluster()
    assert asked == ["/info"]
