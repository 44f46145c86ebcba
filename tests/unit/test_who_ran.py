"""What a run notes of itself for its report: who ran it, with which options, when each test began and failed."""

import json
import os
import pwd
import textwrap

import pytest

from swarmlab import evidence
from swarmlab.host import user_name
from swarmlab.paths import ROOT
from swarmlab.verdicts.gathered import Gathered
from swarmlab.verdicts.verdict import Verdict
from tests.unit.helpers import CONFTEST, HEADER

pytest_plugins = ["pytester"]

ME = pwd.getpwuid(os.geteuid()).pw_name
TESTS = """
@claim('7.2.2/ls-columns')
def test_passes(): record('master', 'ls', 'all')
@claim('7.2.2/inspect')
def test_fails(): assert False, "slave01 lists nothing"
"""


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, ME),
        ({"SUDO_USER": "ops"}, f"ops, as {ME}"),
        ({"SUDO_USER": ME}, ME),
        ({"GITLAB_USER_LOGIN": "alice"}, f"alice, as {ME}"),
        ({"GITHUB_ACTOR": "bob"}, f"bob, as {ME}"),
    ],
)
def test_the_person_counts_and_the_user_is_named(monkeypatch, variables, name):
    for variable in ("SUDO_USER", "GITLAB_USER_LOGIN", "GITHUB_ACTOR"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert user_name() == name


def test_a_user_without_a_name_is_told_by_number(monkeypatch):
    def nobody(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert user_name().endswith(str(os.geteuid()))


def test_a_run_notes_it_and_tells_its_digest_last(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    (pytester.path / "suites").mkdir()
    (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + TESTS)
    ran = pytester.runpytest_inprocess("suites")
    (folder,) = (pytester.path / "reports" / "runs").iterdir()
    raw = json.loads((folder / "verdicts.json").read_text())
    assert raw["user"] == user_name()
    assert raw["options"]["lab-name"] is None
    texts = {file.name: file.read_text() for file in (folder / "evidence").iterdir()}
    (failed,) = [text for name, text in texts.items() if "fails" in name]
    (passed,) = [text for name, text in texts.items() if "passes" in name]
    began, ended = evidence.window(failed)
    assert 0 <= (ended - began).total_seconds() < 60
    assert evidence.window(passed) is None
    assert ran.outlines[-1].startswith("digest of the run's files: sha256 ")
    assert ran.outlines[-1].endswith(f"check it: swarmlab verify {folder}")


def test_a_cluster_that_is_gone_is_noted_if_the_deciding_tests_had_it():
    own, lab = {"verdict": "fail", "own_cluster": True}, {"verdict": "fail"}
    passed = {"verdict": "pass"}
    assert Gathered._own_cluster([own, passed], Verdict.FAIL)
    assert not Gathered._own_cluster([own, lab], Verdict.FAIL)
    assert not Gathered._own_cluster([passed], Verdict.PASS)
