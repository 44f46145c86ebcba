"""A swarm's certificates: read from its nodes, forged by the suite, and presented to its managers."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import os
import re
import socket
import ssl
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlab.cluster.node import MANAGEMENT_PORT, Node, Result, cause
from swarmlab.errors import Blocked, LabError
from swarmlab.evidence import record
from swarmlab.wait import scaled

#: The folder of an engine's certificates for the swarm, below the folder of its state.
FOLDER = "swarm/certificates"
#: The name that every manager's certificate is valid for, whatever the manager's address.
MANAGER_NAME = "swarm-manager"

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_DIGEST_LENGTH = 50


# Certificates


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, by which a node proves who it is.

    Attributes:
        leaf: the certificate.
        chain: certificates that are sent with it, such as a root that another root cross-signed.
        key: the private key.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """Certificate, chain and key as PEM, for a client of TLS: a secret, which no command line may have."""
        return "".join(map(pem_of, (self.leaf, *self.chain))) + key_pem(self.key)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the suite.

    Attributes:
        root: its self-signed certificate.
        key: its private key.
    """

    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str = "swarm-ca", *, years: int = 20) -> Authority:
        """Make a new authority, whose root certificate is like a swarm's."""
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
        """Issue a certificate like a node's.

        Args:
            subject: its subject; the subject of a real node makes it a forgery.
            since: begin of its validity, in days from now.
            until: end of its validity, in days from now.
            address: IPv4 address of the server that it is for, if any.
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
    """Return the certificates in a PEM text, in order; an empty list if there are none."""
    return x509.load_pem_x509_certificates(pem.encode()) if "BEGIN CERTIFICATE" in pem else []


def pem_of(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a private key as PEM: a secret."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public(holder: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public key of a certificate or of a private key, as bytes to compare."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(serialization.Encoding.DER, form)


def part(name: x509.Name, which: x509.ObjectIdentifier) -> str:
    """Return a part of a name, such as the common name (`NameOID.COMMON_NAME`): empty if missing, joined if several."""
    return "+".join(str(found.value) for found in name.get_attributes_for_oid(which))


def summary(certificate: x509.Certificate) -> str:
    """Return subject, issuer, validity and serial number of a certificate as one line, for messages."""
    span = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M}"
    number = f"{certificate.serial_number:x}"[:8]
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    return f"{subject} by {issuer}, {span}, serial {number}…"


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether *issuer* directly issued *certificate*, by name and by signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def token_digest(root: x509.Certificate) -> str:
    """Return the digest of a root certificate for the third field of a join token: SHA-256 of its PEM in base 36."""
    number = int(hashlib.sha256(pem_of(root).encode()).hexdigest(), 16)
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits.rjust(_DIGEST_LENGTH, "0")


# Certificates of a node


def root_of(node: Node) -> list[x509.Certificate]:
    """Return the root certificates that a node trusts.

    Raises:
        LabError: the node has no such file, or it has no certificate.
    """
    return parse(_read(node, "swarm-root-ca.crt"))


def identity_of(node: Node) -> Identity:
    """Return a node's certificate, chain and key from its disk. The key does not reach the evidence.

    Raises:
        Blocked: the key is encrypted (autolock).
        LabError: a file is missing, or the key cannot be used (see `as_identity`).
    """
    return as_identity(_read(node, "swarm-node.crt"), _read(node, "swarm-node.key"), whose=node.name)


def certificate_of(node: Node) -> x509.Certificate:
    """Return a node's certificate from its disk.

    Raises:
        LabError: the node has no such file, or it has no certificate.
    """
    return parse(_read(node, "swarm-node.crt"))[0]


def as_identity(certificates: str, key: str, *, whose: str) -> Identity:
    """Return the identity of an engine's files.

    Args:
        certificates: text of the file with the certificates.
        key: text of the file with the key.
        whose: host name of the node, for messages.

    Raises:
        Blocked: the key is encrypted (autolock).
        LabError: the key cannot be read, or is not a key of an elliptic curve.
    """
    if "ENCRYPTED" in key:
        raise Blocked(f"the key of {whose} is encrypted, as managers lock their keys in this swarm (autolock)")
    # Engines add headers to the key (kek-version, raft-dek) that other programs do not accept.
    plain = "\n".join(line for line in key.splitlines() if line and ":" not in line)
    try:
        loaded = serialization.load_pem_private_key(plain.encode(), None)
    except (ValueError, TypeError) as wrong:
        raise LabError(f"the key of {whose} cannot be read: {wrong}") from wrong
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise LabError(f"the key of {whose} is not a key of an elliptic curve: {type(loaded).__name__}")
    leaf, *chain = parse(certificates)
    return Identity(leaf, tuple(chain), loaded)


def _read(node: Node, file: str) -> str:
    """Return a file of the node's certificates.

    Raises:
        LabError: the file is missing, or has no certificate or key.
    """
    done = node.run(f"cat {node.data_root()}/{FOLDER}/{file}")
    if not done.ok or "-----BEGIN" not in done.out:
        raise LabError(f"{node} has no {file}: {done.output[-200:]}")
    return done.out


# TLS


@dataclass(frozen=True)
class Handshake:
    """The outcome of a TLS connection to a manager's port.

    Attributes:
        version: the negotiated version of TLS, empty if none was.
        greeting: the first bytes that the manager sent inside the connection.
        alert: the manager's alert, as OpenSSL names it, by which it refused the connection; empty without one.
        error: why the connection failed without an alert, such as a timeout or another protocol; else empty.
        certificate: the manager's certificate, None if it sent none.
        protocol: the protocol that the manager chose by ALPN (h2), empty if it chose none.
    """

    version: str = ""
    greeting: bytes = b""
    alert: str = ""
    error: str = ""
    certificate: x509.Certificate | None = None
    protocol: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the manager accepted the connection: it sent HTTP/2's settings frame."""
        return self.greeting[3:4] == b"\x04"

    def __str__(self) -> str:
        if self.accepted:
            return f"accepted with {self.version}"
        return self.alert or self.error or f"{self.version} and then {self.greeting!r}"


