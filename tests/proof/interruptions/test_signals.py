"""Commands are interrupted at all moments and in all ways: nothing is left, and the last line says so.

`make proof-interruptions` (half an hour).
"""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass

import pytest

from swarmlab.labs import standing
from swarmlab.ownership import USER
from swarmlab.paths import ROOT
from swarmlab.wait import wait
from tests.proof.interruptions.trial import Trial, engine_of_trials, program

pytestmark = pytest.mark.lab

NAME = f"trial-{os.getpid()}"
ONE = ["suites/ch2_networks/test_commands.py", "-v", "-p", "no:randomly"]
UP = ["swarmlab", "up", "--name", f"{NAME}-up"]
OWN = ["pytest", *ONE, "--engine", "bookworm"]  # with an engine it takes a lab of its own
PYTEST = [*OWN, "-n", "0"]
WORKERS = [*OWN, "-n", "2"]
#: Tests that start runs of pytest, which make the labs.
PROOF = ["pytest", "tests/proof/claims", "-m", "lab", "-n", "2", "-k", "docker0 or hosts"]
REHEARSE = ["swarmlab", "rehearse", "--from", "bookworm", "--to", "trixie", "--managers", "1", "--workers", "2"]


@dataclass(frozen=True)
class Case:
    """One interruption.

    Attributes:
        name: it names the test.
        command: the program of this environment and its arguments.
        moment: see `Trial.wait_for`.
        signals: what is sent, each a third of a second after the one before.
        group: send them to the whole group, as a terminal does.
        line: a regular expression that the last line matches.
    """

    name: str
    command: list
    moment: str
    signals: tuple = (signal.SIGINT,)
    group: bool = True
    line: str = r"lab \S+ was taken down$"

    @property
    def status(self):
        return 2 if self.command[0] == "pytest" else 128 + self.signals[0]


INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
NO_LAB = "it had made no lab$"
CASES = [
    Case("up-loading", UP, "loading", line=NO_LAB),
    Case("up-network", UP, "network"),
    Case("up-network-pid", UP, "network", group=False),
    Case("up-nodes-thrice", UP, "nodes", (INT, INT, INT)),
    Case("up-nodes-term-pid", UP, "nodes", (TERM,), group=False),
    Case("up-forming-twice", UP, "forming the swarm", (INT, INT)),
    Case("up-forming-hup", UP, "forming the swarm", (HUP, HUP), group=False),
    Case("pytest-loading", PYTEST, "loading", line=NO_LAB),
    Case("pytest-nodes", PYTEST, "nodes"),
    Case("pytest-nodes-term-pid", PYTEST, "nodes", (TERM, TERM), group=False),
    Case("pytest-test-thrice", PYTEST, r"test_\w+\S* PASSED", (INT, INT, INT)),
    Case("pytest-test-hup", PYTEST, r"test_\w+\S* PASSED", (HUP,), group=False),
    Case("workers-nodes-twice", WORKERS, "nodes", (INT, INT)),
    Case("workers-test-pid", WORKERS, "PASSED", group=False),
    Case("workers-test-term-thrice", WORKERS, "PASSED", (TERM, TERM, TERM)),
    Case("proof-nodes", PROOF, "nodes", line="interrupted"),
    Case("proof-nodes-term-pid", PROOF, "nodes", (TERM, TERM), group=False, line="interrupted"),
    Case("rehearse-nodes", REHEARSE, "nodes", (INT, INT)),
    Case("rehearse-claims-pid", REHEARSE, "claims on", (TERM,), group=False),
    Case("rehearse-claims-thrice", REHEARSE, "claims on", (INT, INT, INT)),
]


@pytest.fixture(scope="module")
def engine():
    with engine_of_trials() as found:
        yield found


@pytest.fixture(scope="module")
def stands():
    """The name of a lab that is its user's."""
    name = f"{NAME}-stands"
    up = [program("swarmlab"), "up", "--name", name, "--nodes", "1"]
    subprocess.run(up, cwd=ROOT, check=True, capture_output=True)
    yield name
    down = [program("swarmlab"), "down", "--name", name]
    subprocess.run(down, cwd=ROOT, check=False, capture_output=True)


@pytest.fixture
def start():
    """Return a function that starts a command of this environment in a folder; what still runs is ended."""
    trials = []

    def start(command, folder, **how):
        first, *rest = command
        more = {"pytest": ["--reports", folder / "reports"], "rehearse": ["--out", folder / "reports"]}
        trials.append(Trial([program(first), *rest, *more.get(first, more.get(rest[0], []))], folder, **how))
        return trials[-1]

    yield start
    for trial in trials:
        trial.close()


