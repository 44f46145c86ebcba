"""An external certificate authority for a swarm: a server of the suite's own that runs on a node."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from swarmlab.cluster import pki, signer
from swarmlab.cluster.node import Node
from swarmlab.cluster.workbench import Workbench
from swarmlab.wait import wait

PORT = 8443


@dataclass(frozen=True)
class ExternalCA:
    """An authority that answers on a node.

    Attributes:
        authority: its root certificate and key.
        node: the node that it runs on.
        folder: the folder of its files on that node.
    """

    authority: pki.Authority
    node: Node
    folder: str

    @property
    def url(self) -> str:
        """The URL for ``--external-ca``."""
        return f"https://{self.node.address}:{PORT}/api/v1/cfssl/sign"

    def signed(self) -> list[tuple[str, int]]:
        """Return the certificates that it has signed.

        Returns:
            Subject (``/O=CLUSTER/OU=ROLE/CN=NODE``) and serial number of each.
        """
        lines = self.node.run(f"cat {self.folder}/signed.log").out.splitlines()
        return [(subject, int(serial, 16)) for subject, serial in (line.split() for line in lines)]


@contextlib.contextmanager
def external_ca(bench: Workbench) -> Iterator[ExternalCA]:
    """Run an authority on the node of *bench* until the context ends.

    Yields:
        The authority, once it answers.
    """
    node, authority = bench.node, pki.Authority.make("swarm-conformance")
    server = authority.issue(authority.root.subject, address=node.address)
    folder = bench.folder(
        {
            "root.pem": pki.pem_of(authority.root),
            "root.key": pki.key_pem(authority.key),
            "server.pem": server.pem,
            "signer.py": inspect.getsource(signer),
        }
    )
    start = f"setsid python3 signer.py {folder} {node.address} {PORT} >signer.log 2>&1 & echo $! >signer.pid"
    bench.shell(f"cd {folder} && {{ {start}; }}")
    try:
        wait(lambda: bool(node.listening(PORT)), f"the suite's certificate authority to answer on {node}")
        yield ExternalCA(authority, node, folder)
    finally:
        node.run(f"kill $(cat {folder}/signer.pid)")
