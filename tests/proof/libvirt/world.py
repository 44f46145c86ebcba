"""A host with a Docker engine and a libvirt of its own, on which others have machines, networks and pools.

Both daemons are real. They run in a network namespace and a mount namespace of their own, in which /run, /etc/libvirt
and /var/lib/libvirt are the world's, so that neither this host's daemons nor others' machines are near.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from swarmlab.errors import SwarmlabError
from swarmlab.host import machines_folder
from swarmlab.labs.machines.libvirt import SYSTEM
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait

_NETNS = "world"
#: What stays between runs of the proof: images in the engine, boxes, the snapshot of the lab.
_KEPT = "proof-libvirt"
_NETWORKS = {
    "default": "<forward mode='nat'/><ip address='192.168.122.1' netmask='255.255.255.0'>"
    "<dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>",
    # The document's range, that of Vagrant's own machines, and one that is asleep.
    "office": "<ip address='192.168.56.1' netmask='255.255.255.0'/>",
    "vagrant-libvirt": "<forward mode='nat'/><ip address='192.168.121.1' netmask='255.255.255.0'>"
    "<dhcp><range start='192.168.121.2' end='192.168.121.254'/></dhcp></ip>",
    "asleep": "<ip address='192.168.57.1' netmask='255.255.255.0'/>",
}
_POOLS = {"default": True, "attic": False}
#: The owner's machines. One runs; it has a disk without a system, on two of the networks.
_MACHINE = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='default'/><model type='virtio'/></interface>
<interface type='network'><source network='office'/><model type='virtio'/></interface></devices></domain>
"""
_ENTERED = "import sys; from swarmlab import netns; netns.enter('/run/netns/{netns}'); {rest}"
_PROGRAMS = {
    "swarmlab": "from swarmlab.cli.main import main; sys.exit(main(sys.argv[1:]))",
    "pytest": "import pytest; sys.exit(pytest.main(sys.argv[1:]))",
}


