"""7.2.1 to 7.2.4: creating, looking at, scaling and removing a service."""

import json
import re

import pytest

from fixtures.claims import claim
from suites.ch7_usage.traffic import without_loss
from swarmlab.errors import EngineRefused
from swarmlab.wait import State, eventually


def create_documented(cluster):
    """The document's own service, made with its command: a web server of one replica, port 80 published."""
    name, port = cluster.unique("my-nginx"), cluster.port()
    # Detached: the command line's own wait for a steady service adds nothing to what is judged.
    words = f"service create --detach -p {port}:80 --label {cluster.label} --name {name} {cluster.image('web:1')}"
    created = cluster.manager.docker(words)
    assert created.ok, f"docker {words}: {created.said}"
    return cluster.service(name)


@pytest.fixture
def documented(cluster):
    """The document's own service, where it is only the way to what is judged."""
    return create_documented(cluster)


@claim("7.2.1/create-with-port")
def test_create_gives_one_task_and_publishes_the_port(cluster):
    documented = create_documented(cluster)
    (task,) = documented.expect_running(1)
    assert "ingress" in task.addresses, f"the task on {task.node} is not attached to the routing mesh's network"
    (given,) = documented.inspect()["Spec"]["EndpointSpec"]["Ports"]
    (port,) = documented.inspect()["Endpoint"]["Ports"]
    assert port["PublishedPort"] == given["PublishedPort"]
    assert port["TargetPort"] == 80
    assert port["PublishMode"] == "ingress"
    # Nobody else gets the port: it is the service's on the whole cluster.
    with pytest.raises(EngineRefused, match="already in use"):
        cluster.create_service("rival", "web:1", publish={port["PublishedPort"]: 80})


@claim("7.2.1/reachable-on-any-node")
def test_published_port_answers_on_every_node(cluster, documented):
    documented.wait_running(1)
    port = documented.published()
    for host in cluster.nodes:
        task = documented.move_to(host)
        eventually(
            lambda task=task: routed(cluster, port, task),
            f"every node to route port {port} to the task on {host}",
            deadline=20,
            stable=3,
        )


