"""Findings of preflight as JUnit's XML and as SARIF."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from swarmlab.cli import preflight as command
from swarmlab.cli.main import main
from swarmlab.preflight import CHECKS, Finding, Level
from swarmlab.preflight.host import EVERY
from swarmlab.report.findings_junit import junit
from swarmlab.report.sarif import sarif
from swarmlab.verdicts.waivers import FindingWaiver

NOW = datetime(2026, 11, 30, 7, tzinfo=timezone.utc)
WAIVER = FindingWaiver(check="disk", justification="known for long", owner="ops", expires=date(2999, 12, 31))
FOUND = [
    Finding(Level.ERROR, "gossip is lost", "names", "moby#1", ("a", "b"), "port-gossip-udp", "on a, b: open it"),
    Finding(Level.WARNING, "full <to> & \x01", "trouble", nodes=("a",), check="limits", mend="grow it"),
    Finding(Level.WARNING, "8 of 9 GB", "no room", nodes=("a",), check="disk", mend="make room", waiver=WAIVER),
    Finding(Level.UNKNOWN, "not read", check="firewalld", nodes=("b",), mend="be root"),
    Finding(Level.SKIPPED, "set by the host", check="clocks"),
    Finding(Level.INFO, "no ipvs", "blocked claims", check="lab-offers", mend="load it"),
    Finding(Level.OK, "nothing found", check="quorum"),
]


def cases(fails):
    text = junit(FOUND, cluster="prod", fails=fails, seconds=4.25, when=NOW)
    return ET.fromstring(text).find("testsuite")


def ends(suite, kind):
    return [case.get("name") for case in suite if case.find(kind) is not None]


def test_each_check_is_a_test_case():
    suite = cases([Level.ERROR])
    assert suite.attrib == {
        **{"name": "swarmlab preflight", "hostname": "prod", "tests": "7", "errors": "0", "failures": "1"},
        **{"skipped": "3", "time": "4.250", "timestamp": "2026-11-30T07:00:00+00:00"},
    }
    assert ends(suite, "failure") == ["port-gossip-udp"]
    assert ends(suite, "skipped") == ["disk", "firewalld", "clocks"]
    failure = suite[0].find("failure")
    assert failure.get("message") == "a, b: gossip is lost"
    assert "mend: on a, b: open it" in failure.text
    properties = [(each.get("name"), each.get("value")) for each in suite[0].iter("property")]
    assert properties == [("level", "error"), ("node", "a"), ("node", "b")]
    assert "waived by ops until 2999-12-31: known for long" in suite[2].find("skipped").get("message")


def test_what_fails_the_command_fails_the_test_case():
    suite = cases([Level.ERROR, Level.WARNING, Level.UNKNOWN])
    assert ends(suite, "failure") == ["port-gossip-udp", "limits", "firewalld"]
    assert suite[1].find("failure").get("message") == "a: full <to> & \ufffd"


def test_a_check_with_one_finding_left_fails():
    both = [FOUND[2], replace(FOUND[2], waiver=None, nodes=("b",))]
    suite = ET.fromstring(junit(both, cluster="x", fails=[Level.WARNING], seconds=0, when=NOW)).find("testsuite")
    (case,) = suite
    assert case.find("failure").get("message") == "b: 8 of 9 GB"


def test_sarif_has_a_result_for_each_finding():
    log = json.loads(sarif(FOUND, cluster="prod", when=NOW))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == list(EVERY)
    assert all(rule["shortDescription"]["text"] for rule in run["tool"]["driver"]["rules"])
    results = run["results"]
    assert [(result["ruleId"], result["kind"], result["level"]) for result in results] == [
        ("port-gossip-udp", "fail", "error"),
        ("limits", "fail", "warning"),
        ("disk", "fail", "warning"),
        ("firewalld", "open", "none"),
        ("clocks", "notApplicable", "none"),
        ("lab-offers", "informational", "none"),
        ("quorum", "pass", "none"),
    ]
    assert [rules[result["ruleIndex"]] for result in results] == [result["ruleId"] for result in results]
    places = [location["logicalLocations"][0]["fullyQualifiedName"] for location in results[0]["locations"]]
    assert places == ["prod/a", "prod/b"]
    assert results[4]["locations"][0]["logicalLocations"][0]["name"] == "prod"
    assert [("suppressions" in result) for result in results] == [False, False, True, False, False, False, False]
    assert results[2]["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "ops, until 2999-12-31: known for long"}
    ]
    assert run["invocations"] == [{"executionSuccessful": True, "endTimeUtc": "2026-11-30T07:00:00Z"}]


def test_the_same_trouble_has_the_same_fingerprint_whatever_its_figures():
    def print_of(finding):
        (result,) = json.loads(sarif([finding], cluster="prod", when=NOW))["runs"][0]["results"]
        return result["partialFingerprints"]["checkAndNodes/v1"]

    assert print_of(FOUND[2]) == print_of(replace(FOUND[2], summary="9 of 9 GB"))
    assert print_of(FOUND[2]) != print_of(replace(FOUND[2], nodes=("b",)))


@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_the_command_writes_the_files_and_prints_the_table(monkeypatch, tmp_path, capsys, strict):
    found = [replace(finding, waiver=None) for finding in FOUND]
    monkeypatch.setattr(command, "_found", lambda *_, **__: command.Looked("prod", found))
    files = ["--junit", f"{tmp_path}/new/p.xml", "--sarif", f"{tmp_path}/new/p.sarif"]
    assert main(["preflight", *files, *strict]) == 1
    assert "error     port-gossip-udp" in capsys.readouterr().out
    suite = ET.parse(tmp_path / "new" / "p.xml").getroot().find("testsuite")
    assert suite.get("failures") == ("4" if strict else "1")
    (run,) = json.loads((tmp_path / "new" / "p.sarif").read_text())["runs"]
    assert len(run["results"]) == len(FOUND)
    assert (
        run["tool"]["driver"]["rules"][list(EVERY).index("disk")]["shortDescription"]["text"] == CHECKS["disk"].summary
    )


@pytest.mark.parametrize("option", ["--waivers", "--junit", "--sarif", "--metrics"])
def test_listing_takes_no_such_option(option, capsys):
    assert main(["preflight", "--list", option, "x"]) == 2
    assert capsys.readouterr().err == f"swarmlab: {option}: has no effect beside --list; leave one of them out\n"
