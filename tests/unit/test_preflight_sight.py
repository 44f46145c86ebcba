"""A cluster is read in a short time, whatever some of its nodes do not answer."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from swarmlab.cluster import deadline
from swarmlab.cluster.node import Result
from swarmlab.errors import Blocked, EngineRefused, NoAnswer, Overdue
from swarmlab.preflight import Level, model, packets, preflight
from swarmlab.preflight import sight as reading
from swarmlab.preflight.sight import QUESTIONS, gather


class Fake:
    """A node whose engine and shell take their time, in seconds; None for ever."""

    discretion = lifelines = None
    own_processors = False

    def __init__(self, name, *, engine=0.0, manager=0.0, shell=0.0, refuses=False):
        self.name, self.address = name, f"10.1.1.{name[-1]}"
        self.engine, self.manager, self.shell, self.refuses = engine, manager, shell, refuses

    def __str__(self):
        return self.name

    def _spend(self, seconds, what):
        limit = deadline.left(60)
        time.sleep(limit if seconds is None else min(seconds, limit))
        if seconds is None or seconds > limit:
            raise NoAnswer(f"the engine of {self.name} does not answer {what}: timed out")

    def info(self):
        self._spend(self.engine, "GET /info")
        swarm = {"NodeID": self.name, "NodeAddr": self.address, "LocalNodeState": "active", "ControlAvailable": True}
        return {"SystemTime": "2026-11-25T03:10:00.5Z", "DockerRootDir": "/nowhere", "Warnings": None, "Swarm": swarm}

    def ask(self, _, path, **__):
        if path == "/version":
            return {"Version": "29.0.0", "ApiVersion": "1.52"}
        if path == "/networks":
            return [{"Name": "docker_gwbridge", "Driver": "bridge", "Scope": "local", "Ingress": False}]
        if path == "/volumes":
            return {"Volumes": None}
        self._spend(self.manager, path)
        if self.refuses:
            raise EngineRefused(self.name, 503, "the swarm does not have a leader")
        return {} if path == "/swarm" else []

    def run(self, command, **_):
        limit = deadline.left(60)
        if self.shell is None or self.shell > limit:
            time.sleep(limit)
            raise Overdue(
                f"the shell of {self.name} did not end within {limit:.0f} s",
                "=== swarmlab files\n7 8\n\n=== swarmlab. 0\n",
            )
        time.sleep(self.shell)
        return Result(command, 0, "=== swarmlab files\n7 8\n\n=== swarmlab. 0\n", "")


class Cluster:
    def __init__(self, *nodes):
        self.nodes = nodes


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Shorten all times by ten."""
    for name in ("_LONGEST", "_ANSWER", "_SOON", "_MANAGER", "_NEXT", "_HESITATES", "_PROGRESS"):
        monkeypatch.setattr(reading, name, getattr(reading, name) / 10)
    monkeypatch.setattr(reading, "_USUAL", 0.1)


@pytest.fixture
def sent(monkeypatch):
    """Send nothing; return the names of the nodes that packets would be sent to."""
    names = []

    def send(_, __, nodes, ___):
        names.extend(view.name for _, view, _ in nodes)
        for _, view, _ in nodes:
            view.arrived = model.Arrivals()

    monkeypatch.setattr(packets, "send", send)
    return names


def read(*nodes, probe=False, told=None, most=2.0):
    """Read a cluster; *most* is the seconds that it may take, more where it is not about them."""
    start = time.monotonic()
    sight = gather(Cluster(*nodes), probe=probe, progress=(told if told is not None else []).append)
    assert time.monotonic() - start < most, "it took longer than it may"
    return sight


def test_engines_that_are_silent_are_named_in_the_time_of_one(monkeypatch):
    told = []
    for name in ("_ANSWER", "_SOON", "_PROGRESS"):
        monkeypatch.setattr(reading, name, 3 * getattr(reading, name))
    sight = read(Fake("n1"), Fake("n2", engine=None), Fake("n3", engine=None), told=told, most=10)
    assert [bool(view.silent) for view in sight.nodes] == [False, True, True]
    assert "does not answer GET /info: timed out within 3 s, though it answers GET /version" in sight.nodes[1].silent
    assert (sight.asked, sight.nodes[0].answers["files"]) == ("n1", (0, "7 8"))
    assert told == ["waiting for the engines of n2, n3, at most 3 s"]


