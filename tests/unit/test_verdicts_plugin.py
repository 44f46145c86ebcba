"""From outcomes to verdicts, on suites made for it and a lab that offers three nodes and nothing else."""

import json
import re
import signal
import subprocess
import sys
import textwrap
from xml.etree import ElementTree

import pytest

from swarmlab.paths import ROOT
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.defects import defects
from swarmlab.verdicts.parts import DEFAULT
from swarmlab.verdicts.results import load
from swarmlab.wait import wait
from tests.unit.helpers import CONFTEST, HEADER, start

pytest_plugins = ["pytester"]

SECRET = "7p73s1dx5in4tatdymyhg9hu2"
TOKEN = f"SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-{SECRET}"


class Ran:
    """A run that ended: its exit status, output and verdicts."""

    def __init__(self, result, folder):
        self.code = int(result.ret)
        self.out = result.stdout.str()
        self.folder = folder
        self.report = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
        self.claims = {claim["id"]: claim for claim in self.report["claims"]}

    def verdict(self, id="7.2.2/inspect"):
        return self.claims[id]["verdict"], self.claims[id]["reason"]

    def evidence(self, id="7.2.2/inspect"):
        return "".join((self.folder / file).read_text(encoding="utf-8") for file in self.claims[id]["evidence"])

    def everything_written(self):
        return "".join(file.read_text(encoding="utf-8") for file in self.folder.rglob("*") if file.is_file())


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs a module of a suite, and returns the ended run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))

    def _run(tests, *options, process=False):
        folder = pytester.path / "suites"
        folder.mkdir(exist_ok=True)
        # Every run is one of a suite that is complete, as far as its own check is concerned.
        rest = "@claim('7.2.2/ls-columns', '7.2.2/managers-only', '7.2.2/inspect')\ndef test_rest(): pass"
        rest = "" if "test_rest" in tests or "'7.2.2/managers-only'" in tests else rest
        (folder / "test_it.py").write_text(textwrap.dedent(HEADER) + textwrap.dedent(tests) + "\n" + rest)
        runner = pytester.runpytest_subprocess if process else pytester.runpytest_inprocess
        return Ran(runner("suites", *options), (pytester.path / "reports" / "latest").resolve())

    return _run


def one(steps, fixtures="", marks=""):
    """Return a test of one claim, made of these steps."""
    return f"{marks}\n@claim('7.2.2/inspect')\ndef test_a({fixtures}):\n    {steps}\n"


@pytest.mark.parametrize(
    ("steps", "verdict", "reason"),
    [
        ("assert True", "pass", ""),
        ("assert 1 == 2, 'not so'", "fail", "not so"),
        ("raise EngineRefused('master', 500, 'no quorum')", "fail", "the engine of master refused (500): no quorum"),
        ("pytest.fail('not so')", "fail", "not so"),
        ("pytest.raises(ValueError, int, '1')", "fail", "DID NOT RAISE ValueError"),
        ("raise DeadlineExceeded('waited for a leader')", "timeout", "waited for a leader"),
        ("raise LabError('node gone')", "broken", "node gone"),
        ("{}['ID']", "broken", "KeyError: 'ID'"),
        ("raise Blocked('no image of x')", "blocked", "no image of x"),
        ("pytest.skip('lazy')", "broken", "skips itself, but only a claim's need may block a test: lazy"),
        (
            "pytest.skip('blocked: says who')",
            "broken",
            "skips itself, but only a claim's need may block a test: blocked: says who",
        ),
        ("pytest.xfail('known')", "broken", "skips itself, but only a claim's need may block a test: known"),
    ],
)
def test_what_ends_a_test_decides_the_verdict(run, steps, verdict, reason):
    ran = run(one(steps), "-k", "test_a")
    if verdict == "pass":  # what else names the claim did not run
        assert ran.report["not_run"]["7.2.2/inspect"].endswith("test_rest did not run")
        ran = run(one(steps))
    assert ran.verdict() == (verdict, reason)
    assert ran.code == (0 if verdict in ("pass", "blocked") else 1)


