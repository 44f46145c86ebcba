"""Support bundles: whole or not there, each node by itself, bounded, and with an index of what is where."""

import json
import tarfile
from types import SimpleNamespace

import pytest

from swarmlab.bundle import collect as collecting
from swarmlab.bundle import index, questions, whole
from swarmlab.bundle.collect import Bundle, Entry, collect
from swarmlab.cluster import deadline
from swarmlab.cluster.discretion import Discretion
from swarmlab.cluster.node import Result
from swarmlab.cluster.quotes import kernel
from swarmlab.errors import EngineRefused, LabError, NoAnswer, Overdue, UsageError
from swarmlab.preflight import Finding, Level

ID = "ab12" * 6 + "c"


class Node:
    """A node that answers all questions."""

    def __init__(self, name="master", *, shell=None, engine=None, containers=()):
        self.name, self.shell, self.silent, self.listed = name, shell, engine, containers
        self.discretion = Discretion()
        self.asked = []

    def __str__(self):
        return self.name

    def look(self, command):
        self.asked.append(command)
        assert deadline.left(1000) < 1000
        if isinstance(self.shell, Exception):
            raise self.shell
        return Result(command, 0, self.shell or "password=hunter2hunter2\nfine", "")

    docker = look

    def ask(self, _, path, **__):
        self.asked.append(path)
        if self.silent:
            raise self.silent
        if path.endswith("/json") and path != "/containers/json":
            return {"Id": ID, "Name": "/swc-web-abcdef"}
        return []

    def info(self):
        if self.silent:
            raise self.silent
        return {"Name": self.name, "KernelVersion": "6.1", "Labels": ["a=b"], "Swarm": {"ControlAvailable": True}}

    def ipvs(self):
        return self.look("ipvsadm").out

    def questions(self):
        return {"engine log": "cat log"}

    def containers(self, **_):
        if self.silent:
            raise self.silent
        return list(self.listed)

    @property
    def engine(self):
        one = SimpleNamespace(logs=lambda **_: b"2026-11-30T00:00:00Z hello\n")
        return SimpleNamespace(containers=SimpleNamespace(get=lambda _: one))


@pytest.fixture
def collected(tmp_path, monkeypatch):
    """Return a function that collects a bundle of nodes, and returns it with its folder."""
    found = [Finding(Level.ERROR, "port 4789 is closed", "a risk", check="port-data-udp", mend="open it")]
    monkeypatch.setattr(collecting.host, "lab_and_swarm", lambda *_, **__: found)

    def _collected(*nodes, **how):
        lab = SimpleNamespace(name="mine", kind="dind", nodes=lambda: list(nodes))
        lines = []
        made = collect(lab, tmp_path, table=lambda found: [str(one) for one in found], progress=lines.append, **how)
        return made, tmp_path, lines

    return _collected


def test_every_node_has_its_files_and_the_swarm_its_own(collected):
    made, folder, lines = collected(Node("master"), Node("slave01"))
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    listed = {entry.file for entries in made.parts.values() for entry in entries if not entry.missing}
    assert files == listed
    for name in (
        "docker-info.json",
        "daemon.json",
        "kernel.log",
        "routes.txt",
        "names.txt",
        "sysctls.txt",
        "engine.log",
    ):
        assert f"nodes/slave01/{name}" in files
    assert {"swarm/tasks.txt", "swarm/networks.json", "preflight.json", "preflight.txt", "about.txt"} <= files
    assert not made.missing
    assert [line.partition(":")[0] for line in lines[:1]] == ["collecting from 2 nodes"]
    assert any(line.startswith("slave01: ") and " files, " in line for line in lines)


def test_no_file_has_a_secret_or_what_others_wrote(collected):
    _, folder, _ = collected(Node())
    text = "".join(file.read_text() for file in folder.rglob("*") if file.is_file())
    assert "hunter2" not in text
    info = json.loads((folder / "nodes/master/docker-info.json").read_text())
    assert info["KernelVersion"] == "6.1"
    assert "a=b" not in str(info)


def test_only_the_suites_own_containers_are_inspected(collected):
    own = {"Id": ID, "Names": ["/swc-web-abcdef"], "Labels": {}}
    of_service = {"Id": ID, "Names": ["/x.1.y"], "Labels": {"com.docker.swarm.service.name": "swc-web-abcdef"}}
    other = {"Id": ID, "Names": ["/shop"], "Labels": {}}
    node = Node(containers=[own, of_service, other])
    made, folder, _ = collected(node)
    names = {file.name for file in (folder / "nodes/master/containers").iterdir()}
    assert names == {"swc-web-abcdef.json", "swc-web-abcdef.log", "x.1.y.json", "x.1.y.log"}
    assert "hello" in (folder / "nodes/master/containers/x.1.y.log").read_text()
    assert not made.missing


