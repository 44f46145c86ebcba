"""8.3: the contents of the certificates of a swarm's nodes, and of its root certificate."""

import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from fixtures.claims import claim
from suites.support.certificates import HOUR, lifetime, now
from suites.support.commands import accepted
from swarmlab.cluster import pki
from swarmlab.cluster.node import on_each
from swarmlab.lists import few
from swarmlab.wait import State, eventually

DAY = 24 * HOUR


@claim("8.3/own-root-ca")
@pytest.mark.cluster(managers=0, workers=0, spare=2)
def test_every_init_makes_a_root_certificate_of_its_own(cluster):
    made = []
    for node in (*cluster.spare, cluster.spare[0]):
        node.docker("swarm leave --force")  # the first node makes a second swarm after its first
        accepted(node, f"swarm init --advertise-addr {node.address}")
        roots = pki.root_of(node)
        assert len(roots) == 1, f"{node} trusts {len(roots)} root certificates after init"
        root = roots[0]
        for name in (root.subject, root.issuer):
            assert pki.part(name, NameOID.COMMON_NAME) == "swarm-ca", f"the root of {node} is {pki.summary(root)}"
        assert pki.issued_by(root, root), f"the root of {node} has not signed itself: {pki.summary(root)}"
        shown = node.ask("GET", "/swarm")["TLSInfo"]["TrustRoot"]
        assert pki.parse(shown) == roots, f"the API of {node} shows another root than is on its disk"
        own = pki.certificate_of(node)
        assert pki.issued_by(own, root), f"{node} has {pki.summary(own)}, which its root did not sign"
        for before, other in made:
            about = f"{before} made {pki.summary(other)}, {node} made {pki.summary(root)}"
            assert pki.public(root) != pki.public(other), f"two swarms have one root key: {about}"
            assert root.serial_number != other.serial_number, f"two roots have one number: {about}"
        made.append((node, root))


@claim("8.3/token-holds-digest")
def test_tokens_hold_the_digest_of_the_root_certificate(cluster):
    shown = pki.parse(cluster.manager.ask("GET", "/swarm")["TLSInfo"]["TrustRoot"])
    assert len(shown) == 1, f"the managers show {len(shown)} root certificates"
    for role, token in cluster.tokens().items():
        digest = token.split("-")[2]
        right = pki.token_digest(shown[0])
        assert digest == right, f"the {role.lower()} token holds the digest {digest}, the root's is {right}"
        for node in cluster.nodes:
            held = [pki.token_digest(root) for root in pki.root_of(node)]
            assert held == [digest], f"{node} trusts roots of digest {held}, the {role.lower()} token holds {digest}"


