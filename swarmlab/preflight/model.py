"""The data that checks judge: what each node and the managers answered, and which packets arrived where."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from swarmlab.cluster.clocks import Clock
from swarmlab.cluster.node import DATA_PORT, MANAGEMENT_PORT
from swarmlab.cluster.swarm import manager_address
from swarmlab.preflight.finding import Finding, Level, Look, Unknown
from swarmlab.versions import Version, parsed
from swarmlab.wait import State

#: The bridge through which containers of overlay networks reach addresses outside the cluster.
GATEWAY_BRIDGE = "docker_gwbridge"
#: The option of an overlay network that has the numbers of its VXLANs.
VXLAN = "com.docker.network.driver.overlay.vxlanid_list"
#: The kernel modules that a swarm uses: the kernel option that builds each, and what fails without it.
MODULES = {
    "overlay": ("OVERLAY_FS", "images and containers use a slower storage driver, or none works"),
    "br_netfilter": (
        "BRIDGE_NETFILTER",
        "traffic between containers of one bridge bypasses the firewall, and published ports do not answer",
    ),
    "vxlan": ("VXLAN", "no overlay network works"),
    "ip_vs": ("IP_VS", "the routing mesh and virtual addresses of services do not work"),
    "ip_vs_rr": ("IP_VS_RR", "the routing mesh and virtual addresses of services do not work"),
    "esp4": ("INET_ESP", "encrypted overlay networks do not work"),
}
#: System calls of today's images that older seccomp profiles do not know, by their number: the first release whose
#: profile knows each.
CALLS: dict[str, Version] = {"statx": (18, 4), "clone3": (20, 10, 10), "faccessat2": (20, 10)}
#: The checks of what passes between the nodes.
WAYS = ("paths", "port-management-tcp", "port-gossip-tcp", "port-gossip-udp", "port-data-udp", "path-mtu")
#: What makes known what only managers tell, and what makes an engine answer.
ASK_A_MANAGER = "get a manager to answer: on each manager: docker node ls, systemctl restart docker"
START_THE_ENGINE = "on {nodes}: systemctl restart docker; why it does not start: journalctl -u docker -n 50"
#: Lines that show why an engine does not answer, and that start it.
START_BY_HAND = ("journalctl -u docker -n 50 --no-pager", "systemctl restart docker")
#: The packages of the programs that answer questions, by question.
_PACKAGES = {
    "iptables": "iptables",
    "legacy rules": "iptables",
    "rules": "iptables",
    "mesh rules": "iptables util-linux",
    "balancers": "iptables util-linux",
    "tunnels": "iproute2 util-linux",
    "packets": "iproute2 iptables util-linux",
    "offload": "ethtool",
    "addresses": "iproute2",
    "disk": "coreutils",
    "disk number": "coreutils",
    "inodes": "coreutils",
}
#: How many senders of small VXLAN packets can be told apart. A VXLAN packet of a swarm has 58 bytes of UDP at least,
#: and these have 16 and as many more as the number of their sender.
TAGS = 42
#: What an engine found when it asked a registry for an image: it is there, it is not, a login is needed, the registry
#: takes no more requests for now, or it could not be asked.
THERE, LACKS, LOGIN, LIMITED, UNREACHED = "there", "lacks", "login", "limited", "unreached"
#: Those with which a node cannot pull the image.
PULL_FAILS = (LACKS, LIMITED, UNREACHED)
#: Outcomes of a TCP connection.
OPEN, REFUSED, SILENT = "open", "refused", "silent"


@dataclass
class Arrivals:
    """The packets that arrived at one node, and the outcomes of its own connections.

    Attributes:
        gossip: source addresses of gossip by UDP.
        small: source addresses of small VXLAN packets.
        large: source addresses of full-size VXLAN packets.
        senders: source addresses of small VXLAN packets by host name of the node that sent them.
        unseen: why arrivals could not be counted; empty if they were.
        tcp: outcome of the connection to each (address, port): `OPEN`, `REFUSED`, `SILENT`, or another error.
        untried: why no connection was tried; empty if they were.
        routes: path MTU in bytes by address, as far as the kernel has learned it.
        leaving: the source address and the interface of its own packets, by the address that they go to.
        answering: the interface by which it answers, by the address that is answered from and the one that is answered.
        neighbours: hardware address by address, of the other nodes on a network with it.
        patient: whether the wait for gossip was so long that every other node must have sent some.
    """

    gossip: set[str] = field(default_factory=set)
    small: set[str] = field(default_factory=set)
    large: set[str] = field(default_factory=set)
    senders: dict[str, set[str]] = field(default_factory=dict)
    unseen: str = ""
    tcp: dict[tuple[str, int], str] = field(default_factory=dict)
    untried: str = ""
    routes: dict[str, int] = field(default_factory=dict)
    leaving: dict[str, tuple[str, str]] = field(default_factory=dict)
    answering: dict[tuple[str, str], str] = field(default_factory=dict)
    neighbours: dict[str, str] = field(default_factory=dict)
    patient: bool = True


@dataclass(frozen=True)
class Pull:
    """What an engine found when it asked a registry for an image.

    Attributes:
        kind: `THERE`, `LACKS`, `LOGIN`, `LIMITED` or `UNREACHED`.
        digest: the digest that the reference has in the registry; empty if it is not there.
        words: the engine's words if the image is not there.
    """

    kind: str
    digest: str = ""
    words: str = ""


@dataclass
class NodeView:
    """The facts that were read from one node.

    Attributes:
        name: its host name.
        info: the engine's ``docker info``, empty if it did not answer.
        version: the engine's ``docker version``, empty if it did not answer.
        clock: the engine's clock, None if it did not answer.
        silent: why the engine did not answer; empty if it did.
        remedy: what makes it answer, where it is not a restart of the engine.
        unread: why the node's shell did not answer all questions; empty if it did.
        hangs: whether it did not because it did not end in its time.
        early: whether its shell was asked before its engine had answered.
        access: what makes the shell answer.
        listed: the managers' entry for it, where its engine hesitates to tell of itself; empty if it does not.
        told: the nodes of its swarm that it tells as a manager; None if it tells none.
        alone: why no packets were sent to it though it answers; empty if there were.
        networks: the networks that the engine lists.
        containers: the containers that the engine lists, also those that do not run; None if it did not.
        images: the images that the engine lists; None if it did not.
        tables: the engine's account of each overlay network that tasks on it use, with the services and tasks that it
            knows there, by the network's id.
        pulls: what the engine found in the registries, by the reference of the image that it was asked for.
        volumes: the volumes that the engine lists; None if it did not answer.
        health: what the engine says of the health of some containers, by id.
        starved: ids of services of which a container was killed for lack of memory.
        answers: exit code and text by name of the question (`swarmlab.preflight.sight.QUESTIONS`).
        arrived: the packets that arrived from the other nodes, None if none were sent.
    """

    name: str
    info: dict[str, Any] = field(default_factory=dict)
    version: dict[str, Any] = field(default_factory=dict)
    clock: Clock | None = None
    silent: str = ""
    remedy: str = ""
    unread: str = ""
    hangs: bool = False
    early: bool = False
    access: str = ""
    listed: dict[str, Any] = field(default_factory=dict)
    told: list[dict[str, Any]] | None = None
    alone: str = ""
    networks: list[dict[str, Any]] = field(default_factory=list)
    containers: list[dict[str, Any]] | None = None
    images: list[dict[str, Any]] | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    pulls: dict[str, Pull] = field(default_factory=dict)
    volumes: list[dict[str, Any]] | None = None
    health: dict[str, str] = field(default_factory=dict)
    starved: set[str] = field(default_factory=set)
    answers: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    arrived: Arrivals | None = None

    @property
    def swarm(self) -> dict[str, Any]:
        """The engine's account of its membership (``Swarm`` of ``docker info``).

        Raises:
            Unknown: the engine did not answer.
        """
        if not self.info:
            raise Unknown(self.silent or "its engine was not asked", self.remedy or START_THE_ENGINE)
        swarm: dict[str, Any] = self.info["Swarm"]
        return swarm

    @property
    def active(self) -> bool:
        """Whether its engine is in a swarm."""
        return bool(self.info) and self.info["Swarm"]["LocalNodeState"] == "active"

    @property
    def takes_part(self) -> bool:
        """Whether it is in a swarm, as its engine says or, while that hesitates, the managers say."""
        return self.active or bool(self.listed)

    @property
    def node_id(self) -> str:
        """The id of the node in the swarm.

        Raises:
            Unknown: neither its engine nor the managers tell it.
        """
        return str((self.listed if self.listed and not self.info else {"ID": self.swarm["NodeID"]})["ID"])

    def check_active(self) -> None:
        """Check that its engine is in a swarm.

        Raises:
            Unknown: it is not, or it did not answer.
        """
        state = self.swarm["LocalNodeState"]
        if state != "active":
            mend = "on {nodes}: docker swarm unlock" if state == "locked" else "on {nodes}: docker swarm join"
            if error := " ".join(str(self.swarm.get("Error") or "").split()):
                state += f", as {error}"
            raise Unknown(f"its engine is not in a swarm: {state}", mend)

    @property
    def manages(self) -> bool:
        """Whether its engine is a manager that works."""
        return bool(self.info.get("Swarm", {}).get("ControlAvailable"))

    @property
    def is_manager(self) -> bool:
        """Whether it is a manager that works, or one whose engine hesitates."""
        return self.manages or (not self.info and bool(self.listed.get("ManagerStatus")))

    @property
    def release(self) -> Version:
        """The engine's version as numbers; empty if it did not answer."""
        return parsed(str(self.version.get("Version", "")))

    @property
    def runc(self) -> str:
        """The version of its runc, as its engine (from 19.03 on) or the program tells it; empty if neither does."""
        parts = self.version.get("Components") or []
        told = next((str(part.get("Version", "")) for part in parts if part.get("Name") == "runc"), "")
        if not told[:1].isdigit():
            told = self.answers.get("runc", (1, ""))[1].partition("runc version ")[2].partition("\n")[0].strip()
        return told if told[:1].isdigit() else ""

    @property
    def address(self) -> str:
        """The address at which the other nodes reach it."""
        if self.listed and not self.info:
            return manager_address(self.listed) or str(self.listed["Status"].get("Addr", ""))
        return str(self.swarm.get("NodeAddr", ""))

    @property
    def data_address(self) -> str:
        """The address to which the other nodes send the data of overlay networks: `address`, or one of its own."""
        return self.settings().get("DataPathAddr") or self.address

    def settings(self) -> dict[str, str]:
        """Return the addresses with which it was made a member, as its engine keeps them, by their names there.

        They are LocalAddr, RemoteAddr, ListenAddr, AdvertiseAddr and DataPathAddr; empty if they cannot be read.
        """
        return dict(re.findall(r'"(\w+)": *"([^"]*)"', self.answers.get("member", (1, ""))[1]))

    def held(self) -> list[tuple[str, IPv4Address | IPv6Address]]:
        """Return the addresses of its interfaces, each with the name of the interface.

        Raises:
            Unknown: the node's command failed.
        """
        lines = [line.split() for line in self.read("addresses").splitlines()]
        return [
            (fields[1].partition("@")[0], ip_address(fields[3].partition("/")[0]))
            for fields in lines
            if len(fields) > 3 and fields[2] in ("inet", "inet6")
        ]

    @property
    def bridges(self) -> dict[str, str]:
        """The interfaces of its bridge networks, by the network's name."""
        option = "com.docker.network.bridge.name"
        return {
            network["Name"]: (network.get("Options") or {}).get(option) or f"br-{network['Id'][:12]}"
            for network in self.networks
            if network.get("Driver") == "bridge" and network.get("Id") and not network.get("ConfigOnly")
        }

    def read(self, question: str) -> str:
        """Return the node's answer to a question of `swarmlab.preflight.sight.QUESTIONS`.

        Raises:
            Unknown: the node's command failed.
        """
        if question not in self.answers:
            if self.silent and not self.answers:
                raise Unknown(self.silent, self.remedy or START_THE_ENGINE)
            raise Unknown(self.unread or f"{question}: it gave no answer", self.access or _access(question, ""))
        code, text = self.answers[question]
        if code:
            why = text.splitlines()[-1] if text else f"exit code {code}"
            raise Unknown(f"{question}: {why}", _access(question, text))
        return text

    def numbers(self, question: str) -> list[int]:
        """Return the whole numbers in the node's answer to a question.

        Raises:
            Unknown: the node's command failed, or its answer has no number.
        """
        found = [int(word) for word in self.read(question).split() if word.isdigit()]
        if not found:
            raise Unknown(f"{question}: no number", _access(question, ""))
        return found

    def interface(self, address: str = "") -> tuple[str, int, str]:
        """Return the interface with the node's address: name, MTU in bytes, driver (empty if it has none).

        Where no interface has it, as behind NAT, that is the one by which its packets leave to another node.

        Args:
            address: another address of the node, in place of the one that it advertises.

        Raises:
            Unknown: no interface has the address, and no route to another node is known.
        """
        names = [name for name, held in self.held() if str(held) == (address or self.address)]
        names += [name for _, name in self.arrived.leaving.values()] if self.arrived else []
        for line in self.read("links").splitlines():
            name, mtu, driver = (*line.split(), "", "")[:3]
            if names and name == names[0]:
                return name, int(mtu), driver
        mend = (
            f"on {{nodes}}: ip address add {self.address}/PREFIX dev INTERFACE, or leave the swarm and join it with "
            "--advertise-addr and an address that it has"
            if self.address
            else "let the node join the swarm with --advertise-addr ADDRESS: on {nodes}: docker swarm join"
        )
        raise Unknown(f"no interface has its address {self.address or '(it has none)'}", mend)


