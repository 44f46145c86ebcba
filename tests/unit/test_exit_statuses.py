"""The table of exit statuses in the reference: every cell that says yes is tried, and no command ends otherwise."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

from swarmlab.paths import ROOT
from swarmlab.wait import wait
from tests.unit.helpers import CONFTEST, HEADER, start

pytest_plugins = ["pytester"]

SWARMLAB = [sys.executable, "-m", "swarmlab"]
SUITES = [sys.executable, "-m", "pytest", "suites"]
GIVEN = {"schema": 1, "started": "2026-11-24T10:00:00+00:00", "seconds": 1, "lab": {}, "nodes": [], "not_run": {}}
CLAIM = {"id": "7.2.2/inspect", "must": "It must.", "level": "major", "reason": "", "evidence": [], "tests": []}


def documented():
    """Return the statuses that the table gives for pytest and for swarmlab."""
    page = (ROOT / "docs/reference/exit-statuses.md").read_text(encoding="utf-8")
    table = page.partition("\n\n")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {
        name: {int(row[0]) for row in cells if row[column] != "no"} for name, column in (("pytest", 2), ("swarmlab", 3))
    }


def claim(name, body):
    return f"@claim('7.2.2/{name}')\ndef test_{name.replace('-', '_')}(lab): {body}\n"


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    pytester.makeini("[pytest]\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    (pytester.path / "suites").mkdir()
    rest = claim("ls-columns", "pass") + claim("managers-only", "pass")
    (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + rest + claim("inspect", "pass"))
    for name, verdict in (("good", "pass"), ("bad", "fail")):
        (pytester.path / name).mkdir()
        verdicts = {"summary": {verdict: 1}, "claims": [{**CLAIM, "verdict": verdict, "seconds": 1}]}
        (pytester.path / name / "verdicts.json").write_text(json.dumps(GIVEN | verdicts))
    (pytester.path / "file").write_text("{}")
    (pytester.path / "likeness.json").write_text("{}")
    os.mkfifo(pytester.path / "fifo")
    return pytester


def change(project, body):
    module = project.path / "suites" / "test_it.py"
    module.write_text(module.read_text().replace(claim("inspect", "pass"), claim("inspect", body)))


def ended(project, command, **options):
    return subprocess.run(command, cwd=project.path, capture_output=True, text=True, timeout=100, **options)


def interrupted(project, command, ready, number, afterwards=lambda: None):
    process = start(command, project.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait(ready, "the command to be at work", deadline=60)
        process.send_signal(number)
        afterwards()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class Writer:
    """The writer of a pipe, who writes nothing: a command that reads the pipe waits for it."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.end = None

    def has_reader(self):
        try:
            self.end = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def close(self):
        os.close(self.end)


#: How each status of pytest comes about: a change of a test, and options.
PYTEST = {
    0: ("pass", []),
    1: ("assert False, 'not so'", []),
    3: ("pass", ["--reports", "file"]),
    4: ("pass", ["--profile", "nonsense"]),
    5: ("pass", ["-k", "nothing-has-this-name"]),
}
#: The same of swarmlab, as command lines; several where several commands have it.
COMMANDS = {
    0: ["compare bad good", "report good --out new/page.html", "results good", "--version"],
    1: ["compare good bad"],
    2: [
        "compare good nowhere",
        "compare good file",
        "report file",
        "report nowhere",
        "results file",
        "results good --out good",
        "rehearse --like likeness.json",
        "rehearse --like file",
        "rehearse --like nowhere",
        "rehearse --path 20.10.24 --to forky",
        "up --nodes 0",
        "up --nonsense",
        "nonsense",
        "",
    ],
    3: [
        "report good --out file/page.html",
        "report good --out /proc/page.html",
        "results good --out /dev/full",
        "rehearse --out file",
        "rehearse --out /proc/nowhere",
    ],
}


def test_every_status_of_the_table_is_tried():
    assert documented() == {
        "pytest": {*PYTEST, 2},
        "swarmlab": {*COMMANDS, 128 + signal.SIGHUP, 128 + signal.SIGINT, 141, 128 + signal.SIGTERM},
    }


@pytest.mark.parametrize("status", PYTEST)
def test_pytest_ends_as_the_table_says(project, status):
    body, options = PYTEST[status]
    change(project, body)
    ran = ended(project, [*SUITES, *options])
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_pytest_that_is_interrupted_ends_as_the_table_says(project, number):
    change(project, "open('stands', 'w'); import time; time.sleep(60)")
    ran = interrupted(project, SUITES, (project.path / "stands").exists, number)
    assert ran.returncode == 2, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("status", "command"), [(status, command) for status, commands in COMMANDS.items() for command in commands]
)
def test_swarmlab_ends_as_the_table_says(project, status, command):
    ran = ended(project, [*SWARMLAB, *command.split()])
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    if status in (2, 3):
        lines = [line for line in ran.stderr.splitlines() if not re.match(r"usage:|\s", line)]
        assert len(lines) == 1, ran.stderr
        assert not ran.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_swarmlab_that_is_interrupted_ends_as_the_table_says(project, number):
    writer = Writer(project.path / "fifo")
    # Closed after the signal: that may come just before the command begins to read, which it then would for ever.
    ran = interrupted(project, [*SWARMLAB, "results", "fifo"], writer.has_reader, number, writer.close)
    assert ran.returncode == 128 + number, ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_swarmlab_whose_reader_has_gone_ends_as_the_table_says(project):
    reading, writing = os.pipe()
    os.close(reading)
    command = [*SWARMLAB, "results", "good"]
    ran = subprocess.run(command, cwd=project.path, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")
