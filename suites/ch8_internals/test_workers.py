"""8.1.2: what workers do, and what only managers do."""

import base64
import functools

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, detached, last, refusal, succeeded
from suites.support.placement import (
    containers,
    none_on,
    one_on_each,
    stays,
    temporarily,
)
from swarmlab.cluster.marks import ours
from swarmlab.cluster.node import nodes_where
from swarmlab.cluster.swarm import join, leads
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually


@claim("8.1.2/worker-runs-containers")
def test_every_worker_runs_the_task_that_it_is_given(cluster):
    workers = workers_of(cluster)
    work = cluster.create_service("work", "idle", everywhere=True, constraints=["node.role==worker"])
    eventually(lambda: one_on_each(work, workers), "every worker, and nobody else, to run a task", deadline=90)
    for task in work.running():
        answer = cluster.probe(task).run("hostname")
        succeeded(answer, f"in the task on {task.node}, hostname")
        assert answer.out.strip() == task.container[:12], f"the task on {task.node} is {answer.out.strip()!r} inside"


@claim("8.1.2/worker-has-no-api")
def test_a_worker_refuses_every_management_call(cluster, subjects):
    workers = workers_of(cluster)
    before = managed(cluster)
    open_ones = nodes_where(lambda worker: worker.listening(2377), workers)
    assert not open_ones, f"{few(open_ones)}, a worker, listens on the managers' port 2377"
    for worker in workers:
        if worker not in cluster.sample:
            continue
        for command in subjects.commands:
            done = worker.run(command)
            assert not done.ok, f"{worker}, a worker, accepted: {command}"
            # Commands that only search report that they found nothing: a worker knows no object of the swarm.
            known = any(word in done.output.lower() for word in ("manager", "no such", "not found"))
            assert known, f"{worker} did not refuse {command} for being a worker: {last(done)}"
        for method, path, body, query in subjects.calls:
            explanation = refusal(worker.ask, method, path, body=body, **query)
            assert explanation, f"{worker}, a worker, accepted {method} {path}"
            known = "manager" in explanation.lower() or path.startswith("/networks/")
            assert known, f"{worker} did not refuse {method} {path} for being a worker: {explanation}"
        after = managed(cluster)
        changed = [kind for kind in before if before[kind] != after[kind]]
        assert not changed, f"{worker} refused every call, and yet they changed: {', '.join(changed)}"


