"""7.2.5: rolling updates, updates that fail, and rollbacks."""

import pytest

from fixtures.claims import claim
from suites.support import rolling_updates as updates
from suites.support.commands import accepted, refusal
from suites.support.published import answering
from suites.support.traffic import hands_over, note_mesh, strangers
from swarmlab.cluster.service import ENDED
from swarmlab.wait import State, eventually, wait
from swarmlab.watching.events import History, Recorder
from swarmlab.watching.watch import Watch

SECOND = 10**9
#: Seconds between replacements: longer than a replacement takes, so that a missing delay shows.
DELAY = 6
#: Nanoseconds of delay and monitoring of updates that fail: long enough on any cluster that the failure is noticed
#: before another task is replaced.
LONG = 120 * SECOND
NEVER_HEALTHY = {"Test": ["CMD", "false"], "Interval": SECOND, "Timeout": 30 * SECOND, "Retries": 1}


@claim("7.2.5/rolling-update")
@pytest.mark.parametrize("order", ["stop-first", "start-first"])
@pytest.mark.parametrize(("replicas", "parallelism"), [(3, 1), (4, 2)], ids=["one by one", "two by two"])
def test_an_update_replaces_so_many_tasks_at_a_time_so_far_apart(cluster, order, replicas, parallelism):
    healthy = ["curl", "-fsS", "http://localhost/healthz"]
    web = cluster.create_service("web", "web:1", replicas=replicas, health=healthy, health_every=1)
    web.wait_running(replicas)
    image = cluster.image("web:2")
    history = History(web)
    history.look()
    with Recorder(cluster.nodes) as recorder:
        accepted(
            cluster.manager,
            f"service update --detach --update-parallelism {parallelism} --update-delay {DELAY}s"
            f" --update-order {order} --image {image} {web.name}",
        )
        eventually(
            lambda: updates.updated(history, recorder, replicas, image), f"every task to run {image}", deadline=180
        )
    made = updates.replacements(history, image, recorder, cluster.leader.name)
    assert len(made) == replicas, f"of {replicas} tasks were replaced: {', '.join(map(str, made))}"
    wrong = (
        updates.crowd(history, image, parallelism)
        or updates.pace(made, parallelism, DELAY)
        or updates.shortage(history, replicas - (parallelism if order == "stop-first" else 0))
        or updates.out_of_order(made, recorder, order)
    )
    assert not wrong, f"while {web} was updated, {wrong}"
    stale = updates.lacking(cluster, web, "RELEASE=2")
    assert not stale, f"{web} was updated to RELEASE=2, and yet {'; '.join(stale)}"


@claim("7.2.5/no-request-lost")
def test_no_request_fails_during_a_rolling_update(cluster):
    port = cluster.port()
    web = cluster.create_service(
        "web",
        "web:1",
        replicas=3,
        publish={port: 80},
        update={"Parallelism": 1, "Order": "start-first"},
        **hands_over(),
    )
    web.wait_running(3)
    eventually(lambda: answering(cluster.nodes, port), f"every node to answer on port {port}", stable=3, alike=True)
    image = cluster.image("web:2")
    history = History(web)
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        watch.mark("update asked for")
        accepted(cluster.manager, f"service update --detach --image {image} {web.name}")
        watch.mark("update accepted")
        eventually(
            lambda: web.replaced(3, lambda task: task.image == image, history.look()),
            f"every task to run {image}",
            deadline=120,
        )
        watch.mark("every task is replaced")
        watch.enough()
    note_mesh(cluster)
    assert not watch.lost, f"while {web} was updated, {watch.summary}"
    others = strangers(watch, history)
    assert not others, f"others than the tasks of {web} answered: {others}; {watch.summary}"


# Updates that fail


def to_image(cluster, service, image):
    """Update to an image with the document's command."""
    accepted(cluster.manager, f"service update --detach --image {cluster.image(image)} {service.name}")


def to_what_ends_at_once(cluster, service):
    to_image(cluster, service, "web:broken")


def to_an_image_that_is_nowhere(cluster, service):
    to_image(cluster, service, "web:nowhere")


def to_what_ends_after_a_while(cluster, service):
    def change(spec):
        spec["TaskTemplate"]["ContainerSpec"] |= {
            "Image": cluster.image("web:2"),
            "Command": ["sh", "-c", "sleep 3; exit 3"],
        }

    service.update(change)


