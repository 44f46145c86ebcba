"""The page of results: every figure is that of the verdicts, in one order, whatever order the runs are given in."""

import json
import re

import pytest

from swarmlab.cli.main import main
from swarmlab.needs import FEATURES, OF_MACHINES
from swarmlab.paths import ROOT
from swarmlab.report import results_page
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.results import load
from tests.unit.helpers import IDS, WORDS

MIXED = dict(zip(IDS, ["pass", "fail", "blocked", "broken", "timeout", "waived", "blocked"], strict=False))


def page(*folders):
    return results_page.render(load(folder) for folder in folders)


def part(text, heading):
    """Return the cells of each row of the table below a heading, without the row of headings."""
    (found,) = re.findall(rf"^#+ {re.escape(heading)}\n\n(.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found.splitlines()]
    return rows[2:]


def test_a_run_is_told_with_its_figures(run):
    command = "pytest suites/ --engine /a/b.tgz,/c/d.tgz"
    text = page(run(MIXED, suite={"version": "1.0.0", "revision": "abc"}, command=command, profile="full"))
    (row,) = part(text, "Runs")
    counted = [1, 1, 2, 1, 1, 1, len(IDS) - 7]
    assert row == [
        "[1](#run-1)",
        "2026-11-24 10:00",
        "abc",
        "dind",
        "1.2.3",
        "1",
        *map(str, counted),
        "75 s",
    ]
    heads = next(line for line in text.splitlines() if line.startswith("| run |"))
    assert [cell.strip() for cell in heads.split("|")[7:-2]] == WORDS
    facts = dict(re.findall(r"^\| ([a-z ]+) \| (.*) \|$", text, re.MULTILINE))
    assert facts["command"] == "`pytest suites/ --engine b.tgz,d.tgz`"
    assert facts["suite"] == "version 1.0.0, revision abc"
    assert facts["firewall"] == r"iptables (nf\_tables)"
    assert "**Does not conform.**" in text


def test_what_did_not_pass_and_why_is_told(run):
    text = page(run(MIXED))
    assert part(text, "Not passed") == [
        [f"`{id}`", MIXED[id], f"why {MIXED[id]} &lt;b&gt;&amp; so&lt;/b&gt;"]
        for id in (IDS[1], IDS[3], IDS[4], IDS[5])
    ]
    assert part(text, "Blocked") == [["why blocked &lt;b&gt;&amp; so&lt;/b&gt;", f"`{IDS[2]}`, `{IDS[6]}`", "2"]]
    [(reason, ids, number)] = part(text, "Not run")
    assert (reason, number) == ("no test", str(len(IDS) - 7))
    assert ids.count("`") == 2 * (len(IDS) - 7)


def test_a_known_failure_is_told_with_its_reason(run):
    folder = run({IDS[0]: "fail"})
    raw = json.loads((folder / "verdicts.json").read_text())
    raw["claims"][0]["known"] = [{"incident": "x#1", "cause": "it forgets", "engines": ["1.2.3"], "mended": "1.3"}]
    (folder / "verdicts.json").write_text(json.dumps(raw))
    ((_, verdict, reason),) = part(page(folder), "Not passed")
    assert verdict == "fail"
    assert reason.replace("\\", "").endswith("; known: x#1: it forgets (1.2.3; mended in 1.3)")


def test_the_slowest_claims_are_told(run):
    folder = run(dict.fromkeys(IDS[:20], "pass"))
    raw = json.loads((folder / "verdicts.json").read_text())
    for number, claim in enumerate(raw["claims"]):
        claim["seconds"] = float(number)
    (folder / "verdicts.json").write_text(json.dumps(raw))
    rows = part(page(folder), "Slowest claims")
    assert rows == [[f"`{id}`", f"{number} s"] for number, id in sorted(enumerate(IDS[:20]), reverse=True)[:10]]


def test_runs_stand_side_by_side_by_date(run):
    later = run({IDS[0]: "pass", IDS[1]: "pass"}, name="later", started="2026-11-25T10:00:00+00:00", engine="28.5.2")
    first = run({IDS[0]: "fail", IDS[1]: "pass", IDS[3]: "pass"}, name="first")
    text = page(later, first)
    assert [row[4] for row in part(text, "Runs")] == ["1.2.3", "28.5.2"]
    others = {
        row[0]: row[1:] for row in part(text, "Claims that did not pass where they were judged, or were never run")
    }
    assert others[f"`{IDS[0]}`"] == ["fail", "pass"]
    assert f"`{IDS[1]}`" not in others
    assert others[f"`{IDS[2]}`"] == ["not run", "not run"]
    assert f"`{IDS[3]}`" not in others  # one run judged it
    chapter = part(text, "Verdicts by chapter")[0]
    assert chapter[1].startswith("2 pass, 1 fail, ")
    assert chapter[2].startswith("2 pass, ")


def test_claims_that_no_run_was_to_judge_are_only_counted(run):
    later = run({IDS[0]: "pass", IDS[1]: "fail"}, name="later", started="2026-11-25T10:00:00+00:00")
    folders = [run({IDS[0]: "fail"}), later]
    for folder, chosen in zip(folders, (IDS[:1], IDS[:2]), strict=True):
        raw = json.loads((folder / "verdicts.json").read_text())
        (folder / "verdicts.json").write_text(json.dumps(raw | {"not_run": {}, "chosen": chosen}))
    text = page(*folders)
    rows = part(text, "Claims that did not pass where they were judged, or were never run")
    assert rows[:2] == [[f"`{IDS[0]}`", "fail", "pass"], [f"`{IDS[1]}`", "not chosen", "fail"]]
    assert len(rows) == 2
    assert re.search(r"^\d+ further claims were chosen for none of these runs \(`--claim`\)\.$", text, re.MULTILINE)


def test_the_page_is_the_same_whatever_the_order_and_how_often(run):
    folders = [run({IDS[0]: "pass"}, name=name, started=f"2026-11-2{day}T10:00:00+00:00") for name, day in ("a5", "b4")]
    text = page(*folders)
    assert page(*reversed(folders)) == text
    assert page(*folders, folders[0], folders[1] / "verdicts.json") == text


def test_the_command_prints_or_writes(run, tmp_path, capsys):
    folder = run(MIXED)
    assert main(["results", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text == page(folder)
    out = tmp_path / "RESULTS.md"
    for _ in range(2):
        assert main(["results", str(folder), "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        assert out.read_text() == text


@pytest.mark.parametrize("out", ["", "run/verdicts.json/RESULTS.md"])
def test_what_cannot_be_read_or_written_is_one_line(run, out, tmp_path, capsys):
    arguments = [str(run(MIXED)), "--out", str(tmp_path / out)] if out else [str(tmp_path)]
    assert main(["results", *arguments]) == (3 if out else 2)
    printed = capsys.readouterr().err
    assert ("cannot be written" if out else "no run in it") in printed
    assert printed.count("\n") == 1


def test_what_the_kernel_alone_keeps_from_being_judged_is_told(run):
    known = catalogue.load()
    lacking = [id for id, claim in known.items() if claim.needs == ("ipvs",)]
    machines = [id for id, claim in known.items() if "reboot" in claim.needs]
    other = next(id for id, claim in known.items() if claim.needs == ("image:portainer",))
    reasons = {other: "no image", **dict.fromkeys(machines, FEATURES["reboot"])}
    reasons |= dict.fromkeys(lacking, FEATURES["ipvs"])
    folder = run(dict.fromkeys(reasons, "blocked"))
    written = json.loads((folder / "verdicts.json").read_text())
    for claim in written["claims"]:
        claim["reason"] = reasons[claim["id"]]
    (folder / "verdicts.json").write_text(json.dumps(written))
    counted = f"{len(lacking)} of these {len(reasons)} claims lack IPVS alone"
    assert counted in page(folder)
    assert f"{len(machines)} of the others are of machines alone; the reasons of the other 1 say" in page(folder)
    assert "lack IPVS" not in page(run(MIXED, name="another"))


def test_the_introduction_has_the_numbers_of_the_catalogue():
    needs = [claim.needs for claim in catalogue.load().values() if claim.part == "document"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    machines = sum(bool(OF_MACHINES.intersection(each)) for each in needs)
    assert f"containers judge all {len(needs)} claims of the document but the {machines} that only machines" in text
    assert f"{sum('image:portainer' in each for each in needs)} need an image of Portainer" in text
    assert f"{sum('long' in each for each in needs)} take over ten minutes" in text
    assert f"{sum('mixed-engines' in each for each in needs)} needs two engines, " in text
    assert f"{sum('internet' in each for each in needs)} the internet" in text


@pytest.mark.parametrize(("driver", "words"), [("qemu", "emulated"), ("kvm", "on KVM")])
def test_a_run_on_emulated_machines_is_told_from_one_on_kvm(run, driver, words):
    each = {"machines": {"provider": "libvirt", "driver": driver}}
    found = load(run({}, lab={"kind": "vagrant", "name": "machines", "nodes": [], "each": each}))
    assert found.lab == f"vagrant libvirt, {words}"
