"""The project as it is installed and run: its command, its make targets, its lock."""

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from functools import partial

import pytest

from swarmlab import paths
from swarmlab.cli.main import VERBS, main, parser
from swarmlab.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()


def test_the_command_works_from_any_folder(tmp_path):
    command = [sys.executable, "-m", "swarmlab", "preflight", "--list"]
    ran = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "port-gossip-udp" in ran.stdout


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"swarmlab \S+\n", capsys.readouterr().out)


def test_an_installation_without_its_checkout_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "CLAIMS", tmp_path / "claims")
    assert main(["status"]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"swarmlab: no claims at {tmp_path}/claims; install swarmlab from its checkout")
    assert error.count("\n") == 1


def test_every_verb_has_a_sentence_of_help():
    text = " ".join(parser().format_help().split())
    for name, verb in VERBS.items():
        assert f"{name} {verb.run.__doc__.splitlines()[0]}"[:60] in text


def test_every_make_target_has_a_line_of_help():
    targets = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert re.findall(r"^  ([a-z-]+) +\S", listed.stdout, re.MULTILINE) == targets


def test_tox_runs_make_targets():
    tox = (ROOT / "tox.ini").read_text()
    called = {command.split()[0] for command in re.findall(r"\bmake ([^{\n]\S*) BIN=", tox)}
    named = re.search(r"env_list = (.+)", tox).group(1).split(", ")
    for target in [*called, *named]:
        assert f".PHONY: {target}\n" in MAKEFILE, target


def test_tox_passes_the_variables_of_runs():
    page = (ROOT / "docs/reference/environment.md").read_text()
    rows = [part.partition("\n## ")[0] for part in re.split("## For every command|## Set by others", page)[1:]]
    cells = re.findall(r"^\| (`[^|]+) \|", "\n".join(rows), re.MULTILINE)
    names = set(re.findall(r"`([A-Z_]+)`", "\n".join(cells)))
    passed = re.search(r"pass_env =\n((?: +\S+\n)+)", (ROOT / "tox.ini").read_text()).group(1).split()
    of_processes = {"PATH", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"}
    assert len(names) > 20
    assert {name for name in names if not any(map(partial(fnmatchcase, name), passed))} == of_processes


@pytest.mark.parametrize(
    ("statuses", "engines", "last"),
    [("0 1 0 0 0", 5, 1), ("0 0 0 0 0", 5, 0), ("0 1 4 0 0", 3, 4)],
)
def test_every_engine_is_run_although_a_claim_fails_on_one(tmp_path, statuses, engines, last):
    (tmp_path / "pytest").write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$3" >>ran\nset -- {statuses}\nshift $(($(wc -l <ran) - 1))\nexit "$1"\n'
    )
    (tmp_path / "pytest").chmod(0o755)
    ran = subprocess.run(["make", "engines", f"BIN={tmp_path}"], cwd=ROOT, capture_output=True, text=True)
    assert len((tmp_path / "ran").read_text().split()) == engines
    assert ran.returncode == (2 if last else 0)
    assert (f"Error {last}" in ran.stderr) == bool(last)


def test_the_lock_has_every_dependency():
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    lists = re.findall(r"^(?:dependencies|dev) = \[\n(.+?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
    named = {re.split("[>=<;]", name)[0] for listed in lists for name in re.findall(r'"([^"]+)"', listed)}
    assert len(named) > 15
    assert named <= locked
