"""The Vagrant lab: every node is a virtual machine with a kernel and an init system of its own.

Its one mark on the outer engine is the container of its registry, whose labels describe the lab (see
`swarmlab.labs.standing`). There is one such lab at a time on a host: three machines at the document's addresses, and
for a rehearsal one beside them (see `swarmlab.labs.machines.spare`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import requests
from docker.models.containers import Container
from typing_extensions import override

from swarmlab import netns, signals
from swarmlab.cluster.node import Node, facts_of, look_for, oldest
from swarmlab.cluster.workbench import PORTS
from swarmlab.errors import LabError, NotSetUp, SwarmlabError, UsageError
from swarmlab.host import Progress, drop_folder, make_folder, person
from swarmlab.images import given, recipes, workshop
from swarmlab.images.engines import EngineChoice, engine_choice, held, obtain
from swarmlab.images.given import GivenImage
from swarmlab.images.plain import PLAINLY
from swarmlab.images.recipes import REGISTRY
from swarmlab.labs import base, provision, standing
from swarmlab.labs.base import Declared, Lab
from swarmlab.labs.hosts import NETWORK
from swarmlab.labs.machines import addresses, box, engines, libvirt, spare
from swarmlab.labs.machines.engines import choose
from swarmlab.labs.machines.libvirt import Libvirt
from swarmlab.labs.machines.node import VagrantNode
from swarmlab.labs.machines.places import ALL, MACHINES, NAME, SPARE, WORD, Places, domains, networks
from swarmlab.labs.machines.providers import PROVIDERS, LibvirtProvider, Provider, VirtualBox
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.routes import narrower
from swarmlab.labs.speed import calibrate
from swarmlab.labs.ssh import Ssh, write_config
from swarmlab.labs.standing import KIND, SUBNET, free_networks, keep, labs
from swarmlab.needs import DECLARED, FEATURES, MADE, Offers
from swarmlab.ownership import LABEL, OWNER, PERSON, USER, note_left, this_process
from swarmlab.parallel import parallel
from swarmlab.paths import ROOT, command
from swarmlab.timing import Meter, Program
from swarmlab.wait import State, set_scale, wait

#: Pulled before the snapshot is taken, as an emulated machine takes half a minute to pull one.
_PULLED = ("web:1", "web:2", "client", "idle")
#: Label of the registry's container, as JSON: engines and provider; the engine of the machine beside the cluster, or
#: why there is none; the network to the outside and the address of libvirt, if that is the provider.
_SETTINGS = "swarmlab.settings"


def check(engines: Sequence[str], provider: str) -> None:
    """Check that such a lab is possible, before anything is started for it.

    Raises:
        UsageError: there is no such engine or provider, the provider does not have the engine, or this user lacks the
            rights or the programs to make machines.
    """
    if provider not in PROVIDERS:
        raise UsageError(f"--provider {provider}: no such provider; choose one of {', '.join(PROVIDERS)}")
    choose(engines, provider)
    if provider == "libvirt":
        box.check_rights()
        return
    for program in ("VBoxManage", "vagrant"):
        if not shutil.which(program):
            raise UsageError(f"the provider virtualbox needs {program}; install VirtualBox and Vagrant")


class VagrantLab(Lab):
    """A lab of virtual machines.

    Attributes:
        outer: the engine that holds its registry, and in whose network namespace the machines are.
        choices: the engines of the machines in turn, that of the machine beside the cluster last.
        lacks: why there is no machine beside the cluster although one was asked for; else empty.
        provider_name: one of `PROVIDERS`.
        places: its folders.
    """

    kind = WORD
    ports = PORTS
    name = NAME

    def __init__(
        self,
        outer: OuterEngine,
        *,
        engines: Sequence[str] = ("",),
        provider: str = PROVIDERS[0],
        spare: str | None = None,
        places: Places | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """Describe the lab; nothing is made before `up`.

        Args:
            outer: see above.
            engines: engine choices of the machines in turn; empty is the provider's default.
            provider: one of `PROVIDERS`.
            spare: engine choice of a machine beside the cluster, which only libvirt makes; None for no such machine.
            places: its folders, if not those of this host.
            progress: called with a line for every step that takes time.

        Raises:
            UsageError: there is no such engine (see `check` for the rest).
        """
        super().__init__(progress)
        self.outer = outer
        self._hurtable = True
        self._made = False
        self._cluster_first = choose(engines, provider)
        self._spare_first = choose([] if spare is None or provider != "libvirt" else [spare], provider)
        self.choices = list(self._first)
        self.lacks = ""
        self.provider_name = provider
        self.places = places or Places.of_host()
        self._outside, self._libvirt = "", libvirt.SYSTEM
        self._releases: dict[str, str] = {}
        self._leased = False
        self._dirty = False
        #: Held while engines are noted, and while packages are fetched: the machine beside the cluster is upgraded by
        #: another thread.
        self._noting, self._fetching = threading.Lock(), threading.Lock()

    @classmethod
    def attach(cls, outer: OuterEngine, progress: Progress = lambda _: None) -> VagrantLab:
        """Return the lab as it stands.

        Raises:
            UsageError: no machines are up.
        """
        found = _registry(outer)
        if found is None:
            raise UsageError(f"no machines are up; make some with: {command('swarmlab', 'up', '--lab', WORD)}")
        settings = json.loads(found.labels[_SETTINGS])
        lab = cls(
            outer,
            engines=settings["engines"],
            provider=settings["provider"],
            spare=settings.get("spare"),
            progress=progress,
        )
        lab.lacks = settings.get("lacks", "")
        lab._outside, lab._libvirt = settings.get("outside", ""), settings.get("libvirt", libvirt.SYSTEM)
        lab.standing = lab._made = True
        # For what measures nothing, such as preflight.
        with contextlib.suppress(OSError, ValueError):
            set_scale(float(lab.places.speed.read_text()))
        # A lab that its user brought up is not hurt. One that a run made and lets others judge, as a rehearsal does,
        # may be.
        lab._hurtable = all(known.owner != USER for known in labs(outer) if known.name == NAME)
        outer.enter()
        _ = lab.provider
        if lab.places.engines.exists():
            now = json.loads(lab.places.engines.read_text("utf-8"))
            lab.choices, lab._releases = choose(now["engines"], lab.provider_name), now["releases"]
        parallel(VagrantNode.connect, lab.cluster)
        return lab

    # Up and down

    def up(self) -> None:
        """Make box, images, network, machines and registry; provision the machines and take a snapshot of them.

        Where there is a snapshot of such machines already, they are restored from it.

        Raises:
            UsageError: the machines are up already, or an engine cannot be had.
            LabError: a part of the lab did not come up; what was made is removed.
        """
        if _registry(self.outer):
            down = command("swarmlab", "down", "--name", NAME)
            raise UsageError(f"the machines are up already; use them, or: {down}")
        start = time.monotonic()
        if self._spare_first and (lacks := spare.lacking()):
            self.lacks, self._spare_first = lacks, []
            self.choices = list(self._first)
            self._progress(lacks)
        try:
            subnet = self._choose_networks()  # refuses what is in the way before anything is made
            with self._step("images"):
                if self.provider_name == "libvirt":
                    obtain(self.choices, self._progress)
                    _ = self._boxes  # an engine that no box can hold is refused before anything is made
                maker = workshop.Workshop(self.outer.client, self._progress, outside=netns.outside())
                _, self._registry_image = maker.prepare([])
            self.outer.enter()
            with signals.deferred():  # either the mark of the lab is there and this lab's, or neither
                registry = self._create_registry(subnet)
                note_left(NAME)
                self._made = True
            with self._step("hypervisor and box"):
                provider = self.provider
            if not (provider.is_saved() and self.restored(registry, provider)):
                self._make(registry, provider)
        except (docker.errors.DockerException, subprocess.CalledProcessError) as failed:
            self.down()
            raise LabError(f"the machines did not come up: {failed}") from failed
        except BaseException:
            self.down()
            raise
        self.steps["up, in all"] = round(time.monotonic() - start, 1)

    def restored(self, registry: Container, provider: Provider) -> bool:
        """Restore the machines from the snapshot; return whether it worked. If it did not, the snapshot is removed."""
        try:
            with self._step("restoring", "the machines"):
                provider.restore()
                self.serve_registry(registry)
                self.refresh()
        except LabError as failed:
            self._progress(f"the machines cannot be restored ({failed}); removing the snapshot and making new machines")
            self._disconnect()
            registry.stop()
            provider.remove()
            provider.discard()
            return False
        return True

    def _make(self, registry: Container, provider: Provider) -> None:
        provider.prepare()
        with self._step("booting", f"{len(self.names)} machines; takes minutes where they are emulated"):
            self.vagrant("up")  # the provider libvirt makes them at the same time by itself
        self.serve_registry(registry)
        with self._step("provisioning", "engine, names, keys, images"):
            parallel(VagrantNode.connect, self.machines)
            self._install_engines()
            registered = {"registry": f"{self.prefix}.1"}
            provision.map_names(self.cluster, {**{node.name: node.address for node in self.cluster}, **registered})
            for node in self.beside:
                provision.map_names([node], {node.name: node.address, **registered})
            parallel(VagrantNode.wait_up, self.machines)
            provision.share_keys(self.cluster)
            provision.pull(self.machines, [self.image(name) for name in _PULLED])
        with self._step("saving", "a snapshot of the machines"):
            self._disconnect()
            provider.save()
            self.refresh()

    @override
    def keep(self) -> None:
        keep(self.outer, NAME)
        self.kept = True

    @override
    def down(self) -> None:
        if not self._made:  # else the machines are another's
            return
        with signals.deferred(f"the removal of lab {NAME}"):
            standing.disown(self.outer, NAME)
            self._disconnect()
            remove(self.outer, self._progress, known=self.__dict__.get("provider"))
            standing.remove(self.outer, NAME)
        self._leased = self._dirty = self._made = False

    @override
    def measure(self) -> None:
        with self._step("measuring", "the machines' speed"), contextlib.suppress(SwarmlabError):
            self.speed = calibrate(self.cluster, self._progress)
        self.places.speed.write_text(str(self.speed))
        self._progress(f"speed factor {self.speed:.0f}: deadlines are that many times as long as for containers")

    # Nodes

    @property
    @override
    def free(self) -> int:
        return 0 if self._leased or self.standing else len(MACHINES)

    @override
    def nodes(self) -> list[Node]:
        if self.standing:
            return list(self.cluster)
        return self.more(len(MACHINES))

    @override
    def more(self, count: int, *, bare: bool = False) -> list[Node]:
        if count > self.free:
            raise LabError(f"the lab has {len(MACHINES)} machines, {self.free} of them free; {count} are asked for")
        nodes = self.cluster[:count]
        if self._dirty:
            self._disconnect(self.cluster)
            # A machine that nobody asks for would take processors from those that work.
            self._restore(nodes)
            self._forget_engines(MACHINES)
        self._leased, self._dirty = True, True
        return _given_out(nodes)

    @override
    def spare_node(self) -> Node:
        if not self._spare_first:
            raise LabError(self.lacks or FEATURES["spare"])
        self._set_anew(self.beside)
        [node] = _given_out(self.beside)
        return node

    @override
    def remove(self, nodes: Sequence[Node]) -> None:
        beside = [node for node in nodes if node.name in SPARE]
        for node in beside:  # from now on it would take processors from the others
            if isinstance(node, VagrantNode):
                node.disconnect()
            if self.is_on(node.name):
                self.cut_power(node.name)
        if not beside or len(beside) < len(nodes):
            self._leased = False

    @override
    def wipe(self, node: Node) -> None:
        """Restore the machine beside the cluster, and remove what its engine keeps. See `Lab.wipe`."""
        if node.name not in SPARE:
            raise LabError(f"lab {self.name} sets no machine of its cluster up anew; {node} is one")
        assert isinstance(node, VagrantNode)
        self._set_anew([node])
        node.empty()

    def _set_anew(self, nodes: Sequence[VagrantNode]) -> None:
        """Restore machines beside the cluster, whose machines go on."""
        self._disconnect(nodes)
        self._restore(nodes)
        self._forget_engines([node.name for node in nodes])

    def _restore(self, nodes: Sequence[VagrantNode]) -> None:
        with self._step("restoring", add=True):
            self.provider.restore([node.name for node in nodes])
            self.refresh(nodes)

    def is_on(self, name: str) -> bool:
        """Whether the machine of this host name runs, as far as the hypervisor tells (libvirt only)."""
        return bool(libvirt.pids(domains([name])))

    @override
    def facts(self) -> list[dict[str, str]]:
        return [facts_of(node) for node in self.cluster]

    @override
    def shell(self, node: str, command: str) -> list[str]:
        if node not in self.names:
            raise self.no_node(node, self.names)
        return Ssh(self.places.ssh_config, node).shell(command)

    # Engines

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:
        """Install another engine's packages or archive on a machine. See `Lab.upgrade`.

        A machine beside the cluster can also have the engine again that it began with. It is set up anew with that, and
        given the state and the settings that the newer engine left.
        """
        if self.provider_name != "libvirt":
            raise UsageError(f"machines of the provider {self.provider_name} are given no other engine")
        choice, place = engine_choice(engine), self.names.index(node.name)
        older = choice.numbers < self._choice(place).numbers
        if older and (node.name not in SPARE or choice != self._first_choice(place)):
            raise UsageError(f"{node} has engine {self._choice(place)}; only a restored machine has an older one")
        assert isinstance(node, VagrantNode)
        if older:
            self._give_back(node)
            return
        with self._step("upgrading", add=True):
            with self._fetching:
                obtain([choice], self._progress)
                parcel = engines.parcel(choice, node, self.places.downloads, netns.outside())
            node.stop_engine()
            node.install(parcel)
            if reboot or node.run("test -e /run/reboot-required").ok:
                node.reboot()
            node.start_engine()
        self.note_engine(place, choice, choice.place if parcel.has_release else "")

    def _give_back(self, node: VagrantNode) -> None:
        """Give a machine beside the cluster its first engine again, on what the newer one left."""
        try:
            node.hand_over(lambda: self._set_anew([node]), self.places.handed_over)
        except LabError as failed:
            raise NotSetUp(f"{node} could not be set up anew with what its engine left: {failed}") from failed
        node.start_engine()

    @override
    def restart(self, node: Node, *, reboot: bool = False) -> None:
        assert isinstance(node, VagrantNode)
        node.stop_engine()
        if reboot:
            node.reboot()
        node.start_engine()

    def _install_engines(self) -> None:
        """Install the engines of machines whose box has none."""
        if self.provider_name == "virtualbox":
            provision.install_engine(self.machines, [choice.version for choice in self.choices])
            return

        def install(place: int) -> None:
            choice, node = self._choice(place), self.machines[place]
            if choice.source != "debian":
                node.install(engines.parcel(choice, node, self.places.downloads, netns.outside()))
                node.run("systemctl start docker.service").expect(f"the start of engine {choice} on {node}")

        parallel(install, range(len(self.machines)))

    def _choice(self, place: int) -> EngineChoice:
        """Return the engine of the machine at this place."""
        return self.choices[place % len(self.choices)]

    def _first_choice(self, place: int) -> EngineChoice:
        """Return the engine that the machine at this place has when it is made, or restored."""
        return self._first[place % len(self._first)]

    @property
    def _first(self) -> list[EngineChoice]:
        """The engines of the machines in turn when they are made, or restored."""
        if not self._spare_first:
            return self._cluster_first
        count = len(self._cluster_first)
        return [*(self._cluster_first[place % count] for place in range(len(MACHINES))), *self._spare_first]

    def note_engine(self, place: int, choice: EngineChoice, release: str = "") -> None:
        """Note that the machine at this place has another engine now, until it is restored.

        Args:
            place: its place among the machines.
            choice: its engine.
            release: the Debian release that it has become with that; empty if it is of the same as before.
        """
        with self._noting:
            self.choices = [self._choice(at) for at in range(len(self.names))]
            self.choices[place] = choice
            if release:
                self._releases[self.names[place]] = release
            self._write_engines()

    def _forget_engines(self, restored: Iterable[str]) -> None:
        """Note that the machines of these names have been restored, so that they have their first engines."""
        with self._noting:
            names = frozenset(restored)
            first = [self._first_choice(at) for at in range(len(self.names))]
            now = [first[at] if name in names else self._choice(at) for at, name in enumerate(self.names)]
            self._releases = {name: release for name, release in self._releases.items() if name not in names}
            self.choices = list(self._first) if now == first else now
            if now == first:
                self.places.engines.unlink(missing_ok=True)
            else:
                self._write_engines()

    def _write_engines(self) -> None:
        now = {"engines": [engine.name for engine in self.choices], "releases": self._releases}
        self.places.engines.write_text(json.dumps(now), encoding="utf-8")

    # Images, and what the lab has

    @override
    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            self.given |= given.serve(images, self.cluster, REGISTRY)

    @functools.cached_property
    @override
    def offers(self) -> Offers:
        features = {"power", "reboot", "systemd", "vagrant", "memory", "disk", "registry"} | MADE
        if len({self._choice(place) for place in range(len(MACHINES))}) > 1:
            features.add("mixed-engines")
        if self._spare_first:
            features.add("spare")
        look = look_for(oldest(self.machines) if "mixed-engines" in features else self.machines[0])
        return Offers(
            len(MACHINES),
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()) | frozenset(self.given),
            {**look, "spare": lambda: self.lacks} if self.lacks else look,
            disruptable=self._hurtable,
            declared=frozenset(DECLARED),
        )

    @override
    def declared(self, node: str) -> Declared:
        place = self.names.index(node)
        choice = self._choice(place)
        if self.provider_name == "virtualbox":
            return Declared({"ID": "centos", "VERSION_ID": "7"}, choice.version, self.prefix)
        made = self._boxes[place % len(self._boxes)]
        package = "" if self.places.engines.exists() else made.package
        return Declared.debian(choice, self._releases.get(node, made.recipe.suite), package, self.prefix)

    @override
    def meters(self) -> list[Meter]:
        return [Program(pid) for pid in libvirt.pids(domains())]

    def account(self) -> dict[str, Any]:
        """Return the facts of the lab as a whole, for reports: provider, memory, speed, and seconds of each step."""
        return {**self.provider.facts(), **super().account()}

    # Making

    def vagrant(self, verb: str, **how: Any) -> None:
        """Run one of python-vagrant's verbs on the lab's machines.

        Args:
            verb: a method of `vagrant.Vagrant`.
            how: its arguments.

        Raises:
            LabError: Vagrant failed.
        """
        log = self.places.log
        with log.open("a") as output:
            command = box.vagrant(
                root=str(ROOT),
                env=self.provider.environment,
                out_cm=functools.partial(contextlib.nullcontext, output),
                err_cm=functools.partial(contextlib.nullcontext, output),
            )
            try:
                getattr(command, verb)(**how)
            except subprocess.CalledProcessError as failed:
                last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
                raise LabError(f"vagrant {verb} failed: {' / '.join(last)} (its whole output: {log})") from failed

    def cut_power(self, node: str) -> None:
        """Cut the power of a machine."""
        self.provider.cut_power(node)

    @functools.cached_property
    def provider(self) -> Provider:
        """The provider of the machines. At the first access it is found and its boxes are made."""
        settings = {
            "SWARMLAB_NAME": NAME,
            "SWARMLAB_PREFIX": self.prefix,
            "SWARMLAB_NAT_PREFIX": self._outside,
            "VAGRANT_DOTFILE_PATH": str(self.places.dotfile),
            "SWARMLAB_MEMORY": str(spare.MEMORY),
            "SWARMLAB_SPARE": ",".join(self.names[len(MACHINES) :]),
        }
        self.places.home.mkdir(parents=True, exist_ok=True)
        if self.provider_name == "virtualbox":
            return VirtualBox(settings)
        hypervisor = self._hypervisor
        for needed in dict.fromkeys(self._boxes):
            if self.standing and not needed.made:
                raise LabError(
                    f"box {needed.name} of lab {NAME} is not in {box.home()}: another checkout or SWARMLAB_CACHE made "
                    "the lab; use that, or take the lab down and make it anew"
                )
            needed.prepare(self._progress)
        settings["SWARMLAB_CGROUPS"] = ",".join(map(engines.control_groups, self._first))
        content = [_registry_container(self.outer).attrs["Config"]["Image"]]
        content += [held(choice).sha256 for choice in self._first if choice.source != "debian"]
        return LibvirtProvider(hypervisor, self.names, self._boxes, settings, content, self.places, self._progress)

    @functools.cached_property
    def _hypervisor(self) -> Libvirt:
        """The libvirt that has the machines."""
        return Libvirt.connect(private=self.outer.private, uri=self._libvirt, progress=self._progress)

    @functools.cached_property
    def _boxes(self) -> list[box.Box]:
        """The boxes of the machines in turn (libvirt only)."""
        return [box.Box.of(choice) for choice in self._first]

    @functools.cached_property
    def prefix(self) -> str:
        """The first three octets of the machines' addresses."""
        return _registry_container(self.outer).labels[SUBNET].rpartition(".")[0]

    @property
    def names(self) -> list[str]:
        """The host names of the machines, that of the machine beside the cluster last."""
        return list(ALL if self._spare_first else MACHINES)

    @functools.cached_property
    def machines(self) -> list[VagrantNode]:
        """The machines as nodes, whether they are leased or not; the one beside the cluster is last, and may be off."""
        self._write_ssh_config()
        return [VagrantNode(name, f"{self.prefix}.{ALL[name]}", self.places, self) for name in self.names]

    @property
    def cluster(self) -> list[VagrantNode]:
        """The three machines of the cluster as nodes, whether they are leased or not."""
        return self.machines[: len(MACHINES)]

    @property
    def beside(self) -> list[VagrantNode]:
        """The machine beside the cluster as a node, which may be off; empty if there is none."""
        return self.machines[len(MACHINES) :]

    def _choose_networks(self) -> str:
        """Choose the networks of the lab, and the libvirt of this host; return the address of the cluster's network.

        Raises:
            UsageError: libvirt cannot hold the lab, or has machines, networks or pools of others of its names; or no
                network is free, or allowed by the provider.
        """
        if self.provider_name == "virtualbox":
            known = free_networks(self.outer, VirtualBox.interfaces)
            clusters = addresses.host_only(known, addresses.virtualbox_version())
            outsides = addresses.nats()  # VirtualBox's own NAT serves
        else:
            taken: list[IPv4Network] = []
            if not self.outer.private:  # a private libvirt has nothing of others
                self._libvirt = libvirt.chosen()
                self._hypervisor.refuse_foreign(domains(self.names), networks(), NAME)
                self._hypervisor.remove(domains(), networks(), NAME)  # left without the registry, which marks the lab
                taken = self._hypervisor.ranges()
            clusters = addresses.free(free_networks(self.outer), taken)
            routes = self.outer.routes()
            outsides = [each for each in addresses.nats() if not narrower(IPv4Network(each), routes)]
            outsides = addresses.free(outsides, taken)
        if not clusters or not outsides:
            ranges = "192.168.56.0/24 to 192.168.71.0/24" if not clusters else "192.168.121.0/24 to 192.168.136.0/24"
            raise UsageError(
                f"no network is free for the machines in {ranges}; take down a lab, remove a network of libvirt, or "
                "run with SWARMLAB_PRIVATE=1, which starts a libvirt of the run's own"
            )
        self._outside = outsides[0].rpartition(".")[0]
        subnet = clusters[0].partition("/")[0]
        if not subnet.startswith(f"{NETWORK}."):
            self._progress(f"{NETWORK}.0/24 is taken, or not allowed; the machines use {clusters[0]}")
        return subnet

    def _create_registry(self, subnet: str) -> Container:
        settings: dict[str, Any] = {
            "engines": [each.name for each in self._cluster_first],
            "provider": self.provider_name,
            "spare": self._spare_first[0].name if self._spare_first else None,
            "lacks": self.lacks,
        }
        if self.provider_name == "libvirt":
            settings |= {"outside": self._outside, "libvirt": self._libvirt}
        return self.outer.client.containers.create(
            self._registry_image,
            name=f"swarmlab-{NAME}-registry",
            network_mode="host",
            **PLAINLY,
            environment={"REGISTRY_HTTP_ADDR": f"{subnet.rpartition('.')[0]}.1:5000"},
            labels={
                LABEL: NAME,
                OWNER: this_process(),
                PERSON: person(),
                KIND: self.kind,
                SUBNET: subnet,
                _SETTINGS: json.dumps(settings),
            },
        )

    def serve_registry(self, registry: Container) -> None:
        """Start the registry. The machines' network must exist, as the registry listens on an address of it."""
        registry.start()

        def listens() -> State:
            registry.reload()
            try:
                with requests.Session() as session:
                    session.trust_env = False  # it is on this machine, behind no proxy
                    answered = session.get(f"http://{self.prefix}.1:5000/v2/", timeout=5).ok
            except requests.exceptions.RequestException as failed:
                return State(False, str(failed), hopeless=registry.status == "exited")
            return State(answered)

        wait(listens, "the lab's registry to answer", error=LabError)

    def refresh(self, machines: Sequence[VagrantNode] | None = None) -> None:
        """Reach machines that were restored, set their clocks, and have them ask for their addresses again.

        They would draw the random numbers once more that were drawn after the last restore, and so their engines would
        give objects of two swarms the same ids: each gets new ones. Source: random(4), RNDRESEEDCRNG.

        Vagrant asks the hypervisor for a machine's address. A hypervisor that was started after the snapshot was taken
        knows none of the addresses that were given before.
        """
        machines = self.cluster if machines is None else machines
        parallel(VagrantNode.wait_up, machines)
        renew = "if command -v networkctl; then networkctl renew eth0; fi"
        anew = """perl -e 'open F, ">", "/dev/urandom"; syswrite F, shift; ioctl F, 0x5207, 0' """
        parallel(
            lambda node: node.run(f"date --set @{time.time():.3f}; {anew}{secrets.token_hex(32)}; {renew}"), machines
        )

    def _disconnect(self, machines: Sequence[VagrantNode] | None = None) -> None:
        if self.places.ssh_config.exists():
            parallel(VagrantNode.disconnect, self.machines if machines is None else machines)

    def _write_ssh_config(self) -> None:
        make_folder(self.places.run)
        hosts = {}
        for name in self.names:
            address, port, key = self.provider.reach(name)
            forward = f"{self.places.engine_socket(name)} /var/run/docker.sock"
            hosts[name] = {"HostName": address, "Port": port, "IdentityFile": key, "LocalForward": forward}
        common = {
            "User": "root",
            "IdentitiesOnly": "yes",
            # The machines have new host keys each time, on a network of their own.
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            # What newer ones agree on otherwise takes an emulated machine several times as long.
            "KexAlgorithms": "curve25519-sha256",
            "StreamLocalBindUnlink": "yes",
            "ExitOnForwardFailure": "yes",
            "ConnectTimeout": 60,
            "ServerAliveInterval": 15,
            "ServerAliveCountMax": 8,
            "ControlMaster": "auto",
            "ControlPath": f"{self.places.run}/%n.ssh",
        }
        write_config(self.places.ssh_config, hosts, common)


