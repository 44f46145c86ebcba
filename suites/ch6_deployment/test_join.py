"""6.1, second half: tokens, and how nodes come in and go."""

import re

import pytest

from fixtures.claims import claim
from swarmlab.errors import EngineRefused
from swarmlab.swarm import join, join_command
from swarmlab.wait import eventually

TOKEN = re.compile(r"SWMTKN-1-(?P<digest>[0-9a-z]{50})-(?P<secret>[0-9a-z]{25})")


def digest_and_secret(token):
    return TOKEN.fullmatch(token).groups()


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
        printed = cluster.manager.docker(f"swarm join-token -q {role.lower()}")
        assert printed.out == f"{token}\n", f"-q printed more or other than the token for a {role.lower()}"


@claim("6.1/worker-token")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_who_joins_with_the_worker_token_is_a_worker(cluster):
    newcomer = cluster.spare[0]
    join_as_printed(cluster, newcomer, "worker")
    assert member_of(cluster, newcomer)["Spec"]["Role"] == "worker"
    assert not newcomer.info()["Swarm"]["ControlAvailable"], f"{newcomer} serves the cluster's API as a worker"


@claim("6.1/manager-token")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_who_joins_with_the_manager_token_is_a_manager(cluster):
    newcomer = cluster.spare[0]
    join_as_printed(cluster, newcomer, "manager")
    assert member_of(cluster, newcomer)["Spec"]["Role"] == "manager"
    eventually(
        lambda: member_of(cluster, newcomer)["ManagerStatus"]["Reachability"] == "reachable",
        f"{newcomer} to be reachable as a manager",
    )
    assert {m["ID"] for m in cluster.members(newcomer)} == {m["ID"] for m in cluster.members()}


@claim("6.1/many-of-each")
@pytest.mark.cluster(managers=2, workers=2)
def test_a_swarm_holds_several_managers_and_workers(cluster):
    assert len(cluster.managers) == 2
    assert len(cluster.workers) == 2
    views = {manager.name: cluster.roles(manager) for manager in cluster.managers}
    wanted = {node.name: "manager" if node in cluster.managers else "worker" for node in cluster.nodes}
    assert views == dict.fromkeys(views, wanted)
    service = cluster.create_service("everywhere", "client", everywhere=True)
    service.expect_running(len(cluster.nodes))


@claim("6.1/rotate-changes")
@pytest.mark.cluster(managers=1, workers=0)
def test_rotation_gives_a_new_worker_token_and_keeps_the_managers(cluster):
    before = cluster.tokens()
    assert cluster.manager.docker("swarm join-token --rotate worker").ok
    after = cluster.tokens()
    assert after["Worker"] != before["Worker"], "the worker token is the old one"
    assert after["Manager"] == before["Manager"], "the manager token changed too"
    assert TOKEN.fullmatch(after["Worker"])


@claim("6.1/rotated-token-refused")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_the_token_from_before_a_rotation_is_refused(cluster):
    newcomer = cluster.spare[0]
    old = cluster.tokens()["Worker"]
    assert cluster.manager.docker("swarm join-token --rotate worker").ok
    with pytest.raises(EngineRefused):
        join(newcomer, cluster.manager, old)
    assert newcomer.swarm_state() != "active", f"{newcomer} was refused and is in the swarm"
    assert newcomer.name not in cluster.roles(), f"{newcomer} was refused and is listed"
    # The refusal was for the token and nothing else: with the new one the same node is let in.
    newcomer.docker("swarm leave --force")
    join(newcomer, cluster.manager, cluster.tokens()["Worker"])
    member_of(cluster, newcomer)


@claim("6.1/rotate-keeps-members")
@pytest.mark.cluster(managers=1, workers=1)
def test_members_stay_through_a_rotation(cluster):
    before = cluster.identity()
    assert cluster.manager.docker("swarm join-token --rotate worker").ok
    assert not (gone := set(before.items()) - set(cluster.identity().items())), f"no longer members: {sorted(gone)}"
    for node in cluster.nodes:  # the session of each with the manager is made anew, with the certificate it has
        node.stop()
        node.start()
    cluster.expect_ready()
    assert cluster.identity() == before


@claim("6.1/leave-and-rejoin")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_worker_leaves_is_removed_and_joins_again(cluster):
    worker = cluster.workers[0]
    old = worker.node_id()
    assert worker.docker("swarm leave").ok
    assert worker.swarm_state() == "inactive", f"{worker} left and is still {worker.swarm_state()}"
    eventually(lambda: cluster.state_of(old) == "down", f"{worker}, which left, to show as Down")
    assert cluster.manager.docker(f"node rm {old}").ok
    assert cluster.state_of(old) == "", "the removed node is still listed"
    join_as_printed(cluster, worker, "worker")
    assert member_of(cluster, worker)["ID"] != old


def join_as_printed(cluster, newcomer, role):
    """Run on *newcomer*, word for word, the command that the manager prints for *role*."""
    printed = cluster.manager.docker(f"swarm join-token {role}").out
    joined = newcomer.run(join_command(printed).words)
    assert joined.ok, f"{newcomer} could not join as {role}: {joined.said}"


def member_of(cluster, node):
    """The node list's entry of *node*, which joined, once it is Ready."""
    identity = node.node_id()
    eventually(lambda: cluster.state_of(identity) == "ready", f"{node} to be Ready")
    return next(member for member in cluster.members() if member["ID"] == identity)
