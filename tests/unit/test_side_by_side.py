"""How many processes a run has, and in which order they take the tests."""

import subprocess
import sys
import textwrap

import pytest

from fixtures.side_by_side import longest_first
from swarmlab.paths import ROOT
from swarmlab.verdicts.results import load
from swarmlab.verdicts.seconds import Seconds
from swarmlab.verdicts.suites import Suites
from tests.unit.helpers import CONFTEST, HEADER

pytest_plugins = ["pytester"]

TEST = next(test for test in Suites.read(ROOT / "suites", ROOT).tests if "ch3_volumes" in test)
NOTHING = ["-k", "nothing_has_this_name"]


def start(tmp_path, *options):
    """Start a run that selects nothing, and return what it printed."""
    command = [sys.executable, "-m", "pytest", "--reports", str(tmp_path / "reports"), *options, *NOTHING]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "which is at work" in ran.stdout + ran.stderr:
        pytest.skip("a host has one lab of machines, and another run uses it now")
    assert ran.returncode == 5, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["suites/ch3_volumes", "-x"], "as -x or --maxfail is for one"),
        (["suites/ch3_volumes", "-s"], "as -s is for one"),
        (["suites/ch3_volumes", "--profile", "smoke"], "as the profile smoke has few tests"),
        (["suites/ch3_volumes", "--lab", "vagrant"], "as --lab vagrant has one lab"),
        ([TEST], "as the tests are named one by one"),
    ],
)
def test_what_is_of_one_process_has_one(options, why, tmp_path):
    assert f"lab: one process, {why}" in start(tmp_path, *options).splitlines()


def test_the_number_is_chosen_for_the_machine_and_told(tmp_path):
    printed = start(tmp_path, "suites", "--engine", "bookworm")
    told = [line for line in printed.splitlines() if line.startswith("lab: ")]
    assert len(told) == 1
    assert " GiB of free memory and " in told[0]
    assert "of tests" in told[0]


def test_a_number_that_is_given_is_taken(tmp_path):
    printed = start(tmp_path, "suites/ch3_volumes", "--engine", "bookworm", "-n", "0")
    assert "lab: " not in printed
    assert "created: " not in printed


def test_long_tests_start_first_and_each_lab_begins_with_the_documents_cluster(pytester):
    items = pytester.getitems(
        """
        import pytest
        own = pytest.mark.cluster(managers=3, spare=1)
        three = pytest.mark.cluster(managers=3)
        five = pytest.mark.cluster(managers=5)
        @pytest.mark.document_network
        def test_a(): pass
        def test_b(): pass
        def test_c(): pass
        def test_d(): pass
        def test_e(): pass
        @own
        def test_own_short(): pass
        @own
        def test_own_long(): pass
        @three
        def test_three(): pass
        @five
        def test_five(): pass
        @three
        def test_three_too(): pass
        """
    )
    took = {"a": 1, "b": 2, "c": 9, "d": 4, "e": 5, "own_short": 30, "own_long": 60, "five": 9, "three": 5}
    took["three_too"] = 6
    known = Seconds({item.nodeid: took[item.name.removeprefix("test_")] for item in items})
    names = [item.name.removeprefix("test_") for item in longest_first(items, known, 2)]
    assert names == ["a", "c", "e", "d", "own_long", "own_short", "three_too", "three", "five", "b"]


def test_a_worker_that_is_killed_is_replaced_and_the_rest_is_run_once_in_the_same_order(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ncomplete_sections = 7.2.2\n")
    plugins = '"fixtures.kept", "fixtures.shards", "fixtures.profiles", "fixtures.lab", "fixtures.side_by_side",'
    pytester.makeconftest(textwrap.dedent(CONFTEST.replace('"fixtures.profiles",', plugins)))
    (pytester.path / "suites").mkdir()
    tests = """
import signal
@claim('7.2.2/ls-columns', '7.2.2/inspect', '7.2.2/managers-only')
@pytest.mark.parametrize('n', range(9))
def test_one(cluster, n):
    open(f'ran-{n}', 'a').write('x')
    if n == 4:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + tests)
    ran = pytester.runpytest_subprocess("suites", "-n", "2", "--engine", "bookworm")
    assert ran.ret == 1
    run = load(pytester.path / "reports")
    assert len(run.raw["tests"]) == 9
    assert {file.name: file.read_text() for file in pytester.path.glob("ran-*")} == {f"ran-{n}": "x" for n in range(9)}
    assert len(run.raw["lost_workers"]) == 1
    assert {str(claim.verdict) for claim in run.claims.values()} == {"broken"}