def _given_out(nodes: Sequence[VagrantNode]) -> list[Node]:
    """Return nodes that the lab hands out, after `base.on_new_node`."""
    for node in nodes:
        for given_out in base.on_new_node:
            given_out(node)
    return list(nodes)


def remove(outer: OuterEngine, progress: Progress, *, known: Provider | None = None) -> None:
    """Remove the machines, also those of a run that was killed, and then the registry, which marks the lab.

    Args:
        outer: the engine that holds the registry.
        progress: called with a line for every step that takes time.
        known: the machines' provider, where the caller has it.

    Raises:
        LabError: the host's libvirt or VirtualBox does not remove them.
    """
    places = Places.of_host()
    found = _registry(outer)
    settings = json.loads(found.labels[_SETTINGS]) if found else {}
    end_vagrant(places)
    try:
        if known:
            known.remove()
        elif settings.get("provider") == "virtualbox":
            VirtualBox({"SWARMLAB_NAME": NAME, "VAGRANT_DOTFILE_PATH": str(places.dotfile)}).remove()
        elif shutil.which("virsh"):
            uri = settings.get("libvirt", libvirt.SYSTEM)
            hypervisor = Libvirt.connect(private=outer.private, uri=uri, progress=progress)
            hypervisor.remove(domains(), networks(), NAME)
    except (LabError, subprocess.CalledProcessError) as failed:
        if not outer.private:
            raise LabError(f"the machines could not be removed: {failed}") from failed
    if outer.private:  # what the private libvirt could not remove goes with it
        libvirt.stop_private()
    if places.ssh_config.exists():
        for name in ALL:
            Ssh(places.ssh_config, name).close()
    shutil.rmtree(places.run, ignore_errors=True)
    drop_folder(places.run.parent)
    for folder in (places.pool, places.dotfile, places.downloads, box.home() / "data" / "machine-index"):
        shutil.rmtree(folder, ignore_errors=True)
    if found:
        found.remove(force=True, v=True)


def end_vagrant(places: Places) -> None:
    """End the processes of Vagrant that a killed run left, as they would go on making machines."""
    mark = f"VAGRANT_DOTFILE_PATH={places.dotfile}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if mark in (process / "environ").read_bytes().split(b"\0") and process.name != str(os.getpid()):
                os.kill(int(process.name), signal.SIGKILL)


def _registry(outer: OuterEngine) -> Container | None:
    if NAME not in [lab.name for lab in labs(outer)]:
        return None
    return _registry_container(outer)


def _registry_container(outer: OuterEngine) -> Container:
    (found,) = outer.containers(f"{LABEL}={NAME}")
    return found
