"""The plan of a rehearsal and its decision, without a lab."""

import json
import re
from dataclasses import replace

import pytest

from fixtures.profiles import SELECTIONS
from fixtures.rehearsal import engines_of
from swarmlab.errors import UsageError
from swarmlab.images.engines import EngineChoice
from swarmlab.labs.registry import DEFAULT, MADE
from swarmlab.rehearsal import page
from swarmlab.rehearsal import run as play
from swarmlab.rehearsal.decision import CONDITIONS, GO, NO_GO, decide
from swarmlab.rehearsal.plan import Plan, newest
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.defects import KnownFailure
from swarmlab.verdicts.profiles import PROFILES
from swarmlab.verdicts.results import load

ROLES = {"master": "manager", "slave01": "manager", "slave02": "manager", "slave03": "worker"}
KNOWN = catalogue.incidents()
CLAIMS = catalogue.rehearsal()
WHOLE = {"done": 4, "wanted": 4}


@pytest.mark.parametrize(
    ("order", "queue"),
    [
        ("managers,leader,workers", ["slave01", "slave02", "master", "slave03"]),
        ("leader,managers,workers", ["master", "slave01", "slave02", "slave03"]),
        ("workers,managers", ["slave03", "master", "slave01", "slave02"]),
        ("slave02,workers,managers", ["slave02", "slave03", "master", "slave01"]),
        ("master,leader,managers,workers", ["master", "slave01", "slave02", "slave03"]),
    ],
)
def test_an_order_names_every_node_once(order, queue):
    assert Plan.read("20.10.24,28.5.2", order).queue(ROLES, "master") == queue


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("20.10.24",), "names 1"),
        (("20.10.24,20.10.24",), "is no upgrade"),
        (("28.5.2,20.10.24",), "is no upgrade"),
        (("20.10.24,v99",), "no engine 'v99'"),
        (("20.10.24,28.5.2", "leader,leader"), "twice"),
        (("20.10.24,28.5.2", "leader,workers", 1, 1), "3 to 30 nodes"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as refused:
        Plan.read(*options)
    assert "\n" not in str(refused.value)


def test_an_order_that_leaves_a_node_out_is_refused_before_a_lab_is_made():
    with pytest.raises(UsageError, match="leaves slave03 out"):
        play.plan("20.10.24,28.5.2", "managers", 3, 1, DEFAULT)
    with pytest.raises(UsageError, match="it takes leader, managers, workers, master"):
        play.plan("20.10.24,28.5.2", "managers,workers,slave09", 3, 1, DEFAULT)


def test_selections_are_of_known_profiles():
    assert set(SELECTIONS) < set(PROFILES)


def test_what_a_kind_of_lab_cannot_do_is_told_in_one_line():
    with pytest.raises(UsageError, match="the lab of machines has 3 nodes, not 4"):
        play.plan("20.10.24,28.5.2", "managers,workers", 3, 1, MADE["vagrant"])
    with pytest.raises(UsageError, match="nodes of --lab dind have no system of their own to restart"):
        play.plan("20.10.24,28.5.2", "managers,workers", 3, 1, DEFAULT, reboot=True)


def test_limits_are_those_of_the_kind_of_lab():
    plan = Plan.read("20.10.24,28.5.2")
    assert "containers" in page._of_nodes(DEFAULT, plan)[0]
    assert "second cluster" in page._of_nodes(DEFAULT, plan)[1]
    assert not any("second cluster" in limit for limit in page._of_nodes(MADE["vagrant"], plan))
    assert "virtual machines" in page._of_nodes(MADE["vagrant"], plan)[0]
    assert "was restarted" in page._of_nodes(MADE["vagrant"], plan)[1]
    assert len(page._of_nodes(MADE["vagrant"], replace(plan, reboot=True))) == 1


def test_a_rehearsal_begins_with_the_very_engine_of_its_path():
    given = EngineChoice("/engines/docker.tgz", "20.10.24", "archive", "/engines/docker.tgz")
    assert engines_of(Plan((given, newest()), ("managers", "workers"))) == "/engines/docker.tgz"
    assert engines_of(Plan.read("20.10.24,28.5.2")) == "bookworm"


def test_a_release_that_has_moved_on_is_a_limit():
    plan = Plan.read("20.10.24,28.5.2")

    def limits(first, last):
        engines = {"before": {"master": {"version": first}}, "after": {"slave03": {"version": last}}}
        step = {"number": 4, "node": "slave03", "before": "20.10.24"}
        return page._moved_on(plan, {"engines": engines, "steps": [step]})

    assert limits("20.10.24+dfsg1", "28.5.2") == []
    assert limits("20.10.24", "28.5.3+dfsg1") == [
        "forky has engine 28.5.3+dfsg1 now, which was rehearsed instead of 28.5.2."
    ]
    assert page._moved_on(plan, {}) == page._moved_on(plan, {"steps": [{"number": 1, "node": "master"}]}) == []
    assert len(limits("20.10.25", "28.5.3")) == 2
    assert limits("20.10.24", "20.10.24+dfsg1") == []  # the node kept its engine


def test_a_path_over_several_engines_upgrades_all_nodes_to_each():
    plan = Plan.read("20.10.5,20.10.24,28.5.2")
    assert (plan.steps, plan.engine(4).version, plan.engine(5).version) == (8, "20.10.24", "28.5.2")
    assert [plan.is_mixed(done) for done in range(9)] == [False, True, True, True, False, True, True, True, False]
    assert (plan.stage(0), plan.stage(4), plan.stage(8)) == ("before", "step4", "after")
    assert newest().version == "28.5.2"


def test_the_catalogue_is_not_changed_by_that_of_rehearsals():
    assert not set(catalogue.load()) & set(CLAIMS)
    assert all(one.must or one.why_not for one in KNOWN.values())


@pytest.fixture
def run(tmp_path):
    """Writes a run of these verdicts, by claim, and reads it back; what has none was not run."""

    def _run(name, verdicts, claims=CLAIMS):
        folder = tmp_path / name
        folder.mkdir()
        judged = [
            {
                "id": id,
                "must": claims[id].must,
                "level": claims[id].level,
                "verdict": verdict,
                "reason": "" if verdict == "pass" else f"why {id}",
                "evidence": [f"evidence/{id.replace('/', '-')}.txt"],
                "tests": ["t"],
                "seconds": 1.0,
            }
            for id, verdict in verdicts.items()
        ]
        summary = {verdict: list(verdicts.values()).count(verdict) for verdict in set(verdicts.values())}
        rest = {id: "not selected" for id in claims if id not in verdicts}
        made = {"schema": 1, "started": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "lab": {}, "nodes": []}
        made |= {"summary": summary, "claims": judged, "not_run": rest}
        (folder / "verdicts.json").write_text(json.dumps(made))
        return load(folder)

    return _run


@pytest.fixture
def decided(run):
    """Return a function that decides about an upgrade in which every claim passed, except the given verdicts."""

    def _decided(upgrade=(), before=(), after=(), course=WHOLE, *, reached=True):
        document = catalogue.load()
        smoke = dict.fromkeys(["7.2/service-name-resolves", "7.2.1/create-with-port"], "pass")
        verdicts = dict.fromkeys(CLAIMS, "pass") | dict(upgrade)
        verdicts = {id: verdict for id, verdict in verdicts.items() if verdict}
        first = run("before", smoke | dict(before), document)
        last = run("after", smoke | dict(after), document) if reached else None
        return decide(first, run("upgrade", verdicts), last, course, KNOWN)

    return _decided


def test_all_well_is_go(decided):
    made = decided()
    assert (made.word, made.status, made.reasons, made.conditions) == (GO, 0, [], [])


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({"upgrade": {"upgrade/identity-kept": "fail"}}, "why upgrade/identity-kept"),
        ({"upgrade": {"upgrade/identity-kept": "broken"}}, "Not judged: why upgrade/identity-kept"),
        ({"upgrade": {"upgrade/identity-kept": "timeout"}}, "Not judged: why upgrade/identity-kept"),
        ({"upgrade": {"upgrade/identity-kept": ""}}, "was judged: upgrade/identity-kept"),
        ({"upgrade": {"upgrade/task-limits": "broken"}}, "Not judged: why upgrade/task-limits"),
        ({"upgrade": {"upgrade/no-request-lost": "fail"}}, "why upgrade/no-request-lost"),
        ({"upgrade": {"known/ghost-tasks": "fail"}}, "why known/ghost-tasks"),
        ({"after": {"7.2/service-name-resolves": "fail"}}, "7.2/service-name-resolves .* was pass and is fail"),
        ({"course": {"done": 2, "wanted": 4}, "reached": False}, "2 of 4 steps were done"),
        ({"course": {}, "reached": False}, "not completed"),
        ({"reached": False}, "not judged on the new engine"),
    ],
)
def test_what_is_not_well_or_not_known_is_no_go(decided, given, summary):
    made = decided(**given)
    assert (made.word, made.status) == (NO_GO, 1)
    assert re.search(summary, made.reasons[0].summary), made.reasons


