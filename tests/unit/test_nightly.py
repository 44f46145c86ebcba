"""The nightly runs of two CI systems: their files' structure, and what the programs that they call do."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from swarmlab.distribution import FILE as PACKAGES
from swarmlab.files import read_yaml
from swarmlab.images.engines import known_engines
from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.profiles import PROFILES
from tests.unit.helpers import CONFTEST, HEADER

GITHUB = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
GITLAB = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
ID = next(iter(catalogue.load()))


def github_scripts():
    return [step["run"] for job in GITHUB["jobs"].values() for step in job["steps"] if "run" in step]


def gitlab_jobs():
    return {name: job for name, job in GITLAB.items() if isinstance(job, dict) and "script" in job}


def plan(cwd=ROOT, **environment):
    """Run tools/plan in a copy of the tools."""
    base = {name: value for name, value in os.environ.items() if name not in ("ONLY", "PROFILE")}
    return subprocess.run(["tools/plan"], cwd=cwd, env={**base, **environment}, capture_output=True, text=True)


@pytest.fixture
def tools(tmp_path):
    """A folder with the tools, and the profiles."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "swarmlab" / "verdicts").mkdir(parents=True)
    shutil.copy(ROOT / "swarmlab/verdicts/profiles.py", tmp_path / "swarmlab/verdicts")
    return tmp_path


def matrix(folder, **environment):
    """The jobs that tools/plan gives GitHub: name, shard and options of each."""
    given = folder / "given"
    given.unlink(missing_ok=True)
    ran = plan(folder, GITHUB_OUTPUT=str(given), **environment)
    assert ran.returncode == 0, ran.stderr
    [line] = given.read_text().splitlines()
    jobs = json.loads(line.removeprefix("matrix="))["include"]
    return [(job["name"], job["shard"], job["options"]) for job in jobs]


def test_both_run_every_engine_all_together_and_machines(tools):
    github = matrix(tools)
    gitlab = [
        (one["NAME"], shard, one["OPTIONS"]) for one in GITLAB["suites"]["parallel"]["matrix"] for shard in one["SHARD"]
    ]
    assert github == gitlab
    options = {name: options for name, _, options in github}
    for name in options:
        shards = [shard for other, shard, _ in github if other == name]
        assert shards == [f"{number}/{len(shards)}" for number in range(1, len(shards) + 1)]
    assert {"18.03.1", *known_engines(), "mixed", "machines"} == set(options)
    assert options["18.03.1"] == "--lab vagrant --engine 18.03.1 --profile nightly"
    for suite in known_engines():
        assert f"--engine {suite} " in options[suite]
    assert "--lab vagrant" in options["machines"]
    choice = ["all", *options]
    assert GITHUB[True]["workflow_dispatch"]["inputs"]["only"]["options"] == choice
    assert GITLAB["variables"]["ONLY"]["options"] == choice


def test_github_runs_machines_where_their_packages_are():
    on = re.fullmatch(
        r"\$\{\{ contains\(matrix\.options, 'vagrant'\) && 'ubuntu-(.+)' \|\| 'ubuntu-(.+)' }}",
        GITHUB["jobs"]["suites"]["runs-on"],
    )
    releases = {each["version"]: each for each in read_yaml(PACKAGES)["systems"]["ubuntu"]}
    assert isinstance(releases[on[1]]["machines"], list)
    assert isinstance(releases[on[2]]["engine"], list)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_that_of_a_night(tools, name):
    assert {job[0] for job in matrix(tools, ONLY="mixed", PROFILE=name)} == {"mixed"}


