"""Every run has a folder of its own, and keeps its verdicts whatever ends it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.paths import ROOT
from swarmlab.report import html
from swarmlab.verdicts import compare, folders
from swarmlab.verdicts.results import load
from swarmlab.wait import wait
from tests.unit.helpers import CONFTEST, HEADER, start

pytest_plugins = ["pytester"]

PASSES = """
@claim('7.2.2/ls-columns')
def test_first(): record('master', 'ls', 'all')
@claim('7.2.2/inspect')
def test_second(): pass
@claim('7.2.2/managers-only')
def test_third(): pass
"""
#: The second test waits, for as long as whoever runs it needs to end the run.
STANDS = PASSES.replace("test_second(): pass", "test_second():\n    open('stands', 'w'); import time; time.sleep(60)")
NOW = datetime(2026, 11, 29, 9, 15, tzinfo=timezone.utc)


@pytest.fixture
def project(pytester, monkeypatch):
    """A project whose suites are made for a test, with the reports of one run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    (pytester.path / "suites").mkdir()
    write(pytester, PASSES)
    return pytester


def write(pytester, tests):
    (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + tests)


def runs(reports):
    return sorted(folder.name for folder in (reports / "runs").glob("*"))


def everything(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_each_run_has_a_folder_and_the_latest_is_linked(project):
    for _ in range(2):
        assert project.runpytest_inprocess("suites").ret == 0
    reports = project.path / "reports"
    first, second = runs(reports)
    assert (reports / "latest").resolve() == reports / "runs" / max(first, second)
    assert first.endswith("Z-dind-bookworm")
    assert load(reports).folder == reports / "runs" / max(first, second)
    assert {file.name for file in load(reports).folder.iterdir()} == {
        "verdicts.json",
        "verdicts.jsonl",
        "evidence",
        "junit.xml",
        "metrics.prom",
        "allure-results",
        "SHA256SUMS",
    }
    assert main(["verify", str(reports)]) == 0, "no plugin writes to a run after its digests"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["suits"], 4),
        (["suites", "-k", "nothing-has-this-name"], 5),
        (["suites", "--profile", "nonsense"], 4),
        (["suites", "--waivers", "nowhere.yaml"], 4),
        (["suites", "--nonsense"], 4),
        (["suites/test_it.py::test_nothing"], 4),
    ],
)
def test_a_start_that_fails_leaves_the_last_run_as_it_is(project, options, status):
    project.runpytest_inprocess("suites")
    before = everything(project.path / "reports")
    ran = project.runpytest_inprocess(*options)
    assert ran.ret == status
    assert everything(project.path / "reports") == before
    assert len(runs(project.path / "reports")) == 1
    assert "generated xml file" not in ran.stdout.str()


def test_a_start_that_fails_makes_no_folder(project):
    project.runpytest_inprocess("suites", "-k", "nothing-has-this-name")
    assert not (project.path / "reports").exists()


def test_a_start_that_fails_leaves_the_folders_that_were_there(project):
    (project.path / "own").mkdir()
    project.runpytest_inprocess("suites", "-k", "nothing-has-this-name", "--reports", "own")
    assert not list((project.path / "own").iterdir())
    (project.path / "own" / "runs").mkdir()
    project.runpytest_inprocess("suites", "-k", "nothing-has-this-name", "--reports", "own")
    assert not runs(project.path / "own")
    assert (project.path / "own" / "runs").is_dir()


def test_a_run_that_is_killed_keeps_its_verdicts(project):
    write(project, STANDS)
    command = [sys.executable, "-m", "pytest", "suites"]
    process = subprocess.Popen(command, cwd=project.path, stdout=subprocess.DEVNULL)
    wait((project.path / "stands").exists, "the second test to run", deadline=60)
    reports = project.path / "reports"
    assert load(reports).unfinished == "it is still running"
    process.kill()
    process.wait()
    run = load(reports)
    assert list(map(str, run.claims)) == ["7.2.2/ls-columns"]
    assert run.unfinished.startswith("it was killed, or its disk was full")
    assert run.not_run["7.2.2/inspect"] == "the run ended before"
    page = html.render([run], beside=reports)
    assert "<b>This run did not end.</b>" in page
    assert "Not established" in page
    said = "\n".join(compare.lines(run, run, compare.compare(run, run)))
    assert "the new run did not end: it was killed" in said
    write(project, PASSES)
    project.runpytest_inprocess("suites")
    assert len(runs(reports)) == 2
    assert not load(reports).unfinished


