"""What is read of a cluster before anything is said of it: each node once, all of them at the same time.

Read are the engines' own accounts, and /proc and /sys through one shell script a node. Nothing is changed but for a
table of the node's packet filter that counts what arrives (see `swarmlab.preflight.packets`).
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import docker

from swarmlab.cluster.clocks import Clock
from swarmlab.cluster.node import DATA_PORT, MANAGEMENT_PORT, Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.parallel import parallel
from swarmlab.preflight import packets
from swarmlab.preflight.finding import Finding, Level, Look, Untold
from swarmlab.preflight.packets import Arrivals
from swarmlab.wait import State, wait

#: The bridge by which containers of overlay networks leave their node.
GATEWAY_BRIDGE = "docker_gwbridge"
#: The kernel's modules that a swarm uses, each with the option that builds it and what does not work without it.
MODULES = {
    "overlay": ("OVERLAY_FS", "images and containers are kept in a slower way, or not at all"),
    "br_netfilter": (
        "BRIDGE_NETFILTER",
        "containers of one bridge pass the firewall by, published ports are not reached",
    ),
    "vxlan": ("VXLAN", "no overlay network works"),
    "ip_vs": ("IP_VS", "the routing mesh and services' virtual addresses do not work"),
    "ip_vs_rr": ("IP_VS_RR", "the routing mesh and services' virtual addresses do not work"),
    "esp4": ("INET_ESP", "encrypted overlay networks do not work"),
}
_MARK = "=== swarmlab"
#: What a node is asked, each by a shell command that changes nothing; {root} is the folder of its engine.
QUESTIONS = {
    "modules": (
        'K=$(uname -r); echo "folder $(ls -d /lib/modules/$K 2>/dev/null)"; '
        '{ zcat /proc/config.gz || cat /boot/config-$K; } 2>/dev/null | grep -E "^CONFIG_({options}|NET)="; '
        "for M in {modules}; do "
        '[ -d /sys/module/$M ] && echo "loaded $M"; '
        'grep -qs "/$M\\.ko" /lib/modules/$K/modules.builtin && echo "builtin $M"; '
        'grep -qsE "^[^:]*/$M\\.ko[^:]*:" /lib/modules/$K/modules.dep && echo "loadable $M"; '
        "done; ls -d /proc/net/ip_vs /proc/sys/net/bridge 2>/dev/null; grep -w overlay /proc/filesystems; true"
    ),
    "forwarding": "cat /proc/sys/net/ipv4/ip_forward",
    "bridge calls": "cat /proc/sys/net/bridge/bridge-nf-call-iptables",
    "iptables": "iptables --version",
    "legacy rules": (
        "F=/proc/net/ip_tables_names; [ -e $F ] || { echo 0; exit; }; T=$(cat $F) || exit 3; N=0; "
        "for X in $T; do R=$(iptables-legacy-save -t $X) || exit 3; "
        'N=$((N + $(echo "$R" | grep -c -e ^-A))); done; echo $N'
    ),
    "firewalld": "grep -lxs firewalld /proc/[0-9]*/comm; true",
    "daemon.json": "[ ! -e /etc/docker/daemon.json ] || cat /etc/docker/daemon.json",
    "routes": "cat /proc/net/route",
    "addresses": "ip -o -4 address show",
    "links": "for L in $(ls /sys/class/net); do D=/sys/class/net/$L; "
    'echo "$L $(cat $D/mtu) $(basename "$(readlink $D/device/driver)")"; done',
    "offload": (
        "for L in $(ls /sys/class/net); do "
        '[ "$(basename "$(readlink /sys/class/net/$L/device/driver)")" = vmxnet3 ] || continue; '
        'echo "$L $(ethtool -k $L | grep tx-checksum-ip-generic)" || exit; done'
    ),
    "resolvers": "cat /etc/resolv.conf",
    "certificate": "cat {root}/swarm/certificates/swarm-node.crt",
    "disk": "df -Pk {root} /run",
    "inodes": "df -Pi {root}",
    "inotify": "cd /proc/sys/fs/inotify && cat max_user_instances max_user_watches",
    "inotify used": (
        "ls /proc/1/fd >/dev/null || exit; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'anon_inode:.*inotify'; true"
    ),
    "files": "cat /proc/sys/fs/file-nr",
    "connections": "cd /proc/sys/net/netfilter && cat nf_conntrack_count nf_conntrack_max",
}


@dataclass
class Seen:
    """What was read of one node.

    Attributes:
        name: host name.
        info: the engine's account of itself, empty where it gave none.
        version: the engine's version, the same.
        clock: its clock, None where the engine gave no answer.
        silent: why the engine gave no answer; empty where it did.
        networks: the networks that its engine knows.
        told: answers to `QUESTIONS`: exit code and text.
        arrived: what came to it from the others, None where that was not tried.
    """

    name: str
    info: dict[str, Any] = field(default_factory=dict)
    version: dict[str, Any] = field(default_factory=dict)
    clock: Clock | None = None
    silent: str = ""
    networks: list[dict[str, Any]] = field(default_factory=list)
    told: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    arrived: Arrivals | None = None

    @property
    def swarm(self) -> dict[str, Any]:
        """What the engine says of its membership.

        Raises:
            Untold: it says nothing.
        """
        if not self.info:
            raise Untold(self.silent or "its engine was not asked")
        swarm: dict[str, Any] = self.info["Swarm"]
        return swarm

    @property
    def active(self) -> bool:
        """Whether its engine says that it is in a swarm."""
        return bool(self.info) and self.info["Swarm"]["LocalNodeState"] == "active"

    @property
    def address(self) -> str:
        """The address under which the other nodes know it."""
        return str(self.swarm.get("NodeAddr", ""))

    def read(self, question: str) -> str:
        """What the node answers to one of `QUESTIONS`.

        Raises:
            Untold: it cannot, or may not.
        """
        code, text = self.told.get(question, (1, "it gave no answer"))
        if code:
            raise Untold(f"{question}: {text.splitlines()[-1] if text else f'exit code {code}'}")
        return text

    def numbers(self, question: str) -> list[int]:
        """The whole numbers that the node answers to one of `QUESTIONS`.

        Raises:
            Untold: as `read`; also where there is none.
        """
        found = [int(word) for word in self.read(question).split() if word.isdigit()]
        if not found:
            raise Untold(f"{question}: no number")
        return found

    def interface(self) -> tuple[str, int, str]:
        """The interface that has the node's address: its name, its MTU in bytes and its driver (empty: none known).

        Raises:
            Untold: there is none.
        """
        lines = [line.split() for line in self.read("addresses").splitlines()]
        names = [words[1] for words in lines if len(words) > 3 and words[3].split("/")[0] == self.address]
        for line in self.read("links").splitlines():
            name, mtu, driver = (*line.split(), "", "")[:3]
            if names and name == names[0]:
                return name, int(mtu), driver
        raise Untold(f"no interface has its address {self.address or '(it has none)'}")


@dataclass
class Sight:
    """What was read of a cluster.

    Attributes:
        nodes: its nodes.
        asked: host name of the manager that was asked of the cluster; empty where there is none.
        swarm, members, services, tasks, networks: what that manager's API told.
        unasked: why no manager answered, where none did.
        conditions: what makes a swarm ready, each by name.
    """

    nodes: list[Seen]
    asked: str = ""
    swarm: dict[str, Any] = field(default_factory=dict)
    members: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)
    unasked: str = "no node is a manager"
    conditions: dict[str, State] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """Host names of all members by node id; of those that are looked at, the names that they have here."""
        names = {member["ID"]: member["Description"].get("Hostname", member["ID"]) for member in self.members}
        return names | {seen.swarm["NodeID"]: seen.name for seen in self.nodes if seen.active}

    @property
    def strangers(self) -> list[str]:
        """Host names of members that are not looked at, as nobody said how they are reached."""
        known = {seen.swarm["NodeID"] for seen in self.nodes if seen.active}
        silent = {seen.name for seen in self.nodes if not seen.active}
        return [name for id, name in self.names.items() if id not in known and name not in silent]

    @property
    def data_port(self) -> int:
        """The port of the overlay networks' data."""
        return int(self.swarm.get("DataPathPort") or DATA_PORT)

    @property
    def overlays(self) -> list[dict[str, Any]]:
        """The overlay networks of the swarm."""
        return [network for network in self.networks if network["Driver"] == "overlay" and network["Scope"] == "swarm"]

    @property
    def encrypted(self) -> list[str]:
        """The names of those that are encrypted."""
        return [network["Name"] for network in self.overlays if "encrypted" in (network.get("Options") or {})]

    @property
    def packet_size(self) -> int:
        """The largest packet in bytes that overlay networks send between nodes."""
        # An engine takes 50 bytes for VXLAN off the MTU that a network is given, or off 1500.
        option = "com.docker.network.driver.mtu"
        return max((int((network.get("Options") or {}).get(option) or 1500) for network in self.overlays), default=1500)

    def management_port(self, node: Seen) -> int:
        """The port on which a manager is asked."""
        for other in self.nodes:
            for manager in other.info.get("Swarm", {}).get("RemoteManagers") or []:
                if manager["NodeID"] == node.swarm["NodeID"]:
                    return int(manager["Addr"].rpartition(":")[2])
        return MANAGEMENT_PORT


