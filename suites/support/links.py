"""Network interfaces as the kernel lists them, of a node or inside a container."""

from dataclasses import dataclass

# Read from /sys, which every release has alike; the ip command of older ones knows no machine-readable form.
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
        index: its number, which is unique on its machine.
        peer: the number of the other end, of a veth pair; its own number otherwise.
        master: the bridge that it is a port of, empty if none.
    """

    name: str
    index: int
    peer: int
    master: str


def links(run):
    """The interfaces by name; *run* executes a shell command where they are (``node.run``, or inside a container)."""
    fields = [line.split() for line in run(_LIST).out.splitlines()]
    return {name: Link(name, int(index), int(peer), "".join(master)) for name, index, peer, *master in fields}


def addresses(run):
    """The IPv4 addresses, with their prefix lengths (172.17.0.2/16), by interface."""
    held = {}
    for line in run("ip -4 -oneline address show").out.splitlines():
        held.setdefault(line.split()[1], []).append(line.split()[3])
    return held


def stack(run):
    """The identity of the network stack that *run* works in: equal for all who share one."""
    return run("readlink /proc/self/ns/net").out.strip()
