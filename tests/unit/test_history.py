"""The history of claims over the runs that are kept, and which of them are flaky."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from swarmlab.verdicts import history
from swarmlab.verdicts.history import Flaky, Point, flaky_rate
from swarmlab.verdicts.verdict import Verdict

START = datetime(2026, 11, 29, tzinfo=timezone.utc)
A, B = "7.2.2/inspect", "7.2.2/ls-columns"


def points(*ends):
    """Points of one claim: the verdict, and after a slash the conditions, `x` by default."""
    made = []
    for number, end in enumerate(ends):
        verdict, _, under = end.partition("/")
        under = () if under == "none" else (under or "x",)
        made.append(Point(f"run-{number}", START + timedelta(hours=number), Verdict(verdict), 1.0, "", under))
    return made


@pytest.mark.parametrize(
    ("ends", "rate"),
    [
        (["pass", "pass"], None),
        (["fail"], None),
        (["fail", "pass"], (1, 2)),
        (["timeout", "pass"], (1, 2)),
        (["broken", "pass"], (1, 2)),
        (["pass", "fail"], None),  # it got worse, as far as is known
        (["pass", "pass", "fail", "fail"], None),
        (["pass", "fail", "pass", "fail", "fail"], (1, 5)),
        (["fail", "fail", "pass"], (2, 3)),
        (["fail", "blocked", "pass"], (1, 2)),  # nothing was judged in between
        (["fail", "blocked"], None),
        (["fail/old", "pass/new"], None),  # an upgrade mended it
        (["fail/old", "pass/new", "pass/old"], (1, 3)),
        (["fail/none", "pass/none"], None),  # nobody knows whether the suites were the same
        (["fail", "waived", "pass"], (2, 3)),
        (["fail", *["pass"] * 10], None),  # it was long ago
        ([*["pass"] * 8, "fail", "pass"], (1, 10)),
    ],
)
def test_flaky_is_what_did_not_pass_and_then_passed_under_the_same_conditions(ends, rate):
    assert flaky_rate(points(*ends)) == (Flaky(*rate) if rate else None)


def test_a_rate_is_told_in_words_and_counts_as_many_runs_as_are_asked_for():
    assert str(flaky_rate(points("fail", "pass"))) == "flaky: 1 of its last 2 runs ended differently"
    assert flaky_rate(points("fail", "pass", "pass"), most=2) is None
    assert Flaky(1, 4).rate == 0.25


def written(reports, hour, claims, *, revision="abc", engine="1.2.3", kind="dind", cluster="", errors=(), **facts):
    """Write a run's verdicts, and return its folder."""
    folder = reports / "runs" / f"20261129T{hour:02}0000Z-{kind}-{engine}"
    folder.mkdir(parents=True)
    entries = [
        {"id": id, "must": "It must.", "level": "major", "reason": "" if claim["verdict"] == "pass" else "not so"}
        | {"evidence": [], "tests": ["t"], "seconds": 2.0}
        | claim
        for id, claim in claims.items()
    ]
    finding = {"level": "error", "seen": "x", "risk": "y", "incident": ""}
    raw = {
        "schema": 1,
        "started": f"2026-11-29T{hour:02}:00:00+00:00",
        "seconds": 60,
        "suite": {"version": "1.0", "revision": revision},
        "lab": {"kind": kind, "name": "x", "each": {"x": {"cluster": cluster}}},
        "nodes": [{"name": "master", "engine": engine}],
        "preflight": [{"lab": "x", "findings": [finding | {"check": name, "nodes": ["master"]} for name in errors]}],
        "summary": {},
        "claims": entries,
        "not_run": {},
    }
    (folder / "verdicts.json").write_text(json.dumps(raw | facts))
    return folder


def one(verdict, **more):
    return {A: {"verdict": verdict, **more}}


