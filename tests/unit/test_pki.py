import ast
import json
import shutil
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from swarmlab import paths
from swarmlab.cluster import pki, signer
from swarmlab.cluster.node import Result
from swarmlab.errors import Blocked, LabError
from swarmlab.evidence import redact

#: A real swarm's root certificate, and the digest in that swarm's tokens.
ROOT = """-----BEGIN CERTIFICATE-----
MIIBaTCCARCgAwIBAgIUHB3KS1kglZr0qmemm3pFCnWPv7UwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAxMIc3dhcm0tY2EwHhcNMjYxMTI0MjI1MTAwWhcNNDYxMTE5MjI1
MTAwWjATMREwDwYDVQQDEwhzd2FybS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABP/q6IpLpGsoapoCYKFwIRIGlmNVN3EQDOu+iuTsskcDsrjGHsV4i79pvaQ0
WrFVGILhI3rh527iVqZ8wyzNPN+jQjBAMA4GA1UdDwEB/wQEAwIBBjAPBgNVHRMB
Af8EBTADAQH/MB0GA1UdDgQWBBR9+txTFK1iEE6TODBBJLertZDFvzAKBggqhkjO
PQQDAgNHADBEAiAcHQXePMSbdQXnXIi11D7xzmepgHQp2/7UibUecPzW2wIgIS7e
y9mleASbiBfRqpR+OUb/yl5laYqh1WYllmea7rg=
-----END CERTIFICATE-----
"""
DIGEST = "4eg7i1z97gb0mf5w1uktkoo9xln8t12ktm4s3ongevsiefr73k"

MANAGER = SimpleNamespace(name="master", address="192.168.56.101")
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])


def test_the_digest_is_that_of_a_real_token():
    (root,) = pki.parse(ROOT)
    assert pki.token_digest(root) == DIGEST
    assert pki.pem_of(root) == ROOT


def test_who_signed_is_told_by_the_signature_and_not_by_the_name():
    authority, forger = pki.Authority.make(), pki.Authority.make()
    issued = authority.issue(SUBJECT).leaf
    assert pki.issued_by(issued, authority.root)
    assert not pki.issued_by(issued, forger.root)
    assert pki.issued_by(authority.root, authority.root)


def test_a_key_is_read_with_the_headers_that_engines_add():
    issued = pki.Authority.make().issue(SUBJECT)
    first, *rest = pki.key_pem(issued.key).splitlines()
    key = "\n".join([first, "kek-version: 0", "raft-dek: EgAaIMw=", "", *rest])
    read = pki.as_identity(pki.pem_of(issued.leaf), key, whose="master")
    assert (read.leaf, read.chain, pki.public(read.key)) == (issued.leaf, (), pki.public(issued.leaf))
    assert pki.as_identity(read.pem, key, whose="master").pem == read.pem


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_a_key_that_is_encrypted_is_no_verdict_on_the_cluster(form):
    issued = pki.Authority.make().issue(SUBJECT)
    locked = issued.key.private_bytes(
        serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
    )
    with pytest.raises(Blocked, match=r"master .*autolock"):
        pki.as_identity(pki.pem_of(issued.leaf), locked.decode(), whose="master")


def test_a_key_that_is_none_is_an_error_of_the_lab():
    issued = pki.Authority.make().issue(SUBJECT)
    with pytest.raises(LabError, match="master"):
        pki.as_identity(pki.pem_of(issued.leaf), "-----BEGIN nothing", whose="master")


def test_no_key_reaches_the_evidence():
    identity = pki.Authority.make().issue(SUBJECT)
    secret = pki.key_pem(identity.key).splitlines()[1]
    assert secret in identity.pem
    assert secret not in redact(identity.pem)
    assert pki.pem_of(identity.leaf) in redact(identity.pem)


def test_new_versions_of_tls_can_be_spoken():
    assert pki.can_speak("TLSv1_2")
    assert pki.can_speak("TLSv1_3")


