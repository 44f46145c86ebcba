"""Autolock: managers that stay locked after a restart until they are given the key."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, refusal
from suites.support.locking import (
    another,
    expect_sealed,
    expect_unlocked,
    is_sealed,
    lock,
    restart,
    rotate_key,
    unlock,
    unlock_key,
)
from suites.support.placement import stays
from suites.support.reasons import explained
from suites.support.roles import acting, why_not_renewed, writes
from swarmlab.cluster.swarm import init
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

alone = pytest.mark.cluster(managers=1, workers=0)


def locked(cluster):
    """Return the manager of a swarm with autolock, locked after a restart, and its key."""
    manager = cluster.manager
    key = lock(cluster)
    restart(manager)
    expect_locked(manager)
    return manager, key


def expect_locked(manager):
    """Judge that a manager that restarted is locked."""

    def is_locked():
        state = manager.swarm_state()
        return State(state == "locked", f"it is {state}", hopeless=state in ("active", "inactive"))

    eventually(is_locked, f"{manager}, which restarted in a swarm with autolock, to be locked", deadline=30)


def expect_no_key_needed(node, what):
    """Judge that a node that restarted comes to be active by itself."""

    def active():
        state = node.swarm_state()
        return State(state == "active", f"it is {state}", hopeless=state == "locked")

    eventually(active, f"{node}, {what}, to be active after a restart without a key", deadline=60)


@claim("autolock/locked-after-restart")
@alone
def test_a_manager_is_locked_until_it_is_given_the_key(cluster):
    manager, key = locked(cluster)
    stays(
        lambda: State((state := manager.swarm_state()) == "locked", f"it is {state}"),
        f"{manager}, which nobody unlocks, to stay locked",
        polls=4,
    )
    expect_unlocked(manager, key)


@claim("autolock/locked-answers-nothing")
@alone
def test_a_locked_manager_tells_nothing_of_the_swarm_and_takes_no_change(cluster):
    manager, _ = locked(cluster)
    spec = {"Name": cluster.unique("locked"), "Labels": {cluster.label: ""}, "Data": "eA=="}
    calls = [("GET", f"/{kind}", None) for kind in ("swarm", "nodes", "services", "tasks", "configs", "secrets")]
    calls += [("GET", "/swarm/unlockkey", None), ("POST", "/configs/create", spec), ("POST", "/secrets/create", spec)]
    for method, path, body in calls:
        said = refusal(manager.ask, method, path, **({"body": body} if body else {}))
        assert said, f"{manager} is locked, and answers {method} {path}"
        assert "unlock" in said, f"{manager} is locked, and refuses {method} {path} without a word of that: {said}"
    for command in ("node ls", "service ls", "swarm join-token worker", "node promote master"):
        done = manager.docker(command)
        assert not done.ok, f"{manager} is locked, and takes docker {command}"
        assert "unlock" in done.output, f"{manager} is locked, and docker {command} says: {done.output}"


@claim("autolock/wrong-key-refused")
@alone
def test_a_locked_manager_takes_no_other_key(cluster):
    manager, key = locked(cluster)
    for wrong, what in ((another(key), "a key of another digit"), ("SWMKEY-1-short", "a key that is too short")):
        assert not unlock(manager, wrong).ok, f"{manager} was unlocked with {what}"
        state = manager.swarm_state()
        assert state == "locked", f"{manager} refused {what}, and is {state}"
    expect_unlocked(manager, key)  # the refusals were for the keys alone


@claim("autolock/unlocked-is-whole")
@pytest.mark.cluster(managers=1, workers=1)
def test_an_unlocked_manager_has_all_that_the_swarm_had(cluster):
    manager = cluster.manager
    service = cluster.create_service("kept", "idle", everywhere=True, networks=[cluster.create_network("kept")])
    service.wait_running(2)
    body = {"Name": cluster.unique("kept"), "Labels": {cluster.label: ""}, "Data": "a2VwdA=="}
    for kind in ("configs", "secrets"):
        manager.ask("POST", f"/{kind}/create", body=body)
    key = lock(cluster)
    before = state_of(manager)
    restart(manager)
    expect_locked(manager)
    expect_unlocked(manager, key)
    cluster.expect_ready()
    after = state_of(manager)
    for kind, had in before.items():
        lost = [
            f"{name} ({had[name]}, now {after[kind].get(name)})" for name in had if after[kind].get(name) != had[name]
        ]
        assert not lost, f"{manager} was unlocked, and of its {kind} these are other or gone: {'; '.join(lost)}"
    service.expect_running(2)
    state = writes(cluster, manager)
    assert state, f"{manager} was unlocked: {state.summary}"


def state_of(manager):
    """Return what a manager has of the swarm: by kind and by id, the specification."""
    held = {kind: manager.ask("GET", f"/{kind}") for kind in ("nodes", "services", "configs", "secrets")}
    found = {kind: {entry["ID"]: entry["Spec"] for entry in entries} for kind, entries in held.items()}
    networks = manager.ask("GET", "/networks", filters={"scope": ["swarm"]})
    return {**found, "networks": {entry["Id"]: entry["Name"] for entry in networks}}


@claim("autolock/rotated-key")
@pytest.mark.cluster(managers=3, workers=0)
def test_after_a_rotation_every_manager_takes_the_new_key_and_not_the_old(cluster):
    managers = cluster.managers
    old = lock(cluster)
    new = rotate_key(cluster)
    restart(*managers)
    for manager in managers:
        expect_locked(manager)
        assert not unlock(manager, old).ok, f"{manager} was unlocked with the key from before the rotation"
        expect_locked(manager)
    # At the same time: a manager is active only once most of them are.
    parallel(lambda manager: expect_unlocked(manager, new), managers)
    cluster.expect_ready()
    assert unlock_key(cluster.manager) == new, "the unlocked swarm shows another unlock key than the one that it took"


@claim("autolock/turned-off")
@pytest.mark.cluster(managers=0, workers=0, spare=1)
def test_without_autolock_a_manager_needs_no_key(cluster):
    node = cluster.spare[0]
    accepted(node, f"swarm init --autolock --advertise-addr {node.address}")
    expect_sealed([node])
    accepted(node, "swarm update --autolock=false")
    eventually(
        lambda: State(not is_sealed(node), "they are"), f"keys on the disk of {node} to be sealed no more", deadline=60
    )
    restart(node)
    expect_no_key_needed(node, "whose autolock was turned off")
    accepted(node, "node ls")


@claim("autolock/leave-locked")
@alone
def test_a_locked_manager_leaves_by_force_alone(cluster):
    manager, _ = locked(cluster)
    done = manager.docker("swarm leave")
    assert not done.ok, f"{manager} is locked, and left the swarm without --force"
    expect_locked(manager)
    accepted(manager, "swarm leave --force")
    state = manager.swarm_state()
    assert state == "inactive", f"{manager}, which was locked, left by force and is {state}"
    init(manager)  # what it had of the old swarm is in nobody's way
    assert len(cluster.members(manager)) == 1, f"{manager} has a new swarm with {cluster.names(manager)}"


@claim("autolock/promoted-is-locked")
@pytest.mark.cluster(managers=1, workers=1)
def test_a_worker_that_is_promoted_is_locked_too(cluster):
    manager, worker = cluster.nodes
    key = lock(cluster)
    accepted(manager, f"node promote {worker}")
    wanted = {manager: "manager", worker: "manager"}
    with explained(lambda: why_not_renewed(worker)):
        eventually(lambda: acting(cluster, wanted, [manager]), f"{worker}, promoted, to be a manager", deadline=90)
    expect_sealed([worker])
    restart(worker)
    expect_locked(worker)
    expect_unlocked(worker, key)
    cluster.expect_ready()


@claim("autolock/workers-need-no-key")
@pytest.mark.cluster(managers=2, workers=1)
def test_workers_and_managers_that_were_demoted_need_no_key(cluster):
    manager, demoted, worker = cluster.nodes
    lock(cluster)
    accepted(manager, f"node demote {demoted}")
    wanted = {manager: "manager", demoted: "worker", worker: "worker"}
    eventually(lambda: acting(cluster, wanted, [manager]), f"{demoted}, demoted, to be a worker", deadline=90)
    eventually(
        lambda: State(not is_sealed(demoted), "they are"),
        f"keys of {demoted}, demoted, to be sealed no more",
        deadline=60,
    )
    restart(demoted, worker)
    for node, what in ((demoted, "a demoted manager"), (worker, "a worker")):
        expect_no_key_needed(node, what)
    cluster.expect_ready()


@claim("autolock/unlock-of-unlocked-refused")
def test_unlock_is_refused_where_nothing_is_locked(cluster):
    managers = cluster.managers
    for node in cluster.nodes:
        before = node.info()["Swarm"]
        said = refusal(node.ask, "POST", "/swarm/unlock", body={"UnlockKey": another("SWMKEY-1-" + "A" * 43)})
        assert said, f"{node} is not locked, and takes an unlock"
        word = "not locked" if node in managers else "not a swarm manager"
        assert word in said, f"{node} is not locked, and refuses an unlock for another reason: {said}"
        after = node.info()["Swarm"]
        for what in ("LocalNodeState", "NodeID", "ControlAvailable"):
            assert after[what] == before[what], f"{node} refused an unlock, and its {what} is {after[what]}"
