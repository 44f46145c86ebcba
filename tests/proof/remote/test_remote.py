"""Engines whose networks a command cannot reach: it runs in a container of theirs, and what it writes comes back.

`make proof-remote` (half an hour). The engine is in namespaces of its own, and its user on a machine of another name:
over ssh, over TLS by a Docker context, and an ordinary user of this machine who may use the engine and not enter it.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlab.host import cache_folder, run_folder
from swarmlab.images.engines import engine_choice
from swarmlab.images.run_image import environment_image
from swarmlab.images.workshop import Workshop
from swarmlab.paths import ROOT
from swarmlab.wait import wait
from tests.proof.remote.far import ENGINE, GROUP, PERSON, SSH_PORT, TLS_PORT, Certificates, Far, as_person, open_folder

PYTHON = [sys.executable, "-m"]
SMOKE = ["pytest", "suites/", "--profile", "smoke"]
SAYS = "so this runs in a container there"
pytestmark = pytest.mark.lab

#: How long a command may take.
LONG = 900


def say(line):
    print(line, file=sys.stderr, flush=True)


@pytest.fixture(scope="module")
def far():
    with open_folder() as folder, contextlib.closing(Far(folder, cache_folder() / "far")) as made:
        made.clean()
        client = made.client()
        Workshop(client, say).prepare([engine_choice("")])
        environment_image(client, say)
        client.close()
        yield made


class Way:
    """How a user reaches the engine: what stands before a command, and its environment."""

    def __init__(self, far, before, **environment):
        self.far, self.before = far, before
        self.environment = far.environment(**environment)

    def start(self, *words, **more):
        return subprocess.Popen(
            [*self.before, *PYTHON, *map(str, words)],
            cwd=ROOT,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which jobs in the background ignore
        )

    def run(self, *words, **more):
        with self.start(*words, **more) as process:
            printed, _ = process.communicate(timeout=LONG)
        say(printed)
        return process.returncode, printed

    def leavings(self):
        """What commands have left on the user's side."""
        return [path.name for path in (run_folder() / "tunnels").glob("*")]


def over_ssh(far):
    return Way(far, inside(far.user), DOCKER_HOST=f"ssh://{ENGINE}:{SSH_PORT}")


def by_context(far):
    way = Way(far, inside(far.user))
    if not (far.home() / ".docker" / "contexts").exists():
        files = ",".join(f"{part}={far.tls.folder}/{part}.pem" for part in ("ca", "cert", "key"))
        where = f"host=tcp://{ENGINE}:{TLS_PORT},{files}"
        for words in (["create", "far", "--docker", where], ["use", "far"]):
            subprocess.run(["docker", "context", *words], env=way.environment, check=True, capture_output=True)
    return way


def in_a_namespace(far):
    return Way(far, [*inside(far.person), *as_person(GROUP)], DOCKER_HOST=far.local)


def inside(machine):
    return [*machine.inside, f"--wd={ROOT}"]


WAYS = [over_ssh, by_context, in_a_namespace]


@pytest.fixture
def out(far):
    made = far.home() / "out"
    with contextlib.suppress(FileExistsError):
        made.mkdir()
    os.chown(made, PERSON, PERSON)
    return made


@pytest.mark.parametrize("way", WAYS)
def test_a_run_gives_its_verdicts_and_reports_here(far, out, way):
    reports, metrics = out / way.__name__, out / f"{way.__name__}.prom"
    made = way(far)
    status, printed = made.run(*SMOKE, f"--reports={reports}", "--metrics", metrics)
    assert status == 0
    assert printed.count(SAYS) == 1
    raw = json.loads((reports / "latest" / "verdicts.json").read_text())
    assert raw["summary"]["pass"] == len(raw["claims"]) >= 5
    assert any((reports / "latest" / "evidence").iterdir())
    assert "swarmlab" in metrics.read_text()
    owner = PERSON if way is in_a_namespace else 0
    assert {path.stat().st_uid for path in reports.rglob("*")} == {owner}
    status, printed = made.run("swarmlab", "verify", reports)
    assert status == 0
    assert far.left() == []
    assert made.leavings() == []


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_ends_the_run_there_and_leaves_nothing(far, out, way):
    reports = out / f"{way.__name__}-interrupted"
    made = way(far)
    process = made.start(*SMOKE, f"--reports={reports}")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("1/"):
            os.killpg(process.pid, signal.SIGINT)
            break
    lines += process.stdout.readlines()
    say("".join(lines))
    assert process.wait(60) == 2
    assert re.search(r"^interrupted by SIGINT; lab \S+ was taken down$", "".join(lines), re.MULTILINE)
    assert json.loads((reports / "latest" / "verdicts.json").read_text())["summary"]["pass"] >= 1
    assert far.left() == []
    assert made.leavings() == []


