"""Allure's report: what its settings promise, without running it (that takes npm and most of a minute)."""

import json
import os
import re
import subprocess
from pathlib import Path

from fixtures.allure_labels import CATEGORIES, _executor

TOOL = Path(__file__).parent.parent / "tools" / "allure"


def test_what_is_installed_is_pinned_and_names_no_registry():
    lock = (TOOL / "package-lock.json").read_text()
    wanted = json.loads((TOOL / "package.json").read_text())["devDependencies"]
    assert json.loads(lock)["packages"][""]["devDependencies"] == wanted
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert '"resolved"' not in lock
    packages = [told for name, told in json.loads(lock)["packages"].items() if name]
    assert all("integrity" in told for told in packages)


def test_both_lists_of_categories_have_the_same_names():
    settings = (TOOL / "allurerc.mjs").read_text()
    for category in CATEGORIES:
        assert f'"{category["name"]}"' in settings


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


def test_a_ci_system_is_told(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    assert _executor() == {}
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_JOB_NAME", "nightly")
    monkeypatch.setenv("CI_PIPELINE_IID", "7")
    assert _executor()["buildName"] == "nightly #7"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_RUN_NUMBER", "8")
    assert _executor()["type"] == "github"
