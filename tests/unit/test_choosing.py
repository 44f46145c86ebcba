"""The choice of claims by words, and runs that judge what --claim chooses."""

import re

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.choosing import KINDS, after_comma, chosen, completions, matching, split_claims, unknown
from swarmlab.verdicts.parts import DEFAULT
from swarmlab.verdicts.results import load
from tests.unit.small_catalogue import verdicts

pytest_plugins = ["pytester"]

ALL = catalogue.load()


def ids(*words, parts=DEFAULT):
    return [claim.id for claim in chosen(split_claims(words), ALL, parts)]


# Words


def test_a_word_is_an_id_a_section_a_chapter_an_area_a_part_a_level_or_a_glob():
    assert ids("7.2.1/reachable-on-any-node") == ["7.2.1/reachable-on-any-node"]
    assert ids("7.2.1") == ["7.2.1/create-with-port", "7.2.1/reachable-on-any-node", "7.2.1/host-mode-port"]
    assert ids("configs") == [id for id in ALL if id.startswith("configs/")]
    assert ids("7") == [id for id in ALL if id.startswith("7.")]
    assert ids("swarm") == list(ALL.of(["swarm"]))
    assert ids("document") == list(ALL.of(["document"]))
    assert ids("7.*/reachable*") == ["7.2.1/reachable-on-any-node", "7.2.3/reachable-while-scaling"]
    assert ids("7.2.[12]/*-port") == ["7.2.1/create-with-port", "7.2.1/host-mode-port"]


def test_the_examples_of_the_help_are_in_the_catalogue():
    words = re.findall(r"\((\S+)\)", KINDS)
    assert len(words) == 6
    assert all(matching(word, ALL) for word in words)
    guide = (ROOT / "docs" / "how-to" / "one-claim.md").read_text()
    rows = [row.partition("|")[0] for row in re.findall(r"^\| (`.*)", guide, re.MULTILINE)]
    for word in [word.strip("'") for row in rows for word in re.findall(r"`([^`]+)`", row)]:
        assert matching(word, ALL), word


def test_a_section_holds_its_subsections_and_no_others():
    assert set(ids("7.2")) == {id for id in ALL if id.startswith(("7.2/", "7.2."))}
    assert set(ids("8.1")) == {id for id in ALL if id.startswith("8.1.")}
    assert ids("7.2/*") == [id for id in ALL if id.startswith("7.2/")]


def test_words_are_given_several_times_and_by_comma_and_count_once():
    assert split_claims(["7.2.4/rm, configs", "7.2.4/rm"]) == ["7.2.4/rm", "configs"]
    assert ids("swarm,7.2.4/rm", "configs") == ["7.2.4/rm", *ALL.of(["swarm"])]


def test_what_names_one_part_brings_it_in_and_a_level_does_not():
    assert ids("cis/autolock") == ["cis/autolock"]
    assert ids("cis") == list(ALL.of(["cis"]))
    assert ids("cis/*") == list(ALL.of(["cis"]))
    critical = ids("critical")
    assert critical == [id for id, claim in ALL.of(DEFAULT).items() if claim.level == "critical"]
    assert set(ids("critical,cis/autolock")) == {*critical, "cis/autolock"}
    assert ids("critical", parts=["cis"]) == ["cis/overlays-encrypted", "cis/secrets-used"]
    assert ids("*/manager-count") == ["8.1.1/manager-count"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("7.2.1/reachable-on-any-nod", "did you mean 7.2.1/reachable-on-any-node?"),
        ("reachable-on-any-node", "did you mean 7.2.1/reachable-on-any-node?"),
        ("7.2.4/RM", "did you mean 7.2.4/rm?"),
        ("confgs", "did you mean configs?"),
        ("Configs", "did you mean configs?"),
        ("critcal", "did you mean critical?"),
        ("chapter 7", "no claim, section, area, part or level 'chapter 7' in the catalogue"),
        ("7.9", "no claim, section, area, part or level '7.9' in the catalogue; did you mean 7."),
        ("9.*", "no claim of the catalogue matches '9.*' (pytest --claims lists all claims)"),
        ("configs/imutable*", "matches 'configs/imutable*'; did you mean configs/immutable?"),
        ("containers/swap", "no test judges containers/swap: Limits of swap"),
        ("known/windows-mesh", "no test judges known/windows-mesh: The lab has no Windows."),
        ("upgrade/step", "upgrade/step is judged by a rehearsal of an upgrade, and by no other run: "),
        ("known/tag-moved", "swarmlab rehearse --to ENGINE"),
        ("\x1b[31m7", "no claim of the catalogue matches '\\x1b[31m7'"),
        ("\x1b7", "no claim, section, area, part or level '\\x1b7' in the catalogue"),
        ("x" * 100_000, "in the catalogue"),
    ],
)
def test_a_word_that_means_nothing_says_why_or_names_the_nearest(word, said):
    with pytest.raises(UsageError) as refused:
        ids(word)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_word_of_parts_that_are_not_judged_is_refused():
    with pytest.raises(UsageError, match=r"\*/manager-count means claims of document, cis, and the run judges swarm"):
        ids("*/manager-count", parts=["swarm"])


