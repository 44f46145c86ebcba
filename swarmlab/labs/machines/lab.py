"""The Vagrant lab: every node is a virtual machine with a kernel and an init system of its own.

Its one mark on the outer engine is the container of its registry, in whose labels it is written whose lab it is (see
`swarmlab.labs.standing`). There is one such lab at a time on a host: the document's three machines, at its addresses.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import docker
import requests
import testinfra
from docker.models.containers import Container

from swarmlab import netns
from swarmlab.cluster.node import Node, facts_of, look_for
from swarmlab.cluster.workbench import PORTS
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress, machines_folder, run_folder
from swarmlab.images import given, recipes, workshop
from swarmlab.images.engines import EngineChoice, engine_choice
from swarmlab.images.given import GivenImage
from swarmlab.images.recipes import REGISTRY
from swarmlab.labs import provision
from swarmlab.labs.base import Declared
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.labs.machines import box, libvirt, packages
from swarmlab.labs.machines.libvirt import Libvirt
from swarmlab.labs.speed import calibrate
from swarmlab.labs.standing import KIND, SUBNET, labs, subnets
from swarmlab.needs import Offers
from swarmlab.ownership import LABEL, OWNER, USER
from swarmlab.parallel import parallel
from swarmlab.paths import IMAGES, ROOT
from swarmlab.wait import State, wait

#: The name of the lab: there is one on a host.
NAME = "machines"
PROVIDERS = ("libvirt", "virtualbox")

_EMULATOR = IMAGES / "emulator"
_OCTETS = {"master": 101, "slave01": 104, "slave02": 103}
#: How many machines the lab has.
NODES = len(_OCTETS)
#: The network on which libvirt's machines reach the outside and are reached from this host; swarms take 10.0.0.0/8.
_NAT = "192.168.121"
_MEMORY = 1536  # MiB a machine: an engine, its tasks and a database fit
#: Pulled before the snapshot is taken, so that every test finds them where an emulated machine takes half a minute.
_PULLED = ("web:1", "web:2", "client", "idle")


class VagrantNode(Node):
    """A virtual machine as a node."""

    def __init__(self, name: str, address: str, lab: VagrantLab) -> None:
        host = testinfra.get_host(f"ssh://{name}?ssh_config={_ssh_config()}&controlpersist=0&timeout=60")
        super().__init__(name, address, host, f"unix://{_engine_socket(name)}")
        self._lab = lab

    def stop(self) -> None:
        self.disconnect()
        self._lab.vagrant("halt", vm_name=self.name)

    def start(self) -> None:
        self._lab.vagrant("up", vm_name=self.name, provision=False)
        self.wait_up()

    def kill(self) -> None:
        self._lab.cut_power(self.name)
        self.disconnect()

    def freeze(self) -> None:
        self._lab.vagrant("suspend", vm_name=self.name)

    def thaw(self) -> None:
        self._lab.vagrant("resume", vm_name=self.name)

    def reboot(self) -> None:
        """Restart the machine's operating system, and wait until it has booted; its engine need not answer yet."""
        before = self._boot_id()
        self.run("systemctl reboot")
        self.disconnect()

        def again() -> State:
            with contextlib.suppress(LabError):
                self.connect()
                if self._boot_id() != before:
                    booted = self.run("systemctl is-system-running").out.strip()
                    return State(booted in ("running", "degraded"), f"booted, and {booted}")
                self.disconnect()
            return State(False, "not booted again")

        wait(again, f"{self.name} to boot again", deadline=60, every=1, error=LabError)

    def _boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id").out.strip()

    def wait_up(self) -> None:
        """Wait until the machine can be reached and its engine answers.

        Raises:
            LabError: it does not in time.
        """

        def answers() -> State:
            try:
                self.connect()
                self.engine.ping()
            except (LabError, docker.errors.DockerException, requests.exceptions.RequestException) as failed:
                self.disconnect()
                return State(False, str(failed))
            return State(True)

        wait(answers, f"the engine of {self.name} to answer", deadline=60, error=LabError)

    def connect(self) -> None:
        """Open the connection over which the machine's shell and its engine's socket are reached, if it is not open.

        Raises:
            LabError: the machine cannot be reached.
        """
        if self._ssh("-O", "check").returncode == 0:
            return
        done = self._ssh("-f", "-N", "-M")
        if done.returncode != 0:
            raise LabError(f"{self.name} cannot be reached over SSH: {done.stderr.strip()}")

    def disconnect(self) -> None:
        """Close that connection; what is asked next opens another."""
        self._ssh("-O", "exit")
        self.__dict__.pop("engine", None)  # its pooled connections went through the one that is closed

    def _ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", "-F", str(_ssh_config()), *words, self.name],
            check=False,
            capture_output=True,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the run, which needs the connection to clean up
        )

    def install(self, folder: Path) -> None:
        """Have the machine's package manager install the packages that are in *folder* here.

        Raises:
            LabError: it does not.
        """
        there = "/var/tmp/swarmlab-packages"
        unpack = ["ssh", "-F", str(_ssh_config()), self.name, f"mkdir -p {there} && tar -C {there} -xf -"]
        with subprocess.Popen(["tar", "-C", str(folder), "-cf", "-", "."], stdout=subprocess.PIPE) as packing:
            sent = subprocess.run(unpack, check=False, stdin=packing.stdout, capture_output=True, text=True)
        if sent.returncode != 0:
            raise LabError(f"packages could not be sent to {self.name}: {sent.stderr.strip()}")
        done = self.run(packages.install_command(there))
        self.run(f"rm -rf {there}")
        if not done.ok:
            raise LabError(f"the package manager of {self.name} did not install what it was given: {done.said[-300:]}")

    def _log_command(self) -> str:
        return "journalctl --no-pager --unit docker --lines 2000"


