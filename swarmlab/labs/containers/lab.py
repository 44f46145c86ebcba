"""The container lab: every node is a container with an engine of its own (Docker-in-Docker).

What a lab consists of is written in the labels of its containers, network and volumes (see `swarmlab.labs.standing`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import sys
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker
import testinfra
from docker.models.containers import Container
from docker.models.networks import Network

from swarmlab import netns
from swarmlab.cluster.node import Node, facts_of, look_for
from swarmlab.cluster.workbench import PORTS
from swarmlab.errors import LabError, SwarmlabError, UsageError
from swarmlab.host import Progress, run_folder
from swarmlab.images import given, recipes, workshop
from swarmlab.images.engines import EngineChoice, engine_choice, known_engines
from swarmlab.images.given import GivenImage
from swarmlab.images.recipes import REGISTRY
from swarmlab.labs import provision
from swarmlab.labs.base import Declared
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.labs.speed import calibrate
from swarmlab.labs.standing import CLUSTER, NODE, PLACE, SOCKET, labs, remove, remove_node, subnets
from swarmlab.needs import Offers
from swarmlab.ownership import LABEL, OWNER, USER, this_process
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Name of the lab that `python -m swarmlab up` makes and `pytest` looks for.
DEFAULT = "swarmlab"

_HOSTS = ["master", "slave01", "slave02", "slave03", "slave04", "slave05", "slave06", "slave07", "slave08", "slave09"]
_LAST_OCTETS = [101, 104, 103, 102, 105, 106, 107, 108, 109, 110]  # the first three are the document's
_MOST_NODES = len(_HOSTS)
_CLUSTERS = 14  # clusters of ten addresses each, from .101 to .240
_REGISTRY_OCTET = 250
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,30}$")
#: What the name of a node's container ends with while another takes its place.
_WAS = "-was"
#: What is a machine's own beside its volumes, and stays when its engine becomes another: the engine's and the user's
#: settings, keys, and names. Of a folder all files, or those whose names begin so.
_KEPT = {"/etc/docker": "", "/etc/ssh": "ssh_host_", "/home": "", "/root": ""}


class DindNode(Node):
    """A container as a node."""

    def __init__(self, container: Container) -> None:
        labels = container.labels
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAMConfig"]["IPv4Address"]
        host = testinfra.get_host(f"docker://{container.name}")
        super().__init__(labels[NODE], address, host, f"unix://{labels[SOCKET]}")
        self.container = container

    def stop(self) -> None:
        self.container.stop(timeout=30)

    def start(self) -> None:
        self.container.start()
        self.wait_up()

    def kill(self) -> None:
        self.container.kill()
        self.container.wait(timeout=30)

    def freeze(self) -> None:
        def halted() -> State:
            try:
                self.container.pause()
            except docker.errors.APIError as refused:
                # Where a process begins meanwhile, cgroup v1 freezes a part only: runc gives up, thaws all, and leaves
                # it to its caller to ask again (opencontainers/runc#2774 and #4388).
                if "unable to freeze" not in str(refused):
                    raise
                return State(False, str(refused.explanation or refused))
            return State(True, "it is halted")

        wait(halted, f"all processes of {self.name} to be halted", deadline=60, error=LabError)

    def thaw(self) -> None:
        self.container.unpause()

    def take(self, folder: str) -> bytes:
        chunks, _ = self.container.get_archive(folder)
        return b"".join(chunks)

    def put(self, folder: str, archive: bytes) -> None:
        if not self.container.put_archive(folder, archive):
            raise LabError(f"{folder} of {self.name} could not be written")

    def become(self, container: Container) -> None:
        """Be another container from now on: the same machine, with another engine."""
        self.container = container
        self.forget()

    def wait_up(self) -> None:
        """Wait until the node's engine answers.

        Raises:
            LabError: it does not in time, or the container ended.
        """

        def answers() -> bool:
            self.container.reload()
            if self.container.status != "running":
                raise LabError(f"node {self.name} ended at once: {self._last_words()}")
            try:
                client = docker.DockerClient(base_url=self._engine_url, version="auto", timeout=5)
            except docker.errors.DockerException:
                return False
            client.close()
            return True

        wait(answers, f"the engine of {self.name} to answer", deadline=60, error=LabError)

    def _last_words(self) -> str:
        # The engine writes to a file of the container, which can be had of a stopped one too.
        try:
            chunks, _ = self.container.get_archive("/var/log/dockerd.log")
        except docker.errors.NotFound:
            words = self.container.logs(tail=3)
        else:
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile("dockerd.log")
                words = member.read() if member else b""
        return " / ".join(words.decode(errors="replace").strip().splitlines()[-3:]) or "no output"

    def _log_command(self) -> str:
        return "tail -n 2000 /var/log/dockerd.log"


def check(name: str, engines: Sequence[str], nodes: int) -> list[EngineChoice]:
    """The engine choices of a lab so described, if it can be.

    Raises:
        UsageError: a name, engine or number of nodes that cannot be.
    """
    if not _NAME.match(name):
        raise UsageError(f"a lab's name is made of a-z, 0-9 and -, at most 31, not {name!r}")
    if not 1 <= nodes <= _MOST_NODES:
        raise UsageError(f"a cluster of the container lab has 1 to {_MOST_NODES} nodes, not {nodes}")
    return [engine_choice(engine) for engine in engines]


class DindLab:
    """A lab of container nodes on an outer engine (see `swarmlab.labs.base.Lab`)."""

    kind = "dind"
    ports = PORTS

    def __init__(
        self,
        outer: OuterEngine,
        *,
        name: str = DEFAULT,
        engines: Sequence[str] = ("",),
        nodes: int = 3,
        owner: str = USER,
        progress: Progress = lambda _: None,
    ) -> None:
        """Describe a lab; nothing is made before `up`.

        Args:
            outer: the engine that holds it.
            name: tells labs on one engine apart.
            engines: engine choices of the nodes in turn (see `images.engines.engine_choice`); "" is the default.
            nodes: size of the default cluster.
            owner: `USER`, or `swarmlab.ownership.this_process` for a lab that is stale when the process is gone.
            progress: called with a line for every step that takes time.

        Raises:
            UsageError: see `check`.
        """
        self.name = name
        self.choices = check(name, engines, nodes)
        self.owner = owner
        self.standing = False
        self.speed = 1.0
        self._given: dict[str, str] = {}
        self._outer = outer
        self._count = nodes
        self._progress = progress
        self._nodes: dict[int, list[Node]] = {}
        self._giving = threading.Lock()
        self._images: list[str] = []
        self._packages: dict[str, str] = {}

    @classmethod
    def attach(cls, outer: OuterEngine, name: str, progress: Progress = lambda _: None) -> DindLab:
        """The lab of this name as it stands, from its labels.

        Raises:
            UsageError: there is none.
        """
        lab = cls(outer, name=name, progress=progress)
        members = [member for member in lab._containers() if NODE in member.labels]
        # What an upgrade that was killed left of a node beside its new container is removed with the lab.
        members = [member for member in members if not str(member.name).endswith(_WAS)]
        if not members:
            known = ", ".join(standing.name for standing in labs(outer)) or "none is up"
            raise UsageError(f"no lab {name!r}; labs: {known}; make one with: python -m swarmlab up")
        lab.owner = members[0].labels[OWNER]
        lab.standing = True
        lab._reach()
        for member in sorted(members, key=lambda member: int(member.labels[PLACE])):
            lab._nodes.setdefault(int(member.labels[CLUSTER]), []).append(DindNode(member))
            if member.labels[CLUSTER] == "0":  # further clusters get the same engines
                lab._images.append(member.attrs["Config"]["Image"])
        lab.choices = [_choice(image) for image in lab._images] or lab.choices
        lab._count = len(lab._nodes.get(0, []))
        return lab

    # The protocol

    def up(self) -> None:
        """Make images where they are missing, then network, registry and the nodes of the default cluster.

        Raises:
            UsageError: a lab of this name stands already.
            LabError: a part of the lab did not come up; what was made is removed.
        """
        if self._containers():
            raise UsageError(f"lab {self.name!r} is up already; use it, or: python -m swarmlab down --name {self.name}")
        self._prepare_images()
        try:
            self._create_network()
            self._reach()
            self._start_registry()
            self._nodes[0] = self._create(0, self._count)
            self._tell_versions()
        except docker.errors.DockerException as failed:
            self.down()
            raise LabError(f"the lab did not come up: {failed}") from failed
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        remove(self._outer, self.name)
        self._nodes.clear()

    def measure(self) -> None:
        with contextlib.suppress(SwarmlabError):  # nodes that are down are judged, not what deadlines are measured by
            self.speed = calibrate(self.nodes())

    @property
    def free(self) -> int:
        return (_CLUSTERS - len(self._nodes)) * _MOST_NODES

    def account(self) -> dict[str, Any]:
        """What the report says of the lab as a whole."""
        return {"speed": round(self.speed, 1)}

    def nodes(self) -> list[Node]:
        if 0 not in self._nodes:
            self._nodes[0] = self._create(0, self._count)
        return self._nodes[0]

    def more(self, count: int) -> list[Node]:
        if count > _MOST_NODES:
            raise LabError(f"a cluster of the container lab has at most {_MOST_NODES} nodes, not {count}")
        with self._giving:
            free = [index for index in range(1, _CLUSTERS) if index not in self._nodes]
            if not free:
                raise LabError(f"the lab holds {_CLUSTERS} clusters already")
            self._nodes[free[0]] = []  # taken, also while its nodes are made
        self._nodes[free[0]] = self._create(free[0], count)
        return self._nodes[free[0]]

    def remove(self, nodes: Sequence[Node]) -> None:
        for index, members in list(self._nodes.items()):
            if any(node is member for node in nodes for member in members):
                # All that were made together, also one that a test has taken out of its cluster.
                parallel(remove_node, [member.container for member in members if isinstance(member, DindNode)])
                del self._nodes[index]

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:  # noqa: ARG002 - it starts anew anyway
        choice = engine_choice(engine)
        cluster, place = self._place(node)
        assert isinstance(node, DindNode)
        [image], self._registry_image = self._workshop().prepare([choice])
        old = node.container
        name, host_config = str(old.name), old.attrs["HostConfig"]
        old.stop(timeout=60)
        # It stays until the new one is up: what a killed run leaves is found by the labels of either.
        old.rename(f"{name}{_WAS}")
        try:
            new = self._container(
                name,
                image,
                node.address,
                old.labels,
                hostname=node.name,
                host_config={key: host_config[key] for key in node_options([], {})},
            )
            for folder, beginning in _KEPT.items():
                _hand_on(old, new, folder, beginning)
            new.start()
            new.reload()
        except docker.errors.DockerException as failed:
            raise LabError(f"{node} was not given engine {choice}: {failed}") from failed
        node.become(new)
        if cluster == 0:
            # Told by place, as the engines of nodes that were made in turn are.
            count = len(self._nodes[0])
            self._images = [self._images[at % len(self._images)] for at in range(count)]
            self.choices = [self.choices[at % len(self.choices)] for at in range(count)]
            self._images[place], self.choices[place] = image, choice
        node.wait_up()
        old.remove()

    def _place(self, node: Node) -> tuple[int, int]:
        """The cluster that a node is of, and its place there."""
        for cluster, members in self._nodes.items():
            for place, member in enumerate(members):
                if member is node:
                    return cluster, place
        raise LabError(f"{node} is no node of lab {self.name}")

    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            self._given |= given.serve(images, self.nodes(), REGISTRY)

    def image(self, name: str) -> str:
        return self._given.get(name.partition(":")[0]) or f"{REGISTRY}/{name}"

    @functools.cached_property
    def offers(self) -> Offers:
        features = {"power", "spare"}
        if len(set(self._images)) > 1:
            features.add("mixed-engines")
        # The first question may come when the default cluster was thrown away, and be of another's node.
        node = next((node for members in self._nodes.values() for node in members), None) or self.nodes()[0]
        return Offers(
            _MOST_NODES,
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()) | frozenset(self._given),
            look_for(node),
            disruptable=True,
        )

    def declared(self, node: str) -> Declared:
        place = _HOSTS.index(node)
        choice = self.choices[place % len(self.choices)]
        image = self._images[place % len(self._images)]
        return Declared.debian(choice, self._package(image, choice), self._prefix)

    def _package(self, image: str, choice: EngineChoice) -> str:
        """The version of the engine's package in a node's image; empty if the image is not of the release asked for."""
        if image not in self._packages:
            # Read from the image, as a node may have been given something else since.
            told = self._outer.client.containers.run(
                image,
                ["-c", ". /etc/os-release; echo $VERSION_CODENAME; dpkg-query -W -f '${Version}' docker.io"],
                entrypoint="sh",
                network_mode="none",
                labels=self._labels(),
                remove=True,
            )
            self._packages[image] = told.decode()
        suite, _, version = self._packages[image].partition("\n")
        return version.strip() if suite == choice.suite else ""

    def facts(self) -> list[dict[str, str]]:
        """What the report says of each node of the default cluster."""
        return [facts_of(node) for node in self.nodes()]

    def shell(self, node: str, command: str) -> list[str]:
        """The command that opens a root shell on a node of the default cluster, or runs *command* there.

        Raises:
            UsageError: there is no such node.
        """
        for member in self.nodes():
            if member.name == node and isinstance(member, DindNode):
                terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-i"]
                words = ["sh", "-c", command] if command else ["bash"]
                return ["docker", "exec", *terminal, str(member.container.name), *words]
        raise UsageError(f"lab {self.name} has no node {node!r}; it has {', '.join(map(str, self.nodes()))}")

    # Making

    def _tell_versions(self) -> None:
        """Say so where a Debian release gives another engine than it did: what was asked for is not what runs."""
        for node, choice in zip(self.nodes(), self.choices, strict=False):
            version = node.ask("GET", "/version")["Version"]
            if version.partition("+")[0] != choice.version:
                self._progress(f"{choice.suite} gives engine {version} by now, not {choice.version}")

    def _prepare_images(self) -> None:
        self._images, self._registry_image = self._workshop().prepare(self.choices)

    def _workshop(self) -> workshop.Workshop:
        return workshop.Workshop(self._outer.client, self._progress, outside=netns.outside())

    def _labels(self, **further: str) -> dict[str, str]:
        # Clusters beside the default one belong to the run that makes them, also in a lab that was brought up by hand.
        further_cluster = further.get(CLUSTER, "0") != "0"
        return {LABEL: self.name, OWNER: this_process() if further_cluster else self.owner, **further}

    def _create_network(self) -> None:
        refused = None
        taken = subnets(self._outer)
        for third in range(56, 72):  # the document's network first; the next where it is taken
            if f"192.168.{third}.0/24" in taken:
                continue
            pool = docker.types.IPAMPool(subnet=f"192.168.{third}.0/24")
            try:
                self._outer.client.networks.create(
                    self._network_name,
                    driver="bridge",
                    ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                    labels=self._labels(),
                )
            except docker.errors.APIError as error:
                refused = error
                continue
            if third != 56:
                self._progress(f"192.168.56.0/24 is taken on this engine; the lab uses 192.168.{third}.0/24")
            return
        why = refused.explanation if refused else "192.168.56.0 to 192.168.71.0 are taken"
        raise LabError(f"no network for the lab: {why}")

    @property
    def _network_name(self) -> str:
        return f"swarmlab-{self.name}"

    @functools.cached_property
    def _network(self) -> Network:
        return self._outer.client.networks.get(self._network_name)

    @functools.cached_property
    def _prefix(self) -> str:
        """The first three octets of the lab's addresses."""
        subnet: str = self._network.attrs["IPAM"]["Config"][0]["Subnet"]
        return subnet.rpartition(".")[0]

    def _reach(self) -> None:
        self._outer.reach(str(self._network.id))

    def _start_registry(self) -> None:
        address = f"{self._prefix}.{_REGISTRY_OCTET}"
        self._container(f"{self._network_name}-registry", self._registry_image, address, {}).start()

    def _create(self, cluster: int, count: int) -> list[Node]:
        if not self._images:
            self._prepare_images()
        addresses = {
            host: f"{self._prefix}.{octet + 10 * cluster}"
            for host, octet in zip(_HOSTS[:count], _LAST_OCTETS, strict=False)
        }
        known = {**addresses, "registry": f"{self._prefix}.{_REGISTRY_OCTET}"}
        nodes = parallel(lambda place: self._create_node(cluster, place, addresses, known), range(count))
        if cluster == 0:  # which is the document's; no other is asked for its user
            provision.share_keys(nodes)
        return nodes

    def _create_node(self, cluster: int, place: int, addresses: dict[str, str], known: dict[str, str]) -> Node:
        host = _HOSTS[place]
        name = f"{self._network_name}-{cluster}-{host}"
        sockets = run_folder() / "labs" / self.name / f"{cluster}-{host}"
        sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        labels = self._labels(
            **{NODE: host, CLUSTER: str(cluster), PLACE: str(place), SOCKET: str(sockets / "docker.sock")}
        )
        binds = [f"{sockets}:/swarmlab"]
        for part in ("docker", "containerd"):
            self._outer.client.volumes.create(f"{name}-{part}", labels=labels)
            binds.append(f"{name}-{part}:/var/lib/{part}")
        if Path("/lib/modules").is_dir():
            binds.append("/lib/modules:/lib/modules:ro")  # engines load ip_vs and the like by themselves
        image = self._images[place % len(self._images)]
        container = self._container(
            name, image, addresses[host], labels, hostname=host, host_config=node_options(binds, known)
        )
        container.start()
        container.reload()
        node = DindNode(container)
        node.wait_up()
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
        """A container of the lab that is not started yet."""
        config = {
            "Image": image,
            "Hostname": hostname,
            "Labels": self._labels(**labels),
            "HostConfig": host_config or {},
            "NetworkingConfig": {
                "EndpointsConfig": {self._network_name: {"IPAMConfig": {"IPv4Address": address}}},
            },
        }
        api = self._outer.client.api
        created = api.create_container_from_config(config, name)  # type: ignore[no-untyped-call]
        return self._outer.client.containers.get(created["Id"])

    def _containers(self) -> list[Container]:
        return self._outer.containers(f"{LABEL}={self.name}")