def _access(question: str, text: str) -> str:
    """Return what would make the answer to a question known, by what the node said instead."""
    if "did not end within" in text:
        return "on {nodes}: see what hangs: ps -eo pid,stat,wchan:20,args | grep ' D'; df -l; umount -fl FOLDER"
    if question in _PACKAGES and ("not found" in text or "No such file" in text):
        return f"on {{nodes}}: apt-get install {_PACKAGES[question]}"
    if "ermission denied" in text or "not permitted" in text or "be root" in text:
        return "let preflight be root on {nodes}: in the inventory, user: root or sudo: true"
    return f"let preflight be root on {{nodes}}, and mend there what keeps it from telling of {question}"


def unreachable(name: str, why: str) -> NodeView:
    """Return the view of a node that could not be reached.

    Args:
        name: its host name.
        why: "node NAME: the reason; the mend", as the reasons of connections are (`swarmlab.labs.existing.reasons`).
    """
    reason, _, mend = why.partition(": ")[2].partition("; ")
    return NodeView(name, silent=f"cannot be looked at: {reason or why}", remedy=mend)


def unasked(sight: Sight) -> Finding:
    """Return the finding of a check that needs an answer of the managers where none answers."""
    return Finding(Level.UNKNOWN, sight.unasked, mend=ASK_A_MANAGER)


