"""Fixtures that several unit tests share."""

import json

import pytest

from swarmlab.preflight import checks
from swarmlab.verdicts import catalogue
from tests.unit.helpers import IDS, NODE, check_words
from tests.unit.small_catalogue import known, made, suite  # noqa: F401


@pytest.fixture(autouse=True)
def checked_words(monkeypatch):
    """Check the words of every finding that a test provokes."""
    look = checks.look

    def _look(*args):
        found = look(*args)
        check_words(found)
        return found

    monkeypatch.setattr(checks, "look", _look)


@pytest.fixture
def run(tmp_path):
    """Return a function that makes a run's folder from verdicts by claim, and returns its path."""

    def _run(verdicts, *, name="run", evidence="", engine="1.2.3", **facts):
        folder = tmp_path / name
        (folder / "evidence").mkdir(parents=True)
        claims = []
        for number, (id, verdict) in enumerate(verdicts.items()):
            file = f"evidence/{number}.txt"
            (folder / file).write_text(evidence or f"test: {verdict}\n\n+0.10 s  master  docker node ls\n    three\n")
            claim = catalogue.load()[id]
            entry = {"id": id, "must": claim.must, "level": claim.level, "erratum": claim.erratum, "verdict": verdict}
            reason = "" if verdict == "pass" else f"why {verdict} <b>& so</b>"
            claims.append(entry | {"reason": reason, "evidence": [file], "tests": [f"suites/t.py::t{number}"]})
            claims[-1]["seconds"] = 1.5
        counted = {word: list(verdicts.values()).count(word) for word in set(verdicts.values())}
        report = {
            "schema": 1,
            "started": "2026-11-24T10:00:00+00:00",
            "seconds": 75.0,
            "lab": {"kind": "dind", "name": "run-1", "each": {"run-1": {"speed": 1.0}}},
            "nodes": [{**NODE, "engine": engine}],
            "summary": counted,
            "claims": claims,
            "not_run": {id: "no test" for id in IDS if id not in verdicts},
        }
        (folder / "verdicts.json").write_text(json.dumps(report | facts))
        return folder

    return _run