def test_a_night_can_be_narrowed(tools):
    assert [job[:2] for job in matrix(tools, ONLY="mixed", PROFILE="smoke")] == [("mixed", "1/2"), ("mixed", "2/2")]
    lines = (tools / "reports/kept/planned").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[0])
    assert lines[1:] == ["mixed-smoke 1/2", "mixed-smoke 2/2"]  # the names of its baseline and its history
    assert len(matrix(tools, ONLY="", PROFILE="")) == len(matrix(tools, ONLY="all"))
    left_out = subprocess.run(
        ["tools/shard", "trixie", "1/2"], cwd=tools, env={**os.environ, "ONLY": "mixed"}, capture_output=True, text=True
    )
    assert (left_out.returncode, left_out.stdout) == (0, "shard 1/2 of trixie: left out by ONLY=mixed\n")


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"ONLY": "buster"}, "plan: ONLY=buster: no such run; choose all or one of 18.03.1, bullseye, bookworm, "),
        ({"ONLY": "mixed all"}, "plan: ONLY=mixed all: no such run; "),
        ({"PROFILE": "x; reboot"}, "plan: PROFILE=x; reboot: no such profile; "),
        ({"PROFILE": "../up"}, "plan: PROFILE=../up: no such profile; "),
        ({"PROFILE": "smok"}, "plan: PROFILE=smok: no such profile; "),
    ],
)
def test_a_night_that_there_is_not_is_refused_in_one_line(tools, environment, line):
    ran = plan(tools, **environment)
    assert ran.returncode == 2
    assert ran.stderr.startswith(line)
    assert ran.stderr.count("\n") == 1
    assert not (tools / "reports").exists()


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
    suites = GITHUB["jobs"]["suites"]
    assert suites["strategy"]["fail-fast"] is False
    assert "needs.plan.result == 'success'" in GITHUB["jobs"]["report"]["if"]  # also where a job of the suites failed
    [minutes] = [int(step["env"]["MINUTES"]) for step in suites["steps"] if "MINUTES" in step.get("env", {})]
    assert minutes + 20 <= suites["timeout-minutes"]  # to take down the labs, and to hand on what was judged
    uploads = [
        step["with"]
        for job in GITHUB["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact")
    ]
    assert uploads
    assert all(upload["overwrite"] is True and upload["retention-days"] for upload in uploads)
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
        "host": [],
        "report": ["actions/download-artifact", "actions/cache/save"],
    }


def test_gitlab_pipeline_is_whole():
    for name, job in gitlab_jobs().items():
        assert job["stage"] in GITLAB["stages"], name
        assert job["artifacts"]["expire_in"]
        assert job["timeout"]
        for needed in job.get("needs", []):
            assert needed["job"] in gitlab_jobs()
    for name in ("suites", "pages"):
        assert gitlab_jobs()[name]["artifacts"]["when"] == "always"
    # A pipeline of one run has no jobs of the others, which GitLab refuses to need otherwise.
    assert [needed.get("optional", False) for needed in GITLAB["pages"]["needs"]] == [False, True]
    assert GITLAB["suites"]["timeout"] == "8h"
    assert int(GITLAB["suites"]["variables"]["MINUTES"]) + 20 <= 8 * 60
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
    assert called == {"tools/plan", "tools/shard", "tools/merge"}
    for file in [*called, "tools/nightly", "tools/publish", "tools/allure/generate"]:
        assert os.access(ROOT / file, os.X_OK), file
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", re.sub(r"\$\{\{.*?\}\}", "x", script)], check=True)