def test_a_run_of_another_host_may_go_on_while_its_record_grows(tmp_path):
    folder = tmp_path / "reports" / "runs" / "20261129T091500Z-dind"
    folder.mkdir(parents=True)
    files = [folder / name for name in (folders.OWNER, folders.RECORD)]
    for file in files:
        file.write_text("elsewhere@1.2/12/345")
    assert folders.going_on(folder) == "it runs as process 12 on elsewhere, or was killed"
    assert folders.running(folder)
    assert not folders.running(folder, elsewhere=False)
    os.utime(files[0], (0, 0))
    assert folders.running(folder), "its record still grows"
    os.utime(files[1], (0, 0))
    assert not folders.running(folder)
    folders.prune(tmp_path / "reports", 1)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_keeps_its_verdicts(project, number):
    write(project, STANDS)
    command = [sys.executable, "-m", "pytest", "suites"]
    process = start(command, project.path, stdout=subprocess.DEVNULL)
    wait((project.path / "stands").exists, "the second test to run", deadline=60)
    process.send_signal(number)
    assert process.wait() == 2
    run = load(project.path / "reports")
    assert run.path.name == "verdicts.json"
    assert run.claims["7.2.2/ls-columns"].verdict == "pass"
    assert run.unfinished
    assert "did not end" in html.render([run], beside=run.folder)


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_run_that_ends_at_its_first_failure_did_not_end(project, workers):
    write(project, PASSES.replace("test_second(): pass", "test_second(): assert 1 == 2, 'not so'"))
    ran = project.runpytest_subprocess("suites", "-x", *workers)
    assert ran.ret == 1
    run = load(project.path / "reports")
    assert run.unfinished == "stopping after 1 failures"
    assert run.claims["7.2.2/inspect"].verdict == "fail"
    assert run.not_run["7.2.2/managers-only"] == "the run ended before: stopping after 1 failures"


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_run_whose_last_test_fails_has_ended(project, workers):
    write(project, PASSES.replace("test_third(): pass", "test_third(): assert 1 == 2, 'not so'"))
    ran = project.runpytest_subprocess("suites", "-x", *workers)
    assert ran.ret == 1
    assert load(project.path / "reports").unfinished == ""


def test_a_run_whose_workers_are_no_longer_replaced_did_not_end(project):
    write(project, PASSES.replace("test_second(): pass", "test_second(): os._exit(1)"))
    ran = project.runpytest_subprocess("suites", "-n", "1", "--max-worker-restart", "0")
    assert ran.ret == 1
    run = load(project.path / "reports")
    assert run.unfinished == "its last tests were not run"
    assert run.claims["7.2.2/inspect"].verdict == "broken"


@pytest.mark.parametrize(("rehearses", "why"), [(False, "its last tests were not run"), (True, "")])
def test_a_rehearsal_that_leaves_out_tests_has_ended(project, monkeypatch, rehearses, why):
    conftest = project.path / "conftest.py"
    leaves_out = "\ndef pytest_runtest_protocol(item):\n    return True if item.name == 'test_third' else None\n"
    conftest.write_text(conftest.read_text() + leaves_out)
    monkeypatch.setattr("fixtures.collector.rehearses", lambda _: rehearses)
    project.runpytest_inprocess("suites")
    assert load(project.path / "reports").unfinished == why


def test_a_run_whose_worker_is_replaced_ends(project):
    write(project, PASSES.replace("test_second(): pass", "test_second(): os._exit(1)"))
    ran = project.runpytest_subprocess("suites", "-n", "1")
    assert ran.ret == 1
    run = load(project.path / "reports")
    assert run.unfinished == ""
    assert run.claims["7.2.2/managers-only"].verdict == "pass"


def test_a_killed_run_without_a_verdict_goes_with_the_next(project):
    reports = project.path / "reports"
    blank = folders.new(reports, ["dind"], NOW)
    (blank / ".owner").write_text((blank / ".owner").read_text().rpartition("/")[0] + "/1")
    alive = folders.new(reports, ["dind"], NOW)
    project.runpytest_inprocess("suites")
    assert not blank.exists()
    assert alive.exists()


def test_what_is_no_run_stays_beside_runs(project):
    others = [project.path / "runs" / name for name in ("exp1", "20261129T091500Z-dind", "20261129-notes")]
    for other in others:
        other.mkdir(parents=True)
        (other / "data").write_text("of others")
    (others[0] / "verdicts.json").write_text("of others")
    for _ in range(2):
        assert project.runpytest_inprocess("suites", "--reports", ".", "--keep-runs", "1").ret == 0
    assert all((other / "data").read_text() == "of others" for other in others)
    assert len(runs(project.path)) == len(others) + 1