def test_a_reason_that_shows_a_table_of_all_nodes_is_cut_and_the_evidence_has_it_all(run):
    ran = run(one("assert False, 'tasks on: ' + ', '.join(f'slave{place:02}' for place in range(300))"))
    verdict, reason = ran.verdict()
    assert verdict == "fail"
    assert reason.startswith("tasks on: slave00, slave01")
    assert "[… 2008 characters, which the evidence has …]" in reason
    assert reason.endswith("slave298, slave299")
    assert "slave100" in ran.evidence()
    assert "slave100" not in reason


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        ("assert 1 == 2, 'why'", "broken"),
        ("pytest.fail('why')", "broken"),
        ("raise EngineRefused('master', 500, 'why')", "broken"),
        ("raise LabError('why')", "broken"),
        ("raise DeadlineExceeded('why')", "timeout"),
        ("raise Blocked('why')", "blocked"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_preparing_and_clearing_away_judge_nothing(run, error, verdict, when):
    steps = f"{error}\n    yield" if when == "before" else f"yield\n    {error}"
    ran = run(f"@pytest.fixture\ndef prepared():\n    {steps}\n" + one("pass", "prepared"))
    found, reason = ran.verdict()
    assert found == verdict
    assert "why" in reason
    assert ran.code == (0 if verdict == "blocked" else 1)


@pytest.mark.parametrize(
    ("first", "second", "verdict", "reason"),
    [
        ("raise LabError('one')", "raise LabError('two')", "broken", "two; one"),
        ("raise LabError('one')", "raise Blocked('two')", "broken", "one"),
        ("raise Blocked('one')", "raise DeadlineExceeded('two')", "timeout", "two"),
        ("raise Blocked('one')", "raise Blocked('two')", "blocked", "two; one"),
        ("raise LabError('one')", "raise TasksRefused('two')", "fail", "two"),
        ("pytest.fail('one')", "{}['two']", "broken", "KeyError: 'two'; one"),
    ],
)
def test_of_two_errors_in_one_clean_up_the_worst_counts_and_none_is_lost(run, first, second, verdict, reason):
    tests = "from swarmlab.errors import TasksRefused\n"
    for name, error in [("b", second), ("a", first)]:
        tests += f"@pytest.fixture\ndef {name}():\n    yield\n    {error}\n"
    ran = run(tests + one("pass", "b, a"))
    assert ran.verdict() == (verdict, reason)
    evidence = ran.evidence()
    assert "one" in evidence
    assert "two" in evidence
    assert ran.code == (0 if verdict == "blocked" else 1)


@pytest.mark.parametrize(
    ("mark", "verdict"),
    [("xfail", "broken"), ("xfail(run=False)", "broken"), ("skip", "broken"), ("skipif(True, reason='x')", "broken")],
)
@pytest.mark.parametrize("steps", ["pass", "assert False"])
def test_a_mark_cannot_excuse_a_test(run, mark, verdict, steps):
    ran = run(one(steps, marks=f"@pytest.mark.{mark}"))
    assert ran.verdict()[0] == verdict
    assert ran.code == 1


def test_a_test_that_expects_failure_later_on_does_not_pass(run):
    ran = run(one("request.applymarker(pytest.mark.xfail(reason='x'))", "request"))
    assert ran.verdict()[0] == "broken"
    assert ran.code == 1


def test_a_module_that_skips_itself_is_an_error(run, pytester):
    run(one("pass"))
    module = pytester.path / "suites" / "test_it.py"
    module.write_text("import pytest\npytest.skip('lazy', allow_module_level=True)\n" + module.read_text())
    ran = pytester.runpytest_inprocess("suites")
    assert ran.ret == pytest.ExitCode.INTERRUPTED
    assert "skips all its tests" in ran.stdout.str()


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_what_was_only_prepared_has_not_passed(run, option):
    ran = run(one("pass"), option)
    assert ran.verdict()[0] == "broken"


def test_a_failed_subtest_fails_the_claim(run):
    ran = run(one("with subtests.test(): assert 1 == 2, 'not so'", "subtests"))
    assert ran.verdict() == ("fail", "not so")


def test_the_worst_of_all_tests_of_a_claim_is_its_verdict(run):
    ran = run(
        one("pass")
        + """
@claim('7.2.2/inspect')
@pytest.mark.parametrize('n', [1, 2])
def test_b(n): assert n == 1, 'two is not one'
"""
    )
    assert ran.verdict() == ("fail", "two is not one")
    assert len(ran.claims["7.2.2/inspect"]["tests"]) == 4
    assert len(set(ran.claims["7.2.2/inspect"]["evidence"])) == 4


@pytest.mark.parametrize("selection", [["-k", "test_b and 1"], ["--deselect", "suites/test_it.py::test_b[2]"]])
def test_a_claim_passes_only_when_all_its_parameters_ran(run, selection):
    tests = """
@claim('7.2.2/inspect', '7.2.2/managers-only')
@pytest.mark.parametrize('n', [1, 2])
def test_b(n): pass
@claim('7.2.2/ls-columns')
def test_c(): pass
"""
    ran = run(tests, *selection)
    assert "7.2.2/inspect" not in ran.claims
    assert ran.report["not_run"]["7.2.2/inspect"].endswith("test_b did not run with all parameters")
    assert run(tests).verdict() == ("pass", "")


def test_needs_are_checked_before_anything_else(run):
    ran = run(
        """
@pytest.fixture
def costly(): raise LabError('should not have been made')
@claim('7.2.1/reachable-on-any-node')
def test_ipvs(costly): pass
@claim('8.1.1/tolerates-5')
def test_five(costly): pass
@claim('8.1.2/drain-moves-tasks')
def test_drain(costly): pass
""",
    )
    assert ran.verdict("7.2.1/reachable-on-any-node") == ("blocked", "kernel has no IPVS")
    assert ran.verdict("8.1.1/tolerates-5")[1] == (
        "needs managers>=5, the lab has 3 nodes; lab cannot power a node off, or cut it off; "
        "the claim disrupts, and this lab may not be disrupted"
    )
    assert ran.verdict("8.1.2/drain-moves-tasks")[1] == "the claim disrupts, and this lab may not be disrupted"
    assert ran.code == 0
    assert "blocked  kernel has no IPVS: 7.2.1/reachable-on-any-node" in ran.out


def test_a_block_in_a_shared_fixture_blocks_every_test_that_asks_for_it(run):
    shared = "@pytest.fixture(scope='session')\ndef shared(): raise Blocked('no registry')\n"
    ran = run(
        shared + one("pass", "shared") + "@claim('7.1/attachable')\ndef test_b(shared): pass\n".replace("7.1", "7.3")
    )
    assert ran.verdict() == ("blocked", "no registry")
    assert ran.verdict("7.3/attachable") == ("blocked", "no registry")
    assert ran.code == 0


def test_a_run_in_which_all_is_blocked_says_so(run):
    ran = run("@claim('7.2.2/ls-columns', '7.2.2/managers-only', '7.2.2/inspect')\ndef test_rest(): raise Blocked('x')")
    assert "Nothing was judged" in ran.out


def test_a_lab_that_fails_breaks_every_claim_in_one_line(run, monkeypatch):
    monkeypatch.setenv("NO_LAB", "1")
    ran = run(one("pass"))
    assert {claim["verdict"] for claim in ran.claims.values()} == {"broken"}
    assert ran.verdict() == ("broken", "no engine answers")
    assert "broken: no engine answers" in ran.out
    assert "Traceback" not in ran.out
    assert "raise LabError" not in ran.out


def test_an_error_of_the_project_is_one_line_that_says_where(run):
    ran = run(one("raise DeadlineExceeded('waited for a leader')"))
    assert re.search(r"suites/test_it\.py:\d+: timeout: waited for a leader", ran.out)
    assert "raise DeadlineExceeded" not in ran.out


def test_an_assertion_keeps_its_explanation(run):
    assert "assert (1 + 1) == 3" in run(one("assert 1 + 1 == 3, 'not so'")).out


def test_evidence_holds_what_was_asked_and_what_was_collected(run):
    ran = run(
        one("record('master', 'docker node ls', 'three nodes'); assert False, 'not so'", "cluster"), "-k", "test_a"
    )
    assert "master  docker node ls\n    three nodes" in ran.evidence()
    assert "==== firewall of master\nthe rules" in ran.evidence()
    assert "firewall of master" not in run(one("record('m', 'x', 'y')", "cluster")).evidence()


def test_no_secret_reaches_anything_that_is_written(run):
    steps = f"token = '{TOKEN}'; record('master', 'join ' + token, ''); print(token); assert token == 1, token"
    ran = run(one(steps), "-k", "test_a")
    assert ran.verdict() == ("fail", "[redacted join token]")
    assert SECRET not in ran.everything_written() + ran.out
    ran = run(one(f"print('{TOKEN}'); assert '{SECRET}' == 'x'", "cluster"), "-k", "test_a")
    assert SECRET not in ran.everything_written() + ran.out
    ran = run(f"@pytest.fixture\ndef shared(): raise LabError('{TOKEN}')\n" + one("pass", "shared"), "-k", "test_a")
    assert SECRET not in ran.everything_written() + ran.out


def test_the_report_names_lab_nodes_and_what_was_not_run(run):
    ran = run(one("pass"))
    assert ran.report["schema"] == 1
    assert ran.report["lab"]["kind"] == "none"
    assert ran.report["nodes"][0]["engine"] == "1.2.3"
    assert ran.report["summary"]["pass"] == 3
    assert ran.report["not_run"]["7.1/ingress-network"] == "no test"
    assert len(ran.report["not_run"]) + len(ran.claims) == len(catalogue.load().of(DEFAULT))
    assert ran.claims["7.2.2/inspect"]["must"].startswith("docker service inspect")


def test_runs_of_other_tests_write_nothing(pytester, run):
    run(one("pass"))
    before = {file: file.stat().st_mtime_ns for file in (pytester.path / "reports").rglob("*")}
    pytester.makepyfile(test_other="def test_plain(): pass")
    pytester.runpytest("test_other.py").assert_outcomes(passed=1)
    pytester.runpytest("suites", "--collect-only")
    assert {file: file.stat().st_mtime_ns for file in (pytester.path / "reports").rglob("*")} == before


# Waivers and certification


def waivers(pytester, *entries):
    """Options with a file of these waivers."""
    filled = [
        {"claim": "7.2.2/inspect", "justification": "known, mended soon", "owner": "ops", "expires": "2999-12-31"}
        | entry
        for entry in entries
    ]
    pytester.path.joinpath("waivers.yaml").write_text(json.dumps(filled))
    return "--waivers", "waivers.yaml"


FAILS = one("assert False, 'slave01 does not'")


@pytest.mark.parametrize("steps", ["assert False, 'slave01 does not'", "raise DeadlineExceeded('slave01 does not')"])
def test_a_waived_claim_that_fails_is_waived_with_its_reason(run, pytester, steps):
    ran = run(one(steps), *waivers(pytester, {}), "-k", "test_a")
    verdict, reason = ran.verdict()
    assert verdict == "waived"
    assert reason.endswith("slave01 does not (waived by ops until 2999-12-31)")
    assert ran.claims["7.2.2/inspect"]["waiver"]["justification"] == "known, mended soon"
    assert ran.report["waivers"][0]["outcome"].endswith(", waived")
    assert ran.code == 0
    assert "waived   7.2.2/inspect (minor)" in ran.out
    (result,) = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
    assert result["status"] == "failed"  # which Allure's settings accept for these words
    assert result["statusDetails"]["message"] == "waived by ops until 2999-12-31: slave01 does not"
    assert '<property name="verdict" value="waived"' in (ran.folder / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("steps", "verdict", "outcome"),
    [
        ("raise LabError('gone')", "broken", "does not change broken"),
        ("raise Blocked('gone')", "blocked", "does not change blocked"),
        ("pass", "pass", "not needed: the claim passes, so take the waiver out"),
    ],
)
def test_a_waiver_changes_nothing_else(run, pytester, steps, verdict, outcome):
    ran = run(one(steps), *waivers(pytester, {}))
    assert ran.verdict()[0] == verdict
    assert ran.report["waivers"][0]["outcome"] == outcome
    assert f"Waiver of 7.2.2/inspect: {outcome}" in ran.out
    assert ran.code == (1 if verdict == "broken" else 0)


@pytest.mark.parametrize(
    ("scope", "verdict"),
    [
        ({"engine": "1.2.*"}, "waived"),
        ({"engine": "28.*"}, "fail"),
        ({"lab": "vagrant"}, "fail"),
        ({"lab": "inventory"}, "fail"),
        ({"engine": "1.2.3", "lab": "dind"}, "fail"),
    ],
)
def test_a_waiver_holds_in_its_scope_only(run, pytester, scope, verdict):
    ran = run(FAILS, *waivers(pytester, scope), "-k", "test_a")
    assert ran.verdict()[0] == verdict
    assert ran.code == (verdict == "fail")


def test_what_is_waived_hides_no_other_claim_and_no_broken_test(run, pytester):
    both = "@claim('7.2.2/inspect', '7.2.2/ls-columns')\ndef test_a(): assert False, 'not so'\n"
    ran = run(both, *waivers(pytester, {}), "-k", "test_a")
    assert ran.verdict()[0] == "waived"
    assert ran.verdict("7.2.2/ls-columns") == ("fail", "not so")
    assert ran.code == 1
    broken = "@claim('7.2.2/inspect')\ndef test_b(): raise LabError('gone')\n"
    ran = run(FAILS + broken, *waivers(pytester, {}), "-k", "test_a or test_b")
    assert ran.verdict() == ("broken", "gone")
    assert ran.code == 1


BREAKS = """
@pytest.fixture
def breaks():
    yield
    raise LabError('gone')
"""


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ("with subtests.test(): assert False, 'not so'", ("waived", "fail: not so")),
        ("assert False, 'not so'", ("waived", "fail: not so")),
        ("with subtests.test(): assert False, 'not so'\n    raise LabError('lost')", ("broken", "lost")),
        ("with subtests.test(): raise LabError('lost')\n    assert False, 'not so'", ("broken", "lost")),
    ],
)
def test_a_waiver_accepts_what_failed_of_a_test_and_not_what_broke(run, pytester, steps, verdict):
    ran = run(one(steps, "subtests"), *waivers(pytester, {}), "-k", "test_a")
    found, reason = ran.verdict()
    assert (found, reason.partition(" (waived")[0]) == verdict
    assert ran.code == (found == "broken")
    ran = run(BREAKS + one(steps, "subtests, breaks"), *waivers(pytester, {}), "-k", "test_a")
    assert ran.verdict()[0] == "broken"
    assert ran.code == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"expires": "2020-01-31"}, "the waiver expired on 2020-01-31"),
        ({"expires": "soon"}, "'soon' is not a date"),
        ({"justification": ""}, "justification: '' "),
        ({"justification": " " * 12}, "justification and owner must not be empty"),
        ({"owner": ""}, "owner: '' "),
        ({"claim": "7.2.2/inspekt"}, "did you mean 7.2.2/inspect"),
        ({"lab": "cloud"}, "'cloud' is not one of"),
        ({"extra": 1}, "'extra' is no key of a waiver; the keys are claim, engine, lab, "),
    ],
)
def test_a_waiver_that_is_none_ends_the_run_before_any_lab(run, pytester, entry, message):
    before = run(one("pass"))
    (pytester.path / "suites" / "test_it.py").write_text("raise SystemExit('collected')")
    ran = pytester.runpytest_inprocess("suites", *waivers(pytester, entry))
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in ran.stderr.lines if line.strip()]
    assert len(errors) == 1
    assert errors[0].startswith("ERROR: --waivers: ")
    assert "waivers.yaml" in errors[0]
    assert message in errors[0]
    assert (before.folder / "verdicts.json").exists()


