"""8.3: the validity of certificates, and their renewal."""

import pytest

from fixtures.claims import claim
from suites.support.certificates import HOUR, accepted_rotation, lifetime, make_member, now
from suites.support.commands import accepted, refusal
from swarmlab.cluster import pki
from swarmlab.wait import State, eventually, scaled


@claim("8.3/expiry-setting")
@pytest.mark.cluster(managers=1, workers=1, spare=1)
def test_certificates_are_issued_with_the_validity_that_was_set(cluster):
    manager, newcomer = cluster.manager, cluster.spare[0]
    before = pki.certificate_of(manager)
    accepted(manager, "swarm update --cert-expiry 720h")
    manager.stop()  # a leader applies the setting when it begins to lead
    manager.start()
    cluster.wait_ready()
    make_member(cluster, newcomer)
    expect_lifetime(newcomer, 720)
    after = pki.certificate_of(manager)
    changed = f"{manager} had {pki.summary(before)}, and has {pki.summary(after)}"
    assert after == before, f"{changed} by a change of the setting"

    accepted(manager, "swarm update --cert-expiry 1h")  # the shortest that is accepted
    accepted_rotation(cluster)  # a rotation applies the setting too, and gives every node another certificate
    for node in (*cluster.nodes, newcomer):
        expect_lifetime(node, 1)


def expect_lifetime(node, hours):
    """Judge that the certificate of *node* is valid for *hours*, and for the hour by which it is back-dated."""
    held = pki.certificate_of(node)
    issued = lifetime(held)
    right = (hours - 1 / 30) * HOUR <= issued <= (hours + 1 + 1 / 30) * HOUR  # engines cut times to minutes
    assert right, f"with --cert-expiry {hours}h {node} was given a certificate for {issued}: {pki.summary(held)}"


@claim("8.3/expiry-minimum")
@pytest.mark.touches("set a validity that, where it is not refused, is the swarm's")
def test_a_validity_of_under_an_hour_is_refused(cluster):
    manager = cluster.manager
    spec = swarm_settings(cluster)
    before = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    try:
        for validity in ("59m", "59m59s", "1s"):
            refused = manager.docker(f"swarm update --cert-expiry {validity}")
            assert not refused.ok, f"docker swarm update --cert-expiry {validity} was accepted on {manager}"
        explanation = refusal(
            manager.revise, "/swarm", lambda spec: spec["CAConfig"].update(NodeCertExpiry=int(59 * 60e9))
        )
        assert explanation, f"the API of {manager} accepted 59 minutes"
        kept = swarm_settings(cluster)
        assert kept == spec, f"a setting that was refused changed the swarm's from {spec} to {kept}"
        for node in cluster.nodes:
            after = pki.certificate_of(node)
            both = f"{node} had {pki.summary(before[node.name])}, and has {pki.summary(after)}"
            assert after == before[node.name], f"a setting that was refused brought a new certificate: {both}"
    finally:
        if swarm_settings(cluster) != spec:  # other tests share the cluster
            manager.revise("/swarm", lambda now: now.update(spec))


def swarm_settings(cluster):
    """Return the swarm's specification."""
    return cluster.manager.ask("GET", "/swarm")["Spec"]


@claim("8.3/renewal")
@pytest.mark.cluster(managers=1, workers=1)
def test_nodes_renew_their_certificates_before_they_expire(cluster):
    """Takes up to 40 minutes: a certificate of 1 h is back-dated by another, and renewed after 50 to 80 % of both."""
    accepted(cluster.manager, "swarm update --cert-expiry 1h")
    accepted_rotation(cluster)  # which gives every node a certificate of that validity
    members = cluster.identity()
    first = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    for node in cluster.nodes:
        expect_lifetime(node, 1)

    def renewed():
        held = {node.name: pki.certificate_of(node) for node in cluster.nodes}
        late = [name for name, certificate in held.items() if certificate == first[name]]
        expired = [name for name in late if first[name].not_valid_after_utc < now()]
        summary = f"the certificate of {' and '.join(expired or late) or 'none'} is the one from before"
        return State(not late, f"{summary}{', and has expired' if expired else ''}", hopeless=bool(expired))

    # Certificates expire by the clock, also on a slow lab, so that the deadline is not scaled.
    eventually(renewed, "every node to renew its certificate", deadline=2 * 3600 / scaled(1), every=5)
    for node in cluster.nodes:
        old, new = first[node.name], pki.certificate_of(node)
        assert new.subject == old.subject, f"{node} was {pki.summary(old)} and renewed to {pki.summary(new)}"
        assert new.not_valid_after_utc > old.not_valid_after_utc, f"{node} renewed to {pki.summary(new)}"
    cluster.expect_ready()
    assert cluster.identity() == members, f"the members were {members}, and are {cluster.identity()} after the renewal"
