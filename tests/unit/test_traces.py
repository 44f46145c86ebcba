import os
import subprocess
from types import SimpleNamespace

import pytest

from suites.support.traces import Traces
from swarmlab.cluster.node import Result
from swarmlab.cluster.workbench import Workbench
from swarmlab.errors import LabError

TEXT = "0a1b2c"


class Machine(SimpleNamespace):
    def __str__(self):
        return self.name


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A node on this machine, whose engine's state is in a folder; its programs may be replaced."""
    monkeypatch.setattr("swarmlab.cluster.workbench.FOLDERS", str(tmp_path))
    for folder in ("containers/mine", "containers/theirs/local-logs", "swarm/raft", "tmp", "programs"):
        (tmp_path / folder).mkdir(parents=True)
    path = f"{tmp_path}/programs:{os.environ['PATH']}"

    def run(command):
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={"PATH": path}, check=False)
        return Result(command, done.returncode, done.stdout, done.stderr, "m1")

    containers = [
        {"Id": "mine", "Names": ["/swc-holder-0a1b2c.1"], "Labels": {}},
        {"Id": "theirs", "Names": ["/shop.1"], "Labels": {}},
    ]
    return Machine(name="m1", run=run, data_root=lambda: str(tmp_path), containers=lambda **_: containers)


@pytest.fixture
def traces(machine):
    made = Traces(SimpleNamespace(nodes=[machine], bench=lambda node: Workbench(node, str, int)))
    yield made
    made.end()


def holds(path, since=0):
    path.write_text(f"x {TEXT} y")
    if since:
        os.utime(path, (since, since))
    return str(path)


def test_files_with_a_secret_are_found_on_disk(machine, traces, tmp_path):
    found = [holds(tmp_path / "swarm/raft/wal"), holds(tmp_path / "containers/mine/mine-json.log")]
    assert traces.files(machine, TEXT) == sorted(found)
    assert not list((tmp_path / "tmp").iterdir())


def test_what_is_older_and_what_others_log_is_not_looked_into(machine, traces, tmp_path):
    holds(tmp_path / "swarm/raft/old", since=1)
    holds(tmp_path / "containers/theirs/theirs-json.log.1")
    holds(tmp_path / "containers/theirs/local-logs/container.log")
    assert traces.files(machine, TEXT) == []
    found = holds(tmp_path / "containers/theirs/config.v2.json")
    assert traces.files(machine, TEXT) == [found]


@pytest.mark.parametrize("script", ["echo find: invalid number >&2; exit 1", "exit 0"])
def test_a_find_that_finds_nothing_is_no_look(machine, traces, tmp_path, script):
    program = tmp_path / "programs/find"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(LabError, match=r"m1 could not be searched: .*/tmp/swc-trace"):
        traces.files(machine, TEXT)


def test_a_node_without_the_engines_folder_is_not_searched(machine, traces, tmp_path):
    machine.data_root = lambda: f"{tmp_path}/elsewhere"
    with pytest.raises(LabError, match=r"m1 could not be searched: .*elsewhere"):
        traces.files(machine, TEXT)


def test_the_stamp_is_removed(traces, tmp_path):
    assert list(tmp_path.glob("swc-folder-*"))
    traces.end()
    assert not list(tmp_path.glob("swc-folder-*"))
