"""The ways back from an upgrade are judged on machines, and are told with their node where they do not work.

`make proof-ways-back` (hours, where machines are emulated). It needs root, and memory for four machines.
"""

import re

import pytest

from swarmlab.labs.machines import spare
from swarmlab.verdicts import results
from swarmlab.verdicts.verdict import Verdict
from tests.proof.rehearsal.rehearsing import rehearse

pytestmark = [pytest.mark.lab, pytest.mark.machines]

RESTORE, IN_PLACE = "upgrade/restore", "upgrade/back-in-place"
#: Seconds of a rehearsal on machines that are emulated on a busy host.
LIMIT = 8 * 3600


def rehearsal(folder, **environment):
    """Rehearse an upgrade on machines; return the exit status, the decision, and the claims of the ways back."""
    assert not spare.lacking(), "this host has no memory for the proof"
    engines = ("--lab", "vagrant", "--from", "20.10.24", "--to", "26.1.5")
    code, decision = rehearse(folder, *engines, limit=LIMIT, **environment)
    claims = results.load(folder / "upgrade").claims
    return code, decision, {id: claims[id] for id in (RESTORE, IN_PLACE)}


def of_ways_back(listed):
    """Return those reasons or conditions that come from the ways back, by claim."""
    return {one["claim"]: one["words"] for one in listed if one["claim"] in (RESTORE, IN_PLACE)}


def test_both_ways_back_are_judged_and_the_rehearsal_has_no_condition_of_them(tmp_path):
    _, decision, claims = rehearsal(tmp_path)
    assert {id: claim.verdict for id, claim in claims.items()} == {RESTORE: Verdict.PASS, IN_PLACE: Verdict.PASS}, (
        decision
    )
    assert of_ways_back([*decision["reasons"], *decision["conditions"]]) == {}


def test_a_state_that_is_lost_is_told_with_its_node(tmp_path):
    code, decision, claims = rehearsal(tmp_path, PYTEST_ADDOPTS="-p tests.proof.rehearsal.lost_state")
    assert (code, decision["decision"]) == (1, "No-go"), decision
    assert {id: claim.verdict for id, claim in claims.items()} == {RESTORE: Verdict.FAIL, IN_PLACE: Verdict.FAIL}, (
        decision
    )
    assert list(of_ways_back(decision["reasons"])) == [RESTORE]
    for words in of_ways_back([*decision["reasons"], *decision["conditions"]]).values():
        assert re.search(r"\bslave03\b", words), words
    assert list(of_ways_back(decision["conditions"])) == [IN_PLACE], "a claim of level minor is a condition"
