"""The course of a rehearsal: requests that are no loss, the order of tests within a stage, and the record of steps."""

import json
import string
from types import SimpleNamespace

import pytest

from fixtures.rehearsal import _place, in_stage
from suites.support.upgrade.course import Course, Step, got, warned, was_leaving
from swarmlab import layouts
from swarmlab.images.engines import EngineChoice
from swarmlab.paths import ROOT
from swarmlab.watching.asker import Heard

STEPS = [SimpleNamespace(began=100.0, leaving=("10.0.1.7",)), SimpleNamespace(began=200.0, leaving=("10.0.1.9",))]


@pytest.mark.parametrize(
    ("address", "at", "no_loss"),
    [
        ("10.0.1.7", 108.0, True),
        ("10.0.1.7", 99.0, False),  # it is not drained yet
        ("10.0.1.7", 146.0, False),  # engines have told one another by then
        ("10.0.1.8", 108.0, False),  # a replica that stays
        ("10.0.1.70", 108.0, False),
        ("10.0.1.9", 108.0, False),  # its node is drained later
        ("10.0.1.9", 208.0, True),
    ],
)
def test_a_replica_may_be_asked_while_it_leaves_and_no_longer(address, at, no_loss):
    lost = Heard(at, at + 1, "slave03", 502, "", f"swc-web-0a3faf at {address}: ConnectionResetError(104, 'reset')")
    assert was_leaving(lost, STEPS) is no_loss


def test_what_names_no_replica_is_a_loss():
    assert not was_leaving(Heard(108.0, 113.0, "slave03", 0, "", "timed out waiting for the answer"), STEPS)


def test_losses_are_judged_first_and_known_incidents_last():
    def item(path, line, *marks):
        marks = {mark.mark.name: mark.mark for mark in marks}
        return SimpleNamespace(path=path, get_closest_marker=marks.get, reportinfo=lambda: (path, line, ""))

    incident, losses = item("test_a.py", 1, in_stage("last")), item("test_z.py", 9, in_stage("first"))
    plain, later = item("test_b.py", 7), item("test_b.py", 8)
    assert sorted([incident, later, losses, plain], key=_place) == [losses, plain, later, incident]


@pytest.mark.parametrize(
    ("engine", "version", "good"),
    [
        ("forky", "28.5.2+dfsg1", True),
        ("forky", "28.5.3+dfsg1", True),  # the release has moved on
        ("forky", "20.10.24+dfsg1", False),  # the node has what it had
        ("29.0.2", "29.0.2", True),
        ("29.0.2", "29.0.24", False),
        ("18.03.1", "18.03.1-ce", True),
    ],
)
def test_a_step_gives_the_engine_that_is_named_or_what_the_release_has_now(engine, version, good):
    source = "debian" if engine == "forky" else "archive"
    choice = EngineChoice(engine, "28.5.2" if engine == "forky" else engine, source, engine)
    assert got(choice, "20.10.24+dfsg1", version) is good


@pytest.mark.parametrize(("settled", "patience"), [([], 45), ([0.5, 2.0], 45), ([24.0, 1.0], 54), ([70.0], 100)])
def test_names_have_as_long_as_after_a_plain_restart_and_half_a_minute_more(settled, patience):
    course = object.__new__(Course)
    course.control = [SimpleNamespace(settled=seconds) for seconds in settled]
    assert course.patience == patience


def test_losses_of_the_control_are_told_by_its_restart():
    course = object.__new__(Course)
    course._start = 1000.0
    course.control = [SimpleNamespace(node="master", began=1010.0, ended=1020.0, engine="20.10.24")]
    course.steps = [SimpleNamespace(node="master", began=1030.0, ended=1040.0, engine="28.5.2")]
    assert [course.when(at).partition(", ")[2] for at in (1005.0, 1015.0, 1025.0, 1035.0, 1045.0)] == [
        "before the first step",
        "while master was restarted",
        "after master was restarted",
        "while master got 28.5.2",
        "after master had got 28.5.2",
    ]


def test_what_engines_logged_before_the_first_step_is_not_new():
    course = object.__new__(Course)
    course.cluster = SimpleNamespace(nodes=[SimpleNamespace(name="master")])
    course.engines = {
        "before": {"master": {"log": ["old (3 times)"]}},
        "after": {"master": {"log": ["old (9 times)", "error creating vxlan interface: file exists"]}},
    }
    assert course.new_lines() == {"master": "error creating vxlan interface: file exists"}


def test_a_rare_line_that_tells_of_an_incident_is_kept():
    plain = [f'level=warning msg="{letter * 3}"' for letter in string.ascii_letters]
    told = f'level=error msg="{"failed, " * 50}error creating vxlan interface: file exists"'
    kept = warned("\n".join([*plain, *plain, "level=info", told]))
    assert len(kept) == 41
    assert kept[0].endswith("(2 times)")
    assert kept[-1] == told


def test_downloads_that_do_not_run_when_a_step_begins_are_told():
    names = ["master", "slave01", "slave02", "slave03"]
    course = object.__new__(Course)
    course.cluster = SimpleNamespace(nodes=[SimpleNamespace(name=name) for name in names])
    cut = [("slave03", "slave01"), ("master", "slave02")]
    going = {(a, b): {} for a in names for b in names if a != b and (a, b) not in cut}
    course.estate = SimpleNamespace(streams=lambda: going)
    assert course.without_stream(course.cluster.nodes[0], "28.5.2") == [
        "from slave03 to slave01 when master was to get 28.5.2"
    ]


@pytest.mark.parametrize("copied", [None, {"services": {"web": 2}, "left_out": []}])
def test_the_record_keeps_to_its_schema(tmp_path, copied):
    course = object.__new__(Course)
    course._file, course._svg, course._start = tmp_path / "new" / "rehearsal.json", "", 1000.0
    course.plan = SimpleNamespace(path=["20.10.24", "28.5.2"], order=("leader",), managers=3, workers=1, steps=4)
    course.done, course.tasks, course.engines, course.watches = 1, {}, {"before": {}}, {}
    course.steps = [Step(1, "slave02", "worker", False, "20.10.24", "28.5.2", 1010.0, leaving=("10.0.1.7",))]
    course.control = [Step(1, "master", "manager", True, "20.10.24", "20.10.24", 1002.0, settled=2.0)]
    course.estate = SimpleNamespace(copied=copied and SimpleNamespace(to_json=lambda: copied))
    course.write()
    raw = json.loads(course._file.read_text())
    assert layouts.mistake(raw, layouts.layout(ROOT / "swarmlab/rehearsal/rehearsal.schema.json")) == ""
    assert (raw["schema"], raw["steps"][0]["began"]) == (1, 10.0)
