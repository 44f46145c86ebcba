"""What the tests of chapter 4 share."""

import pytest

from suites.support import builders


@pytest.fixture
def all_builders(cluster, bench):
    """The classic builder and BuildKit, those that the node has."""
    return builders.builders(cluster, bench)
