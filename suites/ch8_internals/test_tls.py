"""8.3: who a manager speaks with, and how."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from swarmlab.cluster import pki
from swarmlab.cluster.probe import Probe
from swarmlab.errors import Blocked

#: What each part of a manager's services does that changes nothing where it is asked with an empty request.
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
#: How clients of HTTP/2 and of HTTP/1.1 begin.
PLAIN_WORDS = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nHost: manager\r\n\r\n",
)
#: How a node that has no certificate yet learns of the root, asks to be issued one, and asks whether it was.
FOR_ANYBODY = ["CA/GetRootCACertificate", "NodeCA/IssueNodeCertificate", "NodeCA/NodeCertificateStatus"]


@claim("8.3/mutual-tls")
def test_managers_speak_tls_only(cluster):
    for manager in cluster.managers:
        for words in (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
            b"GET / HTTP/1.1\r\nHost: manager\r\n\r\n",
        ):
            answer = pki.say_plainly(manager, words)
            # Nothing, or a refusal in TLS: a record of an alert.
            assert not answer or answer[0] == 0x15, f"{manager} answers on its port without TLS: {answer[:80]!r}"
        assert (shaken := pki.dial(manager)).accepted, f"{manager} takes no connection with TLS: {shaken}"


@claim("8.3/mutual-tls")
def test_managers_refuse_certificates_that_are_not_of_their_swarm(cluster):
    forger, stranger = pki.Authority.make("swarm-ca"), pki.Authority.make("stranger")
    for manager in cluster.managers:
        for member in cluster.nodes:
            own = pki.dial(manager, pki.identity_of(member))
            assert own.accepted, f"{manager} does not take the certificate of {member}: {own}"
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
    client = Probe(asking, cluster.bench(asking).start("client", "--network host"))
    for manager in cluster.managers:
        roots, identity = pki.root_of(manager), pki.identity_of(manager)
        # That an answer was refused for the caller's sake shows only where a manager is given it.
        for method, reply in pki.call(client.run, manager, roots, ["Control/ListNodes"], identity).items():
            assert reply.code == pki.OK, f"{manager} refuses {method} to its own certificate: {reply.said}"
        for method, reply in pki.call(client.run, manager, roots, MEMBERS_ONLY).items():
            assert reply.denied, f"{manager} does not refuse {method} to who has no certificate: {reply.said}"
        for method, reply in pki.call(client.run, manager, roots, FOR_ANYBODY).items():
            # Empty requests: for a root certificate that is all, for a node's own it is not as it should be.
            assert reply.code in (pki.OK, pki.INVALID), f"{manager} lets nobody ask {method}: {reply.said}"


@claim("8.3/tls-version")
def test_managers_refuse_versions_of_tls_before_1_2(cluster):
    for version in ("TLSv1", "TLSv1_1", "TLSv1_2"):
        if not pki.can_speak(version):
            raise Blocked(f"the suite's own OpenSSL does not speak {version}")
    for manager in cluster.managers:
        identity = pki.identity_of(manager)
        chosen = pki.dial(manager, identity)
        assert chosen.accepted, f"{manager} does not take its own certificate: {chosen}"
        assert chosen.version in ("TLSv1.2", "TLSv1.3"), f"{manager} chose {chosen.version} of all versions"
        newest = pki.dial(manager, identity, version="TLSv1_2")
        assert newest.version == "TLSv1.2", f"{manager} does not speak TLS 1.2: {newest}"
        for version in ("TLSv1", "TLSv1_1"):
            for client in (identity, None):
                shaken = pki.dial(manager, client, version=version)
                assert not shaken.version, f"{manager} speaks {shaken.version}"
                # The refusal is the manager's, and not ours.
                assert shaken.alert, f"{manager} does not refuse {version} by an alert: {shaken}"