@claim("7.2.1/host-mode-port")
def test_port_of_mode_host_answers_where_a_task_runs_only(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", publish={port: 80}, publish_mode="host")
    web.wait_running(1)
    for host in cluster.nodes:
        task = web.move_to(host)
        eventually(
            lambda host=host, task=task: given_by(task, host.get(port)),
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
    printed = cluster.manager.docker("service ls").out.splitlines()
    assert printed[0].split() == ["ID", "NAME", "MODE", "REPLICAS", "IMAGE", "PORTS"]
    (row,) = [line for line in printed if f" {documented.name} " in line]
    fields = re.split(r"\s{2,}", row.strip())
    assert documented.id.startswith(fields[0])
    assert fields[1:] == [documented.name, "replicated", "1/1", cluster.image("web:1"), f"*:{port}->80/tcp"]


@claim("7.2.2/inspect")
def test_inspect_shows_the_specification_as_given(cluster, documented):
    inspected = cluster.manager.docker(f"service inspect {documented.name}")
    (shown,) = json.loads(inspected.out)
    spec = shown["Spec"]
    assert shown["ID"] == documented.id
    assert spec["Name"] == documented.name
    assert spec["TaskTemplate"]["ContainerSpec"]["Image"].split("@")[0] == cluster.image("web:1")
    assert spec["Mode"] == {"Replicated": {"Replicas": 1}}
    (port,) = spec["EndpointSpec"]["Ports"]
    assert (port["Protocol"], port["TargetPort"], port["PublishedPort"]) == ("tcp", 80, documented.published())


@claim("7.2.2/managers-only")
def test_service_commands_are_refused_on_a_worker(cluster, documented):
    for worker in cluster.workers:
        for words in (
            "service ls",
            f"service inspect {documented.name}",
            f"service ps {documented.name}",
            f"service create --name {cluster.unique('refused')} {cluster.image('web:1')}",
            f"service update --replicas 2 {documented.name}",
            f"service scale {documented.name}=2",
            f"service rm {documented.name}",
        ):
            refused = worker.docker(words)
            assert not refused.ok, f"{worker}, a worker, accepted docker {words}"
            # `inspect` words it as a search that failed; the others say that a manager is to be asked.
            if not words.startswith("service inspect"):
                assert "not a swarm manager" in refused.said, f"{worker} on docker {words}: {refused.said}"
    assert documented.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"] == 1


@claim("7.2.3/scale-up")
def test_update_replicas_brings_exactly_three_tasks(cluster, documented):
    documented.wait_running(1)
    assert cluster.manager.docker(f"service update --detach --replicas 3 {documented.name}").ok
    tasks = documented.expect_running(3)
    assert len({task.slot for task in tasks}) == 3
    for task in tasks:
        assert containers_of(cluster, documented)[task.container] == task.node


@claim("7.2.3/missing-image-pulled")
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
    assert cluster.manager.docker(f"service update --detach --replicas 1 {documented.name}").ok
    (left,) = documented.expect_running(1)
    assert left.id in {task.id for task in before}, "the one that is left is none of the three"
    eventually(
        lambda: State(len(found := containers_of(cluster, documented)) == 1, listed(found)),
        "the surplus containers to be stopped",
    )


@claim("7.2.3/scale-command")
def test_scale_does_what_update_does(cluster, documented):
    documented.wait_running(1)
    for wanted in (3, 2):
        assert cluster.manager.docker(f"service scale --detach {documented.name}={wanted}").ok
        documented.expect_running(wanted)
        assert documented.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"] == wanted


@claim("7.2.3/reachable-while-scaling")
def test_no_request_fails_while_scaling(cluster, documented):
    (task,) = documented.wait_running(1)
    port = documented.published()
    eventually(lambda: routed(cluster, port, task), f"every node to route port {port} to the task", stable=3)
    for wanted in (3, 1):
        documented.scale(wanted)
        rounds = 0
        while not documented.converged(wanted) or rounds < 10:
            rounds += 1
            for node in cluster.nodes:
                answer = node.get(port)
                assert answer.ok, f"a request to {node} failed while scaling to {wanted}: {answer}"
            assert rounds < 500, f"{documented} did not come to {wanted} tasks"


@claim("7.2.4/rm")
def test_rm_removes_everything_and_frees_the_port(cluster, documented):
    documented.scale(3)
    documented.wait_running(3)
    port = documented.published()
    assert cluster.manager.docker(f"service rm {documented.name}").ok
    with pytest.raises(EngineRefused, match="not found"):
        documented.inspect()
    eventually(
        lambda: State(not (left := containers_of(cluster, documented)), listed(left)),
        f"the containers of {documented} to be removed from every node",
    )
    eventually(lambda: documented.id not in cluster.with_tasks(), f"the tasks of {documented} to be forgotten")
    successor = cluster.create_service("successor", "web:1", publish={port: 80})
    successor.expect_running(1)


def containers_of(cluster, service):
    """The node of each running container of the service, by container id, as the engines tell it."""
    return {
        container["Id"]: node.name
        for node in cluster.nodes
        for container in node.containers(label=f"com.docker.swarm.service.id={service.id}")
    }


def listed(containers):
    return ", ".join(f"{container[:12]} on {node}" for container, node in containers.items()) or "none"


def given_by(task, answer):
    """Whether the container of *task* gave this answer."""
    return State(answer.ok and answer.container == task.container[:12], str(answer))


def routed(cluster, port, task):
    """Whether every node routes the published *port* to the one *task*."""
    host = cluster.node(task.node)
    lost = {
        (asked, host): f"{asked} to the task on {host}: {state.seen}"
        for asked in cluster.nodes
        if not (state := given_by(task, asked.get(port)))
    }
    return without_loss(lost, cluster.nodes)