@pytest.mark.parametrize("text", ["", ",", "7,,8", "7,", " "])
def test_an_empty_word_is_refused(text):
    with pytest.raises(UsageError, match="has an empty part"):
        split_claims([text])


def test_every_word_that_is_completed_means_something():
    words = completions("")
    assert {"7", "7.2", "7.2.1", "configs", "swarm", "critical", *ALL} <= set(words)
    assert all(matching(word, ALL) for word in words)
    assert completions("7.2.1/re") == ["7.2.1/reachable-on-any-node"]
    assert completions("configs,7.2.4/") == ["configs,7.2.4/rm"]
    assert after_comma("a", ["b"]) == []


def test_the_nearest_of_a_catalogue_without_claims_is_none():
    assert unknown("x", catalogue.Catalogue({}, {})).endswith("(pytest --claims lists all claims)")


# Runs


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        (["--claim", "7.1/one"], {"7.1/one": "pass"}),
        (["--claim", "7.1/one", "--claim", "configs"], {"7.1/one": "pass", "configs/immutable": "pass"}),
        (["--claim", "7.1/one,jobs"], {"7.1/one": "pass", "jobs/ends": "pass"}),
        (["--claim", "cis/lock"], {"cis/lock": "fail"}),
        (["--claim", "minor"], {"7.1/other": "pass", "jobs/ends": "pass"}),
        (["--claim", "minor", "--catalogue", "cis"], {"cis/lock": "fail"}),
        (["--claim", "minor", "--profile", "cis"], {"cis/lock": "fail"}),
        (["--claim", "*/o*"], {"7.1/one": "pass", "7.1/other": "pass"}),
        (["--claim", "7", "-n", "2"], {"7.1/one": "pass", "7.1/other": "pass"}),
    ],
)
def test_a_run_judges_what_was_chosen_and_nothing_else(suite, options, judged):
    ran, raw = suite(*options, process="-n" in options)
    assert ran.ret == (1 if "fail" in judged.values() else 0)
    assert verdicts(raw) == judged
    assert raw["not_run"] == {}
    assert raw["chosen"] == [
        word for at, word in enumerate(options) if options[at - 1] == "--claim" for word in word.split(",")
    ]
    assert raw["others"] == 5 - len(judged)
    assert raw["catalogue"] == list(
        dict.fromkeys("document" if id[0] == "7" else "cis" if "cis" in id else "swarm" for id in judged)
    )
    count = len(judged)
    ran.stdout.fnmatch_lines(
        [f"Chosen by --claim *: {count} claim{'s' * (count > 1)}; the other {5 - count} were not judged"]
    )


def test_the_run_is_read_back_with_what_was_chosen(suite, pytester):
    suite("--claim", "configs")
    run = load(pytester.path / "reports")
    assert run.chosen == ["configs"]
    assert list(run.claims) == ["configs/immutable"]
    assert run.not_run == {}
    suite()
    assert load(pytester.path / "reports").chosen == []


