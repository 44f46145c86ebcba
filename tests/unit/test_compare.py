"""The comparison of two runs, and its exit status."""

import json
from pathlib import Path

import pytest

from swarmlab.cli.main import main
from swarmlab.verdicts import catalogue

IDS = list(catalogue.load())
A, B, C, D = IDS[:4]


@pytest.fixture
def run(tmp_path):
    """Return a function that writes a run of (verdict, seconds, reason) by claim, and returns its folder."""

    def _run(name, claims, *, engine="1.2.3", kind="dind", known=IDS, profile="full"):
        folder = tmp_path / name
        folder.mkdir()
        entries = []
        for id, (verdict, seconds, reason) in claims.items():
            entry = {"id": id, "must": "It must.", "level": "major", "verdict": verdict, "reason": reason}
            entries.append(entry | {"evidence": [], "tests": ["t"], "seconds": seconds})
        verdicts = [verdict for verdict, *_ in claims.values()]
        raw = {
            "schema": 1,
            "started": "2026-11-24T10:00:00+00:00",
            "seconds": 60,
            "profile": profile,
            "lab": {"kind": kind, "name": "x"},
            "nodes": [{"name": "master", "engine": engine}],
            "summary": {word: verdicts.count(word) for word in verdicts},
            "claims": entries,
            "not_run": {id: "not selected" for id in known if id not in claims},
        }
        (folder / "verdicts.json").write_text(json.dumps(raw))
        return str(folder)

    return _run


def passed(*ids, seconds=5.0):
    return dict.fromkeys(ids, ("pass", seconds, ""))


def test_a_slow_machine_is_no_slow_claim(run, capsys):
    before = passed(*IDS[:9], seconds=10)
    now = passed(*IDS[:9], seconds=35)
    assert main(["compare", run("old", before), run("slow", now)]) == 0
    assert "the newer run as a whole took 3.5 times as long" in capsys.readouterr().out
    assert main(["compare", run("before", before), run("new", now | passed(A, seconds=90))]) == 1
    assert f"{A} (major) 10.0 s -> 90.0 s" in capsys.readouterr().out
    # With few claims, the lab's own speed factor counts.
    old, new = run("few", passed(A)), run("few more", passed(A, seconds=30))
    assert main(["compare", old, new]) == 1
    raw = json.loads((Path(new) / "verdicts.json").read_text())
    raw["lab"]["each"] = {"x": {"speed": 3.5}, "y": {}}
    (Path(new) / "verdicts.json").write_text(json.dumps(raw))
    assert main(["compare", old, new]) == 0


