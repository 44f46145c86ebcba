"""The steps that make a machine a node of the document: engine, names, users and keys (document 1.1 to 1.3).

The steps are the same for every kind of machine. A step whose work is done already changes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from swarmlab.cluster.node import Node
from swarmlab.errors import LabError
from swarmlab.labs.hosts import USER
from swarmlab.parallel import parallel
from swarmlab.paths import PROVISION

#: Scripts that install what a bare system lacks, by ID and VERSION_ID of its /etc/os-release.
FOLDER = PROVISION


def install_engine(nodes: Sequence[Node], versions: Sequence[str]) -> None:
    """Install Docker as the document does (1.3.1, 1.3.2) on nodes that have none.

    Args:
        nodes: the nodes.
        versions: the versions of their engines, in turn.

    Raises:
        LabError: there is no script for the node's system, or the script failed.
    """

    def one(place: int) -> None:
        node = nodes[place]
        if node.run("command -v dockerd").ok:
            return
        system = node.run('. /etc/os-release && echo "$ID$VERSION_ID"').out.strip()
        script = FOLDER / f"{system}.sh"
        if not script.exists():
            raise LabError(f"{node} has no engine, and there is no {script.name} to install one with")
        text = shlex.quote(script.read_text(encoding="utf-8"))
        _do(node, f"sh -euc {text} {script.name} {versions[place % len(versions)]}", "the engine")

    parallel(one, range(len(nodes)))


def map_names(nodes: Sequence[Node], addresses: Mapping[str, str]) -> None:
    """Write *addresses* by name into /etc/hosts of every node (1.1); lines that are not the lab's stay."""
    lines = "\\n".join(f"{address} {name}" for name, address in addresses.items())
    mark = "# names of the lab"
    # Installers map a machine's own name to a loopback address, which would hide its address in the cluster.
    own = "|".join(addresses)
    edit = f"sed -i -E '/^127\\.[0-9.]+\\s+({own})(\\s|$)/d; /^{mark}/,$d' /etc/hosts"
    parallel(lambda node: _do(node, f"{edit}; printf '{mark}\\n{lines}\\n' >> /etc/hosts", "names"), nodes)


def share_keys(nodes: Sequence[Node]) -> None:
    """Give the cluster user a key pair on every node, and admit each key and host key on every node (1.2)."""
    pairs = [_key_pair(f"{USER}@{node.name}") for node in nodes]
    hosts = parallel(lambda node: node.run("cat /etc/ssh/ssh_host_ed25519_key.pub"), nodes)
    known = "\n".join(f"{node.name},{node.address} {host.out.strip()}" for node, host in zip(nodes, hosts, strict=True))
    allowed = "\n".join(public for _, public in pairs)

    def spread(place: int) -> None:
        private, public = pairs[place]
        own = f"localhost,127.0.0.1 {hosts[place].out.strip()}"
        texts = {"id_rsa": private, "authorized_keys": allowed, "known_hosts": f"{known}\n{own}"}
        write = [f"echo {shlex.quote(text)} > ~/.ssh/{name}" for name, text in texts.items()]
        readable = f"echo {shlex.quote(public)} > ~/.ssh/id_rsa.pub && chmod 644 ~/.ssh/id_rsa.pub"
        _do(nodes[place], " && ".join(["umask 077 && mkdir -p ~/.ssh", *write, readable]), "keys", user=USER)

    parallel(spread, range(len(nodes)))


def _key_pair(comment: str) -> tuple[str, str]:
    """Return a private key and its public key. An emulated machine would take seconds to make them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return private.decode().strip(), f"{public.decode()} {comment}"


def pull(nodes: Sequence[Node], images: Sequence[str]) -> None:
    """Have every node pull *images*, so that later measurements do not include the pull."""
    parallel(lambda node: _do(node, " && ".join(f"docker pull {image}" for image in images), "images"), nodes)


def _do(node: Node, command: str, what: str, *, user: str | None = None) -> None:
    node.run(command, user=user).expect(f"setting up {what} on {node}")
