"""Secrets: what a service is given that nobody else may read, and where it is left and where it is not."""

import base64
import json

import pytest

from fixtures.claims import claim
from suites.support import payload_rules as rules
from suites.support.payloads import create, expect_content, make, on_every_node, printed, value
from suites.support.traces import IN_MEMORY, Traces, in_memory
from swarmlab.cluster.node import nodes_where
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

#: Never start a task in place of one that ended.
ONCE = {"Condition": "none"}


@pytest.fixture
def traces(cluster):
    """Looks for secrets that the test makes."""
    found = Traces(cluster)
    yield found
    found.end()


@claim("secrets/lifecycle")
def test_a_secret_is_listed_and_found_until_it_is_removed(cluster):
    rules.expect_lifecycle(cluster, "secrets")


@claim("secrets/kept-while-used")
def test_a_secret_that_a_service_has_is_not_removed(cluster):
    rules.expect_kept_while_used(cluster, "secrets")


@claim("secrets/immutable")
def test_only_the_labels_of_a_secret_can_be_changed(cluster):
    rules.expect_immutable(cluster, "secrets")


@claim("secrets/content-on-every-task")
def test_tasks_on_all_nodes_read_the_same_500_kb_of_a_secret(cluster):
    rules.expect_whole_on_every_node(cluster, "secrets")


@claim("secrets/limit")
def test_a_secret_that_is_empty_or_too_large_is_refused(cluster):
    rules.expect_limit(cluster, "secrets")


@claim("secrets/target-and-mode")
def test_a_secret_is_a_file_with_the_given_path_owner_and_mode(cluster):
    rules.expect_target(cluster, "secrets")


@claim("secrets/twice")
def test_a_service_has_one_secret_at_two_places(cluster):
    rules.expect_twice(cluster, "secrets")


@claim("secrets/rotated-by-update")
def test_an_update_of_a_service_rotates_its_secrets_on_every_node(cluster, traces):
    kept = make(cluster, "secrets", value())
    control = create(cluster, "control", everywhere=True, secrets=[kept.at("held")])
    old = rules.expect_rotated(cluster, "secrets")
    control.wait_running(len(cluster.nodes))
    expect_found(traces, cluster.nodes, kept)
    # The containers of the replaced tasks are still there.
    eventually(
        lambda: nowhere(traces, cluster.nodes, old),
        "the secret that the update removed to be on no node",
        deadline=60,
    )


def expect_found(traces, nodes, *secrets):
    """Expect that *secrets* are found on *nodes*, which all run tasks with them: else nothing is looked into.

    Raises:
        Blocked: one is not.
    """
    texts = [secret.data.decode() for secret in secrets]
    if blind := nodes_where(lambda node: not all(traces.files(node, text) for text in texts), nodes):
        raise Blocked(f"the files of a running task's secret are not found on {few(blind)}")


def nowhere(traces, nodes, secret):
    """Whether none of *nodes* has a file of its engine's that holds the secret."""
    each = parallel(lambda node: traces.files(node, secret.data.decode()), nodes)
    left = [f"{node} has it in {few(found)}" for node, found in zip(nodes, each, strict=True) if found]
    return State(not left, few(left, "; ") or "on none")


@pytest.fixture
def workers(cluster):
    """A worker that is to have the task with a secret, and the other workers."""
    host, *others = cluster.workers or [None]
    if not others:
        raise Blocked("the test needs two workers, as managers have all secrets")
    return host, others


@claim("secrets/only-where-used")
def test_a_worker_that_runs_no_task_with_a_secret_does_not_have_it(cluster, workers, traces):
    host, others = workers
    text = value()
    secret = make(cluster, "secrets", text)
    service = create(cluster, "holder", secrets=[secret.at("held")], constraints=[f"node.hostname=={host}"])
    expect_content(cluster, service.expect_running(1), "/run/secrets/held", secret)
    each = parallel(lambda node: (traces.files(node, text), in_memory(node, text)), others)
    for node, (found, remembered) in zip(others, each, strict=True):
        assert not found, f"{node} runs no task with the secret, and has it in {few(found)}"
        assert not remembered, f"{node} runs no task with the secret, and its engine has it in memory"
    # Where it is known to be, it must be found, or nothing was looked into.
    if not (traces.files(host, text) and in_memory(host, text)):
        raise Blocked(f"the memory of the engine of {host} cannot be looked into")


