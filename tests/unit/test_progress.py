"""What is seen while a run goes on: lines for claims, a table on a terminal, and events for programs."""

import json
import os
import pty
import re
import select
import signal
import sys
import textwrap
import threading
import time

import jsonschema
import pytest

from swarmlab.errors import LabError, UsageError
from swarmlab.paths import ROOT
from swarmlab.verdicts import progress
from swarmlab.verdicts.progress import Doing, Events, Progress, events_file, line, span
from swarmlab.verdicts.seconds import Seconds
from swarmlab.verdicts.verdict import Verdict
from swarmlab.wait import under_way, wait
from tests.unit.helpers import HEADER, prepare, start

pytest_plugins = ["pytester"]

PLUGINS = '"fixtures.profiles", "fixtures.kept", "fixtures.shards", "fixtures.again", "fixtures.progress",'
TESTS = """
@claim('7.2.2/ls-columns')
def test_first(cluster): pass
@claim('7.2.2/inspect')
@pytest.mark.parametrize('n', range(2))
def test_second(cluster, n): assert n == 0, 'slave01 does not\\n  answer'
@claim('7.2.2/managers-only')
def test_third(cluster): raise Blocked('no image of x')
"""
LINES = [
    r"1/3  pass     7\.2\.2/ls-columns  \d+\.\d s",
    r"2/3  fail     7\.2\.2/inspect  \d+\.\d s  slave01 does not",
    r"3/3  blocked  7\.2\.2/managers-only  \d+\.\d s  no image of x",
]
SCHEMA = json.loads((ROOT / "swarmlab" / "verdicts" / "progress.schema.json").read_text())


@pytest.fixture
def project(pytester, monkeypatch):
    """A project whose suites are made for a test; returns a function that runs them."""
    prepare(pytester, monkeypatch, PLUGINS)
    (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + TESTS)

    def run(*options):
        own = any(option.startswith("-n") for option in options)
        runner = pytester.runpytest_subprocess if own else pytester.runpytest_inprocess
        return runner("suites", *options)

    run.path = pytester.path
    return run


def claims(printed):
    return [line for line in printed.splitlines() if re.match(r" *\d+/\d+  ", line)]


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_pipe_gets_a_line_for_each_claim_and_no_dots(project, workers):
    printed = project(*workers).stdout.str()
    assert "\x1b" not in printed
    told = sorted(claims(printed), key=lambda each: each.partition("  ")[2].partition("  ")[2])
    assert len(told) == 3
    if not workers:
        assert all(re.fullmatch(form, found) for form, found in zip(LINES, claims(printed), strict=True))
    assert not re.search(r"^(suites/\S+ )?[.Fs]+( +\[ *\d+%\])?$", printed, re.MULTILINE)
    assert "1 failed, 2 passed, 1 skipped" in printed
    assert "FAILED suites/test_it.py::test_second[1]" in printed


def test_quiet_prints_no_line_and_verbose_each_test_too(project):
    quiet = project("-q").stdout.str()
    assert claims(quiet) == []
    assert not re.search(r"^[.Fs]+$", quiet, re.MULTILINE)
    assert "1 failed, 2 passed" in quiet
    verbose = project("-v").stdout.str()
    assert len(claims(verbose)) == 3
    assert "test_second[0] PASSED" in verbose


def test_other_tests_keep_their_dots(project):
    (project.path / "test_other.py").write_text("def test_plain(): pass\n")
    printed = project("test_other.py").stdout.str()
    assert re.search(r"^test_other\.py \.", printed, re.MULTILINE) or "." in printed
    assert len(claims(printed)) == 3


def test_a_run_without_a_terminal_reporter_has_events_all_the_same(project):
    ran = project("-p", "no:terminal", "--progress-json", "events")
    assert ran.ret == 1
    assert "Traceback" not in ran.stderr.str() + ran.stdout.str()
    assert len(events(project.path / "events")) == 5


def test_a_claim_whose_other_tests_were_not_selected_is_not_told(project):
    printed = project("-k", "second and 0").stdout.str()
    assert claims(printed) == []


# Events


def events(file):
    found = [json.loads(each) for each in file.read_text().splitlines()]
    for event in found:
        jsonschema.validate(event, SCHEMA, jsonschema.Draft202012Validator)
    return found


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_events_tell_begin_claims_and_end(project, workers):
    project("--progress-json", "events", *workers)
    found = events(project.path / "events")
    assert [event["event"] for event in found] == ["run_started", *["claim_judged"] * 3, "run_ended"]
    assert (found[0]["claims"], found[0]["tests"]) == (3, 4)
    judged = {event["claim"]: event for event in found if event["event"] == "claim_judged"}
    assert judged["7.2.2/inspect"]["verdict"] == "fail"
    assert judged["7.2.2/inspect"]["evidence"][0].startswith("evidence/")
    assert [judged[id]["of"] for id in judged] == [3, 3, 3]
    assert (found[-1]["exit_status"], found[-1]["summary"]["fail"]) == (1, 1)
    assert not list(project.path.glob("reports/runs/*/.doing"))


