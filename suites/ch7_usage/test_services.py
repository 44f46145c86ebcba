"""7.2.1 to 7.2.4: services created, inspected, scaled and removed."""

import json
import re

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, detached, refusal
from suites.support.mesh import mesh_of
from suites.support.placement import containers
from suites.support.traffic import GOSSIP, all_from, hands_over, note_mesh, reached_from_all, strangers
from swarmlab.cluster.node import nodes_where, on_each
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually
from swarmlab.watching.events import History
from swarmlab.watching.watch import Watch


def create_documented(cluster, port):
    """Create the document's own service with its command: a web server of one replica, published at *port*."""
    name = cluster.unique("my-nginx")
    # Detached, as the command line's own wait for a steady service judges nothing.
    command = f"service create --detach -p {port}:80 --label {cluster.label} --name {name} {cluster.image('web:1')}"
    accepted(cluster.manager, command)
    return cluster.service(name)


@pytest.fixture
def documented(cluster):
    """The document's own service, for tests that judge something else than its creation."""
    return create_documented(cluster, cluster.port())


@claim("7.2.1/create-with-port")
@pytest.mark.smoke
def test_create_gives_one_task_and_publishes_the_port(cluster):
    port = cluster.port()
    documented = create_documented(cluster, port)
    (task,) = documented.expect_running(1)
    assert mesh_of(cluster) in task.addresses, f"the task on {task.node} is not attached to the routing mesh's network"
    ports = documented.inspect()["Endpoint"].get("Ports", [])
    published = [(entry["PublishedPort"], entry["TargetPort"], entry["PublishMode"]) for entry in ports]
    assert published == [(port, 80, "ingress")], f"{port}:80 must be published; {published} is published"
    # The port is the service's on the whole cluster: no other service gets it.
    refused = refusal(cluster.create_service, "rival", "web:1", publish={port: 80})
    assert "already in use" in refused, f"a second service was given port {port} too: {refused or 'not refused'}"


@claim("7.2.1/reachable-on-any-node")
def test_published_port_answers_on_every_node(cluster, documented):
    documented.wait_running(1)
    port = documented.published()
    for host in cluster.sample:
        task = documented.move_to(host)
        eventually(
            lambda task=task: routed(cluster, port, task),
            f"every node to route port {port} to the task on {host}",
            deadline=GOSSIP,
            stable=3,
            alike=True,
        )
        note_mesh(cluster)