def to_what_is_never_healthy(cluster, service):
    def change(spec):
        spec["TaskTemplate"]["ContainerSpec"] |= {"Image": cluster.image("web:2"), "Healthcheck": NEVER_HEALTHY}

    service.update(change)


@claim("7.2.5/failed-update-pauses")
@pytest.mark.parametrize(
    ("fails", "order"),
    [
        (to_what_ends_at_once, "stop-first"),
        (to_what_ends_at_once, "start-first"),
        (to_an_image_that_is_nowhere, "stop-first"),
        (to_what_ends_after_a_while, "start-first"),
        (to_what_is_never_healthy, "stop-first"),
        (to_what_is_never_healthy, "start-first"),
    ],
    ids=lambda item: item if isinstance(item, str) else item.__name__.replace("_", " "),
)
def test_an_update_that_fails_pauses_and_the_others_run_on(cluster, fails, order):
    web = cluster.create_service(
        "web",
        "web:1",
        replicas=3,
        update={"Parallelism": 1, "Delay": LONG, "Monitor": LONG, "FailureAction": "pause", "Order": order},
    )
    before = web.wait_running(3)
    history = History(web)
    with Recorder(cluster.nodes) as recorder:
        fails(cluster, web)

        def paused():
            recorder.poll()
            history.look()
            now = updates.status(web)
            ended = now == "completed" or now.startswith("rollback")
            return State(now == "paused", f"it is {now}; failed: {'; '.join(history.errors())}", hopeless=ended)

        eventually(paused, f"the update of {web} to pause", deadline=90)
        slots = {life[0].slot for life in history.lives().values() if life[0].id not in {item.id for item in before}}
        came_to = [f"slot {task.slot} on {task.node}" for task in before if task.slot in slots]
        assert len(slots) == 1, f"the first failure must stop the update, which reached {' and '.join(came_to)}"
        rest = [task for task in before if task.slot not in slots]
        # Any harm that the pause does to the other tasks takes a while to show.
        wait(lambda: run_on(cluster, rest, history, recorder), f"the rest of {web} to run on", stable=10)
        assert updates.status(web) == "paused", f"the update of {web} was paused, and is {updates.status(web)}"
    for event in recorder.events:
        if event.action in ("kill", "die", "stop", "destroy"):
            hit = [task for task in rest if task.container == event.container]
            assert not hit, f"slot {hit[0].slot} was not updated, and yet there was {event}"


def run_on(cluster, tasks, history, recorder):
    """Judge that *tasks*, which were not updated, run on in the same containers on the same nodes."""
    recorder.poll()
    now = {task.id: task for task in history.look()}
    for task in tasks:
        where = f"the task of slot {task.slot} on {task.node} was not updated, and"
        left = now.get(task.id)
        assert left, f"{where} is gone"
        assert left.alive, f"{where} does not run on: {left}"
        assert left.container == task.container, f"{where} has another container than before the update"
        running = [container["Id"] for container in cluster.node(task.node).containers()]
        assert task.container in running, f"{where} its container does not run on"
    return True


# Rollbacks

POLICY = {"Parallelism": 1, "FailureAction": "rollback", "Monitor": LONG, "Delay": LONG}


def created(cluster, port, **settings):
    """Create a service with a setting of each kind in its specification."""
    web = cluster.create_service(
        "web",
        "web:1",
        replicas=2,
        publish={port: 80},
        environment={"EDITION": "first"},
        limits={"MemoryBytes": 256 * 2**20},
        constraints=["node.platform.os==linux"],
        stop_grace=7,
        **settings,
    )
    web.wait_running(2)
    return web


def change_everything(cluster, port, image):
    """Return a change of a service of `created` that changes every setting but its policies."""

    def change(spec):
        spec["Labels"]["edition"] = "second"
        spec["Mode"]["Replicated"]["Replicas"] = 3
        spec["EndpointSpec"]["Ports"][0]["PublishedPort"] = port
        template = spec["TaskTemplate"]
        template["ContainerSpec"]["Image"] = cluster.image(image)
        template["ContainerSpec"]["Env"] = ["EDITION=second"]
        template["ContainerSpec"]["StopGracePeriod"] = 9 * SECOND
        template["Resources"]["Limits"]["MemoryBytes"] = 512 * 2**20
        template["Placement"]["Constraints"] = []

    return change