def test_the_history_is_that_of_runs_beside_it_on_the_same_kind_of_lab_and_engine(tmp_path):
    written(tmp_path, 1, one("fail"))
    written(tmp_path, 2, one("fail"), engine="9.9")
    written(tmp_path, 3, one("fail"), kind="vagrant")
    folder = written(tmp_path, 4, one("pass") | {B: {"verdict": "pass"}})
    written(tmp_path, 5, one("fail"))  # later
    found = history.up_to(folder)
    assert [(point.run[9:11], str(point.verdict), point.seconds) for point in found.of(A)] == [
        ("01", "fail", 2.0),
        ("04", "pass", 2.0),
    ]
    assert found.of(A)[0].reason == "not so"
    assert found.of(A)[1].folder == folder
    assert found.flaky(A) == Flaky(1, 2)
    assert found.flaky(B) is None
    assert found.of("7.1/none") == ()
    (tmp_path / "latest").symlink_to(folder)
    assert history.up_to(tmp_path / "latest") == found


@pytest.mark.parametrize(
    "then",
    [
        {"revision": "other"},
        {"revision": "abc-dirty"},
        {"errors": ["ports"]},  # which was mended since
        {"cluster": "another"},
    ],
)
def test_what_differed_may_be_why(tmp_path, then):
    written(tmp_path, 1, one("fail"), **then)
    now = {"revision": then["revision"]} if then.get("revision", "").endswith("-dirty") else {}
    assert history.up_to(written(tmp_path, 2, one("pass"), **now)).flaky(A) is None


def test_changes_that_are_not_committed_are_told_apart_by_their_digest():
    def under(**suite):
        return history.conditions({"suite": suite, "lab": {}, "nodes": []})

    assert under(version="1", revision="abc-dirty") == ()
    assert under(version="1", revision="abc-dirty", changes="1f") == under(
        version="1", revision="abc-dirty", changes="1f"
    )
    assert under(version="1", revision="abc-dirty", changes="1f") != under(
        version="1", revision="abc-dirty", changes="2f"
    )
    assert under() == ()


def test_a_run_that_took_verdicts_over_is_no_second_judgement_of_them(tmp_path):
    first = written(tmp_path, 1, one("fail") | {B: {"verdict": "pass"}})
    conditions = list(history.conditions(json.loads((first / "verdicts.json").read_text())))
    facts = {"run": first.name, "started": "2026-11-29T01:00:00+00:00", "seconds": 60, "unfinished": ""}
    before = {"run": first.name, "verdict": "fail", "reason": "not so"}
    claims = one("pass", before=[before]) | {B: {"verdict": "pass", "run": first.name}}
    second = written(tmp_path, 2, claims, runs=[facts | {"conditions": conditions}])
    for kept in (True, False):
        if not kept:  # its verdicts are in the second run
            (first / "verdicts.json").unlink()
            first.rmdir()
        found = history.up_to(second)
        assert [point.run for point in found.of(A)] == [first.name, second.name]
        assert [point.run for point in found.of(B)] == [first.name]
        assert found.flaky(A) == Flaky(1, 2)
        assert [point.folder for point in found.of(B)] == [first if kept else None]


def test_what_is_no_run_is_left_out(tmp_path):
    folder = written(tmp_path, 3, one("pass"))
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"lab": {}}')):
        (tmp_path / "runs" / f"20261128T000000Z-{name}").mkdir()
        (tmp_path / "runs" / f"20261128T000000Z-{name}" / "verdicts.json").write_text(text)
    (tmp_path / "runs" / "20261128T000000Z-empty").mkdir()
    assert len(history.up_to(folder).of(A)) == 1
    assert history.up_to(tmp_path / "missing").points == {}


def test_a_copy_of_a_run_does_not_count_twice(tmp_path):
    written(tmp_path / "a", 1, one("fail"))
    copy = written(tmp_path / "b", 1, one("fail"))
    copy = copy.rename(copy.with_name("copy"))
    assert history.up_to(written(tmp_path / "a", 2, one("pass")), copy).flaky(A) == Flaky(1, 2)
