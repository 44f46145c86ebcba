"""Preflight's checks of services and tasks: what lacks replicas or makes no progress, and what is on its way only.

The errors of tasks were recorded on engine 20.10.24.
"""

import copy
from datetime import datetime, timedelta, timezone

import pytest

from swarmlab.preflight import checks as made
from swarmlab.preflight.model import LACKS, LOGIN, THERE, UNREACHED, Pull
from swarmlab.preflight.services import ended
from swarmlab.preflight.work import fits, suits
from tests.unit.test_preflight import found, only, sound

SECOND = int(1e9)
NOW = datetime(2026, 11, 25, 3, 10, 0, tzinfo=timezone.utc)
REFUSED = 'invalid mount config for type "bind": bind source path does not exist: /nowhere'


def ago(seconds):
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def task(state="running", *, slot=1, node="master", made=300.0, since=None, desired=None, err="", code=None, **more):
    """Return a task of the service web: made so many seconds ago, and in its state since."""
    ended = state in ("failed", "rejected", "complete", "shutdown")
    status = {"State": state, "Timestamp": ago(made if since is None else since), "Message": state, "Err": err}
    if code is not None:
        status["ContainerStatus"] = {"ContainerID": f"c-{slot}-{made}", "ExitCode": code}
    fixed = {
        "ID": f"t-{slot}-{made}",
        "ServiceID": "s",
        "Slot": slot,
        "NodeID": f"id-{node}",
        "CreatedAt": ago(made),
        "UpdatedAt": ago(made if since is None else since),
        "DesiredState": desired or ("shutdown" if ended else "running"),
        "Status": status,
        "Spec": {"ContainerSpec": {"Image": "registry:5000/web:1"}},
    }
    return {**fixed, **more}


