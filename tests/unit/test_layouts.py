"""Every JSON that the project writes has a schema with a version and a page; each output keeps to its schema."""

import json
from dataclasses import replace
from datetime import date

import jsonschema
import pytest

from swarmlab import layouts
from swarmlab.cli import preflight as preflight_command
from swarmlab.cli import status as status_command
from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.labs.standing import Standing
from swarmlab.labs.state import NodeState
from swarmlab.paths import ROOT
from swarmlab.preflight import Finding, Level
from swarmlab.rehearsal.decision import Decision, Reason
from swarmlab.rehearsal.likeness.model import Likeness
from swarmlab.report import bench
from swarmlab.timing import profile
from swarmlab.verdicts import results
from swarmlab.verdicts.waivers import FindingWaiver
from tests.unit.helpers import IDS
from tests.unit.test_bench import FOUND as BENCH
from tests.unit.test_likeness import read as likeness
from tools.documents.schemas import LAYOUTS

A, B = IDS[:2]
SCHEMAS = sorted(file for top in ("swarmlab", "claims") for file in (ROOT / top).rglob("*schema.json"))


def check(raw, page):
    """Check an output against the schema whose page has this name."""
    assert layouts.mistake(raw, layouts.layout(ROOT / LAYOUTS[page].schema)) == ""


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_each_schema_is_one(file):
    jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text()))


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_has_a_version(name):
    schema = layouts.layout(ROOT / LAYOUTS[name].schema)
    if schema["type"] == "array":
        assert "version 1" in schema["$comment"]
    else:
        assert schema["properties"][layouts.KEY]["const"] == 1


def test_each_schema_beside_the_code_has_a_page():
    paged = {ROOT / layout.schema for layout in LAYOUTS.values()}
    of_input = {"inventory.schema.json", "waivers.schema.json"}
    assert {file for file in SCHEMAS if file.is_relative_to(ROOT / "swarmlab")} - paged == {
        file for file in SCHEMAS if file.name in of_input
    }


def test_a_finding_has_the_same_keys_wherever_it_is_written():
    look = layouts.layout(ROOT / LAYOUTS["verdicts-json"].schema)["properties"]["preflight"]["items"]
    printed = layouts.layout(ROOT / LAYOUTS["findings-json"].schema)["items"]
    assert look["properties"]["findings"]["items"] == printed


# What commands print


def test_findings(monkeypatch, capsys):
    waiver = FindingWaiver(check="disk", node="a", justification="known", owner="ops", expires=date(2999, 12, 31))
    full = Finding(Level.ERROR, "full", "loss", "moby#1", ("a",), "disk", "make room", pairs=(("a", "b"),))
    found = [full, replace(full, waiver=waiver), Finding(Level.OK, "well", check="quorum")]
    monkeypatch.setattr(preflight_command, "_found", lambda *_, **__: preflight_command.Looked("x", found))
    assert main(["preflight", "--json"]) == 1
    check(json.loads(capsys.readouterr().out), "findings-json")


class Engine:
    url = "unix:///x.sock"

    def release(self):
        pass

    def need_networks(self):
        pass


NODES = [
    NodeState.of(
        "master",
        "10.0.0.1",
        "running",
        {"ServerVersion": "1", "Swarm": {"LocalNodeState": "active", "ControlAvailable": True}},
    ),
    NodeState.of("slave01", "10.0.0.2", "running", None, 2),
    NodeState.of("slave02", "10.0.0.3", "exited", {}),
    NodeState("slave03", "10.0.0.4", "", note="no ssh"),
]


def _describe(_, lab):
    if lab.name == "gone":
        raise LabError("no machine answers")
    return NODES


