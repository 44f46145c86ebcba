"""Parts of a run that was split over machines make one run again, with one verdict a claim."""

import json
import shutil
import textwrap

import pytest

from swarmlab.cli.main import main
from swarmlab.report import html, results_page
from swarmlab.verdicts import compare
from swarmlab.verdicts.results import load
from tests.unit.helpers import HEADER, prepare

pytest_plugins = ["pytester"]

PLUGINS = '"fixtures.profiles", "fixtures.kept", "fixtures.shards",'
TESTS = """
@claim('7.2.2/ls-columns')
def test_first(cluster): record('master', 'ls', 'all')
@claim('7.2.2/inspect')
@pytest.mark.parametrize('n', range(5))
def test_second(cluster, n): assert n not in FAILS, f'{n} is not so'
@claim('7.2.2/managers-only')
def test_third(cluster): raise Blocked('no image of x')
@claim('7.2.2/managers-only')
def test_fourth(cluster): pass
@claim('7.2.2/inspect')
def test_fifth(cluster): pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A project whose suites are made for a test; returns a function that runs a part of them, or the whole."""
    prepare(pytester, monkeypatch, PLUGINS)

    def run(name, *options, fails=(), process=False):
        module = textwrap.dedent(HEADER) + f"FAILS = {fails}\n" + TESTS
        (pytester.path / "suites" / "test_it.py").write_text(module)
        runner = pytester.runpytest_subprocess if process else pytester.runpytest_inprocess
        shard = () if name == "whole" else ("--shard", name)
        folder = pytester.path / "runs" / name.replace("/", "-of-")
        return runner("suites", *shard, "--reports", str(folder), *options), folder

    return run


def merged(tmp_path, *parts):
    metrics = str(tmp_path / "collector" / "swarm.prom")
    status = main(["merge", *map(str, parts), "--reports", str(tmp_path / "merged"), "--metrics", metrics])
    return status, tmp_path / "merged"


def told(run):
    """The verdicts of a run, without what is of one place and time."""
    keys = ("id", "verdict", "reason", "lacking")
    claims = {claim["id"]: [claim[key] for key in keys] for claim in run.raw["claims"]}
    return claims, dict(run.not_run), run.raw["summary"], sorted(run.raw["tests"])


@pytest.mark.parametrize(("workers", "parts"), [([], 2), ([], 3), (["-n2"], 2)])
def test_parts_make_the_run_that_was_split(project, tmp_path, workers, parts):
    fails = (3,)
    whole, folder = project("whole", fails=fails)
    shards = [project(f"{number + 1}/{parts}", *workers, fails=fails, process=bool(workers)) for number in range(parts)]
    each = [sorted(load(reports).raw["tests"]) for _, reports in shards]
    assert sorted(test for tests in each for test in tests) == sorted(load(folder).raw["tests"])
    assert sorted(int(ran.ret) for ran, _ in shards) == sorted([*[0] * (parts - 1), 1])
    status, place = merged(tmp_path, *(reports for _, reports in reversed(shards)))
    run = load(place)
    assert status == whole.ret == 1
    assert told(run) == told(load(folder))
    assert run.claims["7.2.2/inspect"].reason == "3 is not so"
    assert all(run.read(file) is not None for claim in run.claims.values() for file in claim.evidence)
    assert [part["shard"] for part in run.shards] == [f"{number + 1}/{parts}" for number in range(parts)]
    assert len(list((run.folder / "allure-results").glob("*-result.json"))) == 9
    assert (run.folder / "junit.xml").read_text().count("<testcase ") == 9
    assert "--shard" not in run.raw["command"]
    text = (run.folder / "metrics.prom").read_text()
    assert text == (tmp_path / "collector" / "swarm.prom").read_text()
    assert text.count("swarmlab_claim_verdict{") == len(run.claims)


def test_a_part_judges_no_claim_whose_tests_are_elsewhere(project):
    for number in (1, 2):
        ran, folder = project(f"{number}/2")
        run = load(folder)
        assert ran.ret == 0
        assert "7.2.2/inspect" in run.not_run  # its tests are in both
        elsewhere = [id for id, why in run.not_run.items() if why == f"not selected in shard {number}/2"]
        assert set(elsewhere) <= {"7.2.2/ls-columns", "7.2.2/managers-only"}


def test_the_run_tells_where_each_claim_was_judged(project, tmp_path):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    _, place = merged(tmp_path, *shards)
    run = load(place)
    judged = {claim["id"]: claim["judged"] for claim in run.raw["claims"]}
    assert [where["shard"] for where in judged["7.2.2/inspect"]] == ["1/2", "2/2"]
    assert {where["engine"] for where in judged["7.2.2/inspect"]} == {"1.2.3"}
    assert all(where["host"] and where["lab"].endswith(f" of {where['shard']}") for where in judged["7.2.2/inspect"])
    assert "on shard 1/2, host " in html.render([run], beside=place)
    assert "| split | 2 shards on 1 host |" in results_page.render([run])
    assert not compare.compare(run, run).regressed


def test_a_part_without_tests_is_a_part(project, tmp_path):
    shards = [project(f"{number}/3", "-k", "test_first or test_fourth") for number in (1, 2, 3)]
    assert [ran.ret for ran, _ in shards] == [0, 0, 0]
    assert [len(load(folder).raw["tests"]) for _, folder in shards] == [1, 1, 0]
    assert merged(tmp_path, *(folder for _, folder in shards))[0] == 0
    ran, _ = project("1/2", "-k", "nothing-has-this-name")
    assert ran.ret == 5


