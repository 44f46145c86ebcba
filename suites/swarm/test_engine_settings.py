"""Placement by what a node's engine is set to: its labels and its generic resources.

The worker of a small cluster gets the settings once, for all tests here.
"""

import json
import shlex

import pytest

from fixtures.claims import claim
from suites.support.placement import containers, only_on, stays
from swarmlab.lists import few
from swarmlab.versions import parsed
from swarmlab.wait import State, eventually, wait

FILE = "/etc/docker/daemon.json"
#: A label of the engine, a kind of resource that is counted, and one whose pieces have names.
LABEL, COUNTED, NAMED = "swc.storage=ssd", "swc-slot", "swc-card"
PIECES = ["card-one", "card-two"]
RESOURCES = [f"{COUNTED}=3", *(f"{NAMED}={piece}" for piece in PIECES)]
#: The first API whose engines take such resources as a list. Engines do not start with a setting that they do not know.
LISTED = "1.37"

small = pytest.mark.cluster(managers=1, workers=1)


@pytest.fixture
def worker(cluster):
    """The worker, whose engine has the label, and the resources if it takes them."""
    (worker,) = cluster.workers
    cluster.keep("engine settings", lambda: set_engine(cluster, worker))
    return worker


def set_engine(cluster, node):
    """Add label and resources to the settings of a node's engine, start it anew, and wait until the managers know."""
    settings, words = {"labels": [LABEL]}, LABEL.split("=")
    if parsed(node.ask("GET", "/version")["ApiVersion"]) >= parsed(LISTED):
        settings["node-generic-resources"] = RESOURCES
        words += [COUNTED, *PIECES]
    present = json.loads(node.run(f"cat {FILE} 2>/dev/null").out or "{}")
    text = json.dumps({**present, **settings})
    node.run(f"mkdir -p /etc/docker && printf %s {shlex.quote(text)} > {FILE}").expect(f"writing {FILE} on {node}")
    node.stop()
    node.start()
    cluster.wait_ready()

    def known():
        member = next(m for m in cluster.members() if m["Description"]["Hostname"] == node.name)
        told = json.dumps(member["Description"])
        return State(all(word in told for word in words), told[:500])

    wait(known, f"the managers to know the engine settings of {node}", deadline=60)
    return True


def reserving(kind, number):
    """Return reservations of so many pieces of a generic resource."""
    return {"GenericResources": [{"DiscreteResourceSpec": {"Kind": kind, "Value": number}}]}


@claim("placement/by-engine-label")
@small
def test_tasks_are_on_nodes_whose_engine_has_the_label_that_is_asked_for(cluster, worker):
    name, _, value = LABEL.partition("=")
    rules = {f"{name}=={value}": [worker], f"{name}!={value}": [cluster.manager], f"{name}=={value}s": []}
    services = {
        rule: cluster.create_service("where", "idle", everywhere=True, constraints=[f"engine.labels.{rule}"])
        for rule in rules
    }
    for rule, service in services.items():
        nodes = rules[rule]
        promise = f"a service with the constraint engine.labels.{rule} to run on {few(nodes) or 'no node'}"
        eventually(lambda s=service, nodes=nodes: only_on(cluster, s, nodes), promise, deadline=60, stable=2)
    stays(lambda: only_on(cluster, service, []), f"a service with the constraint engine.labels.{rule} to run nowhere")


def fills(service, run, node, waiting):
    """Whether *run* tasks of the service run, all on *node*, and so many wait."""
    tasks = service.tasks()
    running = [task for task in tasks if task.alive]
    pending = [task for task in tasks if task.state == "pending" and not task.node]
    elsewhere = [str(task) for task in running if task.node != node.name]
    summary = f"{len(running)} run, {len(pending)} wait, elsewhere: {few(elsewhere) or 'none'}"
    done = (len(running), len(pending)) == (run, waiting) and not elsewhere
    return State(done, summary, hopeless=bool(elsewhere) or len(running) > run)


def why(service):
    """Return what the service's waiting tasks show as the reason."""
    return few({f"{task.message} {task.error}".strip() for task in service.tasks() if task.state == "pending"})


@claim("placement/generic-resources-counted")
@small
def test_a_node_takes_as_many_tasks_as_its_counted_resource_is_enough_for(cluster, worker):
    first = cluster.create_service("first", "idle", reservations=reserving(COUNTED, 2))
    eventually(lambda: fills(first, 1, worker, 0), f"{first} to run on {worker}, which has the resource", deadline=60)
    # Of three pieces one is left: room for one task of one, and for none of two.
    second = cluster.create_service("second", "idle", replicas=2, reservations=reserving(COUNTED, 1))
    eventually(lambda: fills(second, 1, worker, 1), f"one of 2 tasks of {second} to find a piece left", deadline=60)
    stays(lambda: fills(second, 1, worker, 1), f"the other task of {second} to wait", polls=5)
    reason = why(second)
    assert "resource" in reason, f"a task waits for a generic resource, and shows: {reason or 'nothing'}"
    first.remove()
    eventually(lambda: fills(second, 2, worker, 0), f"{second} to get the piece that {first} had", deadline=60)


@claim("placement/generic-resources-named")
@small
def test_a_task_learns_the_names_of_the_pieces_that_it_alone_has(cluster, worker):
    work = cluster.create_service("work", "idle", replicas=3, reservations=reserving(NAMED, 1))
    eventually(lambda: fills(work, 2, worker, 1), f"2 of 3 tasks of {work} to get a piece", deadline=60)
    given = {}
    for _, node, container in containers(cluster, work):
        set_to = cluster.node(node).ask("GET", f"/containers/{container}/json")["Config"]["Env"]
        given[container[:12]] = [value for value in set_to if value.startswith("DOCKER_RESOURCE_")]
    pieces = sorted(value.partition("=")[2] for values in given.values() for value in values)
    assert pieces == PIECES, f"two tasks were to be given {few(PIECES)}, one each, and their environments have: {given}"
    reason = why(work)
    assert "resource" in reason, f"a task waits for a generic resource, and shows: {reason or 'nothing'}"