def _hand_on(old: Container, new: Container, folder: str, beginning: str) -> None:
    """Give a container that is not started yet the files of another's *folder* whose names begin so."""
    chunks, _ = old.get_archive(folder)
    kept = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as had, tarfile.open(fileobj=kept, mode="w") as given:
        for member in had:
            if not beginning or Path(member.name).name.startswith(beginning):
                given.addfile(member, had.extractfile(member) if member.isreg() else None)
    new.put_archive(str(Path(folder).parent), kept.getvalue())


def _choice(image: str) -> EngineChoice:
    """The engine choice that an image of nodes was made for, by its name."""
    suite = image.partition(":")[0].rpartition("-")[2]
    return known_engines().get(suite, EngineChoice(suite, "unknown"))


def node_options(binds: list[str], hosts: dict[str, str]) -> dict[str, Any]:
    """The options of a node's container.

    Narrower than --privileged, and it works where that fails because the machine itself lacks CAP_SYS_RESOURCE.
    """
    return {
        "CapAdd": ["ALL"],
        "CapDrop": ["SYS_RESOURCE"],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": ["a *:* rwm"],
        "Tmpfs": {"/run": "exec,mode=755", "/tmp": "exec,mode=1777"},
        "Binds": binds,
        "ExtraHosts": [f"{name}:{address}" for name, address in hosts.items()],
    }