def test_a_run_that_runs_again_tells_what_it_judges_itself(project):
    project()
    project("--again", "--progress-json", "events")
    project("--again", "--progress-json", "events")
    found = events(project.path / "events")
    assert [event["claim"] for event in found if event["event"] == "claim_judged"] == ["7.2.2/inspect"] * 2  # appended


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("suites", "suites: is a folder; name a file in it"),
        ("missing/events", "missing/events: there is no folder"),
        ("conftest.py/events", "cannot be written"),
        ("pipe", "nobody reads this pipe; start its reader first"),
    ],
)
def test_a_file_that_takes_no_events_is_one_line_before_anything_is_made(project, file, words):
    os.mkfifo(project.path / "pipe")
    ran = project("--progress-json", file)
    assert ran.ret == 4
    assert len(ran.stderr.str().splitlines()) == 1
    assert "--progress-json: " in ran.stderr.str()
    assert words in ran.stderr.str()
    assert not (project.path / "reports").exists()


def test_a_file_for_events_that_would_get_none_is_refused(project, pytester):
    assert "has no effect beside --collect-only" in project("--progress-json", "events", "--collect-only").stderr.str()
    (project.path / "test_other.py").write_text("def test_plain(): pass\n")
    ran = pytester.runpytest_inprocess("test_other.py", "--progress-json", "events")
    assert ran.ret == 4
    assert "is for runs of the suites" in ran.stderr.str()


def test_events_go_to_a_pipe_as_long_as_somebody_reads(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    told = Events(events_file("pipe", tmp_path))
    told.add("waiting", run="x")
    assert json.loads(os.read(reader, 1000))["event"] == "waiting"
    os.close(reader)
    with pytest.raises(LabError, match="the run goes on without it"):
        told.add("waiting", run="x")
    told.add("waiting", run="x")
    assert Events(None).add("waiting", run="x")["event"] == "waiting"


@pytest.mark.parametrize(
    ("given", "words"), [("", "is empty"), ("a\0b", "NUL"), ("~nobody-of-this-name/x", "no such user")]
)
def test_a_name_that_is_no_file_is_refused(tmp_path, given, words):
    with pytest.raises(UsageError, match=words):
        events_file(given, tmp_path)


# How far a run is


def far(seconds=None, clock=lambda: 100.0):
    found = Progress({"7": "Chapter 7: using the swarm", "swarm": "Swarm: more"}, Seconds(seconds or {}), clock=clock)
    tests = {"a": ["7.1/x"], "b": ["7.1/x", "7.2/y"], "c": ["configs/z"], "other": []}
    found.select(tests, ["7.1/x", "7.2/y", "configs/z", "names/none"])
    return found


def test_a_claim_is_due_when_its_last_test_has_ended():
    found = far()
    assert (found.of, found.tests_left) == (3, 3)
    assert found.ended("a", 1) == []
    assert found.ended("b", 1) == ["7.1/x", "7.2/y"]
    assert found.ended("b", 1) == []
    assert found.pending("configs/z")


def test_a_process_that_replaces_another_brings_no_test_back():
    found = far()
    found.ended("a", 1)
    found.select({"a": ["7.1/x"], "b": ["7.1/x", "7.2/y"]}, ["7.1/x", "7.2/y", "configs/z"])
    assert (found.of, found.tests_left) == (3, 2)
    assert found.ended("b", 1) == ["7.1/x", "7.2/y"]


def test_areas_count_verdicts_and_a_later_one_replaces_the_first():
    found = far()
    assert [area.title for area in found.areas.values()] == ["Chapter 7: using the swarm", "Swarm: configs"]
    assert found.judged("7.1/x", Verdict.PASS)
    assert not found.judged("7.1/x", Verdict.PASS)
    assert found.judged("7.1/x", Verdict.FAIL)
    assert (found.areas["7"].judged, found.areas["7"].verdicts[Verdict.FAIL], found.number) == (1, 1, 1)


def test_the_end_is_estimated_from_earlier_runs_and_the_pace_of_this_one():
    found = far({"a": 40, "b": 20, "c": 10})
    assert found.left(1) == 70
    assert found.left(2) == 40  # the longest takes as long
    found.doing = {"gw0": Doing("a", since=70.0)}
    assert found.left(1) == 40
    found.doing = {}
    found.ended("a", 80)  # twice as long as before
    assert found.left(1) == 60
    found.ended("b", 1)
    found.ended("c", 1)
    assert found.left(1) is None


def test_durations_and_lines_are_short():
    assert [span(5), span(200), span(5400)] == ["5 s", "3 min", "1.5 h"]
    assert Doing(waits_for="lab: making 3 nodes", waits_since=10.0).waits(30.0) == "lab: making 3 nodes (20 s)"
    event = {
        "judged": 3,
        "of": 120,
        "verdict": "fail",
        "claim": "7.1/x",
        "seconds": 2.25,
        "reason": "a\n b\x1b[0m" * 99,
    }
    told = line(event)
    assert told.startswith("  3/120  fail     7.1/x  2.2 s  a b")
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 250


def test_a_wait_of_the_main_thread_is_seen_from_others():
    seen = []
    assert under_way() is None

    def condition():
        seen.append(under_way())
        thread = threading.Thread(target=lambda: wait(lambda: seen.append(under_way()) or True, "another"))
        thread.start()
        thread.join()
        return True

    before = time.monotonic()
    wait(condition, "3 running tasks of web")
    assert [reason for reason, _ in seen] == ["3 running tasks of web"] * 2
    assert before <= seen[0][1] <= time.monotonic()
    assert under_way() is None
    with pytest.raises(ZeroDivisionError):
        wait(lambda: 1 / 0, "what fails")
    assert under_way() is None


# On a terminal


def on_terminal(project, *options, until=None, environment=None, size=(40, 100)):
    """Run on a terminal of its own; return the exit status and what it got. *until*: a signal and when it is sent."""
    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **(environment or {})}
    command = [sys.executable, "-m", "pytest", "suites", *options]
    child = start(command, project.path, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    before = termios.tcgetattr(slave)
    got, sent = b"", False
    while True:
        ready, _, _ = select.select([master], [], [], 0.2)
        if ready:
            got += os.read(master, 65536)
        elif child.poll() is not None:
            break
        if until and not sent and until[1].encode() in got:
            child.send_signal(until[0])
            sent = True
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)
    return child.wait(60), got.decode(errors="replace")