def service(replicas=1, *, mode=None, template=None, updated=600.0, **more):
    spec = {
        "Name": "web",
        "Mode": mode or {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": {"Image": "registry:5000/web:1"}, **(template or {})},
    }
    return {"ID": "s", "Spec": spec, "CreatedAt": ago(updated), "UpdatedAt": ago(updated), **more}


@pytest.fixture
def sight():
    """A service of one replica, whose tasks the test sets."""
    one = sound()
    one.services = [service()]
    return one


def well(sight, *checks):
    for check in checks or ("replicas", "updates", "stuck-tasks"):
        assert {level for level, _, _ in found(sight, check)} == {"ok"}, found(sight, check)


def row(state, every, number, **more):
    """Return tasks of one slot that ended one after the other, the oldest first; the next was made *every* s ago."""
    return [task(state, made=every * (place + 1), since=every * place, **more) for place in range(number, 0, -1)]


# Replicas


def test_a_service_that_is_rejected_for_ever_is_named(sight):
    sight.tasks = [*row("rejected", 6, 3, node="slave01", err=REFUSED), task("ready", made=6, desired="ready")]
    only(sight, "replicas", "error", ("slave01",), f"web runs 0 of 1 replicas: 3 tasks rejected within 24 s: {REFUSED}")
    sight.services[0]["UpdateStatus"] = {"State": "updating"}
    only(sight, "replicas", "error", ("slave01",), "3 tasks rejected")


def test_the_first_refusals_are_no_trouble_yet(sight):
    sight.tasks = [*row("rejected", 6, 2, err=REFUSED), task("ready", made=6, desired="ready")]
    well(sight)
    # But they are where they take long, as those for an image whose registry does not answer.
    sight.tasks = [*row("rejected", 40, 1, err="No such image: registry:5000/web:1"), task("preparing", made=40)]
    only(sight, "replicas", "error", ("master",), "1 task rejected within 80 s: No such image: registry:5000/web:1")


def test_a_service_that_fails_in_a_loop_is_named_also_while_it_runs(sight):
    failed = row("failed", 8, 4, err="task: non-zero exit (1)", code=1)
    sight.tasks = [*failed, task("running", made=8, since=3)]
    only(
        sight,
        "replicas",
        "error",
        ("master",),
        "web runs 1 of 1 replicas: 4 tasks failed within 40 s: task: non-zero",
    )
    sight.tasks[-1] = task("starting", made=8)
    only(sight, "replicas", "error", ("master",), "web runs 0 of 1 replicas: 4 tasks failed within 40 s")
    sight.tasks[-1] = task("running", made=100, since=99)
    well(sight)  # it has recovered


def test_failures_of_another_specification_are_over(sight):
    failed = row("failed", 8, 4, err="task: non-zero exit (1)", code=1)
    mended = {"ContainerSpec": {"Image": "registry:5000/web:2"}}
    sight.tasks = [*failed, task("running", made=8, since=3, Spec=mended)]
    well(sight)


def test_an_unhealthy_loop_says_so(sight):
    err = "task: non-zero exit (137): dockerexec: unhealthy container"
    sight.tasks = [*row("failed", 30, 3, err=err, code=137), task("starting", made=30)]
    only(
        sight,
        "replicas",
        "error",
        ("master",),
        "3 tasks failed within 120 s: task: non-zero exit (137): dockerexec: un",
    )
    [(view, identity, _)] = ended(sight)
    view.health[identity] = "unhealthy"
    only(sight, "replicas", "error", ("master",), f"within 120 s: {err}")


def test_a_process_that_ends_well_as_it_is_unhealthy_says_so(sight):
    sight.tasks = [*row("complete", 6, 3, code=0), task("starting", made=6)]
    only(sight, "replicas", "warning", ("master",), "3 tasks ended within 24 s")
    [(view, identity, _)] = ended(sight)
    view.health[identity] = "unhealthy"
    only(sight, "replicas", "error", ("master",), "3 tasks failed within 24 s: unhealthy container")


LIMITED = {"ContainerSpec": {"Image": "i"}, "Resources": {"Limits": {"MemoryBytes": 8 * 2**20}}}
KILLED = "task: non-zero exit (137)"


def killed(sight, spec):
    """Let the tasks of the service be killed again and again; return the finding once the engine was asked why."""
    sight.services = [service(template=spec)]
    sight.tasks = [*row("failed", 6, 3, err=KILLED, code=137, Spec=spec), task("starting", made=6, Spec=spec)]
    only(sight, "replicas", "error", ("master",), f"3 tasks failed within 24 s: {KILLED}")
    [(view, _, killed)] = ended(sight)
    view.starved = {killed}
    (finding,) = made.look("replicas", sight)
    view.starved = set()
    return finding


def test_a_task_that_is_killed_for_lack_of_memory_says_so(sight):
    finding = killed(sight, LIMITED)
    assert finding.summary.endswith(f"within 24 s: killed for lack of memory (limit 8 MiB): {KILLED}")
    assert "docker service update --limit-memory MORE web" in finding.mend
    finding = killed(sight, {"ContainerSpec": {"Image": "i"}})
    assert "killed for lack of memory (of its node, as it has no limit)" in finding.summary
    assert "--reserve-memory AMOUNT web" in finding.mend


def test_a_task_that_is_killed_otherwise_is_not_told_to_lack_memory(sight):
    sight.tasks = [*row("failed", 6, 3, err=KILLED, code=137), task("starting", made=6)]
    assert len(ended(sight)) == 1
    assert "docker service logs web" in next(iter(made.look("replicas", sight))).mend
    sight.tasks = [*row("failed", 6, 3, err="task: non-zero exit (1)", code=1), task("starting", made=6)]
    assert ended(sight) == []


def test_the_last_task_of_a_slot_may_have_lacked_memory_too(sight):
    sight.services = [service(template={**LIMITED, "RestartPolicy": {"Condition": "none"}})]
    sight.tasks = [task("failed", made=60, since=30, err=KILLED, code=137, Spec=LIMITED)]
    [(view, _, killed)] = ended(sight)
    view.starved.add(killed)
    (finding,) = made.look("replicas", sight)
    assert "the last task: killed for lack of memory (limit 8 MiB)" in finding.summary
    assert "--limit-memory" in finding.mend


def test_a_task_that_is_refused_before_its_delayed_start_counts(sight):
    # As it is prepared already while its start is delayed.
    sight.tasks = row("rejected", 6, 3, err=REFUSED)
    sight.tasks[-1]["DesiredState"] = "ready"
    only(sight, "replicas", "error", ("master",), "web runs 0 of 1 replicas: 3 tasks rejected within 24 s")
    sight.tasks = sight.tasks[2:]
    well(sight)


def test_a_task_that_was_refused_elsewhere_and_runs_now_is_a_warning(sight):
    sight.tasks = [*row("rejected", 40, 3, node="slave01", err=REFUSED), task("running", made=40, since=39)]
    only(sight, "replicas", "warning", ("slave01",), "web runs 1 of 1 replicas: 3 tasks rejected")


def test_one_failure_is_no_loop(sight):
    sight.tasks = [*row("failed", 8, 2, err="task: non-zero exit (1)", code=1), task("starting", made=8)]
    well(sight)
    sight.tasks = [
        *row("failed", 70, 1, err="task: non-zero exit (1)", code=1),
        task("ready", made=70, desired="ready"),
    ]
    only(sight, "replicas", "error", ("master",), "web runs 0 of 1 replicas: 1 task failed within 140 s")
    sight.tasks = [task("shutdown", made=20), task("shutdown", made=15), task("shutdown", made=10), task("starting")]
    well(sight, "replicas")  # somebody updates it


@pytest.mark.parametrize("policy", [{"Condition": "none"}, {"Condition": "on-failure", "MaxAttempts": 2}])
def test_restarts_that_are_used_up_are_named(sight, policy):
    sight.services = [service(template={"RestartPolicy": policy})]
    sight.tasks = [task("failed", made=60, since=30, err="task: non-zero exit (3)", code=3)]
    only(sight, "replicas", "error", ("master",), "web runs 0 of 1 replicas: its restarts are used up (condition")
    sight.tasks = [task("failed", made=60, since=5, err="task: non-zero exit (3)", code=3)]
    well(sight)  # the next one may come
    sight.tasks = [task("complete", made=60, since=30, code=0)]
    well(sight)  # it was to end


def test_a_process_that_ends_at_once_is_named_but_not_one_that_does_something_now_and_then(sight):
    sight.tasks = [*row("complete", 6, 3, code=0), task("running", made=6)]
    only(sight, "replicas", "warning", ("master",), "3 tasks ended within 24 s")
    sight.services = [service(template={"RestartPolicy": {"Condition": "any", "Delay": int(3600e9)}})]
    well(sight)


def test_a_service_without_tasks_is_named_after_a_while(sight):
    only(sight, "replicas", "error", (), "web runs 0 of 1 replicas: 1 have no task")
    sight.services = [service(updated=20)]
    well(sight)
    sight.services = [service(replicas=0)]
    well(sight)


def test_a_global_service_that_lacks_a_node_is_named(sight):
    sight.services = [service(mode={"Global": {}}, template={"Placement": {"Constraints": ["node.hostname!=master"]}})]
    sight.tasks = [task(slot=0, node="slave01")]
    only(sight, "replicas", "error", ("slave02",), "web runs on 1 of 2 nodes: no task there")
    sight.members[2]["Spec"]["Availability"] = "drain"
    well(sight)
    sight.services[0]["Spec"]["TaskTemplate"]["Placement"]["Constraints"] = ["node.labels.gpu==true"]
    sight.tasks = []
    only(sight, "replicas", "info", (), "global service web fits no node")
    sight.members[0]["Spec"]["Labels"] = {"gpu": "True"}
    only(sight, "replicas", "error", ("master",), "web runs on 0 of 1 nodes")


def test_a_global_service_that_is_rejected_on_one_node_names_it(sight):
    sight.services = [service(mode={"Global": {}})]
    sight.tasks = [task(slot=0, node="master"), task(slot=0, node="slave02")]
    sight.tasks += row("rejected", 6, 4, slot=0, node="slave01", err=REFUSED)
    sight.tasks.append(task("ready", slot=0, node="slave01", made=6, desired="ready"))
    only(sight, "replicas", "error", ("slave01",), "web runs on 2 of 3 nodes: 4 tasks rejected within 30 s")


def test_jobs_that_cannot_complete_are_named(sight):
    run = {"JobIteration": {"Index": 7}}
    mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 3}}
    sight.services = [service(mode=mode, template={"RestartPolicy": {"Condition": "none"}}, JobStatus=run)]
    done = task("complete", slot=0, code=0, **run)
    sight.tasks = [done, task("running", slot=1, desired="complete", **run)]
    well(sight)
    lost = task("failed", slot=1, made=60, since=30, err="task: non-zero exit (2)", code=2, **run)
    sight.tasks = [done, lost]
    findings = [one for one in made.look("replicas", sight) if one.level.trouble]
    assert "web has done 1 of 3 tasks: its restarts are used up" in findings[0].summary
    sight.tasks = [done, task("complete", slot=1, code=0, **run), task("complete", slot=2, code=0, **run)]
    well(sight)
    sight.tasks.append(lost | {"JobIteration": {"Index": 6}})
    well(sight)  # of an earlier run
    sight.services[0]["Spec"]["Mode"] = {"GlobalJob": {}}
    sight.tasks = [task("complete", slot=0, node=node, code=0, **run) for node in ("master", "slave01", "slave02")]
    well(sight)
    sight.tasks[1] = task("failed", slot=0, node="slave01", made=60, err="task: non-zero exit (2)", code=2, **run)
    only(sight, "replicas", "error", ("slave01",), "web has done 2 of 3 tasks: its restarts are used up")


