"""Names for tasks: hosts that nodes leave out, servers that are not reached, and aliases that do not spread."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import drop, runtime


def without_host(name):
    """Return a script that takes an entry out of the file of hosts of every container."""
    return runtime(
        "import re\n"
        "for mount in spec['mounts']:\n"
        "    if mount['destination'] == '/etc/hosts':\n"
        f"        text = re.sub(r'.*{name}.*', '', open(mount['source']).read())\n"
        "        open(mount['source'], 'w').write(text)"
    )


def unreached(server):
    """Return a script that drops what containers send to an address of their own."""
    rules = (
        "add table ip gremlin; add chain ip gremlin out { type filter hook output priority -350; };"
        f" add rule ip gremlin out ip daddr {server} drop"
    )
    # The runtime runs it when the container has its network, and tells it the container's first process.
    hook = (
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin; pid=$(grep -o '\"pid\":[0-9]*' | tr -dc 0-9);"
        f" exec nsenter -n -t $pid nft '{rules}'"
    )
    return runtime(
        "spec.setdefault('hooks', {}).setdefault('prestart', []).append("
        f"{{'path': '/bin/sh', 'args': ['sh', '-c', {hook!r}]}})"
    )


FAULTS = [
    ClaimFault(
        "a node leaves out a host",
        {"names/extra-hosts": "in a task on slave02 first is unknown, not 192.0.2.51"},
        script=without_host("first.swc.test"),
        nodes=("slave02",),
        run="names a",
    ),
    ClaimFault(
        "a node leaves out the host of an update",
        {"names/extra-hosts-updated": "after the update then is unknown on slave01, not 192.0.2.53"},
        script=without_host("then.swc.test"),
        nodes=("slave01",),
        run="names a",
    ),
    ClaimFault(
        "containers of a node do not reach their server",
        {"names/dns": "a task on slave02 asks its server 127.0.0.2 for 'nothing'"},
        script=unreached("127.0.0.2"),
        nodes=("slave02",),
        run="names a",
    ),
    ClaimFault(
        "containers of a node do not reach the server of an update",
        {"names/dns-updated": "after the update a task on slave01 asks 127.0.0.3 for 'nothing'"},
        script=unreached("127.0.0.3"),
        nodes=("slave01",),
        run="names a",
    ),
    ClaimFault(
        "a node's aliases do not spread",
        {"names/alias": r"the alias of each service to lead to it from every node: .* on slave01 \S+ leads to"},
        script=drop("meta l4proto { tcp, udp } th dport 7946"),
        nodes=("slave01",),
        run="names b",
    ),
]