def test_nothing_worse(run, capsys):
    assert main(["compare", run("old", passed(A, B)), run("new", passed(A, B))]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Nothing is worse.")
    assert "Claims that both runs judged: 2, of them with the same verdict: 2." in printed
    assert "more than 2 times and more than 10 s longer" in printed


@pytest.mark.parametrize(
    ("old", "new", "title"),
    [
        ("pass", "fail", "Worse"),
        ("pass", "broken", "Worse"),
        ("pass", "timeout", "Worse"),
        ("pass", "waived", "Worse"),
        ("blocked", "fail", "Worse"),
        ("timeout", "fail", "Worse"),
        ("waived", "fail", "Worse"),
        ("pass", "blocked", "Newly blocked"),
        ("waived", "blocked", "Newly blocked"),
        ("fail", "blocked", "Newly blocked"),
    ],
)
def test_what_is_worse_is_named_and_gives_one(run, capsys, old, new, title):
    before, now = (passed(A) | {B: (old, 1, "it was so")}, passed(A) | {B: (new, 1, "slave01 does not")})
    assert main(["compare", run("old", before), run("new", now)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("Something is worse.")
    assert f"{title}: 1\n  {B} (major) {old} -> {new}: slave01 does not" in printed


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pass", None, "Judged by the old run alone, so not compared: 1\n  not run now, not selected: "),
        ("fail", None, "Judged by the old run alone, so not compared: 1\n  not run now, not selected: "),
        (None, "pass", "Judged by the new run alone, so not compared: 1\n  not run before, not selected: "),
        (None, "blocked", "Judged by the new run alone, so not compared: 1\n  not run before, not selected: "),
        (None, "fail", "Judged by the new run alone, so not compared: 1\n  fail now, slave01 does not: "),
    ],
)
def test_what_one_run_alone_judged_is_named_apart_and_is_not_worse(run, capsys, old, new, words):
    before = passed(A) | ({B: (old, 1, "it was so")} if old else {})
    now = passed(A) | ({B: (new, 1, "slave01 does not")} if new else {})
    assert main(["compare", run("old", before), run("new", now)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Nothing is worse.")
    assert f"{words}{B}" in printed
    assert "Claims that both runs judged: 1, of them with the same verdict: 1." in printed


def test_many_claims_that_one_run_alone_judged_are_one_line(run, capsys):
    assert main(["compare", run("old", passed(*IDS)), run("new", passed(A))]) == 0
    printed = capsys.readouterr().out
    assert f"  not run now, not selected: {len(IDS) - 1} claims: {B}, " in printed
    assert len(printed.splitlines()) < 10


def test_a_flaky_claim_is_named_and_its_verdict_counts(run, tmp_path, capsys):
    def end(hour, verdict):
        folder = Path(run(f"runs/20261129T{hour}0000Z-dind", {A: (verdict, 1, "" if verdict == "pass" else "no")}))
        raw = json.loads((folder / "verdicts.json").read_text())
        raw |= {"started": f"2026-11-29T{hour}:00:00+00:00", "suite": {"version": "1", "revision": "abc"}}
        (folder / "verdicts.json").write_text(json.dumps(raw))
        return str(folder)

    (tmp_path / "runs").mkdir()
    _, second, third = end("10", "fail"), end("11", "pass"), end("12", "fail")
    assert main(["compare", second, third]) == 1
    printed = capsys.readouterr().out
    assert f"Worse: 1\n  {A} (major) pass -> fail: no" in printed
    assert f"Flaky: 1\n  {A} (major) pass -> fail: flaky: 1 of its last 3 runs ended differently" in printed


@pytest.mark.parametrize(
    ("old", "new", "title"),
    [
        ("fail", "pass", "Better"),
        ("fail", "timeout", "Better"),
        ("blocked", "pass", "Better"),
        ("waived", "pass", "Better"),
    ],
)
def test_what_is_better_gives_none(run, capsys, old, new, title):
    before = {B: (old, 1, "it was so")}
    assert main(["compare", run("old", before), run("new", {B: (new, 1, "")})]) == 0
    assert f"{title}: 1\n  {B} " in capsys.readouterr().out


@pytest.mark.parametrize(("old", "new", "code"), [(5, 15.1, 1), (5, 14.9, 0), (20, 39, 0), (20, 41, 1), (0, 9, 0)])
def test_slower_is_beyond_both_bounds(run, capsys, old, new, code):
    assert main(["compare", run("old", passed(A, seconds=old)), run("new", passed(A, seconds=new))]) == code
    printed = capsys.readouterr().out
    assert (f"{A} (major) {old:.1f} s -> {new:.1f} s" in printed) == bool(code)


def test_what_takes_long_to_fail_is_not_slower(run, capsys):
    old, new = run("old", {A: ("fail", 1, "x")}), run("new", {A: ("fail", 100, "x")})
    assert main(["compare", old, new]) == 0
    assert "Slower (" not in capsys.readouterr().out


def test_a_claim_that_left_the_catalogue_is_named_apart(run, capsys):
    new = run("new", passed(A), known=[A])
    assert main(["compare", run("old", passed(A, B)), new]) == 0
    assert f"not run now, no longer in the catalogue: {B}" in capsys.readouterr().out


def test_runs_of_different_engines_and_labs_say_so(run, capsys):
    main(["compare", run("old", passed(A)), run("new", passed(A), engine="28.5.2", kind="vagrant", profile="safe")])
    printed = capsys.readouterr().out
    assert "the runs differ in engines: 1.2.3 before, 28.5.2 now" in printed
    assert "the runs differ in lab: dind before, vagrant now" in printed
    assert "the runs differ in profile: full before, safe now" in printed


def test_markdown_tells_the_same_and_cannot_be_broken_out_of(run, capsys):
    new = {A: ("fail", 1, "<b> `x` @team\n| # not"), B: ("pass", 30, "")}
    paths = run("old", passed(A, B)), run("new", new)
    assert main(["compare", *paths]) == 1
    plain = capsys.readouterr().out
    assert main(["compare", *paths, "--markdown"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("**Something is worse.**")
    assert f"### Worse: 1\n\n- `{A}` (major) pass -> fail: \\<b\\> \\`x\\` @\u200bteam \\| \\# not" in printed
    assert f"- `{B}` (major) 5.0 s -> 30.0 s" in printed
    assert len(plain.split()) <= len(printed.split())


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_no_run_is_one_line_and_gives_two(run, tmp_path, capsys, which):
    paths = [run("old", passed(A)), run("new", passed(A))]
    paths[which] = str(tmp_path / "missing")
    assert main(["compare", *paths]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "missing: no such file" in printed.err


def test_too_few_words_are_a_usage_error(run):
    with pytest.raises(SystemExit) as ended:
        main(["compare", run("old", passed(A))])
    assert ended.value.code == 2


def test_a_known_failure_is_worse_all_the_same_and_told_as_known(run, capsys):
    new = run("new", {A: ("fail", 5.0, "not so")})
    raw = json.loads((Path(new) / "verdicts.json").read_text())
    raw["claims"][0]["known"] = [{"incident": "x#1", "cause": "it forgets", "engines": ["1.2.3"], "mended": "1.3"}]
    (Path(new) / "verdicts.json").write_text(json.dumps(raw))
    assert main(["compare", run("old", passed(A)), new]) == 1
    assert "pass -> fail: not so; known: x#1: it forgets (1.2.3; mended in 1.3)" in capsys.readouterr().out
