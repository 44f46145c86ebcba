"""The file of waivers: of claims, and of findings of preflight."""

from datetime import date

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.registry import KINDS
from swarmlab.preflight.host import EVERY
from swarmlab.verdicts import waiver_file, waivers

WAIVER = """\
- claim: 7.2.2/inspect
  lab: {lab}
  justification: known and accepted
  owner: ops
  expires: 2999-12-31
"""
FINDING = "- {{check: limits, {more}justification: known and accepted, owner: ops, expires: {expires}}}\n"


def read(tmp_path, text, **how):
    file = tmp_path / "waivers.yaml"
    file.write_text(text)
    return waiver_file.load(file, today=date(2026, 1, 1), labs=KINDS, checks=EVERY, **how)


def finding(more="", expires="2999-12-31"):
    return FINDING.format(more=more, expires=expires)


@pytest.mark.parametrize("lab", list(KINDS))
def test_a_waiver_may_be_limited_to_any_kind_of_lab_and_holds_there(tmp_path, lab):
    loaded = read(tmp_path, WAIVER.format(lab=lab)).claims
    assert waivers.holding(loaded, "7.2.2/inspect", {"kind": lab, "nodes": []})
    for other in set(KINDS) - {lab}:
        assert not waivers.holding(loaded, "7.2.2/inspect", {"kind": other, "nodes": []})


def test_an_unknown_kind_of_lab_is_one_line_that_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError) as wrong:
        read(tmp_path, WAIVER.format(lab="cloud"))
    assert str(wrong.value).endswith(
        "waivers.yaml, line 1, column 3, 7.2.2/inspect: lab: 'cloud' is not one of dind, vagrant, inventory"
    )


def test_one_file_holds_both_kinds(tmp_path):
    both = read(tmp_path, WAIVER.format(lab="dind") + finding("node: slave01, "))
    assert [waiver.claim for waiver in both.claims] == ["7.2.2/inspect"]
    assert [(waiver.check, waiver.node, str(waiver)) for waiver in both.findings] == [
        ("limits", "slave01", "limits on slave01")
    ]
    assert read(tmp_path, "") == waiver_file.Waivers()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (finding().replace("limits", "limit"), "no check 'limit'; did you mean limits? (swarmlab preflight --list "),
        (finding().replace("limits", "xyz"), "no check 'xyz' (swarmlab preflight --list lists them)"),
        (finding("nodes: slave01, "), "'nodes' is no key of a waiver of a check; did you mean node?"),
        (finding("claim: 7.2.2/inspect, "), "names a claim and a check; write a waiver for each"),
        ("- {node: a, owner: ops}\n", "names neither a claim nor a check; begin it with claim: or check:"),
        ("- {owner: ops}\n", "names neither a claim nor a check; begin it with claim: or check:"),
        (finding().replace("owner: ops, ", ""), "'owner' is a required property"),
        (finding("node: 5, "), "node: 5 is no text; put it in quotes"),
        (finding("engine: bookworm, "), "engine: 'bookworm' matches the version of no engine"),
        (finding().replace("known and accepted", "known"), "'known' is too short; write at least 10 characters"),
        (finding("lab: cloud, "), "lab: 'cloud' is not one of dind, vagrant, inventory"),
        (finding(expires="soon"), "expires: 'soon' is not a date such as 2027-01-31"),
        (finding() + finding(), "limits: waived twice for the same node, engine and lab"),
        (WAIVER.format(lab="dind").replace("lab:", "node:"), "'node' is no key of a waiver; the keys are claim, "),
        ("check: limits\n", "is no list; write waivers as a list, each beginning with - claim: or - check:"),
        ("- limits\n", "'limits' is not of type 'object'"),
    ],
)
def test_a_waiver_that_can_never_hold_is_one_line(tmp_path, text, line):
    with pytest.raises(UsageError) as wrong:
        read(tmp_path, text)
    assert line in str(wrong.value)
    assert "waivers.yaml, line " in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_an_expired_waiver_of_a_claim_is_refused_and_of_a_finding_told(tmp_path):
    expired = WAIVER.format(lab="dind").replace("2999-12-31", "2025-12-31")
    with pytest.raises(UsageError, match="the waiver expired on 2025-12-31"):
        read(tmp_path, expired)
    # Preflight judges no claims, so their waivers are none of its business.
    assert read(tmp_path, expired, of_claims=False).claims == []
    (waiver,) = read(tmp_path, finding(expires="2025-12-31")).findings
    assert waiver.expired
    assert not waiver.covers("limits", "slave01", "full")
    told = "expired on 2025-12-31 and holds no more: mend the cluster, or renew it"
    assert waiver.outcome({}, []) == told
    assert not read(tmp_path, finding(expires="2026-01-01")).findings[0].expired  # its last day is today


@pytest.mark.parametrize("more", ["", "node: 'slave0?', ", "says: tracked, ", "engine: 20.10.*, lab: dind, "])
def test_a_waiver_survives_the_record_of_a_run(tmp_path, more):
    (waiver,) = read(tmp_path, finding(more)).findings
    assert waivers.FindingWaiver.from_raw(waiver.raw()) == waiver


@pytest.mark.parametrize(
    ("more", "node", "text", "covered"),
    [
        ("", "slave01", "x", True),
        ("", "", "x", True),
        ("node: slave01, ", "slave01", "x", True),
        ("node: slave01, ", "slave010", "x", False),
        ("node: slave01, ", "SLAVE01", "x", False),
        ("node: 'slave0?', ", "slave02", "x", True),
        ("node: slave01, ", "", "x", False),
        ("says: tracked, ", "slave01", "all are tracked", True),
        ("says: tracked, ", "slave01", "all are lost", False),
    ],
)
def test_what_a_waiver_is_for(tmp_path, more, node, text, covered):
    (waiver,) = read(tmp_path, finding(more)).findings
    assert waiver.covers("limits", node, text) is covered
    assert not waiver.covers("disk", node, text)