def test_a_claim_is_judged_by_all_its_tests_or_not(suite):
    more = {"swarm/test_more.py": "@claim('configs/immutable')\ndef test_more(cluster): pass"}
    ran, raw = suite("--claim", "configs", "-k", "test_swarm", tests=more)
    assert ran.ret == 0
    assert verdicts(raw) == {}
    assert raw["not_run"] == {
        "configs/immutable": "passed so far, but suites/swarm/test_more.py::test_more did not run"
    }
    ran.stdout.fnmatch_lines(["nothing judged of --claim configs: passed so far, but *test_more did not run*"])
    ran, raw = suite("--claim", "configs", tests=more)
    assert verdicts(raw) == {"configs/immutable": "pass"}


def test_tests_wherever_they_are_judge_a_claim(suite):
    more = {
        "ch7/test_more.py": "@claim('configs/immutable', '7.1/one')\ndef test_more(cluster): assert False, 'not so'"
    }
    _, raw = suite("--claim", "configs", tests=more)
    assert verdicts(raw) == {"configs/immutable": "fail"}


@pytest.mark.parametrize(
    ("options", "path", "why"),
    [
        (["--profile", "smoke"], "suites", "not selected: the profile smoke leaves it out"),
        (["-k", "nothing"], "suites", "not selected: -k nothing leaves it out"),
        (["-m", "smoke"], "suites", "not selected: -m smoke leaves it out"),
        (["-k", "nothing", "-m", "smoke"], "suites", "not selected: -k nothing or -m smoke leaves it out"),
        ([], "suites/ch7", "not selected: no path on the command line holds its test"),
        (["--deselect", "suites/swarm"], "suites", "not selected: an option of pytest leaves it out"),
        (["--profile", "smoke", "-n", "2"], "suites", "not selected: the profile smoke leaves it out"),
    ],
)
def test_an_empty_selection_says_why_in_one_line(suite, options, path, why):
    ran, _ = suite("--claim", "configs", *options, path=path, process="-n" in options)
    assert ran.ret == 5
    told = [line for line in ran.outlines if "nothing judged" in line]
    assert told == [f"nothing judged of --claim configs: {why}"]


def test_what_is_left_out_of_a_choice_is_told_beside_the_rest(suite):
    ran, raw = suite("--claim", "7.1/one,configs", path="suites/ch7")
    assert ran.ret == 0
    assert verdicts(raw) == {"7.1/one": "pass"}
    why = "not selected: no path on the command line holds its test"
    assert raw["not_run"] == {"configs/immutable": why}
    ran.stdout.fnmatch_lines([f"  not run  {why}: configs/immutable"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--claim", "7.1/on"], "--claim: no claim, *'7.1/on' in the catalogue; did you mean 7.1/one?"),
        (["--claim", "plugins/any"], "--claim: no test judges plugins/any: There is none to be had."),
        (
            ["--claim", "7.1/one", "--catalogue", "swarm"],
            "--claim: 7.1/one is of the part document, and --catalogue swarm *",
        ),
        (
            ["--claim", "7.1/one", "--profile", "cis"],
            "--claim: 7.1/one is of the part document, and --profile cis judges *",
        ),
        (["--claim", "7,,8"], "--claim: 7,,8: has an empty part*"),
    ],
)
def test_a_wrong_choice_ends_the_run_with_one_line(suite, options, complaint):
    ran, raw = suite(*options)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([f"ERROR: {complaint}"])
    assert raw is None


def test_shards_share_a_choice(suite, pytester, capsys):
    for shard, claims, folder in (("1/2", "7,configs", "one"), ("2/2", "7,configs", "two"), ("2/2", "7", "other")):
        ran, raw = suite("--claim", claims, "--shard", shard, "--reports", folder)
        assert ran.ret == 0
        assert raw is None
    folders = [str(pytester.path / name) for name in ("one", "two", "other")]
    merged = pytester.path / "merged"
    assert main(["merge", *folders[:2], "--reports", str(merged)]) == 0
    run = load(merged)
    assert verdicts(run.raw) == {"7.1/one": "pass", "7.1/other": "pass", "configs/immutable": "pass"}
    assert run.chosen == ["7", "configs"]
    assert main(["merge", folders[0], folders[2], "--reports", str(merged)]) == 2
    assert "differ in --claim: 7,configs and 7" in capsys.readouterr().err
    part = load(pytester.path / "one")
    assert set(part.not_run.values()) == {"not selected in shard 1/2: another shard has it"}
