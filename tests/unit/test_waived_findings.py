"""Findings of preflight that are waived: what counts, what is shown, what is told of the waivers."""

import json
from dataclasses import replace
from datetime import date

import pytest

from swarmlab.cli import preflight as command
from swarmlab.cli.main import main
from swarmlab.preflight import Finding, Level, grouped, headline
from swarmlab.preflight.waived import waived
from swarmlab.verdicts.waivers import FindingWaiver
from tests.unit.helpers import IDS

LAB = {"kind": "dind", "nodes": [{"engine": "1.2.3"}]}
FULL = Finding(
    Level.ERROR, "the table is full", "packets are lost", nodes=("a", "b", "c"), check="limits", mend="on a, b, c: grow"
)


def waiver(check="limits", **more):
    known = {"justification": "known for long", "owner": "ops", "expires": date(2999, 12, 31)}
    return FindingWaiver(check=check, **(known | more))


def parts(found):
    return [(finding.nodes, finding.waiver.owner if finding.waiver else "") for finding in found]


def test_a_waiver_without_nodes_is_for_all_of_them_and_for_the_cluster():
    assert parts(waived([FULL], [waiver()], LAB)) == [(("a", "b", "c"), "ops")]
    assert parts(waived([replace(FULL, nodes=())], [waiver()], LAB)) == [((), "ops")]
    assert parts(waived([replace(FULL, nodes=())], [waiver(node="a")], LAB)) == [((), "")]


def test_the_nodes_that_are_left_have_a_finding_that_counts():
    found = waived([FULL], [waiver(node="b")], LAB)
    assert parts(found) == [(("b",), "ops"), (("a", "c"), "")]
    assert [finding.mend for finding in found] == ["on b: grow", "on a, c: grow"]
    found = waived([FULL], [waiver(node="a"), waiver(node="?", owner="dev")], LAB)
    assert parts(found) == [(("a",), "ops"), (("b", "c"), "dev")]


def test_a_pair_of_a_node_that_is_left_stays_with_it():
    pairs = (("x", "a"), ("a", "b"), ("x", "b"), ("x", "y"))
    found = waived([replace(FULL, nodes=("a", "b"), pairs=pairs)], [waiver(node="a")], LAB)
    assert [finding.pairs for finding in found] == [(("x", "a"),), (("a", "b"), ("x", "b"), ("x", "y"))]


@pytest.mark.parametrize("level", [Level.INFO, Level.OK, Level.SKIPPED])
def test_what_fails_nothing_is_not_waived(level):
    assert parts(waived([replace(FULL, level=level)], [waiver()], LAB)) == [(("a", "b", "c"), "")]


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        ({"engine": "1.2.*"}, True),
        ({"engine": "28.*"}, False),
        ({"lab": "dind"}, True),
        ({"lab": "vagrant"}, False),
        ({"expired": True}, False),
        ({"says": "full"}, True),
        ({"says": "empty"}, False),
    ],
)
def test_a_waiver_holds_in_its_scope_only(scope, holds):
    (found,) = waived([FULL], [waiver(**scope)], LAB)
    assert bool(found.waiver) is holds
    # Where the engines are not known, a waiver for some engine does not hold.
    if "engine" in scope:
        assert not waived([FULL], [waiver(**scope)], {"kind": "dind", "nodes": [{"engine": ""}]})[0].waiver


def test_what_may_follow_from_a_waived_finding_counts_and_stays_below_it():
    follower = Finding(Level.ERROR, "gossip is lost", check="port-gossip-udp", nodes=("b",), because="limits: full")
    found = waived([FULL, follower], [waiver(node="a")], LAB)
    assert [(finding.check, bool(finding.waiver)) for finding in found] == [
        ("limits", True),
        ("limits", False),
        ("port-gossip-udp", False),
    ]
    groups = grouped([finding.to_json() for finding in found])
    assert [len(followers) for _, followers in groups] == [0, 1]
    assert headline(*groups[0]) == "error: limits: a: the table is full (waived by ops until 2999-12-31)"


def test_what_a_waiver_did_is_told():
    def outcome(found, **more):
        own = waiver(**more)
        return own.outcome(LAB, [each.to_json() for each in waived(found, [own], LAB)])

    assert outcome([FULL], node="?") == "error, waived: a, b, c"
    assert outcome([replace(FULL, nodes=())]) == "error, waived"
    nothing = "matches no finding: take the waiver out, or correct its node or phrase"
    assert outcome([FULL], node="d") == nothing
    assert outcome([Finding(Level.OK, "nothing found", check="limits")]) == nothing
    assert outcome([FULL], lab="vagrant") == "does not hold here"
    assert outcome([Finding(Level.SKIPPED, "set by the host", check="limits")]) == "the check was skipped"
    assert outcome([Finding(Level.OK, "well", check="disk")]) == "the check was not made here"
    assert outcome([]) == "preflight did not run"


