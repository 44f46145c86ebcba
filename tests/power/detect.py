"""Each fault is planted, and the claims that it breaks have to fail with the right reason.

Not collected by `pytest tests/`, as it takes an engine and many minutes: `pytest tests/power/detect.py -n 2`, or
`make power`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.claims import tests_by_claim
from tests.power.faults import FAULTS

ROOT = Path(__file__).parent.parent.parent
TESTS = tests_by_claim(ROOT / "suites")
MARKS = {"dind": (), "vagrant": pytest.mark.machines}


@pytest.mark.parametrize(
    ("fault", "claim"),
    [
        pytest.param(fault, claim, id=f"{fault.name}-{claim}", marks=MARKS[fault.lab])
        for fault in FAULTS
        for claim in fault.fails
    ],
)
def test_the_claim_fails_and_says_why(fault, claim, tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "tests.power.sabotage", "--lab", fault.lab]
    command += ["--reports", str(tmp_path), *TESTS[claim]]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["FAULT"] = fault.name
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)
    told = {one["id"]: one for one in json.loads((tmp_path / "verdicts.json").read_text())["claims"]}
    judged = told[claim]
    print(f"{claim}: {judged['verdict']}: {judged['reason']}")
    assert judged["verdict"] == "fail", f"{judged['verdict']}: {judged['reason']}\n{ran.stdout[-3000:]}"
    assert re.search(fault.fails[claim], judged["reason"]), judged["reason"]


def test_every_claim_with_a_test_has_a_fault():
    assert set(TESTS) == {claim for fault in FAULTS for claim in fault.fails}