SLOW = """
import time
@claim('7.2.2/ls-columns')
def test_first(cluster):
    from swarmlab.wait import wait
    begun = time.monotonic()
    wait(lambda: time.monotonic() - begun > LONG, '3 running tasks of web', deadline=60)
@claim('7.2.2/inspect')
def test_second(cluster): assert False, 'slave01 does not'
@claim('7.2.2/managers-only')
def test_third(cluster): pass
"""


def slow(project, seconds):
    text = textwrap.dedent(HEADER) + f"LONG = {seconds}\n" + SLOW
    (project.path / "suites" / "test_it.py").write_text(text)


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_a_terminal_shows_a_table_with_what_is_waited_for(project, workers):
    slow(project, 5)
    status, got = on_terminal(project, *workers)
    assert status == 1
    assert "Chapter 7: using the swarm" in got
    assert re.search(r"\d s for 3 running tasks of web", got)
    assert re.search(r"0/3 claims judged, \d s so far, about \d+ s left, until \d\d:\d\d", got)
    assert re.search(r"2/3  fail     7\.2\.2/inspect", got)
    assert "  pass     7.2.2/ls-columns" not in got  # the table counts it
    assert "\x1b[?25l" not in got  # the cursor is never hidden
    assert "FAILURES" in got


@pytest.mark.parametrize(
    ("environment", "options"), [({"TERM": "dumb"}, []), ({}, ["-s"]), ({}, ["-v"]), ({}, ["--setup-show"])]
)
def test_where_a_table_would_be_in_the_way_there_are_lines(project, environment, options):
    _, got = on_terminal(project, *options, environment=environment)
    assert "claims judged" not in got
    assert "7.2.2/ls-columns" in got


def test_without_colour_the_table_has_none(project):
    slow(project, 2)
    _, got = on_terminal(project, environment={"NO_COLOR": "1"})
    assert "claims judged" in got
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", got)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_run_the_terminal_is_sane(project, number):
    slow(project, 30)
    status, got = on_terminal(project, until=(number, "claims judged"))
    assert status == (-9 if number == signal.SIGKILL else 2)
    assert "\x1b[?25l" not in got
    if number != signal.SIGKILL:
        assert "Interrupted" in got or "interrupted" in got
        assert got.rstrip().splitlines()[-1].count("claims judged") == 0


def test_a_table_that_cannot_be_shown_does_not_end_the_run(project):
    slow(project, 2)
    text = (project.path / "conftest.py").read_text()
    broken = "import swarmlab.report.live as live\ndef table(*_): raise ZeroDivisionError\nlive.table = table\n"
    (project.path / "conftest.py").write_text(f"{text}\n{broken}")
    status, got = on_terminal(project)
    assert status == 1
    assert "2/3  fail     7.2.2/inspect" in got
    assert "1 failed, 2 passed" in got
    assert "ZeroDivision" not in got


def test_a_small_terminal_gets_what_matters(project):
    slow(project, 2)
    _, got = on_terminal(project, size=(6, 40))
    assert "claims judged" in got


def test_silence_is_broken_in_a_pipe(project):
    slow(project, 4)
    text = (project.path / "conftest.py").read_text()
    quick = "import fixtures.progress\nfixtures.progress._SILENCE = fixtures.progress._LONG = 1.5\n"
    (project.path / "conftest.py").write_text(f"{text}\n{quick}")
    ran = project("-n0", "--progress-json", "events")
    assert re.search(r"0/3 claims judged, \d s so far, .*; waits \d s for 3 running tasks of web", ran.stdout.str())
    waiting = [event for event in events(project.path / "events") if event["event"] == "waiting"]
    assert [event["waits_for"] for event in waiting] == ["3 running tasks of web"]
    assert waiting[0]["test"].endswith("test_first")
    assert events(project.path / "events")[0]["schema"] == progress.SCHEMA
