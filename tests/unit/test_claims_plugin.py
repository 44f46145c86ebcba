"""The check that tests and claims fit together, on suites made for it; nothing in them is run."""

import pytest

from swarmlab.verdicts import catalogue
from swarmlab.verdicts.parts import DOCUMENT

pytest_plugins = ["pytester"]

SECTION = ["ls-columns", "inspect", "managers-only"]  # all of 7.2.2


@pytest.fixture
def suite(pytester):
    """Writes a module of a suite, of an ini file that declares 7.2.2 complete if asked, and lists or collects it."""
    pytester.makeconftest('pytest_plugins = ["fixtures.claims"]')

    def _suite(*tests, complete=""):
        pytester.makeini(f"[pytest]\naddopts = --strict-markers\ncomplete_sections = {complete}\n")
        folder = pytester.mkdir("suites")
        (folder / "test_it.py").write_text("\n".join(["from fixtures.claims import claim", *tests]), encoding="utf-8")
        return pytester

    return _suite


def named(*ids, name="test_a"):
    return f"@claim({', '.join(map(repr, ids))})\ndef {name}(): raise SystemExit('a test was run')"


def test_tests_that_fit_are_collected(suite):
    ran = suite(named("7.2.2/inspect", "7.2.2/ls-columns")).runpytest("suites", "--collect-only", "-q")
    assert ran.ret == 0
    ran.stdout.fnmatch_lines(["suites/test_it.py::test_a"])


@pytest.mark.parametrize(
    ("test", "complaint"),
    [
        ("def test_a(): pass", "*test_it.py::test_a names no claim*"),
        (named("7.2.2/inspekt"), "*test_a names the unknown claim '7.2.2/inspekt'; did you mean '7.2.2/inspect'?"),
        ("X = '7.2.2/inspect'\n@claim(X)\ndef test_a(): pass", "*test_a must name its claims: *"),
        ("@claim\ndef test_a(): pass", "*test_a must name its claims: *"),
        (named("7.2.2/inspect", name="check_a"), "*check_a names a claim, but pytest collects functions test*"),
        (named("7.2.2/inspect") + "\n" + named("7.2.2/ls-columns"), "*test_a is defined twice*"),
        ("def test_a(:", "*test_it.py:2: not valid Python*"),
        (
            "import pytest\npytestmark = claim('7.2.2/ls-columns')\n" + named("7.2.2/inspect"),
            "*test_a must name its claims: *",
        ),
        (
            "@claim('7.2.2/inspect')\ndef test_a(): pass\ntest_b = lambda: None",
            "*test_b must name its claims: *",
        ),
    ],
)
def test_what_does_not_fit_ends_the_run_with_one_line(suite, test, complaint):
    ran = suite(test).runpytest("suites", "-q")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([f"ERROR: {complaint}"])
    assert len([line for line in ran.stderr.lines if line.strip()]) == 1


def test_a_complete_section_wants_a_test_for_every_claim_whatever_is_selected(suite):
    ran = suite(named("7.2.2/inspect", "7.2.2/ls-columns"), complete="7.2.2").runpytest("suites", "-k", "nothing")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["ERROR: no test names the claim 7.2.2/managers-only*"])


def test_a_complete_section_that_is_complete_is_fine(suite):
    made = suite(named(*(f"7.2.2/{slug}" for slug in SECTION)), complete="7.2.2")
    assert made.runpytest("suites", "--collect-only", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_complete_section_has_to_exist(suite):
    ran = suite(named("7.2.2/inspect"), complete="7.9").runpytest("suites")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["ERROR: complete_sections lists 7.9, which is not a chapter or section*"])


def test_other_tests_are_left_alone(suite):
    made = suite("def test_a(): pass")
    made.makepyfile(test_other="def test_plain(): pass")
    made.runpytest("test_other.py").assert_outcomes(passed=1)


def test_claims_lists_all_with_their_tests_and_runs_nothing(suite):
    ran = suite(named("7.2.2/inspect")).runpytest("--claims")
    assert ran.ret == 0
    ran.stdout.fnmatch_lines(
        [
            "Chapter 7: using the swarm: 1 of 41 claims have a test",
            "  7.2.2: 1 of 3 claims have a test",
            "*7.2.2/ls-columns *minor * no test yet",
            "*7.2.2/inspect *minor * suites/test_it.py::test_a",
            "*8.1.1/tolerates-3 *critical *managers>=3, power, disrupts *",
            f"The document's claims: 1 of {len(catalogue.load().of([DOCUMENT]))} claims have a test",
            f"All: 1 of {len(catalogue.load())} claims have a test",
        ]
    )
