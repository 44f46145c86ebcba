"""services: lists of nodes, services, tasks and containers, narrowed by what is asked for."""

from contextlib import contextmanager

from fixtures.claims import claim
from suites.support.commands import refusal
from swarmlab.cluster.service import ENDED
from swarmlab.wait import wait


def listed(manager, kind, **filters):
    """Return the ids of what a manager lists of a kind, as the API's path names it, with these filters."""
    wanted = {name.replace("_", "-"): [value] if isinstance(value, str) else value for name, value in filters.items()}
    return {found["ID"] for found in manager.ask("GET", f"/{kind}", filters=wanted)}


def expect_listed(cluster, kind, names, cases, *, among=None):
    """Expect that every manager lists exactly what each case names.

    Args:
        cluster: the swarm.
        kind: what is listed, as the API's path names it.
        names: how messages name what has an id.
        cases: pairs of filters and the ids that they must leave.
        among: ids that count; what others have in the swarm does not. None if all count.
    """
    for manager in cluster.managers:
        for filters, wanted in cases:
            found = listed(manager, kind, **filters)
            found = found if among is None else found & set(among)
            assert found == set(wanted), (
                f"{manager} lists of {kind} with {filters} {_named(found, names)}, and not {_named(wanted, names)}"
            )


def _named(ids, names):
    return sorted(names.get(id, id) for id in ids) or "none"


@claim("services/filter-services")
def test_services_are_listed_by_name_id_label_and_mode(cluster):
    key, value = cluster.unique("key"), cluster.unique("value")
    one = cluster.create_service("one", "idle", replicas=0)
    two = cluster.create_service("two", "idle", replicas=0)
    three = cluster.create_service("three", "idle", everywhere=True)
    one.update(lambda spec: spec["Labels"].update({key: value}))
    two.update(lambda spec: spec["Labels"].update({key: "other"}))
    names = {service.id: service.name for service in (one, two, three)}
    cases = [
        ({"name": one.name}, [one.id]),
        ({"name": one.name[:-1]}, [one.id]),
        ({"name": [one.name, three.name]}, [one.id, three.id]),
        ({"id": two.id}, [two.id]),
        ({"id": two.id[:12]}, [two.id]),
        ({"label": key}, [one.id, two.id]),
        ({"label": f"{key}={value}"}, [one.id]),
        ({"label": f"{key}=nobody"}, []),
        ({"label": key, "name": two.name}, [two.id]),
        ({"mode": "global"}, [three.id]),
        ({"mode": "replicated"}, [one.id, two.id]),
    ]
    expect_listed(cluster, "services", names, cases, among=names)


@claim("services/filter-tasks")
def test_tasks_are_listed_by_service_node_name_id_label_and_desired_state(cluster):
    key = cluster.unique("key")
    one = cluster.create_service("one", "idle", everywhere=True, update={"Parallelism": 0})
    two = cluster.create_service("two", "idle", everywhere=True)
    old = {task.id for task in one.wait_running(len(cluster.nodes))}
    two.wait_running(len(cluster.nodes))
    one.update(lambda spec: (spec["Labels"].update({key: "yes"}), spec["TaskTemplate"].update(ForceUpdate=1)))
    wait(lambda: one.replaced(len(old), lambda task: task.id not in old), f"all tasks of {one} to be new", deadline=90)
    ended = [task for task in one.tasks() if task.state in ENDED or task.desired == "shutdown"]
    alive, other = one.running(), two.running()
    names = {task.id: f"{service}@{task.node}" for service in (one, two) for task in service.tasks()}
    here = cluster.nodes[-1]
    cases = [
        ({"service": one.name, "desired_state": "running"}, alive),
        ({"service": one.id, "desired_state": "running"}, alive),
        ({"service": [one.id, two.id], "desired_state": "running"}, alive + other),
        ({"service": one.id, "desired_state": "shutdown"}, ended),
        ({"service": one.id}, alive + ended),
        ({"node": here.node_id(), "service": two.id}, [task for task in other if task.node == here.name]),
        ({"id": alive[0].id}, alive[:1]),
        ({"name": two.name}, other),
        ({"label": key, "desired_state": "running"}, alive),
    ]
    expect_listed(
        cluster, "tasks", names, [(filters, [task.id for task in tasks]) for filters, tasks in cases], among=names
    )


