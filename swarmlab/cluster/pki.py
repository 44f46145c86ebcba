"""The swarm's certificates: read from its nodes, made like them by the suite, and presented to its managers."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import os
import re
import socket
import ssl
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlab.cluster.node import MANAGEMENT_PORT, Node, Result, cause
from swarmlab.errors import LabError
from swarmlab.evidence import record
from swarmlab.wait import scaled

#: Where an engine keeps its certificates.
FOLDER = "/var/lib/docker/swarm/certificates"
#: The name by which every manager's certificate can be verified, whatever its address.
MANAGER_NAME = "swarm-manager"

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_DIGEST_LENGTH = 50


# Certificates


@dataclass(frozen=True)
class Identity:
    """A certificate with its key: who a node is to the other nodes.

    Attributes:
        leaf: the certificate itself.
        chain: what is handed out with it to have it trusted, such as a root cross-signed by another.
        key: its private key.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """Certificate, chain and key as a client of TLS takes them."""
        return "".join(map(pem_of, (self.leaf, *self.chain))) + key_pem(self.key)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the suite's own.

    Attributes:
        root: its self-signed certificate.
        key: the key that it signs with.
    """

    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str = "swarm-ca", *, years: int = 20) -> Authority:
        """A new one, with a root certificate like that of a swarm."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signs = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        root = (
            _builder(subject, subject, key.public_key(), _days_from_now(-1), _days_from_now(365 * years))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(signs, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(root, key)

    def issue(self, subject: x509.Name, *, since: float = -1.0, until: float = 90.0, address: str = "") -> Identity:
        """A certificate for *subject*, as a node's.

        Args:
            subject: whose it is; that of a real node makes it a forgery of that node's.
            since: days from now from which it is valid.
            until: days from now until which it is valid.
            address: the IPv4 address of a server that it is for.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(MANAGER_NAME)]
        if address:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        leaf = (
            _builder(subject, self.root.subject, key.public_key(), _days_from_now(since), _days_from_now(until))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Identity(leaf, (), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    since: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _days_from_now(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)


def parse(pem: str) -> list[x509.Certificate]:
    """The certificates in a text, in its order; none where it holds none."""
    return x509.load_pem_x509_certificates(pem.encode()) if "BEGIN CERTIFICATE" in pem else []


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as text: a secret."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public(holder: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """The public key of a certificate or of a private key, to be compared with another."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(serialization.Encoding.DER, form)


def part(name: x509.Name, which: x509.ObjectIdentifier) -> str:
    """One part of a name, such as the common name (`NameOID.COMMON_NAME`); several are joined, none is empty."""
    return "+".join(str(found.value) for found in name.get_attributes_for_oid(which))


def told(certificate: x509.Certificate) -> str:
    """A certificate in words, for messages: whose, by whom, from when to when, and its serial number."""
    span = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
    number = f"{certificate.serial_number:x}"[:8]
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    return f"{subject} by {issuer}, {span}, serial {number}…"


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether *issuer* signed *certificate* itself: the name is the issuer's, and the signature that of its key."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def token_digest(root: x509.Certificate) -> str:
    """What the third field of a join token has to be: SHA-256 of the root certificate as PEM, in base 36."""
    number = int(hashlib.sha256(pem_of(root).encode()).hexdigest(), 16)
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits.rjust(_DIGEST_LENGTH, "0")


# Of a node


def root_of(node: Node) -> list[x509.Certificate]:
    """The root certificates that a node trusts.

    Raises:
        LabError: see `_read`.
    """
    return parse(_read(node, "swarm-root-ca.crt"))


def identity_of(node: Node) -> Identity:
    """A node's certificate, chain and key, as they are on its disk. The key never reaches the evidence.

    Raises:
        LabError: see `_read`.
    """
    return as_identity(_read(node, "swarm-node.crt"), _read(node, "swarm-node.key"), whose=node.name)


def certificate_of(node: Node) -> x509.Certificate:
    """A node's certificate, as it is on its disk.

    Raises:
        LabError: see `_read`.
    """
    return parse(_read(node, "swarm-node.crt"))[0]


def as_identity(certificates: str, key: str, *, whose: str) -> Identity:
    """Put certificates and key together from the texts that an engine keeps.

    Raises:
        LabError: the key is encrypted (autolock), or is none.
    """
    # Engines add headers of their own to the key (kek-version, raft-dek), which no other program takes.
    plain = "\n".join(line for line in key.splitlines() if line and ":" not in line)
    try:
        loaded = serialization.load_pem_private_key(plain.encode(), None)
    except (ValueError, TypeError) as wrong:
        raise LabError(f"the key of {whose} cannot be read: {wrong}") from wrong
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise LabError(f"the key of {whose} is none of an elliptic curve: {type(loaded).__name__}")
    leaf, *chain = parse(certificates)
    return Identity(leaf, tuple(chain), loaded)


def _read(node: Node, file: str) -> str:
    """A file of the node's certificates.

    Raises:
        LabError: it is not there, or no certificate or key.
    """
    done = node.run(f"cat {FOLDER}/{file}")
    if not done.ok or "-----BEGIN" not in done.out:
        raise LabError(f"{node} has no {file}: {done.said[-200:]}")
    return done.out


# TLS


@dataclass(frozen=True)
class Handshake:
    """What came of a connection to a manager's port.

    Attributes:
        version: the version of TLS that was agreed on, empty where none was.
        greeting: the first bytes that the manager sent inside the connection.
        alert: the manager's own refusal, in OpenSSL's words; empty where it gave none.
        error: why there was no answer without the manager having refused: no connection, silence, another protocol.
        certificate: the manager's certificate, None where it showed none.
        protocol: what the manager chose of the protocols that were offered (ALPN: h2), empty where it chose none.
    """

    version: str = ""
    greeting: bytes = b""
    alert: str = ""
    error: str = ""
    certificate: x509.Certificate | None = None
    protocol: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the manager went on to speak HTTP/2: its settings frame came."""
        return self.greeting[3:4] == b"\x04"

    def __str__(self) -> str:
        if self.accepted:
            return f"accepted with {self.version}"
        return self.alert or self.error or f"{self.version} and then {self.greeting!r}"


def dial(node: Node, identity: Identity | None = None, *, version: str = "") -> Handshake:
    """Connect to a manager's port with TLS, present *identity* if it asks, and wait for what it says first.

    Args:
        node: the manager.
        identity: the client's certificate; none is presented if not given.
        version: the one version of TLS that is offered ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"); all if empty.
    """
    node.expect_way(MANAGEMENT_PORT)
    context = client_context(version)
    if identity:
        _load(context, identity)
    shaken = _shake(context, node)
    presented = f"presenting {told(identity.leaf)}" if identity else "without a certificate"
    record("suite", f"TLS {version or 'of any version'} to {node}:{MANAGEMENT_PORT} {presented}", str(shaken))
    return shaken


def client_context(version: str = "") -> ssl.SSLContext:
    """A client of TLS that trusts anybody, and offers one version or all, the old ones included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _allow(context, version)
    context.set_alpn_protocols(["h2"])
    return context


def can_speak(version: str) -> bool:
    """Whether the suite's own OpenSSL speaks this version of TLS, tried against a server of its own in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _allow(server, version)
    authority = Authority.make("control")
    _load(server, authority.issue(authority.root.subject))
    ends = [ssl.MemoryBIO() for _ in range(2)]
    sides = [
        client_context(version).wrap_bio(ends[0], ends[1]),
        server.wrap_bio(ends[1], ends[0], server_side=True),
    ]
    for _ in range(4):  # flights of a handshake
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return sides[0].version() is not None


def _allow(context: ssl.SSLContext, version: str) -> None:
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # Debian's OpenSSL refuses old versions by itself otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is to be found out
        context.minimum_version = ssl.TLSVersion[version or "TLSv1"]
        context.maximum_version = ssl.TLSVersion[version] if version else ssl.TLSVersion.MAXIMUM_SUPPORTED


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    # OpenSSL takes files only; this one nobody else can read.
    handle, path = tempfile.mkstemp()
    try:
        os.write(handle, identity.pem.encode())
        os.close(handle)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()


def _shake(context: ssl.SSLContext, node: Node) -> Handshake:
    version, certificate = "", None
    try:
        with (
            socket.create_connection((node.address, MANAGEMENT_PORT), timeout=scaled(10)) as plain,
            context.wrap_socket(plain, server_hostname=MANAGER_NAME) as secured,
        ):
            version = secured.version() or ""
            shown = secured.getpeercert(binary_form=True)
            certificate = x509.load_der_x509_certificate(shown) if shown else None
            # With TLS 1.3 a refusal of the client's certificate comes after the client's part is done.
            chosen = secured.selected_alpn_protocol() or ""
            return Handshake(version, secured.recv(4096), certificate=certificate, protocol=chosen)
    except ssl.SSLError as refused:
        reason = refused.reason or str(refused)
        if "ALERT" in reason:
            return Handshake(version, alert=reason.lower().replace("_", " "), certificate=certificate)
        return Handshake(version, error=reason.lower().replace("_", " "), certificate=certificate)
    except OSError as failed:
        return Handshake(version, error=cause(failed) or str(failed), certificate=certificate)


def chain_of(asking: Node, manager: Node) -> list[x509.Certificate]:
    """The certificates that a manager hands out to a client, its own first, as another node is given them."""
    asked = asking.run(
        f"timeout {scaled(10):.0f} openssl s_client -showcerts -connect {manager.address}:{MANAGEMENT_PORT} </dev/null"
    )
    return parse(asked.out)


def say_plainly(node: Node, words: bytes) -> bytes:
    """What a manager's port answers to bytes that are not TLS, until it closes; b"" where it says nothing."""
    node.expect_way(MANAGEMENT_PORT)
    answer = b""
    try:
        with socket.create_connection((node.address, MANAGEMENT_PORT), timeout=scaled(10)) as plain:
            plain.sendall(words)
            while chunk := plain.recv(4096):
                answer += chunk
    except OSError as failed:
        record("suite", f"{words!r} to {node}:{MANAGEMENT_PORT} without TLS", f"{answer!r}, then {cause(failed)}")
        return answer
    record("suite", f"{words!r} to {node}:{MANAGEMENT_PORT} without TLS", f"{answer!r}, then closed")
    return answer


# gRPC

#: Codes of gRPC: done, the request is not as it should be, the caller may not ask this, the caller is unknown.
OK, INVALID, DENIED, UNKNOWN_CALLER = 0, 3, 7, 16


@dataclass(frozen=True)
class Reply:
    """What a call of gRPC gave: its status code (None where no status came), and what was said with it."""

    code: int | None
    said: str

    @property
    def denied(self) -> bool:
        """Whether the caller may not ask this at all."""
        return self.code in (DENIED, UNKNOWN_CALLER)


def call(
    run: Callable[[str], Result],
    manager: Node,
    roots: list[x509.Certificate],
    methods: list[str],
    identity: Identity | None = None,
) -> Mapping[str, Reply]:
    """Call each of *methods* of a manager's services with an empty request; what came of each.

    Args:
        run: runs a shell command where there is a curl that speaks HTTP/2, as `Probe.run` does in a client container.
        manager: the manager.
        roots: the certificates by which the manager is known.
        methods: such as ``Control/ListNodes``; none that streams.
        identity: the caller's certificate; none is presented if not given.
    """
    roots_pem = "".join(map(pem_of, roots))
    files = [f"cd $(mktemp -d); printf '\\0\\0\\0\\0\\0' > request; cat > roots <<'PEM'\n{roots_pem}PEM"]
    with_identity = ""
    if identity:
        files.append(f"cat > identity <<'PEM'\n{identity.pem}PEM")
        with_identity = "--cert identity --key identity"
    # With prior knowledge, as managers whose certificate was renewed no longer say that they speak HTTP/2.
    ask = (
        f"for method in {' '.join(methods)}; do "
        f"echo $method $(curl -sS --http2-prior-knowledge --max-time {scaled(10):.0f} --cacert roots {with_identity} "
        f"--resolve {MANAGER_NAME}:{MANAGEMENT_PORT}:{manager.address} -H 'content-type: application/grpc' "
        "-H 'te: trailers' --data-binary @request -D - -o /dev/null "
        f"https://{MANAGER_NAME}:{MANAGEMENT_PORT}/docker.swarmkit.v1.$method 2>&1 | tr -d '\\r' "
        "| grep -i -e ^grpc- -e ^curl -e ^HTTP); done; rm -r $PWD"
    )
    done = run("\n".join([*files, ask]))
    replies = {}
    for line in done.out.splitlines():
        method, _, said = line.partition(" ")
        code = re.search(r"grpc-status: (\d+)", said)
        replies[method] = Reply(int(code[1]) if code else None, said)
    return {method: replies.get(method, Reply(None, done.said[-300:])) for method in methods}


# What managers tell


def issuer_key(tls_info: Mapping[str, Any]) -> bytes:
    """The public key that certificates are signed with, as the API tells of a swarm or of a member under TLSInfo."""
    return base64.b64decode(tls_info.get("CertIssuerPublicKey") or "")
