"""The container lab: every node is a container with an engine of its own (Docker-in-Docker).

The labels of its containers, network and volumes describe the lab (see `swarmlab.labs.standing`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import re
import signal
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, ClassVar

import docker
import requests
from docker.models.containers import Container
from docker.models.networks import Network
from typing_extensions import override

from swarmlab import netns, signals, timing
from swarmlab.cluster.node import Node, look_for, oldest
from swarmlab.cluster.workbench import PORTS
from swarmlab.errors import LabError, UsageError
from swarmlab.host import MIB, Progress, free_memory, make_folder, person, run_folder
from swarmlab.images import given, recipes, workshop
from swarmlab.images.engines import EngineChoice, engine_choice
from swarmlab.images.given import GivenImage
from swarmlab.images.plain import PLAIN, PLAINLY
from swarmlab.images.recipes import REGISTRY
from swarmlab.images.releases import check_host
from swarmlab.labs import base, hosts, provision
from swarmlab.labs.base import Declared, Ended, Lab
from swarmlab.labs.containers import fitness, neighbours, roots, ways
from swarmlab.labs.containers.node import DindNode
from swarmlab.labs.containers.options import node_options
from swarmlab.labs.context import is_elsewhere
from swarmlab.labs.hosts import host_names
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.routes import wider
from swarmlab.labs.speed import presume
from swarmlab.labs.standing import (
    CLUSTER,
    ENGINE,
    KIND,
    NODE,
    PLACE,
    SOCKET,
    free_networks,
    keep,
    remove,
    remove_cluster,
    taken_networks,
)
from swarmlab.lists import few
from swarmlab.needs import DECLARED, MADE, Offers
from swarmlab.ownership import LABEL, OWNER, PERSON, note_left, this_process
from swarmlab.parallel import parallel
from swarmlab.paths import command
from swarmlab.timing import Meter

#: The word of the kind, and the name of the lab that `swarmlab up` makes and pytest looks for.
WORD, DEFAULT = "dind", "swarmlab"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
#: The state of a container that the outer engine does not list.
_REMOVED = ("removed", "")
#: Bytes of memory that a node takes with its tasks: its engine takes 100 to 150 MiB.
NODE_MEMORY = 200 * MIB
#: Suffix of the name of a node's old container, while an upgrade replaces it.
_OLD = "-was"
#: Empties a node's volumes. A data root that is not quite empty is not given images again (see node-start).
_WIPE = "find /var/lib/docker /var/lib/containerd -mindepth 1 -delete; mkdir /var/lib/docker/tmp"
#: The files that a node keeps in an upgrade, beside its volumes: the beginning of their names, by folder (empty: all).
_KEPT = {"/etc/docker": "", "/etc/ssh": "ssh_host_", "/home": "", "/root": ""}


def check(name: str, engines: Sequence[str], nodes: int) -> list[EngineChoice]:
    """Return the engine choices of such a lab.

    Raises:
        UsageError: there is no such engine, or the name or the number of nodes is not valid.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not the name of a lab: write at most 31 of a-z, 0-9 and -")
    if not 1 <= nodes <= hosts.MOST:
        raise UsageError(f"a cluster of the container lab has 1 to {hosts.MOST} nodes, not {nodes}")
    choices = [engine_choice(engine) for engine in engines]
    for choice in choices if not is_elsewhere() else ():
        check_host(choice.version)
    return choices


