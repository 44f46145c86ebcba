"""The certificates with which a connection to an engine over TLS is made: found, and checked before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import docker
from cryptography import x509
from docker.tls import TLSConfig
from requests.utils import get_environ_proxies
from typing_extensions import override

from swarmlab.errors import UsageError
from swarmlab.files import exists, reason, shown

#: The files in a folder of certificates, as docker names them.
_CA, _CERTIFICATE, _KEY = "ca.pem", "cert.pem", "key.pem"


class _Config(TLSConfig):
    """TLS as docker's own command makes it, which knows no other authority than the engine's.

    requests would let REQUESTS_CA_BUNDLE go before ca.pem.
    """

    @override
    def configure_client(self, client: docker.APIClient) -> None:
        super().configure_client(client)
        client.proxies.update(get_environ_proxies(str(client.base_url).replace("tcp://", "https://")))
        client.trust_env = False


@dataclass(frozen=True)
class Credentials:
    """What a connection over TLS takes.

    Attributes:
        folder: holds ca.pem, cert.pem and key.pem. The last two may be missing together.
        verify: hold the engine's certificate against ca.pem.
    """

    folder: Path
    verify: bool = True

    def check(self, by: str) -> None:
        """Check that the files are there, can be read, and have not expired.

        Args:
            by: what names the engine, for messages.

        Raises:
            UsageError: one of them cannot be used.
        """
        pair = [name for name in (_CERTIFICATE, _KEY) if self._exists(name)]
        wanted = [*([_CA] if self.verify else []), *([_CERTIFICATE, _KEY] if pair else [])]
        for name in wanted:
            file = self.folder / name
            try:
                content = file.read_bytes()
            except OSError as failed:
                why = f"{shown(file)} cannot be read: {reason(failed)}"
                raise UsageError(f"{by}: {why}; put the engine's certificates there, or set DOCKER_CERT_PATH") from None
            if name != _KEY:
                _check_dates(by, file, content)

    def config(self) -> TLSConfig:
        """Return it for docker-py's clients."""
        pair = (str(self.folder / _CERTIFICATE), str(self.folder / _KEY)) if self._exists(_CERTIFICATE) else None
        ca = str(self.folder / _CA) if self.verify else None
        return _Config(client_cert=pair, ca_cert=ca, verify=self.verify)

    def environment(self) -> dict[str, str]:
        """Return the variables with which the docker command makes the same connection."""
        own = {"DOCKER_CERT_PATH": str(self.folder)}
        return {**own, "DOCKER_TLS_VERIFY": "1"} if self.verify else {**own, "DOCKER_TLS": "1"}

    def _exists(self, name: str) -> bool:
        return exists(self.folder / name)


def _check_dates(by: str, file: Path, content: bytes) -> None:
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise UsageError(f"{by}: {shown(file)} holds no certificate; put the engine's certificates there") from None
    now = datetime.now(timezone.utc)
    for certificate in certificates:
        if now > certificate.not_valid_after_utc:
            when = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            raise UsageError(f"{by}: the certificate {shown(file)} expired on {when}; renew it")
        if now < certificate.not_valid_before_utc:
            when = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
            raise UsageError(f"{by}: the certificate {shown(file)} is not valid before {when}; mend the clock")
