"""Names of a swarm that exists, and of its nodes where several have one host name or one identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmlab.labs.existing.node import Connection

#: Characters of a node's id in the name of a node whose host name others have too.
_OF_ID = 5
#: Prints what differs between two machines, whatever of one was copied to the other.
FINGERPRINT = (
    "cat /proc/sys/kernel/random/boot_id; cut -d')' -f2 /proc/1/stat | cut -d' ' -f21; "
    "cat /sys/class/net/*/address 2>/dev/null | sort -u; true"
)


def names_of(infos: Mapping[Connection, Mapping[str, Any]]) -> dict[Connection, str]:
    """Return a name for each machine that no other machine has.

    That is its host name, with the start of its node id where others have the same host name, and with its address
    where others have the same node id besides.

    Args:
        infos: what each machine's engine answers to GET /info.
    """
    hosts = {connection: str(info["Name"]) for connection, info in infos.items()}
    alike = [host for host in hosts.values() if list(hosts.values()).count(host) > 1]
    named = {
        connection: f"{host}-{infos[connection]['Swarm']['NodeID'][:_OF_ID]}" if host in alike else host
        for connection, host in hosts.items()
    }
    taken = list(named.values())
    return {
        connection: f"{name}-{connection.machine.address}" if taken.count(name) > 1 else name
        for connection, name in named.items()
    }


def name_of(source: str) -> str:
    """Return the name of a swarm for reports, by its inventory: the name of the file, or the host of an address.

    Example:
        name_of("ops/swarm.yaml") == "swarm"; name_of("ssh://ops@10.0.0.1") == "10.0.0.1"
    """
    if "://" in source:
        return source.partition("://")[2].rpartition("@")[2].partition("/")[0].partition(",")[0] or source
    return Path(source).stem