def test_calls_tell_what_was_denied():
    printed = (
        "Control/ListNodes HTTP/2 200 grpc-status: 7 grpc-message: Permission denied\n"
        "CA/GetRootCACertificate HTTP/2 200 grpc-status: 0 grpc-message:\n"
        "Health/Check curl: (7) Failed to connect\n"
    )
    commands = []

    def run(command):
        commands.append(command)
        return Result(command, 0, printed, "")

    methods = ["Control/ListNodes", "CA/GetRootCACertificate", "Health/Check", "Raft/ResolveAddress"]
    replies = pki.call(run, MANAGER, pki.parse(ROOT), methods)
    assert {method: (reply.code, reply.denied) for method, reply in replies.items()} == {
        "Control/ListNodes": (pki.DENIED, True),
        "CA/GetRootCACertificate": (pki.OK, False),
        "Health/Check": (None, False),
        "Raft/ResolveAddress": (None, False),
    }
    assert "--cert " not in commands[0]


def test_no_command_has_a_nodes_key():
    """A key as text goes to OpenSSL of the suite's machine; what is written to nodes is of the suite's authorities."""
    files = [file for folder in ("swarmlab", "suites", "fixtures") for file in (paths.ROOT / folder).rglob("*.py")]
    functions = [
        (file.stem, part)
        for file in files
        for part in ast.walk(ast.parse(file.read_text()))
        if isinstance(part, ast.FunctionDef)
    ]
    using = {
        (module, function.name)
        for module, function in functions
        for part in ast.walk(function)
        if getattr(part, "attr", "") in ("pem", "key_pem") or getattr(part, "id", "") == "key_pem"
    }
    assert {(module, name) for module, name in using if not module.endswith("external_ca")} == {
        ("pki", "pem"),
        ("pki", "_load"),
    }


def test_a_handshake_is_accepted_when_the_manager_speaks_http2():
    assert pki.Handshake("TLSv1.3", b"\0\0\6\4\0\0\0\0\0").accepted
    assert not pki.Handshake("TLSv1.3", b"HTTP/1.1 400").accepted
    assert not pki.Handshake("TLSv1.3", b"").accepted
    assert str(pki.Handshake("", alert="tlsv1 alert protocol version")) == "tlsv1 alert protocol version"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_the_external_authority_signs_what_a_swarm_asks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    authority = pki.Authority.make("external")
    (tmp_path / "root.pem").write_text(pki.pem_of(authority.root))
    (tmp_path / "root.key").write_text(pki.key_pem(authority.key))
    (tmp_path / "index").touch()
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    asked = {
        "hosts": ["swarm-worker", "node1"],
        "certificate_request": request.public_bytes(serialization.Encoding.PEM).decode(),
        "subject": {"CN": "node1", "names": [{"C": "", "O": "cluster1", "OU": "swarm-worker"}]},
    }
    (issued,) = pki.parse(signer.sign(json.loads(json.dumps(asked))))
    assert pki.issued_by(issued, authority.root)
    assert pki.public(issued) == pki.public(key)
    assert issued.subject.rfc4514_string() == "CN=node1,OU=swarm-worker,O=cluster1"
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == asked["hosts"]
    subject, serial = (tmp_path / "signed.log").read_text().split()
    assert (subject, int(serial, 16)) == ("/O=cluster1/OU=swarm-worker/CN=node1", issued.serial_number)
    with pytest.raises(ValueError, match="node1/CN=admin"):
        signer.sign({**asked, "subject": {"CN": "node1/CN=admin"}})


def test_a_call_is_answered_by_its_status_or_by_a_message():
    printed = (
        "Control/ListNodes HTTP/2 200 size: 3496\n"
        "Control/ListSecrets HTTP/2 200 grpc-status: 7 grpc-message: denied size: 0\n"
        "Control/ListServices HTTP/2 200 size: 0\n"
        "CA/GetUnlockKey curl: (28) Operation timed out size: 0\n"
    )
    methods = [line.split()[0] for line in printed.splitlines()]
    replies = pki.call(lambda command: Result(command, 0, printed, ""), MANAGER, [], methods)
    assert [replies[method].code for method in methods] == [pki.OK, pki.DENIED, None, None]


def test_certificates_are_read_below_the_folder_that_the_engine_tells():
    asked = []

    class Elsewhere(SimpleNamespace):
        def run(self, command):
            asked.append(command)
            return Result(command, 1, "", "No such file", "web1")

        def __str__(self):
            return "web1"

    node = Elsewhere(name="web1", data_root=lambda: "/srv/docker")
    with pytest.raises(LabError, match=r"web1 has no swarm-root-ca\.crt"):
        pki.root_of(node)
    assert asked == ["cat /srv/docker/swarm/certificates/swarm-root-ca.crt"]
