"""The table of killed runs: what counts as a bad end, how tests are counted, and its page."""

import json
import re

import pytest

from swarmlab.errors import UsageError
from swarmlab.report.kills import bad, lines
from tests.proof.interruptions import kills

GOOD = {
    "moment": 12.3,
    "victim": "run",
    "phase": "after 2 tests",
    "left": ["lab run-12", "folder /run/swarmlab/labs/run-12"],
    "tests ended": 2,
    "verdicts kept": 2,
    "left after the next run": [],
    "next status": 0,
    "traceback": False,
}
PLAIN = """collected 3 items

suites/t.py::test_a[docker0] PASSED      [ 33%]
suites/t.py::test_b
lab: a line that says PASSED in its midst
FAILED                                   [ 66%]
suites/t.py::test_c """
WORKERS = """2 workers [3 items]
[gw0] [ 33%] PASSED suites/t.py::test_a
[gw1] [ 66%] FAILED suites/t.py::test_b
"""


@pytest.mark.parametrize(
    ("printed", "processes", "count"), [(PLAIN, 1, 1), (WORKERS, 2, 0), (WORKERS * 2, 2, 2), ("", 1, 0)]
)
def test_the_tests_that_had_ended_are_counted_without_the_last_of_each_process(printed, processes, count):
    assert kills.tests_ended(printed, processes) == count


@pytest.mark.parametrize(
    ("printed", "phase"),
    [
        ("", "loading"),
        ("collected 3 items\n\nsuites/t.py::test_a", "before the first test"),
        (PLAIN, "after 2 tests"),
        (PLAIN + "\n==== 2 failed, 1 passed in 3.2s ====", "ended"),
    ],
)
def test_the_moment_is_named_by_what_was_printed(printed, phase):
    assert kills.phase_of(printed) == phase


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"verdicts kept": None}, "the killed run has no record"),
        ({"verdicts kept": None, "tests ended": 0}, ""),
        ({"verdicts kept": 1}, "2 tests had ended, 1 are kept"),
        ({"verdicts kept": 3}, ""),  # the last was kept before it was printed
        ({"left after the next run": ["lab run-12"]}, "left after the next run: lab run-12"),
        ({"next status": 3}, "the next run ended with 3"),
        ({"next status": 1}, "the next run has claims that do not hold"),
        ({"traceback": True}, "the next run printed a traceback"),
    ],
)
def test_a_bad_end_is_named(change, reason):
    assert bad(GOOD | change) == reason


def test_the_page_has_a_row_for_each_kill_and_counts_the_clean_ones(tmp_path):
    file = tmp_path / "kills.json"
    rows = [GOOD, GOOD | {"moment": 1.5, "left": [], "next status": 3}]
    file.write_text(json.dumps({"schema": 1, "seed": 1, "whole run seconds": 40, "kills": rows}))
    made = lines(file)
    assert made[0].startswith("2 runs were killed (`kill -9`) at random moments of the 40 seconds")
    assert "After 1 of them" in made[0]
    assert made[-2:] == [
        "| 1.5 | run | after 2 tests | nothing | 2 | 2 | the next run ended with 3 |",
        "| 12.3 | run | after 2 tests | lab, folder | 2 | 2 | clean |",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("[]", "is not a table of kills: a value in it is wrong"),
        ("{}", "is not a table of kills: 'kills' is missing"),
        ('{"kills": []}', "is not a table of kills: 'whole run seconds' is missing"),
        ('{"kills": [5], "whole run seconds": 5}', "is not a table of kills: a value in it is wrong"),
    ],
)
def test_what_is_no_table_of_kills_is_named(tmp_path, text, said):
    file = tmp_path / "kills.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(
        UsageError, match=rf"kills\.json: {re.escape(said)}.*; make one with: make proof-interruptions$"
    ):
        lines(file)
