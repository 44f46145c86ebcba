"""Events of the cluster: every manager tells them, and no worker does."""

import pytest

from fixtures.claims import claim
from suites.support.swarm_events import now, told
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, wait

three_managers = pytest.mark.cluster(managers=3, workers=0, standing=True)


def expect_told(cluster, kind):
    """Judge that every manager tells of each change of an object of this kind, with its name, as of the cluster."""
    lived = told(cluster)
    changes = lived.of(kind)
    if not changes:
        raise Blocked(f"a manager's engine is too old to tell of a {kind}")
    missing = lived.missing(changes)
    assert not missing, f"{few(missing, '; ')}"
    for manager in lived.events:
        for change in changes:
            event = lived.of_change(manager, change)
            name = event["Actor"]["Attributes"].get("name")
            assert name == change.name, f"{manager} tells of the {change} with the name {name!r}"
            scope = event.get("scope")
            assert scope == "swarm", f"{manager} tells of the {change} with scope {scope!r}, not swarm"


@claim("events/services")
@three_managers
def test_every_manager_tells_of_services(cluster):
    expect_told(cluster, "service")


@claim("events/secrets")
@three_managers
def test_every_manager_tells_of_secrets(cluster):
    expect_told(cluster, "secret")


@claim("events/configs")
@three_managers
def test_every_manager_tells_of_configs(cluster):
    expect_told(cluster, "config")


@claim("events/networks")
@three_managers
def test_every_manager_tells_of_networks(cluster):
    expect_told(cluster, "network")


@claim("events/nodes")
@three_managers
def test_every_manager_tells_of_nodes(cluster):
    expect_told(cluster, "node")


@claim("events/attributes")
@three_managers
def test_the_event_of_an_update_says_what_was_and_what_is(cluster):
    lived = told(cluster)
    (update,) = [change for change in lived.of("service") if change.action == "update"]
    missing = lived.missing([update])
    wait(lambda: State(not missing, few(missing)), "every manager to tell of the update", deadline=0)
    before, after = lived.images
    wanted = {"replicas.old": "1", "replicas.new": "2"}
    for manager in lived.events:
        said = lived.of_change(manager, update)["Actor"]["Attributes"]
        found = {key: said.get(key) for key in wanted}
        assert found == wanted, f"{manager} tells of the {update} {found}, and 1 replica became 2"
        images = [said.get(f"image.{when}", "").split("@")[0].removesuffix(":latest") for when in ("old", "new")]
        assert images == [before, after], f"{manager} tells of images {images}, and {before} became {after}"


@claim("events/filters")
@three_managers
def test_filters_pass_what_they_name_and_nothing_else(cluster):
    lived = told(cluster)
    if not lived.filtered:
        raise Blocked("a manager's engine is too old to filter events by what they are of")
    ours = {change.id for change in lived.changes}
    for (kind, value), by_manager in lived.filtered.items():
        for manager, passed in by_manager.items():
            told_of, wanted = (
                [event for event in events if event["Actor"]["ID"] in ours and passes(event, kind, value)]
                for events in (lived.events[manager], lived.remembered[manager])
            )
            if not wanted and (told_of or manager in lived.overrun):
                raise Blocked(f"{manager} has so many events that it no longer remembers those of {kind}={value}")
            lost = [event for event in wanted if event not in passed]
            wrong = [event for event in passed if not passes(event, kind, value)]
            assert wanted, f"{manager} told of nothing that the filter {kind}={value} could pass"
            assert not lost, f"on {manager} the filter {kind}={value} keeps back {listed(lost)}"
            assert not wrong, f"on {manager} the filter {kind}={value} passes {listed(wrong)}"


def passes(event, kind, value):
    """Whether a filter has to let an event pass."""
    if kind == "scope":
        return event.get("scope") == value
    if kind == "type":
        return event["Type"] == value
    if kind == "event":
        return event["Action"] == value
    return event["Type"] == kind and event["Actor"]["Attributes"].get("name") == value


def listed(events):
    """Events, for messages."""
    return few(f"{event['Action']} of a {event['Type']} (scope {event.get('scope')})" for event in events)


@claim("events/managers-only")
def test_a_worker_tells_its_own_events_and_none_of_the_cluster(cluster):
    workers = cluster.workers
    if not workers:
        raise Blocked("the cluster has no worker")
    asked = [cluster.manager, *workers]
    since = dict(zip(asked, parallel(now, asked), strict=True))
    service = cluster.create_service("told", "idle", everywhere=True)
    events = {node: [] for node in asked}

    def all_told():
        heard = parallel(lambda node: node.events(since[node], now(node)), asked)
        for node, batch in zip(asked, heard, strict=True):  # an engine remembers its last events only
            events[node] += [event for event in batch if event not in events[node]]
        started = {task.node: task.container for task in service.running()}
        silent = [
            node.name for node in asked if not any(starts(event, started.get(node.name)) for event in events[node])
        ]
        of_service = any(event["Actor"]["ID"] == service.id for event in events[cluster.manager])
        wrong = [node.name for node in workers if any(event.get("scope") == "swarm" for event in events[node])]
        summary = f"told nothing of their own task: {silent or 'none'}; told of the cluster: {wrong or 'none'}"
        return State(not silent and of_service and not wrong, summary, hopeless=bool(wrong))

    eventually(
        all_told,
        "workers to tell of the start of their own tasks and of nothing of the cluster, and a manager of the service",
        deadline=60,
    )


def starts(event, container):
    """Whether an event is of the start of this container."""
    return (event["Type"], event["Action"], event["Actor"]["ID"]) == ("container", "start", container)
