"""8.3: the TLS connections that a manager accepts."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from swarmlab.cluster import pki
from swarmlab.cluster.node import on_each
from swarmlab.cluster.probe import Probe
from swarmlab.errors import Blocked

#: A method of each of a manager's gRPC services that changes nothing if it gets an empty request.
MEMBERS_ONLY = [
    "Control/ListNodes",
    "Control/ListServices",
    "Control/ListSecrets",
    "Control/GetNode",
    "Dispatcher/Heartbeat",
    "Raft/ResolveAddress",
    "RaftMembership/Join",
    "Health/Check",
    "CA/GetUnlockKey",
]
#: The first bytes of clients of HTTP/2 and of HTTP/1.1.
PLAIN_GREETINGS = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: manager\r\n\r\n",
)
#: Methods for a node without certificate: get the root, ask for a certificate, ask whether it is issued.
FOR_ANYBODY = ["CA/GetRootCACertificate", "NodeCA/IssueNodeCertificate", "NodeCA/NodeCertificateStatus"]


@claim("8.3/mutual-tls")
def test_managers_speak_tls_only(cluster):
    for manager in cluster.managers:
        for greeting in PLAIN_GREETINGS:
            answer = pki.send_plain(manager, greeting)
            # No answer, or a TLS record of type alert.
            assert not answer or answer[0] == 0x15, f"{manager} answers on its port without TLS: {answer[:80]!r}"
        assert (shaken := pki.dial(manager)).accepted, f"{manager} takes no connection with TLS: {shaken}"


@claim("8.3/mutual-tls")
def test_managers_refuse_certificates_that_are_not_of_their_swarm(cluster):
    forger, stranger = pki.Authority.make("swarm-ca"), pki.Authority.make("stranger")
    for manager in cluster.managers:
        subject = pki.certificate_of(manager).subject
        foreign = {
            "forged for a manager, by an authority of the same name": forger.issue(subject),
            "of a stranger": stranger.issue(stranger.root.subject),
            "that signed itself": pki.Identity(stranger.root, (), stranger.key),
            "forged and expired": forger.issue(subject, since=-91, until=-1),
        }
        for kind, identity in foreign.items():
            for version in ("TLSv1_2", ""):
                shaken = pki.dial(manager, identity, version=version)
                assert shaken.alert, f"{manager} does not refuse a certificate {kind}: {shaken}"
    # See that a member's certificate is taken, so that a refusal is for the certificate. Last, as that needs keys,
    # which autolock encrypts.
    identities = on_each(pki.identity_of, cluster.nodes)
    for manager in cluster.managers:
        for member, identity in zip(cluster.nodes, identities, strict=True):
            own = pki.dial(manager, identity)
            assert own.accepted, f"{manager} does not take the certificate of {member}: {own}"


@claim("8.3/mutual-tls")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_a_manager_refuses_the_certificate_of_another_swarm(cluster):
    manager, other = cluster.manager, cluster.spare[0]
    accepted(other, f"swarm init --advertise-addr {other.address}")
    for asked, presented in ((manager, other), (other, manager)):
        shaken = pki.dial(asked, pki.identity_of(presented))
        assert shaken.alert, f"{asked} does not refuse the certificate of {presented}, of another swarm: {shaken}"
        own = pki.dial(asked, pki.identity_of(asked))
        assert own.accepted, f"{asked} does not take its own certificate: {own}"


@claim("8.3/mutual-tls")
def test_who_has_no_certificate_may_only_ask_for_one(cluster):
    asking = cluster.nodes[-1]
    # An engine that remaps users gives the host's network to containers of the host's users alone.
    client = Probe(asking, cluster.bench(asking).start("client", "--network host --userns host"))
    for manager in cluster.managers:
        roots = pki.root_of(manager)
        for method, reply in pki.call(client.run, manager, roots, MEMBERS_ONLY).items():
            assert reply.denied, f"{manager} does not refuse {method} to a client without certificate: {reply.output}"
        for method, reply in pki.call(client.run, manager, roots, FOR_ANYBODY).items():
            # An empty request is complete for the root certificate, and invalid for a certificate of the node.
            assert reply.code in (pki.OK, pki.INVALID), f"{manager} lets no client ask {method}: {reply.output}"
    # See that who has a certificate gets in, so that it is missed. Last, as that needs keys, which autolock encrypts,
    # and a way to the port from here. Not from the container: the key would be in the command, which events and the
    # node's list of processes show.
    for manager in cluster.managers:
        own = pki.dial(manager, pki.identity_of(manager))
        assert own.accepted, f"{manager} does not take its own certificate: {own}"


@claim("8.3/tls-version")
def test_managers_refuse_versions_of_tls_before_1_2(cluster):
    for version in ("TLSv1", "TLSv1_1", "TLSv1_2"):
        if not pki.can_speak(version):
            raise Blocked(f"the suite's own OpenSSL does not speak {version}")
    # Any member will do; autolock encrypts the keys of managers alone.
    member = next(iter(cluster.workers), cluster.manager)
    identity = pki.identity_of(member)
    for manager in cluster.managers:
        chosen = pki.dial(manager, identity)
        assert chosen.accepted, f"{manager} does not take the certificate of {member}: {chosen}"
        assert chosen.version in ("TLSv1.2", "TLSv1.3"), f"{manager} chose {chosen.version} of all versions"
        newest = pki.dial(manager, identity, version="TLSv1_2")
        assert newest.version == "TLSv1.2", f"{manager} does not speak TLS 1.2: {newest}"
        for version in ("TLSv1", "TLSv1_1"):
            for client in (identity, None):
                shaken = pki.dial(manager, client, version=version)
                assert not shaken.version, f"{manager} speaks {shaken.version}"
                # An alert shows that the manager refuses, and not the suite's own OpenSSL.
                assert shaken.alert, f"{manager} does not refuse {version} by an alert: {shaken}"