@dataclass
class Sight:
    """The facts that were read from a cluster.

    Attributes:
        nodes: its nodes.
        asked: host name of the manager that answered, empty if none did.
        swarm: that manager's answer to ``GET /swarm``.
        members: its answer to ``GET /nodes``.
        services: its answer to ``GET /services``.
        tasks: its answer to ``GET /tasks``.
        networks: its answer to ``GET /networks``.
        unasked: why no manager answered, if none did.
        strays: what is to be said of each node that is not of that manager's swarm, by host name.
        conditions: the conditions of a ready swarm (see `Swarm.conditions`), without those nodes.
        lasting: what managers and nodes told differently at every look (see `swarmlab.preflight.holdings`); None if
            there was one look only.
        steady: ids of the services that were the same before and after the tasks were read; None if all was read once.
        pace: how many times slower than usual the engines and shells of the nodes answered, 1 or more.
    """

    nodes: list[NodeView]
    asked: str = ""
    swarm: dict[str, Any] = field(default_factory=dict)
    members: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)
    unasked: str = "no node is a manager"
    strays: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, State] = field(default_factory=dict)
    lasting: frozenset[Any] | None = None
    steady: frozenset[str] | None = None
    pace: float = 1.0

    @property
    def names(self) -> dict[str, str]:
        """Host names of all members by node id; a node that was read has the name that the lab gives it."""
        names = {member["ID"]: member["Description"].get("Hostname", member["ID"]) for member in self.members}
        return names | {id: view.name for id, view in self.members_read.items()}

    @property
    def members_read(self) -> dict[str, NodeView]:
        """The nodes whose engines say that they are in a swarm, by node id."""
        return {view.node_id: view for view in self.nodes if view.active}

    @property
    def strangers(self) -> list[str]:
        """Host names of members that were not read, because the lab has no node for them."""
        known = self.members_read
        silent = {view.name for view in self.nodes if not view.active} | {*self.strays}
        return [name for id, name in self.names.items() if id not in known and name not in silent]

    @property
    def data_port(self) -> int:
        """The UDP port of the overlay networks' data."""
        return int(self.swarm.get("DataPathPort") or DATA_PORT)

    @property
    def overlays(self) -> list[dict[str, Any]]:
        """The overlay networks of the swarm."""
        return [network for network in self.networks if network["Driver"] == "overlay" and network["Scope"] == "swarm"]

    @property
    def encrypted(self) -> list[str]:
        """Names of the encrypted overlay networks."""
        return [network["Name"] for network in self.overlays if "encrypted" in (network.get("Options") or {})]

    @property
    def packet_size(self) -> int:
        """The largest packet, in bytes, that overlay networks send between nodes."""
        # It has the MTU that the network is given, or 1500: the engine takes the 50 bytes of VXLAN off inside.
        option = "com.docker.network.driver.mtu"
        return max((int((network.get("Options") or {}).get(option) or 1500) for network in self.overlays), default=1500)

    def tagged(self, view: NodeView) -> int:
        """Return the number by which small VXLAN packets of a node are told from those of others."""
        return self.nodes.index(view) % TAGS

    def management_port(self, node: NodeView) -> int:
        """Return the management port of a manager, which need not be 2377."""
        for other in self.nodes:
            for manager in other.info.get("Swarm", {}).get("RemoteManagers") or []:
                if manager["NodeID"] == node.node_id:
                    return int(manager["Addr"].rpartition(":")[2])
        return MANAGEMENT_PORT


