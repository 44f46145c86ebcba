import itertools

import pytest
import requests

from swarmlab.errors import Blocked, DeadlineExceeded, EngineRefused, LabError, UsageError
from swarmlab.preflight.finding import Level
from swarmlab.verdicts import results
from swarmlab.verdicts.verdict import Verdict, of_exception, worst

FROM_WORST = ["fail", "broken", "timeout", "blocked", "waived", "pass"]


def test_the_worst_counts():
    for worse, better in itertools.combinations(FROM_WORST, 2):
        assert worst([Verdict(better), Verdict(worse), Verdict(better)]) == worse


def test_nothing_judged_is_no_verdict():
    with pytest.raises(ValueError, match="empty"):
        worst([])


@pytest.mark.parametrize(
    ("error", "in_call", "elsewhere"),
    [
        (AssertionError("no"), "fail", "broken"),
        (EngineRefused("master", 500, "no"), "fail", "broken"),
        (DeadlineExceeded("late"), "timeout", "timeout"),
        (Blocked("no IPVS"), "blocked", "blocked"),
        (LabError("gone"), "broken", "broken"),
        (UsageError("what?"), "broken", "broken"),
        (requests.ConnectionError(), "broken", "broken"),
        (KeyError("ID"), "broken", "broken"),
    ],
)
def test_what_an_error_means(error, in_call, elsewhere):
    assert of_exception(error, judging=True) == in_call
    assert of_exception(error, judging=False) == elsewhere


def test_a_verdict_is_written_as_its_word():
    assert f"{Verdict.PASS} {Verdict.FAIL!s}" == "pass fail"


def test_the_schema_of_verdicts_lists_all_verdicts_and_levels():
    layout = results.layout()["properties"]
    finding = layout["preflight"]["items"]["properties"]["findings"]["items"]["properties"]
    assert layout["claims"]["items"]["properties"]["verdict"]["enum"] == [str(verdict) for verdict in Verdict]
    assert finding["level"]["enum"] == [str(level) for level in Level]
    assert layout["schema"]["const"] == results.SCHEMA