def test_waivers_hold_on_workers_too(run, pytester):
    ran = run(FAILS, *waivers(pytester, {}), "-n2", process=True)
    assert ran.verdict()[0] == "waived"
    assert ran.code == 0


def certified(run, tests):
    """Return what is refused by the profile certify, beside claims that were not run; and the run."""
    ran = run(tests, "--profile", "certify")
    return [line for line in ran.report["certification"] if "not run: " not in line], ran


def test_certifying_wants_every_claim_of_the_catalogue(run):
    refused, ran = certified(run, one("pass"))
    assert refused == []
    assert ran.code == 1
    assert "Not certified" in ran.out
    (rest,) = ran.report["certification"]
    assert rest.startswith(f"{len(catalogue.load().of(DEFAULT)) - 3} not run: ")
    refused, _ = certified(run, one("assert False") + "@claim('7.2.1/reachable-on-any-node')\ndef test_b(): pass")
    assert refused == [
        "1 blocked for ipvs, which this profile does not allow: 7.2.1/reachable-on-any-node",
        "1 fail: 7.2.2/inspect",
    ]
    refused, ran = certified(run, one("raise Blocked('no registry')"))
    assert refused == ["1 blocked: no registry: 7.2.2/inspect"]
    allowed = "@claim('1.1/outside-reachable')\ndef test_b(): pass"
    refused, ran = certified(run, one("pass") + allowed)
    assert ran.verdict("1.1/outside-reachable")[0] == "blocked"
    assert refused == []
    assert run(one("pass")).report.get("certification") is None