class Subjects:
    """One of each kind of object that managers keep, and every call about it that only managers accept.

    Unless *all* calls may be made, those about objects that are not the suite's would change nothing if a worker
    accepted them.
    """

    def __init__(self, cluster, *, all):
        """Make the objects."""
        ask = cluster.manager.ask
        self._all = all
        label = {cluster.label: ""}
        self._cluster = cluster
        self.service = cluster.create_service("kept", "idle", constraints=["node.role==manager"])
        (self.task,) = self.service.wait_running(1)
        self.network = cluster.create_network("kept")
        data = base64.b64encode(b"kept").decode()
        self.secret, self.config = (
            ask("POST", f"/{kind}/create", body={"Name": cluster.unique("kept"), "Data": data, "Labels": label})["ID"]
            for kind in ("secrets", "configs")
        )
        self.member = next(member for member in cluster.members() if member["Spec"]["Role"] == "worker")
        self.node = self.member["ID"]
        self.availability = self.member["Spec"]["Availability"]
        self.fresh = functools.partial(cluster.unique, "refused")
        self.data = data
        self.labels = label

    @property
    def commands(self):
        """Calls on the command line."""
        label, image = f"--label {self._cluster.label}", self._cluster.image("idle")
        return [
            "docker node ls",
            f"docker node inspect {self.node}",
            f"docker node ps {self.node}",
            f"docker node update --availability {self.availability} {self.node}",
            f"docker node demote {self.node}",
            f"docker node rm {self.node}",
            "docker service ls",
            f"docker service inspect {self.service}",
            f"docker service ps {self.service}",
            f"docker service create --detach {label} --name {self.fresh()} {image}",
            f"docker service update --detach --replicas 2 {self.service}",
            f"docker {detached(self._cluster.manager, 'service scale')} {self.service}=2",
            f"docker service rm {self.service}",
            f"docker network create --driver overlay {label} {self.fresh()}",
            f"docker network inspect {self.network}",
            f"docker network rm {self.network}",
            "docker secret ls",
            f"docker secret inspect {self.secret}",
            f"echo word | docker secret create {label} {self.fresh()} -",
            f"docker secret rm {self.secret}",
            "docker config ls",
            f"docker config inspect {self.config}",
            f"echo word | docker config create {label} {self.fresh()} -",
            f"docker config rm {self.config}",
            "docker stack ls",
            f"docker swarm update --task-history-limit {self._history}",
            "docker swarm join-token worker",
            "docker swarm unlock-key",
            "docker swarm ca",
            *(self._not_to_be_taken if self._all else []),
        ]

    @property
    def _history(self):
        kept = self._cluster.manager.ask("GET", "/swarm")["Spec"]["Orchestration"]
        return kept.get("TaskHistoryRetentionLimit", 5)

    @property
    def _not_to_be_taken(self):
        """Commands that would harm the cluster if a worker accepted them."""
        return [
            f"docker node update --availability drain {self.node}",
            f"docker node promote {self.node}",
            f"docker node rm --force {self.node}",
            "docker swarm update --task-history-limit 3",
            "docker swarm update --autolock",
            "docker swarm join-token --rotate manager",
            "docker swarm ca --detach --rotate",
        ]

    @property
    def calls(self):
        """Calls of the API: method, path, body, parameters."""
        ask = self._cluster.manager.ask
        kinds = {"services": self.service.id, "secrets": self.secret, "configs": self.config, "nodes": self.node}
        own = [kind for kind in kinds if self._all or kind != "nodes"]
        calls = [("GET", f"/{kind}", None, {}) for kind in [*kinds, "tasks", "swarm", "swarm/unlockkey"]]
        for kind, id in kinds.items():
            now = ask("GET", f"/{kind}/{id}")
            spec = {
                **now["Spec"],
                "Labels": {**(now["Spec"].get("Labels") or {}), **({"refused": ""} if kind in own else {})},
            }
            calls += [
                ("GET", f"/{kind}/{id}", None, {}),
                ("POST", f"/{kind}/{id}/update", spec, {"version": now["Version"]["Index"]}),
                ("DELETE", f"/{kind}/{id}", None, {}),
            ]
        template = {"ContainerSpec": {"Image": self._cluster.image("idle")}}
        swarm = ask("GET", "/swarm")
        # If a worker accepted this call, it would only change one number.
        spec = {**swarm["Spec"], **({"Orchestration": {"TaskHistoryRetentionLimit": 3}} if self._all else {})}
        turned = {"version": swarm["Version"]["Index"], **({"rotateWorkerToken": True} if self._all else {})}
        named = {"Name": self.fresh(), "Labels": self.labels}
        return [
            *calls,
            ("POST", "/services/create", {**named, "TaskTemplate": template}, {}),
            ("POST", "/secrets/create", {**named, "Data": self.data}, {}),
            ("POST", "/configs/create", {**named, "Data": self.data}, {}),
            ("POST", "/networks/create", {**named, "Driver": "overlay"}, {}),
            ("GET", f"/networks/{self.network}", None, {}),
            ("DELETE", f"/networks/{self.network}", None, {}),
            ("GET", f"/tasks/{self.task.id}", None, {}),
            ("GET", f"/services/{self.service.id}/logs", None, {"stdout": True}),
            ("POST", "/swarm/update", spec, turned),
        ]


@pytest.fixture
def subjects(cluster, lab):
    """The objects that managers keep, and the calls about them."""
    workers_of(cluster)
    return Subjects(cluster, all=lab.offers.disruptable)


def managed(cluster):
    """Return the objects that managers keep, by kind: nodes, the suite's own, and what the swarm has."""
    ask = cluster.manager.ask
    kept = {"nodes": {item["ID"]: item["Spec"] for item in ask("GET", "/nodes")}}
    for kind in ("services", "secrets", "configs"):
        specs = {item["ID"]: item["Spec"] for item in ask("GET", f"/{kind}")}
        kept[kind] = {id: spec for id, spec in specs.items() if ours(spec["Name"], spec.get("Labels"))}
    networks = ask("GET", "/networks", filters={"scope": ["swarm"]})
    kept["networks"] = {item["Id"]: item["Name"] for item in networks if ours(item["Name"], item.get("Labels"))}
    swarm = ask("GET", "/swarm")
    kept["swarm"], kept["tokens"], kept["CA"] = swarm["Spec"], swarm["JoinTokens"], swarm.get("TLSInfo")
    return kept


@claim("8.1.2/single-manager-swarm")
@pytest.mark.cluster(managers=1, workers=0)
def test_one_manager_alone_is_a_swarm(cluster):
    (manager,) = cluster.nodes
    members = cluster.members(manager)
    assert len(members) == 1, f"{manager} was alone, and the swarm has {len(members)} members"
    status = members[0].get("ManagerStatus", {})
    assert leads(members[0]), f"{manager}, the only manager, is no leader: {status or 'it is no manager'}"
    web = cluster.create_service("web", "web:1", replicas=2)
    web.expect_running(2)
    web.scale(1)
    web.expect_running(1)