def test_a_node_that_does_not_answer_is_noted_and_hides_no_other(collected):
    silent = Node(
        "slave01",
        shell=Overdue("the shell of slave01 did not end within 20 s"),
        engine=NoAnswer("the engine of slave01 does not answer: timed out"),
    )
    gone = Node("slave02", shell=LabError("slave02 cannot be reached: closed"))
    made, folder, lines = collected(Node("master"), silent, gone, unreached={"slave03": "node slave03: it is off; on"})
    assert (folder / "nodes/master/engine.log").exists()
    assert not list((folder / "nodes").glob("slave01/*"))
    assert len(silent.asked) < 8, "what is silent is not asked for all"
    assert len([command for command in gone.asked if " " in command]) == 1
    assert {part for part, _ in made.missing} == {"slave01", "slave02"}
    assert all(entry.missing for _, entry in made.missing)
    assert any("could not be got" in line for line in lines)
    page = index.page(made)
    assert "slave03" in page
    assert page.count("slave02 cannot be reached") == 1, "one row for one reason"
    assert "the shell of slave01 did not end within 20 s" in page


def test_a_command_that_fails_is_noted_with_its_words(collected):
    node = Node()
    node.look = lambda command: (
        Result(command, 4, "", "Permission denied") if "iptables-save" in command else Result(command, 0, "x", "")
    )
    made, _, _ = collected(node)
    ((part, entry),) = made.missing
    assert (part, entry.file) == ("master", "nodes/master/firewall-iptables.txt")
    assert entry.missing == "the command ended with 4: Permission denied"


def test_no_manager_is_noted(collected):
    made, _, _ = collected(Node(engine=EngineRefused("master", 503, "no leader")))
    assert "no leader" in dict(made.missing)["swarm"].missing


def test_files_and_nodes_are_bounded_and_keep_their_ends(collected, monkeypatch):
    monkeypatch.setattr(collecting, "MOST_OF_FILE", 100)
    monkeypatch.setattr(collecting, "MOST_OF_NODE", 450)
    made, folder, _ = collected(Node(shell="x" * 500 + "the end"))
    text = (folder / "nodes/master/addresses.txt").read_text()
    first = (folder / "nodes/master/system.txt").read_text()
    assert first.endswith("the end\n")
    assert first.startswith("(its first 407 of 507 characters are left out)")
    assert len(text) < 200
    total = sum(len(file.read_text()) for file in (folder / "nodes/master").rglob("*.txt"))
    assert total < 2000
    assert any(entry.note for entry in made.parts["master"])
    assert "are left out" in index.page(made)


def test_the_table_of_tasks_has_their_errors():
    task = {
        "ID": "t1",
        "ServiceID": "s1",
        "NodeID": "n1",
        "Slot": 2,
        "DesiredState": "shutdown",
        "Status": {
            "State": "failed",
            "Timestamp": "2026-11-30T01:02:03.5Z",
            "Err": 'exec: "word-of-others-1": not found',
        },
    }
    answers = {
        "/tasks": [task],
        "/services": [{"ID": "s1", "Spec": {"Name": "shop"}}],
        "/nodes": [{"ID": "n1", "Description": {"Hostname": "web1"}}],
    }
    manager = SimpleNamespace(ask=lambda _, path: answers[path], discretion=Discretion())
    heads, row = questions.tasks_table(manager).splitlines()
    assert heads.split() == ["since", "task", "service", "node", "state", "wanted", "error"]
    assert row.split()[:6] == ["2026-11-30T01:02:03", "t1", "shop.2", "web1", "failed", "shutdown"]
    assert "not found" in row
    assert "word-of-others" not in row


def test_tables_of_nodes_and_services_do_not_hang_on_the_settings_of_a_user():
    answers = {
        "/tasks": [{"ServiceID": "s1", "Status": {"State": state}} for state in ("running", "running", "failed")],
        "/services": [
            {
                "ID": "s1",
                "Spec": {
                    "Name": "shop",
                    "Mode": {"Replicated": {"Replicas": 3}},
                    "TaskTemplate": {"ContainerSpec": {"Image": "web:1@sha256:x"}},
                },
                "Endpoint": {"Ports": [{"PublishedPort": 80, "TargetPort": 8080}]},
            }
        ],
        "/nodes": [
            {
                "ID": "n1",
                "Spec": {"Role": "manager", "Availability": "drain"},
                "Status": {"State": "ready", "Addr": "0.0.0.0"},
                "Description": {"Hostname": "web1", "Engine": {"EngineVersion": "28.5.2"}},
                "ManagerStatus": {"Leader": True, "Addr": "10.0.0.1:2377"},
            }
        ],
    }
    manager = SimpleNamespace(ask=lambda _, path: answers[path])
    assert questions.nodes_table(manager).splitlines()[1].split() == [
        *("n1", "web1", "ready", "drain", "manager", "leader", "10.0.0.1:2377", "28.5.2")
    ]
    assert questions.services_table(manager).splitlines()[1].split() == [
        *("s1", "shop", "replicated", "2", "3", "80:8080", "web:1")
    ]


