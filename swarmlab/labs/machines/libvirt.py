"""The hypervisor of a lab of machines: the libvirt of this host, or a private one.

If the outer engine is private, so is libvirt. Its daemon runs in the same network namespace, and in a mount namespace
in which /etc/libvirt, /var/lib/libvirt and /run/libvirt are folders of the run, so it neither reads nor changes the
host's. It writes the machines' output to files and needs no virtlogd.

The libvirt of this host has the machines, networks and pools of others, too. What a lab makes there has an id that
follows from its name. What has such a name and another id is not the lab's: it is neither used nor removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from swarmlab import children
from swarmlab.errors import DeadlineExceeded, LabError, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, drop_folder, install, make_folder, process_of, run_folder, run_unasked
from swarmlab.labs import service
from swarmlab.netns import NETNS
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: The services that are the host's libvirt: one daemon for all, or one for QEMU alone.
_SERVICES = ("libvirtd.service", "virtqemud.service")
#: Seconds that the host's libvirt may take to answer.
_PATIENCE = 30.0
#: Folders that the private daemon's mount namespace replaces, by the name of what takes their place.
OVERLAID = {"etc": "/etc/libvirt", "lib": "/var/lib/libvirt", "run": "/run/libvirt"}
SYSTEM = "qemu:///system"
#: Libvirt's kinds of objects as `listed` takes them: what each is, and the command that tells the id of one.
KINDS = {"list": ("machine", "domuuid"), "net-list": ("network", "net-uuid"), "pool-list": ("pool", "pool-uuid")}
_IDS = uuid.UUID("5e0d3c62-0f0d-4c0e-9d5b-0a56aa1f7c38")
#: Holds another word each time that this host boots.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""


class Libvirt:
    """A libvirt daemon that answers.

    Attributes:
        uri: its address, as virsh and vagrant-libvirt take it.
        private: swarmlab started it, and stops it.
    """

    def __init__(self, uri: str, *, private: bool) -> None:
        """Describe a daemon; `connect` finds or starts one."""
        self.uri = uri
        self.private = private

    @classmethod
    def connect(cls, *, private: bool, uri: str = SYSTEM, progress: Progress) -> Libvirt:
        """Find or start the daemon.

        Args:
            private: start a private one, in the private engine's network namespace.
            uri: the address of this host's, for a lab that is not private.
            progress: called with a line for every step that takes time.

        Raises:
            UsageError: there is none, and this user lacks the rights to install or start one.
            LabError: it was started and does not answer.
        """
        if not shutil.which("virsh") or not shutil.which("qemu-system-x86_64"):
            install(["machines"], progress)
        if private:
            return cls._private()
        found = cls(uri, private=False)
        if not found.answers() and uri == SYSTEM and (installed := service.look(_SERVICES)):
            service.start(installed, progress)
        if not found.answers():
            raise UsageError(f"libvirt does not answer at {shown(uri)}; start libvirtd, or join the group libvirt")
        return found

    @classmethod
    def _private(cls) -> Libvirt:
        found = cls(f"qemu+unix:///system?socket={_folder() / 'run' / 'libvirt-sock'}", private=True)
        if _daemon() and found.answers():
            return found
        sweep()
        for part in OVERLAID:
            (make_folder(_folder()) / part).mkdir(mode=0o755)
        (_folder() / "etc" / "qemu.conf").write_text(_QEMU_CONF)
        (_folder() / "etc" / "libvirtd.conf").write_text('auth_unix_rw = "none"\n')
        over = [f"mkdir -p {target} && mount --bind {_folder() / part} {target}" for part, target in OVERLAID.items()]
        script = " && ".join([*over, f"exec libvirtd --pid-file {_folder() / 'run' / 'libvirtd.pid'}"])
        with (_folder() / "libvirtd.log").open("w") as log:
            daemon = subprocess.Popen(
                # Not nsenter: libvirt looks for its bridges in /sys, and only `ip netns exec` mounts that anew.
                ["ip", "netns", "exec", NETNS, "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the run, not for the machines under it
            )

        def answers() -> State:
            tail = (_folder() / "libvirtd.log").read_text().strip().splitlines()[-1:]
            return State(found.answers(), " ".join(tail), hopeless=daemon.poll() is not None)

        wait(answers, "the private libvirt to answer", error=LabError)
        return found

    def answers(self) -> bool:
        """Whether the daemon answers."""
        try:
            return run_unasked([*self._virsh, "list"], timeout=_PATIENCE).returncode == 0
        except subprocess.TimeoutExpired:  # it waits for a password, which a desktop asks for
            return False

    @property
    def _virsh(self) -> list[str]:
        return ["virsh", "--quiet", "--connect", self.uri]

    def virsh(self, *arguments: str | Path) -> str:
        """Run a virsh command; return its output.

        Raises:
            LabError: it failed.
        """
        done = run_unasked([*self._virsh, *map(str, arguments)])
        if done.returncode != 0:
            raise LabError(f"virsh {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def listed(self, kind: str, *flags: str) -> list[str]:
        """Return the names of libvirt's objects of one *kind*: list (machines), net-list or pool-list."""
        return self.virsh(kind, "--all", "--name", *flags).split()

    def owns(self, kind: str, name: str) -> bool:
        """Whether the object of this *kind* and name, which exists, is a lab's."""
        return self.private or self.virsh(KINDS[kind][1], name).strip() == id_of(kind, name)

    def refuse_foreign(self, machines: Sequence[str], networks: Sequence[str], pool: str) -> None:
        """Check that no object of others has a name that the lab needs.

        Raises:
            UsageError: one has.
        """
        for kind, names in (("list", machines), ("net-list", networks), ("pool-list", [pool])):
            for name in set(names) & set(self.listed(kind)):
                if not self.owns(kind, name):
                    raise UsageError(
                        f"the libvirt at {shown(self.uri)} has a {KINDS[kind][0]} {name} that is not this lab's; "
                        "rename it, or run with SWARMLAB_PRIVATE=1, which starts a libvirt of the run's own"
                    )

    def ranges(self) -> list[IPv4Network]:
        """Return the ranges of addresses that libvirt's networks have, whether they run or not."""
        found = []
        for name in self.listed("net-list"):
            for part in ElementTree.fromstring(self.virsh("net-dumpxml", name)).iter("ip"):
                mask = part.get("prefix") or part.get("netmask")
                if part.get("family", "ipv4") == "ipv4" and mask:
                    found.append(IPv4Interface(f"{part.get('address')}/{mask}").network)
        return found

    def _make(self, verb: str, xml: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(xml)
            file.flush()
            self.virsh(verb, file.name)

    def create_pool(self, name: str, folder: Path) -> None:
        """Make a folder the storage pool *name*, if there is no such pool."""
        if name in self.listed("pool-list"):
            return
        folder.mkdir(parents=True, exist_ok=True)
        id = id_of("pool-list", name)
        self._make(
            "pool-create",
            f"<pool type='dir'><name>{name}</name><uuid>{id}</uuid><target><path>{folder}</path></target></pool>",
        )

    def _drop_pool(self, name: str) -> None:
        with contextlib.suppress(LabError):  # a transient pool is gone once it is destroyed
            self.virsh("pool-destroy", name)
            self.virsh("pool-undefine", name)

    def create_network(self, name: str, prefix: str, hosts: Mapping[str, str] | None = None) -> None:
        """Make a network, if there is no such network: with a way to the outside if *hosts* are given.

        Args:
            name: its name.
            prefix: the first three octets of its addresses.
            hosts: the address that it gives to each machine, by the hardware address of its network card.
        """
        if name in self.listed("net-list"):
            return
        outside = dhcp = ""
        if hosts is not None:
            given = "".join(f"<host mac='{card}' ip='{address}'/>" for card, address in hosts.items())
            outside = "<forward mode='nat'/>"
            dhcp = f"<dhcp><range start='{prefix}.2' end='{prefix}.9'/>{given}</dhcp>"
        self._make(
            "net-define",
            f"<network><name>{name}</name><uuid>{id_of('net-list', name)}</uuid>{outside}"
            f"<ip address='{prefix}.1' netmask='255.255.255.0'>{dhcp}</ip></network>",
        )
        self.virsh("net-start", name)

    def save(self, machines: Sequence[str], networks: Sequence[str], pool: Path, folder: Path) -> None:
        """Save running machines, with memory and disks, in *folder*; they are off afterwards."""
        for machine in machines:
            self.virsh("suspend", machine)  # all before the first is saved, or the others would miss it
        for machine in machines:
            (folder / f"{machine}.xml").write_text(self.virsh("dumpxml", "--inactive", machine))
        for network in networks:
            (folder / f"{network}.net.xml").write_text(self.virsh("net-dumpxml", "--inactive", network))
        parallel(lambda machine: self.virsh("save", "--paused", machine, folder / f"{machine}.memory"), machines)
        for disk in pool.iterdir():
            # Disks that machines write to are copied. The box's image, which they only read, is shared.
            if any(disk.name.startswith(f"{machine}.") for machine in machines):
                _copy(disk, folder / disk.name)
            else:
                os.link(disk, folder / disk.name)

    def restore(
        self, machines: Sequence[str], networks: Sequence[str], pool: Path, folder: Path, *, off: Sequence[str] = ()
    ) -> None:
        """Resume machines from where `save` left them, whatever has become of them since.

        Args:
            machines: the machines.
            networks: their networks.
            pool: the folder of their disks.
            folder: the folder that `save` wrote.
            off: further machines, whose power is cut if they run.
        """
        for disk in folder.iterdir():
            if disk.suffix == ".img" and not (pool / disk.name).exists():
                os.link(disk, pool / disk.name)
        known, running = self.listed("net-list"), self.virsh("net-list", "--name").split()
        for network in networks:
            if network not in known:
                self.virsh("net-define", folder / f"{network}.net.xml")
            if network not in running:
                self.virsh("net-start", network)
        existing, alive = self.listed("list"), self.virsh("list", "--name").split()
        for machine in off:
            if machine in alive:
                self.virsh("destroy", machine)

        def restore_machine(machine: str) -> None:
            if machine in alive:
                self.virsh("destroy", machine)
            for disk in folder.glob(f"{machine}.*img"):
                (pool / disk.name).unlink(missing_ok=True)  # it may be a hard link to the saved file
                _copy(disk, pool / disk.name)
            if machine not in existing:
                self.virsh("define", folder / f"{machine}.xml")
            self.virsh("restore", "--paused", folder / f"{machine}.memory")

        parallel(restore_machine, machines)
        for machine in machines:
            self.virsh("resume", machine)

    def memory(self, machines: Sequence[str]) -> dict[str, int]:
        """Return the memory of this host that each running machine uses, in MiB."""
        taken = {}
        alive = self.virsh("list", "--name").split()
        for machine in [machine for machine in machines if machine in alive]:
            fields = self.virsh("dommemstat", machine).split()
            taken[machine] = int(dict(zip(fields[::2], fields[1::2], strict=False)).get("rss", 0)) // 1024
        return taken

    def remove(self, machines: Sequence[str], networks: Sequence[str], pool: str) -> None:
        """Remove machines, networks and the pool, as far as they exist and are a lab's."""
        alive = self.virsh("list", "--name").split()
        for machine in self._owned("list", machines):
            if machine in alive:
                self.virsh("destroy", machine)
            self.virsh("undefine", machine, "--managed-save", "--snapshots-metadata")
        running = self.virsh("net-list", "--name").split()
        for network in self._owned("net-list", networks):
            if network in running:
                self.virsh("net-destroy", network)
            self.virsh("net-undefine", network)
        for name in self._owned("pool-list", [pool]):
            self._drop_pool(name)

    def _owned(self, kind: str, names: Sequence[str]) -> list[str]:
        existing = self.listed(kind)
        return [name for name in names if name in existing and self.owns(kind, name)]


def id_of(kind: str, name: str) -> str:
    """Return the id of a lab's machine, network or pool: *kind* as `Libvirt.listed` takes it."""
    return str(uuid.uuid5(_IDS, f"{kind}/{name}"))


def chosen() -> str:
    """Return the address of the libvirt of this host that the user chose: LIBVIRT_DEFAULT_URI, or the system's.

    Raises:
        UsageError: machines of a lab cannot be made there.
    """
    uri = os.environ.get("LIBVIRT_DEFAULT_URI") or SYSTEM
    parts = urlsplit(uri)
    named = f"LIBVIRT_DEFAULT_URI={shown(uri)}"
    instead = f"unset it or write {SYSTEM}, or run with SWARMLAB_PRIVATE=1, which starts a libvirt of the run's own"
    if parts.scheme in ("qemu", "qemu+unix") and parts.path == "/session":
        raise UsageError(f"{named}: a libvirt of one user makes no networks, which the lab needs; {instead}")
    if parts.scheme not in ("qemu", "qemu+unix") or parts.netloc or parts.path != "/system":
        raise UsageError(f"{named}: the lab's machines need a QEMU of this host; {instead}")
    return uri


def pids(machines: Sequence[str]) -> list[int]:
    """Return the processes of machines that run, of the host's libvirt or a private one."""
    folders = (_folder() / "run", Path("/run/libvirt"))
    found = [process_of(folder / "qemu" / f"{machine}.pid", ("qemu",)) for folder in folders for machine in machines]
    return [pid for pid in found if pid]


def accelerator(kernel: Path, initrd: Path, progress: Progress) -> str:
    """Return the driver for machines on this host: kvm where a kernel boots on it, else qemu (emulation).

    /dev/kvm alone is no proof: inside a virtual machine it may exist and run nothing. So a kernel is started on it, and
    the result is kept until this host boots again.

    Args:
        kernel: the kernel to start.
        initrd: its initial RAM disk.
        progress: called with a line before a kernel is started.
    """
    remembered, boot = run_folder() / "accelerator", _BOOT.read_text().strip()
    known, _, driver = remembered.read_text().partition(" ") if remembered.exists() else ("", "", "")
    if known != boot:
        usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
        if usable:
            progress("trying whether a kernel boots on KVM")
        driver = "kvm" if usable and boots_on_kvm(kernel, initrd) else "qemu"
        make_folder(run_folder())
        remembered.write_text(f"{boot} {driver}")
    return driver


def boots_on_kvm(kernel: Path, initrd: Path) -> bool:
    """Whether a kernel reaches its init on KVM within 10 seconds."""
    options = "-accel kvm -machine q35 -cpu host -m 512 -no-reboot -display none -nodefaults -serial stdio"
    command = ["qemu-system-x86_64", *options.split(), "-kernel", str(kernel), "-initrd", str(initrd)]
    machine = children.start(
        [*command, "-append", "console=ttyS0 panic=-1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert machine.stdout is not None
    os.set_blocking(machine.stdout.fileno(), False)
    output = b""

    def at_init() -> State:
        nonlocal output
        assert machine.stdout is not None
        output += machine.stdout.read() or b""
        return State(b"Run /init" in output, f"{len(output)} bytes of output", hopeless=machine.poll() is not None)

    try:
        wait(at_init, "a kernel to boot on KVM", deadline=10)
    except DeadlineExceeded:
        return False
    finally:
        machine.kill()
        machine.wait()
        children.ended(machine)
    return True


def stop_private() -> None:
    """End the private daemon, and remove what it leaves."""
    if pid := _daemon():
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(DeadlineExceeded):
            wait(lambda: not _daemon(), f"the private libvirt (process {pid}) to end")
    sweep()


def sweep() -> None:
    """End the programs that a killed private daemon left running, and remove its files."""
    for pidfile in [*_folder().glob("run/qemu/*.pid"), *_folder().glob("run/network/*.pid"), _pidfile()]:
        if pid := process_of(pidfile, ("qemu-system", "dnsmasq", "libvirtd")):
            os.kill(pid, signal.SIGKILL)
            wait(lambda: not process_of(pidfile, ("",)), f"process {pid} to end", error=LabError)  # noqa: B023
    if (Path("/run/netns") / NETNS).exists():
        inside = ["nsenter", f"--net=/run/netns/{NETNS}", "ip"]
        links = subprocess.run([*inside, "-brief", "link"], check=False, capture_output=True, text=True).stdout
        for name in [line.split()[0] for line in links.splitlines() if line.startswith("virbr")]:
            subprocess.run([*inside, "link", "delete", name], check=False, capture_output=True)
    shutil.rmtree(_folder(), ignore_errors=True)
    drop_folder(run_folder())
    for target in OVERLAID.values():  # made to mount on, where the host had none
        with contextlib.suppress(OSError):
            Path(target).rmdir()


def _folder() -> Path:
    return run_folder() / "libvirt"


def _pidfile() -> Path:
    return _folder() / "run" / "libvirtd.pid"


def _daemon() -> int | None:
    return process_of(_pidfile(), ("libvirtd",))


def _copy(source: Path, target: Path) -> None:
    # Most of a disk is holes, which need not be copied.
    done = subprocess.run(
        ["cp", "--sparse=always", "--reflink=auto", str(source), str(target)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise LabError(f"{source.name} could not be copied: {done.stderr.strip()}")