def test_engines_of_a_busy_machine_are_not_taken_for_silent_or_late(sent):
    sight = read(Fake("n1", engine=0.3), Fake("n2", engine=0.3), Fake("n3", engine=0.6), probe=True)
    assert not [view.silent for view in sight.nodes if view.silent]
    assert sight.asked == "n1"
    assert sent == ["n1", "n2", "n3"]


def test_shells_that_many_nodes_make_slow_do_not_hang_and_one_that_hangs_is_named(sent):
    names = [f"n{place}" for place in range(12)]
    sight = read(*(Fake(name, shell=0.45) for name in names), probe=True)
    assert not [view.unread for view in sight.nodes if view.unread]
    assert sorted(sent) == sorted(names)
    sight = read(*(Fake(name, shell=None if name == "n3" else 0.0) for name in names), probe=True, most=10)
    assert [view.name for view in sight.nodes if view.hangs] == ["n3"]


def test_a_manager_that_hesitates_or_refuses_does_not_keep_the_next_from_being_asked(monkeypatch):
    monkeypatch.setattr(reading, "_MANAGER", 3.0)
    assert read(Fake("n1", manager=None), Fake("n2"), Fake("n3"), most=10).asked == "n2"
    assert read(Fake("n1", refuses=True), Fake("n2")).asked == "n2"
    assert read(Fake("n1"), Fake("n2")).asked == "n1"


def test_managers_that_tell_nothing_are_named_with_the_reason():
    sight = read(Fake("n1", manager=None), Fake("n2", manager=None))
    assert sight.asked == ""
    for name in ("n1", "n2"):
        assert name in sight.unasked
        assert "timed out" in sight.unasked or "did not tell of the swarm" in sight.unasked
    sight = read(Fake("n1", refuses=True), Fake("n2", refuses=True))
    assert "does not have a leader" in sight.unasked
    sight = read(Fake("n1", engine=None))
    assert sight.unasked == "no node that answers is a manager, and n1 does not answer"


def test_a_shell_that_hangs_is_named_and_what_it_had_told_is_kept():
    sight = read(Fake("n1"), Fake("n2", shell=None), most=10)
    hanging = sight.nodes[1]
    assert hanging.answers == {"files": (0, "7 8")}
    assert re.match(r"the shell of n2 did not end within \d s: it hangs where it is asked for modules", hanging.unread)
    found = [one for one in preflight(Cluster(Fake("n1"), Fake("n2", shell=None))) if "n2" in one.nodes]
    (head,) = [one for one in found if one.check == "engines-answer"]
    assert (head.level, "ps -eo" in head.mend) == (Level.ERROR, True)
    assert {one.check for one in found if one.because} >= {"disk", "limits", "forwarding", "port-gossip-udp"}


def test_a_user_without_rights_is_told_once():
    node = Fake("n1")
    node.run = lambda *_, **__: (_ for _ in ()).throw(Blocked("the user ann is not root on n1"))
    found = preflight(Cluster(node, Fake("n2")))
    told = [one for one in found if "the user ann is not root on n1" in one.summary]
    assert [(one.check, str(one.level)) for one in told if not one.because] == [("engines-answer", "unknown")]
    assert len(told) > 5


def test_one_that_answers_too_late_is_sent_nothing_and_blamed_for_nothing(sent, monkeypatch):
    monkeypatch.setattr(reading, "_USUAL", 5.0)  # else the others, slow by chance, give it more time
    monkeypatch.setattr(reading, "_ANSWER", 3.0)
    sight = read(Fake("n1"), Fake("n2"), Fake("n3", engine=2.0), probe=True, most=10)
    assert sent == ["n1", "n2"]
    assert sight.nodes[2].info, "it has answered in the end"
    assert set(model.addresses_of_others(sight, sight.nodes[0]).values()) == {"n2"}