def check_memory(nodes: int, spare: int = 0) -> None:
    """Check that this machine has the memory for so many nodes and their tasks, before anything is made for them.

    Args:
        nodes: the nodes of the default cluster.
        spare: the nodes beside it that somebody will ask for.

    Raises:
        UsageError: it has not.
    """
    free = free_memory()
    if nodes > 1 and not _hold(free, nodes + spare):
        room = max((free or 0) // NODE_MEMORY - spare, 1)
        beside = f" and {spare} beside them" if spare else ""
        raise UsageError(
            f"a lab of {nodes} nodes{beside} takes {fitness.gib((nodes + spare) * NODE_MEMORY)} GiB of memory with its "
            f"tasks ({NODE_MEMORY // MIB} MiB a node), and {fitness.gib(free or 0)} GiB are free here: make room, or "
            f"take at most {min(room, hosts.MOST)} nodes"
        )


def _hold(free: int | None, nodes: int) -> bool:
    """Whether so many bytes of memory hold so many nodes with their tasks; if nobody knows how many are free, yes."""
    return free is None or free >= nodes * NODE_MEMORY


class DindLab(Lab):
    """A lab of container nodes on an outer engine.

    Attributes:
        outer: the engine that holds it.
        choices: the engines of the nodes in turn.
        images: the images of the nodes in turn.
    """

    kind = WORD
    ports = PORTS
    has_room = gives_images = True

    #: Called with a node that is upgraded and its new container, which is not started yet. Planted faults change the
    #: container here.
    on_upgrade: ClassVar[list[Callable[[Node, Container], None]]] = []
    #: Features that the lab offers without looking for them, so that planted faults reach the claims that need them.
    pretended: ClassVar[set[str]] = set()
    #: Whether the cluster user has SSH keys in further clusters, too. Only planted faults need that.
    keys_everywhere: ClassVar[bool] = False

    def __init__(
        self,
        outer: OuterEngine,
        *,
        name: str = DEFAULT,
        engines: Sequence[str] = ("",),
        nodes: int = 3,
        aside: bool = False,
        spare: bool = False,
        progress: Progress = lambda _: None,
    ) -> None:
        """Describe a lab; nothing is made before `up`.

        Args:
            outer: the engine that holds it.
            name: its name, by which it differs from other labs on the engine.
            engines: engine choices of the nodes in turn (see `images.engines.engine_choice`); empty is the default.
            nodes: size of the default cluster.
            aside: see `Request`.
            spare: whether somebody will ask for a node beside the default cluster.
            progress: called with a line for every step that takes time.

        Raises:
            UsageError: see `check`.
        """
        super().__init__(progress)
        self.outer = outer
        self.name = name
        self.choices = check(name, engines, nodes)
        self._owner = this_process()
        self._made = False
        self.images: list[str] = []
        self._count = nodes
        self._aside, self._spare = aside, spare
        self._nodes: dict[int, list[Node]] = {}
        self._octets: dict[int, list[int]] = {}  # by cluster; taken while its nodes are made, too
        self._giving = threading.Lock()
        #: Ids of the containers that this process made or found.
        self._ids: set[str] = set()
        self._systems: dict[str, tuple[str, str]] = {}
        self._roots: dict[str, str] = {}
        self._rooting = threading.Lock()

    @classmethod
    def attach(cls, outer: OuterEngine, name: str, progress: Progress = lambda _: None) -> DindLab:
        """Return the lab of this name as its labels describe it.

        Raises:
            UsageError: it has no nodes.
        """
        lab = cls(outer, name=name, progress=progress)
        members = [member for member in lab.containers() if NODE in member.labels]
        # An upgrade that was killed leaves a node's old container beside the new one. It is removed with the lab.
        members = [member for member in members if not str(member.name).endswith(_OLD)]
        if not members:
            down = command("swarmlab", "down", "--name", name)
            raise UsageError(f"lab {name} has no nodes; remove what is left of it: {down}")
        lab._owner = members[0].labels[OWNER]
        lab._ids = {str(member.id) for member in members}
        lab.standing = lab._made = True
        lab.reach()
        choices: list[EngineChoice] = []
        for member in sorted(members, key=lambda member: int(member.labels[PLACE])):
            lab._nodes.setdefault(int(member.labels[CLUSTER]), []).append(DindNode(member))
            if member.labels[CLUSTER] == "0":  # further clusters get the same engines
                lab.images.append(member.attrs["Config"]["Image"])
                choices.append(EngineChoice(**json.loads(member.labels[ENGINE])))
        lab.choices = choices or lab.choices
        lab._count = len(lab._nodes.get(0, []))
        for cluster, nodes in lab._nodes.items():
            lab._octets[cluster] = [int(node.address.rpartition(".")[2]) for node in nodes]
        return lab

    @override
    def meters(self) -> list[Meter]:
        return [timing.Container(id) for id in list(self._ids)]

    # Up and down

    def up(self) -> None:
        """Make images where they are missing, then network, registry and the nodes of the default cluster.

        Raises:
            UsageError: a lab of this name is up already, or this machine has not the memory for its nodes.
            LabError: a part of the lab did not come up; what was made is removed.
        """
        if there := self.containers():
            maker = there[0].labels.get(PERSON, "")
            if maker not in ("", person()):
                raise UsageError(f"lab {self.name!r} is up already, and {maker}'s; take another name")
            down = command("swarmlab", "down", "--name", self.name)
            raise UsageError(f"lab {self.name!r} is up already; use it, or: {down}")
        check_memory(self._count, int(self._spare))
        fitness.check(self.outer)
        self._check_networks()
        neighbours.make_room(self._count, self._progress)
        self._prepare_images()
        try:
            begun = time.monotonic()
            self._create_network()
            presume(time.monotonic() - begun)
            self.reach()
            self._start_registry()
            self._nodes[0] = self._create(0, self._count)
            ways.check(self._nodes[0], self._subnet)
            self._report_versions()
        except docker.errors.DockerException as failed:
            self.down()
            raise LabError(f"the lab did not come up: {failed}") from failed
        except BaseException:
            self.down()
            raise

    @override
    def keep(self) -> None:
        keep(self.outer, self.name)
        self.kept = True

    @override
    def down(self) -> None:
        for members in self._nodes.values():
            _let_go(members)
        if self._made:  # else the lab of this name is another's
            remove(self.outer, self.name)
            neighbours.put_back(self.outer)
            self._made = False
            self._nodes.clear()
            self._octets.clear()

    @override
    def ended(self, used: Sequence[Node] = (), *, thorough: bool = True) -> Ended | None:
        registry = f"{self._network_name}-registry"
        stays = self._nodes.get(0, []) if self.standing else []
        looked_at = [node for node in dict.fromkeys([*stays, *used]) if isinstance(node, DindNode)]
        try:
            # A node that is switched on meanwhile is listed as it was before.
            were_off = {node for node in looked_at if node.is_off}
            found = self.outer.client.api.containers(all=True, filters={"label": f"{LABEL}={self.name}"})
            states = {entry["Id"]: (entry["State"], entry["Status"]) for entry in found}
            names = {name.strip("/"): entry["Id"] for entry in found for name in entry["Names"] or ()}
            state, status = states.get(names.get(registry, ""), _REMOVED)
            if state != "running":
                return self._ended(f"its registry does not run any more ({status or state})", over=True)
            for node in looked_at:
                how = _stopped(*states.get(str(node.container.id), _REMOVED))
                again = not how and thorough and node.restarted()
                if (how or again) and node not in were_off and not node.is_off:
                    what = f"the container of node {node} was {how or 'started anew'} from outside"
                    return self._ended(what, over=node in stays and not again)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as failed:
            return Ended(f"the engine that holds lab {self.name} does not answer: {failed}", over=True)
        return super().ended(used, thorough=thorough)

    def _ended(self, what: str, *, over: bool) -> Ended:
        down, up = (command("swarmlab", verb, "--name", self.name) for verb in ("down", "up"))
        anew = f"make it anew: {down} && {up}"
        mend = f"; {anew if self.standing else 'run the tests again'}" if over else ""
        return Ended(f"lab {self.name}: {what}{mend}", over=over)

    # Nodes

    @property
    @override
    def free(self) -> int:
        return len(self._free_octets())

    @override
    def holds(self, count: int) -> bool:
        return _hold(free_memory(), count)

    def _free_octets(self) -> list[int]:
        """Return the last octets that no cluster has. Those of the default cluster stay its own while it is away."""
        taken = {*hosts.OCTETS[: self._count], *itertools.chain(*self._octets.values())}
        return [octet for octet in hosts.OCTETS if octet not in taken]

    def _give_octets(self, count: int) -> int:
        """Give a new cluster addresses, and return its number.

        Raises:
            LabError: not so many are free.
        """
        with self._giving:
            free = self._free_octets()
            if count > min(len(free), hosts.MOST):
                raise LabError(f"the lab has room for {min(len(free), hosts.MOST)} nodes more, not for {count}")
            cluster = next(number for number in itertools.count(1) if number not in self._octets)
            self._octets[cluster] = free[:count]
            return cluster

    @override
    def nodes(self) -> list[Node]:
        if 0 not in self._nodes:
            self._nodes[0] = self._create(0, self._count)
        return self._nodes[0]

    @override
    def more(self, count: int, *, bare: bool = False) -> list[Node]:
        cluster = self._give_octets(count)
        try:
            self._nodes[cluster] = self._create(cluster, count, bare=bare)
        except BaseException:
            with contextlib.suppress(LabError, docker.errors.DockerException):  # what is left goes with the lab
                remove_cluster(self.outer, self.name, cluster)
                del self._octets[cluster]
            raise
        return self._nodes[cluster]

    @override
    def remove(self, nodes: Sequence[Node]) -> None:
        for index, members in list(self._nodes.items()):
            if any(node is member for node in nodes for member in members):
                _let_go(members)
                # The whole cluster, also a node that a test has taken out of it.
                remove_cluster(self.outer, self.name, index)
                self._ids -= {str(member.container.id) for member in members if isinstance(member, DindNode)}
                del self._nodes[index]
                self._octets.pop(index, None)

    def cluster_of(self, node: Node) -> tuple[int, list[Node]]:
        """Return the number of the cluster that a node was made for (0 is the default), and that cluster's nodes.

        Raises:
            LabError: the lab has no such node.
        """
        for cluster, members in self._nodes.items():
            if any(member is node for member in members):
                return cluster, members
        raise LabError(f"{node} is not a node of lab {self.name}")

    @override
    def shell(self, node: str, command: str) -> list[str]:
        for member in self.nodes():
            if member.name == node and isinstance(member, DindNode):
                terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
                inside = ["sh", "-c", command] if command else ["bash"]
                return ["docker", "exec", *terminal, str(member.container.name), *inside]
        raise self.no_node(node, self.nodes())

    # Engines

    @override
    def prepare_upgrades(self, engines: Sequence[EngineChoice]) -> None:
        self._workshop().prepare(list(dict.fromkeys(engines)))

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:  # noqa: ARG002 - it starts anew anyway
        """Replace a node's container by another with the same name, address, volumes, settings and keys.

        The old container stays until the new one's engine answers. See `Lab.upgrade`.
        """
        choice = engine_choice(engine)
        cluster, members = self.cluster_of(node)
        assert isinstance(node, DindNode)
        [image], self._registry_image = self._workshop().prepare([choice])
        old = node.container
        name, host_config = str(old.name), old.attrs["HostConfig"]
        node.expect_off()
        old.stop(timeout=60)
        old.rename(f"{name}{_OLD}")  # it keeps its labels, so a run that is killed here leaves nothing behind
        try:
            new = self._container(
                name,
                image,
                node.address,
                {**old.labels, ENGINE: _label(choice)},
                hostname=node.name,
                host_config={key: host_config.get(key) for key in node_options([], {}, self.outer.cgroups)},
            )
            for folder, beginning in _KEPT.items():
                _copy_files(old, new, folder, beginning)
            for change in self.on_upgrade:
                change(node, new)
            new.start()
            new.reload()
        except docker.errors.DockerException as failed:
            raise LabError(f"{node} was not given engine {choice}: {failed}") from failed
        node.become(new)
        if cluster == 0:
            self._note_engine(members.index(node), image, choice)
        node.wait_up()
        old.remove()

    @override
    def wipe(self, node: Node) -> None:
        assert isinstance(node, DindNode)
        node.stop()
        self.outer.client.containers.run(
            node.container.attrs["Config"]["Image"],
            ["-c", _WIPE],
            entrypoint="sh",
            network_mode="none",
            **PLAINLY,
            volumes_from=[str(node.container.id)],
            labels=self._passing_labels(),
            remove=True,
        )

    def _note_engine(self, place: int, image: str, choice: EngineChoice) -> None:
        """Note the new engine of the node at this place. From now on each node has an entry of its own."""
        count = len(self._nodes[0])
        self.images = [self.images[at % len(self.images)] for at in range(count)]
        self.choices = [self.choices[at % len(self.choices)] for at in range(count)]
        self.images[place], self.choices[place] = image, choice

    # Images, and what the lab has

    @override
    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            self.given |= given.serve(images, self.nodes(), REGISTRY)

    @functools.cached_property
    @override
    def offers(self) -> Offers:
        features = {"power", "spare", "registry"} | MADE | self.pretended
        if len(set(self.images)) > 1:
            features.add("mixed-engines")
        # At the first call the default cluster may be gone, while another cluster has nodes.
        made = next(filter(None, self._nodes.values()), None) or self.nodes()
        node = oldest(made) if "mixed-engines" in features else made[0]
        return Offers(
            hosts.MOST,
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()) | frozenset(self.given),
            {feature: (lambda *_: "") if feature in self.pretended else why for feature, why in look_for(node).items()},
            disruptable=True,
            declared=frozenset(DECLARED),
        )

    @override
    def declared(self, node: str) -> Declared:
        place = host_names(hosts.MOST).index(node)
        choice = self.choices[place % len(self.choices)]
        release, package = self._system(self.images[place % len(self.images)])
        if choice.source == "debian" and release != choice.place:
            release, package = choice.place, ""
        declared = Declared.debian(choice, release, package, self.prefix)
        names = host_names(self._count)
        if len(names) <= len(hosts.DOCUMENT):
            return declared
        addresses = {name: f"{self.prefix}.{octet}" for name, octet in zip(names, hosts.OCTETS, strict=False)}
        return replace(declared, names=tuple(names), addresses=addresses)

    def _system(self, image: str) -> tuple[str, str]:
        """Return the release of an image of nodes, and the version of Debian's package of the engine in it.

        They are read from the image and not from a node, because a node may have another engine by now.
        """
        if image not in self._systems:
            printed = self.outer.client.containers.run(
                image,
                ["-c", ". /etc/os-release; echo $VERSION_CODENAME; dpkg-query -W -f '${Version}' docker.io || :"],
                entrypoint="sh",
                network_mode="none",
                labels=self._passing_labels(),
                **PLAINLY,  # what it prints is read from its log
                remove=True,
            )
            release, _, version = printed.decode().partition("\n")
            self._systems[image] = release, version.strip()
        return self._systems[image]

    # Making

    def _report_versions(self) -> None:
        """Report nodes whose engine is not of the version asked for: a release moves on, an archive's name may lie."""
        for node, choice in zip(self.nodes(), self.choices, strict=False):
            version = node.ask("GET", "/version")["Version"]
            if version.partition("+")[0] != choice.version:
                self._progress(f"{choice.name} has engine {version} now, not {choice.version}")

    def _prepare_images(self) -> None:
        self.images, self._registry_image = self._workshop().prepare(self.choices)

    def _workshop(self) -> workshop.Workshop:
        return workshop.Workshop(self.outer.client, self._progress, outside=netns.outside())

    def _labels(self, **further: str) -> dict[str, str]:
        # Further clusters belong to the run that makes them, also in a lab that was brought up by hand.
        owner = self._owner if further.get(CLUSTER, "0") == "0" else this_process()
        return {LABEL: self.name, OWNER: owner, PERSON: person(), KIND: self.kind, **further}

    def _passing_labels(self) -> dict[str, str]:
        """Return the labels of a container that this process removes again at once."""
        return self._labels(**{OWNER: this_process()})

    def _create_network(self) -> None:
        refused = None
        networks = free_networks(self.outer)
        if self._aside:
            networks.sort(key=lambda network: network.startswith(f"{hosts.NETWORK}."))
        for subnet in networks:
            pool = docker.types.IPAMPool(subnet=subnet)
            try:
                with signals.deferred():  # either the network is there and this lab's, or neither
                    self.outer.client.networks.create(
                        self._network_name,
                        driver="bridge",
                        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                        check_duplicate=True,
                        labels=self._labels(),
                    )
                    note_left(self.name)
                    self._made = True
            except docker.errors.APIError as error:
                if f"{self._network_name} already exists" in str(error.explanation):
                    raise UsageError(
                        f"lab {self.name!r} is being brought up by another process; wait for it, or take another name"
                    ) from error
                refused = error
                continue
            if subnet != "192.168.56.0/24":
                who = taken_networks(self.outer).get(IPv4Network("192.168.56.0/24"), "a lab that has begun meanwhile")
                why = "left to other labs" if self._aside else f"taken by {who}"
                self._progress(f"192.168.56.0/24 is {why}; the lab uses {subnet}")
            for network, device in wider(IPv4Network(subnet), self.outer.routes()).items():
                rest = f"through {device} as the rest of {network}"
                self._progress(f"while the lab stands, {subnet} is not reached {rest}")
            return
        if refused:
            raise LabError(f"no network for the lab: {refused.explanation}")
        self._check_networks()

    def _check_networks(self) -> None:
        """Check that a network is free, before images are made.

        Raises:
            UsageError: none is.
        """
        if not free_networks(self.outer):
            takers = few(dict.fromkeys(taken_networks(self.outer).values()))
            raise UsageError(
                f"192.168.56.0/24 to 192.168.71.0/24 are taken, by {takers}; take down a lab, or as root let "
                "SWARMLAB_PRIVATE=1 start an engine apart from these networks"
            )

    @property
    def _network_name(self) -> str:
        return f"swarmlab-{self.name}"

    @functools.cached_property
    def _network(self) -> Network:
        return self.outer.client.networks.get(self._network_name)

    @property
    def _subnet(self) -> str:
        subnet: str = self._network.attrs["IPAM"]["Config"][0]["Subnet"]
        return subnet

    @functools.cached_property
    def prefix(self) -> str:
        """The first three octets of the lab's addresses."""
        return self._subnet.rpartition(".")[0]

    def reach(self) -> None:
        """Make sure that this process can send packets to the nodes (see `OuterEngine.reach`)."""
        self.outer.reach(str(self._network.id))

    def _start_registry(self) -> None:
        address = f"{self.prefix}.{hosts.REGISTRY_OCTET}"
        self._container(f"{self._network_name}-registry", self._registry_image, address, {}).start()

    def _root(self, image: str, choice: EngineChoice) -> str:
        """Return the name of the data root for nodes of an image with this engine; empty if they pull."""
        if choice.numbers < roots.SINCE:
            return ""
        with self._rooting:
            if image not in self._roots:
                registry = self.outer.client.containers.get(f"{self._network_name}-registry")
                holding = registry.attrs["Config"]["Image"]
                self._roots[image] = roots.prepare(self.outer, image, holding, self._progress)
            return self._roots[image]

    def _kind_at(self, place: int) -> tuple[str, EngineChoice]:
        """Return image and engine of the nodes at this place of a cluster."""
        return self.images[place % len(self.images)], self.choices[place % len(self.choices)]

    def _create(self, cluster: int, count: int, *, bare: bool = False) -> list[Node]:
        if not self.images:
            self._prepare_images()
        given = [""] * count if bare else [self._root(*self._kind_at(place)) for place in range(count)]
        octets = self._octets.setdefault(cluster, list(hosts.OCTETS[:count]))
        addresses = {host: f"{self.prefix}.{octet}" for host, octet in zip(host_names(count), octets, strict=True)}
        known = {**addresses, "registry": f"{self.prefix}.{hosts.REGISTRY_OCTET}"}
        nodes = parallel(lambda place: self._create_node(cluster, place, addresses, known, given[place]), range(count))
        if cluster == 0 or self.keys_everywhere:  # claims about the cluster user are of the document's cluster
            provision.share_keys(nodes)
        return nodes

    def _create_node(
        self, cluster: int, place: int, addresses: dict[str, str], known: dict[str, str], root: str
    ) -> Node:
        host = list(addresses)[place]
        image, choice = self._kind_at(place)
        name = f"{self._network_name}-{cluster}-{host}"
        labels = self._labels(
            **{NODE: host, CLUSTER: str(cluster), PLACE: str(place), ENGINE: _label(choice)},
        )
        binds = []
        if self.outer.shares_files:
            sockets = make_folder(run_folder() / "labs" / self.name / f"{cluster}-{host}")
            labels[SOCKET] = str(sockets / "docker.sock")
            binds.append(f"{sockets}:/swarmlab")
        for part in ("docker", "containerd"):
            self.outer.client.volumes.create(f"{name}-{part}", labels=labels)
            binds.append(f"{name}-{part}:/var/lib/{part}")
        if self.outer.has_modules:
            binds.append("/lib/modules:/lib/modules:ro")  # engines load ip_vs and the like by themselves
        if root:
            binds.append(f"{root}:{roots.PLACE}:ro")
        options = node_options(binds, known, self.outer.cgroups)
        container = self._container(name, image, addresses[host], labels, hostname=host, host_config=options)
        container.start()
        container.reload()
        node = DindNode(container, new=True)
        node.wait_up()
        for made in base.on_new_node:
            made(node)
        return node

    def _container(
        self,
        name: str,
        image: str,
        address: str,
        labels: dict[str, str],
        *,
        hostname: str = "registry",
        host_config: dict[str, Any] | None = None,
    ) -> Container:
        """Create a container of the lab and return it, not started yet."""
        config = {
            "Image": image,
            "Hostname": hostname,
            "Labels": self._labels(**labels),
            "HostConfig": host_config or PLAIN,
            "NetworkingConfig": {
                "EndpointsConfig": {self._network_name: {"IPAMConfig": {"IPv4Address": address}}},
            },
        }
        api = self.outer.client.api
        created = api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        self._ids.add(created["Id"])
        return self.outer.client.containers.get(created["Id"])

    def containers(self) -> list[Container]:
        """Return the containers of the lab: nodes of all clusters, and the registry."""
        return self.outer.containers(f"{LABEL}={self.name}")


