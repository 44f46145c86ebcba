"""The parts of the catalogue: how they are read, chosen and told, on a catalogue and suites made for it."""

import json
from pathlib import Path

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.report import html, results_page
from swarmlab.verdicts import catalogue, parts
from swarmlab.verdicts.results import load
from tests.unit.small_catalogue import CIS, IDS, READ, SWARM, verdicts
from tools.documents import claims as pages

pytest_plugins = ["pytester"]

# What is read


def test_claims_know_their_part(made):
    found = made()
    assert list(found) == IDS
    assert [(claim.part, claim.chapter, claim.section) for claim in found.values()] == [
        ("document", "7", "7.1"),
        ("document", "7", "7.1"),
        ("swarm", "swarm", "configs"),
        ("swarm", "swarm", "jobs"),
        ("cis", "cis", "cis"),
    ]
    assert list(found.titles.values()) == [
        "Chapter 7: using the swarm",
        "Swarm: beyond the document",
        "CIS: the benchmark",
    ]
    assert (found["cis/lock"].cost, found["cis/lock"].beside) == ("Somebody must unlock.", ("7.1/other",))
    assert [one.id for one in found.unjudged] == ["plugins/any"]
    assert found["configs/immutable"].within("configs")
    assert found["configs/immutable"].within("swarm")


def test_parts_without_claims_and_files_that_are_missing_are_fine(made, tmp_path):
    assert list(made(swarm="# Swarm\n\n# configs\n", cis="# CIS\n").titles) == ["7"]
    for name in ("swarm", "cis"):
        (tmp_path / "claims" / f"{name}.yaml").unlink()
    assert list(READ(tmp_path / "claims")) == IDS[:2]


def test_a_catalogue_of_some_parts_has_their_claims_and_titles_alone(made):
    found = made().of(["swarm"])
    assert list(found) == ["configs/immutable", "jobs/ends"]
    assert list(found.titles) == ["swarm"]
    assert found.unjudged
    assert not made().of(["document", "cis"]).unjudged