@claim("7.2.1/host-mode-port")
def test_port_of_mode_host_answers_where_a_task_runs_only(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", publish={port: 80}, publish_mode="host")
    web.wait_running(1)
    for host in cluster.sample:
        task = web.move_to(host)
        eventually(
            lambda host=host, task=task: all_from(task, [host.get(port)]),
            f"the task on {host} to answer on {host.address}:{port}",
            deadline=10,
        )
        for other in cluster.nodes:
            if other is not host:
                answer = other.get(port)
                assert not answer.status, f"{other} answers on port {port}, and the only task is on {host}: {answer}"


@claim("7.2.2/ls-columns")
def test_service_ls_shows_the_documented_columns(cluster, documented):
    documented.wait_running(1)
    port = documented.published()
    header, *rows = accepted(cluster.manager, "service ls").splitlines() or [""]
    assert header.split() == ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"], f"the columns are {header.split()}"
    row = next((re.split(r"\s{2,}", line.strip()) for line in rows if documented.name in line.split()), [])
    assert row, f"{documented} is not listed: {rows}"
    assert documented.id.startswith(row[0]), f"the id of {documented} is {documented.id}, listed is {row[0]}"
    wanted = [documented.name, "replicated", "1/1", cluster.image("web:1"), f"*:{port}->80/tcp"]
    assert row[1:] == wanted, f"listed is {row[1:]}, not {wanted}"


@claim("7.2.2/inspect")
def test_inspect_shows_the_specification_as_given(cluster):
    port = cluster.port()
    documented = create_documented(cluster, port)
    inspected = json.loads(accepted(cluster.manager, f"service inspect {documented.name}"))
    shown = {item["ID"]: item["Spec"] for item in inspected}
    assert list(shown) == [documented.id], f"shown are {list(shown)}, and {documented} is {documented.id}"
    spec = shown[documented.id]
    described = {
        "Name": spec["Name"],
        "Labels": spec["Labels"],
        "Image": spec["TaskTemplate"]["ContainerSpec"]["Image"].split("@")[0],
        "Mode": spec["Mode"],
        "Ports": [
            (item["Protocol"], item["TargetPort"], item["PublishedPort"]) for item in spec["EndpointSpec"]["Ports"]
        ],
    }
    given = {
        "Name": documented.name,
        "Labels": {cluster.label: ""},
        "Image": cluster.image("web:1"),
        "Mode": {"Replicated": {"Replicas": 1}},
        "Ports": [("tcp", 80, port)],
    }
    for what, value in given.items():
        assert described[what] == value, f"{what} is shown as {described[what]}, and was given as {value}"


@claim("7.2.2/managers-only")
def test_service_commands_are_refused_on_a_worker(cluster, documented):
    if not cluster.workers:
        raise Blocked("the cluster has no worker")
    before = services_of(cluster)
    for command in (
        "service ls",
        f"service inspect {documented.name}",
        f"service ps {documented.name}",
        f"service create --label {cluster.label} --name {cluster.unique('refused')} {cluster.image('web:1')}",
        f"service update --replicas 2 {documented.name}",
        f"service scale {documented.name}=2",
        f"service rm {documented.name}",
    ):
        answers = on_each(lambda worker, command=command: worker.docker(command), cluster.workers)
        for worker, refused in zip(cluster.workers, answers, strict=True):
            assert not refused.ok, f"{worker}, a worker, accepted docker {command}"
            # `inspect` reports a search that failed; the others say that the node is no manager.
            if not command.startswith("service inspect"):
                assert "not a swarm manager" in refused.output, f"{worker} on docker {command}: {refused.output}"
        after = services_of(cluster)
        assert after == before, f"{few(cluster.workers)} refused docker {command}, and yet {before} became {after}"


def services_of(cluster):
    """Return the wanted replicas of the suite's services by name."""
    services = cluster.manager.ask("GET", "/services", filters={"label": [cluster.label]})
    return {service["Spec"]["Name"]: service["Spec"]["Mode"]["Replicated"]["Replicas"] for service in services}


@claim("7.2.3/scale-up")
@pytest.mark.smoke
def test_update_replicas_brings_exactly_three_tasks(cluster, documented):
    documented.wait_running(1)
    accepted(cluster.manager, f"service update --detach --replicas 3 {documented.name}")
    tasks = documented.expect_running(3)
    assert len({task.slot for task in tasks}) == 3, f"three tasks share slots: {', '.join(map(str, tasks))}"
    found = containers_of(cluster, documented)
    wanted = {task.container: task.node for task in tasks}
    assert found == wanted, f"the tasks must be {listed(wanted)}, and the nodes run {listed(found)}"


@claim("7.2.3/missing-image-pulled")
@pytest.mark.cluster(bare=True)
def test_a_node_pulls_the_image_that_it_lacks(cluster):
    image = cluster.image("redis")
    for node in cluster.nodes:
        node.docker(f"rmi --force {image}")
        assert not node.docker(f"image inspect {image}").ok, f"{node} could not be rid of {image}"
    redis = cluster.create_service("redis", "redis", everywhere=True)
    eventually(
        lambda: redis.converged(len(cluster.nodes)), f"every node to pull {image} and to run its task", deadline=90
    )
    for node in cluster.nodes:
        assert node.docker(f"image inspect {image}").ok, f"{node} runs {image} and does not have it"


@claim("7.2.3/scale-down")
def test_update_replicas_one_leaves_one_task(cluster, documented):
    documented.scale(3)
    before = documented.wait_running(3)
    accepted(cluster.manager, f"service update --detach --replicas 1 {documented.name}")
    (left,) = documented.expect_running(1)
    kept = left.id in {task.id for task in before}
    assert kept, f"the one that is left, on {left.node}, is none of the three: {few(map(str, before), '; ')}"
    eventually(
        lambda: State(len(found := containers_of(cluster, documented)) == 1, listed(found)),
        "the surplus containers to be stopped",
    )


@claim("7.2.3/scale-command")
def test_scale_does_what_update_does(cluster, documented):
    documented.wait_running(1)
    for wanted in (3, 2):
        accepted(cluster.manager, f"{detached(cluster.manager, 'service scale')} {documented.name}={wanted}")
        documented.expect_running(wanted)
        noted = documented.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"]
        assert noted == wanted, f"{documented} was scaled to {wanted}, and its specification wants {noted}"


@claim("7.2.3/reachable-while-scaling")
def test_no_request_fails_while_scaling(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", publish={port: 80}, **hands_over())
    (task,) = web.wait_running(1)
    eventually(
        lambda: routed(cluster, port, task), f"every node to route port {port} to the task", stable=3, alike=True
    )
    history = History(web)
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        for wanted in (3, 1):
            watch.mark(f"to be scaled to {wanted}")
            web.scale(wanted)
            eventually(
                lambda wanted=wanted: web.converged(wanted, tasks=history.look()),
                f"{web} to have {wanted} tasks",
                deadline=90,
            )
            watch.mark(f"has {wanted} tasks")
            watch.rounds(5)
            note_mesh(cluster)
        watch.enough()
    assert not watch.lost, f"while {web} was scaled 1 -> 3 -> 1, {watch.summary}"
    others = strangers(watch, history)
    assert not others, f"others than the tasks of {web} answered: {others}; {watch.summary}"


@claim("7.2.4/rm")
def test_rm_removes_everything_and_frees_the_port(cluster, documented):
    documented.scale(3)
    documented.wait_running(3)
    port = documented.published()
    accepted(cluster.manager, f"service rm {documented.name}")
    # A manager that is asked for a service that is gone logs an error; one that is asked for a list does not.
    left = cluster.manager.ask("GET", "/services", filters={"id": [documented.id]})
    assert not left, f"{documented} was removed, and is still there"
    eventually(
        lambda: State(not (left := containers_of(cluster, documented, all=True)), listed(left)),
        f"the containers of {documented} to be removed from every node",
        deadline=60,
    )
    eventually(lambda: documented.id not in cluster.with_tasks(), f"the tasks of {documented} to be forgotten")
    eventually(
        lambda: State(not (held := nodes_where(lambda node: node.listening(port), cluster.nodes)), few(held) or "none"),
        f"port {port}, which {documented} had, to be free on every node",
        deadline=GOSSIP,
    )
    # A new service on the port shows that the managers have it free.
    cluster.create_service("successor", "web:1", publish={port: 80}).expect_running(1)


def containers_of(cluster, service, *, all=False):
    """Return the host name of each container's node by container id, as the engines list running ones, or *all*."""
    return {container: node for _, node, container in containers(cluster, service, all=all)}


def listed(containers):
    """Containers and their nodes, for messages."""
    return few(f"{container[:12]} on {node}" for container, node in containers.items()) or "none"


def routed(cluster, port, task):
    """Whether every node routes the published *port* to *task*, the service's only one."""
    answers = parallel(lambda asked: asked.get(port), cluster.nodes)
    states = {asked: all_from(task, [answer]) for asked, answer in zip(cluster.nodes, answers, strict=True)}
    return reached_from_all(states, cluster.node(task.node))
