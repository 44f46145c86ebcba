"""8.1.1: the state that managers share, and what they do with it; on the cluster as it stands."""

import base64
import secrets

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.placement import count_by_node
from suites.support.quorum import one_leader
from swarmlab.errors import EngineRefused, NoAnswer
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

#: Bytes of configs: a small one that fits into any message, and a large one.
SIZES = (20, 200_000)

three_managers = pytest.mark.cluster(managers=3, workers=0, standing=True)


def expect_answers(nodes):
    """Judge that every node's engine answers: no claim holds of one that is frozen or dead."""

    def silence(node):
        try:
            node.greet()
        except NoAnswer as silent:
            return str(silent)
        return ""

    silent = [error for error in parallel(silence, nodes) if error]
    assert not silent, f"the cluster has members whose engines do not answer: {'; '.join(silent)}"


def roles_of(cluster):
    """Return host name and role by node id, as the first manager that answers lists them."""
    errors = []
    for node in cluster.nodes:
        try:
            members = cluster.members(node)
            return {member["ID"]: (member["Description"]["Hostname"], member["Spec"]["Role"]) for member in members}
        except (EngineRefused, NoAnswer) as failed:  # a worker, or a node that is down
            errors.append(str(failed))
    raise AssertionError(f"no node of the cluster lists its members: {'; '.join(errors)}")


def managers_of(cluster):
    """Return the members whose role is manager; each must answer and serve the cluster's API."""
    roles = roles_of(cluster)
    named = [node for node in cluster.nodes if (node.name, "manager") in roles.values()]
    expect_answers(named)
    # A machine that joined anew may still be listed as what it was before, under its old id.
    managers = [node for node in named if roles.get(node.node_id()) != (node.name, "worker")]
    idle = [node.name for node in managers if not node.info()["Swarm"]["ControlAvailable"]]
    assert not idle, f"{few(idle)}: manager by role, and the engine serves no manager's API"
    return managers


@claim("8.1.1/one-leader")
@three_managers
def test_all_managers_name_the_same_one_leader(cluster):
    managers = managers_of(cluster)
    eventually(
        lambda: one_leader(managers, managers), "every manager to name the same one leader", deadline=60, stable=3
    )
    printed = {}
    for manager in managers:
        lines = accepted(manager, "node ls --format '{{.Hostname}} {{.ManagerStatus}}'").splitlines()
        printed[manager.name] = [line.split()[0] for line in lines if line.endswith(" Leader")]
    leaders = {tuple(hosts) for hosts in printed.values()}
    assert len(leaders) == 1, f"docker node ls names different leaders, by manager: {printed}"
    assert len(leaders.pop()) == 1, f"docker node ls names other than one leader, by manager: {printed}"


@claim("8.1.1/api-on-every-manager")
@three_managers
def test_every_manager_answers_and_does_what_it_is_asked(cluster):
    for manager in managers_of(cluster):
        for path in ("/swarm", "/nodes", "/services", "/tasks", "/networks", "/configs", "/secrets"):
            served(manager, "GET", path)
        for command in ("node ls", "service ls", "network ls", "config ls", "secret ls"):
            accepted(manager, command)
        config = make_config(cluster, manager, b"served")
        held = served(manager, "GET", f"/configs/{config['ID']}")
        assert held["Spec"] == config["Spec"], f"{manager} took a config {config['Spec']} and has {held['Spec']}"
        served(manager, "DELETE", f"/configs/{config['ID']}")
        left = [config["ID"] for config in served(manager, "GET", "/configs")]
        assert config["ID"] not in left, f"{manager} removed a config and still lists it"


@claim("8.1.1/one-consistent-state")
@three_managers
def test_what_is_written_through_a_manager_is_read_on_every_other(cluster):
    managers = managers_of(cluster)
    for writing in managers:
        for size in SIZES:
            config = make_config(cluster, writing, secrets.token_bytes(size))
            for reading in managers:
                expect_same(writing, reading, "configs", config)
            # Change and remove it through the next manager, which did not make it.
            other = managers[(managers.index(writing) + 1) % len(managers)]
            version = served(other, "GET", f"/configs/{config['ID']}")["Version"]["Index"]
            config["Spec"]["Labels"] |= {"changed": other.name}
            served(other, "POST", f"/configs/{config['ID']}/update", body=config["Spec"], version=version)
            for reading in managers:
                expect_same(other, reading, "configs", config)
            served(other, "DELETE", f"/configs/{config['ID']}")
            for reading in managers:
                expect_gone(other, reading, "configs", config["ID"])
        spec = {
            "Name": cluster.unique("state"),
            "Labels": {cluster.label: "", "written-through": writing.name},
            "TaskTemplate": {"ContainerSpec": {"Image": cluster.image("idle")}},
            "Mode": {"Replicated": {"Replicas": 0}},
        }
        service = {"ID": served(writing, "POST", "/services/create", body=spec)["ID"], "Spec": spec}
        for reading in managers:
            expect_same(writing, reading, "services", service, keys=("Name", "Labels", "Mode"))
    lists = {manager.name: sorted(members_seen_by(manager).items()) for manager in managers}
    first = next(iter(lists.values()))
    assert all(found == first for found in lists.values()), f"managers list different members: {lists}"