def expect_edition(cluster, web, spec, edition, image, replicas, port):
    """Judge that the service has the specification *spec*, and runs by it.

    Args:
        cluster: the swarm.
        web: the service.
        spec: its specification of that edition.
        edition: "first" or "second".
        image: the image of that edition.
        replicas: the replicas of that edition.
        port: the published port of that edition.
    """
    eventually(
        lambda: web.converged(replicas, lambda task: task.image == cluster.image(image)),
        f"{replicas} tasks of {web} on {image}",
        deadline=120,
    )
    wrong = updates.differences(spec, web.inspect()["Spec"])
    assert not wrong, f"the specification of {web} is not that of the {edition} edition: {'; '.join(wrong)}"
    published = [entry["PublishedPort"] for entry in web.inspect()["Endpoint"].get("Ports", [])]
    assert published == [port], f"{web} of the {edition} edition publishes {port}, and now {published}"
    stale = updates.lacking(cluster, web, f"EDITION={edition}")
    assert not stale, f"{web} must be of the {edition} edition, and yet {'; '.join(stale)}"


def by_command(web):
    """Roll back with the document's command, or that of command lines before 17.09, which do not have it."""
    manager = web.swarm.manager
    command = "rollback" if "rollback" in accepted(manager, "service --help") else "update --rollback"
    accepted(manager, f"service {command} --detach {web.name}")


def by_api(web):
    """Roll back with a call of the API."""
    web.rollback()


@claim("7.2.5/rollback")
@pytest.mark.parametrize("back", [by_command, by_api], ids=["command", "API"])
def test_rollback_brings_the_whole_previous_specification_back(cluster, back):
    port, other = cluster.port(), cluster.port()
    web = created(cluster, port)
    assert refusal(web.rollback), f"{web} was never updated, and yet is rolled back to something"
    first = web.inspect()["Spec"]
    web.update(change_everything(cluster, other, "web:2"))
    wait(
        lambda: web.replaced(3, lambda task: task.image == cluster.image("web:2")),
        f"{web} to be updated",
        deadline=120,
    )
    second = web.inspect()["Spec"]
    back(web)
    expect_edition(cluster, web, first, "first", "web:1", 2, port)
    # Now the specification from before the rollback is the previous one.
    back(web)
    expect_edition(cluster, web, second, "second", "web:2", 3, other)


@claim("7.2.5/rollback")
@pytest.mark.parametrize("fails", [to_what_ends_at_once, to_what_is_never_healthy], ids=["ends", "unhealthy"])
def test_an_update_that_fails_is_rolled_back_by_itself(cluster, fails):
    port, other = cluster.port(), cluster.port()
    web = created(cluster, port, update=POLICY, rollback={"Parallelism": 1})
    first = web.inspect()["Spec"]
    history = History(web)
    history.look()
    image = "web:broken" if fails is to_what_ends_at_once else "web:2"
    change = change_everything(cluster, other, image)

    def failing(spec):
        change(spec)
        if fails is to_what_is_never_healthy:
            spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"] = NEVER_HEALTHY

    web.update(failing)

    def rolled_back():
        history.look()
        now = updates.status(web)
        # A started rollback is enough, as all that it brings back is judged below: an engine 20.10.24 had brought
        # everything back, and minutes later still reported a started rollback.
        given_up = now in ("paused", "completed", "rollback_paused")
        summary = f"the update is {now}; failed: {'; '.join(history.errors())}"
        return State(now in ("rollback_started", "rollback_completed"), summary, hopeless=given_up)

    eventually(rolled_back, f"{web} to be rolled back", deadline=150)
    expect_edition(cluster, web, first, "first", "web:1", 2, port)
    tried = [life[-1] for life in history.lives().values() if life[-1].image == cluster.image(image)]
    assert tried, f"no task of {web} was ever one of the specification that was rolled back"
    listed = {task.id: task for task in web.tasks()}
    left = [str(listed[task.id]) for task in tried if task.id in listed and listed[task.id].state not in ENDED]
    assert not left, f"{web} was rolled back, and tasks of what failed are there still: {'; '.join(left)}"
    images = {task.image for task in listed.values()}
    both = {cluster.image("web:1"), cluster.image(image)}
    assert images == both, f"the history of {web} shows tasks of {sorted(images)}, not of {sorted(both)}"
