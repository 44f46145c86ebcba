"""The layout of the project: where the checkout is known, where kinds of labs are, who sleeps, what pytest collects."""

import ast
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from swarmlab.paths import ROOT

#: The files that may sleep, and why. Outcomes are waited for with `swarmlab.wait`.
SLEEPERS = {
    "swarmlab/wait.py": "the pause between two polls",
    "swarmlab/host.py": "the pause between two tries for a lock, which the system does not tell of",
    "swarmlab/labs/existing/bridge.py": "the pause until another file may be open, which the system does not tell of",
    "swarmlab/rehearsal/agent.py": "runs by itself in a container, and paces its requests",
    "suites/upgrade/test_mesh.py": "the program of a container: its server sends slowly",
}
#: Modules of tests that no other file names: their package imports whatever it holds.
FOUND_BY_PACKAGE = "tests/proof/claims/faults/"
KINDS = {"dind", "vagrant", "inventory"}


def sources(*folders):
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


def words_of(node):
    """Return the strings in an expression that is compared, or in the tuple, list or set that it is looked up in."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def test_only_one_module_knows_where_the_checkout_is():
    climbing = re.compile(r"__file__\)?(\.resolve\(\)|\.absolute\(\))*\)?\.(parent\.parent|parents)")
    found = {name for name, text in sources("swarmlab", "fixtures", "suites").items() if climbing.search(text)}
    assert found == {"swarmlab/paths.py"}


def test_only_labs_compare_the_kind_of_a_lab():
    found = []
    for name, text in sources("swarmlab", "fixtures", "suites").items():
        if name.startswith("swarmlab/labs/"):
            continue
        for node in ast.walk(ast.parse(text)):
            compared = []
            if isinstance(node, ast.Compare):
                compared = [node.left, *node.comparators]
            elif isinstance(node, ast.MatchValue):
                compared = [node.value]
            if any(words_of(part) & KINDS for part in compared):
                found.append(f"{name}:{node.lineno}")
    assert not found, f"give the kind of lab a method or an attribute for it: {', '.join(found)}"


def test_nobody_sleeps_for_an_outcome():
    found = {name for name, text in sources("swarmlab", "fixtures", "suites").items() if "sleep(" in text}
    assert found - set(SLEEPERS) == set(), "wait for the outcome with swarmlab.wait"
    assert set(SLEEPERS) <= found, "a file that no longer sleeps is still listed in SLEEPERS"


def test_a_wait_is_given_what_looks_and_not_what_was_seen():
    values = ast.BoolOp | ast.Compare | ast.UnaryOp | ast.Constant
    found = [
        f"{name}:{node.lineno}"
        for name, text in sources("swarmlab", "fixtures", "suites", "tests/proof").items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("wait", "eventually")
        if node.args and isinstance(node.args[0], values)
    ]
    assert not found, f"a value is looked at once; give a function: {', '.join(found)}"


def test_every_module_of_tests_is_collected_or_used():
    texts = sources("tests")
    unused = []
    for name in texts:
        stem = name.rpartition("/")[2].removesuffix(".py")
        if stem.startswith("test_") or stem in ("__init__", "conftest") or name.startswith(FOUND_BY_PACKAGE):
            continue
        module = name.removesuffix(".py").replace("/", ".")
        package, _, _ = module.rpartition(".")
        used = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import .*\b{stem}\b|\"{stem}\.py\"")
        if not any(used.search(text) for other, text in texts.items() if other != name):
            unused.append(name)
    assert not unused


PROOFS = [name for name in sources("tests/proof") if re.fullmatch(r"tests/proof/\w+/test_\w+\.py", name)]


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_needs_a_lab_and_says_how_to_run_it(name):
    module = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    marks = [
        ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    assert any("pytest.mark.lab" in mark for mark in marks), "pytestmark = pytest.mark.lab"
    targets = re.findall(r"`make ([\w-]+)`", ast.get_docstring(module) or "")
    rules = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets, "name the make target in the docstring"
    assert set(targets) <= set(rules)


def shell_scripts():
    """Files of the checkout that a shell runs, by their first line."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as opened:
                if re.match(rb"#!\S*[/ ](env )?(ba|da)?sh\b", opened.readline()):
                    yield name


def test_shellcheck_has_no_warning():
    scripts = list(shell_scripts())
    assert {"setup.sh", ".ci/run", "tools/nightly", "images/node/setup"} <= set(scripts)
    shellcheck = Path(sysconfig.get_path("scripts")) / "shellcheck"
    command = [shellcheck, "--severity=warning", "--format=gcc", *scripts]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
