"""Network interfaces as the kernel lists them, on a node or inside a container.

Each function takes *run*, which runs a shell command where the interfaces are: ``node.run``, or a container's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swarmlab.cluster.node import Result
from swarmlab.cluster.workbench import Workbench

Run = Callable[[str], Result]

# Read from /sys, which is the same on every release; older releases of ip have no machine-readable form.
_LIST = (
    "cd /sys/class/net && for link in *; do"
    ' [ -e "$link/ifindex" ] && echo "$link $(cat $link/ifindex) $(cat $link/iflink)'
    ' $(basename "$(readlink $link/master)")"; done'
)


@dataclass(frozen=True)
class Link:
    """One interface.

    Attributes:
        name: its name.
        index: its number, unique in its machine.
        peer: of a veth pair, the number of the other end; of any other interface, its own number.
        master: the bridge that it is a port of, empty if none.
    """

    name: str
    index: int
    peer: int
    master: str


def links(run: Run) -> dict[str, Link]:
    """Return the interfaces by name."""
    fields = [line.split() for line in run(_LIST).out.splitlines()]
    return {name: Link(name, int(index), int(peer), "".join(master)) for name, index, peer, *master in fields}


def eth0_of(bench: Workbench, box: str) -> Link:
    """Return the interface eth0 of the container *box*.

    Raises:
        AssertionError: it has none.
    """
    own = links(lambda command: bench.execute(box, command))
    assert "eth0" in own, f"on {bench.node}, a container has no eth0; it has {', '.join(own)}"
    return own["eth0"]


def addresses(run: Run) -> dict[str, list[str]]:
    """Return the IPv4 addresses by interface, with prefix lengths (172.17.0.2/16)."""
    held: dict[str, list[str]] = {}
    for line in run("ip -4 -oneline address show").out.splitlines():
        held.setdefault(line.split()[1], []).append(line.split()[3])
    return held


def stack(run: Run) -> str:
    """Return the identity of the network stack that *run* works in, the same for all that share it."""
    return run("readlink /proc/self/ns/net").out.strip()