@claim("secrets/in-memory")
def test_a_secret_is_never_on_the_disk_of_a_node(cluster, traces):
    text = value()
    secret = make(cluster, "secrets", text)
    service, tasks = on_every_node(cluster, "holder", secrets=[secret.at("held"), secret.at("/etc/held")])
    for path in ("/run/secrets/held", "/etc/held"):
        expect_content(cluster, tasks, path, secret)
        for task in tasks:
            kind = printed(cluster, task, f"stat -f -c %T {path}")
            assert kind in IN_MEMORY, f"in the task on {task.node}, {path} is on a file system {kind}, not in memory"
    each = parallel(lambda node: traces.on_disk(node, text, service), cluster.nodes)
    for node, found in zip(cluster.nodes, each, strict=True):
        assert not found, f"a task on {node} has the secret, and it is on the disk of {node} in {few(found)}"


@claim("secrets/encrypted-at-rest")
def test_managers_keep_secrets_encrypted(cluster, traces):
    texts = [value() for _ in range(3)]
    for text in texts:
        make(cluster, "secrets", text)
    managers = cluster.managers
    for manager in managers:
        folder = f"{manager.data_root()}/swarm/raft"
        if not manager.run(f"test -d {folder}").ok:
            raise Blocked(f"{manager} does not keep the state of the swarm in {folder}")
    each = parallel(lambda manager: {file for text in texts for file in traces.on_disk(manager, text)}, managers)
    for manager, found in zip(managers, each, strict=True):
        assert not found, f"{manager} keeps a secret in clear in {few(sorted(found))}"


@claim("secrets/gone-after-task")
def test_a_secret_leaves_a_node_with_its_task(cluster, traces):
    secret, other = (make(cluster, "secrets", value()) for _ in range(2))
    # Another service is removed: that of tasks that were killed has no secret on any node.
    service = create(cluster, "removed", everywhere=True, secrets=[other.at("held")])
    _, tasks = on_every_node(cluster, "killed", secrets=[secret.at("held")], restart=ONCE)
    service.expect_running(len(cluster.nodes))
    expect_found(traces, cluster.nodes, secret, other)
    # The container of a task that has ended is still there, until its service is removed.
    for task in tasks:
        cluster.node(task.node).docker(f"kill {task.container}").expect(f"docker kill on {task.node}")
    eventually(
        lambda: nowhere(traces, cluster.nodes, secret),
        "the secret to leave every node with the task that was killed",
        deadline=60,
    )
    service.remove()
    eventually(
        lambda: nowhere(traces, cluster.nodes, other),
        "the secret to leave all nodes with its service",
        deadline=60,
    )


@claim("secrets/not-shown")
def test_no_answer_of_a_manager_or_a_node_shows_what_a_secret_holds(cluster):
    text = value()
    secret = make(cluster, "secrets", text)
    service, tasks = on_every_node(cluster, "holder", secrets=[secret.at("held")])
    hidden = (text, base64.b64encode(text.encode()).decode())
    for manager in cluster.managers:
        paths = ("/secrets", secret.path, f"/services/{service.id}", "/tasks")
        answers = {f"GET {path}": json.dumps(manager.ask("GET", path)) for path in paths}
        for command in ("secret ls", "secret inspect", "secret inspect --pretty", "service inspect"):
            of = {"secret ls": "", "service inspect": service.name}.get(command, secret.name)
            answers[f"docker {command}"] = manager.docker(f"{command} {of}").output
        shown = [asked for asked, answer in answers.items() if any(word in answer for word in hidden)]
        assert not shown, f"{manager} shows what a secret holds to {few(shown)}"
    for task in tasks:
        node = cluster.node(task.node)
        answer = json.dumps(node.ask("GET", f"/containers/{task.container}/json"))
        assert not any(word in answer for word in hidden), f"{node} shows what a secret holds with the task's container"


@claim("secrets/not-in-image")
def test_an_image_of_a_tasks_container_does_not_have_its_secrets(cluster):
    secret = make(cluster, "secrets", value())
    _, tasks = on_every_node(cluster, "holder", secrets=[secret.at("held")])
    expect_content(cluster, tasks, "/run/secrets/held", secret)
    image = cluster.unique("image")

    def in_image(task):
        node = cluster.node(task.node)
        committed = f"commit --change 'LABEL {cluster.label}=' {task.container} {image}"
        node.docker(committed).expect(f"docker commit on {node}")
        run = cluster.bench(node).run(image, command="sh -c 'cat /run/secrets/* /etc/* 2>/dev/null; echo read'")
        return run.expect(f"docker run of the image on {node}").strip()

    for task, read in zip(tasks, parallel(in_image, tasks), strict=True):
        assert read.endswith("read"), f"the image that was made on {task.node} could not be looked into: {read}"
        has = f"an image that was made of the task's container on {task.node} has its secret"
        assert secret.data.decode() not in read, has