def test_tasks_that_ran_until_their_engine_was_restarted_are_no_loop(sight):
    sight.services = [service()]
    ends = [task("failed", made=made, since=made - 100, code=0, err="No such container") for made in (240.0, 130.0)]
    sight.tasks = [*ends, task("starting", made=20.0)]
    assert found(sight, "replicas")[0][0] == "ok"
    sight.tasks = [
        *(task("failed", made=made, since=made - 5, code=1) for made in (60.0, 40.0)),
        task("starting", made=20.0),
    ]
    assert found(sight, "replicas")[0][0] == "error"


# Updates


@pytest.mark.parametrize(
    ("state", "level", "part"),
    [
        ("paused", "warning", "the update of web is paused, 1 of 1 replicas run: update paused due to failure"),
        ("rollback_paused", "error", "the rollback of web is paused"),
        ("rollback_completed", "warning", "the last update of web failed and was rolled back"),
        ("updating", "warning", "the update of web goes on, 1 of 1 replicas run, and no task has changed for 300 s"),
        ("completed", "ok", ""),
    ],
)
def test_updates_that_did_not_end_well_are_named(sight, state, level, part):
    told = "update paused due to failure or early termination of task t-1-300.0"
    sight.services = [service(UpdateStatus={"State": state, "Message": told})]
    sight.tasks = [task()]
    level_found, _, summary = found(sight, "updates")[0]
    assert level_found == level
    assert part in summary


