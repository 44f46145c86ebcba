"""Health checks: what becomes of tasks that are not healthy yet, or not any more."""

import shlex

import pytest

from fixtures.claims import claim
from suites.support.ending import AT_ONCE
from suites.support.health import WELL_UNLESS_SICK, checked, health_of, make_sick
from suites.support.placement import one_on_each, stays
from suites.support.task_states import expect_all
from suites.support.traffic import GOSSIP
from swarmlab.cluster.leavings import LOOPBACK
from swarmlab.cluster.marks import removed
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled, wait

#: Lives on when it is told to end, until it is killed or has this file.
STUBBORN = ["sh", "-c", "trap '' TERM; until [ -e /run/end ]; do sleep 0.2; done"]


def expect_replaced(cluster, service, sick, how):
    """Expect that the *sick* tasks are replaced on every node, failed, and that no container of them runs on.

    Args:
        cluster: the swarm.
        service: a service with one task on every node.
        sick: its tasks that are not healthy any more.
        how: what is wrong with them, for messages.
    """
    ids = {task.id for task in sick}

    def replaced():
        state = one_on_each(service, cluster.nodes)
        again = [str(task) for task in service.running() if task.id in ids]
        return State(state.done and not again, f"not replaced: {few(again, '; ') or 'none'}; {state.summary}")

    eventually(replaced, f"tasks of {service} {how} to be replaced on every node", deadline=90)
    ended = [task for task in service.tasks() if task.id in ids]
    lost = [task.node for task in sick if task.id not in {other.id for other in ended}]
    assert not lost, f"tasks {how} were replaced, and are not listed any more: those on {few(lost)}"
    wrong = [str(task) for task in ended if task.state != "failed"]
    assert not wrong, f"tasks {how} were replaced, and are not listed as failed: {few(wrong, '; ')}"
    silent = [f"{task.node}: {task.error or 'nothing'}" for task in ended if "unhealthy" not in task.error]
    assert not silent, f"tasks {how} were replaced, and their errors do not say so: {few(silent, '; ')}"
    for task in sick:
        assert not runs(cluster, task), f"a task {how} was replaced, and its container runs on on {task.node}"


@claim("health/unhealthy-is-replaced")
def test_a_running_task_that_becomes_unhealthy_is_replaced(cluster):
    check = checked(WELL_UNLESS_SICK)
    work = cluster.create_service("checked", "idle", everywhere=True, restart=AT_ONCE, alter=check, stop_grace=1)
    tasks = work.wait_running(len(cluster.nodes))
    make_sick(cluster, tasks)
    expect_replaced(cluster, work, tasks, "that became unhealthy")


@claim("health/slow-check-fails")
def test_a_health_check_that_does_not_end_in_time_counts_as_failed(cluster):
    slow = "/run/slow"
    check = checked(f"[ ! -e {slow} ] || sleep 1000", timeout=scaled(2), retries=1)
    work = cluster.create_service("checked", "idle", everywhere=True, restart=AT_ONCE, alter=check, stop_grace=1)
    tasks = work.wait_running(len(cluster.nodes))
    make_sick(cluster, tasks, slow)
    expect_replaced(cluster, work, tasks, "whose health check did not end in time")


@claim("health/retries")
def test_fewer_failed_checks_than_allowed_end_no_task(cluster):
    # Fails twice, then passes once, again and again.
    check = "n=$(cat /run/n 2>/dev/null || echo 0); echo $((n + 1)) > /run/n; [ $((n % 3)) = 0 ]"
    work = cluster.create_service(
        "checked", "idle", everywhere=True, restart=AT_ONCE, alter=checked(check, every=0.5, retries=3)
    )
    tasks = work.wait_running(len(cluster.nodes))

    def asked_often():
        left = {task.id for task in work.running()}
        ended = [f"on {task.node}" for task in tasks if task.id not in left]
        # A task that has just ended has no number to tell.
        printed = [] if ended else [cluster.probe(task).run("cat /run/n").out.strip() for task in tasks]
        asked = [int(number) if number.isdigit() else 0 for number in printed]
        summary = f"tasks that ended: {few(ended) or 'none'}; checks so far: {asked}"
        return State(not ended and min(asked) >= 7, summary, hopeless=bool(ended))

    promise = f"tasks of {work} to outlive two failed checks in a row, as it takes three, again and again"
    eventually(asked_often, promise, deadline=60)


