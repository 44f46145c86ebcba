"""What tasks may do: how it is measured, and how changes are told."""

import json
import os
import subprocess
import sys

import pytest

from suites.support.upgrade.witness import _settings
from swarmlab.rehearsal import inside, outside
from swarmlab.rehearsal.permitted import GROUPS, changes, unmeasured
from swarmlab.verdicts import catalogue


def stages(**by_stage):
    """Return measurements of one fact: its value by host name, by stage."""
    return {
        stage: {node: {"limits": {"open files (soft)": value}} for node, value in nodes.items()}
        for stage, nodes in by_stage.items()
    }


def test_a_change_is_told_with_both_figures_and_its_nodes():
    measured = stages(
        before={"master": "1048576", "slave01": "1048576"},
        step1={"master": "1048576", "slave01": "1024"},
        after={"master": "1024", "slave01": "1024"},
    )
    assert list(map(str, changes(measured, "limits"))) == [
        "open files (soft): 1048576 before, 1024 after on slave01, master"
    ]


def test_what_stays_is_no_change_and_what_a_middle_engine_had_is_one():
    assert changes(stages(before={"master": "1"}, after={"master": "1"}), "limits") == []
    measured = stages(before={"master": "1"}, step1={"master": "2"}, after={"master": "1"})
    assert [str(change) for change in changes(measured, "limits")] == ["open files (soft): 1 before, 2 after on master"]


def test_what_a_plain_restart_changes_as_well_is_told_so():
    measured = stages(before={"master": "1"}, restarted={"master": "2"}, after={"master": "2"})
    assert str(changes(measured, "limits")[0]).endswith("on master (after a plain restart of the engine as well)")
    measured = stages(before={"master": "1"}, restarted={"master": "1"}, after={"master": "2"})
    assert str(changes(measured, "limits")[0]).endswith("on master")
    assert changes(stages(before={"master": "1"}, restarted={"master": "2"}), "limits") == []


def test_a_long_list_is_told_by_what_came_and_went():
    measured = stages(before={"master": "a b c d e f"}, after={"master": "a b c d e g h"})
    assert "without f and with g h (of 6 before, 7 after)" in str(changes(measured, "limits")[0])


def test_a_fact_that_one_engine_has_not_is_none():
    measured = {"before": {"master": {"mounts": {}}}, "after": {"master": {"mounts": {"mount /x": "tmpfs ro"}}}}
    assert [str(change) for change in changes(measured, "mounts")] == [
        "mount /x: none before, tmpfs ro after on master"
    ]


def test_a_node_that_was_not_measured_is_named():
    measured = stages(before={"master": "1", "slave01": "1"}, after={"master": "1"})
    assert unmeasured(measured, ["master", "slave01"]) == ["slave01 at stage after"]


def test_every_group_has_a_claim_with_a_condition():
    claims = catalogue.rehearsal()
    assert all(claims[id].condition for id in GROUPS)
    assert set(GROUPS.values()) == {"limits", "rights", "names", "mounts"}


def test_the_program_measures_every_group():
    quick = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1", "LOCALDOMAIN": ""}  # this machine's may be silent
    command = [sys.executable, inside.__file__, "localhost"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=quick)
    told = json.loads(ran.stdout)
    assert set(told) == set(GROUPS.values())
    assert all(isinstance(value, str) for facts in told.values() for value in facts.values())
    assert int(told["limits"]["open files (soft)"]) > 0
    assert told["limits"]["cgroup version"] in ("1", "2")
    assert told["rights"]["system call close_range"] == "allowed"
    assert "mount /proc" in told["mounts"]
    assert told["names"]["the name localhost"] == "resolves"


def query(name, kind=1):
    """Return a query for *name*, as a resolver sends it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + b"\0\0" + bytes([kind]) + b"\0\1"


@pytest.mark.parametrize(
    ("asked", "kind", "code", "answers"),
    [(inside.OUTSIDE, 1, 0, 1), (inside.OUTSIDE.upper(), 1, 0, 1), (inside.OUTSIDE, 28, 0, 0), ("other.test", 1, 3, 0)],
)
def test_the_name_server_answers_for_its_name_alone(asked, kind, code, answers):
    given = outside.answer(query(asked, kind), inside.OUTSIDE)
    assert given[:2] == b"\x12\x34"
    assert (given[3] & 15, given[7]) == (code, answers)
    assert given.endswith(bytes(map(int, outside.ANSWER.split(".")))) is bool(answers)


def test_settings_of_names_are_told_by_kind():
    told = _settings("of the node", "# made by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:2 edns0\n")
    assert told == {
        "resolv.conf of the node, nameserver": "10.0.0.1 10.0.0.2",
        "resolv.conf of the node, search": "none",
        "resolv.conf of the node, options": "ndots:2 edns0",
    }
