"""Rules for the faults themselves. Nothing is planted, so `make test` checks them.

Every claim with a test has a fault, and every check of preflight and every claim of an upgrade has one or a stated
reason why not.
"""

import re

import pytest

from swarmlab.paths import ROOT
from swarmlab.preflight import CHECKS, Level
from swarmlab.verdicts import catalogue, suites
from tests.proof.claims.faults import FAULTS as OF_CLAIMS
from tests.proof.mesh.faults import FAULTS as BELOW_MESH
from tests.proof.mesh.test_mesh_controls import FAULTS as OF_MESH
from tests.proof.mesh.test_mesh_controls import REMEDIES
from tests.proof.preflight import faults as preflight
from tests.proof.rehearsal import faults as rehearsal

PROOFS = {
    "claims": OF_CLAIMS,
    "mesh": OF_MESH,
    "below the mesh": BELOW_MESH,
    "preflight": preflight.FAULTS,
    "rehearsal": rehearsal.FAULTS,
}
TESTS = suites.tests_by_claim(ROOT / "suites", ROOT)
CLAIMS = catalogue.load()
OF_UPGRADES = catalogue.rehearsal()


def test_every_claim_with_a_test_has_a_fault():
    # A claim that takes long is left out: nobody waits a day for a test to fail.
    long = {claim.id for claim in CLAIMS.values() if "long" in claim.needs}
    assert set(TESTS) - long == {claim for fault in OF_CLAIMS for claim in fault.fails} - long


def test_every_check_of_preflight_has_a_fault_or_a_reason_why_not():
    planted = {fault.check for fault in preflight.FAULTS}
    assert planted | set(preflight.UNPLANTED) == set(CHECKS)
    assert not planted & set(preflight.UNPLANTED)


def test_every_claim_of_an_upgrade_has_a_fault_or_a_reason_why_not():
    planted = {claim for fault in rehearsal.FAULTS for claim in (fault.claim, *fault.conditions) if claim}
    assert planted <= set(OF_UPGRADES)
    ids = {id for id in OF_UPGRADES if id.startswith("upgrade/")}
    assert (planted & ids) | set(rehearsal.UNPLANTED) == ids
    assert not planted & set(rehearsal.UNPLANTED)


def test_every_control_of_the_mesh_that_a_remedy_mends_has_a_fault():
    assert set(REMEDIES) <= {fault.control for fault in OF_MESH}


@pytest.mark.parametrize("proof", PROOFS)
def test_no_two_faults_have_one_name(proof):
    names = [fault.name for fault in PROOFS[proof]]
    assert sorted(set(names)) == sorted(names)


def test_patterns_of_reasons_are_regular_expressions():
    patterns = [pattern for fault in OF_CLAIMS for pattern in fault.fails.values()]
    patterns += [pattern for fault in OF_CLAIMS for pattern, _ in (*fault.answers.values(), *fault.asks.values())]
    patterns += [fault.finding for fault in preflight.FAULTS]
    patterns += [fault.reason for fault in (*rehearsal.FAULTS, *OF_MESH)]
    patterns += [fault.says for fault in BELOW_MESH]
    for pattern in patterns:
        re.compile(pattern)


def test_faults_of_preflight_have_levels_of_findings():
    assert {fault.level for fault in preflight.FAULTS} <= {str(level) for level in Level}


def test_faults_that_are_planted_together_are_of_one_lab():
    labs = {}
    for fault in OF_CLAIMS:
        labs.setdefault(fault.run or fault.name, set()).add((fault.lab, fault.engine))
    assert not [run for run, kinds in labs.items() if len(kinds) > 1]
