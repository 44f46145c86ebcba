"""An external certificate authority for a swarm: a server of the suite's own, which runs on a node."""

import contextlib
import inspect
from dataclasses import dataclass

from swarmlab.cluster import pki, signer
from swarmlab.cluster.node import Node
from swarmlab.wait import wait

PORT = 8443


@dataclass(frozen=True)
class ExternalCA:
    """The authority, and where it is asked.

    Attributes:
        authority: its root and key.
        node: where it runs.
        folder: its files there.
    """

    authority: pki.Authority
    node: Node
    folder: str

    @property
    def url(self):
        """What a swarm is told."""
        return f"https://{self.node.address}:{PORT}/api/v1/cfssl/sign"

    def signed(self):
        """What it signed: (subject as /O=CLUSTER/OU=ROLE/CN=NODE, serial number) of each certificate."""
        lines = self.node.run(f"cat {self.folder}/signed.log").out.splitlines()
        return [(subject, int(serial, 16)) for subject, serial in (line.split() for line in lines)]


@contextlib.contextmanager
def external_ca(bench):
    """An authority that answers on the node of *bench* until the context ends."""
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