def dial(node: Node, identity: Identity | None = None, *, version: str = "") -> Handshake:
    """Connect to a manager's port with TLS and wait for its first bytes.

    Args:
        node: the manager.
        identity: the client's certificate and key, presented if the manager asks for one.
        version: the only version of TLS to offer ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"); all if empty.

    Raises:
        Blocked: the suite's machine cannot reach the port.
    """
    node.expect_reachable(MANAGEMENT_PORT)
    context = client_context(version)
    if identity:
        _load(context, identity)
    shaken = _shake(context, node)
    presented = f"presenting {summary(identity.leaf)}" if identity else "without a certificate"
    record("suite", f"TLS {version or 'of any version'} to {node}:{MANAGEMENT_PORT} {presented}", str(shaken))
    return shaken


def client_context(version: str = "") -> ssl.SSLContext:
    """Return a TLS client that trusts every server and offers one version, or all, also old ones."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _allow(context, version)
    context.set_alpn_protocols(["h2"])
    return context


def can_speak(version: str) -> bool:
    """Whether the suite's OpenSSL speaks this version of TLS, tried against a server in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _allow(server, version)
    authority = Authority.make("control")
    _load(server, authority.issue(authority.root.subject))
    ends = [ssl.MemoryBIO() for _ in range(2)]
    sides = [
        client_context(version).wrap_bio(ends[0], ends[1]),
        server.wrap_bio(ends[1], ends[0], server_side=True),
    ]
    for _ in range(4):  # round trips of a handshake
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return sides[0].version() is not None