@pytest.mark.parametrize(
    ("swarm", "cis", "complaint"),
    [
        (
            SWARM.replace(', source: "https://docs.docker.com/engine/swarm/configs/"', ""),
            CIS,
            "configs/immutable.*'source'",
        ),
        (SWARM.replace("https://", "see "), CIS, "swarm.yaml.*configs/immutable.*does not match"),
        (SWARM.replace('must: "A job ends.", ', ""), CIS, "jobs/ends.*'must' is a required property"),
        (SWARM.replace("why_not", "level: minor, why_not"), CIS, "plugins/any.*'level' is not one of"),
        (SWARM.replace("plugins/any", "jobs/ends"), CIS, "jobs/ends: two entries have this id"),
        (SWARM.replace("configs/immutable", "cis/immutable"), CIS, "cis/immutable"),
        (SWARM.replace("configs/immutable", "7.1/immutable"), CIS, "7.1/immutable"),
        (SWARM.replace("api>=1.41", "api"), CIS, "jobs/ends: unknown need 'api'"),
        (SWARM, CIS.replace(' cost: "Somebody must unlock.",', ""), "cis.yaml.*cis/lock.*'cost'"),
        (SWARM, CIS.replace("cis/lock", "lock/lock"), "cis.yaml.*lock/lock"),
        (
            SWARM,
            CIS.replace("7.1/other", "7.1/none"),
            "cis.yaml, cis/lock: beside: '7.1/none' is no claim of the document",
        ),
        (SWARM, CIS.replace("7.1/other", "jobs/ends"), "beside: 'jobs/ends' is no claim of the document"),
        (SWARM, CIS.replace(", 7.5", ", 5.7"), "cis/lock.*does not match"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(made, swarm, cis, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        made(swarm, cis)
    assert "\n" not in str(refused.value)


def test_the_projects_own_parts_are_read():
    assert set(catalogue.load().of(["document"])) == {id for id in catalogue.load() if id[0].isdigit()}
    for claim in catalogue.load().values():
        assert bool(claim.source) == (claim.part != "document"), claim.id
        assert bool(claim.cost) == (claim.part == "cis"), claim.id


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("document", ("document",)),
        ("cis,document", ("document", "cis")),
        ("swarm, cis", ("swarm", "cis")),
        ("all", ("document", "swarm", "cis")),
        ("cis,all", ("document", "swarm", "cis")),
    ],
)
def test_an_option_names_parts(text, found):
    assert parts.read(text) == found


@pytest.mark.parametrize("id", ["known/x", "upgrade/x"])
def test_a_claim_of_a_rehearsal_is_of_no_part(id):
    assert parts.part_of(id) not in parts.PARTS
    assert parts.chapter_of(id) == id.partition("/")[0]


# What is judged


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        ([], IDS[:4]),
        (["--catalogue", "document"], IDS[:2]),
        (["--catalogue", "swarm"], IDS[2:4]),
        (["--catalogue", "cis"], IDS[4:]),
        (["--catalogue=cis,document"], [*IDS[:2], IDS[4]]),
        (["--catalogue", "all"], IDS),
        (["--profile", "cis"], IDS[4:]),
        (["--profile", "safe"], IDS[:4]),
        (["--profile", "nightly"], IDS[:4]),
        (["--profile", "cis", "--catalogue", "cis"], IDS[4:]),
    ],
)
def test_a_run_judges_and_tells_what_it_chose(suite, options, judged):
    ran, raw = suite(*options)
    assert verdicts(raw) == {id: "fail" if id == "cis/lock" else "pass" for id in judged}
    assert raw["not_run"] == {}
    assert raw["catalogue"] == [part for part in parts.PARTS if part in {parts.part_of(id) for id in judged}]
    assert ran.ret == ("cis/lock" in judged)
    printed = ran.stdout.str()
    for id, title in (("7.1/one", "Chapter 7"), ("jobs/ends", "Swarm: beyond"), ("cis/lock", "CIS: the benchmark")):
        assert (title in printed) == (id in judged)


@pytest.mark.parametrize("profile", ["full", "safe", "smoke", "machines", "nightly", "certify"])
def test_no_profile_but_its_own_judges_the_benchmark(suite, profile):
    _, raw = suite("--profile", profile)
    assert raw is None or "cis/lock" not in {*verdicts(raw), *raw["not_run"]}


def test_a_path_below_its_folder_adds_the_benchmark(suite):
    _, raw = suite(path="suites/cis")
    assert verdicts(raw) == {"cis/lock": "fail"}
    assert raw["not_run"] == dict.fromkeys(IDS[:4], "not selected")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--catalogue", "docs"],
            "--catalogue: 'docs' is no part of the catalogue; write document, swarm, cis or all, *",
        ),
        (["--catalogue", "swarm,"], "--catalogue: '' is no part of the catalogue; *"),
        (["--catalogue", "swarm", "--profile", "cis"], "--catalogue: has no effect beside --profile cis; *"),
    ],
)
def test_what_names_no_part_ends_the_run_with_one_line(suite, options, complaint):
    ran, raw = suite(*options)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    assert raw is None
    ran.stderr.fnmatch_lines([f"ERROR: {complaint}"])
    assert len([line for line in ran.stderr.lines if line.strip()]) == 1


BOTH = "@claim('7.1/one', 'cis/lock')\ndef test_both(cluster): assert False, 'not so'"


def test_a_test_of_several_parts_judges_those_that_are_chosen(suite, pytester):
    _, raw = suite("--catalogue", "document", tests={"ch7/test_both.py": BOTH})
    assert verdicts(raw) == {"7.1/one": "fail", "7.1/other": "pass"}
    for file in (pytester.path / "reports" / "latest").rglob("*"):
        assert not file.is_file() or file.suffix == ".jsonl" or "cis/lock" not in file.read_text(encoding="utf-8"), file
    _, raw = suite("--catalogue", "cis", tests={"ch7/test_both.py": BOTH})
    assert verdicts(raw) == {"cis/lock": "fail"}