class Provider(Protocol):
    """What makes machines, and keeps them as they were once provisioned."""

    #: Vagrant's environment, by which the Vagrantfile's settings are given too.
    environment: dict[str, str]

    def reach(self, name: str) -> tuple[str, int, Path]:
        """Where a machine's sshd answers, on its interface to the outside and not the cluster's, and the key for it."""

    def prepare(self) -> None:
        """Make what Vagrant needs before it makes machines."""

    def is_saved(self) -> bool:
        """Whether there is a snapshot that these very machines can be restored from."""

    def save(self) -> None:
        """Take a snapshot of the running machines, which run on or are off afterwards."""

    def discard(self) -> None:
        """Throw the snapshot away."""

    def restore(self) -> None:
        """Let the machines run on from the snapshot, whatever became of them; none need exist."""

    def cut_power(self, name: str) -> None:
        """Take the power from a machine."""

    def facts(self) -> dict[str, Any]:
        """What the report says of it."""

    def remove(self) -> None:
        """Remove the machines and all that was made for them but the snapshot."""


class VirtualBox:
    """The reference: CentOS 7 as the document has it. Its snapshot goes with the machines."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.environment = {**os.environ, **settings, "VAGRANT_DEFAULT_PROVIDER": "virtualbox"}
        self._vagrant = box.vagrant(root=str(ROOT), env=self.environment)

    def reach(self, name: str) -> tuple[str, int, Path]:
        told = self._vagrant.conf(vm_name=name)
        return told["HostName"], int(told["Port"]), Path(told["IdentityFile"].strip('"'))

    def prepare(self) -> None:
        """Nothing: VirtualBox makes its networks with the machines."""

    def is_saved(self) -> bool:
        return False

    def save(self) -> None:
        self._vagrant.snapshot_save("provisioned")

    def discard(self) -> None:
        """Nothing: there is no snapshot without its machines."""

    def restore(self) -> None:
        self._vagrant.snapshot_restore("provisioned")

    def cut_power(self, name: str) -> None:
        self._vagrant.halt(vm_name=name, force=True)

    def facts(self) -> dict[str, Any]:
        return {"provider": "virtualbox"}

    def remove(self) -> None:
        self._vagrant.destroy()


class LibvirtProvider:
    """Debian on KVM or QEMU. Its snapshot stays in the cache, so that a repeated lab need not boot."""

    def __init__(
        self, hypervisor: Libvirt, boxes: Sequence[box.Box], settings: dict[str, str], content: str, progress: Progress
    ) -> None:
        self._hypervisor = hypervisor
        self._keys = {name: boxes[place % len(boxes)].folder / "key" for place, name in enumerate(_OCTETS)}
        self._driver = libvirt.accelerator(boxes[0].folder / "vmlinuz", boxes[0].folder / "initrd", progress)
        words = {"kvm": "KVM", "qemu": "QEMU's emulation, as KVM does not run a kernel here"}
        progress(f"machines run on {words[self._driver]}")
        self.environment = {
            **box.environment(),
            **settings,
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "LIBVIRT_DEFAULT_URI": hypervisor.uri,
            "SWARMLAB_BOXES": ",".join(one.name for one in boxes),
            "SWARMLAB_DRIVER": self._driver,
        }
        if self._driver == "qemu" and hypervisor.private:  # another's libvirt may not let a program of ours be started
            # Where it stays, as the snapshot refers to it.
            self.environment["SWARMLAB_EMULATOR"] = str(shutil.copy(_EMULATOR, _home() / "emulator"))
        told = [content, hypervisor.virsh("version"), self._driver, *settings.values(), *(one.name for one in boxes)]
        told += [file.read_text() for file in (ROOT / "Vagrantfile", _EMULATOR, Path(provision.__file__))]
        self._saved = _home() / f"saved-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"

    def reach(self, name: str) -> tuple[str, int, Path]:
        return f"{_NAT}.{_OCTETS[name]}", 22, self._keys[name]

    def prepare(self) -> None:
        self._hypervisor.create_pool(NAME, _pool())
        cards = {f"52:54:00:00:38:{octet:02x}": f"{_NAT}.{octet}" for octet in _OCTETS.values()}
        self._hypervisor.create_nat(f"{NAME}-nat", _NAT, cards)

    def is_saved(self) -> bool:
        return self._saved.exists()

    def save(self) -> None:
        for older in _home().glob("saved-*"):
            shutil.rmtree(older)
        made = self._saved.with_name("saving")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        self._hypervisor.save(_domains(), _networks(), _pool(), made)
        shutil.copytree(_dotfile(), made / "dot")
        made.rename(self._saved)
        self.restore()

    def discard(self) -> None:
        shutil.rmtree(self._saved)

    def restore(self) -> None:
        self._hypervisor.create_pool(NAME, _pool())
        if not _dotfile().exists():
            shutil.copytree(self._saved / "dot", _dotfile())
        self._hypervisor.restore(_domains(), _networks(), _pool(), self._saved)

    def cut_power(self, name: str) -> None:
        # Not Vagrant's halt with --force, which takes seconds, and gave up where a machine was slow.
        self._hypervisor.virsh("destroy", f"{NAME}-{name}")

    def facts(self) -> dict[str, Any]:
        memory = self._hypervisor.memory(_domains())
        return {"provider": "libvirt", "driver": self._driver, "memory_mib": memory}

    def remove(self) -> None:
        self._hypervisor.remove(_domains(), _networks(), NAME)
        shutil.rmtree(_pool(), ignore_errors=True)
        shutil.rmtree(_dotfile(), ignore_errors=True)
        shutil.rmtree(box.home() / "data" / "machine-index", ignore_errors=True)


def check(engines: Sequence[str], provider: str) -> None:
    """Whether a lab so described can be, before anything is started for it.

    Raises:
        UsageError: an engine or provider that cannot be, or the two together; no rights or programs to make them with.
    """
    if provider not in PROVIDERS:
        raise UsageError(f"no provider {provider!r}; choose one of {', '.join(PROVIDERS)}")
    if provider == "virtualbox" and any(engines):
        raise UsageError("the provider virtualbox has Docker 18.03.1 and no other engine; leave --engine out")
    for engine in engines:
        engine_choice(engine)
    if provider == "libvirt":
        box.check_rights()
        return
    for program in ("VBoxManage", "vagrant"):
        if not shutil.which(program):
            raise UsageError(f"the provider virtualbox needs {program}; install VirtualBox and Vagrant")


class VagrantLab:
    """A lab of virtual machines (see `swarmlab.labs.base.Lab`)."""

    kind = "vagrant"
    ports = PORTS
    name = NAME
    speed = 1.0

    def __init__(
        self,
        outer: OuterEngine,
        *,
        engines: Sequence[str] = ("",),
        provider: str = PROVIDERS[0],
        owner: str = USER,
        progress: Progress = lambda _: None,
    ) -> None:
        """Describe the lab; nothing is made before `up`.

        Args:
            outer: the engine that holds the lab's registry, and in whose network namespace the machines are.
            engines: engine choices of the machines in turn (libvirt only); "" is the default.
            provider: one of `PROVIDERS`.
            owner: as in `swarmlab.labs.containers.lab.DindLab`.
            progress: called with a line for every step that takes time.

        Raises:
            UsageError: an engine that cannot be (see `check` for the rest).
        """
        self.choices = [engine_choice(engine) for engine in engines]
        self._engines = list(engines)
        self.owner = owner
        self.standing = False
        self.steps: dict[str, float] = {}
        self._given: dict[str, str] = {}
        self._outer = outer
        self._provider_name = provider
        self._progress = progress
        self._leased = False
        self._dirty = False

    @classmethod
    def attach(cls, outer: OuterEngine, progress: Progress = lambda _: None) -> VagrantLab:
        """The lab as it stands.

        Raises:
            UsageError: there is none.
        """
        found = _registry(outer)
        if found is None:
            raise UsageError("no machines are up; make some with: python -m swarmlab up --lab vagrant")
        told = json.loads(found.labels[_SETTINGS])
        lab = cls(
            outer, engines=told["engines"], provider=told["provider"], owner=found.labels[OWNER], progress=progress
        )
        lab.standing = True
        outer.enter()
        _ = lab._provider
        if _upgraded().exists():
            lab.choices = [engine_choice(suite) for suite in json.loads(_upgraded().read_text("utf-8"))]
        parallel(VagrantNode.connect, lab._machines)
        return lab

    # The protocol

    def up(self) -> None:
        """Make box and images where they are missing, then network, machines and registry; provision, and save it all.

        Raises:
            UsageError: the machines are up already.
            LabError: a part of the lab did not come up; what was made is removed.
        """
        if _registry(self._outer):
            raise UsageError("the machines are up already; use them, or: python -m swarmlab down --name machines")
        start = time.monotonic()
        try:
            with self._step("images"):
                maker = workshop.Workshop(self._outer.client, self._progress, outside=netns.outside())
                _, self._registry_image = maker.prepare([])
            self._outer.enter()
            registry = self._create_registry()
            with self._step("hypervisor and box"):
                provider = self._provider
            if not (provider.is_saved() and self._restored(registry, provider)):
                self._make(registry, provider)
        except (docker.errors.DockerException, subprocess.CalledProcessError) as failed:
            self.down()
            raise LabError(f"the machines did not come up: {failed}") from failed
        except BaseException:
            self.down()
            raise
        self.steps["up, in all"] = round(time.monotonic() - start, 1)

    def _restored(self, registry: Container, provider: Provider) -> bool:
        try:
            with self._step("restoring", "the machines"):
                provider.restore()
                self._serve(registry)
                self._after_restore()
        except LabError as failed:
            self._progress(f"the snapshot is of no use, and is thrown away ({failed}); making the machines anew")
            self._disconnect()
            registry.stop()
            provider.remove()
            provider.discard()
            return False
        return True

    def _make(self, registry: Container, provider: Provider) -> None:
        provider.prepare()
        with self._step("booting", "three machines; takes minutes where they are emulated"):
            self.vagrant("up")  # at once, as the provider libvirt does by itself
        self._serve(registry)
        with self._step("provisioning", "engine, names, keys, images"):
            parallel(VagrantNode.connect, self._machines)
            provision.install_engine(self._machines)
            known = {node.name: node.address for node in self._machines}
            provision.map_names(self._machines, {**known, "registry": f"{self._prefix}.1"})
            parallel(VagrantNode.wait_up, self._machines)
            provision.share_keys(self._machines)
            provision.pull(self._machines, [self.image(name) for name in _PULLED])
        with self._step("saving", "the machines as they are"):
            self._disconnect()
            provider.save()
            self._after_restore()

    def down(self) -> None:
        self._disconnect()
        remove(self._outer, self._progress, known=self.__dict__.get("_provider"))
        self._leased = self._dirty = False

    def measure(self) -> None:
        with self._step("measuring", "the machines' speed"):
            self.speed = calibrate(self._machines)
        self._progress(f"deadlines are {self.speed:.0f} times as long as for containers, by these machines' speed")

    @property
    def free(self) -> int:
        return 0 if self._leased or self.standing else len(_OCTETS)

    def nodes(self) -> list[Node]:
        if self.standing:
            return list(self._machines)
        return self.more(len(_OCTETS))

    def more(self, count: int) -> list[Node]:
        if count > self.free:
            raise LabError(f"the lab has {len(_OCTETS)} machines, {self.free} of them free; {count} are asked for")
        if self._dirty:
            with self._step("restoring", add=True):
                self._disconnect()
                self._provider.restore()
                self._after_restore()
            self.choices = [engine_choice(engine) for engine in self._engines]
            _upgraded().unlink(missing_ok=True)
        self._leased, self._dirty = True, True
        return list(self._machines[:count])

    def remove(self, nodes: Sequence[Node]) -> None:  # noqa: ARG002 - one cluster at a time, so these are all
        self._leased = False

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:
        if self._provider_name != "libvirt":
            raise UsageError(f"machines of the provider {self._provider_name} are given no other engine")
        choice, place = engine_choice(engine), list(_OCTETS).index(node.name)
        if choice.numbers < self._choice(place).numbers:
            raise UsageError(f"{node} has engine {self._choice(place)}, and machines go back by their snapshot alone")
        assert isinstance(node, VagrantNode)
        with self._step("upgrading", add=True):
            told = node.run("cat /var/lib/dpkg/status")
            if not told.ok:
                raise LabError(f"{node} does not tell which packages it has: {told.said}")
            found = packages.fetch(choice, told.out, _downloads(), netns.outside())
            node.run("systemctl stop docker.socket docker.service")
            if any(found.glob("*.deb")):
                node.install(found)
            node.forget()
            if reboot or node.run("test -e /run/reboot-required").ok:
                node.reboot()
            node.run("systemctl start docker.service")
            node.wait_up()
        self._note_engine(place, choice)

    def _choice(self, place: int) -> EngineChoice:
        """The engine of the machine at this place."""
        return self.choices[place % len(self.choices)]

    def _note_engine(self, place: int, choice: EngineChoice) -> None:
        self.choices = [self._choice(at) for at in range(NODES)]
        self.choices[place] = choice
        _upgraded().write_text(json.dumps([one.suite for one in self.choices]), encoding="utf-8")

    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            self._given |= given.serve(images, self._machines, REGISTRY)

    def image(self, name: str) -> str:
        return self._given.get(name.partition(":")[0]) or f"{REGISTRY}/{name}"

    @functools.cached_property
    def offers(self) -> Offers:
        features = {"power", "reboot", "systemd", "vagrant", "memory", "disk"}
        if len(set(self.choices)) > 1:
            features.add("mixed-engines")
        return Offers(
            len(_OCTETS),
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()) | frozenset(self._given),
            look_for(self._machines[0]),
            # What its user brought up is not hurt; what a run made and lets another judge, as rehearsals do, may be.
            disruptable=not self.standing or self.owner != USER,
        )

    def declared(self, node: str) -> Declared:
        if self._provider_name == "virtualbox":
            return Declared({"ID": "centos", "VERSION_ID": "7"}, "18.03.1-ce", self._prefix)
        choice = self._choice(list(_OCTETS).index(node))
        package = "" if _upgraded().exists() else box.Box(choice).package
        return Declared.debian(choice, package, self._prefix)

    def facts(self) -> list[dict[str, str]]:
        return [facts_of(node) for node in self._machines]

    def account(self) -> dict[str, Any]:
        """What the report says of the lab as a whole: provider, speed, memory, and seconds of each step."""
        return {**self._provider.facts(), "speed": round(self.speed, 1), "seconds": dict(self.steps)}

    def shell(self, node: str, command: str) -> list[str]:
        """The command that opens a root shell on a machine, or runs *command* there.

        Raises:
            UsageError: there is no such machine.
        """
        if node not in _OCTETS:
            raise UsageError(f"lab {self.name} has no node {node!r}; it has {', '.join(_OCTETS)}")
        return ["ssh", "-F", str(_ssh_config()), *([node, command] if command else ["-t", node])]

    # Making

    def vagrant(self, verb: str, **how: Any) -> None:
        """Run one of python-vagrant's verbs on the lab's machines.

        Raises:
            LabError: Vagrant failed.
        """
        log = _home() / "vagrant.log"
        with log.open("a") as said:
            command = box.vagrant(
                root=str(ROOT),
                env=self._provider.environment,
                out_cm=functools.partial(contextlib.nullcontext, said),
                err_cm=functools.partial(contextlib.nullcontext, said),
            )
            try:
                getattr(command, verb)(**how)
            except subprocess.CalledProcessError as failed:
                last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
                raise LabError(f"vagrant {verb} failed: {' / '.join(last)} (all of it: {log})") from failed

    def cut_power(self, node: str) -> None:
        """Take the power from a machine."""
        self._provider.cut_power(node)

    @functools.cached_property
    def _provider(self) -> Provider:
        settings = {
            "SWARMLAB_NAME": NAME,
            "SWARMLAB_PREFIX": self._prefix,
            "SWARMLAB_NAT_PREFIX": _NAT,
            "VAGRANT_DOTFILE_PATH": str(_dotfile()),
            "SWARMLAB_MEMORY": str(_MEMORY),
        }
        _home().mkdir(parents=True, exist_ok=True)
        if self._provider_name == "virtualbox":
            return VirtualBox(settings)
        hypervisor = Libvirt.connect(private=self._outer.private, progress=self._progress)
        boxes = [box.Box(choice) for choice in self.choices]
        for one in boxes:
            one.prepare(self._progress)
        content = _registry_container(self._outer).attrs["Config"]["Image"]
        return LibvirtProvider(hypervisor, boxes, settings, content, self._progress)

    @functools.cached_property
    def _prefix(self) -> str:
        """The first three octets of the machines' addresses."""
        return _registry_container(self._outer).labels[SUBNET].rpartition(".")[0]

    @functools.cached_property
    def _machines(self) -> list[VagrantNode]:
        self._write_ssh_config()
        return [VagrantNode(name, f"{self._prefix}.{octet}", self) for name, octet in _OCTETS.items()]

    def _create_registry(self) -> Container:
        taken = subnets(self._outer)
        free = [f"192.168.{third}.0" for third in range(56, 72) if f"192.168.{third}.0/24" not in taken]
        if not free:
            raise LabError("no network is free for the machines in 192.168.56.0 to 192.168.71.0")
        if free[0] != "192.168.56.0":
            self._progress(f"192.168.56.0/24 is taken by another lab; the machines use {free[0]}/24")
        return self._outer.client.containers.create(
            self._registry_image,
            name=f"swarmlab-{NAME}-registry",
            network_mode="host",
            environment={"REGISTRY_HTTP_ADDR": f"{free[0].rpartition('.')[0]}.1:5000"},
            labels={
                LABEL: NAME,
                OWNER: self.owner,
                KIND: self.kind,
                SUBNET: free[0],
                _SETTINGS: json.dumps({"engines": self._engines, "provider": self._provider_name}),
            },
        )

    def _serve(self, registry: Container) -> None:
        """Start the registry, once the address that it listens on is there."""
        registry.start()

        def listens() -> State:
            registry.reload()
            try:
                answered = requests.get(f"http://{self._prefix}.1:5000/v2/", timeout=5).ok
            except requests.exceptions.RequestException as failed:
                return State(False, str(failed), hopeless=registry.status == "exited")
            return State(answered)

        wait(listens, "the lab's registry to answer", error=LabError)

    def _after_restore(self) -> None:
        """Reach the machines anew, tell them what time it is by now, and have them ask for their addresses again.

        A hypervisor that was started since they were saved knows of no address that it gave, and Vagrant asks it.
        """
        parallel(VagrantNode.wait_up, self._machines)
        renew = "if command -v networkctl; then networkctl renew eth0; fi"
        parallel(lambda node: node.run(f"date --set @{time.time():.3f}; {renew}"), self._machines)

    def _disconnect(self) -> None:
        if _ssh_config().exists():
            parallel(VagrantNode.disconnect, self._machines)

    def _write_ssh_config(self) -> None:
        folder = _ssh_config().parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = []
        for name in _OCTETS:
            host, port, key = self._provider.reach(name)
            lines += [f"Host {name}", f"  HostName {host}", f"  Port {port}", f"  IdentityFile {key}"]
            lines += [f"  LocalForward {_engine_socket(name)} /var/run/docker.sock"]
        lines += ["Host *", "  User root", "  IdentitiesOnly yes"]
        # The machines are new each time, in a network of their own.
        lines += ["  StrictHostKeyChecking no", "  UserKnownHostsFile /dev/null", "  LogLevel ERROR"]
        lines += ["  StreamLocalBindUnlink yes", "  ExitOnForwardFailure yes", "  ConnectTimeout 60"]
        lines += ["  ServerAliveInterval 15", "  ServerAliveCountMax 8"]
        lines += ["  ControlMaster auto", f"  ControlPath {folder}/%n.ssh"]
        _ssh_config().write_text("\n".join(lines) + "\n")

    @contextlib.contextmanager
    def _step(self, name: str, what: str = "", *, add: bool = False) -> Iterator[None]:
        """Say that a step begins and how long it took, and note that for the report; *add* up steps that recur."""
        if not add:
            self._progress(f"{name} {what}".strip())
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        if not add:
            self._progress(f"{name} took {seconds:.0f} s")
        self.steps[name] = round(seconds + (self.steps.get(name, 0) if add else 0), 1)