@pytest.mark.parametrize(
    ("given", "summary"),
    [
        ({"upgrade": {"known/alpn-after-renewal": "fail"}}, "Restart the engine of every manager"),
        ({"upgrade": {"known/ghost-tasks": "broken"}}, "Look for incident moby#37320"),
        ({"upgrade": {"known/ghost-tasks": ""}}, "not looked for to the end: known/ghost-tasks"),
        ({"upgrade": {"upgrade/published-ports": "blocked"}}, "Not judged, why upgrade/published-ports"),
        ({"upgrade": {"upgrade/back-in-place": "fail"}}, "why upgrade/back-in-place"),
        (
            {"before": {"7.2/service-name-resolves": "fail"}, "after": {"7.2/service-name-resolves": "fail"}},
            "already before the upgrade",
        ),
        ({"after": {"7.2/service-name-resolves": "blocked"}}, "cannot be judged on the new engine"),
        ({"upgrade": {"upgrade/task-limits": "fail"}}, "--ulimit-add"),
        ({"upgrade": {"upgrade/task-rights": "fail"}}, "why upgrade/task-rights"),
        ({"upgrade": {"upgrade/task-names": "fail"}}, "why upgrade/task-names"),
        ({"upgrade": {"upgrade/task-mounts": "fail"}}, "why upgrade/task-mounts"),
        ({"course": WHOLE | {"steps": [{"node": "slave01", "again": True}]}}, "slave01 stayed down"),
        ({"course": WHOLE | {kind: [{"node": "master", "again": True}] for kind in ("steps", "control")}}, "So it did"),
    ],
)
def test_what_can_be_met_or_was_so_before_is_a_condition(decided, given, summary):
    made = decided(**given)
    assert (made.word, made.status) == (CONDITIONS, 0), made.reasons
    assert summary in made.conditions[0].summary