def _allow(context: ssl.SSLContext, version: str) -> None:
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # else Debian's OpenSSL does not offer old versions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are offered on purpose
        context.minimum_version = ssl.TLSVersion[version or "TLSv1"]
        context.maximum_version = ssl.TLSVersion[version] if version else ssl.TLSVersion.MAXIMUM_SUPPORTED


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    # OpenSSL takes files only. Nobody else can read this one, which is on no disk.
    handle = os.memfd_create("identity")
    try:
        os.write(handle, identity.pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


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
            # With TLS 1.3 the server refuses the client's certificate only after the client's handshake is complete.
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
    """Return the certificates that a manager sends to a client on the node *asking*, the manager's own first."""
    asked = asking.run(
        f"timeout {scaled(10):.0f} openssl s_client -showcerts -connect {manager.address}:{MANAGEMENT_PORT} </dev/null"
    )
    return parse(asked.out)


def send_plain(node: Node, data: bytes) -> bytes:
    """Send bytes without TLS to a manager's port; return its answer until it closes the connection."""
    node.expect_reachable(MANAGEMENT_PORT)
    answer = b""
    try:
        with socket.create_connection((node.address, MANAGEMENT_PORT), timeout=scaled(10)) as plain:
            plain.sendall(data)
            while chunk := plain.recv(4096):
                answer += chunk
    except OSError as failed:
        record("suite", f"{data!r} to {node}:{MANAGEMENT_PORT} without TLS", f"{answer!r}, then {cause(failed)}")
        return answer
    record("suite", f"{data!r} to {node}:{MANAGEMENT_PORT} without TLS", f"{answer!r}, then closed")
    return answer


# gRPC

#: Status codes of gRPC: OK, INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED.
OK, INVALID, DENIED, UNKNOWN_CALLER = 0, 3, 7, 16


@dataclass(frozen=True)
class Reply:
    """The outcome of a gRPC call.

    Attributes:
        code: its status code, None if no status came.
        output: the status line, headers and errors that curl printed.
    """

    code: int | None
    output: str

    @property
    def denied(self) -> bool:
        """Whether the manager denied the call because of its caller."""
        return self.code in (DENIED, UNKNOWN_CALLER)


def call(
    run: Callable[[str], Result],
    manager: Node,
    roots: list[x509.Certificate],
    methods: list[str],
) -> Mapping[str, Reply]:
    """Call methods of a manager's gRPC services without a certificate, each with an empty request.

    Args:
        run: runs a shell command where curl speaks HTTP/2, such as `Probe.run` in a client container.
        manager: the manager.
        roots: root certificates to verify the manager with.
        methods: methods that do not stream, such as ``Control/ListNodes``.

    Returns:
        The outcome by method.
    """
    roots_pem = "".join(map(pem_of, roots))
    files = f"cd $(mktemp -d); printf '\\0\\0\\0\\0\\0' > request; cat > roots <<'PEM'\n{roots_pem}PEM"
    # With prior knowledge: managers whose certificate was renewed no longer choose HTTP/2 by ALPN.
    ask = (
        f"for method in {' '.join(methods)}; do "
        f"echo $method $(curl -sS --http2-prior-knowledge --max-time {scaled(10):.0f} --cacert roots "
        f"--resolve {MANAGER_NAME}:{MANAGEMENT_PORT}:{manager.address} -H 'content-type: application/grpc' "
        "-H 'te: trailers' --data-binary @request -D - -o /dev/null -w 'size: %{size_download}\\n' "
        f"https://{MANAGER_NAME}:{MANAGEMENT_PORT}/docker.swarmkit.v1.$method 2>&1 | tr -d '\\r' "
        "| grep -i -e ^grpc- -e ^curl -e ^HTTP -e ^size:); done; rm -r $PWD"
    )
    done = run(f"{files}\n{ask}")
    replies = {}
    for line in done.out.splitlines():
        method, _, status = line.partition(" ")
        code = re.search(r"grpc-status: (\d+)", status)
        # The status comes after a message, where curl 7.74 misses it with engines before 18.06. A message is enough: a
        # call that fails has none.
        message = re.search(r"^HTTP/2 200 .*size: [1-9]", status)
        replies[method] = Reply(int(code[1]) if code else OK if message else None, status)
    return {method: replies.get(method, Reply(None, done.output[-300:])) for method in methods}


# The API


def issuer_key(tls_info: Mapping[str, Any]) -> bytes:
    """Return the public key that signs certificates, from the TLSInfo of a swarm or of a member."""
    return base64.b64decode(tls_info.get("CertIssuerPublicKey") or "")