_SETTINGS = "swarmlab.settings"


def remove(outer: OuterEngine, progress: Progress, *, known: Provider | None = None) -> None:
    """Remove the machines, also those of a run that was killed, and then the registry, which is the lab's mark.

    Args:
        outer: the engine that holds the registry.
        progress: called with a line for every step that takes time.
        known: the machines' provider, if it is at hand.
    """
    found = _registry(outer)
    _end_vagrant()
    try:
        if known:
            known.remove()
        elif found and json.loads(found.labels[_SETTINGS])["provider"] == "virtualbox":
            VirtualBox({"SWARMLAB_NAME": NAME, "VAGRANT_DOTFILE_PATH": str(_dotfile())}).remove()
        elif shutil.which("virsh"):
            hypervisor = Libvirt.connect(private=outer.private, progress=progress)
            hypervisor.remove(_domains(), _networks(), NAME)
    except (LabError, subprocess.CalledProcessError) as failed:
        if not outer.private:
            raise LabError(f"the machines could not be removed: {failed}") from failed
    if outer.private:  # what it could not remove itself is swept away with it
        libvirt.stop_private()
    for name in _OCTETS:
        _end_connection(name)
    shutil.rmtree(run_folder() / NAME, ignore_errors=True)
    for folder in (_pool(), _dotfile(), _downloads(), box.home() / "data" / "machine-index"):
        shutil.rmtree(folder, ignore_errors=True)
    if found:
        found.remove(force=True, v=True)