def test_allure_and_junit_are_told_the_same(run):
    cases = {
        "blocked": ("raise Blocked('x')", "skipped"),
        "fail": ("raise EngineRefused('master', 500, 'x')", "failed"),
        "timeout": ("raise DeadlineExceeded('x')", "broken"),
        "broken": ("pytest.skip('x')", "broken"),
        "pass": ("pass", "passed"),
    }
    for verdict, (steps, status) in cases.items():
        ran = run(one(steps), "-k", "test_a")
        (result,) = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
        labels = {(label["name"], label["value"]) for label in result["labels"]}
        assert result["status"] == status, verdict
        assert labels >= {
            ("epic", "Chapter 7: using the swarm"),
            ("feature", "Section 7.2.2"),
            ("story", "7.2.2/inspect"),
            ("severity", "minor"),
            ("engine", "1.2.3"),
        }
        assert {"name": "engine", "value": "1.2.3"} in result["parameters"]
        assert result["description"].startswith("docker service inspect shows")
        assert "evidence" in {attachment["name"] for attachment in result["attachments"]}
        message = result.get("statusDetails", {}).get("message", "")
        fitting = [
            category["name"].partition(":")[0]
            for category in json.loads((ran.folder / "allure-results" / "categories.json").read_text())
            if status in category["matchedStatuses"] and re.fullmatch(category.get("messageRegex", r"[\s\S]*"), message)
        ]
        assert fitting == ([] if verdict == "pass" else [verdict])
        assert f'<property name="verdict" value="{verdict}"' in (ran.folder / "junit.xml").read_text()
    assert "master.engine=1.2.3" in (ran.folder / "allure-results" / "environment.properties").read_text()


