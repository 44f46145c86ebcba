"""Fixtures of chapter 4."""

import pytest

from suites.support import builders


@pytest.fixture
def all_builders(cluster, bench):
    """The builders that the node has: the classic builder, BuildKit or both."""
    return builders.builders(cluster, bench)
