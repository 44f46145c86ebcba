"""The options that state a site's policy for the CIS benchmark."""

from types import SimpleNamespace

import pytest

from fixtures import policy
from swarmlab.errors import Blocked


def days(option, *, given=None, standing=False):
    request = SimpleNamespace(config=SimpleNamespace(getoption=lambda _: given))
    return policy.policy.__wrapped__(request, SimpleNamespace(standing=standing))(option)


@pytest.mark.parametrize("standing", [True, False])
def test_a_policy_that_is_given_counts(standing):
    assert days("--cis-root-days", given=365.0, standing=standing) == 365


def test_a_lab_of_the_runs_own_has_the_default_of_engines():
    assert days("--cis-key-days") == 90


def test_a_site_that_states_no_policy_is_not_judged():
    with pytest.raises(Blocked, match="--cis-node-days DAYS, the longest validity of a node's certificate"):
        days("--cis-node-days", standing=True)


@pytest.mark.parametrize(
    ("text", "reason"), [("0", "above 0"), ("-3", "above 0"), ("nan", "above 0"), ("x", "a number")]
)
def test_other_than_a_number_of_days_is_refused(text, reason):
    with pytest.raises(pytest.UsageError, match=reason):
        policy._days("--cis-node-days")(text)