def lossy(control, step, kind="requests", **more):
    """Return the record of a course in which one restart and one step of the leader lost something of this kind."""

    def one(lost):
        losses = {kind: {"itself": {"count": lost, "whole": lost, "seconds": lost / 2}}}
        return {"number": 1, "node": "master", "role": "manager", "leads": True, "losses": losses}

    return WHOLE | {"losses": {"control": [one(control)], "steps": [one(step)], "scale": 1.0, **more}}


def test_what_a_plain_restart_loses_as_well_is_a_condition_with_both_figures(decided):
    made = decided(upgrade={"upgrade/no-request-lost": "fail"}, course=lossy(40, 48))
    assert (made.word, made.status) == (CONDITIONS, 0), made.reasons
    [condition] = made.conditions
    assert "a plain restart of the engine has as well" in condition.summary
    assert "48 in 24.0 s; in the control: 40 in 20.0 s when master was restarted as it is" in condition.summary
    assert condition.evidence == ("upgrade/evidence/upgrade-no-request-lost.txt",)


@pytest.mark.parametrize(
    ("claim", "course"),
    [
        ("upgrade/no-request-lost", lossy(40, 140)),
        ("upgrade/no-request-lost", lossy(0, 2)),
        ("upgrade/no-request-lost", lossy(40, 48, kind="datagrams")),  # the control excuses its own kind of loss only
        ("upgrade/no-request-lost", lossy(40, 0)),  # nothing on record explains the verdict
        ("upgrade/no-write-lost", lossy(1, 1, kind="writes", missing=["master: gone"])),
    ],
)
def test_what_an_upgrade_loses_beyond_the_control_is_no_go(decided, claim, course):
    made = decided(upgrade={claim: "fail"}, course=course)
    assert (made.word, [reason.claim for reason in made.reasons]) == (NO_GO, [claim])


