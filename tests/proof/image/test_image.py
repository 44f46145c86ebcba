"""The project's image, with nothing but an engine: runs, commands, their end, and labs of others beside them.

`make proof-image` (a quarter of an hour). The image is made if the engine lacks it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from swarmlab import ownership
from swarmlab.images.run_image import run_image
from swarmlab.labs import outer, registry, standing
from swarmlab.labs.base import Request
from swarmlab.labs.containers.roots import ROOT as ROOT_OF_NODES
from swarmlab.labs.registry import DEFAULT
from swarmlab.labs.standing import KIND
from swarmlab.ownership import CONTAINER, LABEL, OWNER
from swarmlab.paths import ROOT
from swarmlab.wait import wait

pytestmark = pytest.mark.lab

#: The user and the group that have the folder of reports. The engine's machine does not know them.
USER, GROUP = 12345, 12346
#: A quick test on the lab's default cluster.
TEST = "suites/ch7_usage/test_discovery.py::test_a_container_of_docker_run_is_no_service"
#: Tests that take long enough to be interrupted, and to be there while others come and go.
LONG = "suites/ch7_usage"


def say(line):
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="module")
def engine():
    made = outer.connect(say)
    yield made
    made.release()


@pytest.fixture(scope="module")
def image(engine):
    return run_image(engine.client, say)


@pytest.fixture
def reports():
    """An ordinary user's folder of reports: not below pytest's, which is root's alone."""
    with tempfile.TemporaryDirectory(prefix="proof-image-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Path(folder) / "reports"
        made.mkdir()
        os.chown(made, USER, GROUP)
        yield made


@pytest.fixture
def started(engine, image, reports):
    """Return a function that starts a container of the image, and returns its process and its name."""
    names = []

    def start(*arguments, options=()):
        name = f"proof-image-{os.getpid()}-{len(names)}"
        names.append(name)
        command = ["docker", "run", "--rm", f"--name={name}", *options]
        command += ["-v", f"{engine.url.removeprefix('unix://')}:/var/run/docker.sock", "-v", f"{reports}:/reports"]
        environment = {**os.environ, "DOCKER_HOST": engine.url}
        process = subprocess.Popen(
            [*command, image, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return SimpleNamespace(process=process, name=name)

    yield start
    for name in names:
        with contextlib.suppress(docker.errors.NotFound):
            engine.client.containers.get(name).remove(force=True, v=True)


@pytest.fixture
def run(started):
    """Return a function that runs a container of the image to its end, and returns exit status and output."""

    def whole(*arguments, options=()):
        process = started(*arguments, options=options).process
        output, _ = process.communicate(timeout=1800)
        print(output[-6000:])
        return process.returncode, output

    return whole


def left(engine):
    """Return the names of what processes in containers have made on the engine; others may use it, too."""
    client, filters = engine.client, {"label": OWNER}
    parts = [*engine.containers(OWNER), *client.networks.list(filters=filters), *client.volumes.list(filters=filters)]
    found = []
    for part in parts:
        labels = part.attrs.get("Labels") or part.attrs.get("Config", {}).get("Labels") or {}
        if labels[OWNER].startswith(CONTAINER) and ROOT_OF_NODES not in labels:
            found.append(part.name)
    return found


def swarmlab(*arguments):
    return subprocess.run([sys.executable, "-m", "swarmlab", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def beside(engine):
    """A lab that this process has made on the engine's host: as a run there has one."""
    kind = DEFAULT
    lab = kind.make(engine, Request(name=f"beside-{os.getpid()}", nodes=1), say)
    lab.up()
    yield lab
    lab.down()


def test_the_smoke_passes_and_its_report_is_the_users(engine, run, reports, beside):
    before = [container.id for container in beside.containers()]
    status, output = run("--profile", "smoke")
    assert "Warning" not in output
    results = json.loads((reports / "latest" / "verdicts.json").read_text())
    verdicts = [claim["verdict"] for claim in results["claims"]]
    assert status == 0
    assert set(verdicts) == {"pass"}
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in [reports, *reports.rglob("*")]}
    assert owners == {(USER, GROUP)}
    assert left(engine) == []
    assert [container.id for container in beside.containers()] == before
    beside.nodes()[0].greet()


def test_a_folder_that_docker_makes_is_roots_and_yet_the_user_removes_what_is_in_it(run, reports):
    reports.rmdir()
    os.chown(reports.parent, USER, GROUP)
    assert run(TEST)[0] == 0
    assert (reports.stat().st_uid, (reports / "latest" / "verdicts.json").exists()) == (0, True)
    removed = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "rm", "-r", reports], check=False
    )
    assert removed.returncode == 0
    assert not reports.exists()


def test_labs_by_hand_are_made_seen_used_and_taken_down_from_different_containers(engine, run):
    assert run("swarmlab", "up", "--name", "from-image")[0] == 0
    try:
        for status, shown in (run("swarmlab", "status"), (0, swarmlab("status").stdout)):
            assert status == 0
            assert [line for line in shown.splitlines() if line.split()[:1] == ["slave02"] and "worker" in line], shown
        status, output = run(TEST, "--lab-name", "from-image")
        assert status == 0
        assert "using lab from-image" in output
        assert swarmlab("stop", "slave02", "--name", "from-image").returncode == 0
        assert run("swarmlab", "start", "slave02", "--name", "from-image")[0] == 0
        assert run("swarmlab", "shell", "slave02", "--name", "from-image", "--", "docker", "version")[0] == 0
    finally:
        assert run("swarmlab", "down", "--name", "from-image")[0] == 0
    assert left(engine) == []


def test_a_lab_of_the_host_is_used_from_a_container(engine, run):
    assert swarmlab("up", "--name", "from-host").returncode == 0
    try:
        status, output = run("swarmlab", "status")
        assert status == 0
        assert "does not answer" not in output
        assert run(TEST, "--lab-name", "from-host")[0] == 0
    finally:
        assert swarmlab("down", "--name", "from-host").returncode == 0
    assert left(engine) == []


def test_the_doctor_finds_that_a_run_could_work(run):
    status, output = run("swarmlab", "doctor")
    assert status == 0, output
    assert "host-engine" in output


def test_wrong_words_and_a_missing_engine_are_told_in_a_line(engine, image, run):
    status, output = run("swarmlab", "nothing-like-this")
    assert status == 2
    assert len(output.strip().splitlines()) == 1
    alone = subprocess.run(
        ["docker", "run", "--rm", image, "--profile", "smoke"],
        env={**os.environ, "DOCKER_HOST": engine.url},
        capture_output=True,
        text=True,
    )
    assert alone.returncode == 3
    assert "no folder is mounted at /reports" in alone.stderr
    assert "no engine answers at unix:///var/run/docker.sock of this container; give it" in alone.stdout


@pytest.mark.parametrize("way", ["a terminal's Ctrl-C", "docker stop"])
def test_an_interrupted_run_takes_its_lab_down(engine, started, way):
    one = started(LONG, "-n", "0")
    wait(lambda: _nodes(engine) >= 3, "the lab of the container to have nodes", deadline=300)
    if way == "docker stop":
        subprocess.run(
            ["docker", "stop", "--time=120", one.name], env={**os.environ, "DOCKER_HOST": engine.url}, check=True
        )
    else:
        one.process.send_signal(signal.SIGINT)  # which the docker command passes on
    output, _ = one.process.communicate(timeout=200)
    print(output[-3000:])
    assert "was taken down" in output.strip().splitlines()[-1]
    assert left(engine) == []


def _nodes(engine):
    members = [member for member in engine.containers(standing.NODE) if member.labels[OWNER].startswith(CONTAINER)]
    return len([member for member in members if member.status == "running"])


def test_what_a_killed_container_leaves_the_next_run_removes_and_no_more(engine, started, run, beside):
    one = started(LONG, "-n", "0")
    wait(lambda: _nodes(engine) >= 3, "the lab of the container to have nodes", deadline=300)
    mine = {lab.name for lab in standing.labs(engine) if lab.owner.startswith(CONTAINER)}
    # While it lives, neither a run on the host nor one in another container takes its lab for a killed run's.
    registry.remove_stale(engine, say)
    assert run("swarmlab", "up", "--name", "other", "--nodes", "1")[0] == 0
    assert run("swarmlab", "down", "--name", "other")[0] == 0
    assert mine | {beside.name} <= {lab.name for lab in standing.labs(engine)}
    engine.client.containers.get(one.name).kill("SIGKILL")
    one.process.communicate(timeout=60)
    assert left(engine)
    status, output = run(TEST)
    assert status == 0
    assert f"removing lab {mine.pop()} of a run that was killed" in output
    assert left(engine) == []
    beside.nodes()[0].greet()


def test_what_a_killed_process_of_the_host_left_is_removed_by_a_container(engine, run):
    ended = subprocess.Popen(["true"])
    ended.wait()
    owner = f"{socket.gethostname()}/{ended.pid}/1"
    labels = {LABEL: "left-by-host", OWNER: owner, KIND: DEFAULT.word}
    engine.client.networks.create("swarmlab-left-by-host", labels=labels)
    try:
        status, output = run(TEST)
        assert status == 0
        assert "removing lab left-by-host of a run that was killed" in output
        assert left(engine) == []
    finally:
        for network in engine.client.networks.list(names=["swarmlab-left-by-host"]):
            network.remove()


def test_a_process_knows_its_own_marks_only(engine):
    assert engine.own is None, "this proof runs on the engine's host"
    assert engine.alive(ownership.this_process()) is True
    assert engine.alive(f"{CONTAINER}0123456789ab/7/100") is False
