"""The page of a run for a pull request."""

import pytest

from swarmlab.cli.main import main
from tests.unit.helpers import IDS

A, B, C, D = IDS[:4]
FULL = {"check": "limits", "level": "error", "seen": "full @team #1", "risk": "", "incident": "", "nodes": ["a"]}
WAIVER = {"check": "disk", "justification": "known for long", "owner": "ops", "expires": "2999-12-31"}


def page(capsys, *arguments, status=0):
    assert main(["report", "--markdown", *map(str, arguments)]) == status
    return capsys.readouterr().out


def test_it_says_in_short_what_a_reviewer_has_to_know(run, capsys):
    waived = {**FULL, "check": "disk", "level": "warning", "waiver": WAIVER}
    look = {"lab": "run-1", "findings": [FULL, waived, {**FULL, "level": "ok", "check": "quorum"}]}
    suite = {"version": "1.0", "revision": "abc"}
    text = page(capsys, run({A: "fail", B: "pass", C: "waived"}, preflight=[look], cluster="prod", suite=suite))
    lines = text.splitlines()
    assert lines[0] == "## Swarm conformance of prod (dind): does not conform"
    assert "| engine | pass | fail | waived | not run | took |\n" in text
    assert f"| 1.2.3 | 1 | 1 | 1 | {len(IDS) - 3} | 75 s |\n" in text
    assert f"### Needs attention: 1\n\n- fail `{A}` (major): why fail &lt;b&gt;&amp; so&lt;/b&gt;" in text
    assert f"### Waived: 1\n\n- waived `{C}`" in text
    assert "### Preflight: 2" in text
    assert "- error: limits: a: full @\u200bteam \\#1" in text
    assert "(waived by ops until 2999-12-31)" in text
    assert "quorum" not in text
    assert lines[-1] == "started 2026-11-24 10:00 UTC, suite 1.0, revision abc"
    assert len(lines) < 40


def test_it_says_what_got_worse_since_the_baseline(run, capsys):
    old = run({A: "pass", B: "pass"}, name="old")
    text = page(capsys, run({A: "fail", B: "pass"}, name="new"), "--baseline", old)
    assert "### Compared with the baseline" in text
    assert "**Something is worse.**" in text
    assert f"#### Worse: 1\n\n- `{A}` (major) pass -> fail" in text
    assert "Nothing is worse" in page(capsys, old, "--baseline", old)


def test_of_many_claims_it_names_the_first(run, capsys):
    text = page(capsys, run(dict.fromkeys(IDS[:30], "fail")))
    assert "### Needs attention: 30" in text
    assert text.count("- fail `") == 20
    assert "- and 10 more, which the run's report has" in text
    levels = [line.partition("(")[2].partition(")")[0] for line in text.splitlines() if line.startswith("- fail")]
    assert levels == sorted(levels, key=["critical", "major", "minor"].index)


def test_a_run_that_passed_is_a_few_lines(run, capsys):
    text = page(capsys, run({A: "pass"}))
    assert "###" not in text
    assert text.startswith("## Swarm conformance of dind: no failure in what was judged\n")


def test_it_goes_to_a_file(run, tmp_path, capsys):
    file = tmp_path / "new" / "page.md"
    assert page(capsys, run({A: "pass"}), "--out", file) == f"{file}\n"
    assert file.read_text().startswith("## Swarm conformance")


@pytest.mark.parametrize("certification", [[], ["1 fail: x"]])
def test_a_refused_certificate_is_told(run, capsys, certification):
    text = page(capsys, run({A: "fail"}, certification=certification))
    assert ("**Not certified:** 1 fail: x" in text) == bool(certification)


def test_a_baseline_needs_the_page(run, capsys):
    folder = str(run({A: "pass"}))
    assert main(["report", folder, "--baseline", folder]) == 2
    assert capsys.readouterr().err.startswith("swarmlab: --baseline: is on the page of --markdown; give that too")
    assert main(["report", folder, "--markdown", "--baseline", "/none"]) == 2
