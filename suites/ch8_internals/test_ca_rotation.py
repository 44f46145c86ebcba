"""8.3.1: the rotation of the root certificate while the swarm runs on."""

import re

import pytest

from fixtures.claims import claim
from suites.support.certificates import accepted_rotation, in_force, known_to_be_in_force, make_member, rotated
from suites.support.commands import accepted, refusal
from suites.support.published import answering
from suites.support.traffic import from_each
from swarmlab.cluster import pki
from swarmlab.cluster.fault import applied, apply, cut_off, heal, kill
from swarmlab.cluster.swarm import join
from swarmlab.lists import few
from swarmlab.wait import State, eventually
from swarmlab.watching.watch import Watch


def root(cluster):
    """Return the root certificate that the managers show."""
    shown = pki.parse(cluster.manager.ask("GET", "/swarm")["TLSInfo"]["TrustRoot"])
    assert len(shown) == 1, f"the managers show {len(shown)} root certificates"
    return shown[0]


def expect_in_force(nodes, wanted):
    """Expect that every node gets a certificate of the root *wanted*, and trusts it alone."""
    eventually(
        lambda: from_each(nodes, lambda node: in_force(node, wanted)),
        "the new root to be in force on every node",
        deadline=60,
        alike=True,
    )


@claim("8.3.1/rotate-makes-new-root")
@pytest.mark.cluster(managers=1, workers=1)
def test_rotation_makes_a_new_root_certificate_and_key(cluster):
    made = [root(cluster)]
    for _ in range(2):
        printed = pki.parse(accepted(cluster.manager, "swarm ca --rotate"))
        eventually(lambda: rotated(cluster), "the rotation to be finished", deadline=120)
        new = root(cluster)
        shown = [pki.summary(certificate) for certificate in printed]
        assert printed[-1:] == [new], f"the command printed {shown}, the root is {pki.summary(new)}"
        assert pki.issued_by(new, new), f"the new root has not signed itself: {pki.summary(new)}"
        for old in made:
            both = f"it was {pki.summary(old)}, it is {pki.summary(new)}"
            assert pki.pem_of(new) != pki.pem_of(old), f"the root after the rotation is the old one: {both}"
            assert pki.public(new) != pki.public(old), f"the root after the rotation has the old one's key: {both}"
        made.append(new)


@claim("8.3.1/cross-signed")
@pytest.mark.cluster(managers=2, workers=1)
def test_the_new_root_is_cross_signed_while_a_rotation_runs(cluster):
    *reached, held_up = cluster.nodes
    old = root(cluster)
    # With the node cut off, the rotation cannot be finished.
    with applied(cut_off(held_up, reached), cluster):
        accepted(cluster.manager, "swarm ca --rotate --detach")
        new_key = expect_new_issuer(cluster, old)
        for node in reached:
            eventually(
                lambda node=node: bridges(pki.identity_of(node), old, new_key),
                f"{node} to have a certificate of the new root with that root cross-signed by the old",
                deadline=60,
            )
        for manager in cluster.managers:
            chain = pki.chain_of(reached[-1], manager)
            offered = any(
                pki.issued_by(certificate, old) and pki.public(certificate) == new_key for certificate in chain
            )
            shown = "; ".join(map(pki.summary, chain))
            assert offered, f"{manager} offers no certificate by which the old root vouches for the new one: {shown}"
        assert not rotated(cluster), f"the rotation was finished without {held_up}, which was cut off"
    eventually(lambda: rotated(cluster), f"the rotation to be finished with {held_up} back", deadline=120)
    now = root(cluster)
    assert pki.public(now) == new_key, "the root after the rotation is not that which was cross-signed"


def expect_new_issuer(cluster, old):
    """Expect that certificates are signed with another key than that of the root *old*, and return that other key."""

    def issuer():
        return pki.issuer_key(cluster.manager.ask("GET", "/swarm")["TLSInfo"])

    eventually(
        lambda: State(issuer() != pki.public(old), "it is the old root's"), "certificates to be signed with a new key"
    )
    return issuer()