@pytest.mark.parametrize("names", [[], ["up"], ["up", "gone"]])
def test_status(monkeypatch, capsys, names):
    monkeypatch.setattr(status_command.outer, "running", lambda _: Engine())
    labs = [Standing(name, "its user", None if name == "gone" else True, "dind") for name in names]
    monkeypatch.setattr(status_command.labels, "labs", lambda _: labs)
    monkeypatch.setattr(status_command.kinds, "describe", _describe)
    assert main(["status", "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    check(raw, "status-json")
    assert [lab["name"] for lab in raw["labs"]] == names
    for lab in raw["labs"]:
        if lab["name"] == "gone":
            assert (lab["why"], lab["nodes"], lab["owner_alive"]) == ("no machine answers", [], None)
        else:
            assert [(node["role"], node["answers"], node["cluster"]) for node in lab["nodes"]] == [
                ("manager", True, 0),
                ("", False, 2),
                ("", None, 0),
                ("", None, 0),
            ]
    assert main(["status"]) == 0
    printed = capsys.readouterr().out
    assert ("its nodes cannot be reached: no machine answers" in printed) == ("gone" in names)
    assert (["slave03", "10.0.0.4", "no", "ssh"] in [line.split() for line in printed.splitlines()]) == bool(names)


def test_status_without_an_engine(monkeypatch, capsys):
    monkeypatch.setattr(status_command.outer, "running", lambda _: None)
    assert main(["status", "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    check(raw, "status-json")
    assert raw["engine"] is None


def test_compare(run, capsys):
    old, new = run({A: "pass", B: "fail"}, name="old"), run({A: "fail"}, name="new", engine="2.0")
    assert main(["compare", str(old), str(new), "--json"]) == 1
    raw = json.loads(capsys.readouterr().out)
    check(raw, "compare-json")
    assert raw["regressed"] is True
    assert [(change["id"], change["old"], change["new"]) for change in raw["worse"]] == [(A, "pass", "fail")]
    assert raw["new"]["counts"]["fail"] == 1
    assert raw["other"] == ["engines: 1.2.3 before, 2.0 now"]
    assert main(["compare", str(old), str(old), "--json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    check(raw, "compare-json")
    assert raw["regressed"] is False
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(old), str(new), "--json", "--markdown"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


# What is written to files


def test_decision():
    made = Decision(conditions=[Reason("look", "upgrade/step", ("upgrade/evidence/x.txt",))])
    check(
        {layouts.KEY: 1, **made.to_json(), "path": ["1"], "seconds": {"the lab": 1.0}, "profile": "smoke"},
        "decision-json",
    )
    made.likeness = {"cluster": "x", "inventory": "y", "nodes": {}, "copied": {}, "left_out": [], "limits": []}
    check({**made.to_json(), "path": ["1"], "seconds": {}, "profile": "smoke"}, "decision-json")


def test_likeness_also_one_from_before_there_were_versions(tmp_path):
    made, file = likeness(), tmp_path / "likeness.json"
    made.write(file)
    raw = json.loads(file.read_text())
    check(raw, "likeness-json")
    assert raw.pop("schema") == 1
    file.write_text(json.dumps(raw))
    assert Likeness.load(file) == made


def test_bench(tmp_path):
    check(BENCH, "bench-json")
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({**BENCH, "cores": "two"}))
    with pytest.raises(UsageError, match="is not a benchmark: cores: 'two' is not of type"):
        bench.load(file)


def test_verdicts_of_older_releases_are_read_and_of_newer_ones_refused(run):
    folder = run({A: "pass"})
    assert results.load(folder).counts
    raw = json.loads((folder / "verdicts.json").read_text())
    check(raw, "verdicts-json")
    (folder / "verdicts.json").write_text(json.dumps(raw | {"schema": 2}))
    with pytest.raises(UsageError, match=r"verdicts.json has schema 2; this release reads 1; install a newer one$"):
        results.load(folder)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("profile.json", lambda file: profile.load(file.parent)),
        ("likeness.json", Likeness.load),
        ("bench.json", bench.load),
    ],
)
def test_a_file_of_a_newer_release_is_refused_in_one_line(tmp_path, name, read):
    file = tmp_path / name
    file.write_text('{"schema": 7}')
    with pytest.raises(UsageError) as refused:
        read(file)
    assert "has schema 7; this release reads 1; " in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)