@claim("services/filter-nodes")
def test_nodes_are_listed_by_role_membership_name_and_id(cluster):
    members = cluster.members()
    names = {member["ID"]: member["Description"]["Hostname"] for member in members}
    roles = {role: [m["ID"] for m in members if m["Spec"]["Role"] == role] for role in ("manager", "worker")}
    cases = [
        ({"role": "manager"}, roles["manager"]),
        ({"role": "worker"}, roles["worker"]),
        ({"role": ["manager", "worker"]}, names),
        # Engines list a node as pending once its specification was updated, as they send no membership with it.
        ({"membership": ["accepted", "pending"]}, names),
    ]
    for id, name in names.items():
        # What begins so is listed too: node1 and node10.
        cases.append(({"name": name}, [other for other in names if names[other].startswith(name)]))
        cases.append(({"id": id}, [id]))
        cases.append(({"id": id[:15]}, [id]))
        cases.append(({"name": name, "role": "worker"}, {i for i in roles["worker"] if names[i].startswith(name)}))
    expect_listed(cluster, "nodes", names, cases)


@claim("services/filter-node-labels")
def test_nodes_are_listed_by_the_labels_that_managers_gave_them(cluster):
    key = cluster.unique("key")
    names = cluster.names()
    first, last = cluster.nodes[0].node_id(), cluster.nodes[-1].node_id()
    with labelled(cluster, {first: {key: "one"}, last: {key: "two"}}):
        cases = [
            ({"node.label": key}, {first, last}),
            ({"node.label": f"{key}=two"}, [last]),
            ({"node.label": f"{key}=three"}, []),
            ({"label": key}, []),
        ]
        expect_listed(cluster, "nodes", names, cases)


@contextmanager
def labelled(cluster, labels):
    """Give nodes labels, by node id, while the context lasts."""

    def change(id, edit):
        def revised(spec):
            spec["Labels"] = edit(spec.get("Labels") or {})

        cluster.manager.revise(f"/nodes/{id}", revised)

    try:
        for id, given in labels.items():
            change(id, lambda now, given=given: {**now, **given})
        yield
    finally:
        for id, given in labels.items():
            change(id, lambda now, given=given: {key: value for key, value in now.items() if key not in given})


@claim("services/filter-containers")
def test_containers_of_tasks_are_told_from_others(cluster):
    service = cluster.create_service("one", "idle", everywhere=True)
    tasks = {task.node: task.container for task in service.wait_running(len(cluster.nodes))}
    for node in cluster.nodes:
        bench, task = cluster.bench(node), tasks[node.name][:12]
        box = bench.inspect(bench.start("client"))["Id"][:12]
        found = {
            answer: {it["Id"][:12] for it in node.containers(**{"is-task": answer})} & {box, task}
            for answer in ("true", "false")
        }
        assert found == {"true": {task}, "false": {box}}, (
            f"of a task's container {task} and another, {box}, {node} lists by is-task {found}"
        )
        by_label = {it["Id"][:12] for it in service.containers(node)}
        assert by_label == {task}, f"{node} lists by the label of {service} {by_label}"


@claim("services/filter-unknown-refused")
def test_a_filter_that_there_is_none_of_is_refused(cluster):
    for kind in ("nodes", "services", "tasks", "networks", "secrets", "configs"):
        for manager in cluster.managers:
            refused = refusal(manager.ask, "GET", f"/{kind}", filters={"colour": ["red"]})
            assert "nvalid filter" in refused and "colour" in refused, (  # noqa: PT018
                f"{manager} was asked for {kind} by colour, and did not refuse that filter: {refused or 'it answered'}"
            )
    refused = refusal(cluster.manager.ask, "GET", "/nodes", filters={"role": ["king"]})
    assert "king" in refused, f"{cluster.manager} lists nodes of the role king: {refused or 'not refused'}"


@claim("services/status-counts")
def test_lists_of_services_count_their_tasks(cluster):
    nodes = len(cluster.nodes)
    every = cluster.create_service("every", "idle", everywhere=True)
    some = cluster.create_service("some", "idle", replicas=2)
    none = cluster.create_service("none", "idle", replicas=2, constraints=["node.hostname==nowhere"])
    every.wait_running(nodes)
    some.wait_running(2)
    wanted = {every.id: (nodes, nodes), some.id: (2, 2), none.id: (0, 2)}
    for manager in cluster.managers:
        answer = manager.ask("GET", "/services", status=True, filters={"id": list(wanted)})
        counted = {
            it["ID"]: (it["ServiceStatus"]["RunningTasks"], it["ServiceStatus"]["DesiredTasks"])
            for it in answer
            if it.get("ServiceStatus")
        }
        for service in (every, some, none):
            found, right = counted.get(service.id, "no counts"), wanted[service.id]
            assert found == right, f"{manager} counts of {service} (running, wanted) {found}, and it has {right}"
