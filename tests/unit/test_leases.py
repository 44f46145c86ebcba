"""Which cluster a test is given where the swarm is not the suite's."""

from types import SimpleNamespace

import pytest

from fixtures.cluster import DOCUMENT, Leases, Shape
from swarmlab.errors import Blocked


class Swarm(SimpleNamespace):
    """A swarm of a manager and two workers."""

    def roles(self):
        return {"n1": "manager", "n2": "worker", "n3": "worker"}

    def members(self):
        return [{"ID": "n1", "Spec": {"Role": "manager"}}]


@pytest.fixture
def leases():
    """The leases of a swarm that exists, whose owner lets tests disrupt it."""
    lab = SimpleNamespace(standing=True, free=0, offers=SimpleNamespace(disruptable=True), name="theirs")
    made = Leases(lab, print)
    made._stands = Swarm(lifelines=None)
    return made


def test_a_test_that_disrupts_is_given_the_swarm_whose_owner_allows_that(leases):
    assert leases.exclusive(DOCUMENT) is leases._stands


def test_a_test_whose_changes_are_not_restored_is_never_given_a_swarm_that_exists(leases):
    with pytest.raises(Blocked, match="needs 3 nodes of its own, the lab has 0"):
        leases.exclusive(Shape(apart=True))