def test_what_is_not_one_run_is_refused_a_line_each(project, tmp_path, capsys):
    first, second, third = (project(f"{number}/3")[1] for number in (1, 2, 3))
    other = project("2/3", "-k", "not first")[1]  # takes the place of the second in its folder of reports
    older = sorted((second / "runs").iterdir())[0]
    assert older != load(other).folder
    whole = project("whole")[1]

    def refused(*parts):
        capsys.readouterr()
        status, place = merged(tmp_path, *parts)
        lines = capsys.readouterr().err.splitlines()
        assert status == 2
        assert not place.exists()
        return [line.removeprefix("swarmlab: ") for line in lines]

    assert refused(first, older) == ["shard 3/3 is missing; name its folder, too"]
    assert refused(first) == [f"shard {number}/3 is missing; name its folder, too" for number in (2, 3)]
    [twice] = refused(first, older, third, first)
    assert twice.startswith("shard 1/3 is there twice: ")
    [differing] = refused(first, load(other).folder, third)
    assert differing.startswith("shards 1/3 and 2/3 differ in tests that were split, or their seconds")
    assert refused(first, older, whole) == [f"{load(whole).folder} is no part of a run: it was run without --shard"]
    assert refused(tmp_path / "none")[0].startswith(f"{tmp_path / 'none'}: no such file or folder")
    two = project("1/2")[1]
    assert any(line.endswith("shard 1/3: not of one split") for line in refused(first, older, third, two))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda start: start["suite"].update(revision="abc"), "differ in revision of the suites: "),
        (lambda start: start["claims"].pop(), "differ in catalogue; run them anew, alike"),
        (lambda start: start.update(profile="nightly"), "differ in profile: full and nightly"),
        (lambda start: start["options"].update(engine="trixie"), "differ in --engine: none and trixie"),
    ],
)
def test_parts_of_differing_suites_are_refused(project, tmp_path, capsys, change, line):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    _alter(load(shards[1]).folder / "verdicts.jsonl", "start", change)
    assert merged(tmp_path, *shards)[0] == 2
    assert f"shards 1/2 and 2/2 {line}" in capsys.readouterr().err


def test_parts_of_differing_engines_are_refused(project, tmp_path, capsys):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    record = load(shards[1]).folder / "verdicts.jsonl"
    _alter(record, "lab", lambda entry: [node.update(engine="9.9") for node in entry["facts"]["nodes"]])
    assert merged(tmp_path, *shards)[0] == 2
    assert "shards 1/2 and 2/2 differ in engines: 1.2.3 and 9.9; run" in capsys.readouterr().err


@pytest.mark.parametrize("fact", ["cluster", "provider"])
def test_parts_of_differing_labs_are_refused(project, tmp_path, capsys, fact):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    for reports, value in zip(shards, ("one", "other"), strict=True):
        record = load(reports).folder / "verdicts.jsonl"
        _alter(record, "lab", lambda entry, value=value: entry["facts"].update({fact: value}))
    assert merged(tmp_path, *shards)[0] == 2
    assert f"shards 1/2 and 2/2 differ in {fact}: one and other; run them anew, alike" in capsys.readouterr().err


def _alter(record, kind, change):
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    for entry in entries:
        if entry["record"] == kind:
            change(entry)
    record.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_part_that_was_killed_makes_a_run_that_did_not_end(project, tmp_path, capsys):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    folder = load(shards[1]).folder
    (folder / "verdicts.json").unlink()
    record = folder / "verdicts.jsonl"
    lines = [line for line in record.read_text().splitlines(True) if '"record": "test"' not in line]
    record.write_text(
        "".join(line for line in lines if not line.startswith(('{"record": "end"', '{"record": "split"')))
    )
    status, place = merged(tmp_path, *shards)
    assert status == 3
    assert load(place).unfinished.startswith("shard 2/2: it was killed, or its disk was full")
    assert "Not established" in capsys.readouterr().out


def test_the_worst_verdict_of_several_parts_counts_and_certification_is_of_the_whole(project, tmp_path, capsys):
    shards = [project(f"{number}/2", "--profile", "certify") for number in (1, 2)]
    assert [ran.ret for ran, _ in shards] == [0, 0]
    assert all("certification" not in load(folder).raw for _, folder in shards)
    status, place = merged(tmp_path, *(folder for _, folder in shards))
    assert status == 1  # the rest of the catalogue was not run
    assert str(load(place).claims["7.2.2/managers-only"].verdict) == "blocked"
    assert "not certified: 1 blocked: no image of x: 7.2.2/managers-only" in capsys.readouterr().out


def test_labs_of_one_name_and_their_files_stay_apart(project, tmp_path):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]
    for place in shards:
        folder = load(place).folder

        def found(entry):
            entry["name"] = entry["facts"]["name"] = "run-1"
            entry["facts"]["preflight"] = {"findings": [], "nodes": [], "evidence": "evidence/preflight-run-1.txt"}

        _alter(folder / "verdicts.jsonl", "lab", found)
        (folder / "evidence" / "preflight-run-1.txt").write_text(place.name)
    _, place = merged(tmp_path, *shards)
    run = load(place)
    assert [look["lab"] for look in run.raw["preflight"]] == ["run-1 of 1/2", "run-1 of 2/2"]
    assert [run.read(look["evidence"]).decode() for look in run.raw["preflight"]] == ["1-of-2", "2-of-2"]


def test_a_folder_that_cannot_be_written_leaves_nothing(project, tmp_path, capsys, monkeypatch):
    shards = [project(f"{number}/2")[1] for number in (1, 2)]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    assert merged(tmp_path, *shards)[0] == 3
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "merged" / "runs").iterdir())
