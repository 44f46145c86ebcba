"""Where the tasks of a service are among the nodes that they may run on: preferences and the most for each node."""

import pytest

from fixtures.claims import claim
from suites.support.placement import lives, one_on_each, stays
from swarmlab.cluster.swarm import join
from swarmlab.lists import few
from swarmlab.wait import State, eventually


def prefers(*labels):
    """Return a change of a specification: tasks are spread over the values of the first label, then of the next."""

    def alter(spec):
        preferences = [{"Spread": {"SpreadDescriptor": f"node.labels.{label}"}} for label in labels]
        spec["TaskTemplate"].setdefault("Placement", {})["Preferences"] = preferences

    return alter


def placed(service, count, wanted):
    """Whether *count* tasks run, as many on each group of nodes as is *wanted*; hopeless if they run elsewhere.

    Args:
        service: the service.
        count: its replicas.
        wanted: number of tasks by a tuple of nodes.
    """
    state = service.converged(count)
    where = [task.node for task in service.running()]
    found = {few(nodes): sum(where.count(node.name) for node in nodes) for nodes in wanted}
    summary = "; ".join(f"{found[few(nodes)]} on {few(nodes)}, wanted {number}" for nodes, number in wanted.items())
    right = all(found[few(nodes)] == number for nodes, number in wanted.items())
    # Tasks that run stay where they are.
    return State(state.done and right, f"{summary} ({state.summary})", hopeless=state.done, refused=state.refused)


@claim("placement/spread")
def test_tasks_are_spread_evenly_over_the_values_of_a_label(cluster, node_labels):
    first, second, other = cluster.nodes[:3]
    pool, rack = node_labels.new("pool"), node_labels.new("rack")
    node_labels.set(pool, dict.fromkeys((first, second, other), "yes"))
    node_labels.set(rack, {first: "a", second: "a"})  # nodes without a rack are a group of their own
    constraints = [f"node.labels.{pool}==yes"]
    work = cluster.create_service("work", "idle", replicas=6, constraints=constraints, alter=prefers(rack))
    for count in (6, 8):
        work.scale(count)
        promise = f"half of {count} tasks of {work} to be in rack a, half where no rack is"
        wanted = {(first, second): count // 2, (other,): count // 2}
        eventually(lambda count=count, wanted=wanted: placed(work, count, wanted), promise, deadline=90)


@claim("placement/several-preferences")
def test_tasks_are_spread_by_one_preference_after_the_other(cluster, node_labels):
    one, two, three = cluster.nodes[:3]
    pool, zone, rack = (node_labels.new(name) for name in ("pool", "zone", "rack"))
    node_labels.set(pool, dict.fromkeys((one, two, three), "yes"))
    node_labels.set(zone, {one: "x", two: "x", three: "y"})
    node_labels.set(rack, {one: "1", two: "2", three: "2"})
    rules = {
        (zone, rack): {(one,): 2, (two,): 2, (three,): 4},
        (rack, zone): {(one,): 4, (two,): 2, (three,): 2},
        # All nodes are in one pool, so that the second preference alone decides.
        (pool, rack): {(one,): 4, (two, three): 4},
    }
    services = {
        rule: cluster.create_service(
            "work", "idle", replicas=8, constraints=[f"node.labels.{pool}==yes"], alter=prefers(*rule)
        )
        for rule in rules
    }
    for rule, service in services.items():
        names = " and then ".join(name.split("-")[1] for name in rule)
        promise = f"8 tasks to be spread by {names}"
        eventually(lambda s=service, w=rules[rule]: placed(s, 8, w), promise, deadline=90)


@claim("placement/max-replicas-per-node")
def test_no_node_has_more_tasks_than_the_most_for_a_node(cluster):
    most = 2
    room = most * len(cluster.nodes)

    def alter(spec):
        spec["TaskTemplate"]["Placement"] = {"MaxReplicas": most}

    work = cluster.create_service("work", "idle", replicas=room + 1, alter=alter)

    def full():
        tasks = work.tasks()
        run = [task.node for task in tasks if task.alive]
        given = {node.name: run.count(node.name) for node in cluster.nodes}
        waiting = [task for task in tasks if task.state == "pending" and not task.node]
        summary = f"tasks by node: {given}, wanted {most} on each; {len(waiting)} wait"
        over = any(number > most for number in given.values())
        return State(set(given.values()) == {most} and len(waiting) == 1, summary, hopeless=over)

    eventually(full, f"{work} to have {most} tasks on every node, and one that waits", deadline=90)
    stays(full, f"the task of {work} that no node may take to go on waiting", polls=5)
    (waiting,) = [task for task in work.tasks() if task.state == "pending"]
    said = f"{waiting.message} {waiting.error}"
    assert "max replicas" in said, f"a task waits, as each node has its most, and shows: {said.strip() or 'nothing'}"
    work.scale(room)
    work.expect_running(room)


@claim("placement/new-node-moves-nothing")
@pytest.mark.cluster(managers=1, workers=1, spare=1)
def test_a_node_that_joins_takes_no_running_task_and_gets_new_ones(cluster):
    work = cluster.create_service("work", "idle", replicas=4)
    before = lives(cluster, work.wait_running(4))
    newcomer = cluster.spare.pop()
    join(newcomer, cluster.manager, cluster.tokens()["Worker"])
    cluster.nodes.append(newcomer)
    # A global service shows that the swarm uses the node.
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    eventually(lambda: one_on_each(everywhere, cluster.nodes), f"{newcomer}, which joined, to be used", deadline=90)

    def untouched():
        now = lives(cluster, work.running())
        return State(now == before, f"{len(before)} tasks ran before, {len(now.keys() & before.keys())} of them do")

    stays(untouched, f"the tasks of {work} to stay where they are, though {newcomer} has none", polls=8)
    work.scale(6)
    tasks = work.expect_running(6)
    added = [task.node for task in tasks if task.id not in before]
    assert added == [newcomer.name] * 2, f"{newcomer} has no task of {work}, and 2 more were given to {few(added)}"
