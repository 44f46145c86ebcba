"""The nightly runs of two CI systems: their files' structure, and what the programs that they call do."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from swarmlab.images.engines import known_engines
from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue

GITHUB = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
ID = next(iter(catalogue.load()))


def github_scripts():
    return [step["run"] for job in GITHUB["jobs"].values() for step in job["steps"] if "run" in step]


def gitlab_jobs():
    return {name: job for name, job in GITLAB.items() if isinstance(job, dict) and "script" in job}


def choices():
    """Name and options of every run, in both systems."""
    github = [(one["name"], one["options"]) for one in GITHUB["jobs"]["suites"]["strategy"]["matrix"]["include"]]
    gitlab = [(one["NAME"], one["OPTIONS"]) for one in GITLAB["suites"]["parallel"]["matrix"]]
    return github, gitlab


def test_both_run_every_engine_all_together_and_machines():
    github, gitlab = choices()
    assert github == gitlab
    jobs = dict(github)
    assert {"18.03.1", *known_engines(), "mixed", "machines"} == set(jobs)
    assert jobs["18.03.1"] == "--lab vagrant --engine 18.03.1 --profile nightly"
    for suite in known_engines():
        assert f"--engine {suite} " in jobs[suite]
    assert "--lab vagrant" in jobs["machines"]


@pytest.mark.parametrize(
    ("schema", "file"), [("github-workflows", ".github/workflows/nightly.yml"), ("gitlab-ci", ".gitlab-ci.yml")]
)
def test_they_are_what_the_systems_read(schema, file, tmp_path):
    def checked(path):
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path]
        return subprocess.run(command, capture_output=True, text=True)

    ran = checked(ROOT / file)
    assert ran.returncode == 0, ran.stdout
    wrong = (ROOT / file).read_text().replace("  runs-on:", "  run-on:").replace("  stage:", "  stages:")
    (tmp_path / "wrong.yml").write_text(wrong)
    assert checked(tmp_path / "wrong.yml").returncode == 1


def test_github_workflow_is_whole():
    when = GITHUB[True]  # YAML 1.1 reads the key "on" so
    assert re.fullmatch(r"\d+ \d+ \* \* \*", when["schedule"][0]["cron"])
    assert "workflow_dispatch" in when
    assert GITHUB["permissions"] == {"contents": "read"}
    for name, job in GITHUB["jobs"].items():
        assert {"runs-on", "steps", "timeout-minutes"} <= set(job), name
        needed = job.get("needs", [])
        assert {needed} if isinstance(needed, str) else set(needed) <= set(GITHUB["jobs"])
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            assert re.fullmatch(r"actions/[a-z/-]+@v\d+", step["uses"]) if "uses" in step else True
    assert GITHUB["jobs"]["suites"]["strategy"]["fail-fast"] is False
    assert GITHUB["jobs"]["report"]["if"] == "always()"
    kept = [step for step in GITHUB["jobs"]["suites"]["steps"] if step.get("with", {}).get("path") == "reports/kept"]
    assert [step["uses"].partition("@")[0] for step in kept] == ["actions/cache/restore", "actions/cache/save"]


def test_gitlab_pipeline_is_whole():
    for name, job in gitlab_jobs().items():
        assert job["stage"] in GITLAB["stages"], name
        assert job["artifacts"]["when"] == "always"
        assert job["cache"]["paths"] == ["reports/kept"]
        for needed in job.get("needs", []):
            assert needed["job"] in gitlab_jobs()
    assert GITLAB["suites"]["artifacts"]["reports"]["junit"] == "reports/$NAME/runs/*/junit.xml"
    assert GITLAB["pages"]["artifacts"]["paths"] == ["public"]


def test_what_they_call_is_there_and_is_shell():
    scripts = github_scripts() + [line for job in gitlab_jobs().values() for line in job["script"]]
    assert scripts
    called = {word for script in scripts for word in re.findall(r"\btools/[\w/-]+", script)}
    assert called == {"tools/nightly", "tools/publish"}
    for file in [*called, "tools/allure/generate"]:
        assert os.access(ROOT / file, os.X_OK), file
        subprocess.run(["bash", "-n", ROOT / file], check=True)
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", re.sub(r"\$\{\{.*?\}\}", "x", script)], check=True)


#: What a run leaves, without its tests.
PYTEST = """#!/bin/sh
if [ -n "$WRITES" ]; then
    number=$(ls "$3/runs" 2>/dev/null | wc -l)
    mkdir -p "$3/runs/2026-$number" && ln -sfn "runs/2026-$number" "$3/latest"
    cp given.json "$3/latest/verdicts.json"