@claim("health/start-period")
def test_checks_that_fail_in_the_start_period_do_not_count(cluster):
    check = checked("[ -e /run/well ]", every=0.5, retries=1, start=scaled(300))
    work = cluster.create_service("checked", "idle", everywhere=True, restart=AT_ONCE, alter=check)
    count = len(cluster.nodes)
    wait(lambda: sum(bool(task.container) for task in work.tasks()) >= count, f"containers of {work}", deadline=60)
    tasks = work.tasks()
    promise = f"the tasks of {work}, in their start period, to live on though their checks fail"
    eventually(lambda: failing(cluster, work, tasks), promise, deadline=60)
    stays(lambda: failing(cluster, work, tasks), promise, polls=4)
    for task in tasks:
        cluster.node(task.node).execute(task.container, "touch /run/well").expect()
    expect_all(cluster, work, "running", count, lambda task: task.id in {t.id for t in tasks}, so=" once healthy")


def failing(cluster, service, tasks):
    """Whether *tasks* are all of the service, and starting, and three checks have failed in each; hopeless if not."""
    listed = service.tasks()
    same = {task.id for task in listed} == {task.id for task in tasks}
    if not same or any(task.state != "starting" for task in listed):
        return State(False, few(map(str, listed), "; "), hopeless=not same)
    logs = {task.node: health_of(cluster, task).get("Log") or [] for task in tasks}
    failed = {node: sum(entry["ExitCode"] != 0 for entry in log) for node, log in logs.items()}
    return State(min(failed.values()) >= 3, f"failed checks by node: {failed}")


@claim("health/update-waits")
def test_an_update_goes_on_when_the_new_task_is_healthy_and_not_before(cluster):
    update = {"Parallelism": 1, "Delay": 0, "Order": "start-first"}
    work = cluster.create_service("checked", "idle", replicas=2, update=update, restart=AT_ONCE)
    old = {task.id for task in work.wait_running(2)}
    check = checked("[ -e /run/well ]", every=0.5, start=scaled(300))
    work.update(check)

    def one_waits(begun):
        tasks = work.tasks()
        new = [task for task in tasks if task.id not in old]
        left = [task for task in tasks if task.id in old and task.alive]
        waits = [task for task in new if task.state == "starting" and task.container]
        told = few(map(str, new), "; ") or "none"
        summary = f"{len(new)} new tasks, {len(waits)} of them not healthy ({told}); {len(left)} of before run"
        done = len(new) == begun and len(waits) == 1 and len(left) == 2 - (begun - 1)
        return State(done, summary, hopeless=len(new) > begun or len(left) < 2 - (begun - 1))

    for begun in (1, 2):
        promise = f"the update of {work} to wait until its {('first', 'second')[begun - 1]} new task is healthy"
        wait(lambda: any(task.container for task in fresh(work, old)), f"a new task of {work}", deadline=60)
        eventually(lambda begun=begun: one_waits(begun), promise, deadline=60)
        stays(lambda begun=begun: one_waits(begun), promise, polls=6)
        (waiting,) = [task for task in fresh(work, old) if task.state == "starting"]
        cluster.node(waiting.node).execute(waiting.container, "touch /run/well").expect()
    eventually(
        lambda: work.replaced(2, lambda task: task.id not in old),
        f"the update of {work} to end once both new tasks are healthy",
        deadline=60,
    )


def fresh(service, old):
    """Return the tasks of a service whose ids are not among the *old* ones."""
    return [task for task in service.tasks() if task.id not in old]


@claim("health/named-when-healthy")
def test_a_task_has_its_place_in_names_when_it_is_healthy(cluster, network):
    client = cluster.create_service("client", "client", everywhere=True, networks=[network])
    check = checked("[ -e /run/well ]", every=0.5, start=scaled(300))
    count = len(cluster.nodes)
    work = cluster.create_service("checked", "idle", everywhere=True, networks=[network], alter=check)
    probes = [cluster.probe(task) for task in client.wait_running(count)]
    tasks = expect_all(
        cluster, work, "starting", count, lambda task: task.container and network in task.addresses, so=", with address"
    )
    well = set()
    for healed in (tasks[:1], tasks[1:]):
        for task in healed:
            cluster.node(task.node).execute(task.container, "touch /run/well").expect()
            well.add(task.addresses[network])
        promise = f"tasks.{work} to be the addresses of its {len(well)} healthy tasks of {count}, on every node"
        eventually(lambda: all_resolve(probes, work, well), promise, deadline=60, stable=3, alike=True)