#: What a run leaves, without its tests.
PYTEST = """#!/bin/sh
if [ -n "$WRITES" ]; then
    number=$(ls "$3/runs" 2>/dev/null | wc -l)
    mkdir -p "$3/runs/2026-$number" && ln -sfn "runs/2026-$number" "$3/latest"
    cp given.json "$3/latest/verdicts.json" && : >"$3/latest/verdicts.jsonl"
fi
exit $CODE
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose pytest gives a chosen verdict; returns a function that runs one night of it. There is no npm."""
    (tmp_path / "programs").mkdir()
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in folder.glob("*"):
            there = tmp_path / "programs" / program.name
            if program.name != "npm" and not there.is_symlink():
                there.symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "Makefile").write_text(".venv/ready:\n\ttrue\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n'
    for name, text in (
        ("swarmlab", python.replace('"$@"', '-m swarmlab "$@"')),
        ("python", python),
        ("pytest", PYTEST),
    ):
        (tmp_path / ".venv/bin" / name).write_text(text)
        (tmp_path / ".venv/bin" / name).chmod(0o755)

    def night(verdict, code, unfinished="", **environment):
        claim = {"id": ID, "must": "It must.", "level": "major", "verdict": verdict, "reason": "why"}
        claim |= {"evidence": [], "tests": [], "seconds": 1}
        verdicts = {"schema": 1, "started": "2026-11-24T10:00:00+00:00", "seconds": 1, "lab": {}, "nodes": []}
        verdicts |= {"summary": {verdict: 1}, "claims": [claim], "not_run": {}, "unfinished": unfinished}
        (tmp_path / "given.json").write_text(json.dumps(verdicts))
        environment = {**os.environ, "CODE": str(code), "WRITES": "1", **environment}
        return subprocess.run(
            ["tools/nightly", "trixie"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return night


def nights(folder, name="trixie"):
    """What was kept of the nights of a name: outcome, night and job of each."""
    kept = sorted((folder / "reports/kept" / name / "runs").glob("*/night"))
    return [tuple(night.read_text().splitlines()) for night in kept]


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
    assert "**There are no verdicts:** the run ended with 4." in ended.stdout


def test_a_baseline_that_cannot_be_read_is_told_and_can_be_replaced(project, tmp_path):
    assert project("pass", 0).returncode == 0
    (tmp_path / "reports/kept/trixie.json").write_text("{")
    torn = project("pass", 0)
    assert torn.returncode == 1
    assert "**The baseline cannot be compared.**\n- swarmlab: reports/kept/trixie.json: is not JSON" in torn.stdout
    assert nights(tmp_path)[-1][0] == "failed"
    assert project("pass", 0, ACCEPT="1").returncode == 0
    assert project("pass", 0).returncode == 0


def test_a_night_that_was_stopped_is_no_baseline(project, tmp_path):
    assert project("pass", 2).returncode == 1
    assert not (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 0).returncode == 0
    assert (tmp_path / "reports/kept/trixie.json").exists()
    assert project("pass", 3, WRITES="").returncode == 1
    assert [night[0] for night in nights(tmp_path)] == ["did not end", "passed", "no verdict"]


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1)])
def test_a_night_that_ended_early_is_no_baseline(project, tmp_path, verdict, code):
    assert project(verdict, code, unfinished="stopping after 1 failures").returncode == 1
    assert not (tmp_path / "reports/kept/trixie.json").exists()
    assert [night[0] for night in nights(tmp_path)] == ["did not end"]


def test_so_many_nights_are_kept_with_their_verdicts_and_without_evidence(project, tmp_path):
    kept = tmp_path / "reports/kept/trixie/runs"
    for number in range(20):
        (kept / f"2025-{number:02}").mkdir(parents=True)
        (kept / f"2025-{number:02}" / "night").write_text("passed\n2025\n\n")
    job = {"GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://host", "GITHUB_REPOSITORY": "a/b"}
    assert project("pass", 0, NIGHT="2026-11-30T01:17:00Z", **job).returncode == 0
    folders = sorted(folder.name for folder in kept.iterdir())
    assert folders == [*(f"2025-{number:02}" for number in range(1, 20)), "2026-0"]
    assert nights(tmp_path)[-1] == ("passed", "2026-11-30T01:17:00Z", "https://host/a/b/actions/runs/7")
    assert sorted(file.name for file in (kept / "2026-0").iterdir()) == ["compare.md", "night", "verdicts.json"]