def test_pictures_are_evidence_beside_the_text_and_in_allure(run):
    steps = f"picture('requests to port 8888', '<svg>{TOKEN}</svg>')"
    ran = run(one(steps))
    text, svg, *_ = ran.claims["7.2.2/inspect"]["evidence"]
    assert (text, svg) == ("evidence/test-it.py-test-a.txt", "evidence/test-it.py-test-a-requests-to-port-8888.svg")
    assert (ran.folder / svg).read_text() == "<svg>[redacted join token]</svg>"
    assert svg.partition("/")[2] in (ran.folder / text).read_text()
    results = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
    (attached,) = [one for result in results for one in result["attachments"] if one["type"] == "image/svg+xml"]
    assert attached["name"] == "requests to port 8888"
    assert (ran.folder / "allure-results" / attached["source"]).read_text() == (ran.folder / svg).read_text()


def test_another_engine_is_another_history(run, pytester):
    def history():
        ran = run(one("pass"), "-k", "test_a", process=True)
        (result,) = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
        return result["historyId"]

    before = history()
    assert history() == before
    conftest = pytester.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"1.2.3"', '"28.5.2"'))
    assert history() != before


def test_workers_and_their_end_come_to_the_same_verdicts(run):
    tests = """
@claim('7.1/ingress-network')
def test_dies(): os._exit(3)
@claim('7.2.2/inspect')
def test_a(): assert False, 'not so'
@claim('7.2.2/ls-columns')
@pytest.mark.parametrize('n', range(4))
def test_b(n): record('master', 'ls', 'all')
@claim('7.2.2/managers-only')
def test_c(): raise Blocked('x')
@claim('7.1/ingress-network')
def test_lives(): pass
"""
    ran = run(tests, "-n2", process=True)
    assert ran.verdict("7.1/ingress-network")[0] == "broken"
    assert "crashed while running" in ran.verdict("7.1/ingress-network")[1]
    assert ran.verdict("7.2.2/inspect") == ("fail", "not so")
    assert ran.verdict("7.2.2/ls-columns") == ("pass", "")
    assert ran.verdict("7.2.2/managers-only") == ("blocked", "x")
    assert "master  ls" in ran.evidence("7.2.2/ls-columns")
    assert {node["engine"] for node in ran.report["nodes"]} == {"1.2.3"}
    assert len(list((ran.folder / "allure-results").glob("*-result.json"))) >= 7
    assert list(ran.report["lost_workers"].values()) == ["Not properly terminated"]
    assert "died (Not properly terminated); the test it was running is broken" in ran.out
    assert ran.code == 1


def test_the_lab_of_a_worker_that_dies_in_its_first_test_is_told(run):
    tests = "@claim('7.1/ingress-network')\n@pytest.mark.parametrize('n', range(2))\ndef test_dies(n): os._exit(3)\n"
    ran = run(tests, "-n2", "-k", "test_dies", process=True)
    assert ran.verdict("7.1/ingress-network")[0] == "broken"
    assert len({node["lab"] for node in ran.report["nodes"]}) == 2
    assert len(ran.report["lost_workers"]) == 2


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("workers", "number", "seconds"),
    [(["-n2"], signal.SIGTERM, 12), ([], signal.SIGTERM, 1), ([], signal.SIGINT, 1)],  # xdist alone gives workers ten
)
def test_a_run_that_is_told_to_end_takes_all_its_labs_down(pytester, number, workers, seconds):
    tests = """
import pathlib, time
@pytest.fixture(scope="session")
def standing(lab):
    mark = pathlib.Path(f"lab-of-{os.getpid()}")
    mark.touch()
    yield
    time.sleep(SECONDS)
    mark.rename(f"gone-{os.getpid()}")
@claim('7.1/ingress-network')
@pytest.mark.parametrize('n', range(2))
def test_stands(standing, n):
    pathlib.Path(f"stands-{os.getpid()}").touch()
    time.sleep(60)
@claim('7.2.2/inspect', '7.2.2/ls-columns', '7.2.2/managers-only')
def test_rest(): pass
"""
    (pytester.path / "suites").mkdir()
    (pytester.path / "suites" / "test_it.py").write_text(
        textwrap.dedent(HEADER) + tests.replace("SECONDS", str(seconds))
    )
    command = [sys.executable, "-m", "pytest", "suites", "-k", "test_stands", *workers]
    process = start(command, pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Not for the labs' own marks: a fixture that is interrupted before its yield is not torn down.
    wait(lambda: len(list(pytester.path.glob("stands-*"))) == (2 if workers else 1), "the tests to run", deadline=60)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, printed
    assert len(list(pytester.path.glob("gone-*"))) == (2 if workers else 1)
    assert not list(pytester.path.glob("lab-of-*"))
    assert load(pytester.path / "reports").not_run["7.1/ingress-network"].startswith("the run ended before: ")


def test_results_of_several_workers_and_labs_come_together_each_claim_once(run):
    tests = """
@claim('7.2.2/ls-columns', '7.2.2/managers-only', '7.2.2/inspect')
@pytest.mark.parametrize('n', range(12))
def test_b(n): record('master', 'ls', 'all')
"""
    ran = run(tests, "-n2", process=True)
    assert ran.code == 0
    assert len(ran.claims) == len(ran.report["claims"]) == sum(ran.report["summary"].values()) == 3
    assert not set(ran.claims) & set(ran.report["not_run"])
    assert len(set(ran.claims["7.2.2/ls-columns"]["tests"])) == 12
    files = [ran.folder / file for claim in ran.report["claims"] for file in claim["evidence"]]
    assert all(file.exists() for file in files)
    labs = ran.report["lab"]["each"]
    assert len(labs) == 2
    assert [node["lab"] for node in ran.report["nodes"]] == list(labs)
    assert len(load(ran.folder).claims) == 3


def test_a_wrong_claim_ends_a_run_with_workers_before_they_start(pytester, run):
    run(one("pass"))
    (pytester.path / "suites" / "test_it.py").write_text("def test_a(): pass")
    ran = pytester.runpytest_subprocess("suites", "-n2")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["ERROR: *test_a names no claim*"])