def interrupt(trial, numbers, *, group):
    for number in numbers:
        trial.send(number, group=group)
        time.sleep(0.33)


def expect_nothing_left(trial, engine):
    wait(lambda: not trial.others(), "its processes to end", deadline=20)
    assert trial.left(engine) == []
    assert "Traceback" not in trial.output, trial.output[-3000:]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_nothing_is_left(case, start, engine, tmp_path):
    trial = start(case.command, tmp_path)
    trial.wait_for(case.moment, engine, deadline=300)
    interrupt(trial, case.signals, group=case.group)
    status = trial.end()
    print(trial.output[-2000:])
    expect_nothing_left(trial, engine)
    assert re.search(case.line, trial.last_line), trial.last_line
    assert f"interrupted by {case.signals[0].name}" in trial.last_line
    assert status == case.status


@pytest.mark.parametrize("command", [UP, PYTEST], ids=["up", "pytest"])
def test_a_terminal_that_is_gone_is_no_trouble(command, start, engine, tmp_path):
    trial = start(command, tmp_path, terminal=True)
    trial.wait_for("nodes", engine)
    trial.hang_up()
    assert trial.end() == (2 if command is PYTEST else 128 + HUP)
    expect_nothing_left(trial, engine)


@pytest.mark.parametrize("verb", ["preflight", "logs", "status"])
@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_a_command_that_only_looks_leaves_the_lab_as_it_is(verb, number, stands, start, engine, tmp_path):
    more = {"preflight": ["--name", stands], "logs": ["--name", stands, tmp_path / "logs"], "status": []}
    trial = start(["swarmlab", verb, *more[verb]], tmp_path)
    trial.wait_for("loading", engine)
    time.sleep(1)
    interrupt(trial, (number, number), group=True)
    status = trial.end()
    expect_nothing_left(trial, engine)
    if status not in (0, 1):  # it had ended before
        assert status == 128 + number
        assert re.search(rf"interrupted by {number.name}; {NO_LAB}", trial.last_line)
    assert [lab.owner for lab in standing.labs(engine) if lab.name == stands] == [USER]


@pytest.mark.parametrize("moment", ["loading", "1.5", "3"])
def test_down_is_not_broken_off(moment, start, engine, tmp_path):
    name = f"{NAME}-down"
    subprocess.run([program("swarmlab"), "up", "--name", name], cwd=ROOT, check=True, capture_output=True)
    trial = start(["swarmlab", "down", "--name", name], tmp_path)
    trial.wait_for(moment, engine)
    interrupt(trial, (INT, INT, INT), group=True)
    status = trial.end()
    print(trial.output)
    expect_nothing_left(trial, engine)
    there = [lab.name for lab in standing.labs(engine) if lab.name == name]
    assert status in (0, 130)
    assert bool(there) == ("was taken down" not in trial.output and "is gone" not in trial.output)
    subprocess.run([program("swarmlab"), "down", "--name", name], cwd=ROOT, check=False, capture_output=True)


def test_an_up_that_was_killed_is_removed_by_the_next_of_its_name(start, engine, tmp_path):
    killed = start(UP, tmp_path / "killed")
    killed.wait_for("nodes", engine)
    killed.send(signal.SIGKILL, group=False)
    killed.end()
    assert killed.labs(engine)
    following = start(UP, tmp_path / "next")
    assert following.end() == 0
    assert f"removing lab {UP[-1]} of a run that was killed" in following.output
    expect_nothing_left(killed, engine)
    assert [lab.owner for lab in standing.labs(engine) if lab.name == UP[-1]] == [USER]
    subprocess.run([program("swarmlab"), "down", "--name", UP[-1]], cwd=ROOT, check=True, capture_output=True)


def test_a_third_signal_ends_it_and_says_what_is_left(start, engine, tmp_path):
    """Of a run that does not end: the test's fixture takes long to tear down."""
    trial = start([*PYTEST, "-p", "tests.proof.interruptions.slow_end"], tmp_path)
    trial.wait_for("PASSED", engine)
    trial.send(INT, group=True)
    trial.wait_for("slow end begins", engine)
    time.sleep(3.2)
    trial.send(INT, group=True)
    trial.wait_for("another signal ends it at once", engine, deadline=10)
    trial.send(INT, group=True)
    assert trial.end(20) == 2
    (lab,) = trial.labs(engine)
    assert f"lab {lab.name} is left; the next run or `swarmlab down --name {lab.name}` removes it" in trial.last_line
    down = subprocess.run([program("swarmlab"), "down", "--name", lab.name], cwd=ROOT, check=True, capture_output=True)
    assert b"is gone" in down.stderr
    expect_nothing_left(trial, engine)