class World:
    """The host.

    Attributes:
        folder: its files, which go with it.
        kept: what stays for the next run of the proof.
    """

    def __init__(self, folder: Path) -> None:
        """Start its daemons, and make what others have there.

        Args:
            folder: see above.
        """
        self.folder, self.kept = folder, machines_folder() / _KEPT
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.kept.mkdir(parents=True, exist_ok=True)
        boxes = self.kept / "vagrant"
        if not boxes.exists():  # the boxes of this host serve
            boxes.symlink_to(machines_folder() / "vagrant")
        self._holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # it stays when this run is ended, so that `close` still reaches the world
        )
        wait(self._apart, "the world's namespace")
        try:
            self._start()
            self._furnish()
        except BaseException:
            self.close()
            raise

    def _apart(self) -> State:
        own = Path("/proc/self/ns/mnt").readlink()
        return State(Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() != own)

    def command(self, *words: object, inside: bool = False) -> list[str]:
        """Return a command as one that runs in the world; *inside*: in its network namespace, too."""
        net = [f"--net=/run/netns/{_NETNS}"] if inside else []
        # Two steps, as the namespace's file is in the world's /run.
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={ROOT}"]
        return [*enter, *(["nsenter", *net] if net else []), *map(str, words)]

    def run(self, *words: object, inside: bool = False, check: bool = True) -> str:
        """Run a command in the world; return what it prints."""
        done = subprocess.run(self.command(*words, inside=inside), capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{words}: {done.stderr}"
        return done.stdout

    def program(self, name: str, *words: object) -> list[str]:
        """Return the command of a program of this project, run in the world."""
        line = _ENTERED.format(netns=_NETNS, rest=_PROGRAMS[name])
        return self.command(sys.executable, "-c", line, *words)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of such a program: that of a user with a home of his own."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "SWARMLAB_"))}
        del clean["HOME"]
        return {**clean, "HOME": str(self.folder / "home"), "SWARMLAB_CACHE": str(self.kept), "DOCKER_HOST": _ENGINE}

    def _start(self) -> None:
        system = self.folder / "system"
        for name in ("etc", "lib"):
            (system / name).mkdir(parents=True)
        objects = shutil.ignore_patterns("qemu", "storage")  # this host's own networks and pools
        shutil.copytree("/etc/libvirt", system / "etc", dirs_exist_ok=True, ignore=objects)
        if not Path("/run/systemd/system").is_dir():  # as in a container: no control groups, no /dev of QEMU's own
            with (system / "etc/qemu.conf").open("a") as settings:
                settings.write("cgroup_controllers = []\nnamespaces = []\n")
        mounts = ["mount -t tmpfs tmpfs /run", "mkdir -p /run/lock /run/netns"]
        mounts += [f"mount --bind {system / name} {place}" for name, place in _PLACES.items()]
        if Path("/dev/kvm").exists():
            # As udev makes it. Else libvirt asks QEMU at each call whether QEMU's user may have it by now.
            mounts += ["mknod -m 660 /run/kvm c 10 232", "chgrp kvm /run/kvm", "mount --bind /run/kvm /dev/kvm"]
        self.run("sh", "-ec", "\n".join(mounts))
        self.run("ip", "netns", "add", _NETNS)
        self.run("ip", "link", "set", "lo", "up", inside=True)
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", inside=True)
        self._daemon("dockerd", "--host", _ENGINE, "--data-root", self.kept / "engine", "--exec-root", "/run/docker")
        for name in ("virtlogd", "libvirtd"):
            # `ip netns exec`, as libvirt looks for its bridges in /sys.
            self._daemon(name, before=("ip", "netns", "exec", _NETNS))
        wait(self._answers, "the world's daemons to answer", deadline=120)

    def _daemon(self, *words: object, before: tuple[str, ...] = ("nsenter", f"--net=/run/netns/{_NETNS}")) -> None:
        with (self.folder / f"{words[0]}.log").open("w") as log:
            started = subprocess.Popen(
                self.command(*before, *words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._daemons.append(started)

    def _answers(self) -> State:
        for command in (["docker", "--host", _ENGINE, "version"], ["virsh", "--connect", SYSTEM, "list"]):
            done = subprocess.run(self.command(*command), capture_output=True, text=True)
            if done.returncode != 0:
                return State(False, done.stderr.strip())
        return State(True)

    def virsh(self, *words: object) -> str:
        """Return what a command of virsh prints."""
        return self.run("virsh", "--quiet", "--connect", SYSTEM, *words)

    def define(self, verb: str, xml: str) -> None:
        """Define an object of libvirt: *verb* is virsh's."""
        file = self.folder / "object.xml"
        file.write_text(xml)
        self.virsh(verb, file)

    def _furnish(self) -> None:
        for name, rest in _NETWORKS.items():
            self.define("net-define", f"<network><name>{name}</name>{rest}</network>")
            if name != "asleep":
                self.virsh("net-start", name)
        self.virsh("net-autostart", "default")
        for name, active in _POOLS.items():
            folder = self.folder / name
            folder.mkdir(mode=0o711)
            self.virsh("pool-define-as", name, "dir", "--target", folder)
            if active:
                self.virsh("pool-start", name)
                self.virsh("pool-autostart", name)
        for name in ("web", "old"):
            self.virsh("vol-create-as", "default", f"{name}.qcow2", "16M", "--format", "qcow2")
            self.define("define", _MACHINE.format(name=name, disk=self.folder / "default" / f"{name}.qcow2"))
        self.virsh("snapshot-create-as", "old", "before")
        self.virsh("start", "web")
        wait(self._connected, "the bridges of the machine that runs")
        box = self.folder / "home/.vagrant.d/boxes/debian-VAGRANTSLASH-bookworm64/12/libvirt"
        box.mkdir(parents=True)
        (box / "metadata.json").write_text('{"provider": "libvirt", "format": "qcow2", "virtual_size": 1}')
        (box / "box.img").write_bytes(b"an image of another")

    def _connected(self) -> State:
        shown = self.run("ip", "-brief", "link", "show", "type", "bridge", inside=True)
        return State(sum(" UP " in line for line in shown.splitlines()) == 2, shown)

    def others(self) -> dict[str, str]:
        """Return all that others have in this world, as text by name."""
        shown = {}
        for name in ("web", "old"):
            shown[f"machine {name}"] = self.virsh("dumpxml", name) + self.virsh("domstate", name)
            shown[f"snapshots of {name}"] = self.virsh("snapshot-list", name)
        for name in _NETWORKS:
            shown[f"network {name}"] = self.virsh("net-dumpxml", name) + self.virsh("net-info", name)
        for name, active in _POOLS.items():
            # How full a pool is changes with the disk that it shares.
            kept = [line for line in self.virsh("pool-dumpxml", name).splitlines() if "unit='bytes'" not in line]
            shown[f"pool {name}"] = "\n".join(kept) + self.virsh("pool-info", name).partition("Capacity")[0]
            shown[f"volumes of {name}"] = self.virsh("vol-list", name) if active else ""
        for place in ("qemu/web.pid", "network/default.pid", "network/vagrant-libvirt.pid"):
            shown[place] = self.run("cat", f"/run/libvirt/{place}")
        addresses = self.run("ip", "-brief", "-4", "address", inside=True).splitlines()
        shown["bridges"] = "\n".join(
            line for line in addresses if any(part in line for part in (".122.1/", ".56.1/", ".121.1/"))
        )
        home = self.folder / "home"
        shown["home"] = "\n".join(
            f"{file.relative_to(home)} {hashlib.sha256(file.read_bytes()).hexdigest()}"
            for file in sorted(home.rglob("*"))
            if file.is_file() and ".vagrant.d" in file.parts
        )
        return shown

    def everything(self) -> dict[str, str]:
        """Return all that there is in this world: what others have, and the lists in which more would be seen."""
        found = self.others()
        for kind in ("list", "net-list", "pool-list"):
            found[f"all of {kind}"] = "\n".join(sorted(self.virsh(kind, "--all").splitlines()))
        rules = self.run("iptables-save", inside=True).splitlines()
        found["firewall"] = "\n".join(line.partition(" [")[0] for line in rules if not line.startswith("#"))
        found["links"] = "\n".join(
            sorted(line.split()[0] for line in self.run("ip", "-brief", "link", inside=True).splitlines())
        )
        found["processes"] = "\n".join(sorted(self._programs()))
        return found

    def _programs(self) -> list[str]:
        """Return the programs that run in the world's network namespace."""
        pids = self.run("ip", "netns", "pids", _NETNS).split()
        found = []
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found.append(Path(f"/proc/{pid}/comm").read_text().strip())
        return [name for name in found if name.startswith(("qemu", "dnsmasq", "vagrant", "ruby", "ssh"))]

    def _ended(self, pids: list[str]) -> bool:
        for daemon in self._daemons:
            daemon.poll()  # else those that have ended are still seen
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    def close(self) -> None:
        """End all that runs in the world."""
        with contextlib.suppress(AssertionError):
            for name in self.run("virsh", "--connect", SYSTEM, "list", "--name", check=False).split():
                self.run("virsh", "--connect", SYSTEM, "destroy", name, check=False)
            pids = self.run("ip", "netns", "pids", _NETNS, check=False).split()
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(OSError):
                        os.kill(int(pid), number)
                with contextlib.suppress(SwarmlabError):
                    wait(lambda: self._ended(pids), "the world's end", deadline=20)
            self.run("ip", "netns", "delete", _NETNS, check=False)
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()
        self._holder.kill()
        self._holder.wait()


_ENGINE = "unix:///run/docker.sock"
_PLACES = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt"}
