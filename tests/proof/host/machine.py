"""A host as people have it: a virtual machine made from Debian packages, with systemd, an engine, and three users.

The machine has no network to the outside. What its users would download is on a second disk: the checkout, the Python
packages of requirements.lock, and the images that the engine here has made of nodes and workloads. The emulator runs in
a network namespace that ends with it.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from swarmlab import children, netns
from swarmlab.distribution import Distribution, packages
from swarmlab.errors import LabError
from swarmlab.host import install, machines_folder, scratch
from swarmlab.images.engines import engine_choice
from swarmlab.images.recipes import RootFs, making_images
from swarmlab.images.workshop import Workshop
from swarmlab.labs import outer
from swarmlab.labs.machines import box, libvirt
from swarmlab.labs.ssh import Ssh, write_config
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait

#: The users, by what they may do, and their homes.
MEMBER, ADMIN, GUEST = "member", "admin", "guest"
HOMES = {"root": "/root", **{user: f"/home/{user}" for user in (MEMBER, ADMIN, GUEST)}}
#: Where the checkout is. It belongs to `MEMBER`; others may read it.
CHECKOUT = "/srv/swarm-conformance"
_PORT = 2222
#: Where pip downloads packages for another Python than its own from: the systems of wheels, the newest first.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")


@dataclass(frozen=True)
class Suite:
    """A Debian release as a host.

    Attributes:
        name: its code name.
        python: the version of its Python.
        kernel: words for the kernel's command line.
        cgroups: the type of the file system at /sys/fs/cgroup.
    """

    name: str
    python: str
    kernel: str
    cgroups: str


#: The hosts by name.
SUITES = {
    "bookworm-v1": Suite("bookworm", "3.11", "systemd.unified_cgroup_hierarchy=0", "tmpfs"),
    "trixie-v2": Suite("trixie", "3.13", "", "cgroup2fs"),
}


class HostFs(RootFs):
    """The root file system of a host. Its engine is what swarmlab would install on that release."""

    @property
    @override
    def engine(self) -> list[str]:
        return packages(["engine"], Distribution(f"Debian {self.suite}", ("debian",), "", (self.suite,)))


class Machine:
    """A machine that runs.

    Attributes:
        suite: what it is.
    """

    def __init__(self, suite: Suite, emulator: int, folder: Path, key: Path) -> None:
        """Describe a machine; `running` boots one.

        Args:
            suite: see above.
            emulator: the process in whose network namespace its port is.
            folder: for the configuration of ssh.
            key: the key that lets in.
        """
        self.suite = suite
        common = {
            "HostName": "127.0.0.1",
            "Port": _PORT,
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": 30,
        }
        self._config = write_config(folder / "ssh", {user: {"User": user} for user in HOMES}, common)
        self._prefix = ["nsenter", f"--net=/proc/{emulator}/ns/net", "--"]

    def run(self, user: str, script: str, *, seconds: float = 3600) -> subprocess.CompletedProcess[str]:
        """Run a shell script in a login of *user* that ends with it; return what became of it.

        Args:
            user: one of `HOMES`.
            script: lines for sh.
            seconds: the longest that it may take.
        """
        command = Ssh(self._config, user).command(f"sh -c {shlex.quote(script)}")
        done = children.run([*self._prefix, *command], timeout=seconds, capture_output=True, text=True)
        print(f"{self.suite.name} {user}$ {script}\n{done.stdout[-6000:]}{done.stderr[-3000:]}[{done.returncode}]\n")
        return done

    def expect(self, user: str, script: str, *, seconds: float = 3600) -> str:
        """Run a shell script that has to end with status 0; return what it printed (see `run`)."""
        done = self.run(user, script, seconds=seconds)
        assert done.returncode == 0, f"{user}: {script}: {(done.stderr or done.stdout)[-2000:]}"
        return done.stdout

    def answers(self) -> bool:
        """Whether root may log in."""
        command = [*self._prefix, *Ssh(self._config, "root").command("true")]
        return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def running(suite: Suite, folder: Path) -> Iterator[Machine]:
    """Yield a machine that has booted, with the second disk at /mnt; it ends with the context, and its disk goes.

    Args:
        suite: what it is.
        folder: an empty folder for its disks.

    Raises:
        LabError: it does not boot.
    """
    box.check_rights()
    if any(not shutil.which(program) for program in ("mmdebstrap", "qemu-system-x86_64", "qemu-img")):
        install(["images", "emulator"], print)
    goods = _goods(suite, folder)
    with making_images(print):
        base = _base(suite)
    disk = folder / "disk.qcow2"
    backing = ["-b", str(base / "box.img"), "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk), "20G"], check=True)
    with (folder / "emulator.log").open("w") as log:
        emulator = children.start(_emulator(suite, base, disk, goods, folder / "console"), stdout=log, stderr=log)
    try:
        machine = Machine(suite, emulator.pid, folder, base / "key")

        def booted() -> State:
            said = (folder / "emulator.log").read_text(encoding="utf-8").strip()
            return State(machine.answers(), said or "no login", hopeless=emulator.poll() is not None)

        wait(booted, f"{suite.name} to boot", deadline=900, interval=2, error=LabError)
        machine.expect("root", "resize2fs /dev/vda; mount -o ro /dev/vdb /mnt; systemctl is-system-running --wait")
        yield machine
    finally:
        emulator.kill()
        emulator.wait()
        children.ended(emulator)


def _emulator(suite: Suite, base: Path, disk: Path, goods: Path, console: Path) -> list[str]:
    """Return the command of the emulator, in a network namespace of its own."""
    kvm = libvirt.accelerator(base / "vmlinuz", base / "initrd", print) == "kvm"
    accelerator = (
        ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
    )
    forward = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{_PORT}-:22"
    words = f"root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off {suite.kernel}"
    machine = [
        *("qemu-system-x86_64", *accelerator.split(), "-machine", "q35", "-smp", "2", "-m", "4096"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{console}"),
        *("-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd"), "-append", words),
        *("-drive", f"file={disk},if=virtio,cache=unsafe,discard=unmap"),
        *("-drive", f"file={goods},if=virtio,format=raw,readonly=on"),
        *("-netdev", forward, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"),
    ]
    return ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *machine]


def _base(suite: Suite) -> Path:
    """Return the folder of the machine's disk, kernel, initial RAM disk and key. It is made once; older ones go."""
    recipe = HostFs("host", suite.name)
    made = machines_folder() / "hosts" / f"{suite.name}-{recipe.content}"
    if not made.exists():
        with scratch("image") as folder:
            parts = folder / "parts"
            parts.mkdir()
            box.make_key(parts)
            box.fill(recipe, HOMES, folder, parts)
            made.parent.mkdir(parents=True, exist_ok=True)
            for older in made.parent.glob(f"{suite.name}-*"):
                shutil.rmtree(older)
            shutil.move(parts, made)
    return made


