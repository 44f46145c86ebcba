"""Each fault is planted in a cluster, and the claims that it breaks must fail with the right reason.

`make proof-claims` (hours) plants those of container labs, `make proof-machines` (an hour) those of machines.
"""

import json
import os
import re
import sys

import pytest

from swarmlab import children
from swarmlab.paths import ROOT
from swarmlab.verdicts import results, suites
from swarmlab.verdicts.catalogue import load
from tests.doubles.portainer.pack import pack
from tests.proof.claims.faults import FAULTS

pytestmark = pytest.mark.lab

TESTS = suites.tests_by_claim(ROOT / "suites", ROOT)
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
    ids = list(dict.fromkeys(claim for fault in faults for claim in fault.fails))
    tests = dict.fromkeys(test for id in ids for test in TESTS[id])
    command = [sys.executable, "-m", "pytest", "-p", "tests.proof.claims.sabotage", "--lab", faults[0].lab]
    command += ["--engine", faults[0].engine] if faults[0].engine else []
    command += ["--catalogue", "all", "--reports", str(tmp_path), *tests]
    if any("image:portainer" in CLAIMS[id].needs for id in ids):
        wrong = [word for fault in faults for word in fault.portainer]
        command += ["--image", f"portainer={pack(tmp_path / 'portainer.tar', faults=wrong)}"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["FAULTS"] = json.dumps([fault.name for fault in faults])
    ran = children.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800)
    judged = {claim["id"]: claim for claim in results.load(tmp_path).raw["claims"]}
    unlike = []
    for fault in faults:
        for claim, reason in fault.fails.items():
            found = f"{claim}: {judged[claim]['verdict']}: {judged[claim]['reason']}"
            print(found)
            if judged[claim]["verdict"] != "fail" or not re.search(reason, judged[claim]["reason"]):
                unlike.append(f"{found} (with {fault.name}, expected is a fail with {reason!r})")
    assert not unlike, "\n".join([*unlike, ran.stdout[-3000:]])
