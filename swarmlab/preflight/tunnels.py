"""Whether each node knows behind which other node a task's address is: the entries of its VXLAN interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.ahead import CAN_ENTER, TO_NAMESPACES, needs
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import VXLAN, NodeView, Sight, by_managers
from swarmlab.preflight.secrecy import secrecy

#: The neighbours and forwarding entries in the namespace of each overlay network (NUMBER-ID), and which links are down.
#: A namespace that goes meanwhile is left out.
QUESTION = (
    "[ $(id -u) = 0 ] || { echo be root; exit 1; }; "
    f"{TO_NAMESPACES} 2>/dev/null || exit 0; {needs('ip', 'bridge')}; {CAN_ENTER}; "
    "for N in [0-9]*-*; do [ -e $N ] || continue; "
    "X=$(nsenter --net=$N sh -c 'ip -4 neigh show nud permanent && bridge fdb show && ip -o link show' 2>&1) || "
    '{ nsenter --net=$N true 2>/dev/null || continue; echo "$X"; exit 3; }; '
    'echo "network ${N#*-}"; echo "$X"; done; true'
)
#: The links that engines make there. The kernel adds others of its own (tunl0, gre0, sit0), which are down.
_OF_ENGINES = re.compile(r"(br|vxlan|veth)\d+$")
_RISK = "the node does not reach these tasks, nor do requests to its published ports"


@dataclass
class Tunnel:
    """The namespace of an overlay network on a node.

    Attributes:
        hardware: hardware address by address.
        behind: address of the node behind which a hardware address is.
        down: names of the engine's links in it that are down.
    """

    hardware: dict[str, str] = field(default_factory=dict)
    behind: dict[str, str] = field(default_factory=dict)
    down: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Note a line of the commands ip and bridge."""
        words = line.split()
        if "lladdr" in words:
            self.hardware[words[0]] = words[words.index("lladdr") + 1]
        elif "dst" in words:
            self.behind[words[0]] = words[words.index("dst") + 1]
        elif len(words) > 2 and words[2].startswith("<"):
            name, flags = words[1].partition("@")[0].rstrip(":"), words[2].strip("<>").split(",")
            if "UP" not in flags and (_OF_ENGINES.match(name) or "master" in words):
                self.down.append(name)


def tunnels(text: str) -> dict[str, Tunnel]:
    """Return the namespaces of overlay networks by the beginning of the network's id."""
    found: dict[str, Tunnel] = {}
    current = Tunnel()
    for line in text.splitlines():
        if line.startswith("network "):
            current = found.setdefault(line.split()[1], Tunnel())
        else:
            current.note(line)
    return found


def _left(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Yield the VXLAN interfaces that an engine left in the node's own namespace, with which it makes no other.

    An engine makes them there, and moves them at once. On kernels of old they stay, beside a bridge of the same number.
    """
    links = [line.split()[0] for line in view.read("links").splitlines() if line.split()]
    code, later = view.answers.get("packets", (1, ""))
    for name in links:
        found = re.fullmatch(r"vx-([0-9a-f]{6})-\w+", name)
        if not found or any(link.startswith(f"ov-{found[1]}-") for link in links) or (not code and name not in later):
            continue
        number = int(found[1], 16)
        networks = [
            network["Name"]
            for network in sight.overlays
            if str(number) in ((network.get("Options") or {}).get(VXLAN) or "").split(",")
        ]
        whose = f"network {', '.join(networks)}" if networks else "a network with that number"
        finding = Finding(
            Level.ERROR if networks else Level.WARNING,
            f"the VXLAN interface {name} (number {number}) is left in the node's own namespace",
            f"no task of {whose} starts on the node: error creating vxlan interface: file exists",
            "libnetwork#1765, moby#28559",
            (view.name,),
            mend=f"on {{nodes}}: ip link delete {name}",
            causes=("replicas: vxlan interface",),
        )
        yield finding.by_hand("ip -d link show type vxlan", f"ip link delete {name}")


@by_managers
def entries(sight: Sight) -> Iterator[Finding]:
    """Whether the VXLAN interfaces of each node lead to the nodes on which tasks run, and encrypted packets arrive."""
    heard = work.heard(sight)
    there: dict[str, list[str]] = {}
    for view in sight.nodes:
        try:
            view.check_active()
            yield from _left(sight, view)
            found = tunnels(view.read("tunnels"))
            if not work.long_there(sight, view):
                continue
        except Unknown as why:
            yield why.finding(view.name)
            continue
        ids = [network["Id"] for network in sight.overlays]
        there[view.name] = [id for id in ids if any(id.startswith(begin) for begin in found)]
        wrong = [line for network in sight.overlays for line in _wrong(sight, view, network, found, heard)]
        if wrong:
            drain = f"docker node update --availability drain {view.name}"
            mend = f"restart the engine: {drain}, then systemctl restart docker"
            yield Finding(Level.ERROR, few(wrong, "; "), _RISK, nodes=(view.name,), mend=mend)
    yield from secrecy(sight, there)


def _wrong(
    sight: Sight, view: NodeView, network: Mapping[str, Any], found: Mapping[str, Tunnel], heard: float
) -> Iterator[str]:
    tunnel = next((each for begin, each in found.items() if network["Id"].startswith(begin)), None)
    if tunnel is None:
        return
    if tunnel.down:
        yield f"in the namespace of network {network['Name']} {few(tunnel.down)} is down"
    places = {other.node_id: other for other in sight.nodes if other.active}
    for task in sight.tasks:
        host = places.get(task.get("NodeID", ""))
        if host in (None, view) or not work.serves(task, heard):
            continue
        address = work.address_in(task, network["Id"])
        if address and (said := _said(tunnel, address, host)):
            yield f"in network {network['Name']} {said}"


def _said(tunnel: Tunnel, address: str, host: NodeView | None) -> str:
    """Return what is wrong with the way to a task's address; empty if nothing is."""
    if host is None:
        return ""
    hardware = tunnel.hardware.get(address)
    if not hardware:
        return f"{address}, a task on {host.name}, is not known"
    behind = tunnel.behind.get(hardware)
    if behind == host.data_address:
        return ""
    return f"{address}, a task on {host.name} ({host.data_address}), leads to {behind or 'no node'}"