def _goods(suite: Suite, folder: Path) -> Path:
    """Make the second disk: the checkout as it is here, Python packages, and the images of nodes and workloads."""
    goods = folder / "goods"
    (goods / "wheels").mkdir(parents=True)
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", goods / "checkout"], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(".venv"):
            (goods / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, goods / "checkout" / name)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wheels = ["--only-binary", ":all:", "--python-version", suite.python, "--implementation", "cp"]
    wheels += [word for platform in _PLATFORMS for word in ("--platform", f"{platform}_x86_64")]
    to = ["--requirement", str(ROOT / "requirements.lock"), "--dest", str(goods / "wheels")]
    subprocess.run([*netns.outside(), *pip, *wheels, *to], check=True)
    engine = outer.connect(print)
    try:
        nodes, registry = Workshop(engine.client, print, outside=netns.outside()).prepare([engine_choice("")])
        for name in (*nodes, registry):
            with (goods / f"{name.replace('/', '-')}.tar").open("wb") as file:
                file.writelines(engine.client.api.get_image(name))
    finally:
        engine.release()
    disk = folder / "goods.img"
    with disk.open("wb") as blank:
        blank.truncate(3 * 2**30)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", str(goods), str(disk)], check=True)
    shutil.rmtree(goods)
    return disk