# The command


@pytest.fixture
def looked(monkeypatch):
    """Return a function that lets preflight find these findings."""

    def _looked(*found):
        monkeypatch.setattr(command, "_found", lambda *_, **__: command.Looked("prod", list(found), LAB))

    return _looked


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file of one waiver of the check limits, and returns its path."""

    def _file(more="", expires="2999-12-31"):
        path = tmp_path / "waivers.yaml"
        path.write_text(f"- {{check: limits, {more}justification: known for long, owner: ops, expires: {expires}}}\n")
        return str(path)

    return _file


UNKNOWN = Finding(Level.UNKNOWN, "nft is missing", check="limits", nodes=("a",), mend="install nft")
WARNING = replace(FULL, level=Level.WARNING)


@pytest.mark.parametrize(
    ("found", "more", "strict", "status"),
    [
        (FULL, "", False, 0),
        (FULL, "node: a, ", False, 1),
        (FULL, "node: '*', ", True, 0),
        (WARNING, "node: a, ", False, 0),
        (WARNING, "node: a, ", True, 1),
        (WARNING, "", True, 0),
        (UNKNOWN, "", True, 0),
        (UNKNOWN, "node: b, ", True, 1),
    ],
)
def test_the_exit_status_counts_what_is_not_waived(looked, file, capsys, found, more, strict, status):
    looked(found)
    assert main(["preflight", "--waivers", file(more), *(["--strict"] if strict else [])]) == status
    printed = capsys.readouterr()
    waivers_hold = "node: b" not in more
    assert ("waived by ops until 2999-12-31: known for long" in printed.out) == waivers_hold
    assert printed.err.startswith("swarmlab: waiver of limits")


def test_a_waived_finding_is_shown_as_such(looked, file, capsys):
    looked(FULL)
    assert main(["preflight", "--waivers", file("node: a, "), "--strict"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["waived", "limits", "a:", "the", "table", "is", "full"]
    assert out[1].strip() == "error, waived by ops until 2999-12-31: known for long"
    assert "error     limits                b, c: the table is full" in out


def test_an_expired_waiver_is_told_and_the_finding_counts(looked, file, capsys):
    looked(FULL)
    assert main(["preflight", "--waivers", file(expires="2020-01-31")]) == 1
    told = "swarmlab: waiver of limits: expired on 2020-01-31 and holds no more: mend the cluster, or renew it\n"
    assert capsys.readouterr().err == told


def test_the_json_has_the_waiver(looked, file, capsys):
    looked(FULL)
    assert main(["preflight", "--waivers", file("node: a, "), "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["waiver"] == {
        "check": "limits",
        "node": "a",
        "justification": "known for long",
        "owner": "ops",
        "expires": "2999-12-31",
        "scope": "",
    }
    assert "waiver" not in second


def test_a_waiver_of_an_unknown_check_ends_before_anything_is_looked_at(monkeypatch, file, tmp_path, capsys):
    monkeypatch.setattr(command, "_found", lambda *_, **__: pytest.fail("it has looked"))
    path = file()
    (tmp_path / "waivers.yaml").write_text((tmp_path / "waivers.yaml").read_text().replace("limits", "limit"))
    assert main(["preflight", "--waivers", path]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "no check 'limit'; did you mean limits?" in printed


# Reports


def test_reports_name_who_accepted_a_finding_and_until_when(run, tmp_path, capsys):
    own = waiver(node="a")
    found = [finding.to_json() for finding in waived([FULL], [own], LAB)]
    look = {"lab": "run-1", "seconds": 1.0, "findings": found}
    told = [{**own.to_json(), "outcome": own.outcome(LAB, found)}]
    more = {"certification": [], "certification_waived": ["preflight, error: limits: a: the table is full"]}
    folder = str(run({IDS[0]: "pass"}, preflight=[look], finding_waivers=told, **more))
    assert main(["report", folder, "--out", f"{tmp_path}/report.html"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "a: the table is full <i>(waived by ops until 2999-12-31: known for long)</i>" in page
    assert "preflight: limits on a" in page
    assert "accepted by waivers, and not certified: preflight, error: limits: a: the table is full" in page
    assert "1 error, 1 waived" in page
    capsys.readouterr()
    assert main(["results", folder]) == 0
    assert "| preflight | 1 error, 1 waived |" in capsys.readouterr().out