def all_resolve(probes, service, wanted, among=None):
    """Whether the name of the service's tasks is *wanted* (addresses) to every probe; of addresses *among* some."""
    resolved = parallel(lambda probe: probe.resolve(f"tasks.{service}"), probes)
    found = {
        probe.node.name: got if among is None else got & among for probe, got in zip(probes, resolved, strict=True)
    }
    wrong = [f"on {node} it is {sorted(got) or 'none'}" for node, got in found.items() if got != wanted]
    each = {node: got == wanted for node, got in found.items()}
    return State(not wrong, few(wrong, "; ") or f"it is {sorted(wanted) or 'none'} everywhere", each=each)


def runs(cluster, task):
    """Whether the container of a task runs."""
    return task.container in [container["Id"] for container in cluster.node(task.node).containers()]


@claim("health/unhealthy-leaves-names")
def test_an_unhealthy_task_has_left_its_names_while_it_still_runs(cluster, network):
    count = len(cluster.nodes)
    client = cluster.create_service("client", "client", everywhere=True, networks=[network])
    work = cluster.create_service(
        "checked",
        "idle",
        everywhere=True,
        networks=[network],
        command=STUBBORN,
        # Longer than gossip may take.
        stop_grace=scaled(GOSSIP + 15),
        restart={"Condition": "none"},
        alter=checked(WELL_UNLESS_SICK, every=0.5),
    )
    probes = [cluster.probe(task) for task in client.wait_running(count)]
    tasks = work.wait_running(count)
    addresses = {task.addresses[network] for task in tasks}
    named = f"tasks.{work} to be its {count} tasks"
    wait(lambda: all_resolve(probes, work, addresses), named, deadline=60, alike=True)

    def out_of_names(sick, left):
        # Of a name without a task, servers outside are asked, and may know any name.
        state = all_resolve(probes, work, left, among=addresses)
        # Asked after the names: what runs now has run then.
        ended = [task.node for task in sick if not runs(cluster, task)]
        summary = f"containers that have ended: {few(ended) or 'none'}; {state.summary}"
        return State(state.done and not ended, summary, hopeless=bool(ended))

    left = addresses
    try:
        for sick in (tasks[1:], tasks[:1]):
            make_sick(cluster, sick)
            left = left - {task.addresses[network] for task in sick}
            on = few(task.node for task in sick)
            promise = f"unhealthy tasks of {work} on {on} to leave tasks.{work} before their containers have ended"
            eventually(lambda sick=sick, left=left: out_of_names(sick, left), promise, deadline=GOSSIP)
    finally:  # the network is in use until they have ended
        for task in tasks:
            cluster.node(task.node).execute(task.container, "touch /run/end")


@pytest.fixture
def unhealthy_image(cluster):
    """The name of an image that every node has, with a health check that fails."""
    port = cluster.port()
    # No engine can pull it, as nothing listens there; each has it.
    repository = f"{LOOPBACK}:{port}/{cluster.unique('sick')}"
    for node in cluster.nodes:
        bench = cluster.bench(node)
        box = bench.start("idle")
        settings = ["HEALTHCHECK --interval=1s --retries=1 CMD false"]
        changes = " ".join(f"--change {shlex.quote(setting)}" for setting in settings)
        bench.node.docker(f"commit {changes} {box} {repository}:1").expect(f"docker commit on {node}")
        bench.remove(box)
    yield f"{repository}:1"
    cluster.remove(cluster.made("services"))
    for node in cluster.nodes:  # refused while a container of the image is left
        wait(lambda node=node: removed(node, f"/images/{repository}:1"), f"{node} to lose {repository}", deadline=60)


@claim("health/none-disables")
def test_a_service_may_do_without_the_health_check_of_its_image(cluster, unhealthy_image):
    never = {"Condition": "none"}
    # That the image has a check shows in a service that keeps it.
    kept = cluster.create_service("kept", unhealthy_image, everywhere=True, restart=never)
    without = cluster.create_service("without", unhealthy_image, everywhere=True, restart=never, alter=no_check)
    count = len(cluster.nodes)
    tasks = without.expect_running(count)
    failed = f"the tasks of {kept}, which has the check of its image, to fail"
    wait(lambda: all(task.state == "failed" for task in kept.tasks()), failed, deadline=60)
    for task in tasks:
        health = health_of(cluster, task)
        status = health.get("Status", "none")
        assert status == "none", f"{without} has the health check NONE, and its container on {task.node} is {status}"
    stays(lambda: without.converged(count), f"the tasks of {without}, which has no check, to run on", polls=4)


def no_check(spec):
    """Change a specification so that the image's health check is not used."""
    spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"] = {"Test": ["NONE"]}
