"""The Vagrant box of the libvirt provider: a Debian release with its engine, made from packages alone.

The disk has no partitions and no boot loader: kernel and initial RAM disk travel in the box beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab import netns
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress, cache_folder, install, machines_folder, only_one
from swarmlab.images.engines import EngineChoice
from swarmlab.images.recipes import RootFs

PACKAGES = ["vagrant", "vagrant-libvirt"]
#: Size of the box's disk in GiB; machines have larger ones, whose file system grows at their first boot.
_SIZE = 8

_VAGRANTFILE = """\
# The key is the box's own: machines made of it are reached with it and with nothing else.
Vagrant.configure("2") do |config|
  config.ssh.private_key_path = File.expand_path("key", __dir__)
  config.vm.provider "libvirt" do |lv|
    lv.kernel = File.expand_path("vmlinuz", __dir__)
    lv.initrd = File.expand_path("initrd", __dir__)
  end
end
"""


@dataclass(frozen=True)
class Box:
    """A box, by the release whose engine it has.

    Attributes:
        choice: the engine.
    """

    choice: EngineChoice

    @property
    def recipe(self) -> RootFs:
        """What its root file system is made of."""
        return RootFs("machine", self.choice.suite)

    @property
    def name(self) -> str:
        """The name by which Vagrant knows it; another content is another box."""
        return f"swarmlab/{self.choice.suite}-{self.recipe.content}"

    @property
    def folder(self) -> Path:
        """Where Vagrant keeps its files."""
        return home() / "boxes" / self.name.replace("/", "-VAGRANTSLASH-") / "0" / "libvirt"

    @property
    def package(self) -> str:
        """The version of the engine's package in it, empty where that was not written down."""
        file = self.folder / "package"
        return file.read_text(encoding="ascii").strip() if file.exists() else ""

    def prepare(self, progress: Progress) -> None:
        """Make the box and add it to Vagrant's, if it is not there yet.

        Raises:
            LabError: it could not be made.
            UsageError: there is nothing to make it with, or no rights to.
        """
        check_rights()
        if not shutil.which("vagrant") or not shutil.which("qemu-img"):
            install([*PACKAGES, "qemu-utils"], progress)
        with only_one(progress):
            if not (self.folder / "metadata.json").exists():
                self._make(progress)

    def _make(self, progress: Progress) -> None:
        if not shutil.which("mmdebstrap"):
            install(["mmdebstrap", "debian-archive-keyring"], progress)
        progress(f"making box {self.name} from Debian packages")
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="image-", dir=cache_folder()) as work:
            folder = Path(work)
            parts = folder / "box"
            parts.mkdir()
            _run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(parts / "key")])
            self._fill(folder, parts)
            (parts / "metadata.json").write_text(
                json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": _SIZE})
            )
            (parts / "Vagrantfile").write_text(_VAGRANTFILE, encoding="utf-8")
            packed = folder / "swarmlab.box"
            _run(["tar", "-C", str(parts), "-cf", str(packed), "."])
            vagrant(env=environment()).box_add(self.name, str(packed), provider="libvirt", force=True)
        for older in home().glob(f"boxes/swarmlab-VAGRANTSLASH-{self.choice.suite}-*"):
            if older not in self.folder.parents:
                shutil.rmtree(older, ignore_errors=True)
        progress(f"made box {self.name} in {time.monotonic() - start:.0f} s")

    def _fill(self, folder: Path, parts: Path) -> None:
        """Make the disk, and take kernel and initial RAM disk out of it."""
        system, disk = folder / "root", folder / "disk"
        key = (parts / "key.pub").read_text(encoding="ascii").strip()
        allow = "; ".join(
            f'install -d -m 700 -o {user} -g {user} {place}/.ssh && echo "{key}" > {place}/.ssh/authorized_keys'
            f" && chown {user}: {place}/.ssh/authorized_keys"
            for user, place in (("root", "/root"), ("vagrant", "/home/vagrant"))
        )
        hook = f"--customize-hook=chroot \"$1\" sh -c '{allow}'"
        with self.recipe.staged(netns.outside()) as staged:
            *build, suite, target = self.recipe.mmdebstrap(system, staged)
            outside = [*netns.outside(), "env", f"TMPDIR={folder}"]
            _run([*outside, *build, "--format=directory", hook, suite, target])
        asked = ["dpkg-query", f"--admindir={system}/var/lib/dpkg", "-W", "-f=${Version}", "docker.io"]
        told = subprocess.run(asked, check=False, capture_output=True, text=True)
        (parts / "package").write_text(told.stdout, encoding="ascii")
        for part, name in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
            (found,) = (system / "boot").glob(name)
            shutil.copy(found, parts / part)
        with disk.open("wb") as blank:
            blank.truncate(_SIZE * 2**30)
        _run(["mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", str(system), str(disk)])
        _run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(parts / "box.img")])


def check_rights() -> None:
    """Whether this process may make boxes and machines.

    Raises:
        UsageError: it may not.
    """
    if os.geteuid() != 0:
        raise UsageError("machines take root's rights, as their disks are made and copied here; run as root")


def home() -> Path:
    """Where Vagrant keeps boxes and records of this project's machines, beside those of its user."""
    return machines_folder() / "vagrant"


def environment() -> dict[str, str]:
    """Vagrant's environment: nothing is looked up on the network, and its user's own machines are left alone."""
    return {
        **os.environ,
        "VAGRANT_HOME": str(home()),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    }


def vagrant(**how: Any) -> Any:
    """python-vagrant's command object; it takes *how* (root, env, out_cm, err_cm)."""
    # Imported when Vagrant is installed: the module looks for its program once, and complains where there is none.
    import vagrant as module

    return module.Vagrant(**how)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        words = [line for line in lines if line.startswith("E:")] or lines[-1:]
        raise LabError(f"the box could not be made; {command[0]}: {words[0]}")