def test_what_a_test_meets_beside_its_own_claims_makes_another_claim_fail(run):
    steps = "request.node.stash[ASIDES] = {'7.2.4/rm': ['task t on slave01 went back']}"
    steps += "\n    request.node.stash[FOLLOWED] = {'tasks': 3, 'services': 1}"
    ran = run("from fixtures.verdicts import ASIDES, FOLLOWED\n" + one(steps, "request"))
    assert ran.verdict() == ("pass", "")
    assert ran.verdict("7.2.4/rm") == ("fail", "task t on slave01 went back")
    assert ran.claims["7.2.4/rm"]["tests"] == ["suites/test_it.py::test_a"]
    assert ran.report["followed"] == {"tasks": 3, "services": 1, "tests": 1}
    assert "3 tasks of 1 services in 1 tests" in ran.out
    assert ran.code == 1


def test_what_was_met_beside_travels_from_workers(run):
    steps = "request.node.stash[ASIDES] = {'7.2.4/rm': ['went back']}"
    ran = run("from fixtures.verdicts import ASIDES\n" + one(steps, "request"), "-n", "1", process=True)
    assert ran.verdict("7.2.4/rm") == ("fail", "went back")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("blocked", "takes 25 hours: run it with --profile nightly --hours 25")),
        (["--profile", "nightly"], ("blocked", "takes 25 hours: run it with --profile nightly --hours 25")),
        (["--profile", "nightly", "--hours", "25"], ("pass", "")),
    ],
)
def test_what_takes_long_runs_where_there_is_time(run, options, expected):
    tests = """
        from swarmlab.needs import Offers

        @pytest.fixture(scope="session")
        def lab(lab):
            lab.offers = Offers(nodes=3, features=frozenset({"power"}), disruptable=True)
            return lab

        @pytest.mark.takes(hours=25)
        @claim("8.4/state-orphaned")
        def test_a():
            pass
        """
    assert run(tests, "-p", "fixtures.profiles", *options).verdict("8.4/state-orphaned") == expected


@pytest.mark.parametrize(
    ("lack", "expected"),
    [("too old", ("blocked", "the test would leave tasks, and this lab may not be disrupted")), ("", ("pass", ""))],
)
def test_an_effect_that_later_engines_do_not_have_blocks_nothing_there(run, lack, expected):
    tests = f"""
        from swarmlab.needs import Offers

        @pytest.fixture(scope="session")
        def lab(lab):
            lab.offers = Offers(nodes=3, look={{"api": lambda version: {lack!r}}}, disruptable=False)
            return lab

        @pytest.mark.touches("leave tasks", unless="api>=1.43")
        @claim("7.2.4/rm")
        def test_a():
            pass
        """
    assert run(tests).verdict("7.2.4/rm") == expected


LOOK = """
    from fixtures.collector import LAB_FACTS
    from swarmlab.preflight import Finding, Level

    @pytest.fixture
    def look(request):
        closed = Finding(Level.ERROR, "gossip does not arrive", "names", "moby#1", ("slave02",), "port-gossip-udp")
        fine = Finding(Level.OK, "there", check="gateway-bridge")
        request.config.stash[LAB_FACTS]["preflight"] = {"seconds": 2.0, "findings": [closed.to_json(), fine.to_json()]}
"""


def test_what_preflight_found_is_written_and_told_and_changes_no_verdict(run):
    ran = run(textwrap.dedent(LOOK) + one("assert True", "look"))
    assert ran.verdict() == ("pass", "")
    assert ran.code == 0
    (look,) = ran.report["preflight"]
    assert look["lab"].startswith("made-for-")
    assert [finding["check"] for finding in look["findings"]] == ["port-gossip-udp", "gateway-bridge"]
    assert "preflight: error: port-gossip-udp: slave02: gossip does not arrive" in ran.out
    assert "gateway-bridge" not in ran.out
    assert [finding["level"] for finding in load(ran.folder).preflight] == ["error", "ok"]


#: Notes in the main process which reports tell of the lab, before and after the collector has taken them.
WATCHES = """
    import os, pytest

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(report):
        told = "lab" in report.__dict__
        yield
        with open(os.environ.get("PYTEST_XDIST_WORKER", "told"), "a") as file:
            file.write(f"{told} {'lab' in report.__dict__}\\n")
"""


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_the_facts_of_the_lab_are_told_when_they_change_and_not_kept(run, pytester, monkeypatch, workers):
    (pytester.path / "watches.py").write_text(textwrap.dedent(WATCHES))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{pytester.path}")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of the run that this test is one of
    tests = textwrap.dedent(LOOK) + one("assert True") + one("assert True", "look").replace("test_a", "test_b")
    ran = run(tests, "-p", "watches", *workers, process=True)
    assert ran.verdict() == ("pass", "")
    assert len(ran.report["preflight"]) == 1
    assert ran.claims["7.2.2/inspect"]["judged"][0]["engine"] == "1.2.3"
    told = (pytester.path / "told").read_text().splitlines()
    assert (told.count("True False"), told.count("False False")) == (2, 7)


