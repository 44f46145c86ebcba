"""A small catalogue of all parts, and suites for it: fixtures of several unit tests, which conftest.py imports."""

import json
import textwrap

import pytest

from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue
from tests.unit.helpers import CONFTEST, HEADER

DOCUMENT = """# Chapter 7: using the swarm
- {id: 7.1/one, must: "The document says so.", level: major}
- {id: 7.1/other, must: "The document says otherwise.", level: minor}
"""
SWARM = """# Swarm: beyond the document

# configs
- {id: configs/immutable, must: "It never changes.", level: major, source: "https://docs.docker.com/engine/swarm/configs/"}

# plugins
- {id: plugins/any, source: "Engine API 1.41: POST /plugins/pull", why_not: "There is none to be had."}
- {id: jobs/ends, must: "A job ends.", level: minor, source: "Engine API 1.41: POST /services/create",
   needs: ["api>=1.41"]}
"""
CIS = """# CIS: the benchmark
- {id: cis/lock, must: "It is locked.", level: minor, source: "CIS Docker Benchmark 1.6.0, 7.5",
   cost: "Somebody must unlock.", beside: [7.1/other]}
"""
#: Reads a catalogue, without keeping it.
READ = catalogue.load.__wrapped__
IDS = ["7.1/one", "7.1/other", "configs/immutable", "jobs/ends", "cis/lock"]
TESTS = {
    "ch7/test_it.py": "@claim('7.1/one', '7.1/other')\ndef test_document(cluster): pass",
    "swarm/test_it.py": "@claim('configs/immutable')\ndef test_swarm(cluster): pass\n"
    "@claim('jobs/ends')\ndef test_jobs(cluster): pass",
    "cis/test_it.py": "@claim('cis/lock')\ndef test_cis(cluster): assert False, 'not locked'",
}
#: The beginning of a conftest.py of other processes: puts the catalogue of these tests in the place of the project's.
PATCH = """
from pathlib import Path
from swarmlab.verdicts import catalogue

_found = catalogue.load.__wrapped__(Path("FOLDER"))
catalogue.load = lambda: _found
"""


@pytest.fixture
def made(tmp_path):
    """Return a function that makes a folder of the catalogue and reads it."""

    def _made(swarm=SWARM, cis=CIS):
        folder = tmp_path / "claims"
        folder.mkdir(exist_ok=True)
        for name, text in (("ch7", DOCUMENT), ("swarm", swarm), ("cis", cis)):
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return READ(folder)

    return _made


@pytest.fixture
def known(made, monkeypatch):
    """Put the catalogue of these tests in the place of the project's."""
    found = made()
    monkeypatch.setattr(catalogue, "load", lambda: found)


@pytest.fixture
def suite(pytester, known, monkeypatch, tmp_path):  # noqa: ARG001
    """Return a function that runs suites of all parts: the result, and verdicts.json if the run wrote one."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections =\n  7\n  swarm\n  cis\n")
    conftest = textwrap.dedent(CONFTEST).replace("Offers(3, MADE,", "Offers(3, MADE, look={'api': lambda version: ''},")
    conftest = conftest.replace('"fixtures.profiles",', '"fixtures.profiles", "fixtures.kept", "fixtures.shards",')

    def _suite(*options, tests=None, path="suites", process=False):
        pytester.makeconftest((PATCH.replace("FOLDER", str(tmp_path / "claims")) if process else "") + conftest)
        for name, text in {**TESTS, **(tests or {})}.items():
            file = pytester.path / "suites" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(textwrap.dedent(HEADER) + text, encoding="utf-8")
        runner = pytester.runpytest_subprocess if process else pytester.runpytest_inprocess
        ran = runner(path, *options)
        latest = pytester.path / "reports" / "latest" / "verdicts.json"
        return ran, json.loads(latest.read_text(encoding="utf-8")) if latest.exists() else None

    return _suite


def verdicts(raw):
    return {claim["id"]: claim["verdict"] for claim in raw["claims"]}
