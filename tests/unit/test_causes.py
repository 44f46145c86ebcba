"""Findings that may follow from another are put below it, and no others."""

from dataclasses import replace

import pytest

from swarmlab.preflight import CHECKS, Level, grouped, headline
from swarmlab.preflight.causes import folded
from swarmlab.preflight.finding import Finding

CAUSES = {"limits": ["ports", "mtu"], "ports": ["tasks"]}


def finding(check, *nodes, level=Level.ERROR, summary="broken"):
    return Finding(level, summary, check=check, nodes=nodes)


FULL = finding("limits", "slave02", summary="connections: 9 of 9 used")
CLOSED = finding("ports", "slave02", summary="does not arrive: master -> slave02")
STUCK = finding("tasks", summary="3 tasks pending")


def test_a_cause_comes_first_with_all_that_follow_from_it_in_the_end():
    fine = finding("clocks", level=Level.OK)
    found = folded([fine, STUCK, CLOSED, FULL], CAUSES)
    assert [each.check for each in found] == ["limits", "tasks", "ports", "clocks"]
    because = "limits: slave02: connections: 9 of 9 used"
    assert [each.because for each in found] == ["", because, because, ""]
    assert [(head["check"], len(below)) for head, below in grouped(each.to_json() for each in found)] == [
        ("limits", 2),
        ("clocks", 0),
    ]


@pytest.mark.parametrize(
    ("cause", "other"),
    [
        (finding("limits", "slave01"), CLOSED),
        (finding("limits", "slave02", level=Level.INFO), CLOSED),
        (FULL, finding("ports", "slave02", level=Level.OK)),
        (FULL, finding("clocks", "slave02")),
    ],
    ids=["another node", "no trouble", "nothing to explain", "no such cause"],
)
def test_what_cannot_be_the_cause_stays_apart(cause, other):
    assert folded([cause, other], CAUSES) == [cause, other]


def test_a_node_that_only_the_summary_names_is_one_of_both():
    seen = replace(finding("ports", "slave01", summary="does not arrive"), pairs=(("slave02", "slave01"),))
    assert folded([seen, FULL], CAUSES)[1].because


def test_a_headline_tells_how_much_follows():
    found = [each.to_json() for each in folded([FULL, CLOSED, STUCK], CAUSES)]
    ((head, followers),) = grouped(found)
    assert headline(head, followers) == ("error: limits: slave02: connections: 9 of 9 used (2 more may follow from it)")
    assert headline(head | {"level": "warning"}, followers).endswith("(2 more may follow from it, 2 of them errors)")
    assert headline(found[-1] | {"nodes": []}, []) == "error: tasks: 3 tasks pending"


def test_of_causes_that_follow_from_each_other_the_first_stands_for_all():
    circle = {"a": ["b"], "b": ["c"], "c": ["b"]}
    found = folded([finding("a"), finding("c"), finding("b"), finding("clocks")], {**circle, "c": ["b", "a"]})
    assert [(each.check, bool(each.because)) for each in found] == [
        ("a", False),
        ("c", True),
        ("b", True),
        ("clocks", False),
    ]


def test_what_is_unknown_may_follow_too():
    unknown = finding("ports", "slave02", level=Level.UNKNOWN)
    assert folded([FULL, unknown], CAUSES)[1].because


def test_no_check_causes_its_own_findings():
    def reached(name, path=()):
        assert name not in path, f"{' -> '.join((*path, name))} is a circle"
        for other in CHECKS[name].causes:
            reached(other.partition(":")[0], (*path, name))

    for name in CHECKS:
        reached(name)