WAIVES = """
    from fixtures.collector import LAB_FACTS
    from fixtures.verdicts import waivers_of
    from swarmlab.preflight import Finding, Level
    from swarmlab.preflight.waived import waived

    @pytest.fixture
    def look(request):
        closed = Finding(Level.ERROR, "gossip does not arrive", "names", nodes=("a", "b"), check="port-gossip-udp")
        facts = request.config.stash[LAB_FACTS]
        found = waived([closed], waivers_of(request.config).findings, facts)
        facts["preflight"] = {"seconds": 2.0, "findings": [finding.to_json() for finding in found]}
"""


def finding_waivers(pytester, *entries):
    """Options with a file of waivers of the check port-gossip-udp."""
    known = {"check": "port-gossip-udp", "justification": "known for long", "owner": "ops", "expires": "2999-12-31"}
    pytester.path.joinpath("waivers.yaml").write_text(json.dumps([known | entry for entry in entries]))
    return "--waivers", "waivers.yaml"


def test_a_waived_finding_is_told_with_its_owner_and_changes_no_verdict(run, pytester):
    options = finding_waivers(pytester, {"node": "a"}, {"node": "z"}, {"expires": "2020-01-31"}, {"check": "disk"})
    ran = run(textwrap.dedent(WAIVES) + one("assert True", "look"), *options)
    assert ran.verdict() == ("pass", "")
    assert ran.code == 0
    (look,) = ran.report["preflight"]
    assert [(finding["nodes"], "waiver" in finding) for finding in look["findings"]] == [(["a"], True), (["b"], False)]
    assert look["findings"][0]["waiver"]["owner"] == "ops"
    outcomes = [waiver["outcome"].partition(":")[0] for waiver in ran.report["finding_waivers"]]
    assert outcomes == [
        "error, waived",
        "matches no finding",
        "expired on 2020-01-31 and holds no more",
        "the check was not made here",
    ]
    assert "preflight: error: port-gossip-udp: a: gossip does not arrive (waived by ops until 2999-12-31)" in ran.out
    assert "preflight: error: port-gossip-udp: b: gossip does not arrive\n" in ran.out
    assert "Waiver of port-gossip-udp on a: error, waived: a" in ran.out
    assert load(ran.folder).raw["finding_waivers"]


def test_what_is_waived_is_never_certified_silently(run, pytester):
    options = finding_waivers(pytester, {})
    ran = run(textwrap.dedent(WAIVES) + one("assert True", "look"), *options, "--profile", "certify")
    (accepted,) = ran.report["certification_waived"]
    assert accepted == (
        "preflight, error: port-gossip-udp: a, b: gossip does not arrive (waived by ops until 2999-12-31)"
    )
    assert f"Accepted by waivers, and not certified\n  {accepted}" in ran.out
    ran = run(FAILS, *waivers(pytester, {}), "-k", "test_a", "--profile", "certify")
    assert [line.partition(":")[0] for line in ran.report["certification_waived"]] == ["7.2.2/inspect"]
    assert "certification_waived" not in run(one("pass")).report


# Other programs


def junit_of(ran, name="test_a"):
    """Return the test case of this name: its properties in their order, and what it printed."""
    root = ElementTree.parse(ran.folder / "junit.xml").getroot()
    (case,) = [case for case in root.iter("testcase") if case.get("name") == name]
    return [(each.get("name"), each.get("value")) for each in case.iter("property")], case.findtext("system-out")


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_junit_has_what_is_known_of_a_test(run, options):
    tests = """
@claim('7.2.2/inspect', '7.2.2/ls-columns')
def test_a():
    picture('requests', '<svg/>')
    assert False, 'slave01 does not'
@claim('7.2.2/managers-only')
def test_b(): pass
@claim('7.2.2/managers-only')
def test_rest(): raise Blocked('x')
"""
    ran = run(tests, *options, process=bool(options))
    properties, printed = junit_of(ran)
    assert properties == [
        ("claim", "7.2.2/inspect"),
        ("level", "minor"),
        ("chapter", "7"),
        ("claim", "7.2.2/ls-columns"),
        ("level", "minor"),
        ("chapter", "7"),
        ("verdict", "fail"),
        ("reason", "slave01 does not"),
        ("evidence", "evidence/test-it.py-test-a.txt"),
        ("evidence", "evidence/test-it.py-test-a-requests.svg"),
    ]
    assert printed == "slave01 does not"
    assert all((ran.folder / value).exists() for name, value in properties if name == "evidence")
    properties, printed = junit_of(ran, "test_b")
    assert ("verdict", "pass") in properties
    assert printed is None
    assert junit_of(ran, "test_rest")[1] == "x"


def test_a_reason_has_no_character_that_xml_lacks(run):
    ran = run(one(r"assert False, 'not \x01 so'"), "-k", "test_a")
    assert junit_of(ran)[1] == "not #x01 so"


def test_a_run_writes_metrics_to_its_folder_and_elsewhere(run, pytester):
    file = pytester.path / "collector" / "swarm.prom"
    ran = run(FAILS, "-k", "test_a", "--metrics", file)
    text = (ran.folder / "metrics.prom").read_text()
    assert file.read_text() == text
    (line,) = [line for line in text.splitlines() if line.startswith("swarmlab_claim_verdict{")]
    assert 'claim="7.2.2/inspect",cluster="dind"' in line
    assert line.endswith(" 5.0")


@pytest.mark.parametrize("option", ["--junit-xml", "--alluredir"])
@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_what_is_for_other_programs_and_cannot_be_written_ends_the_run_before_any_lab(run, pytester, option, workers):
    run(one("pass"))
    before = sorted((pytester.path / "reports" / "runs").iterdir())
    (pytester.path / "file").touch()
    ran = pytester.runpytest_subprocess("suites", option, pytester.path / "file" / "x", *workers)
    assert ran.ret == 3
    [line] = (ran.stdout.str() + ran.stderr.str()).splitlines()
    assert line.startswith(f"Exit: {option}: {pytester.path / 'file'}")
    assert " cannot be written: " in line
    assert sorted((pytester.path / "reports" / "runs").iterdir()) == before


