"""The nightly runs of two CI systems: their files' structure, and what the programs that they call do."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import yaml

from swarmlab.images.engines import known_engines
from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue
from tests.unit.helpers import CONFTEST, HEADER

GITHUB = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
ID = next(iter(catalogue.load()))


def github_scripts():
    return [step["run"] for job in GITHUB["jobs"].values() for step in job["steps"] if "run" in step]


def gitlab_jobs():
    return {name: job for name, job in GITLAB.items() if isinstance(job, dict) and "script" in job}


def choices():
    """Name, shards and options of every run, in both systems."""
    matrix = GITHUB["jobs"]["suites"]["strategy"]["matrix"]
    assert [one["name"] for one in matrix["include"]] == matrix["name"]
    github = [(one["name"], matrix["shard"], one["options"]) for one in matrix["include"]]
    gitlab = [(one["NAME"], one["SHARD"], one["OPTIONS"]) for one in GITLAB["suites"]["parallel"]["matrix"]]
    return github, gitlab


def test_both_run_every_engine_all_together_and_machines():
    github, gitlab = choices()
    assert github == gitlab
    jobs = {name: options for name, _, options in github}
    for _, shards, _ in github:
        assert shards == [f"{number}/{len(shards)}" for number in range(1, len(shards) + 1)]
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
    kept = {
        name: [
            step["uses"].partition("@")[0]
            for step in job["steps"]
            if step.get("with", {}).get("path") == "reports/kept"
        ]
        for name, job in GITHUB["jobs"].items()
    }
    assert kept == {
        "plan": ["actions/cache/restore", "actions/upload-artifact"],
        "suites": ["actions/download-artifact"],
        "report": ["actions/download-artifact", "actions/cache/save"],
    }


def test_gitlab_pipeline_is_whole():
    for name, job in gitlab_jobs().items():
        assert job["stage"] in GITLAB["stages"], name
        assert job["artifacts"]["when"] == "always"
        for needed in job.get("needs", []):
            assert needed["job"] in gitlab_jobs()
    kept = {name: job["cache"] for name, job in gitlab_jobs().items() if "cache" in job}
    assert {name: (cache["paths"], cache["policy"]) for name, cache in kept.items()} == {
        "plan": (["reports/kept"], "pull"),
        "pages": (["reports/kept"], "push"),
    }
    assert GITLAB["suites"]["artifacts"]["reports"]["junit"] == "reports/shards/*/*/runs/*/junit.xml"
    assert GITLAB["pages"]["artifacts"]["paths"][0] == "public"


def test_what_they_call_is_there_and_is_shell():
    scripts = github_scripts() + [line for job in gitlab_jobs().values() for line in job["script"]]
    assert scripts
    called = {word for script in scripts for word in re.findall(r"\btools/[\w/-]+", script)}
    assert called == {"tools/shard", "tools/merge"}
    for file in [*called, "tools/nightly", "tools/publish", "tools/allure/generate"]:
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
    assert "nightly trixie: there are no verdicts; the run ended with 4" in ended.stdout


def test_a_night_that_was_stopped_is_no_baseline(project, tmp_path):
    assert project("pass", 2).returncode == 1
    assert not (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 0).returncode == 0
    assert (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 3, WRITES="").returncode == 1


#: Runs a part of a made suite in the place of the project's own.
SHARD = """#!/bin/sh
cd project && exec {python} -m pytest "$@" --rootdir . -p no:cacheprovider
"""


@pytest.mark.usefixtures("project")
def test_shards_are_split_by_the_baseline_merged_compared_and_published(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = tmp_path / "project"
    (made / "suites").mkdir(parents=True)
    (made / "pytest.ini").write_text("[pytest]\ncomplete_sections = 7.2.2\n")
    plugins = '"fixtures.profiles", "fixtures.kept", "fixtures.shards",'
    (made / "conftest.py").write_text(textwrap.dedent(CONFTEST.replace('"fixtures.profiles",', plugins)))
    tests = [("a", "7.2.2/ls-columns"), ("b", "7.2.2/inspect"), ("c", "7.2.2/managers-only")]
    lines = [f"@claim('{id}')\ndef test_{name}(cluster): pass" for name, id in tests]
    (made / "suites" / "test_it.py").write_text("\n".join([textwrap.dedent(HEADER), *lines]))
    # The scripts give paths from the project's folder, and the made suite is below it.
    script = SHARD.format(python=sys.executable).replace('"$@"', '$(echo "$@" | sed "s, reports/, ../reports/,g")')
    (tmp_path / ".venv/bin/pytest").write_text(script)

    def night():
        for number in (1, 2):
            command = ["tools/shard", "trixie", f"{number}/2"]
            ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        command = ["tools/merge", "reports/shards", "public"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    first = night()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "no baseline of trixie yet" in first.stdout
    kept = json.loads((tmp_path / "reports/kept/trixie.json").read_text())
    assert [part["shard"] for part in kept["shards"]] == ["1/2", "2/2"]
    assert len(kept["tests"]) == 3
    second = night()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing is worse." in second.stdout
    records = sorted((tmp_path / "reports/shards/trixie/1/runs").glob("*/verdicts.jsonl"))
    commands = [json.loads(record.read_text().splitlines()[0])["command"] for record in records]
    assert ["--seconds" in command for command in commands] == [False, True]
    shutil.rmtree(tmp_path / "reports/shards/trixie/2")
    alone = subprocess.run(["tools/merge", "reports/shards", "public"], cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 1
    assert "shard 2/2 is missing; name its folder, too" in alone.stderr


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
