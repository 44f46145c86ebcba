"""Constraints: the nodes on which a service may have tasks."""

from fixtures.claims import claim
from suites.support.ending import AT_ONCE
from suites.support.placement import lives, none_on, one_on_each, only_on
from swarmlab.cluster.service import over
from swarmlab.lists import few
from swarmlab.wait import State, eventually


def runs_on(cluster, wanted):
    """Expect that a service with each of these constraints has a task on each of its nodes, and on no other.

    Args:
        cluster: the swarm.
        wanted: nodes by the constraints of a service, which are one expression or several with "and" between them.
    """
    services = {
        rule: cluster.create_service("where", "idle", everywhere=True, constraints=rule.split(" and "))
        for rule in wanted
    }
    for rule, service in services.items():
        nodes = wanted[rule]
        promise = f"a service with the constraint {rule} to run on {few(nodes) or 'no node'}, and nowhere else"
        eventually(lambda s=service, nodes=nodes: only_on(cluster, s, nodes), promise, deadline=60, stable=2)
    for rule, service in services.items():
        state = only_on(cluster, service, wanted[rule])
        assert state, f"a service with the constraint {rule} does not stay where it may run: {state.summary}"
        service.remove()


@claim("placement/by-role")
def test_tasks_are_on_nodes_of_the_role_that_is_asked_for(cluster):
    managers = cluster.managers
    workers = [node for node in cluster.nodes if node not in managers]
    runs_on(
        cluster,
        {
            "node.role==manager": managers,
            "node.role==worker": workers,
            "node.role!=manager": workers,
            "node.role!=worker": managers,
        },
    )


@claim("placement/by-identity")
def test_tasks_are_on_the_node_of_the_id_or_host_name_that_is_asked_for(cluster):
    wanted = {}
    for node in (cluster.nodes[0], cluster.nodes[-1]):
        others = [other for other in cluster.nodes if other is not node]
        wanted |= {f"node.id=={node.node_id()}": [node], f"node.hostname=={node}": [node]}
        wanted |= {f"node.id!={node.node_id()}": others, f"node.hostname!={node}": others}
    runs_on(cluster, wanted)


@claim("placement/by-platform")
def test_tasks_are_on_nodes_of_the_platform_that_is_asked_for(cluster):
    platforms = {}
    for member in cluster.members():
        platforms[cluster.node(member["Description"]["Hostname"])] = member["Description"]["Platform"]
    wanted = {}
    for key, name in (("OS", "os"), ("Architecture", "arch")):
        for value in {platform[key] for platform in platforms.values()}:
            same = [node for node in cluster.nodes if platforms[node][key] == value]
            wanted[f"node.platform.{name}=={value}"] = same
            wanted[f"node.platform.{name}!={value}"] = [node for node in cluster.nodes if node not in same]
    wanted |= {"node.platform.os==plan9": [], "node.platform.arch==pdp11": []}
    runs_on(cluster, wanted)


@claim("placement/by-label")
def test_tasks_are_on_nodes_whose_label_has_the_value_that_is_asked_for(cluster, node_labels):
    first, second, *_ = cluster.nodes
    disk = node_labels.new("disk")
    node_labels.set(disk, {first: "fast", second: "slow"})
    label = f"node.labels.{disk}"
    runs_on(
        cluster,
        {
            f"{label}==fast": [first],
            f"{label}==slow": [second],
            # A node without the label does not have the value either.
            f"{label}!=fast": cluster.nodes[1:],
        },
    )


@claim("placement/all-constraints")
def test_tasks_are_only_where_all_constraints_are_met(cluster, node_labels):
    first, second, *_ = cluster.nodes
    disk, zone = node_labels.new("disk"), node_labels.new("zone")
    node_labels.set(disk, {first: "fast", second: "fast"})
    node_labels.set(zone, {node: "east" for node in cluster.nodes if node is not first})
    fast, east = f"node.labels.{disk}==fast", f"node.labels.{zone}==east"
    runs_on(
        cluster,
        {
            f"{fast} and {east}": [second],
            f"{fast} and node.hostname!={second}": [first],
            f"{fast} and {east} and node.hostname=={first}": [],
        },
    )


@claim("placement/leaves-node")
def test_running_tasks_leave_a_node_that_no_longer_meets_a_constraint(cluster, node_labels):
    left, kept = cluster.nodes[:2]
    pool = node_labels.new("pool")
    node_labels.set(pool, {left: "yes", kept: "yes"})
    settings = {"constraints": [f"node.labels.{pool}==yes"], "restart": AT_ONCE}
    work = cluster.create_service("work", "idle", replicas=4, **settings)
    tasks = work.wait_running(4)
    assert any(task.node == left.name for task in tasks), f"no task of {work} is on {left}: {few(map(str, tasks))}"
    stay = [task for task in tasks if task.node == kept.name]
    before = lives(cluster, stay)
    node_labels.set(pool, {left: "no"})

    def moved():
        state = work.converged(4, lambda task: task.node == kept.name)
        run = len(work.containers(left))
        return State(state.done and not run, f"{run} containers run on {left}; {state.summary}", refused=state.refused)

    promise = f"all 4 tasks of {work} to run on {kept}, as {left} no longer meets the constraint"
    eventually(moved, promise, deadline=90)
    assert lives(cluster, stay) == before, f"{left} lost its label, and tasks on {kept} were replaced"
    # With no node left the tasks wait, and a node that meets the constraint again takes them.
    node_labels.remove(pool, kept)
    eventually(
        lambda: State(
            not (run := len(work.containers(kept))) and not work.running(), f"{run} containers run on {kept}"
        ),
        f"the tasks of {work} to leave {kept}, which lost its label",
        deadline=90,
    )


@claim("placement/meets-again")
def test_a_node_that_meets_a_constraint_again_is_given_tasks_again(cluster, node_labels):
    node, *others = cluster.nodes
    pool = node_labels.new("pool")
    node_labels.set(pool, {node: "yes"})
    constraints = [f"node.labels.{pool}==yes"]
    alone = cluster.create_service("alone", "idle", constraints=constraints, restart=AT_ONCE)
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True, constraints=constraints, restart=AT_ONCE)
    services = (alone, everywhere)
    for service in services:
        eventually(lambda s=service: one_on_each(s, [node]), f"{service} to run on {node} alone", deadline=60)
    node_labels.remove(pool, node)
    for service in services:
        eventually(lambda s=service: gone(s, node), f"{service} to leave {node}, which lost its label", deadline=60)
    eventually(lambda: waits(alone), f"a task of {alone} to wait for a node that meets its constraint")
    node_labels.set(pool, {node: "yes"})
    for service in services:
        promise = f"{service} to run on {node}, which has its label again"
        eventually(lambda s=service: one_on_each(s, [node]), promise, deadline=60)
    given = [state.summary for other in others for s in services if not (state := none_on(s, other))]
    assert not given, f"nodes that never had the label were given tasks: {few(given, '; ')}"


def gone(service, node):
    """Whether no task of the service runs, and no container of it on *node*."""
    run, left = service.running(), service.containers(node)
    return State(not run and not left, f"{len(run)} tasks and {len(left)} containers run")


def waits(service):
    """Whether one task of the service waits for a node, and all others have ended."""
    others = [task for task in service.tasks() if not over(task.state, task.desired)]
    waiting = [task for task in others if task.state == "pending" and not task.node]
    return State(len(waiting) == len(others) == 1, few(map(str, others), "; ") or "no task")
