"""The doctor: all that is wrong is told, each thing with node, cause and mend, and nothing hides anything else."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from swarmlab.cli import doctor as command
from swarmlab.cli.main import main
from swarmlab.cluster.node import Result
from swarmlab.doctor import check, here, swarm
from swarmlab.doctor.check import examine, from_line, on_each, wrong
from swarmlab.errors import EngineRefused, LabError, NoAnswer, Overdue, UsageError
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.routes import parse
from swarmlab.preflight import CHECKS, Finding, Level
from tests.unit.helpers import check_words
from tests.unit.test_lab_networks import Outer, lines


class Node:
    """A node of a swarm."""

    root, address = True, "10.0.0.1"

    def __init__(self, name="master", *, answers=None, printed="", **more):
        self.name, self.answers, self.printed = name, answers or {}, printed
        vars(self).update(more)

    def __str__(self):
        return self.name

    def ask(self, _, path, **__):
        answer = self.answers.get(path, [])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look(self, command):
        if isinstance(self.printed, Exception):
            raise self.printed
        return Result(command, 0, self.printed, "")

    def containers(self, **_):
        return []

    def serves_cluster(self):
        return True


def patient(*nodes, wrong=(), unreached=None, images=(), **known):
    lab = SimpleNamespace(
        nodes=lambda: list(nodes),
        manager=nodes[0] if nodes else None,
        unreached=unreached or {},
        known=Inventory("swarm.yaml", (), **known),
        members=[1] * len(nodes),
        cluster="c1",
    )
    return swarm.Patient(lab, list(wrong), images)


def told(look, *args, **how):
    found = examine({"one": look}, patient(*args, **how))
    check_words(found)
    return [(str(one.level), str(one), one.mend) for one in found]


# Checks in general


def test_a_check_that_fails_is_unknown_and_hides_no_other():
    def fails(_):
        """Fail."""
        raise LabError("no disk")
        yield

    def strange(_):
        """Meet an answer of another form."""
        raise KeyError("Swarm")
        yield

    def works(_):
        """Find nothing."""
        yield from ()

    found = examine({"fails": fails, "strange": strange, "works": works}, None)
    assert [(one.check, str(one.level)) for one in found] == [
        ("fails", "unknown"),
        ("strange", "unknown"),
        ("works", "ok"),
    ]
    assert str(found[0]) == "could not be looked at: no disk"
    assert "KeyError" in found[1].summary
    assert wrong(found)
    assert not wrong(found[2:])


def test_a_node_that_fails_hides_no_other():
    def look(node):
        if node.name == "b":
            raise Overdue("the shell of b did not end within 30 s")
        yield Finding(Level.WARNING, "is odd", "a risk", mend="mend {nodes}")

    found = list(on_each([Node("a"), Node("b"), Node("c")], look))
    assert [(one.nodes, str(one.level)) for one in found] == [
        (("a",), "warning"),
        (("b",), "unknown"),
        (("c",), "warning"),
    ]


@pytest.mark.parametrize(
    ("line", "nodes", "summary", "mend"),
    [
        (
            "node m1 (10.0.0.1): it does not answer; switch it on",
            ("m1",),
            "it does not answer (10.0.0.1)",
            "switch it on",
        ),
        ("node m1 (fd00::1) (through gate): no; on", ("m1",), "no (fd00::1) (through gate)", "on"),
        ("node fd00::1, from the jump host g: no; on", ("fd00::1",), "no, from the jump host g", "on"),
        ("node 10.0.0.1: it does not answer; a; b", ("10.0.0.1",), "it does not answer", "a; b"),
        (
            "node a (1.2.3.4) and node b (1.2.3.5): are one machine, named twice; take one out",
            (),
            "node a (1.2.3.4) and node b (1.2.3.5): are one machine, named twice",
            "take one out",
        ),
        ("--may-disrupt x: is wrong", (), "--may-disrupt x: is wrong", "mend what the reason names, and look again"),
    ],
)
def test_lines_become_findings(line, nodes, summary, mend):
    found = from_line(line)
    assert (found.nodes, found.summary, found.mend, str(found.level)) == (nodes, summary, mend, "error")


def test_every_check_has_a_summary_and_those_of_preflight_exist():
    for look in (*swarm.CHECKS.values(), *here.CHECKS.values()):
        assert look.__doc__.startswith("Whether ")
    assert set(swarm.SHARED) <= set(CHECKS)
    assert not set(swarm.CHECKS) & set(CHECKS)


# A swarm


def test_all_machines_that_are_not_reached_are_told():
    why = {"slave01": "node slave01 (10.0.0.2): its host key is not known; add it", "10.0.0.3": "strange"}
    found = told(swarm.reach, Node(), unreached=why)
    assert found == [
        ("error", "slave01: its host key is not known (10.0.0.2)", "add it"),
        ("error", "10.0.0.3: strange", "mend what the reason names, and look again"),
    ]
    assert told(swarm.reach, Node())[0][0] == "ok"


def test_what_is_wrong_with_the_members_is_told():
    lines = [
        "node a: has the role worker in the swarm; mend its role",
        "--may-disrupt x: the inventory's cluster is y; z",
    ]
    assert [line[0] for line in told(swarm.members, Node(), wrong=lines)] == ["error", "error"]
    assert told(swarm.members, Node())[0][1] == "1 nodes of the swarm c1"


def test_a_user_who_is_not_root_is_no_error():
    ((level, text, mend),) = told(swarm.rights, Node(root=False))
    assert (level, text) == ("info", "master: the inventory's user is not root there")
    assert "sudo: true" in mend


def test_an_engine_that_is_too_old_is_a_warning():
    old, new = ({"/version": {"Version": version}} for version in ("17.03.2-ce", "28.5.2"))
    found = told(swarm.engines, Node("a", answers=old), Node("b", answers=new))
    assert [(level, text) for level, text, _ in found] == [
        ("warning", "a: engine 17.03.2-ce is older than 17.06"),
        ("ok", "b: engine 28.5.2"),
    ]


def test_every_port_that_is_taken_is_told():
    services = [
        {
            "Spec": {"Name": "shop", "Labels": {}},
            "Endpoint": {"Ports": [{"PublishedPort": 30001}, {"PublishedPort": 80}]},
        }
    ]
    table = "  0: 00000000:7532 00000000:0000 0A\n"  # 30002
    found = told(swarm.ports, Node(answers={"/services": services}, printed=table))
    assert [(level, text) for level, text, _ in found] == [
        ("error", "port 30001: the service shop publishes it"),
        ("error", "port 30002: something listens on it on master"),
    ]
    assert "--ports FIRST-LAST" in found[0][2]
    assert told(swarm.ports, Node())[0][1] == "30000-30099 are free"


def test_a_registry_is_asked_without_a_pull_and_the_suites_own_is_none():
    assert told(swarm.registry, Node())[0][0] == "ok"
    refused = EngineRefused("master", 500, "dial tcp: lookup r.example: no such host")
    images = {f"/distribution/r.example/x/{name}/json": refused for name in swarm.recipes.workloads()}
    found = told(swarm.registry, Node(answers=images), registry="r.example/x")
    assert len(found) == len(images)
    level, text, mend = found[0]
    assert (level, "cannot get r.example/x/" in text) == ("error", True)
    assert mend == "let the node resolve its name, or mend registry in the inventory"
    silent = NoAnswer("the engine of master does not answer GET: timed out")
    asked = told(swarm.registry, Node(answers={"/distribution/web:1/json": silent}), images=["web:1"])
    assert [level for level, *_ in asked] == ["error", "ok"]


def test_memory_and_tools():
    assert told(swarm.memory, Node(printed="MemAvailable:     100000 kB\n"))[0][:2] == (
        "warning",
        "master: 97 MiB of memory are available",
    )
    assert told(swarm.memory, Node(printed="MemAvailable:     1000000 kB\n"))[0][0] == "ok"
    assert told(swarm.memory, Node(printed="nothing"))[0][0] == "unknown"
    found = told(swarm.tools, Node("a", printed="ss\ncurl\n"), Node("b", printed="curl\n"))
    assert [(level, text) for level, text, _ in found] == [
        ("error", "a: there is no command ss"),
        ("info", "a, b: there is no command curl"),
    ]


def test_a_swarm_of_which_nothing_is_reached_is_told_all_the_same():
    found = swarm.look(patient(unreached={"a": "node a: no; b", "c": "node c: no; d"}, wrong=["node e: x; y"]))
    assert [(one.check, one.nodes) for one in found] == [("reach", ("a",)), ("reach", ("c",)), ("members", ("e",))]
    found = swarm.look(patient(unreached={"a": "node a: no; b"}))
    assert [(one.check, str(one.level)) for one in found] == [("reach", "error"), ("members", "unknown")]


# This machine


def ran(out="", code=0, err=""):
    return lambda *_, **__: subprocess.CompletedProcess([], code, out, err)


def told_here(look, **how):
    found = examine({"one": look}, here.Patient(**how))
    check_words(found)
    return [(str(one.level), str(one)) for one in found]


def test_networks_of_labs_that_are_taken(monkeypatch):
    assert told_here(here.addresses, engine=Outer()) == [("ok", "192.168.56.0/24 is free")]
    ((level, text),) = told_here(here.addresses, engine=Outer(known=lines("vboxnet0")))
    assert (level, text) == ("info", "192.168.56.0/24 is taken by vboxnet0; the next lab uses 192.168.57.0/24")
    ((level, text),) = told_here(here.addresses, engine=Outer([("big", "192.168.0.0/16")]))
    assert (level, "by the engine's network big" in text) == ("error", True)
    monkeypatch.setattr(here, "routes", lambda: parse(lines("vboxnet0")))
    assert told_here(here.addresses)[0][0] == "info"
    inside = Outer(known=lines("vboxnet0"))
    inside.own = object()
    assert told_here(here.addresses, engine=inside)[0][1].startswith("not looked at")


def of_engine(look, folder="/nowhere", made=True, **info):
    images = SimpleNamespace(list=lambda **_: ["one"] * made)
    told = {"OSType": "linux", "Driver": "overlay2", "DockerRootDir": str(folder), **info}
    return told_here(look, engine=SimpleNamespace(client=SimpleNamespace(info=lambda: told, images=images)))


@pytest.mark.parametrize(
    ("info", "level", "words"),
    [
        ({}, "ok", "overlay2, control groups of version 1; containers are confined by nothing"),
        (
            {
                "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
                "CgroupVersion": "2",
            },
            "ok",
            "control groups of version 2; containers are confined by apparmor, seccomp, nodes by nothing",
        ),
        ({"SecurityOptions": ["name=selinux"]}, "info", "SELinux confines containers"),
        ({"SecurityOptions": ["name=userns"]}, "error", "maps the users of containers (userns-remap)"),
        ({"OSType": "windows"}, "error", "runs containers of windows"),
        ({"Driver": "vfs"}, "warning", "stores images with vfs"),
        ({"MemoryLimit": False, "PidsLimit": False}, "warning", "cannot limit memory and processes"),
        ({"CpuCfsQuota": False}, "warning", "cannot limit processors"),
        ({"MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}, "ok", "overlay2"),
    ],
)
def test_settings_of_the_engine(monkeypatch, info, level, words):
    monkeypatch.setattr(here.engine.fitness, "own_settings", dict)
    first = of_engine(here.engine_settings, **info)[0]
    assert first[0] == level
    assert words in first[1]


def test_an_engine_that_makes_no_rules_of_the_firewall(monkeypatch, tmp_path):
    monkeypatch.setattr(here.engine.fitness, "_SETTINGS", tmp_path / "daemon.json")
    assert of_engine(here.engine_settings)[0][0] == "ok"
    (tmp_path / "daemon.json").write_text('{"iptables": false}')
    assert of_engine(here.engine_settings)[0][0] == "warning"
    (tmp_path / "daemon.json").write_text("no JSON")
    assert of_engine(here.engine_settings)[0][0] == "ok"


def test_room_and_limits(monkeypatch, tmp_path):
    usage = SimpleNamespace(free=2 * 2**30)
    monkeypatch.setattr(here.engine.fitness.shutil, "disk_usage", lambda _: usage)
    assert of_engine(here.disk, tmp_path)[0][0] == "ok"
    assert of_engine(here.disk, tmp_path, made=False) == [
        ("warning", f"{tmp_path}, where the engine keeps images and volumes, has 2.0 GiB free")
    ]
    assert of_engine(here.disk, "/run/of/another/machine", made=False)[0][0] == "ok"
    assert told_here(here.disk)[0][0] == "ok"
    monkeypatch.setattr(here.engine, "_PID_MAX", tmp_path / "pid_max")
    (tmp_path / "pid_max").write_text("1024")
    assert told_here(here.limits) == [("warning", "this machine has room for 1024 threads")]
    (tmp_path / "pid_max").write_text("32768")
    assert told_here(here.limits)[0][0] == "ok"


@pytest.mark.parametrize(("machine", "level"), [("x86_64", "ok"), ("aarch64", "info"), ("s390x", "warning")])
def test_architectures(monkeypatch, machine, level):
    monkeypatch.setattr(here.platform, "machine", lambda: machine)
    assert told_here(here.architecture)[0][0] == level


def test_rights_and_namespaces(monkeypatch):
    monkeypatch.setattr(here, "as_root", lambda: None)
    assert told_here(here.rights)[0][0] == "error"
    assert told_here(here.rights, engine=SimpleNamespace(own=None))[0][0] == "warning"
    assert told_here(here.namespaces)[0][0] == "info"
    monkeypatch.setattr(here, "as_root", lambda: [])
    monkeypatch.setattr(here, "_run", ran(code=1, err="unshare: Operation not permitted"))
    assert told_here(here.namespaces)[0] == (
        "error",
        "no network namespace can be made: unshare: Operation not permitted",
    )


def test_in_a_container_of_the_engine_nothing_is_asked_of_this_machine_that_the_engine_does(monkeypatch):
    monkeypatch.setattr(here, "as_root", lambda: None)
    monkeypatch.setattr(here.shutil, "which", lambda name: None if name in ("iptables", "nsenter") else name)
    engine = SimpleNamespace(own=SimpleNamespace(), private=False)
    for look in (here.rights, here.namespaces, here.programs):
        assert told_here(look, engine=engine)[0][0] == "ok"


def test_modules_that_only_block_claims_are_no_trouble(monkeypatch):
    text = "=== swarmlab modules\nfolder /lib/modules/6\nloaded overlay\nloaded br_netfilter\n\n=== swarmlab. 0\n"
    monkeypatch.setattr(here, "_run", ran(text))
    found = told_here(here.modules)
    assert ("info", "this machine: kernel has no ip_vs") in found
    assert ("error", "this machine: kernel has no vxlan") in found
    monkeypatch.setattr(
        here, "_run", ran(text.replace("\n\n===", "\nloadable ip_vs\nkept ip_vs /etc/modprobe.d/x.conf\n\n==="))
    )
    assert ("info", "this machine: /etc/modprobe.d/x.conf keeps ip_vs from being loaded") in told_here(here.modules)


def test_programs_and_python(monkeypatch):
    monkeypatch.setattr(here.shutil, "which", lambda name: None if name == "ip" else name)
    assert told_here(here.programs) == [("warning", "there is no program ip")]
    assert told_here(here.python)[0][0] == "ok"
    monkeypatch.setattr(here.sys, "version_info", (3, 9, 1))
    assert told_here(here.python)[0] == ("error", "Python 3.9.1 is older than 3.10")


# The command


def test_the_status_and_the_last_line_follow_from_the_findings(monkeypatch, capsys):
    bad = Finding(Level.WARNING, "is odd", "a risk", check="one", mend="mend it")
    for found, status, last in (
        (
            [Finding(Level.OK, "fine", check="one"), Finding(Level.INFO, "so", check="two", mend="x")],
            0,
            "A run could work",
        ),
        ([bad], 1, "To mend before a run: 1 warning."),
        ([bad, bad], 1, "To mend before a run: 2 warnings."),
        ([Finding(Level.UNKNOWN, "not known", check="one", mend="x")], 1, "To mend before a run: 1 unknown."),
    ):
        monkeypatch.setattr(command, "_of_this_machine", lambda found=found: found)
        assert main(["doctor", "--host"]) == status
        assert last in capsys.readouterr().out.splitlines()[-1]
    assert main(["doctor", "--host", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["check"] == "one"


def test_it_looks_at_the_swarm_and_at_this_machine(monkeypatch, capsys):
    asked = []

    class Lab(SimpleNamespace):
        known = Inventory("swarm.yaml", (), registry="r.example")

        def down(self):
            asked.append("down")

    def reach(request, _, *, wrong):
        asked.append(dict(request.options))
        wrong.append("node a: x; y")
        return Lab()

    monkeypatch.setattr(command.EXISTING, "reach", reach)
    monkeypatch.setattr(command.EXISTING, "check", lambda _: None)
    monkeypatch.setattr(command.here, "met", lambda _: here.Patient())
    monkeypatch.setattr(command.here, "look_for_existing", lambda _, registry: asked.append(registry) or [])
    monkeypatch.setattr(command.swarm, "look", lambda found: [from_line(line) for line in found.wrong])
    assert main(["doctor", "--inventory", "swarm.yaml", "--ports", "40000-40099"]) == 1
    assert "a: x" in capsys.readouterr().out
    assert asked[0] == {"--inventory": "swarm.yaml", "--group": "", "--ports": "40000-40099"} | (
        {"--may-disrupt": ""} if "--may-disrupt" in asked[0] else {}
    )
    assert True in asked
    assert asked[-1] == "down"


def test_an_engine_that_is_named_and_silent_is_a_finding(monkeypatch, capsys):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(here, "CHECKS", {})
    assert main(["doctor", "--host"]) == 1
    assert "no engine answers at DOCKER_HOST=" in capsys.readouterr().out
    with pytest.raises(UsageError):
        raise here.met(print).failed
    assert check.wrong(here.look(here.met(print)))
