"""Allure's report: its settings, and the page that they make where Allure's packages are installed."""

import base64
import json
import os
import re
import shutil
import subprocess

import pytest

from fixtures.allure_labels import CATEGORIES, executor_facts
from swarmlab.paths import ROOT

TOOL = ROOT / "tools" / "allure"


@pytest.mark.parametrize("tool", ["allure", "browser"])
def test_what_is_installed_is_pinned_and_names_no_registry(tool):
    lock = (TOOL.parent / tool / "package-lock.json").read_text()
    wanted = json.loads((TOOL.parent / tool / "package.json").read_text())["devDependencies"]
    assert json.loads(lock)["packages"][""]["devDependencies"] == wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert '"resolved"' not in lock
    packages = [package for name, package in json.loads(lock)["packages"].items() if name]
    assert all("integrity" in package for package in packages)


def test_both_lists_of_categories_have_the_same_names():
    settings = (TOOL / "allurerc.mjs").read_text()
    for category in CATEGORIES:
        assert f'"{category["name"]}"' in settings


MESSAGES = {
    "passes": ("passed", ""),
    "fails": ("failed", "slave01 does not answer"),
    "is waived": ("failed", "waived by ops until 2999-12-31: slave01 does not answer"),
    "is late": ("broken", "swarmlab.errors.DeadlineExceeded: waiting for a leader"),
    "breaks": ("broken", "swarmlab.errors.LabError: gone"),
    "is blocked": ("skipped", "Skipped: blocked: kernel has no IPVS"),
}


@pytest.mark.skipif(
    not (TOOL / "node_modules" / ".ready").exists() or not shutil.which("node"),
    reason="no packages of tools/allure here; run: make report",
)
def test_the_page_holds_history_categories_and_gate_and_asks_nobody(tmp_path):
    for day, names in ((1, ["passes", "is waived"]), (2, list(MESSAGES))):
        shutil.rmtree(tmp_path / "allure-results", ignore_errors=True)
        (tmp_path / "allure-results").mkdir()
        for number, name in enumerate(names):
            status, message = MESSAGES[name]
            result = {"uuid": f"{day}-{number}", "name": name, "fullName": name, "status": status, "historyId": name}
            result |= {"testCaseId": name, "start": day * 86_400_000, "stop": day * 86_400_000 + 1000}
            result |= {
                "labels": [{"name": "engine", "value": "1.2.3"}, {"name": "cluster", "value": "prod"}],
                "statusDetails": {"message": message},
            }
            (tmp_path / "allure-results" / f"{day}-{number}-result.json").write_text(json.dumps(result))
        (tmp_path / "allure-results" / "environment.properties").write_text("preflight.1=error: limits: full\n")
        ran = subprocess.run([TOOL / "generate", "--gate", tmp_path], capture_output=True, text=True)
        assert ran.returncode == (0 if day == 1 else 1), ran.stdout + ran.stderr
    assert "The number of failed tests 3 exceeds" in ran.stdout  # not what is waived
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    page = (tmp_path / "allure" / "index.html").read_text()
    assert "googletagmanager" not in page
    data = {name: base64.b64decode(text) for name, text in re.findall(r'd\("([^"]+)","([^"]*)"\)', page)}
    categories = data["widgets/categories.json"].decode()
    for category in CATEGORIES:
        assert category["name"] in categories
    assert "by the file of waivers" in data["widgets/resolution-categories.json"].decode()
    assert "Docker Swarm conformance: prod, engine 1.2.3, 1970-01-03" in page
    assert "error: limits: full" in data["widgets/allure_environment.json"].decode()
    gate = data["widgets/quality-gate.json"].decode()
    assert '"success":false' in gate
    results = [json.loads(text) for name, text in data.items() if name.startswith("data/test-results/")]
    past = {result["name"]: [one["status"] for one in result["history"]] for result in results}
    assert (past["passes"], past["is waived"], past["fails"]) == (["passed"], ["failed"], [])


def test_without_npm_it_is_left_out_in_one_line(tmp_path):
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    command = [TOOL / "generate", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Allure's report is left out: no npm on this machine")
    assert ran.stdout.count("\n") == 1


def test_a_folder_without_results_is_named(tmp_path):
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run([TOOL / "generate", tmp_path], capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stdout) == (0, f"Allure's report is left out: {tmp_path} holds no allure-results\n")


def test_a_ci_system_is_named(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    assert executor_facts() == {}
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_JOB_NAME", "nightly")
    monkeypatch.setenv("CI_PIPELINE_IID", "7")
    assert executor_facts()["buildName"] == "nightly #7"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_RUN_NUMBER", "8")
    assert executor_facts()["type"] == "github"
