"""6.1, second half: tokens, and nodes that join and leave."""

import re

import pytest

from fixtures.claims import claim
from suites.support.certificates import expect_ready_member
from suites.support.commands import accepted, refusal
from swarmlab.cluster.swarm import join, join_command
from swarmlab.lists import few
from swarmlab.wait import State, eventually

TOKEN = re.compile(r"SWMTKN-1-(?P<digest>[0-9a-z]{50})-(?P<secret>[0-9a-z]{25})")


def digest_and_secret(token):
    """Return the two parts of a token."""
    form = TOKEN.fullmatch(token)
    assert form, "a token is not SWMTKN-1-DIGEST-SECRET"
    return form.groups()


@claim("6.1/token-form")
def test_tokens_have_the_documented_form(cluster):
    for role, token in cluster.tokens().items():
        assert TOKEN.fullmatch(token), f"the token for a {role.lower()} has another form"


@claim("6.1/two-tokens")
def test_the_two_tokens_differ_in_their_secret_only(cluster):
    worker, manager = (digest_and_secret(cluster.tokens()[role]) for role in ("Worker", "Manager"))
    assert worker[0] == manager[0], "the digests of the two tokens differ"
    assert worker[1] != manager[1], "both tokens hold the same secret"


@claim("6.1/quiet-token")
def test_quiet_join_token_prints_the_token_alone(cluster):
    for role, token in cluster.tokens().items():
        printed = accepted(cluster.manager, f"swarm join-token -q {role.lower()}")
        assert printed == f"{token}\n", f"-q printed more or other than the {role.lower()} token: {printed!r}"


@claim("6.1/worker-token")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_who_joins_with_the_worker_token_is_a_worker(cluster):
    newcomer = cluster.spare[0]
    join_as_printed(cluster, newcomer, "worker")
    role = member_of(cluster, newcomer)["Spec"]["Role"]
    assert role == "worker", f"{newcomer} joined with the worker token and is a {role}"
    assert not newcomer.info()["Swarm"]["ControlAvailable"], f"{newcomer} serves the cluster's API as a worker"


@claim("6.1/manager-token")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_who_joins_with_the_manager_token_is_a_manager(cluster):
    newcomer = cluster.spare[0]
    join_as_printed(cluster, newcomer, "manager")
    role = member_of(cluster, newcomer)["Spec"]["Role"]
    assert role == "manager", f"{newcomer} joined with the manager token and is a {role}"

    def reachable():
        status = member_of(cluster, newcomer).get("ManagerStatus", {})
        return State(status.get("Reachability") == "reachable", f"its status as a manager is {status or 'none'}")

    eventually(reachable, f"{newcomer} to be reachable as a manager")
    listed = {asked.name: cluster.roles(asked) for asked in (newcomer, cluster.manager)}
    assert listed[newcomer.name] == listed[cluster.manager.name], f"the managers list different members: {listed}"


@claim("6.1/many-of-each")
@pytest.mark.cluster(managers=2, workers=2)
def test_a_swarm_holds_several_managers_and_workers(cluster):
    managers = cluster.managers
    assert len(managers) == 2, f"of four nodes, two of them joined as managers, {managers} serve the API"
    wanted = {node.name: "manager" if node in managers else "worker" for node in cluster.nodes}
    for manager in managers:
        assert cluster.roles(manager) == wanted, f"{manager} lists {cluster.roles(manager)}, and the nodes are {wanted}"
    service = cluster.create_service("everywhere", "idle", everywhere=True)

    def runs_on_all():
        state = service.converged(len(cluster.nodes))
        lacking = set(wanted) - {task.node for task in service.running()}
        return State(state.done, f"no task on {few(sorted(lacking)) or 'none'}; {state.summary}")

    eventually(runs_on_all, "a task on each of two managers and two workers", deadline=60)


@claim("6.1/rotate-changes")
@pytest.mark.cluster(managers=1, workers=0)
def test_rotation_gives_a_new_worker_token_and_keeps_the_managers(cluster):
    before = cluster.tokens()
    accepted(cluster.manager, "swarm join-token --rotate worker")
    after = cluster.tokens()
    assert after["Worker"] != before["Worker"], "the worker token is the old one"
    assert after["Manager"] == before["Manager"], "the manager token changed too"
    assert TOKEN.fullmatch(after["Worker"]), "the new worker token has another form"


@claim("6.1/rotated-token-refused")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_the_token_from_before_a_rotation_is_refused(cluster):
    newcomer = cluster.spare[0]
    old = cluster.tokens()["Worker"]
    accepted(cluster.manager, "swarm join-token --rotate worker")
    assert refusal(join, newcomer, cluster.manager, old), f"{newcomer} was let in with the token from before"
    assert newcomer.swarm_state() != "active", f"{newcomer} was refused and is in the swarm"
    assert newcomer.name not in cluster.roles(), f"{newcomer} was refused and is listed"
    # The refusal was for the token alone: with the new one the same node may join.
    newcomer.docker("swarm leave --force")
    refused = refusal(join, newcomer, cluster.manager, cluster.tokens()["Worker"])
    assert not refused, f"{newcomer} is refused with the new token too: {refused}"
    member_of(cluster, newcomer)


@claim("6.1/rotate-keeps-members")
@pytest.mark.cluster(managers=1, workers=1)
def test_members_stay_through_a_rotation(cluster):
    before = cluster.identity()
    accepted(cluster.manager, "swarm join-token --rotate worker")
    assert not (gone := set(before.items()) - set(cluster.identity().items())), f"no longer members: {sorted(gone)}"
    for node in cluster.nodes:  # so that each opens a new session with the manager, with the certificate that it has
        node.stop()
        node.start()
    cluster.expect_ready()
    after = cluster.identity()
    assert after == before, f"the members were {before}, and are {after} after their engines restarted"


@claim("6.1/leave-and-rejoin")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_worker_leaves_is_removed_and_joins_again(cluster):
    worker = cluster.workers[0]
    old = worker.node_id()
    accepted(worker, "swarm leave")
    assert worker.swarm_state() == "inactive", f"{worker} left and is still {worker.swarm_state()}"
    eventually(
        lambda: State((found := cluster.state_of(old)) == "down", f"it shows as {found or 'no member'}"),
        f"{worker}, which left, to show as Down",
    )
    accepted(cluster.manager, f"node rm {old}")
    assert not cluster.state_of(old), f"{worker}, which was removed, is still listed"
    join_as_printed(cluster, worker, "worker")
    assert member_of(cluster, worker)["ID"] != old, f"{worker} joined again as the member that it was"


def join_as_printed(cluster, newcomer, role):
    """Run on *newcomer* the command that the manager prints for *role*, word for word."""
    printed = accepted(cluster.manager, f"swarm join-token {role}")
    command = join_command(printed)
    assert command, f"no join command for a {role} in: {printed!r}"
    joined = newcomer.run(command.line)
    assert joined.ok, f"{newcomer} could not join as {role}: {joined.output}"


def member_of(cluster, node):
    """Return the entry of *node*, which joined, in the node list once it is Ready."""
    identity = expect_ready_member(cluster, node, deadline=30)
    return next(member for member in cluster.members() if member["ID"] == identity)