def make_config(cluster, manager, payload):
    """Create a config through *manager*. Return its id and the specification that was sent."""
    data = base64.b64encode(payload).decode()
    labels = {cluster.label: "", "written-through": manager.name}
    spec = {"Name": cluster.unique("state"), "Labels": labels, "Data": data}
    return {"ID": served(manager, "POST", "/configs/create", body=spec)["ID"], "Spec": spec}


def served(manager, method, path, **how):
    """Return the answer of *manager* to a call that must succeed."""
    try:
        return manager.ask(method, path, **how)
    except EngineRefused as refused:
        raise AssertionError(f"{manager}, a manager, refused {method} {path}: {refused.explanation}") from refused
    except NoAnswer as silent:
        raise AssertionError(f"{manager}, a manager, gave no answer: {silent}") from silent


def expect_same(writing, reading, kind, made, keys=("Name", "Labels", "Data")):
    """Expect *reading* to have what was written through *writing*, both by id and in its list."""

    def same():
        listed = [entry for entry in served(reading, "GET", f"/{kind}") if entry["ID"] == made["ID"]]
        if len(listed) != 1:
            return State(False, f"{reading} lists it {len(listed)} times")
        single = served(reading, "GET", f"/{kind}/{made['ID']}")
        for how, entry in (("listed", listed[0]), ("inspected", single)):
            for key in keys:
                if entry["Spec"].get(key) != made["Spec"][key]:
                    return State(
                        False, f"on {reading}, {how}, its {key} is another: {str(entry['Spec'].get(key))[:100]}"
                    )
        return State(True, "the same")

    eventually(same, f"{made['Spec']['Name']}, written through {writing}, to be read on {reading}", deadline=15)


def expect_gone(removing, reading, kind, id):
    """Expect that *reading* no longer lists what was removed through *removing*."""

    def gone():
        listed = [entry["ID"] for entry in served(reading, "GET", f"/{kind}")]
        return State(id not in listed, f"{reading} lists {len(listed)} {kind}")

    eventually(gone, f"{id}, removed through {removing}, to be gone on {reading}", deadline=15)


def members_seen_by(manager):
    """Return host name, role and availability of each member as *manager* lists it, by node id."""
    members = {}
    for member in served(manager, "GET", "/nodes"):
        name, spec = member["Description"].get("Hostname", ""), member["Spec"]
        members[member["ID"]] = (name, spec["Role"], spec["Availability"])
    return members


@claim("8.1.1/schedules")
def test_a_service_becomes_tasks_that_are_spread_over_the_nodes(cluster):
    expect_answers(cluster.nodes)
    for each in (1, 2):
        replicas = each * len(cluster.nodes)
        service = cluster.create_service("spread", "idle", replicas=replicas)

        def spread(service=service, replicas=replicas, each=each):
            state = service.converged(replicas)
            tasks = [task.node for task in service.running()]
            held = count_by_node(service, cluster.nodes)
            uneven = [
                f"{name}: {tasks.count(name)} tasks, {count} containers"
                for name, count in held.items()
                if not tasks.count(name) == count == each
            ]
            return State(state.done and not uneven, f"{few(uneven) or 'even'}; {state.summary}")

        eventually(spread, f"{replicas} tasks of {service} to run, {each} on every node", deadline=90)
        service.remove()


@claim("8.1.1/manager-count")
def test_the_number_of_managers_is_odd_and_at_most_seven(cluster):
    managers = sorted(name for name, role in roles_of(cluster).values() if role == "manager")
    summary = f"the cluster has {len(managers)} managers: {', '.join(managers)}"
    assert len(managers) % 2 == 1, f"{summary}; an even number tolerates no more losses than the odd one below it"
    assert len(managers) <= 7, f"{summary}; every write waits for a majority of them, so that more make it slower"