def _let_go(members: Sequence[Node]) -> None:
    for member in members:
        if isinstance(member, DindNode):
            member.let_go()


def _stopped(state: str, status: str) -> str:
    """Return how a node's container was stopped by somebody else; empty if it runs, or if its engine crashed.

    An engine that is told to end, by its container's engine or by a signal, ends with 0 or by that signal. Any other
    exit code is the engine's own, and its end is judged as the cluster's doing.

    Args:
        state: the container's state.
        status: the same in the engine's words, such as "Exited (137) 5 seconds ago".
    """
    if state in ("running", "created", "restarting"):
        return ""
    code = re.search(r"Exited \((\d+)\)", status)
    if state == "exited" and code and int(code[1]) not in (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL):
        return ""
    return {"exited": f"stopped ({status})"}.get(state, state)


def _copy_files(old: Container, new: Container, folder: str, beginning: str) -> None:
    """Copy the files of *folder* whose names start with *beginning* to a container that is not started yet."""
    chunks, _ = old.get_archive(folder)
    kept = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as source, tarfile.open(fileobj=kept, mode="w") as target:
        for member in source:
            if not beginning or Path(member.name).name.startswith(beginning):
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    new.put_archive(str(Path(folder).parent), kept.getvalue())


def _label(choice: EngineChoice) -> str:
    """Return the value of a node's label `ENGINE`."""
    return json.dumps(asdict(choice))