@claim("8.1.2/single-manager-runs-all")
@pytest.mark.cluster(managers=1, workers=0)
def test_the_only_node_runs_every_task(cluster):
    (manager,) = cluster.nodes
    several = cluster.create_service("several", "idle", replicas=4)
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    for service, count in ((several, 4), (everywhere, 1)):
        tasks = service.expect_running(count)
        assert {task.node for task in tasks} == {manager.name}, f"tasks are not on {manager}: {tasks}"
        found = len(containers(cluster, service))
        assert found == count, f"{manager} runs {found} containers of {service}, which has {count} tasks"


@claim("8.1.2/manager-also-works")
@pytest.mark.touches("drain managers")
def test_managers_are_given_tasks_unless_they_are_drained(cluster):
    managers = cluster.managers
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    bound = cluster.create_service("bound", "idle", everywhere=True, constraints=["node.role==manager"])
    eventually(lambda: one_on_each(everywhere, cluster.nodes), "managers and workers to be given a task", deadline=90)
    eventually(lambda: one_on_each(bound, managers), "every manager to be given the task for managers", deadline=60)
    for manager in managers:
        others = [node for node in cluster.nodes if node is not manager]
        with temporarily(cluster, manager, "drain"):
            eventually(
                lambda others=others: one_on_each(everywhere, others),
                f"{manager}, which is drained, to lose its task, and nobody else",
                deadline=60,
            )
            late = cluster.create_service("late", "idle", replicas=2, constraints=["node.role==manager"])
            if len(managers) == 1:
                eventually(lambda late=late: State(len(late.tasks()) == 2), f"{late} to have its tasks")
            else:
                late.wait_running(2)
            stays(
                lambda manager=manager, late=late: none_on(late, manager),
                f"{manager}, which is drained, to be given no task",
                polls=4,
            )
            late.remove()


@claim("8.1.2/no-worker-without-manager")
@pytest.mark.cluster(managers=1, workers=1, spare=1)
def test_there_is_no_worker_where_no_manager_is(cluster):
    manager, worker = cluster.nodes
    (newcomer,) = cluster.spare
    token = cluster.tokens()["Worker"]
    stays_out(newcomer, worker, token)

    before = cluster.roles()
    for demote in (
        lambda: manager.docker(f"node demote {manager}"),
        lambda: manager.docker(f"node update --role worker {manager}"),
    ):
        refused = demote()
        assert not refused.ok, f"{manager}, the last manager, was demoted"
        assert "last manager" in refused.output, f"{manager} is not refused as the last manager: {last(refused)}"
    explanation = refusal(manager.revise, f"/nodes/{manager.node_id()}", lambda spec: spec.update(Role="worker"))
    assert explanation, f"{manager}, the last manager, was demoted by the API"
    left = manager.docker("swarm leave")
    assert not left.ok, f"{manager}, the last manager, left without force"
    assert "--force" in left.output, f"the refusal does not speak of force: {last(left)}"
    assert manager.swarm_state() == "active", f"{manager} was refused to leave, and is {manager.swarm_state()}"
    assert cluster.roles() == before, f"refused calls changed the roles from {before} to {cluster.roles()}"
    cluster.create_service("still", "idle").expect_running(1)

    accepted(manager, "swarm leave --force")
    assert manager.swarm_state() == "inactive", f"{manager} left by force, and is {manager.swarm_state()}"
    stays_out(newcomer, manager, token)


def stays_out(newcomer, remote, token):
    """Let *newcomer* try to join as a worker at *remote*, which is no manager; judge that it stays outside."""
    explanation = refusal(join, newcomer, remote, token)
    assert explanation, f"{newcomer} joined at {remote}, which is no manager"
    stays(
        lambda: State((state := newcomer.swarm_state()) != "active", f"{newcomer} is {state}"),
        f"{newcomer}, which tried to join at {remote}, to stay outside",
        polls=4,
    )
    newcomer.docker("swarm leave --force")  # in case the engine keeps trying
    assert newcomer.swarm_state() == "inactive", f"{newcomer} is {newcomer.swarm_state()} after it was refused"


def workers_of(cluster):
    """Return the cluster's workers.

    Raises:
        Blocked: it has none.
    """
    if workers := cluster.workers:
        return workers
    raise Blocked("the cluster has no worker")