def test_a_certificate_is_about_the_chosen_parts(suite):
    passes = {"cis/test_it.py": "@claim('cis/lock')\ndef test_cis(cluster): pass"}
    for options in ([], ["--catalogue", "document"], ["--catalogue", "all"]):
        ran, raw = suite("--profile", "certify", *options, tests=passes)
        assert (ran.ret, raw["certification"]) == (0, [])
    _, raw = suite("--profile", "certify", "--catalogue", "all")
    assert raw["certification"] == ["1 fail: cis/lock"]


def test_workers_select_the_same(suite):
    ran, raw = suite("--catalogue", "swarm,cis", "-n2", process=True)
    assert verdicts(raw) == {"configs/immutable": "pass", "jobs/ends": "pass", "cis/lock": "fail"}
    assert ran.ret == 1


def test_shards_are_of_the_same_parts(suite, pytester, capsys):
    for part, catalogue_of in (("1/2", "all"), ("2/2", "all"), ("2/2", "swarm")):
        folder = f"{part[0]}-{catalogue_of}"
        suite("--catalogue", catalogue_of, "--shard", part, "--reports", folder)
    folders = [str(pytester.path / name) for name in ("1-all", "2-all", "2-swarm")]
    assert main(["merge", *folders[:2], "--reports", str(pytester.path / "merged")]) == 1
    assert verdicts(load(pytester.path / "merged").raw) == {**dict.fromkeys(IDS, "pass"), "cis/lock": "fail"}
    assert load(pytester.path / "merged").raw["catalogue"] == list(parts.PARTS)
    assert main(["merge", folders[0], folders[2], "--reports", str(pytester.path / "merged")]) == 2
    assert "differ in --catalogue: document,swarm,cis and swarm" in capsys.readouterr().err


def test_every_claim_of_every_part_wants_a_test_whatever_is_chosen(suite):
    ran, _ = suite("--catalogue", "document", tests={"cis/test_it.py": "", "swarm/test_it.py": ""})
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    for id, part in (("configs/immutable", "swarm"), ("jobs/ends", "swarm"), ("cis/lock", "cis")):
        ran.stderr.fnmatch_lines([f"ERROR: no test names the claim {id}, *says that {part} is complete"])


def test_what_is_not_judged_is_no_claim_to_name(suite):
    ran, _ = suite(tests={"swarm/test_more.py": "@claim('plugins/any')\ndef test_more(cluster): pass"})
    ran.stderr.fnmatch_lines(["ERROR: *names the unknown claim 'plugins/any'*"])


def test_claims_are_listed_by_part(suite):
    ran, _ = suite("--claims")
    ran.stdout.fnmatch_lines(
        [
            "Chapter 7: using the swarm: 2 of 2 claims have a test",
            "Swarm: beyond the document: 2 of 2 claims have a test",
            "  configs: 1 of 1 claims have a test",
            "*jobs/ends *minor *api>=1.41 * suites/swarm/test_it.py::test_jobs",
            "CIS: the benchmark: 1 of 1 claims have a test",
            "The document's claims: 2 of 2 claims have a test",
            "All: 5 of 5 claims have a test",
        ]
    )
    ran, _ = suite("--claims", "--catalogue", "cis")
    assert "7.1/one" not in ran.stdout.str()
    ran.stdout.fnmatch_lines(["All: 1 of 1 claims have a test"])


# What is told