def test_as_many_runs_stay_as_are_asked_for(project):
    for _ in range(3):
        project.runpytest_inprocess("suites", "--keep-runs", "2")
    assert len(runs(project.path / "reports")) == 2
    for _ in range(2):
        project.runpytest_inprocess("suites", "--keep-runs", "0")
    assert len(runs(project.path / "reports")) == 4
    ran = project.runpytest_subprocess("suites", "--keep-runs", "-1")
    assert ran.ret == 4
    assert "'-1' is not a number: write how many to keep, or 0 for all" in ran.stderr.str()


def test_without_links_the_newest_run_is_the_latest(tmp_path):
    for name in ("20261129T091500Z-dind", "20261129T091600Z-dind"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "verdicts.json").write_text("{}")
    assert folders.find(tmp_path).parent.name == "20261129T091600Z-dind"
    (tmp_path / "latest").symlink_to("runs/gone")
    assert folders.find(tmp_path).parent.name == "20261129T091600Z-dind"
    with pytest.raises(UsageError, match="no run in it"):
        folders.find(tmp_path / "runs" / "20261129T091500Z-dind" / "..")
    with pytest.raises(UsageError, match="no such file or folder"):
        folders.find(tmp_path / "nowhere")


def test_a_torn_line_of_a_record_is_left_out(project):
    project.runpytest_inprocess("suites")
    folder = load(project.path / "reports").folder
    (folder / "verdicts.json").unlink()
    text = (folder / "verdicts.jsonl").read_text()
    (folder / "verdicts.jsonl").write_text(text[: text.index('{"record": "end"') - 20])
    run = load(folder)
    assert run.path.name == "verdicts.jsonl"
    assert len(run.claims) == 2
    for text in ("", "[]\n", '{"record": "test"}\n', "x\n"):
        (folder / "verdicts.jsonl").write_text(text)
        with pytest.raises(UsageError, match="is not the record of a run"):
            load(folder)


def test_the_record_and_the_verdicts_say_the_same(project):
    project.runpytest_inprocess("suites")
    folder = load(project.path / "reports").folder
    written = json.loads((folder / "verdicts.json").read_text())
    (folder / "verdicts.json").unlink()
    assert load(folder).raw == written


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that runs a command with a small file system of its own mounted on a folder."""
    alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    place = tmp_path / "small"
    place.mkdir()

    def run(command, *, size, cwd=ROOT):
        # What the file system holds at the end is copied, as it goes with the process.
        script = f'mount -t tmpfs -o size={size} none {place}; "$@"; s=$?; cp -r {place} {place}-kept; exit $s'
        made = subprocess.run([*alone, "sh", "-c", script, "sh", *command], cwd=cwd, capture_output=True, text=True)
        return made, Path(f"{place}-kept")

    return place, run


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_full_disk_ends_the_run_and_keeps_its_verdicts(project, small_disk, workers):
    place, run = small_disk
    write(
        project,
        PASSES.replace(
            "test_second(): pass",
            f"test_second():\n    open('{place}/fill', 'wb', buffering=0).write(bytes(1 << 24))"
            "\n@claim('7.2.2/inspect')\ndef test_after(): open('ran-on', 'w')",
        ),
    )
    command = [sys.executable, "-m", "pytest", "suites", "--reports", str(place), *workers]
    ran, kept = run(command, size="2m", cwd=project.path)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    printed = ran.stdout + ran.stderr
    assert "INTERNALERROR" not in printed
    assert "the run could not be held: " in printed
    assert "cannot be written: No space left on device" in printed
    (kept / "fill").unlink()
    assert load(kept).claims["7.2.2/ls-columns"].verdict == "pass"
    assert not (project.path / "ran-on").exists()


@pytest.mark.parametrize("size", ["4k", "40k"])
def test_a_disk_that_is_full_already_is_one_line(project, small_disk, size):
    place, run = small_disk
    ran, kept = run([sys.executable, "-m", "pytest", "suites", "--reports", str(place)], size=size, cwd=project.path)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert ran.returncode == 3, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"Exit: --reports: {place} cannot be written: No space left on device; make room")
    assert not list(kept.rglob("*"))


def test_a_folder_is_named_after_lab_and_engine(tmp_path):
    assert folders.new(tmp_path, ["dind", "bullseye+trixie"], NOW).name == "20261129T091500Z-dind-bullseye+trixie"
    assert folders.new(tmp_path, ["dind", "bullseye+trixie"], NOW).name == "20261129T091500Z-dind-bullseye+trixie-2"
    assert folders.new(tmp_path, ["inventory", "my swarm/../x"], NOW).name == "20261129T091500Z-inventory-my-swarm-..-x"
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be written: Not a directory; make room there, or name another place"):
        folders.new(tmp_path / "file", ["dind"], NOW)
