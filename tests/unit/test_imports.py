"""The import contract of pyproject.toml: it is seen to fail where an import goes up or hides."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlab.paths import ROOT

LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def tree(tmp_path):
    """A copy of the source, and a function that lints its imports."""
    for name in ("swarmlab", "fixtures", "suites"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    def lint():
        return subprocess.run([LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return tmp_path, lint


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("swarmlab/wait.py", "import fixtures.claims", "suites, fixtures, swarmlab BROKEN"),
        ("swarmlab/verdicts/results.py", "import swarmlab.preflight.finding", "imports go down BROKEN"),
        (
            "swarmlab/cluster/probe.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import swarmlab.labs.base",
            "imports go down BROKEN",
        ),
        ("swarmlab/verdicts/verdict.py", "import swarmlab.verdicts.results", "circle among its modules BROKEN"),
        ("swarmlab/wait.py", "import pytest", "does not import pytest BROKEN"),
        ("suites/support/commands.py", "import subprocess", "through swarmlab alone BROKEN"),
    ],
)
def test_an_import_against_the_contract_is_found(tree, file, line, contract):
    folder, lint = tree
    path = folder / file
    path.write_text(path.read_text() + line + "\n")
    found = lint()
    assert found.returncode == 1
    assert contract in " ".join(found.stdout.split())
