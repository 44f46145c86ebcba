"""The page of nights: outcomes by night, rates of flaky claims, and what is not there."""

import json

import pytest

from swarmlab.verdicts import catalogue
from tools.nights import page

ID, OTHER = list(catalogue.load())[:2]


@pytest.fixture
def kept(tmp_path):
    """Returns a function that keeps a night as tools/nightly does: its number, its outcome, the verdicts of claims."""

    def night(number, outcome, *verdicts, name="trixie", engine="26.1.5", job="", revision="abc"):
        folder = tmp_path / "kept" / name / "runs" / f"202611{number:02}T010000Z-dind"
        folder.mkdir(parents=True)
        planned = f"2026-11-{number:02}T00:30:00Z"
        (folder / "night").write_text(f"{outcome}\n{planned}\n{job}\n")
        (folder / "compare.md").write_text(f"**Changes of <{number}>**\n")
        if verdicts:
            claims = [
                {"id": id, "must": "It must.", "level": "major", "verdict": verdict, "evidence": [], "tests": []}
                | {"reason": "" if verdict == "pass" else f"why {number}", "seconds": 1}
                for id, verdict in zip((ID, OTHER), verdicts, strict=False)
            ]
            summary = {verdict: verdicts.count(verdict) for verdict in verdicts}
            raw = {"schema": 1, "started": f"2026-11-{number:02}T01:00:00+00:00", "seconds": 1, "lab": {"kind": "dind"}}
            raw |= {"nodes": [{"name": "master", "engine": engine}], "suite": {"version": "1", "revision": revision}}
            raw |= {"summary": summary, "claims": claims, "not_run": {}}
            (folder / "verdicts.json").write_text(json.dumps(raw))
        return planned

    return night


def read(tmp_path):
    return page.read(tmp_path / "kept")


def test_outcomes_are_shown_by_night(kept, tmp_path):
    kept(1, "passed", "pass", "pass")
    kept(2, "worse", "pass", "fail", job="https://host/jobs/2")
    kept(2, "no verdict", name="mixed")
    lines = read(tmp_path)
    assert [line.name for line in lines] == ["mixed", "trixie"]
    assert [night.summary for night in lines[1].nights] == ["2 pass", "1 fail"]
    assert page.overall(lines) == ("2 of 2 runs did not pass", "bad")
    (tmp_path / "out/trixie").mkdir(parents=True)
    (tmp_path / "out/trixie/report.html").touch()
    html = page.render(lines, tmp_path / "out")
    assert html.index("2026-11-02") < html.index("2026-11-01")
    assert '<a href="trixie/report.html">Report and evidence</a>' in html
    assert '<a href="https://host/jobs/2">' in html
    assert "mixed/report.html" not in html
    assert "**Changes of &lt;2&gt;**" in html
    assert "Changes of &lt;1&gt;" not in html


def test_the_last_night_decides_and_only_runs_that_were_in_it(kept, tmp_path):
    kept(1, "worse", "fail", "fail", name="mixed")
    kept(2, "passed", "pass", "pass")
    assert page.overall(read(tmp_path)) == ("The run passed", "good")
    kept(2, "did not end", "pass", name="forky")
    assert page.overall(read(tmp_path)) == ("1 of 2 runs did not pass", "open")


def test_rates_of_flaky_claims_are_of_runs_alike(kept, tmp_path):
    kept(1, "passed", "fail", "pass", engine="28.5.2")
    kept(2, "failed", "fail", "pass")
    kept(3, "passed", "pass", "pass")
    kept(4, "failed", "fail", "fail")
    kept(5, "passed", "pass", "fail")
    kept(6, "no verdict")
    [line] = read(tmp_path)
    [(id, rate, points)] = line.flaky
    assert (id, rate.different, rate.of) == (
        ID,
        2,
        4,
    )  # the other claim fails since, the first night had another engine
    assert [str(point.verdict) for point in points] == ["fail", "pass", "fail", "pass"]
    html = page.render([line], tmp_path)
    assert "2 of 4 runs (50 %)" in html
    assert "<td>why 4</td>" in html


def test_nothing_kept_and_what_cannot_be_read_are_shown_as_such(kept, tmp_path):
    assert page.overall(read(tmp_path)) == ("No night yet", "open")
    assert "No night was kept." in page.render([], tmp_path)
    kept(1, "passed", "pass")
    [verdicts] = tmp_path.glob("kept/*/runs/*/verdicts.json")
    verdicts.write_text("{")
    [line] = read(tmp_path)
    assert line.latest.run is None
    assert line.flaky == []
    (verdicts.parent / "night").write_text("")
    [line] = read(tmp_path)
    assert line.latest.outcome == "no verdict"