def bridges(identity, old, new_key):
    """Whether a certificate is signed with *new_key*, and comes with a certificate of that key by the root *old*."""
    chain = "; ".join(map(pki.summary, identity.chain))
    summary = f"it has {pki.summary(identity.leaf)} with {chain or 'nothing beside it'}"
    for certificate in identity.chain:
        if (
            pki.public(certificate) == new_key
            and pki.issued_by(certificate, old)
            and pki.issued_by(identity.leaf, certificate)
        ):
            return State(True, summary)
    return State(False, summary)


@claim("8.3.1/nodes-renewed")
@pytest.mark.cluster(managers=2, workers=1)
def test_every_node_has_a_certificate_of_the_new_root_alone(cluster):
    old = root(cluster)
    before = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    accepted_rotation(cluster)
    new = root(cluster)
    assert new != old, "the root after the rotation is the old one"
    expect_in_force(cluster.nodes, new)
    for node in cluster.nodes:
        held = pki.certificate_of(node)
        assert not pki.issued_by(held, old), f"{node} has a certificate of the old root: {pki.summary(held)}"
        was = before[node.name].subject
        assert held.subject == was, f"by the rotation {node} became {pki.summary(held)}, from {was.rfc4514_string()}"
        for manager in cluster.managers:
            shaken = pki.dial(manager, pki.identity_of(node))
            assert shaken.accepted, f"{manager} does not take the new certificate of {node}: {shaken}"
    eventually(
        lambda: known_to_be_in_force(cluster, new), "the managers to know that the new root is in force", deadline=60
    )
    # A certificate that is issued later comes without the cross-signed one.
    newcomer = cluster.workers[0]
    accepted(newcomer, "swarm leave")
    make_member(cluster, newcomer)
    expect_in_force([newcomer], new)
    chain = pki.identity_of(newcomer).chain
    assert not chain, f"{newcomer} was given, after the rotation, also {'; '.join(map(pki.summary, chain))}"


@claim("8.3.1/old-root-distrusted")
@pytest.mark.cluster(managers=3, workers=0)
def test_a_certificate_of_the_old_root_is_refused_by_every_manager(cluster):
    managers = cluster.managers
    old = {node.name: pki.identity_of(node) for node in managers[:2]}
    for manager in managers:
        for name, identity in old.items():
            shaken = pki.dial(manager, identity)
            assert shaken.accepted, f"{manager} does not take the certificate of {name} before the rotation: {shaken}"
    accepted_rotation(cluster)
    for manager in managers:
        for name, identity in old.items():
            for version in ("TLSv1_2", ""):

                def refused(manager=manager, identity=identity, version=version):
                    shaken = pki.dial(manager, identity, version=version)
                    return State(bool(shaken.alert), str(shaken))

                eventually(refused, f"{manager} to refuse the certificate that {name} had of the old root", stable=2)
        for node in managers:
            renewed = pki.dial(manager, pki.identity_of(node))
            assert renewed.accepted, f"{manager} does not take the certificate of {node} after the rotation: {renewed}"


@claim("8.3.1/waits-for-every-node")
@pytest.mark.cluster(managers=1, workers=2)
def test_a_rotation_waits_for_a_node_that_is_down(cluster):
    *others, absent = cluster.nodes
    identity = absent.node_id()
    for comes_back in (True, False):
        before = root(cluster)
        apply(kill(absent), cluster)
        accepted(cluster.manager, "swarm ca --rotate --detach")

        def held_up(before=before):
            late = [node.name for node in others if pki.issued_by(pki.certificate_of(node), before)]
            state, finished = cluster.state_of(identity), rotated(cluster)
            summary = (
                f"{absent} is {state}, the old root's certificate has {', '.join(late) or 'no other'}; "
                f"{finished.summary}"
            )
            return State(state == "down" and not late and not finished, summary, hopeless=finished.done)

        # For a while after the others are done: managers look every few seconds whether a node is left.
        eventually(held_up, f"a rotation to go on as long as {absent} is down", deadline=120, stable=10, every=0.5)
        if comes_back:
            heal(kill(absent), cluster)
        else:
            accepted(cluster.manager, f"node rm --force {identity}")
        how = "back" if comes_back else "removed"
        eventually(lambda: rotated(cluster), f"the rotation to be finished with {absent} {how}", deadline=120)
        new = root(cluster)
        assert new != before, f"the rotation ended with the old root when {absent} was {how}"
        expect_in_force(cluster.nodes if comes_back else others, new)