def test_updates_that_go_on_and_rollbacks_by_hand_are_no_trouble(sight):
    sight.tasks = [task(made=100)]
    sight.services = [service(UpdateStatus={"State": "updating"})]
    well(sight)
    sight.services = [service(UpdateStatus={"State": "rollback_completed"}, PreviousSpec={"Name": "web"})]
    well(sight)


SLOW = {"ContainerSpec": {"Healthcheck": {"Test": ["CMD", "x"], "StartPeriod": 600 * SECOND}}}
PATIENT = {"ContainerSpec": {"StopGracePeriod": 600 * SECOND}}


@pytest.mark.parametrize(
    "slot",
    [
        [task("starting", slot=2, made=260.0, since=250.0, Spec=SLOW), task("shutdown", slot=2, made=9000, since=255)],
        [
            task("running", slot=2, made=9000.0, since=250.0, desired="shutdown", Spec=PATIENT),
            task("ready", slot=2, made=250.0, desired="ready"),
        ],
        [
            task("running", slot=2, made=9000.0, since=250.0, desired="shutdown", Spec=PATIENT),
            task("pending", slot=2, made=250.0, desired="ready", err="host-mode port already in use", NodeID=""),
        ],
    ],
)
def test_an_update_waits_as_long_as_its_tasks_may_take(sight, slot):
    sight.services = [service(2, updated=400.0, UpdateStatus={"State": "updating"})]
    sight.tasks = [task(made=9000.0), *slot]
    assert found(sight, "updates")[0][0] == "ok"
    assert found(sight, "stuck-tasks")[0][0] == "ok"
    for each in slot:
        each["Spec"] = {"ContainerSpec": {}}
    assert found(sight, "updates")[0][0] == "warning"
    assert found(sight, "stuck-tasks")[0][0] == "warning"


# Tasks that stay in one state


