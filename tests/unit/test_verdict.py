import itertools

import pytest
import requests

from swarmlab.errors import Blocked, DeadlineExceeded, EngineRefused, LabError, UsageError
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
