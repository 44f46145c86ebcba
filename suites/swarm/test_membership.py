"""Nodes that join, leave and are removed: with tasks or without, and what stays behind."""

import pytest

from fixtures.claims import claim
from suites.support.certificates import expect_ready_member
from suites.support.commands import accepted, refusal
from suites.support.membership import availability, init_with, join_with, remains
from suites.support.placement import none_on, one_on_each, pending, set_availability, stays
from swarmlab.cluster.fault import applied, cut_off
from swarmlab.cluster.swarm import Swarm, join
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, wait


@claim("membership/joined-drained")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_a_node_that_joins_drained_gets_no_task_until_it_is_active(cluster):
    manager, newcomer = cluster.manager, cluster.spare[0]
    service = cluster.create_service("work", "idle", everywhere=True)
    accepted(newcomer, join_with(newcomer, manager, cluster.tokens()["Worker"], "--availability drain"))
    expect_ready_member(cluster, newcomer)
    found = availability(cluster, newcomer)
    assert found == "drain", f"{newcomer} joined with --availability drain, and is {found}"
    eventually(lambda: one_on_each(service, [manager]), "the service to run where no node is drained", deadline=60)
    assert (state := none_on(service, newcomer)), f"{newcomer} joined drained: {state.summary}"
    set_availability(cluster, newcomer, "active")
    eventually(lambda: one_on_each(service, [manager, newcomer]), f"{newcomer}, now active, to work", deadline=60)


@claim("membership/init-drained")
@pytest.mark.cluster(managers=0, workers=0, spare=1)
def test_a_manager_that_is_made_drained_gets_no_task_until_it_is_active(cluster):
    node = cluster.spare[0]
    accepted(node, init_with(node, "--availability drain"))
    swarm = Swarm([node], image=cluster.image)
    found = availability(swarm, node)
    assert found == "drain", f"{node} made a swarm with --availability drain, and is {found}"
    service = swarm.create_service("work", "idle")
    eventually(lambda: pending(service, 1), f"a task to wait while {node} is drained")
    stays(lambda: pending(service, 1), f"a task to wait while {node} is drained", polls=4)
    set_availability(swarm, node, "active")
    eventually(lambda: one_on_each(service, [node]), f"{node}, now active, to work", deadline=60)


@claim("membership/leave-clears-node")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_node_that_leaves_keeps_nothing_of_the_swarm(cluster):
    worker = cluster.workers[0]
    own = cluster.bench(worker).start("idle")
    service = cluster.create_service("work", "idle", everywhere=True, networks=[cluster.create_network("work")])
    service.wait_running(2)
    assert not remains(worker), f"{worker} is in a swarm, and lists nothing of it"
    accepted(worker, "swarm leave")
    eventually(lambda: remains(worker), f"{worker}, which left, to have no network and no container of the swarm")
    state = worker.ask("GET", f"/containers/{own}/json")["State"]
    assert state["Running"], f"{worker} left the swarm, and its own container {own} is {state['Status']}"


@claim("membership/pending-join-left")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_a_node_whose_join_is_pending_leaves_and_joins_again(cluster):
    manager, newcomer = cluster.manager, cluster.spare[0]
    token = cluster.tokens()["Worker"]
    with applied(cut_off(newcomer, [manager]), cluster):
        said = refusal(join, newcomer, manager, token)  # the engine gives up waiting after 20 seconds
        assert said, f"{newcomer} joined {manager}, which it cannot reach"
        state = newcomer.swarm_state()
        assert state != "active", f"{newcomer} cannot reach {manager}, and is {state}"
        accepted(newcomer, "swarm leave --force")
        state = newcomer.swarm_state()
        assert state == "inactive", f"{newcomer} left while its join was pending, and is {state}"
    refused = refusal(join, newcomer, manager, token)
    assert not refused, f"{newcomer} left while its join was pending, and cannot join: {refused}"
    expect_ready_member(cluster, newcomer)


@claim("membership/removed-only-down")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_node_that_is_up_is_not_removed(cluster):
    worker = cluster.workers[0]
    done = cluster.manager.docker(f"node rm {worker}")
    assert not done.ok, f"{worker} is up, and node rm removed it without --force"
    assert "not down" in done.output, f"{worker} is up, and node rm says: {done.output}"
    state = cluster.state_of(worker.node_id())
    assert state == "ready", f"node rm of {worker} was refused, and it shows as {state or 'no member'}"


@claim("membership/removed-by-force")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_node_that_is_removed_by_force_is_out_and_its_tasks_run_elsewhere(cluster):
    manager, worker = cluster.nodes
    identity = worker.node_id()
    service = cluster.create_service("work", "idle", replicas=2)
    wait(lambda: one_on_each(service, cluster.nodes), "a task on each node", deadline=60)
    accepted(manager, f"node rm --force {worker}")
    eventually(lambda: State(not cluster.state_of(identity), "it is"), f"{worker}, removed, to be listed no more")

    def moved():
        state = service.converged(2)
        where = {task.node for task in service.running()}
        return State(state.done and where == {manager.name}, f"they run on {sorted(where)}; {state.summary}")

    eventually(moved, f"the tasks of {worker}, removed, to run on {manager}", deadline=60)


@claim("membership/manager-not-removed")
@pytest.mark.cluster(managers=2, workers=0)
def test_a_manager_is_not_removed_before_it_is_demoted(cluster):
    asked, other = cluster.nodes
    before = cluster.identity(), cluster.roles()
    for force in ("", "--force"):
        done = asked.docker(f"node rm {force} {other}")
        assert not done.ok, f"{other} is a manager, and node rm {force} removed it"
        assert "demoted" in done.output, f"node rm {force} of the manager {other} says: {done.output}"
    after = cluster.identity(), cluster.roles()
    assert after == before, f"the removal of {other} was refused, and {before} became {after}"


@claim("membership/standalone-starts-again")
@pytest.mark.cluster(managers=1, workers=1)
def test_containers_of_a_swarm_node_start_again_with_its_engine(cluster):
    network = cluster.create_network("own")
    made = [
        (node, cluster.bench(node).start("idle", f"--restart always {options}"))
        for node in cluster.nodes
        for options in ("", f"--network {network}")
    ]
    before = {box: node.ask("GET", f"/containers/{box}/json")["State"]["StartedAt"] for node, box in made}
    parallel(lambda node: node.stop(), cluster.nodes)
    cluster.nodes[0].start()
    cluster.nodes[1].start()

    def again():
        wrong = []
        for node, box in made:
            found = node.ask("GET", f"/containers/{box}/json")
            state, joined = found["State"], ", ".join(found["NetworkSettings"]["Networks"])
            if not state["Running"] or state["StartedAt"] == before[box]:
                wrong.append(f"{box} of {node} ({joined}) is {state['Status']} {state['Error']}".strip())
        return State(not wrong, "; ".join(wrong) or "all run")

    eventually(again, "containers with a restart policy to run after their engines restarted", deadline=90)