def by_node(look: Callable[[Sight, NodeView], Iterator[Finding]]) -> Look:
    """Make a check of a cluster from a check of one node.

    Each node's findings name that node. `Unknown` becomes a finding of level *unknown* for the node.
    """

    @functools.wraps(look)
    def check(sight: Sight) -> Iterator[Finding]:
        for view in sight.nodes:
            try:
                for finding in look(sight, view):
                    yield replace(finding, nodes=(view.name,))
            except Unknown as why:
                yield why.finding(view.name)

    return check


def by_managers(look: Callable[[Sight], Iterator[Finding]]) -> Look:
    """Make a check of what managers tell from one that takes for granted that a manager answered."""

    @functools.wraps(look)
    def check(sight: Sight) -> Iterator[Finding]:
        if sight.asked:
            yield from look(sight)
        else:
            yield unasked(sight)

    return check


def addresses_of_others(sight: Sight, view: NodeView) -> dict[str, str]:
    """Return the host names of the other nodes that are in the swarm and took part in the sending, by address."""
    return {other.address: other.name for other in _sending(sight, view)}


def data_addresses_of_others(sight: Sight, view: NodeView) -> dict[str, str]:
    """Return what `addresses_of_others` does, by the nodes' addresses for the data of overlay networks."""
    return {other.data_address: other.name for other in _sending(sight, view)}


def _sending(sight: Sight, view: NodeView) -> list[NodeView]:
    return [other for other in sight.nodes if other is not view and other.takes_part and other.arrived is not None]