@claim("8.3/node-identity")
def test_certificates_name_node_role_and_cluster(cluster):
    owners = {}
    for node in cluster.nodes:
        owners.setdefault(node.node_id(), []).append(node.name)
    for identity, machines in owners.items():
        assert len(machines) == 1, f"{' and '.join(machines)} are in the swarm as one node, {identity or 'without id'}"

    listed = cluster.members()
    members = {member["ID"]: member for member in listed}
    assert len(members) == len(listed), f"the managers list a node twice: {[member['ID'] for member in listed]}"
    clusterwide = cluster.manager.ask("GET", "/swarm")["ID"]
    certificates = {}
    addresses = dict(zip(cluster.nodes, on_each(lambda node: node.addresses(), cluster.nodes), strict=True))
    for identity, (name,) in owners.items():
        node = cluster.node(name)
        assert identity in members, f"{node} says that it is node {identity}, which is no member"
        member = members[identity]
        hostname = member["Description"]["Hostname"]
        assert hostname == name, f"the member {identity} shows as {hostname}, and {node} has its id"
        leaf = certificates[name] = pki.certificate_of(node)
        about = f"the certificate of {node} is {pki.summary(leaf)}"
        subject = {
            "node": pki.part(leaf.subject, NameOID.COMMON_NAME),
            "role": pki.part(leaf.subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
            "cluster": pki.part(leaf.subject, NameOID.ORGANIZATION_NAME),
        }
        right = {"node": identity, "role": f"swarm-{member['Spec']['Role']}", "cluster": clusterwide}
        assert subject == right, f"{about}, and the node is {right}"
        if member["Spec"]["Role"] == "manager":
            shown = pki.dial(node).certificate
            assert shown, f"{node} shows no certificate on its port"
            assert shown.subject == leaf.subject, f"{about}, and it shows {pki.summary(shown)} on its port"
        else:
            # Another machine with the node's certificate would have another address. One that no node of the swarm has
            # is that of a router which translates addresses.
            at = member["Status"]["Addr"]
            others = [other.name for other in cluster.nodes if other is not node and at in addresses[other]]
            here = at in addresses[node] or not others
            assert here, f"the node {identity} is {node}, and speaks with the managers from {at}, as {few(others)} does"
    for what, of in (("key", pki.public), ("serial number", lambda certificate: certificate.serial_number)):
        holders = {}
        for name, certificate in certificates.items():
            holders.setdefault(of(certificate), []).append(name)
        shared = [names for names in holders.values() if len(names) > 1]
        assert not shared, f"the certificates of {' and '.join(shared[0])} have one {what}"
    # Last, as autolock encrypts the keys of managers.
    for name in certificates:
        held = pki.identity_of(cluster.node(name))
        matches = pki.public(held.leaf) == pki.public(held.key)
        assert matches, f"the certificate of {name} is {pki.summary(held.leaf)}, and its key is another's"


@claim("8.3/signature")
def test_certificates_are_signed_by_the_root_with_ecdsa_and_sha256(cluster):
    root = pki.parse(cluster.manager.ask("GET", "/swarm")["TLSInfo"]["TrustRoot"])[0]
    for node in cluster.nodes:
        held = pki.certificate_of(node)
        about = f"the certificate of {node}, {pki.summary(held)},"
        assert pki.part(held.issuer, NameOID.COMMON_NAME) == "swarm-ca", f"{about} is not of swarm-ca"
        assert pki.issued_by(held, root), f"{about} has a signature that is not of the root {pki.summary(root)}"
        with_ = held.signature_algorithm_oid
        assert with_ == SignatureAlgorithmOID.ECDSA_WITH_SHA256, f"{about} is signed with {with_._name}"
        assert isinstance(root.public_key(), ec.EllipticCurvePublicKey), "the root's key is none of an elliptic curve"
        member = next(listed for listed in cluster.members() if listed["ID"] == node.node_id())
        known = pki.issuer_key(member["Description"]["TLSInfo"])
        assert known == pki.public(root), f"the managers know another issuer of {node}'s certificate"


@claim("8.3/validity")
def test_certificates_are_valid_for_90_days(cluster):
    setting = cluster.manager.ask("GET", "/swarm")["Spec"]["CAConfig"]["NodeCertExpiry"] / 1e9
    assert setting == DAY.total_seconds() * 90, f"the swarm is set to certificates of {setting / 86400:.2f} days"
    for node in cluster.nodes:
        held = pki.certificate_of(node)
        issued = lifetime(held)
        # Engines cut times to minutes.
        right = 90 * DAY - HOUR / 30 <= issued <= 90 * DAY + HOUR + HOUR / 30
        assert right, f"the certificate of {node} is valid for {issued}: {pki.summary(held)}"
        clock = time_of(node)
        ahead = datetime.timedelta(seconds=round((clock - now()).total_seconds()))
        skew = "" if abs(ahead) < HOUR else f", which is {abs(ahead)} {'ahead of' if ahead > ZERO else 'behind'} ours"
        about = f"by the clock of {node}, {clock:%Y-%m-%d %H:%M}{skew}"
        assert held.not_valid_before_utc <= clock, f"{about}, its certificate is not valid yet: {pki.summary(held)}"
        assert clock < held.not_valid_after_utc, f"{about}, its certificate has expired: {pki.summary(held)}"


ZERO = datetime.timedelta(0)


def time_of(node):
    """Return the time by a node's own clock."""
    return datetime.datetime.fromtimestamp(int(node.run("date -u +%s").out), datetime.timezone.utc)


@claim("8.3/role-in-certificate")
@pytest.mark.cluster(managers=1, workers=2)
def test_a_node_is_given_a_certificate_of_its_new_role(cluster):
    manager, changed = cluster.manager, cluster.workers[0]
    others = [node for node in cluster.nodes if node is not changed]
    before = {node.name: pki.certificate_of(node) for node in cluster.nodes}
    earlier = {before[changed.name].serial_number}
    for verb, role in (("promote", "swarm-manager"), ("demote", "swarm-worker")):
        accepted(manager, f"node {verb} {changed.name}")

        def renewed(role=role):
            held = pki.certificate_of(changed)
            unit = pki.part(held.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
            new = unit == role and held.serial_number not in earlier
            return State(new, f"{changed} has {pki.summary(held)}")

        eventually(renewed, f"{changed} to be given a certificate of {role} by node {verb}", deadline=90)
        held = pki.certificate_of(changed)
        earlier.add(held.serial_number)
        for what in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
            old, new = (pki.part(certificate.subject, what) for certificate in (before[changed.name], held))
            assert old == new, f"by node {verb} {changed} became {pki.summary(held)}, from {old}"
        expect_shown(changed, role)
        for node in others:
            after = pki.certificate_of(node)
            assert after == before[node.name], (
                f"node {verb} {changed} gave {node} another certificate, {pki.summary(after)}"
            )


def expect_shown(node, role):
    """Expect that *node* shows a certificate of *role* on the managers' port; a worker does not open the port."""

    def shows():
        shaken = pki.dial(node)
        if not shaken.certificate:
            return State(role == "swarm-worker", f"port 2377 of {node}: {shaken}")
        unit = pki.part(shaken.certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
        return State(unit == role == "swarm-manager", f"port 2377 of {node} shows {unit}")

    eventually(shows, f"{node} to speak as a {role} from then on", deadline=90)
