"""Metrics of runs and of preflight: both formats of the file, labels that stay, and the alerts in the documents."""

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from swarmlab.cli import preflight as command
from swarmlab.cli.main import main
from swarmlab.paths import ROOT
from swarmlab.preflight import CHECKS, Finding, Level
from swarmlab.report import metrics
from swarmlab.verdicts.results import load
from tests.unit.helpers import IDS

A, B = IDS[0], IDS[-1]
RULES = ROOT / "docs" / "how-to" / "alerts" / "swarmlab.rules.yml"


def samples(text):
    """Return the samples of a file, after both formats were read from it and say the same."""
    new = [(one.name, one.labels, one.value) for family in openmetrics(text) for one in family.samples]
    old = [(one.name, one.labels, one.value) for family in plain_text(text) for one in family.samples]
    assert new == old
    assert {family.type for family in openmetrics(text)} == {"gauge"}
    assert all(one.timestamp is None for family in openmetrics(text) for one in family.samples)
    assert len({(name, *sorted(labels.items())) for name, labels, _ in new}) == len(new)
    return new


def value(found, name, **labels):
    (one,) = [value for known, has, value in found if known == name and labels.items() <= has.items()]
    return one


FULL = {"check": "limits", "level": "error", "seen": "full", "risk": "", "incident": "", "nodes": ["a"]}
WAIVER = {"check": "disk", "justification": "known for long", "owner": "ops", "expires": "2999-12-31"}


def test_a_run_is_told(run):
    waived = {**FULL, "check": "disk", "level": "warning", "waiver": WAIVER}
    look = {"lab": "run-1", "seconds": 3.5, "findings": [FULL, waived]}
    folder = run({A: "fail", B: "pass"}, preflight=[look], cluster="prod", profile="full", engine='1.2.3+"x"\\')
    found = samples(metrics.of_run(load(folder)).text())
    assert value(found, "swarmlab_claim_verdict", claim=A, chapter="1", level="major") == 5
    assert value(found, "swarmlab_claim_verdict", claim=B) == 0
    assert value(found, "swarmlab_claim_seconds", claim=B) == 1.5
    assert value(found, "swarmlab_claims", chapter="1", level="major", verdict="fail") == 1
    assert value(found, "swarmlab_claims", chapter="1", level="major", verdict="pass") == 0
    assert value(found, "swarmlab_claims_not_run") == len(IDS) - 2
    started = datetime(2026, 11, 24, 10, tzinfo=timezone.utc)
    assert value(found, "swarmlab_run_timestamp_seconds") == started.timestamp() + 75
    assert value(found, "swarmlab_run_finished") == 1
    assert value(found, "swarmlab_preflight_findings", check="limits", level="error", waived="no") == 1
    assert value(found, "swarmlab_preflight_findings", check="disk", level="warning", waived="yes") == 1
    assert value(found, "swarmlab_preflight_findings", check="disk", level="warning", waived="no") == 0
    assert value(found, "swarmlab_preflight_seconds") == 3.5
    checks = {labels["check"] for name, labels, _ in found if name == "swarmlab_preflight_findings"}
    assert checks >= set(CHECKS)
    common = {"cluster": "prod", "lab": "dind", "engine": '1.2.3+"x"\\', "profile": "full"}
    assert all(common.items() <= labels.items() for _, labels, _ in found)


def test_a_run_of_an_older_release_or_without_a_verdict_is_told_too(run):
    old = samples(metrics.of_run(load(run({A: "pass"}))).text())
    assert value(old, "swarmlab_run_seconds", cluster="dind") == 75
    assert not [name for name, *_ in old if "preflight" in name]
    none = samples(metrics.of_run(load(run({}, name="none", unfinished="stopped"))).text())
    assert value(none, "swarmlab_run_finished") == 0


def test_a_worse_verdict_has_a_higher_value():
    words = [str(verdict) for verdict in sorted(metrics.VALUES, key=metrics.VALUES.__getitem__)]
    assert words == ["pass", "waived", "blocked", "timeout", "broken", "fail"]


def test_preflight_writes_its_own_file_beside_that_of_a_run(run, monkeypatch, tmp_path):
    found = [Finding(Level.UNKNOWN, "nft is missing", check="limits", nodes=("a",), mend="install it")]
    facts = {"kind": "dind", "nodes": [{"engine": "1.2.3"}, {"engine": ""}]}
    monkeypatch.setattr(command, "_found", lambda *_, **__: command.Looked("prod", found, facts))
    file = tmp_path / "collector" / "preflight.prom"
    assert main(["preflight", "--metrics", str(file)]) == 0
    own = samples(file.read_text())
    assert value(own, "swarmlab_preflight_findings", check="limits", level="unknown", waived="no") == 1
    assert list(file.parent.iterdir()) == [file]
    # node_exporter refuses files that have a series in common.
    look = {"lab": "run-1", "seconds": 1, "findings": []}
    of_run = samples(metrics.of_run(load(run({A: "pass"}, preflight=[look], cluster="prod", profile="full"))).text())
    assert not {(name, *sorted(labels.items())) for name, labels, _ in own} & {
        (name, *sorted(labels.items())) for name, labels, _ in of_run
    }


@pytest.mark.parametrize("option", ["--metrics", "--junit", "--sarif"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_looked_at(option, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "_found", lambda *_, **__: pytest.fail("it has looked"))
    (tmp_path / "file").touch()
    for wrong, status in ((tmp_path, 2), (tmp_path / "file" / "x.prom", 3)):
        assert main(["preflight", option, str(wrong)]) == status
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert str(tmp_path) in printed


def test_two_files_of_one_name_are_refused(tmp_path, capsys):
    assert main(["preflight", "--junit", f"{tmp_path}/a", "--sarif", f"{tmp_path}/a"]) == 2
    assert capsys.readouterr().err == f"swarmlab: --sarif {tmp_path}/a: is the file of --junit too; name another\n"


def test_the_alerts_use_metrics_and_labels_that_there_are(run):
    look = {"lab": "run-1", "seconds": 1, "findings": [FULL]}
    known = {}
    for name, labels, _ in samples(metrics.of_run(load(run({A: "fail"}, preflight=[look]))).text()):
        known.setdefault(name, set()).update(labels)
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        for name in re.findall(r"swarmlab_\w+", rule["expr"]):
            by = set(re.search(r"by \(([^)]*)\)", rule["expr"])[1].split(", "))
            used = set(re.findall(r'(\w+)="', rule["expr"])) | by
            assert used <= known[name], (rule["alert"], name)
    page = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    assert set(re.findall(r"^\| `(swarmlab_\w+)`", page, re.MULTILINE)) == set(known)


def test_a_run_writes_its_metrics_whole_or_not_at_all(run, tmp_path):
    made = metrics.of_run(load(run({A: "pass"})))
    file = tmp_path / "there" / "x.prom"
    metrics.write(made, file)
    assert [path.name for path in Path(file.parent).iterdir()] == ["x.prom"]
    assert file.read_text().endswith("# EOF\n")
    assert json.dumps(file.read_text()).isascii()