def test_a_command_that_is_killed_ends_there_too(far, out):
    made = over_ssh(far)
    process = made.start(*SMOKE, f"--reports={out / 'killed'}")
    next(line for line in process.stdout if line.startswith("1/"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    def over():
        left = far.left()
        return len(left) == 1 and "exited" in left[0]

    wait(over, "the run to end after its command", deadline=180)
    # The next command that goes there removes it.
    status, _ = made.run("swarmlab", "down", "--all")
    assert (status, far.left()) == (0, [])


def test_a_lab_stands_and_is_worked_in_from_here(far, out):
    made = by_context(far)
    status, printed = made.run("swarmlab", "up", "--name", "far")
    assert status == 0, printed
    try:
        status, printed = made.run("swarmlab", "status")
        assert re.search(r"^  master +192\.168\.\d+\.101 +running", printed, re.MULTILINE)
        status, printed = made.run("swarmlab", "shell", "master", "--name", "far", "--", "hostname; exit 7")
        assert (status, printed.splitlines()[-1]) == (7, "master")
        status, printed = made.run("swarmlab", "logs", "--name", "far", out / "logs.tar.gz")
        assert status == 0
        assert (out / "logs.tar.gz").stat().st_size > 1000
        status, printed = made.run(*SMOKE, "--lab-name", "far", f"--reports={out / 'standing'}")
        assert status == 0
    finally:
        status, printed = made.run("swarmlab", "down", "--name", "far")
    assert status == 0
    assert far.left() == []


# What is wrong is one line, and nothing is made


def refused(way, *words, **environment):
    status, printed = way.run(*(words or SMOKE), **environment)
    assert status == (4 if not words else 2), printed
    lines = [line for line in printed.splitlines() if line.strip()]
    assert len(lines) == 1, printed
    assert way.far.left() == []
    return lines[0]


def test_ssh_that_refuses_or_that_nobody_answers(far):
    made = over_ssh(far)
    line = refused(made, DOCKER_HOST=f"ssh://{ENGINE}:{SSH_PORT + 1}")
    assert "ssh cannot connect: " in line
    assert "Connection refused" in line
    line = refused(made, "swarmlab", "up", DOCKER_HOST=f"ssh://nosuch@{ENGINE}:{SSH_PORT}")
    assert "Permission denied" in line
    line = refused(made, "swarmlab", "status", DOCKER_HOST=f"ssh://{ENGINE}:{SSH_PORT}/run/none.sock")
    assert "reaches no engine" in line


def test_certificates_that_are_missing_expired_or_of_another_authority(far, tmp_path):
    made = Way(far, inside(far.user), DOCKER_HOST=f"tcp://{ENGINE}:{TLS_PORT}", DOCKER_TLS_VERIFY="1")
    assert "ca.pem cannot be read: No such file" in refused(made)
    old = Certificates(tmp_path / "old", days=1, begun=3)
    assert "cert.pem expired on" in refused(made, DOCKER_CERT_PATH=str(old.folder))
    foreign = Certificates(tmp_path / "foreign")
    assert "TLS: certificate verify failed" in refused(made, DOCKER_CERT_PATH=str(foreign.folder))
    assert "it speaks TLS only" in refused(made, "swarmlab", "up", DOCKER_TLS_VERIFY="")


def test_a_context_that_does_not_exist(far):
    assert "there is no such context" in refused(by_context(far), DOCKER_CONTEXT="none")


def test_the_socket_of_the_engine_is_not_where_it_is_said_to_be(far):
    made = over_ssh(far)
    status, printed = made.run("swarmlab", "up", SWARMLAB_ENGINE_SOCKET="/run/none.sock")
    assert status == 2
    assert printed.splitlines()[-1].endswith(
        "has no socket at /run/none.sock on its machine; set SWARMLAB_ENGINE_SOCKET to its path there"
    )
    assert far.left() == []


def test_a_user_without_rights_is_told_so(far):
    made = Way(far, [*inside(far.person), *as_person()], DOCKER_HOST=far.local)
    refused(made, "swarmlab", "status")


def test_who_may_enter_the_namespace_needs_no_container(far):
    status, printed = Way(far, [], DOCKER_HOST=far.local).run("swarmlab", "status")
    assert (status, printed) == (0, "no lab is up\n")
    assert Path(f"/proc/{far.engine.holder.pid}").exists()