def test_a_node_whose_engine_is_silent_is_asked_by_its_shell(collected):
    shell = Node("slave01", engine=NoAnswer("the engine of slave01 does not answer: timed out"))
    why = {"slave01": "node slave01: its engine does not answer; on it: systemctl restart docker"}
    made, folder, _ = collected(Node("master"), more=[shell], unreached=why)
    assert (folder / "nodes/slave01/kernel.log").exists()
    assert "its engine does not answer" in index.page(made)
    assert {part for part, _ in made.missing} == {"slave01"}


def test_the_index_is_safe_whatever_a_node_tells():
    entry = Entry("nodes/a/<b>.txt", "<script>alert(1)</script>", 10)
    page = index.page(Bundle("<i>", {"<a>": [entry]}, findings=[Finding(Level.ERROR, "<u>", "r", check="c", mend="m")]))
    for tag in ("<i>", "<script>", "<u>", "<b>"):
        assert tag not in page


def test_the_kernels_log_has_nothing_that_rules_of_others_logged():
    lines = [
        "[    1.0] Linux version 6.1",
        "[   10.5] shop-drop: IN=eth0 OUT= SRC=10.0.0.9",
        "[   11.5] somebody wrote this",
        "[Mon Nov 30 01:02:03 2026] veth1: renamed from eth0",
        "Nov 30 01:02:03 host kernel: [12.0] neighbour: arp_cache: neighbor table overflow!",
        "[   13.0] br-1: IN=eth0 OUT=eth1 SRC=10.0.0.9",
    ]
    kept = kernel("\n".join(lines)).splitlines()
    assert kept == [lines[0], "‹2 lines, 76 characters›", lines[3], lines[4], "‹45 characters›"]


# The place


def test_an_archive_is_there_whole(tmp_path):
    path = whole.check(str(tmp_path / "new" / "logs.tar.gz"))
    with whole.place(path) as folder:
        (folder / "nodes").mkdir()
        (folder / "nodes" / "a.txt").write_text("a")
        assert not path.exists()
    with tarfile.open(path) as archive:
        assert {one.name for one in archive} == {"logs", "logs/nodes", "logs/nodes/a.txt"}
        assert {(one.uid, one.uname) for one in archive} == {(0, "")}
    assert [file.name for file in path.parent.iterdir()] == ["logs.tar.gz"]


@pytest.mark.parametrize(("name", "inside"), [("packed.tar.gz", "packed"), (".tgz", "bundle"), ("a.b.tgz", "a.b")])
def test_an_archive_has_a_folder_of_its_name(tmp_path, name, inside):
    with whole.place(whole.check(str(tmp_path / name))) as folder:
        (folder / "a.txt").write_text("a")
    with tarfile.open(tmp_path / name) as archive:
        assert f"{inside}/a.txt" in archive.getnames()


def test_a_folder_is_there_whole(tmp_path):
    (tmp_path / "logs").mkdir()
    for name in ("logs", "fresh"):
        path = whole.check(str(tmp_path / name))
        with whole.place(path) as folder:
            (folder / "a.txt").write_text("a")
            assert not (path / "a.txt").exists()
        assert (path / "a.txt").read_text() == "a"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fresh", "logs"]


@pytest.mark.parametrize("name", ["logs.tar.gz", "logs"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, LabError("x")])
def test_what_is_broken_off_leaves_nothing(tmp_path, name, error):
    def breaks_off():
        with whole.place(tmp_path / name) as folder:
            (folder / "a.txt").write_text("a")
            raise error

    with pytest.raises((KeyboardInterrupt, LabError)):
        breaks_off()
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.tgz").mkdir()
    for name, phrase in (
        (".", "is not empty; name a new folder"),
        ("file", "is a file; name a folder, or an archive"),
        ("dir.tgz", "is a folder; name a file for the archive"),
    ):
        with pytest.raises(UsageError, match=phrase):
            whole.check(str(tmp_path / name))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LabError, match=r"cannot be written: .*; make room there, or name another place"),
        whole.place(tmp_path / "file" / "logs.tar.gz"),
    ):
        pass
