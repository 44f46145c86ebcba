"""Each fault is planted, and the claims that it breaks have to fail with the right reason.

Not collected by `pytest tests/`, as it takes an engine and many minutes: `make power`, `make power-vm`.
"""

import json
import os
import re
import subprocess
import sys

import pytest

from fixtures.claims import tests_by_claim
from swarmlab.paths import ROOT
from swarmlab.verdicts.catalogue import load
from tests.doubles.portainer.pack import pack
from tests.proof.claims.faults import FAULTS

TESTS = tests_by_claim(ROOT / "suites", ROOT)
CLAIMS = load()
#: By name, the faults that are planted together; most are alone.
RUNS: dict[str, list] = {}
for fault in FAULTS:
    RUNS.setdefault(fault.run or fault.name, []).append(fault)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, marks=[pytest.mark.machines] if faults[0].lab == "vagrant" else [])
        for run, faults in RUNS.items()
    ],
)
def test_the_claims_fail_and_say_why(run, tmp_path):
    faults = RUNS[run]
    claims = list(dict.fromkeys(claim for fault in faults for claim in fault.fails))
    tests = dict.fromkeys(test for claim in claims for test in TESTS[claim])
    command = [sys.executable, "-m", "pytest", "-p", "tests.proof.claims.sabotage", "--lab", faults[0].lab]
    command += ["--reports", str(tmp_path), *tests]
    if any("image:portainer" in CLAIMS[claim].needs for claim in claims):
        wrong = [word for fault in faults for word in fault.portainer]
        command += ["--image", f"portainer={pack(tmp_path / 'portainer.tar', faults=wrong)}"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["FAULTS"] = json.dumps([fault.name for fault in faults])
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800)
    told = {one["id"]: one for one in json.loads((tmp_path / "verdicts.json").read_text())["claims"]}
    wrong = []
    for fault in faults:
        for claim in fault.fails:
            judged = told[claim]
            said = f"{claim}: {judged['verdict']}: {judged['reason']}"
            print(said)
            if judged["verdict"] != "fail" or not re.search(fault.fails[claim], judged["reason"]):
                wrong.append(f"{said} (with {fault.name}, expected is a fail with {fault.fails[claim]!r})")
    assert not wrong, "\n".join([*wrong, ran.stdout[-3000:]])


def test_every_claim_with_a_test_has_a_fault():
    # What takes long is left out: nobody waits a day for a test to fail.
    long = {claim.id for claim in CLAIMS.values() if "long" in claim.needs}
    assert set(TESTS) - long == {claim for fault in FAULTS for claim in fault.fails} - long


def test_no_two_faults_have_one_name():
    names = [fault.name for fault in FAULTS]
    assert sorted(set(names)) == sorted(names)
