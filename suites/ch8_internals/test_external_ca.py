"""8.3 and 8.3.1: root certificates that come from outside the swarm."""

import pytest

from fixtures.claims import claim
from suites.support.certificates import in_force, make_member, rotated
from suites.support.commands import accepted
from suites.support.external_ca import external_ca
from swarmlab.cluster import pki
from swarmlab.wait import eventually


@claim("8.3/external-ca-option")
@pytest.mark.cluster(managers=0, workers=0, spare=2)
def test_init_takes_an_external_authority_that_signs_from_then_on(cluster):
    manager, newcomer = cluster.spare
    with external_ca(cluster.bench(newcomer)) as external:
        root = f"{external.folder}/root.pem"
        cluster.bench(manager).write(root, pki.pem_of(external.authority.root))
        option = f"--external-ca protocol=cfssl,url={external.url},cacert={root}"
        accepted(manager, f"swarm init --advertise-addr {manager.address} {option}")
        cluster.nodes.append(manager)
        expect_kept(cluster, external)
        # The swarm made its own root; a rotation puts the authority's in force by certificate, without the key.
        accepted(manager, f"swarm ca --rotate --detach --ca-cert {root} {option}")
        eventually(lambda: rotated(cluster), "the rotation to the external authority to be finished", deadline=120)
        eventually(lambda: in_force(manager, external.authority.root), f"its root to be in force on {manager}")
        expect_signed(external, manager)
        make_member(cluster, newcomer)
        expect_signed(external, newcomer)


@claim("8.3/external-ca-option")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_update_takes_an_external_authority_that_signs_from_then_on(cluster):
    manager, newcomer = cluster.manager, cluster.spare[0]
    with external_ca(cluster.bench(newcomer)) as external:
        key, root = (f"{external.folder}/root.{kind}" for kind in ("key", "pem"))
        cluster.bench(manager).write(root, pki.pem_of(external.authority.root))
        cluster.bench(manager).write(key, pki.key_pem(external.authority.key))
        accepted(manager, f"swarm ca --rotate --detach --ca-cert {root} --ca-key {key}")
        eventually(lambda: rotated(cluster), "the rotation to the authority's root to be finished", deadline=120)
        assert not external.signed(), f"the authority signed for a swarm that does not know it: {external.signed()}"
        accepted(manager, f"swarm update --external-ca protocol=cfssl,url={external.url}")
        expect_kept(cluster, external)
        make_member(cluster, newcomer)
        expect_signed(external, newcomer)


def expect_kept(cluster, external):
    """Judge that the swarm's specification has the authority's URL."""
    kept = cluster.manager.ask("GET", "/swarm")["Spec"]["CAConfig"].get("ExternalCAs") or []
    urls = [authority["URL"] for authority in kept]
    assert urls == [external.url], f"the swarm was given the authority {external.url}, and keeps {urls}"


def expect_signed(external, node):
    """Judge that the external authority signed the certificate of *node*."""
    held, signed = pki.certificate_of(node), external.signed()
    assert pki.issued_by(held, external.authority.root), (
        f"{node} has a certificate that the external authority did not sign: {pki.summary(held)}"
    )
    assert held.serial_number in [serial for _, serial in signed], (
        f"{node} has {pki.summary(held)}, of which the authority knows nothing, that signed {signed}"
    )


@claim("8.3.1/given-root")
@pytest.mark.cluster(managers=2, workers=1)
def test_a_given_root_and_key_are_put_in_force(cluster):
    manager = cluster.manager
    given = pki.Authority.make("swarm-conformance")
    bench = cluster.bench(manager)
    folder = bench.folder({"root.pem": pki.pem_of(given.root), "root.key": pki.key_pem(given.key)})
    accepted(manager, f"swarm ca --rotate --detach --ca-cert {folder}/root.pem --ca-key {folder}/root.key")
    bench.clear()
    eventually(lambda: rotated(cluster), "the rotation to the given root to be finished", deadline=120)
    for node in cluster.nodes:
        eventually(lambda node=node: in_force(node, given.root), f"the given root to be in force on {node}")
    subject = pki.certificate_of(cluster.workers[0]).subject
    for asked in cluster.managers:
        valid = pki.dial(asked, given.issue(subject))
        assert valid.accepted, f"{asked} does not take a certificate of the given root: {valid}"
        expired = pki.dial(asked, given.issue(subject, since=-91, until=-1))
        assert expired.alert, f"{asked} took a certificate of the given root that expired yesterday: {expired}"