def _end_vagrant() -> None:
    """End Vagrant where a run that was killed left it at work: it would go on making machines."""
    mark = f"VAGRANT_DOTFILE_PATH={_dotfile()}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if mark in (process / "environ").read_bytes().split(b"\0") and process.name != str(os.getpid()):
                os.kill(int(process.name), signal.SIGKILL)


def _end_connection(name: str) -> None:
    if _ssh_config().exists():
        subprocess.run(["ssh", "-F", str(_ssh_config()), "-O", "exit", name], check=False, capture_output=True)


def _registry(outer: OuterEngine) -> Container | None:
    if NAME not in [lab.name for lab in labs(outer)]:
        return None
    return _registry_container(outer)


def _registry_container(outer: OuterEngine) -> Container:
    (found,) = outer.containers(f"{LABEL}={NAME}")
    return found


def _domains() -> list[str]:
    return [f"{NAME}-{name}" for name in _OCTETS]


def _networks() -> list[str]:
    return [f"{NAME}-nat", f"{NAME}-cluster"]


def _home() -> Path:
    return machines_folder() / NAME


def _pool() -> Path:
    return _home() / "pool"


def _dotfile() -> Path:
    return _home() / "dot"


def _downloads() -> Path:
    return _home() / "packages"


def _upgraded() -> Path:
    """Where it is written which engines the machines have, once one was given another than its box has."""
    return run_folder() / NAME / "engines.json"


def _ssh_config() -> Path:
    return run_folder() / NAME / "ssh_config"


def _engine_socket(name: str) -> Path:
    return run_folder() / NAME / f"{name}.sock"
