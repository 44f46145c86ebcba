"""What a rehearsed cluster must keep: changes of objects, as far as managers tell them."""

from types import SimpleNamespace

import pytest

from suites.support.upgrade.estate import Estate

MANAGER = SimpleNamespace(name="master")
FIRST, OTHER = [("10.0.1.0/24", "10.0.1.1")], [("10.0.2.0/24", "10.0.2.1")]


def changes(before, now):
    """Return the changes from a network's subnets *before* to those that it has *now*."""
    estate = object.__new__(Estate)
    estate._before = {"master": {"networks/one": {"Id": "1", "subnets": before}}}
    estate._objects = lambda _: {"networks/one": {"Id": "1", "subnets": now}}
    return estate.changed_objects(MANAGER)


@pytest.mark.parametrize(("before", "now"), [(FIRST, FIRST), ([], FIRST), (FIRST, []), ([], [])])
def test_a_subnet_that_a_manager_does_not_tell_is_no_change(before, now):
    assert changes(before, now) == []


def test_another_subnet_is_a_change():
    (line,) = changes(FIRST, OTHER)
    assert line.startswith("networks/one.subnets is [('10.0.2.0/24'")
    assert changes(FIRST, FIRST) == []
