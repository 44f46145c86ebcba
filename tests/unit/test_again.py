"""Running again: what was bad or undone is run anew, and one result says from which run each verdict is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from swarmlab.cli.main import main
from swarmlab.verdicts import again, folders
from swarmlab.verdicts.results import load
from swarmlab.wait import wait
from tests.unit.helpers import HEADER, prepare, start

pytest_plugins = ["pytester"]

PLUGINS = '"fixtures.profiles", "fixtures.kept", "fixtures.shards", "fixtures.again", "fixtures.progress",'
LS, INSPECT, MANAGERS = "7.2.2/ls-columns", "7.2.2/inspect", "7.2.2/managers-only"
TESTS = """
@claim('7.2.2/ls-columns')
def test_first(cluster): record('master', 'ls', RUN)
@claim('7.2.2/inspect')
@pytest.mark.parametrize('n', range(3))
def test_second(cluster, n): assert n not in FAILS, f'{n} is not so'
@claim('7.2.2/inspect')
def test_third(cluster): pass
@claim('7.2.2/managers-only')
def test_fourth(cluster):
    if WAITS: open('stands', 'w'); import time; time.sleep(60)
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A project whose suites are made for a test; returns a function that runs them."""
    prepare(pytester, monkeypatch, PLUGINS)
    count = iter(range(100))

    def write(fails=(), tests=TESTS, waits=False):
        facts = f"FAILS, WAITS, RUN = {fails}, {waits}, 'time {next(count)}'\n"
        (pytester.path / "suites" / "test_it.py").write_text(textwrap.dedent(HEADER) + facts + tests)

    def run(*options, process=False, **how):
        write(**how)
        runner = pytester.runpytest_subprocess if process else pytester.runpytest_inprocess
        return runner("suites", *options)

    run.path, run.write = pytester.path, write
    return run


def latest(project):
    return load(project.path / "reports")


def judged(result):
    return {id: (str(claim.verdict), claim.run) for id, claim in result.claims.items()}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_what_failed_runs_again_and_the_rest_is_taken_over(project, workers):
    assert project(fails=(1,)).ret == 1
    first = latest(project)
    ran = project("--again", *workers, process=bool(workers))
    second = latest(project)
    assert ran.ret == 0, ran.stdout.str()
    assert f"again: of {first.folder.name}: 1 fail" in ran.stdout.str()
    assert judged(second) == {
        LS: ("pass", first.folder.name),
        INSPECT: ("pass", ""),
        MANAGERS: ("pass", first.folder.name),
    }
    (before,) = second.claims[INSPECT].before
    assert (before.run, str(before.verdict), before.reason) == (first.folder.name, "fail", "1 is not so")
    assert f"pass     {INSPECT}; fail in {first.folder.name}: 1 is not so" in ran.stdout.str()
    assert "4 passed" in ran.stdout.str()  # all tests of the claim, and no other
    assert [run["run"] for run in second.runs] == [first.folder.name]
    assert second.claims[LS].places[0].startswith(f"run {first.folder.name}, host ")
    assert second.claims[INSPECT].places[0].startswith("host ")


def test_the_result_stands_without_the_earlier_run(project):
    project(fails=(1,))
    first = latest(project)
    evidence = {id: [first.read(file) for file in claim.evidence] for id, claim in first.claims.items()}
    project("--again", "--keep-runs", "1")
    second = latest(project)
    assert not first.folder.exists()
    assert [second.read(file) for file in second.claims[LS].evidence] == evidence[LS]
    assert [second.read(file) for file in second.claims[INSPECT].before[0].evidence] == evidence[INSPECT]
    assert b"2 is not so" not in b"".join(second.read(file) for file in second.claims[INSPECT].evidence)
    assert (second.folder / "junit.xml").read_text().count("<testcase ") == 6
    assert "failure" not in (second.folder / "junit.xml").read_text().replace('failures="0"', "")
    assert len(list((second.folder / "allure-results").glob("*-result.json"))) == 10
    assert main(["compare", str(second.folder), str(second.folder)]) == 0
    assert main(["report", str(second.folder)]) == 0


def test_evidence_of_the_earlier_run_is_never_written_to(project):
    project(fails=(1,))
    first = latest(project)
    before = {name: (first.folder / "evidence" / name).read_bytes() for name in names(first.folder / "evidence")}
    project("--again", fails=(0,))
    assert {name: (first.folder / "evidence" / name).read_bytes() for name in before} == before


def test_a_chain_of_runs_tells_the_run_of_each_verdict(project):
    project(fails=(1,))
    first = latest(project)
    project("--again", fails=(2,))
    second = latest(project)
    assert str(second.claims[INSPECT].verdict) == "fail"
    ran = project("--again")
    third = latest(project)
    assert ran.ret == 0
    assert judged(third)[LS] == ("pass", first.folder.name)
    assert [(end.run, end.reason) for end in third.claims[INSPECT].before] == [
        (first.folder.name, "1 is not so"),
        (second.folder.name, "2 is not so"),
    ]
    assert [run["run"] for run in third.runs] == [first.folder.name, second.folder.name]
    assert all(third.read(file) for end in third.claims[INSPECT].before for file in end.evidence)
    assert f"pass     {INSPECT}; flaky: 2 of its last 3 runs ended differently" in ran.stdout.str()
    assert (third.folder / "junit.xml").read_text().count("<testcase ") == 6


def test_nothing_to_run_again_says_so_and_makes_nothing(project):
    project()
    before = names(project.path / "reports" / "runs")
    ran = project("--again")
    assert ran.ret == 0
    assert ran.stdout.str().splitlines() == [
        f"--again: nothing to run again: {before[0]} has no claim that is fail, broken, timeout or not run"
    ]
    assert names(project.path / "reports" / "runs") == before


def test_a_refused_certificate_is_the_status_where_nothing_is_left_to_run(project):
    project("--profile", "certify")
    ran = project("--again")
    assert ran.ret == 1
    assert "not certified: " in ran.stdout.str()


def test_what_was_blocked_or_not_selected_is_not_run_again(project):
    tests = TESTS.replace("test_third(cluster): pass", "test_third(cluster): raise Blocked('no image of x')")
    project("-k", "not fourth", tests=tests)
    ran = project("--again", tests=tests)
    assert ran.ret == 0
    assert "nothing to run again" in ran.stdout.str()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ended_before_its_last_test_is_gone_on_with(project, number):
    project.write(waits=True, fails=(0,))
    running = start([sys.executable, "-m", "pytest", "suites"], project.path, stdout=subprocess.DEVNULL)
    wait(lambda: (project.path / "stands").exists(), "the last test", deadline=60)
    busy = project("--again", "latest", process=True)
    assert busy.ret == 4
    assert "the run goes on; wait until it has ended" in busy.stderr.str()
    running.send_signal(number)
    running.wait(60)
    first = latest(project)
    assert MANAGERS in first.not_run
    ran = project("--again")
    second = latest(project)
    assert ran.ret == 0, ran.stdout.str()
    assert "1 fail, 1 test not run" in ran.stdout.str()
    assert judged(second) == {LS: ("pass", first.folder.name), INSPECT: ("pass", ""), MANAGERS: ("pass", "")}
    assert second.runs[0]["unfinished"]
    assert not second.unfinished


def test_a_run_again_that_ends_before_its_first_test_leaves_nothing(project):
    project(fails=(1,))
    before = names(project.path / "reports" / "runs")
    ran = project("--again", "-k", "nothing_has_this_name")
    assert ran.ret == 5
    assert names(project.path / "reports" / "runs") == before


def test_a_choice_beside_again_runs_a_part_and_keeps_the_rest(project):
    tests = TESTS.replace("test_fourth(cluster):", "test_fourth(cluster): assert not FAILS, 'four'")
    tests = tests[: tests.index("    if WAITS")]
    project(fails=(1,), tests=tests)
    first = latest(project)
    ran = project("--again", "-k", "fourth", tests=tests)
    second = latest(project)
    assert ran.ret == 1  # what is taken over is still a fail
    assert judged(second)[INSPECT] == ("fail", first.folder.name)
    assert judged(second)[MANAGERS] == ("pass", "")
    assert second.read(second.claims[INSPECT].evidence[0])
    assert f"fail     {INSPECT} (minor, judged in {first.folder.name})" in ran.stdout.str()


SHARED = f"@claim('{LS}', '{INSPECT}')\ndef test_both(cluster): assert not FAILS, 'both'\n"
SHARED += f"@claim('{MANAGERS}')\ndef test_other(cluster): pass\n"


def test_a_claim_that_is_chosen_keeps_what_its_tests_said_of_others(project):
    project(fails=(1,), tests=SHARED)
    first = latest(project)
    assert project("--again", "--claim", LS, tests=SHARED).ret == 1
    second = latest(project)
    assert judged(second) == {
        LS: ("pass", ""),
        INSPECT: ("fail", first.folder.name),
        MANAGERS: ("pass", first.folder.name),
    }
    assert "chosen" not in second.raw
    assert project("--again", tests=SHARED).ret == 0
    assert judged(latest(project))[INSPECT] == ("pass", "")


def test_a_run_of_chosen_claims_stays_one(project):
    project("--claim", f"{LS},{INSPECT}", fails=(1,))
    project("--again")
    second = latest(project)
    assert set(judged(second)) == {LS, INSPECT}
    assert second.chosen == [LS, INSPECT]
    assert not second.not_run


def test_a_test_that_no_longer_exists_does_not_hold_a_verdict(project):
    project(fails=(1,))
    renamed = TESTS.replace("def test_second", "def test_other")
    ran = project("--again", tests=renamed)
    assert ran.ret == 0, ran.stdout.str()
    assert judged(latest(project))[INSPECT] == ("pass", "")


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_a_parameter_that_no_longer_exists_does_not_hold_a_verdict(project, workers):
    project(fails=(1,))
    ran = project("--again", *workers, process=bool(workers), tests=TESTS.replace("range(3)", "(0, 2, 3)"))
    assert ran.ret == 0, ran.stdout.str()
    assert judged(latest(project))[INSPECT] == ("pass", "")


@pytest.mark.parametrize(
    "choice",
    [["--deselect", "suites/test_it.py::test_second[1]"], ["--lf"], ["-k", "test_second and not 1 or test_third"]],
)
def test_what_a_choice_leaves_out_keeps_its_verdict(project, choice):
    project(fails=(1,))
    first = latest(project)
    project("--reports", "other", fails=(0,))  # for --lf
    ran = project("--again", *choice)
    assert ran.ret == 1
    assert judged(latest(project))[INSPECT] == ("fail", first.folder.name)


def test_a_test_that_is_new_since_does_not_take_a_verdict_back(project):
    project(fails=(1,))
    more = TESTS + f"@claim('{LS}')\ndef test_new(cluster): pass\n"
    project("--again", tests=more)
    assert judged(latest(project))[LS][0] == "pass"


# Waivers


def waiver(project, expires):
    entry = {"claim": INSPECT, "justification": "known, mended soon", "owner": "ops", "expires": expires}
    (project.path / "waivers.yaml").write_text(json.dumps([entry]))
    return "--waivers", "waivers.yaml"


def age(run):
    """Let the waivers of a run have expired."""
    for name in (folders.RECORD, folders.VERDICTS):
        text = (run.folder / name).read_text()
        (run.folder / name).write_text(text.replace("2999-12-31", "2026-01-01"))


def test_waivers_hold_on_until_they_expire(project):
    assert project(*waiver(project, "2999-12-31"), fails=(1,)).ret == 0
    first = latest(project)
    assert "nothing to run again" in project("--again").stdout.str()
    age(first)
    ran = project("--again", fails=(1,))
    assert ran.ret == 1
    assert f"again: the waiver of {INSPECT} expired on 2026-01-01: it no longer counts" in ran.stdout.str()
    assert judged(latest(project))[INSPECT] == ("fail", "")
    ran = project("--again", *waiver(project, "2999-12-31"), fails=(1,))
    assert "nothing to run again" in ran.stdout.str()  # as the waiver that is given now covers it


# Wrong input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--again", "missing"], "--again: missing: there is no such run; write the folder of a run, or leave it out"),
        (["--again", "suites"], "--again suites: is a folder of tests and no run; write pytest suites --again"),
        (["--again", "--shard", "1/2"], "--shard: has no effect beside --again"),
        (["--again", "--reports", "empty"], "no such file or folder"),
    ],
)
def test_what_cannot_be_run_again_is_one_line(project, options, words):
    project(fails=(1,))
    before = names(project.path / "reports" / "runs")
    ran = project(*options)
    assert ran.ret == 4
    assert words in ran.stderr.str()
    assert len(ran.stderr.str().splitlines()) == 1
    assert names(project.path / "reports" / "runs") == before
    assert not (project.path / "empty").exists()


def test_a_run_without_its_record_is_refused(project):
    project(fails=(1,))
    (latest(project).folder / folders.RECORD).unlink()
    ran = project("--again")
    assert ran.ret == 4
    assert "has no verdicts.jsonl, which says what was run" in ran.stderr.str()


def test_a_run_is_named_by_folder_id_or_reports(project):
    project(fails=(1,))
    folder = latest(project).folder
    for name in (folder.name, str(folder), "reports", "reports/latest", str(folder / "verdicts.json"), "latest"):
        found = again.find(name, project.path / "reports", project.path)
        assert found.resolve() == folder


def test_the_result_goes_where_the_earlier_run_is(project):
    project("--reports", "elsewhere", fails=(1,))
    project("--again", "elsewhere")
    assert len(names(project.path / "elsewhere" / "runs")) == 2
    assert not (project.path / "reports").exists()


def test_another_engine_is_refused_before_a_verdict_of_it_counts(project):
    project(fails=(1,))
    before = names(project.path / "reports" / "runs")
    conftest = project.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"engine": "1.2.3"', '"engine": "9.9"'))
    ran = project("--again", process=True)
    assert ran.ret == 3
    assert f"--again: {before[0]} judged engines 1.2.3, and this is engines 9.9" in ran.stdout.str()
    assert names(project.path / "reports" / "runs") == before


# Shards


def test_a_shard_that_broke_off_is_gone_on_with_and_merged(project, tmp_path):
    for number in (1, 2):
        project("--shard", f"{number}/2", "--reports", f"shards/{number}", fails=(0, 1, 2))
    for number in (1, 2):
        ran = project("--again", f"shards/{number}")
        assert ran.ret == 0, ran.stdout.str()
    assert (
        main(["merge", *(str(project.path / "shards" / str(n)) for n in (1, 2)), "--reports", str(tmp_path / "m")]) == 0
    )
    merged = load(tmp_path / "m")
    assert {str(claim.verdict) for claim in merged.claims.values()} == {"pass"}
    assert len(merged.claims) == 3
    assert merged.runs
    assert all(merged.read(file) for claim in merged.claims.values() for file in claim.evidence)


def test_a_file_system_without_links_gets_copies(project, monkeypatch):
    project(fails=(1,))

    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    project("--again")
    shutil.rmtree(load(project.path / "reports").folder.parent / sorted(names(project.path / "reports" / "runs"))[0])
    second = latest(project)
    assert all(second.read(file) for claim in second.claims.values() for file in claim.evidence)