@pytest.mark.parametrize(
    ("state", "desired", "seconds", "level", "part"),
    [
        ("assigned", "running", 31, "error", "1 task of web assigned for over 30 s: assigned (0 of 1 replicas run)"),
        ("accepted", "running", 31, "error", "accepted for over 30 s"),
        ("preparing", "running", 121, "warning", "preparing for over 120 s"),
        ("preparing", "running", 60, "", ""),
        ("ready", "running", 61, "warning", "ready for over 60 s"),
        ("ready", "ready", 600, "", ""),
        ("starting", "running", 61, "warning", "starting for over 60 s"),
        ("running", "remove", 41, "warning", "1 task of web running, though to be removed for over 40 s"),
        ("running", "shutdown", 39, "", ""),
        ("shutdown", "remove", 600, "", ""),
    ],
)
def test_tasks_that_stay_in_a_state_for_too_long_are_named(sight, state, desired, seconds, level, part):
    sight.tasks = [task(state, desired=desired, made=seconds + 100, since=seconds, node="slave02")]
    if level:
        only(sight, "stuck-tasks", level, ("slave02",), part)
    else:
        well(sight, "stuck-tasks")
    sight.members[2]["Status"]["State"] = "down"
    well(sight, "stuck-tasks")  # its node cannot tell


def test_what_a_task_may_take_by_its_own_settings_is_no_trouble(sight):
    second = int(1e9)
    health = {"Test": ["CMD", "true"], "Interval": 20 * second, "Timeout": 5 * second, "StartPeriod": 100 * second}
    slow = {"Spec": {"ContainerSpec": {"Image": "i", "Healthcheck": health}}}
    sight.tasks = [task("starting", made=250, **slow)]
    well(sight, "stuck-tasks")  # 60 + 100 + 4 * 25
    sight.tasks = [task("starting", made=261, **slow)]
    only(sight, "stuck-tasks", "warning", ("master",), "starting for over 260 s")
    patient = {"Spec": {"ContainerSpec": {"Image": "i", "StopGracePeriod": 120 * second}}}
    sight.tasks = [task("running", desired="shutdown", made=140, **patient)]
    well(sight, "stuck-tasks")
    # The health check of an image, which no manager tells.
    sight.tasks = [task("starting", made=500, code=0)]
    sight.nodes[0].containers = [{"Id": "c-1-500", "State": "running", "Status": "Up 8 minutes (health: starting)"}]
    well(sight, "stuck-tasks")


def test_a_task_whose_image_cannot_be_pulled_is_named_soon(sight):
    image = "registry:5000/web:1"
    sight.tasks = [task("preparing", made=25, node="slave01")]
    well(sight, "stuck-tasks")
    sight.nodes[1].pulls = {image: Pull(UNREACHED, words="no answer from the registry within 8 s")}
    only(sight, "stuck-tasks", "error", ("slave01",), f"{image} cannot be pulled: no answer from the registry")
    sight.nodes[1].pulls = {image: Pull(LACKS, words="manifest unknown")}
    only(sight, "stuck-tasks", "error", ("slave01",), "manifest unknown")


IMAGE = "registry:5000/web:1"


@pytest.mark.parametrize(
    ("pull", "images", "level"),
    [
        (Pull(THERE, digest="sha256:11"), [], "info"),
        (Pull(LOGIN, words="unauthorized"), [], "info"),
        # It has an older content of that name.
        (Pull(THERE, digest="sha256:11"), [{"Id": "a", "RepoTags": [IMAGE], "RepoDigests": []}], "info"),
        # It has the image, so that it waits for something else.
        (
            Pull(THERE, digest="sha256:11"),
            [{"Id": "a", "RepoTags": [IMAGE], "RepoDigests": ["registry:5000/web@sha256:11"]}],
            "warning",
        ),
        (Pull(LOGIN, words="unauthorized"), [{"Id": "a", "RepoTags": [IMAGE], "RepoDigests": []}], "warning"),
        (Pull(THERE, digest="sha256:11"), None, "warning"),
        (None, [], "warning"),
    ],
)
def test_a_large_image_may_take_long_where_the_registry_answers(sight, pull, images, level):
    sight.services = [service(UpdateStatus={"State": "updating"})]
    sight.tasks = [task("preparing", made=500, node="slave01")]
    sight.nodes[1].images, sight.nodes[1].pulls = images, {IMAGE: pull} if pull else {}
    only(sight, "stuck-tasks", level, ("slave01",), "1 task of web preparing for over 120 s")
    assert found(sight, "updates")[0][0] == ("ok" if level == "info" else "warning")
    sight.tasks = [task("preparing", made=1900, node="slave01")]
    only(sight, "stuck-tasks", "warning", ("slave01",), "1 task of web preparing for over 120 s")