@claim("8.3.1/tokens-change")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_a_rotation_changes_the_tokens_and_the_old_ones_are_refused(cluster):
    newcomer = cluster.spare[0]
    old = cluster.tokens()
    accepted_rotation(cluster)
    new = cluster.tokens()
    for role, token in old.items():
        assert new[role] != token, f"the {role.lower()} token after the rotation is the one from before"
        assert new[role].split("-")[2] == pki.token_digest(root(cluster)), f"the new {role} token has another digest"
        printed = accepted(cluster.manager, f"swarm join-token -q {role.lower()}").strip()
        assert printed == new[role], f"join-token prints another {role.lower()} token than the API gives"
        before = cluster.identity()
        assert refusal(join, newcomer, cluster.manager, token), f"{newcomer} was let in with the old {role} token"
        assert newcomer.swarm_state() != "active", f"{newcomer} was refused with the old {role} token and is inside"
        assert cluster.identity() == before, f"{newcomer} was refused with the old {role} token and is listed"
        newcomer.docker("swarm leave --force")
    make_member(cluster, newcomer)


@claim("8.3.1/services-run-on")
@pytest.mark.cluster(managers=2, workers=1)
def test_tasks_run_on_and_keep_answering_through_a_rotation(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", everywhere=True, publish={port: 80}, publish_mode="host")
    before = {(task.id, task.container, task.node) for task in web.wait_running(len(cluster.nodes))}
    began = {node.name: started(node, web) for node in cluster.nodes}
    eventually(lambda: answering(cluster.nodes, port), f"the task on every node to answer on port {port}", alike=True)
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        old = root(cluster)
        accepted_rotation(cluster)
        expect_in_force(cluster.nodes, root(cluster))
        watch.rounds(5)
    assert root(cluster) != old, "the root after the rotation is the old one"
    assert not watch.lost, f"through the rotation {watch.summary}"
    web.expect_running(len(cluster.nodes))
    after = {(task.id, task.container, task.node) for task in web.tasks()}
    moved = sorted({node for _, _, node in before ^ after})
    assert not moved, f"the tasks on {few(moved)} are others after the rotation: {before} became {after}"
    for node in cluster.nodes:
        now = started(node, web)
        assert now == began[node.name], f"the container on {node} was started again: {began[node.name]} became {now}"


def started(node, service):
    """Return start time and restarts of each container of a service on this node, by container id."""
    details = [node.ask("GET", f"/containers/{container['Id']}/json") for container in service.containers(node)]
    return {container["Id"]: (container["State"]["StartedAt"], container["RestartCount"]) for container in details}


@claim("8.3.1/mixed-engines")
@pytest.mark.cluster(managers=2, workers=1)
def test_a_rotation_reaches_engines_of_every_version(cluster):
    versions = {node.name: node.ask("GET", "/version")["Version"] for node in cluster.nodes}
    assert len(set(versions.values())) > 1, f"the engines are of one version: {versions}"
    for name, version in versions.items():
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        assert numbers >= (17, 6), f"{name} has engine {version}, and only 17.06 and newer ones rotate"
    old = root(cluster)
    accepted_rotation(cluster)
    new = root(cluster)
    assert new != old, f"with engines {versions} the root after the rotation is the old one"
    for node in cluster.nodes:
        reason = f"the new root to be in force on {node}, which has engine {versions[node.name]}"
        eventually(lambda node=node: in_force(node, new), reason, deadline=60)
