"""The watch against servers on this machine's loopback."""

import contextlib
import http.server
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from swarmlab.errors import LabError
from swarmlab.evidence import recording
from swarmlab.paths import ROOT
from swarmlab.wait import wait
from swarmlab.watching import watch as watching
from swarmlab.watching.asker import Heard
from swarmlab.watching.watch import Watch


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.count += 1
        body = b"hello\n"
        self.send_response(self.server.answer(self.server.count))
        self.send_header("X-Server", f"replica{self.server.count % 2}")
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):  # who asked has gone
            super().handle()


@pytest.fixture
def serve():
    """Return a function that starts a server at a loopback address, all at one port, and returns its "node"."""
    servers = []

    def start(name, address, answer=lambda _: 200, missing=0):
        port = servers[0].server_address[1] if servers else 0
        server = http.server.ThreadingHTTPServer((address, port), Handler)
        server.count, server.answer, server.missing = 0, answer, missing
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return SimpleNamespace(name=name, address=address, server=server, port=server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def nodes(serve):
    return [serve(name, f"127.0.0.{place}") for place, name in enumerate(["master", "slave01", "slave02"], start=1)]


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_is_lost_where_all_answer(nodes):
    with recording() as kept, Watch(nodes, nodes[0].port) as watch:
        watch.rounds(5)
        watch.mark("update accepted")
        watch.enough(30)
    assert not watch.lost
    assert set(watch.shares) == {"replica0", "replica1"}
    assert sum(watch.shares.values()) == sum(node.server.count for node in nodes)
    assert min(node.server.count for node in nodes) >= 30
    assert 0 < watch.gap() <= watch.gap("master") < 5
    assert "0 were lost" in watch.summary
    (picture,) = kept.pictures.values()
    assert "update accepted" in picture
    ElementTree.fromstring(picture)


def test_a_node_that_loses_one_request_in_fifty_is_named(serve):
    good = serve("master", "127.0.0.1")
    bad = serve("slave01", "127.0.0.2", lambda count: 503 if count % 50 == 0 else 200)
    with Watch([good, bad], good.port) as watch:
        watch.enough(120)
    assert {heard.node for heard in watch.lost} == {"slave01"}
    assert f"were lost: {len(watch.lost)} at slave01 (HTTP 503)" in watch.summary


def test_an_answer_that_is_cut_short_is_lost(serve):
    node = serve("master", "127.0.0.1", missing=5)
    with Watch([node], node.port) as watch:
        watch.rounds(1)
    assert "no whole answer" in watch.lost[0].error
    assert watch.gap() > 0


def test_a_refused_connection_is_lost_and_others_are_asked_on(serve):
    good = serve("master", "127.0.0.1")
    gone = SimpleNamespace(name="slave01", address="127.0.0.9")
    with Watch([good, gone], good.port) as watch:
        watch.rounds(3)
    assert {heard.error for heard in watch.lost} == {"Connection refused"}
    assert set(watch.shares.values()) != {0}


def test_a_silent_server_is_a_loss_after_the_timeout(serve, monkeypatch):
    monkeypatch.setattr(watching, "TIMEOUT", 0.3)
    over = threading.Event()
    node = serve("master", "127.0.0.1", lambda count: 200 if count < 3 or over.wait(2) else 500)
    with Watch([node], node.port) as watch:
        watch.mark("it falls silent")
        watch.rounds(4)
    over.set()
    assert watch.lost[0].error == "timed out waiting for the answer"
    assert watch.gap() >= 0.3


def test_a_silent_node_does_not_keep_others_from_being_asked(serve, monkeypatch):
    monkeypatch.setattr(watching, "TIMEOUT", 3.0)
    over = threading.Event()
    good, mute = serve("master", "127.0.0.1"), serve("slave01", "127.0.0.2", lambda _: 200 if over.wait(30) else 500)
    with Watch([good, mute], good.port) as watch:
        watch.rounds(1)
    over.set()
    asked = Counter(heard.node for heard in watch.heard)
    assert {heard.node for heard in watch.lost} == {"slave01"}
    assert asked["master"] > 3 * asked["slave01"]
    assert watch.gap("master") < 2.5 < watch.gap("slave01")


def test_a_node_that_is_asked_no_more_is_a_flaw_while_others_are_asked():
    watch = Watch([SimpleNamespace(name=name, address="127.0.0.1") for name in ("master", "slave01")], 80)
    watch._start, watch._stop = 0, 20
    watch._heard = [Heard(at, at + 1, "master", 200) for at in range(20)] + [Heard(2, 3, "slave01", 200)]
    assert watch._found_flaw(0, "") == "it did not ask slave01 for 17 s from 3 s on"


def broken_watch(nodes, during, match):
    """Return what is left of a watch that had to end with an error of the lab's."""
    watch = Watch(nodes, nodes[0].port)

    def go():
        with watch:
            during(watch)

    with pytest.raises(LabError, match=match):
        go()
    return watch


def test_a_process_that_was_killed_is_no_pass(nodes):
    def during(watch):
        watch.rounds(1)
        watch._process.kill()
        watch._process.wait()

    watch = broken_watch(nodes, during, "died with -9")
    with pytest.raises(LabError, match="died"):
        assert watch.lost


def test_waiting_for_rounds_of_a_dead_process_ends_at_once(nodes):
    def during(watch):
        watch._process.kill()
        watch.rounds(1)

    broken_watch(nodes, during, "has died")


@pytest.mark.parametrize(
    ("times", "flaw"),
    [
        ([(0, 1), (12, 13)], "it did not ask master for 11 s from 1 s on"),
        ([(0, 1), (2, 3)], "it did not ask master for 17 s from 3 s on"),
        ([(0, 1), (1, 19)], "it was stopped for 18 s at 1 s, asking master"),
        ([(0, 1), (5, 10), (15, 20)], ""),
        ([(12, 13), (13, 20)], "it had not begun to ask yet at update accepted"),
    ],
)
def test_a_process_that_was_held_up_is_no_pass(times, flaw):
    watch = Watch([SimpleNamespace(name="master", address="127.0.0.1")], 80)
    watch._start, watch._stop = 0, 20
    watch._marks = [(0, "update accepted")]
    watch._heard = [Heard(at, end, "master", 200, "replica0") for at, end in times]
    assert watch._found_flaw(0, "") == flaw


@pytest.mark.parametrize(
    ("expected", "flaw"),
    [(False, ""), (True, "it did not ask master for 17 s from 3 s on")],
    ids=["verdict", "expected"],
)
def test_a_loss_that_was_to_be_expected_does_not_hide_a_pause(expected, flaw):
    node = SimpleNamespace(name="master", address="127.0.0.1")
    watch = Watch([node], 80, losses_expected=expected)
    watch._start, watch._stop = 0, 20
    watch._heard = [Heard(0, 1, "master", 200), Heard(2, 3, "master", error="Connection refused")]
    assert watch._found_flaw(0, "") == flaw


@pytest.mark.parametrize(("taken", "deadline"), [(0.01, 210), (1.0, 510)])
def test_rounds_of_many_nodes_have_the_time_that_rounds_took_so_far(monkeypatch, taken, deadline):
    given = []
    monkeypatch.setattr(watching, "wait", lambda *_, **how: given.append(how["deadline"]))
    watch = Watch([SimpleNamespace(name=name, address="127.0.0.1") for name in ("master", "slave01")], 80)
    half = taken / 2
    watch._heard = [Heard(at * half, (at + 1) * half, ("master", "slave01")[at % 2], 200) for at in range(20)]
    watch.enough()
    watch._heard = []
    watch.enough()
    assert given == pytest.approx([deadline, 210])


def test_a_process_that_hangs_at_the_end_is_no_pass(nodes, monkeypatch):
    monkeypatch.setattr(watching, "SILENCE", 0.2)
    monkeypatch.setattr(watching, "TIMEOUT", 0.2)

    def during(watch):
        watch.rounds(1)
        watch._process.send_signal(signal.SIGSTOP)

    watch = broken_watch(nodes, during, "it hung")
    assert watch._process.returncode == -signal.SIGKILL


def test_a_watch_that_never_asked_is_no_pass(nodes):
    broken_watch(nodes, lambda watch: watch._tell("end"), r"never asked \w+")


def test_a_watch_that_asked_nothing_after_the_event_is_no_pass(nodes):
    def during(watch):
        watch.rounds(2)
        watch._tell("end")
        watch._process.wait()
        watch.mark("slave01 drained")

    broken_watch(nodes, during, "did not ask master again after slave01 drained")


def test_a_watch_that_goes_on_tells_no_verdict(nodes):
    with Watch(nodes, nodes[0].port) as watch:
        watch.rounds(1)
        with pytest.raises(LabError, match="has not ended"):
            assert watch.lost
        assert not watch.losses


def test_what_failed_inside_is_not_hidden(nodes):
    def go():
        with Watch(nodes, nodes[0].port) as watch:
            watch._process.kill()
            raise AssertionError("first")

    with pytest.raises(AssertionError, match="first"):
        go()


def test_work_of_the_suite_does_not_hold_up_the_asking(nodes):
    with Watch(nodes, nodes[0].port) as watch:
        watch.rounds(1)
        before, end = served(nodes), time.monotonic() + 30
        # The servers are this process's, and must share with the work.
        while served(nodes) <= before + 5 and time.monotonic() < end:
            sum(range(20_000))
        assert served(nodes) > before + 5
    assert not watch.lost


def served(nodes):
    return sum(node.server.count for node in nodes)


def test_nobody_asks_on_when_the_parent_was_killed(nodes):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import time
            from types import SimpleNamespace
            from swarmlab.watching.watch import Watch
            with Watch([SimpleNamespace(name="master", address="127.0.0.1")], {nodes[0].port}) as watch:
                watch.rounds(3)
                print(watch._process.pid, flush=True)
                time.sleep(60)
        """)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    asker = int(parent.stdout.readline())
    assert alive(asker)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait(lambda: not alive(asker), "the asking process to end", deadline=10)
    asked = nodes[0].server.count
    time.sleep(0.3)
    assert nodes[0].server.count <= asked + 1  # the last request may have been under way