def test_a_node_that_is_alone_has_nobody_to_hear_from():
    ways = {"paths", "port-management-tcp", "port-gossip-tcp", "port-gossip-udp", "port-data-udp"}
    found = preflight(Cluster(Fake("n1")))
    assert {str(one.level) for one in found if one.check in ways} == {"ok"}
    found = preflight(Cluster(Fake("n1"), Fake("n2", engine=None)))
    told = {one.check: one.summary for one in found if one.check in ways and one.nodes == ("n1",)}
    assert set(told) == ways
    assert set(told.values()) == {"no packets were sent to it, as no other node of the swarm answers"}


def test_the_whole_ends_with_the_longest_time(monkeypatch):
    monkeypatch.setattr(packets, "_CONNECT", (0.3, 0.4))
    monkeypatch.setattr(packets, "_REMOVE", 0.2)
    kinds = [{"engine": None}, {"manager": None}, {"shell": None}, {"manager": None, "shell": None}]
    start = time.monotonic()
    gather(Cluster(*(Fake(f"n{number}", **kinds[number % 4]) for number in range(9))))
    assert time.monotonic() - start < 3.5


def test_a_question_that_hangs_is_answered_by_the_time_it_took(monkeypatch):
    monkeypatch.setattr(reading, "QUESTIONS", {"files": "echo 7 8", "disk": "sleep 30", "inodes": "echo 5"})

    def run(command, **_):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        return Result(command, done.returncode, done.stdout, done.stderr)

    node = Fake("n1")
    node.run = run
    view = model.NodeView("n1")
    reading._read(node, view, limit=1)
    assert reading._in_time({"disk": (143, "half")}, 1) == {"disk": (143, "it did not end within 1 s")}  # of BusyBox
    assert view.answers == {"files": (0, "7 8"), "disk": (124, "it did not end within 1 s"), "inodes": (0, "5")}
    with pytest.raises(model.Unknown, match="disk: it did not end within 1 s") as why:
        view.read("disk")
    assert "ps -eo" in why.value.mend


def test_what_may_hang_is_asked_last():
    assert reading._in_order()[-4:] == ["certificate", "disk", "inodes", "mounted"]
    assert sorted(reading._in_order()) == sorted(QUESTIONS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_inotify_instances_of_other_users_do_not_count(tmp_path):
    for process, owner in (("1", 0), ("20", 0), ("300", 1000)):
        (tmp_path / process / "fd").mkdir(parents=True)
        (tmp_path / process / "fd" / "5").symlink_to("anon_inode:inotify")
        os.chown(tmp_path / process, owner, owner)
    question = QUESTIONS["inotify used"].replace("/proc/", f"{tmp_path}/")
    assert subprocess.run(["sh", "-c", question], capture_output=True, text=True, check=True).stdout == "2\n"


def test_a_stopped_process_is_listed_with_its_parent():
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        script = QUESTIONS["stopped"]
        listed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
        process.kill()
    own = [line.split() for line in listed.splitlines() if line.split()[0] == str(process.pid)]
    name = Path("/proc/self/comm").read_text(encoding="utf-8").strip().replace(" ", "_")
    assert [(words[2], words[3]) for words in own] == [("sleep", name)]
    assert int(own[0][1]) >= 1


@pytest.mark.parametrize(
    ("file", "line", "kept"),
    [
        ("no.conf", "install ip_vs /bin/false", "ip_vs"),
        ("no.conf", "  install   vxlan /usr/bin/true ", "vxlan"),
        ("no.conf", "blacklist vxlan", "vxlan"),
        ("no.conf", "blacklist ip_vs", ""),  # modprobe ip_vs loads it all the same
        ("no.conf", "#install ip_vs /bin/false", ""),
        ("no.conf.off", "install ip_vs /bin/false", ""),  # modprobe does not read it
    ],
)
def test_what_keeps_modprobe_from_a_module_is_read(tmp_path, file, line, kept):
    folder = tmp_path / "modprobe.d"
    folder.mkdir()
    (folder / file).write_text(f"# {file}\n{line}\n")
    question = QUESTIONS["modules"].replace("{modules}", "ip_vs vxlan").replace("{options}", "X")
    script = question.replace("/etc /run /usr/local/lib", str(tmp_path))
    listed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [each for each in listed if each.startswith("kept")] == [f"kept {kept} {folder}/{file}"] * bool(kept)
