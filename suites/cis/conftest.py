"""The swarm that is judged by the benchmark."""

import pytest

from suites.support.hardening import make_anew


@pytest.fixture
def site(cluster, lab):
    """The swarm as it stands; where the run makes its own lab, a swarm that is made as the benchmark recommends.

    On a swarm that stands, nothing is changed that is not the test's own. On one of the run's own, effects are judged
    that need more: a manager that restarts.
    """
    if not lab.standing:
        cluster.keep("benchmark", lambda: make_anew(cluster))
    return cluster
