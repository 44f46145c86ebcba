"""What a rehearsed cluster must keep: changes of objects, as far as managers tell them."""

from types import SimpleNamespace

import pytest

from suites.support.upgrade.estate import Estate
from swarmlab.paths import ROOT

MANAGER = SimpleNamespace(name="master")
FIRST, OTHER = [("10.0.1.0/24", "10.0.1.1")], [("10.0.2.0/24", "10.0.2.1")]


def changes(before, now):
    """Return the changes from a network's subnets *before* to those that it has *now*."""
    estate = object.__new__(Estate)
    estate._before = {"master": {"networks/one": {"Id": "1", "subnets": before}}}
    estate._objects = lambda _: {"networks/one": {"Id": "1", "subnets": now}}
    return estate.changed_objects(MANAGER)


def test_downloads_are_told_by_the_names_of_nodes_that_agents_know_by_their_ids():
    estate = object.__new__(Estate)
    estate.names = {"id-of-slave01": "slave01"}
    estate.cluster = SimpleNamespace(nodes=[MANAGER])
    streams = [{"peer": "id-of-slave01", "on": True, "bytes": 9}, {"peer": "id-of-slave02", "on": False}]
    estate.agent_state = lambda _: {"agent": "0a3f", "streams": streams}
    assert estate.streams() == {("slave01", "master"): {**streams[0], "agent": "0a3f"}}


@pytest.mark.parametrize("template", ["{{.Node.Hostname}}", "{{.Node.Platform"])
def test_no_service_of_a_rehearsal_has_a_template_that_the_first_engines_do_not_know(template):
    files = (ROOT / "suites/support/upgrade").glob("*.py")
    lines = [line.partition("#")[0] for file in files for line in file.read_text().splitlines()]
    assert not [line for line in lines if template in line]


@pytest.mark.parametrize(("before", "now"), [(FIRST, FIRST), ([], FIRST), (FIRST, []), ([], [])])
def test_a_subnet_that_a_manager_does_not_tell_is_no_change(before, now):
    assert changes(before, now) == []


def test_another_subnet_is_a_change():
    (line,) = changes(FIRST, OTHER)
    assert line.startswith("networks/one.subnets is [('10.0.2.0/24'")
    assert changes(FIRST, FIRST) == []
