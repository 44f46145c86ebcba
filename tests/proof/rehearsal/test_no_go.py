"""Each fault is planted in a rehearsal, which has to end in no-go with the right reason.

Not collected by `pytest tests/`, as it takes an engine and many minutes: `make power-upgrade`. A rehearsal in which
nothing is planted has to end otherwise, three times in a row alike.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from swarmlab.paths import ROOT
from tests.proof.rehearsal.faults import FAULTS


def rehearsal(folder, *words, **environment):
    """Rehearse; gives the exit status and the decision."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "swarmlab", "rehearse", "--from", "20.10.24", "--to", "28.5.2", *words]
    command += ["--out", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=2400)
    print(ran.stdout, ran.stderr)
    return ran.returncode, json.loads((folder / "decision.json").read_text())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_no_go_for_its_reason(fault, tmp_path):
    addopts = "-p tests.proof.rehearsal.sabotage"
    code, told = rehearsal(tmp_path, *fault.shape.split(), PYTEST_ADDOPTS=addopts, UPGRADE_FAULT=fault.name)
    said = [reason["words"] for reason in told["reasons"]]
    assert (code, told["decision"]) == (1, "No-go"), told
    assert re.search(fault.said, said[0]), f"with {fault.name} the first reason is to be {fault.said!r}: {said}"
    page = (tmp_path / "rehearsal.html").read_text()
    assert "<h1>No-go</h1>" in page


def test_three_rehearsals_agree(tmp_path):
    ends = [rehearsal(tmp_path / str(number)) for number in range(3)]
    assert all(code == 0 for code, _ in ends), [told["reasons"] for _, told in ends]
    told = [(one["decision"], sorted(condition["claim"] for condition in one["conditions"])) for _, one in ends]
    assert told[0] == told[1] == told[2]