def test_verdicts_tell_part_source_and_cost(suite):
    _, raw = suite("--catalogue", "all")
    told = {claim["id"]: claim for claim in raw["claims"]}
    assert [claim["part"] for claim in told.values()] == ["document", "document", "swarm", "swarm", "cis"]
    assert told["jobs/ends"]["source"] == "Engine API 1.41: POST /services/create"
    assert not {"source", "cost", "beside"} & set(told["7.1/one"])
    assert (told["cis/lock"]["cost"], told["cis/lock"]["beside"]) == ("Somebody must unlock.", ["7.1/other"])


def test_pages_show_parts_in_order_with_source_cost_and_what_says_otherwise(suite, pytester):
    suite("--catalogue", "all")
    run = load(pytester.path / "reports")
    text = html.render([run], beside=pytester.path)
    places = [text.index(f'<h3 id="chapter-{chapter}">') for chapter in ("7", "swarm", "cis")]
    assert places == sorted(places)
    assert "<h4>Section 7.1</h4>" in text
    assert "<h4>Area configs</h4>" in text
    assert "<h4>Recommendations</h4>" in text
    article = text[text.index('<article class="claim is-fail" id="cis/lock"') :]
    for shown in (
        "<b>Cost.</b> Somebody must unlock.",
        '<a href="#7.1/other">',
        "Source: CIS Docker Benchmark 1.6.0, 7.5",
    ):
        assert shown in article
    page = results_page.render([run])
    rows = [line.partition("|")[2].strip() for line in page.splitlines() if line.startswith(("| Ch", "| Sw", "| CIS"))]
    assert rows == [
        "Chapter 7: using the swarm | 2 pass |",
        "Swarm: beyond the document | 2 pass |",
        "CIS: the benchmark | 1 fail |",
    ]
    labels = [
        label["value"]
        for file in (pytester.path / "reports" / "latest" / "allure-results").glob("*-result.json")
        for label in json.loads(file.read_text(encoding="utf-8"))["labels"]
    ]
    assert {"CIS: the benchmark", "Recommendations", "Area configs", "Section 7.1"} <= set(labels)


def test_pages_have_no_line_for_parts_that_no_run_chose(suite, pytester):
    suite("--catalogue", "document")
    run = load(pytester.path / "reports")
    assert run.parts == ["document"]
    for text in (html.render([run], beside=pytester.path), results_page.render([run])):
        assert "cis/lock" not in text
        assert "beyond the document" not in text


def test_runs_of_other_parts_are_compared_and_told(suite, pytester, capsys):
    names = {}
    for part in ("document", "all"):
        suite("--catalogue", part, "--reports", part)
        names[part] = str(pytester.path / part)
    assert main(["compare", names["document"], names["all"]]) == 0
    assert "parts of the catalogue: document before, document, swarm, cis now" in capsys.readouterr().out
    assert main(["compare", names["all"], names["document"]]) == 0
    printed = capsys.readouterr().out
    assert "--catalogue left swarm out" in printed
    assert "jobs/ends" in printed
    page = html.render([load(Path(names["document"])), load(Path(names["all"]))], beside=pytester.path)
    assert "not in the catalogue of this run" in page
    others = results_page.render([load(Path(names["document"])), load(Path(names["all"]))])
    (row,) = (line for line in others.splitlines() if line.startswith("| `cis/lock` |") and "catalogue" in line)
    assert sorted(row.strip("| ").split(" | ")) == ["`cis/lock`", "fail", "not in its catalogue"]
    assert "`jobs/ends` | not" not in others


@pytest.mark.usefixtures("known")
def test_the_page_of_claims_shows_each_part():
    text = pages.claims()
    for shown in (
        "the document's claims: 2; ",
        "### configs",
        "[engine/swarm/configs](https://docs.docker.com/engine/swarm/configs/)",
        "### Promised and not judged",
        "There is none to be had.",
        "| Somebody must unlock. | CIS Docker Benchmark 1.6.0, 7.5 |",
        "- `cis/lock`, but [`7.1/other`](#7.1/other): The document says otherwise.",
    ):
        assert shown in text