def test_verdicts_of_earlier_nights_are_beside_the_run(project, tmp_path):
    project("pass", 0)
    shutil.rmtree(tmp_path / "reports/trixie")  # as in the checkout of the next night
    project("fail", 1)
    assert [folder.name for folder in sorted((tmp_path / "reports/trixie/runs").iterdir())] == ["2026-0", "2026-1"]


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
    [record] = (tmp_path / "reports/shards/trixie/1/runs").glob("*/verdicts.jsonl")
    assert "--seconds" not in json.loads(record.read_text().splitlines()[0])["command"]
    second = night()
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Nothing is worse." in second.stdout
    [record] = (tmp_path / "reports/shards/trixie/1/runs").glob("*/verdicts.jsonl")
    assert "--seconds" in json.loads(record.read_text().splitlines()[0])["command"]
    assert (tmp_path / "public/summary.md").read_text().startswith("## trixie\n\n**Nothing is worse.**\n")
    page = (tmp_path / "public/index.html").read_text()
    assert page.count("passed</span>") > 2
    assert 'href="trixie/report.html"' in page
    shutil.rmtree(tmp_path / "reports/shards/trixie/2")
    alone = subprocess.run(["tools/merge", "reports/shards", "public"], cwd=tmp_path, capture_output=True, text=True)
    assert alone.returncode == 1
    assert "shard 2/2 is missing; name its folder, too" in alone.stderr
    assert "- swarmlab: shard 2/2 is missing" in (tmp_path / "public/summary.md").read_text()
    assert [night[0] for night in nights(tmp_path)] == ["passed", "passed", "no verdict"]


@pytest.mark.usefixtures("project")
def test_a_job_that_died_before_any_verdict_is_told(tmp_path):
    plan(tmp_path, ONLY="trixie")
    left = tmp_path / "reports/shards/trixie/1"
    left.mkdir(parents=True)
    (left / "output.txt").write_text("…\nsetup: the Python packages cannot be installed: no route\n\n")
    ran = subprocess.run(["tools/merge", "reports/shards", "public"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    lines = (tmp_path / "public/summary.md").read_text().splitlines()
    assert lines[2:] == [
        "**There are no verdicts:** a job ended before.",
        "- shard 1/2 has no verdict: setup: the Python packages cannot be installed: no route",
        "- shard 2/2 has no verdict: its job left nothing, look into its log",
        "",
    ]
    page = (tmp_path / "public/index.html").read_text()
    assert "1 of 1 runs did not pass" in page
    assert "its job left nothing" in page
    assert not (tmp_path / "reports/kept/trixie.json").exists()


@pytest.mark.usefixtures("project")
def test_a_shard_ends_before_its_job_is_ended(tmp_path):
    waits = '#!/bin/sh\ntrap "echo interrupted; exit 2" INT\nwhile :; do sleep 0.1; done\n'
    (tmp_path / ".venv/bin/pytest").write_text(waits)
    ran = subprocess.run(
        ["tools/shard", "trixie", "1/2"],
        cwd=tmp_path,
        env={**os.environ, "MINUTES": "0.005"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 124
    assert (tmp_path / "reports/shards/trixie/1/output.txt").read_text() == ran.stdout == "interrupted\n"


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("lab", "rights"), [(["--lab", "vagrant"], ["-n -E rm", "-n -E .venv/bin/pytest"]), ([], [])])
def test_machines_run_as_root(tmp_path, lab, rights):
    for name, script in {"id": "echo 1000", "sudo": f'echo "$1 $2 $3" >> {tmp_path}/asked; shift 2; exec "$@"'}.items():
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / ".venv/bin/pytest").write_text("#!/bin/sh\necho ran\n")
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    command = ["tools/shard", "machines", "1/2", *lab]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "ran\n"), ran.stderr
    asked = tmp_path / "asked"
    assert (asked.read_text().splitlines() if asked.exists() else []) == rights


def test_all_runs_are_published_as_one_report(project, tmp_path):
    project("pass", 0)
    shutil.copytree(tmp_path / "reports/trixie", tmp_path / "reports/mixed", symlinks=True)
    command = ["tools/publish", "reports", "public"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Allure's report is left out" in ran.stdout
    assert "Conforms" in (tmp_path / "public" / "report.html").read_text()
    assert 'href="trixie/verdicts.json"' in (tmp_path / "public" / "report.html").read_text()
    assert 'href="verdicts.json"' in (tmp_path / "public" / "trixie" / "report.html").read_text()
    assert '<a href="report.html">report</a>' in (tmp_path / "public" / "index.html").read_text()
    shutil.rmtree(tmp_path / "reports/kept")
    ran = subprocess.run(["tools/publish", "nowhere", "public2"], cwd=tmp_path, capture_output=True)
    assert ran.returncode == 1
    assert "No night was kept" in (tmp_path / "public2" / "index.html").read_text()