def by_node(look: Callable[[Sight, Seen], Iterator[Finding]]) -> Look:
    """A check of a cluster that looks at one node after the other; what a node does not tell is a finding as well."""

    @functools.wraps(look)
    def check(sight: Sight) -> Iterator[Finding]:
        for seen in sight.nodes:
            try:
                for finding in look(sight, seen):
                    yield replace(finding, nodes=(seen.name,))
            except Untold as why:
                yield Finding(Level.UNKNOWN, str(why), nodes=(seen.name,))

    return check


def gather(swarm: Swarm, *, probe: bool = True) -> Sight:
    """Read all that checks look at.

    Args:
        swarm: the cluster.
        probe: also send packets from every node to every other.
    """
    nodes = {node.name: node for node in swarm.nodes}
    sight = Sight(parallel(_ask, swarm.nodes))
    talking = [seen for seen in sight.nodes if seen.info]
    active = [seen for seen in talking if seen.active]
    reading = [functools.partial(_read, nodes[seen.name], seen) for seen in sight.nodes]
    managing = functools.partial(_ask_manager, sight, nodes)
    judging = functools.partial(_judge, sight, [nodes[seen.name] for seen in talking])
    parallel(lambda action: action(), [managing, judging, *reading])
    if probe and len(active) > 1:
        packets.send(sight, [(nodes[seen.name], seen) for seen in active])
    return sight