def test_a_service_whose_next_task_pulls_its_image_does_not_fail_again_and_again(sight):
    err = "task: non-zero exit (1)"
    sight.tasks = [*row("failed", 300, 1, err=err, code=1), task("preparing", made=300, node="slave01")]
    only(sight, "replicas", "error", ("master",), "web runs 0 of 1 replicas: 1 task failed")
    sight.nodes[1].pulls = {IMAGE: Pull(THERE, digest="sha256:11")}
    well(sight, "replicas")


@pytest.mark.parametrize("policy", ["any", "none"])
def test_a_registry_that_wants_a_login_is_named_with_the_mend(sight, policy):
    sight.services = [service(template={"RestartPolicy": {"Condition": policy}})]
    err = f"No such image: {IMAGE}"
    sight.tasks = row("rejected", 20, 3, node="slave01", err=err)
    if policy == "any":
        sight.tasks.append(task("ready", made=20, desired="ready"))
    (before,) = made.look("replicas", sight)
    assert "login" not in before.summary + before.mend
    sight.nodes[1].pulls = {IMAGE: Pull(LOGIN, words="no basic auth credentials")}
    (finding,) = made.look("replicas", sight)
    assert finding.summary == f"{before.summary}; the registry wants a login"
    assert finding.mend.startswith("on a manager: docker login registry:5000; docker pull")
    assert "docker service update --with-registry-auth web" in finding.mend
    # Who asks without a login is given it, so that it was something else.
    sight.nodes[0].pulls = {IMAGE: Pull(THERE)}
    assert "login" not in next(iter(made.look("replicas", sight))).summary


def test_a_task_that_fails_by_itself_needs_no_login(sight):
    sight.nodes[0].pulls = {IMAGE: Pull(LOGIN, words="no basic auth credentials")}
    sight.tasks = [*row("failed", 8, 4, err="task: non-zero exit (1)", code=1), task("starting", made=8)]
    assert "login" not in next(iter(made.look("replicas", sight))).summary


def test_orphaned_tasks_are_told(sight):
    sight.tasks = [task("orphaned", node="slave02")]
    only(sight, "stuck-tasks", "info", ("slave02",), "tasks of web are orphaned: 1")


def test_a_task_of_a_service_that_was_removed_has_its_name(sight):
    sight.tasks = [task("running", desired="remove", made=60, code=0)]
    sight.services = []
    labels = {"com.docker.swarm.service.name": "gone"}
    sight.nodes[0].containers = [{"Id": "c-1-60", "State": "running", "Status": "Up", "Labels": labels}]
    only(sight, "stuck-tasks", "warning", ("master",), "1 task of gone running, though to be removed for over 40 s")


# Constraints, as managers read them


@pytest.mark.parametrize(
    ("constraint", "meets"),
    [
        ("node.hostname==MASTER", True),
        ("node.hostname != master", False),
        ("node.id==id-master", True),
        ("node.role==worker", False),
        ("node.role != worker", True),
        ("node.labels.zone==a", True),
        ("node.labels.rack==1", False),
        ("node.labels.rack!=1", True),
        ("engine.labels.disk==ssd", True),
        ("node.platform.os==linux", True),
        ("node.platform.arch==aarch64", False),
        ("node.ip==192.168.58.0/24", True),
        ("node.ip!=192.168.58.101", False),
    ],
)
def test_constraints_are_judged_as_managers_do(constraint, meets):
    member = copy.deepcopy(sound().members[0])
    member["Spec"]["Labels"] = {"zone": "a"}
    member["Description"] |= {
        "Engine": {"Labels": {"disk": "ssd"}},
        "Platform": {"OS": "linux", "Architecture": "x86_64"},
    }
    assert fits(service(template={"Placement": {"Constraints": [constraint]}}), member) == meets
    platforms = [{"OS": "linux", "Architecture": "amd64"}]
    assert suits(service(template={"Placement": {"Platforms": platforms}}), member)
    assert not suits(service(template={"Placement": {"Platforms": [{"OS": "windows"}]}}), member)


def test_tasks_that_were_made_after_the_clock_was_read_have_no_age(sight):
    sight.tasks = [*row("failed", 2, 3, err="task: non-zero exit (1)", code=1), task("starting", made=-5)]
    only(sight, "replicas", "error", ("master",), "3 tasks failed within 13 s")