@pytest.mark.parametrize("option", ["--junit-xml", "--metrics"])
def test_a_device_takes_what_is_for_other_programs(run, option):
    assert run(one("pass"), option, "/dev/null").code == 0


def test_a_junit_xml_that_cannot_be_written_at_the_end_is_one_line(run, pytester):
    (pytester.path / "own").mkdir()
    steps = f"import shutil; shutil.rmtree('{pytester.path / 'own'}'); open('{pytester.path / 'own'}', 'w')"
    ran = run(one(steps), "--junit-xml", pytester.path / "own" / "x.xml", process=True)
    assert ran.code == 3
    assert "Traceback" not in ran.out
    assert f"the run could not be held: {pytester.path / 'own'} cannot be written: File exists" in ran.out
    assert "3 pass" in ran.out
    assert ran.verdict()[0] == "pass"


@pytest.mark.parametrize(("place", "status"), [("", 4), ("file/x.prom", 3)])
def test_metrics_that_cannot_be_written_end_the_run_before_any_lab(run, pytester, place, status):
    run(one("pass"))
    (pytester.path / "file").touch()
    before = sorted((pytester.path / "reports" / "runs").iterdir())
    ran = pytester.runpytest_inprocess("suites", "--metrics", pytester.path / place)
    assert ran.ret == status
    assert "--metrics" in ran.stderr.str() + ran.stdout.str()
    assert sorted((pytester.path / "reports" / "runs").iterdir()) == before


def test_allure_shows_claims_levels_and_findings(run):
    ran = run(textwrap.dedent(LOOK) + one("assert n == 1", "look, n", "@pytest.mark.parametrize('n', [1])"))
    results = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
    names = {result["name"] for result in results}
    must = catalogue.load()["7.2.2/inspect"].must
    assert f"7.2.2/inspect: {must} [1]" in names
    (both,) = names - {f"7.2.2/inspect: {must} [1]"}
    assert both.startswith("7.2.2/ls-columns, 7.2.2/inspect, 7.2.2/managers-only: docker service ls shows ")
    labels = {(label["name"], label["value"]) for result in results for label in result["labels"]}
    assert labels >= {("tag", "minor"), ("severity", "minor"), ("severity", "major"), ("cluster", "dind")}
    environment = (ran.folder / "allure-results" / "environment.properties").read_text().splitlines()
    assert environment[:4] == [
        "cluster=dind",
        "engine=1.2.3",
        "preflight=1 error",
        "preflight.1=error: port-gossip-udp: slave02: gossip does not arrive",
    ]
    (errors,) = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-globals.json")]
    assert [error["message"].splitlines() for error in errors["errors"]] == [
        ["preflight, error: port-gossip-udp: slave02: gossip does not arrive", "risk: names", "mend: "]
    ]
    without = run(one("pass")).folder / "allure-results" / "environment.properties"
    assert without.read_text().splitlines()[2] == "preflight=did not run"


# Known failures


@pytest.fixture
def defect(monkeypatch, tmp_path):
    """A defect of the engine of these runs, which explains why a claim fails."""
    file = tmp_path / "defects.yaml"
    file.write_text(
        '- {id: a, incidents: ["x#1"], effect: "the engine forgets it", releases: [{first: "1.2", mended: "1.3"}], '
        'failures: {7.2.2/inspect: "slave01 does not", 7.2.2/ls-columns: "slave01 does not"}}'
    )
    made = defects(file)
    monkeypatch.setattr("swarmlab.verdicts.defects.defects", lambda: made)
    return "known: x#1: the engine forgets it (1.2.3; mended in 1.3)"


def test_a_known_failure_is_shown_as_such_and_still_fails(run, defect):
    ran = run(FAILS, "-k", "test_a")
    assert ran.verdict() == ("fail", "slave01 does not")
    assert ran.code == 1
    (known,) = ran.claims["7.2.2/inspect"]["known"]
    assert known == {"incident": "x#1", "cause": "the engine forgets it", "engines": ["1.2.3"], "mended": "1.3"}
    assert defect in ran.out
    assert str(load(ran.folder).claims["7.2.2/inspect"].known[0]) == defect
    (result,) = [json.loads(file.read_text()) for file in (ran.folder / "allure-results").glob("*-result.json")]
    assert result["status"] == "failed"
    assert result["statusDetails"]["message"].endswith(f"slave01 does not\n{defect}")


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ("assert False, 'slave02 lost its volume'", "fail"),
        ("raise DeadlineExceeded('slave01 does not')", "timeout"),
        ("raise LabError('slave01 does not')", "broken"),
        ("raise Blocked('slave01 does not')", "blocked"),
        ("pass", "pass"),
    ],
)
@pytest.mark.usefixtures("defect")
def test_nothing_else_is_shown_as_known(run, steps, verdict):
    ran = run(one(steps))
    assert ran.verdict()[0] == verdict
    assert not [claim["id"] for claim in ran.claims.values() if "known" in claim]
    assert "known: " not in ran.out


@pytest.mark.usefixtures("defect")
def test_a_claim_that_fails_for_another_reason_too_is_not_known(run):
    other = "@claim('7.2.2/inspect')\ndef test_b(): assert False, 'slave02 lost its volume'\n"
    ran = run(FAILS + other, "-k", "test_a or test_b")
    assert ran.verdict()[0] == "fail"
    assert "known" not in ran.claims["7.2.2/inspect"]
