"""Each fault is planted in a rehearsal, which must end in no-go for the right reason, or with the right conditions.

A rehearsal without a fault must end otherwise, three times in a row alike. `make proof-rehearsal` (half an hour).
"""

import re

import pytest

from tests.proof.rehearsal.faults import FAULTS
from tests.proof.rehearsal.rehearsing import rehearse

pytestmark = pytest.mark.lab


def rehearsal(folder, *options, **environment):
    """Rehearse an upgrade on containers; return the exit status and the decision."""
    return rehearse(folder, "--from", "20.10.24", "--to", "28.5.2", *options, limit=2400, **environment)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_told_with_its_reason(fault, tmp_path):
    addopts = "-p tests.proof.rehearsal.sabotage"
    code, decision = rehearsal(tmp_path, *fault.shape.split(), PYTEST_ADDOPTS=addopts, UPGRADE_FAULT=fault.name)
    wanted = (1, "No-go") if fault.claim else (0, "Go with conditions")
    assert (code, decision["decision"]) == wanted, decision
    if fault.claim:
        first = decision["reasons"][0]
        assert re.search(fault.reason, first["words"]), f"the first reason must match {fault.reason!r}: {first}"
        assert first["claim"] == fault.claim, f"the first reason must come from {fault.claim}: {first}"
    for claim, pattern in fault.conditions.items():
        words = [one["words"] for one in decision["conditions"] if one["claim"] == claim]
        assert any(re.search(pattern, each) for each in words), (
            f"a condition of {claim} must match {pattern!r}: {words}"
        )
    page = (tmp_path / "rehearsal.html").read_text()
    assert f"<h1>{wanted[1]}</h1>" in page


def test_three_rehearsals_agree(tmp_path):
    ends = [rehearsal(tmp_path / str(number)) for number in range(3)]
    assert all(code == 0 for code, _ in ends), [decision["reasons"] for _, decision in ends]
    first, *others = (
        (decision["decision"], sorted(condition["claim"] for condition in decision["conditions"]))
        for _, decision in ends
    )
    assert others == [first, first]