fi
exit $CODE
"""


@pytest.fixture
def project(tmp_path):
    """A project whose pytest gives a chosen verdict; returns a function that runs one night of it."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "Makefile").write_text(".venv/ready:\n\ttrue\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m swarmlab "$@"\n'
    for name, text in (
        ("swarmlab", command),
        ("pytest", PYTEST),
    ):
        (tmp_path / ".venv/bin" / name).write_text(text)
        (tmp_path / ".venv/bin" / name).chmod(0o755)

    def night(verdict, code, **environment):
        claim = {"id": ID, "must": "It must.", "level": "major", "verdict": verdict, "reason": "why"}
        claim |= {"evidence": [], "tests": [], "seconds": 1}
        verdicts = {"schema": 1, "started": "2026-11-24T10:00:00+00:00", "seconds": 1, "lab": {}, "nodes": []}
        verdicts |= {"summary": {verdict: 1}, "claims": [claim], "not_run": {}}
        (tmp_path / "given.json").write_text(json.dumps(verdicts))
        environment = {**os.environ, "CODE": str(code), "WRITES": "1", **environment}
        return subprocess.run(
            ["tools/nightly", "trixie"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return night


def test_a_night_is_held_against_the_last_that_was_no_worse(project):
    first = project("pass", 0)
    assert first.returncode == 0, first.stderr
    assert "no baseline of trixie yet" in first.stdout
    worse = project("fail", 1)
    assert worse.returncode == 1
    assert f"- `{ID}` (major) pass -> fail: why" in worse.stdout
    assert "pass -> blocked" in project("blocked", 0).stdout
    assert project("blocked", 0).returncode == 1
    assert project("pass", 0).returncode == 0
    assert project("blocked", 0, ACCEPT="1").returncode == 0
    assert project("blocked", 0).returncode == 0


def test_a_night_that_fails_itself_fails(project):
    assert project("fail", 1).returncode == 1
    assert project("fail", 1).returncode == 1
    ended = project("pass", 4, WRITES="")
    assert ended.returncode == 1
    assert "nightly trixie: there are no verdicts; pytest ended with 4" in ended.stdout


def test_a_night_that_was_stopped_is_no_baseline(project, tmp_path):
    assert project("pass", 2).returncode == 1
    assert not (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 0).returncode == 0
    assert (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 3, WRITES="").returncode == 1


def test_all_runs_are_published_as_one_report(project, tmp_path):
    project("pass", 0)
    environment = {**os.environ, "PATH": str(tmp_path / "programs")}
    (tmp_path / "programs").mkdir()
    for program in ("bash", "dirname", "mkdir", "basename", "cp", "make", "true", "mv", "sh", "tee", "sort", "tail"):
        (tmp_path / "programs" / program).symlink_to(shutil.which(program))
    command = ["tools/publish", "reports", "public"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Allure's report is left out" in ran.stdout
    assert "Conforms" in (tmp_path / "public" / "index.html").read_text()
    assert 'href="trixie/verdicts.json"' in (tmp_path / "public" / "index.html").read_text()
    ran = subprocess.run(["tools/publish", "nowhere", "public2"], cwd=tmp_path, env=environment, capture_output=True)
    assert ran.returncode == 1
