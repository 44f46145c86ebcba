"""8.3: how long certificates are valid, and how they are renewed."""

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
    manager.stop()  # who leads takes the setting into use when it begins to lead
    manager.start()
    cluster.wait_ready()
    make_member(cluster, newcomer)
    expect_lifetime(newcomer, 720)
    after = pki.certificate_of(manager)
    assert after == before, f"{manager} had {pki.told(before)}, and has {pki.told(after)} by a change of the setting"

    accepted(manager, "swarm update --cert-expiry 1h")  # the least that is taken
    accepted_rotation(cluster)  # or when the root is rotated, which gives every node another certificate
    for node in (*cluster.nodes, newcomer):
        expect_lifetime(node, 1)


def expect_lifetime(node, hours):
    """Judge that the certificate of *node* is valid for so many hours, and an hour of back-dating."""
    held = pki.certificate_of(node)
    issued = lifetime(held)
    right = (hours - 1 / 30) * HOUR <= issued <= (hours + 1 + 1 / 30) * HOUR  # engines cut times to minutes
    assert right, f"with --cert-expiry {hours}h {node} was given a certificate for {issued}: {pki.told(held)}"


@claim("8.3/expiry-minimum")
@pytest.mark.touches("set a validity that, where it is not refused, is the swarm's")
def test_a_validity_of_under_an_hour_is_refused(cluster):
    manager = cluster.manager
    spec = swarm_settings(cluster)
    before = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    try:
        for words in ("59m", "59m59s", "1s"):
            refused = manager.docker(f"swarm update --cert-expiry {words}")
            assert not refused.ok, f"docker swarm update --cert-expiry {words} was accepted on {manager}"
        said = refusal(manager.revise, "/swarm", lambda spec: spec["CAConfig"].update(NodeCertExpiry=int(59 * 60e9)))
        assert said, f"the API of {manager} accepted 59 minutes"
        kept = swarm_settings(cluster)
        assert kept == spec, f"a setting that was refused changed the swarm's from {spec} to {kept}"
        for node in cluster.nodes:
            after = pki.certificate_of(node)
            told = f"{node} had {pki.told(before[node.name])}, and has {pki.told(after)}"
            assert after == before[node.name], f"a setting that was refused brought a new certificate: {told}"
    finally:
        if swarm_settings(cluster) != spec:  # it is others' cluster too
            manager.revise("/swarm", lambda now: now.update(spec))


def swarm_settings(cluster):
    """The swarm's specification."""
    return cluster.manager.ask("GET", "/swarm")["Spec"]


@claim("8.3/renewal")
@pytest.mark.cluster(managers=1, workers=1)
def test_nodes_renew_their_certificates_before_they_expire(cluster):
    """Up to 40 minutes: a certificate of an hour is back-dated by another, and renewed after 50 to 80 % of both."""
    accepted(cluster.manager, "swarm update --cert-expiry 1h")
    accepted_rotation(cluster)  # which gives every node a certificate of that validity
    members = cluster.identity()
    first = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    for node in cluster.nodes:
        expect_lifetime(node, 1)

    def renewed():
        held = {node.name: pki.certificate_of(node) for node in cluster.nodes}
        late = [name for name, one in held.items() if one == first[name]]
        expired = [name for name in late if first[name].not_valid_after_utc < now()]
        seen = f"the certificate of {' and '.join(expired or late) or 'none'} is the one from before"
        return State(not late, f"{seen}{', and has expired' if expired else ''}", hopeless=bool(expired))

    # The clock of the certificates is no slower on a slow lab.
    eventually(renewed, "every node to renew its certificate", deadline=2 * 3600 / scaled(1), every=5)
    for node in cluster.nodes:
        old, new = first[node.name], pki.certificate_of(node)
        assert new.subject == old.subject, f"{node} was {pki.told(old)} and renewed to {pki.told(new)}"
        assert new.not_valid_after_utc > old.not_valid_after_utc, f"{node} renewed to {pki.told(new)}"
    cluster.expect_ready()
    assert cluster.identity() == members, f"the members were {members}, and are {cluster.identity()} after the renewal"
