"""The providers, which make the machines of a lab with Vagrant and keep a snapshot of the provisioned machines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from swarmlab.host import Progress
from swarmlab.labs import provision
from swarmlab.labs.machines import box, libvirt
from swarmlab.labs.machines.libvirt import Libvirt
from swarmlab.labs.machines.places import ALL, MACHINES, NAME, Places, domains, networks
from swarmlab.paths import IMAGES, PROVISION, ROOT

#: The providers by name; the first is the default.
PROVIDERS = ("libvirt", "virtualbox")

_EMULATOR = IMAGES / "emulator"


class Provider(ABC):
    """Makes machines, and keeps a snapshot of the provisioned machines.

    Attributes:
        environment: the environment of Vagrant, which has the settings of the Vagrantfile, too.
        interfaces: how the names of interfaces begin which the provider makes, and takes again for another network.
    """

    environment: dict[str, str]
    interfaces: ClassVar[str] = ""

    @abstractmethod
    def reach(self, name: str) -> tuple[str, int, Path]:
        """Return address and port of a machine's sshd, and the private key for it.

        The address is not on the cluster network, so it answers also when a test cuts that off.
        """

    def prepare(self) -> None:  # noqa: B027 - VirtualBox makes its networks with the machines
        """Make what Vagrant needs before it makes machines."""

    @abstractmethod
    def is_saved(self) -> bool:
        """Whether there is a snapshot of exactly these machines."""

    @abstractmethod
    def save(self) -> None:
        """Take a snapshot of the running machines."""

    def discard(self) -> None:  # noqa: B027 - a snapshot of VirtualBox goes with its machines
        """Remove the snapshot."""

    @abstractmethod
    def restore(self, names: Sequence[str] = tuple(MACHINES)) -> None:
        """Resume machines from the snapshot, whatever has become of them; none need exist.

        Other machines of the cluster may be off then, unless *names* are those of machines beside it.
        """

    @abstractmethod
    def cut_power(self, name: str) -> None:
        """Cut the power of a machine."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the facts of the provider, for reports."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the machines and all that was made for them, except the snapshot."""


class VirtualBox(Provider):
    """The reference: CentOS 7, as in the document. The snapshot goes with the machines."""

    interfaces = "vboxnet"

    def __init__(self, settings: dict[str, str]) -> None:
        """Take the settings of the Vagrantfile."""
        self.environment = {
            **os.environ,
            **settings,
            "VAGRANT_DEFAULT_PROVIDER": "virtualbox",
            "VAGRANT_EXPERIMENTAL": "disks",  # without it, Vagrant before 2.4 leaves disks as the box has them
        }
        self._vagrant = box.vagrant(root=str(ROOT), env=self.environment)

    @override
    def reach(self, name: str) -> tuple[str, int, Path]:
        told = self._vagrant.ssh_config(vm_name=name)
        settings = self._vagrant.conf(ssh_config=told, vm_name=name)
        # Vagrant from 2.4 on names two keys, and CentOS 7's box knows the older alone.
        keys = [line.partition("IdentityFile ")[2].strip(' "') for line in told.splitlines() if "IdentityFile " in line]
        return settings["HostName"], int(settings["Port"]), Path(next(key for key in keys if "ed25519" not in key))

    @override
    def is_saved(self) -> bool:
        return False

    @override
    def save(self) -> None:
        self._vagrant.snapshot_save("provisioned")

    @override
    def restore(self, names: Sequence[str] = tuple(MACHINES)) -> None:
        self._vagrant.snapshot_restore("provisioned")  # of all machines, which are not emulated

    @override
    def cut_power(self, name: str) -> None:
        self._vagrant.halt(vm_name=name, force=True)

    @override
    def facts(self) -> dict[str, Any]:
        return {"provider": "virtualbox"}

    @override
    def remove(self) -> None:
        self._vagrant.destroy()


class LibvirtProvider(Provider):
    """Debian on KVM or QEMU. The snapshot stays in the cache, so the next lab need not boot."""

    def __init__(
        self,
        hypervisor: Libvirt,
        names: Sequence[str],
        boxes: Sequence[box.Box],
        settings: Mapping[str, str],
        content: Sequence[str],
        places: Places,
        progress: Progress,
    ) -> None:
        """Find out which driver runs machines here, and which snapshot is theirs.

        Args:
            hypervisor: the libvirt that has the machines.
            names: the host names of the machines.
            boxes: the boxes of the machines in turn.
            settings: the settings of the Vagrantfile.
            content: what the machines have beside their boxes, as names or hashes that change with it.
            places: the folders of the lab.
            progress: called with a line for every step that takes time.
        """
        self._hypervisor = hypervisor
        self._names = tuple(names)
        self._places = places
        self._cluster, self._outside = settings["SWARMLAB_PREFIX"], settings["SWARMLAB_NAT_PREFIX"]
        self._keys = {name: boxes[place % len(boxes)].folder / "key" for place, name in enumerate(names)}
        self._driver = libvirt.accelerator(boxes[0].folder / "vmlinuz", boxes[0].folder / "initrd", progress)
        what = {"kvm": "KVM", "qemu": "QEMU's emulation, as KVM does not boot a kernel here"}
        progress(f"machines run on {what[self._driver]}")
        self.environment = {
            **box.environment(),
            **settings,
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "LIBVIRT_DEFAULT_URI": hypervisor.uri,
            "SWARMLAB_BOXES": ",".join(each.name for each in boxes),
            "SWARMLAB_DRIVER": self._driver,
            "SWARMLAB_IDS": ",".join(libvirt.id_of("list", name) for name in domains(names)),
        }
        if self._driver == "qemu" and hypervisor.private:  # the host's libvirt may refuse to start our emulator
            # Copied to where it stays, as the snapshot refers to it.
            self.environment["SWARMLAB_EMULATOR"] = str(shutil.copy(_EMULATOR, places.home / "emulator"))
        parts = [*names, *content, *(each.name for each in boxes), hypervisor.virsh("version"), self._driver]
        parts += settings.values()
        recipes = (ROOT / "Vagrantfile", _EMULATOR, Path(provision.__file__), *sorted(PROVISION.iterdir()))
        parts += [file.read_text(encoding="utf-8") for file in recipes]
        # A snapshot of the cluster alone and one with a machine beside it stay both.
        self._kind = "saved" if self._names == tuple(MACHINES) else f"saved{len(self._names)}"
        self._saved = places.home / f"{self._kind}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"

    @override
    def reach(self, name: str) -> tuple[str, int, Path]:
        return f"{self._outside}.{ALL[name]}", 22, self._keys[name]

    @override
    def prepare(self) -> None:
        self._hypervisor.create_pool(NAME, self._places.pool)
        octets = [ALL[name] for name in self._names]
        cards = {f"52:54:00:00:38:{octet:02x}": f"{self._outside}.{octet}" for octet in octets}
        outside, cluster = networks()
        self._hypervisor.create_network(outside, self._outside, cards)
        self._hypervisor.create_network(cluster, self._cluster)

    @override
    def is_saved(self) -> bool:
        return self._saved.exists()

    @override
    def save(self) -> None:
        for older in self._places.home.glob(f"{self._kind}-*"):
            shutil.rmtree(older)
        made = self._saved.with_name("saving")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        self._hypervisor.save(domains(self._names), networks(), self._places.pool, made)
        shutil.copytree(self._places.dotfile, made / "dot")
        made.rename(self._saved)
        self.restore()

    @override
    def discard(self) -> None:
        shutil.rmtree(self._saved)

    @override
    def restore(self, names: Sequence[str] = tuple(MACHINES)) -> None:
        self._hypervisor.create_pool(NAME, self._places.pool)
        if not self._places.dotfile.exists():
            shutil.copytree(self._saved / "dot", self._places.dotfile)
        others = MACHINES if set(names) & set(MACHINES) else ()
        off = domains(name for name in others if name not in names)
        self._hypervisor.restore(domains(names), networks(), self._places.pool, self._saved, off=off)

    @override
    def cut_power(self, name: str) -> None:
        # Vagrant's halt with --force takes seconds, and gives up where a machine is slow.
        self._hypervisor.virsh("destroy", f"{NAME}-{name}")

    @override
    def facts(self) -> dict[str, Any]:
        memory = self._hypervisor.memory(domains())
        return {"provider": "libvirt", "driver": self._driver, "memory_mib": memory}

    @override
    def remove(self) -> None:
        self._hypervisor.remove(domains(), networks(), NAME)
        shutil.rmtree(self._places.pool, ignore_errors=True)
        shutil.rmtree(self._places.dotfile, ignore_errors=True)
        shutil.rmtree(box.home() / "data" / "machine-index", ignore_errors=True)
