"""The option --profile-run: the profile of a run adds up to its time, and a comparison shows what got slower."""

import dataclasses
import json
import shutil
import textwrap

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.paths import ROOT
from swarmlab.report import render
from swarmlab.timing import Busy, profile
from swarmlab.timing.changes import slower
from swarmlab.timing.profile import Profile
from swarmlab.timing.recorder import Entry
from swarmlab.verdicts.results import load
from tests.unit.helpers import CONFTEST, HEADER

pytest_plugins = ["pytester"]

SUITE = """
    from swarmlab import timing
    from swarmlab.wait import wait
    import time

    def until(seconds):
        late = time.monotonic() + seconds
        wait(lambda: time.monotonic() > late, "a delay of the test to pass", every=0.01)

    @pytest.fixture
    def slow():
        until(0.1)
        yield
        until(0.05)

    @claim('7.2.2/inspect')
    def test_a(cluster, slow):
        until({})
        with timing.span("command", "docker node ls"):
            pass

    @claim('7.2.2/ls-columns')
    def test_b(cluster):
        raise DeadlineExceeded("so")

    @claim('7.2.2/managers-only')
    def test_c():
        raise Blocked("so")
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs a suite with a test that takes so many seconds, and returns the run's folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections = 7.2.2\n")
    with_profile = CONFTEST.replace('"fixtures.workers"]', '"fixtures.workers", "fixtures.time_profile"]')
    pytester.makeconftest(textwrap.dedent(with_profile))

    def _run(name, seconds, *options):
        (pytester.path / "suites").mkdir(exist_ok=True)
        test = pytester.path / "suites" / "test_it.py"
        test.write_text(textwrap.dedent(HEADER) + textwrap.dedent(SUITE).replace("{}", str(seconds)))
        result = pytester.runpytest_subprocess("suites", "--reports", name, *options)
        return (pytester.path / name / "latest").resolve(), result.stdout.str()

    return _run


@pytest.mark.parametrize("options", [("-p", "no:cacheprovider"), ("-n", "2")], ids=["alone", "xdist"])
def test_the_profile_adds_up(run, options):
    folder, out = run("r", 0.2, "--profile-run", *options)
    found = profile.load(folder)
    assert [test.id.rpartition(":")[2] for test in sorted(found.tests, key=lambda test: test.id)] == [
        "test_a",
        "test_b",
        "test_c",
    ]
    for test in found.tests:
        assert sum(entry.own for entry in test.entries if not entry.beside) == pytest.approx(test.seconds, abs=0.01)
    assert sum(found.uses().values()) == pytest.approx(sum(test.seconds for test in found.tests), abs=0.03)
    whole = sum(found.busy) + found.other + found.idle
    assert whole == pytest.approx(found.cores * found.seconds, rel=0.25, abs=1)
    assert 0 < found.busy.suite < whole
    [waits] = found.entries("wait")
    assert (waits.name, waits.count) == ("a delay of the test to pass", 3)
    assert 0.35 <= waits.seconds <= sum(test.seconds for test in found.tests)
    fixtures = {entry.name: entry.seconds for entry in found.entries("fixture")}
    assert fixtures["slow"] >= 0.1
    assert fixtures["slow, its end"] >= 0.05
    assert "command" in {entry.kind for test in found.tests for entry in test.entries}
    assert "a delay of the test to pass" in out
    raw = json.loads((folder / "profile.json").read_text())
    assert sum(entry["count"] for entry in raw["totals"] if entry["kind"] == "wait") == 3


def test_without_the_option_nothing_is_written(run):
    folder, out = run("r", 0)
    assert not (folder / "profile.json").exists()
    assert "processors" not in out
    assert load(folder).profile is None


def later(folder, new, seconds):
    """Write a run that differs in how long its first test waits, and in that alone; return its folder."""
    shutil.copytree(folder, new)
    raw = json.loads((folder / "profile.json").read_text())
    [test] = [test for test in raw["tests"] if test["test"].endswith("test_a")]
    [waited] = [entry for entry in test["spent"] if entry["kind"] == "wait"]
    for changed, key in ((test, "seconds"), (test, "call"), (waited, "seconds"), (waited, "own")):
        changed[key] += seconds
    (new / "profile.json").write_text(json.dumps(raw))
    return new


def test_a_comparison_shows_what_got_slower_and_no_noise(run, capsys, tmp_path):
    old, _ = run("old", 0.1, "--profile-run")
    main(["compare", str(old), str(later(old, tmp_path / "slow", 5))])
    out = capsys.readouterr().out
    lines = [line.strip().partition(": ")[0] for line in out.splitlines() if " s -> " in line]
    assert sorted(lines) == ["test suites/test_it.py::test_a", "wait a delay of the test to pass"]
    assert "(more than 1.5 times and 3 s longer, or the same of the processors): 2" in out
    main(["compare", str(old), str(later(old, tmp_path / "noise", 2.5))])
    assert "Nothing is slower by the profiles" in capsys.readouterr().out


def test_a_new_wait_is_shown_and_a_run_that_is_slow_as_a_whole_is_not():
    def of(name, seconds, busy=0.0):
        entry = Entry("wait", name, 1, seconds, seconds, Busy(nodes=busy))
        return Profile(
            60, 2, 1, Busy(), 0, 0, (profile.Test("t", "lab", seconds, seconds, Busy(nodes=busy), (entry,)),)
        )

    assert [str(each) for each in slower(of("a", 0.0), of("b", 4.0))] == [
        "test t: 0.0 s -> 4.0 s",
        "wait b: 0.0 s -> 4.0 s (0 -> 1 times)",
    ]
    assert slower(of("a", 10.0), of("a", 20.0), pace=2.0) == []
    assert [each.what for each in slower(of("a", 1.0, 5.0), of("a", 1.0, 9.0))] == ["processors"]
    beside = dataclasses.replace(of("a", 9.0).tests[0].entries[0], beside=True)
    there = dataclasses.replace(of("a", 0.0).tests[0], entries=(beside,))
    assert slower(of("a", 0.0), Profile(60, 2, 1, Busy(), 0, 0, (there,))) == []


def test_pages_have_the_profile(run, capsys):
    folder, _ = run("r", 0.1, "--profile-run")
    text = render([load(folder)], beside=folder)
    assert 'id="time"' in text
    assert "<code>a delay of the test to pass</code>" in text
    main(["results", "--times", str(folder)])
    assert "| `a delay of the test to pass` | 3 |" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "seconds": 1}'])
def test_what_is_no_profile_is_refused_in_a_line(tmp_path, text):
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(UsageError, match=r"profile\.json"):
        profile.load(tmp_path)