@pytest.mark.parametrize(("lost", "words"), [(30, ["30 in 15.0 s; in the control: none"]), (8, [])])
def test_what_the_node_itself_lost_while_the_rehearsal_waited_is_a_condition(decided, lost, words):
    course = lossy(0, lost)
    course["losses"]["steps"][0]["losses"]["requests"]["itself"]["count"] = 0
    made = decided(course=course)
    assert [word in condition.summary for word, condition in zip(words, made.conditions, strict=True)] == [True] * len(
        words
    )
    assert not made.reasons


def test_what_tasks_may_do_differently_is_told_where_the_upgrade_stopped(decided):
    figures = {"before": "1048576", "step1": "1024"}
    tasks = {stage: {"slave01": {"limits": {"open files (soft)": figure}}} for stage, figure in figures.items()}
    unjudged = {"upgrade/step": "fail", "upgrade/task-limits": ""}
    made = decided(upgrade=unjudged, course={"done": 1, "wanted": 4, "tasks": tasks}, reached=False)
    assert made.word == NO_GO
    assert "So far: open files (soft): 1048576 before, 1024 after on slave01" in made.conditions[0].summary


def test_a_loss_that_was_not_judged_has_no_excuse(decided):
    assert decided(upgrade={"upgrade/no-request-lost": "broken"}, course=lossy(40, 48)).word == NO_GO


def test_a_decision_names_known_defects_and_is_the_same_with_them(run):
    known = KnownFailure("x#1", "the engine forgets it", ("18.03.1-ce",), "18.09.7")
    document, smoke = catalogue.load(), "7.2/service-name-resolves"
    before, after = run("before", {smoke: "fail"}, document), run("after", {smoke: "pass"}, document)
    upgrade = run("upgrade", dict.fromkeys(CLAIMS, "pass") | {"upgrade/identity-kept": "fail"})
    for each in (before, upgrade):
        for id, judged in each.claims.items():
            if judged.verdict.bad:
                each.claims[id] = replace(judged, known=(known,))
    made = decide(before, upgrade, after, WHOLE, KNOWN)
    assert made.word == NO_GO
    for reason in (*made.reasons, *made.conditions):
        assert str(known) in reason.summary


def test_evidence_is_found_from_the_folder_of_the_rehearsal(decided):
    made = decided(upgrade={"upgrade/step": "fail"}, course={"done": 1, "wanted": 4}, reached=False)
    assert made.reasons[0].evidence == ("upgrade/evidence/upgrade-step.txt",)
    assert len(made.reasons) == 1, "what follows from a cause is no reason of its own"


def test_programs_read_the_decision_by_stable_keys(decided):
    made = decided(upgrade={"upgrade/identity-kept": "fail"}).to_json()
    assert list(made) == ["decision", "reasons", "conditions"]
    assert [set(reason) for reason in made["reasons"]] == [{"words", "claim", "evidence"}]
