"""One run at a time uses a lab that stands."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.labs import using
from swarmlab.labs.standing import Standing
from swarmlab.ownership import USER, this_process
from swarmlab.paths import ROOT
from tests.unit.helpers import Volumes

HOLDS = """
import json, time
from types import SimpleNamespace
from swarmlab.labs import using
from swarmlab.labs.standing import Standing
from tests.unit.helpers import Volumes
volumes = Volumes()
held = using.hold(SimpleNamespace(client=SimpleNamespace(volumes=volumes)), Standing("one", "user", True))
print(json.dumps(volumes), flush=True)
time.sleep(60)
"""


@pytest.fixture
def outer():
    return SimpleNamespace(client=SimpleNamespace(volumes=Volumes()))


def lab(owner=USER, alive=True):
    return Standing("one", owner, alive)


@pytest.fixture
def other(outer):
    """Another process that holds the lab."""
    command = [sys.executable, "-c", HOLDS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        outer.client.volumes.update(json.loads(process.stdout.readline()))
        yield process
        process.kill()


def test_a_lab_that_another_process_uses_is_not_used(outer, other):
    with pytest.raises(UsageError, match=rf"lab one is in use by process {other.pid} \(.*; since 20.*\); wait until"):
        using.hold(outer, lab())


def test_a_process_that_is_killed_holds_nothing(outer, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    using.hold(outer, lab()).close()


def test_a_lab_is_given_back(outer):
    using.hold(outer, lab()).close()
    with using.hold(outer, lab()), pytest.raises(UsageError, match=f"in use by process {os.getpid()} "):
        using.hold(outer, lab())
    using.hold(outer, lab()).close()


def test_a_lab_that_another_run_made_for_itself_is_not_used(outer):
    with subprocess.Popen(["sleep", "60"]) as process:
        with pytest.raises(UsageError, match=f"lab one was made by process {process.pid}, which is at work; wait"):
            using.hold(outer, lab(f"{socket.gethostname()}/{process.pid}/1"))
        process.kill()
    using.hold(outer, lab(f"{socket.gethostname()}/{process.pid}/1", alive=False)).close()


def test_a_process_uses_the_lab_of_the_process_that_started_it(outer):
    using.hold(outer, lab(this_process())).close()
    using.hold(outer, lab(f"{socket.gethostname()}/{os.getppid()}/1")).close()


def test_what_removes_or_cleans_a_lab_waits_for_its_run(outer, other, monkeypatch, capsys):
    outer.release = lambda: None
    removed = []
    for name in ("standing", "revived"):
        monkeypatch.setattr(f"swarmlab.labs.outer.{name}", lambda _: outer)
    monkeypatch.setattr("swarmlab.labs.standing.labs", lambda _: [lab(), Standing("two", USER, True)])
    monkeypatch.setattr("swarmlab.labs.registry.remove", lambda _, name, __: removed.append(name))
    for command in ("down --name one", "cleanup --name one", "down --all"):
        assert main(command.split()) == 2
        assert f"swarmlab: lab one is in use by process {other.pid} " in capsys.readouterr().err
    assert removed == ["two"]
    other.kill()
    other.wait()
    assert main(["down", "--name", "one"]) == 0
    assert removed == ["two", "one"]


@pytest.fixture
def theirs(outer, monkeypatch):
    """A lab of another user, and the names of the labs that were removed."""
    outer.release = lambda: None
    removed = []
    made = Standing("one", USER, True, person="ops")
    for name in ("standing", "revived"):
        monkeypatch.setattr(f"swarmlab.labs.outer.{name}", lambda _: outer)
    monkeypatch.setattr("swarmlab.labs.standing.person", lambda: "me")
    monkeypatch.setattr("swarmlab.labs.standing.labs", lambda _: [made, Standing("two", USER, True, person="me")])
    monkeypatch.setattr("swarmlab.labs.registry.remove", lambda _, name, __: removed.append(name))
    return removed


@pytest.mark.parametrize("command", ["down --name one", "cleanup --name one"])
def test_a_lab_of_another_user_is_not_touched_by_a_script_without_yes(theirs, capsys, monkeypatch, command):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    assert main(command.split()) == 2
    told = capsys.readouterr().err
    assert told == "swarmlab: lab one is ops's, and stays; add --yes if that is agreed with ops\n"
    assert theirs == []


def test_all_labs_are_those_of_this_user_unless_yes_is_given(theirs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: PTH123, SIM115
    assert main(["down", "--all"]) == 0
    assert "lab one is ops's, and stays" in capsys.readouterr().err
    assert theirs == ["two"]
    assert main(["down", "--all", "--yes"]) == 0
    assert theirs == ["two", "one", "two"]


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("\n", 2), ("no\n", 2), ("", 2)])
def test_on_a_terminal_it_is_asked(theirs, monkeypatch, capsys, answer, status):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["down", "--name", "one"]) == status
    assert "swarmlab: lab one is ops's; take it down? [y/N] " in capsys.readouterr().err
    assert theirs == (["one"] if status == 0 else [])


@pytest.mark.parametrize(
    "options",
    [["-n", "2"], ["--tx", "2*popen", "--dist", "load"]],
)
def test_processes_of_one_run_do_not_share_a_lab(options, tmp_path):
    command = [sys.executable, "-m", "pytest", "suites/", "--lab-name", "one", "--reports", str(tmp_path / "reports")]
    ran = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert (ran.returncode, len(lines)) == (4, 1), lines
    assert "-n: all tests share lab one, so a run on it has one process; leave -n out, or leave --lab-name" in lines[0]
    assert not (tmp_path / "reports").exists()