def _ask(node: Node) -> Seen:
    seen = Seen(node.name)
    try:
        seen.clock = node.clock()
        seen.info = node.info()
        seen.version = node.ask("GET", "/version")
    except (SwarmlabError, docker.errors.DockerException) as failed:
        seen.silent = str(failed)
    return seen


def _ask_manager(sight: Sight, nodes: Mapping[str, Node]) -> None:
    managers = [seen for seen in sight.nodes if seen.info.get("Swarm", {}).get("ControlAvailable")]
    for seen in managers:
        ask = functools.partial(nodes[seen.name].ask, "GET")
        try:
            told = parallel(ask, ["/swarm", "/nodes", "/services", "/tasks", "/networks"])
        except SwarmlabError as failed:
            sight.unasked = str(failed)
            continue
        sight.swarm, sight.members, sight.services, sight.tasks, sight.networks = told
        sight.asked = seen.name
        return


def _judge(sight: Sight, nodes: list[Node]) -> None:
    if nodes:
        try:
            sight.conditions = Swarm(nodes).conditions()
        except SwarmlabError as failed:
            sight.conditions = {"managers answer": State(False, str(failed))}


def _read(node: Node, seen: Seen) -> None:
    if seen.info.get("Swarm", {}).get("LocalNodeState") == "active":
        # An engine makes it a moment after it has joined.
        with contextlib.suppress(SwarmlabError):
            wait(lambda: _has_bridge(node), f"{node} to have {GATEWAY_BRIDGE}", deadline=10, error=LabError)
    root = seen.info.get("DockerRootDir", "/var/lib/docker")
    words = {
        "{root}": root,
        "{modules}": " ".join(MODULES),
        "{options}": "|".join(option for option, _ in MODULES.values()),
    }
    parts = []
    for name, question in QUESTIONS.items():
        for word, value in words.items():
            question = question.replace(word, value)
        parts.append(f"echo '{_MARK} {name}'; ( {question} ) 2>&1; CODE=$?; echo; echo \"{_MARK}. $CODE\"")
    try:
        done = node.run("export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin\n" + "\n".join(parts))
    except SwarmlabError as failed:
        seen.told = dict.fromkeys(QUESTIONS, (1, str(failed)))
        return
    seen.told = answers(done.out)
    if seen.info:
        with contextlib.suppress(SwarmlabError):
            seen.networks = node.ask("GET", "/networks")


def _has_bridge(node: Node) -> bool:
    return bool(node.ask("GET", "/networks", filters={"name": [GATEWAY_BRIDGE]}))


def answers(text: str) -> Mapping[str, tuple[int, str]]:
    """Exit code and text by question, of what a node printed."""
    pattern = rf"^{_MARK} ([^\n]+)\n(.*?)\n?^{_MARK}\. (\d+)$"
    return {name: (int(code), said.strip()) for name, said, code in re.findall(pattern, text, re.MULTILINE | re.DOTALL)}
