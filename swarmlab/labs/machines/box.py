"""The Vagrant box of the libvirt provider: a Debian release with its engine or none, made from packages alone.

The disk has no partitions and no boot loader: the box holds the kernel and the initial RAM disk beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab import children, downloads, netns
from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress, install, machines_folder, scratch
from swarmlab.images.engines import EngineChoice, held
from swarmlab.images.recipes import EngineLayer, RootFs, making_images

#: Size of the box's disk in GiB. Machines have larger disks; the file system grows at their first boot.
SIZE = 8

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
    """A box of a Debian release.

    Attributes:
        recipe: the recipe of its root file system: with Debian's engine, or bare for engines from elsewhere.
    """

    recipe: RootFs

    @classmethod
    def of(cls, choice: EngineChoice) -> Box:
        """Return the box of machines that begin with this engine. Engines from elsewhere share one.

        Raises:
            UsageError: the engine's archive is not on this machine (see `swarmlab.images.engines.obtain`), or needs a
                newer C library than the boxes have.
        """
        if choice.source == "debian":
            return cls(RootFs("machine", choice.place))
        return cls(RootFs("machine", EngineLayer(held(choice)).base.suite, bare=True))

    @property
    def _kind(self) -> str:
        return f"bare-{self.recipe.suite}" if self.recipe.bare else self.recipe.suite

    @property
    def name(self) -> str:
        """Its name in Vagrant, which changes with its content."""
        return f"swarmlab/{self._kind}-{self.recipe.content}"

    @property
    def folder(self) -> Path:
        """The folder of its files, below Vagrant's."""
        return home() / "boxes" / self.name.replace("/", "-VAGRANTSLASH-") / "0" / "libvirt"

    @property
    def made(self) -> bool:
        """Whether Vagrant has it."""
        return (self.folder / "metadata.json").exists()

    @property
    def package(self) -> str:
        """The version of the package of Debian's engine in it; empty if it has none, or that is not known."""
        file = self.folder / "package"
        return file.read_text(encoding="ascii").strip() if file.exists() else ""

    def prepare(self, progress: Progress) -> None:
        """Make the box and add it to Vagrant, if Vagrant does not have it.

        Raises:
            LabError: it could not be made.
            UsageError: this machine lacks the programs to make it, or this user the rights.
        """
        check_rights()
        if not shutil.which("vagrant") or not shutil.which("qemu-img"):
            install(["machines"], progress)
        with making_images(progress):
            if not self.made:
                self._make(progress)

    def _make(self, progress: Progress) -> None:
        if not shutil.which("mmdebstrap"):
            install(["images"], progress)
        progress(f"making box {self.name} from Debian packages")
        start = time.monotonic()
        shutil.rmtree(home() / "tmp", ignore_errors=True)  # what a Vagrant that was killed had unpacked
        with scratch("image") as folder:
            parts = folder / "box"
            parts.mkdir()
            make_key(parts)
            fill(self.recipe, {"root": "/root", "vagrant": "/home/vagrant"}, folder, parts)
            (parts / "metadata.json").write_text(
                json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": SIZE})
            )
            (parts / "Vagrantfile").write_text(_VAGRANTFILE, encoding="utf-8")
            packed = folder / "swarmlab.box"
            _run(["tar", "-C", str(parts), "-cf", str(packed), "."])
            vagrant(env=environment()).box_add(self.name, str(packed), provider="libvirt", force=True)
        for older in home().glob(f"boxes/swarmlab-VAGRANTSLASH-{self._kind}-*"):
            if older not in self.folder.parents:
                shutil.rmtree(older, ignore_errors=True)
        progress(f"made box {self.name} in {time.monotonic() - start:.0f} s")


def fill(recipe: RootFs, homes: Mapping[str, str], folder: Path, parts: Path) -> None:
    """Make the disk of a machine (box.img) in *parts*, and put the kernel and the initial RAM disk beside it.

    Args:
        recipe: what is on the disk.
        homes: the users that the key in *parts* (key.pub) lets in, and their homes.
        folder: an empty folder for the work.
        parts: where it goes.

    Raises:
        LabError: it could not be made.
    """
    system, disk = folder / "root", folder / "disk"
    key = (parts / "key.pub").read_text(encoding="ascii").strip()
    allow = "; ".join(
        f'install -d -m 700 -o {user} -g {user} {place}/.ssh && echo "{key}" > {place}/.ssh/authorized_keys'
        f" && chown {user}: {place}/.ssh/authorized_keys"
        for user, place in homes.items()
    )
    hook = f"--customize-hook=chroot \"$1\" sh -c '{allow}'"
    with recipe.staged(netns.outside()) as staged:
        *build, suite, target = recipe.mmdebstrap(system, staged)
        outside = [*netns.outside(), "env", f"TMPDIR={folder}"]
        build.remove("--quiet")  # so that it prints why apt failed
        _run([*outside, *build, "--format=directory", hook, suite, target])
    asked = ["dpkg-query", f"--admindir={system}/var/lib/dpkg", "-W", "-f=${Version}", "docker.io"]
    listed = subprocess.run(asked, check=False, capture_output=True, text=True)
    (parts / "package").write_text(listed.stdout, encoding="ascii")
    for part, name in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        (found,) = (system / "boot").glob(name)
        shutil.copy(found, parts / part)
    with disk.open("wb") as blank:
        blank.truncate(SIZE * 2**30)
    # Fewer inodes, and no checksums of what is on an image: an emulated machine computes slowly.
    layout = ["-t", "ext4", "-O", "^metadata_csum", "-i", "65536", "-E", "root_owner=0:0"]
    _run(["mke2fs", "-q", *layout, "-d", str(system), str(disk)])
    _run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(parts / "box.img")])


def make_key(parts: Path) -> None:
    """Make the key with which machines of a disk are reached, in *parts*."""
    _run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", str(parts / "key")])


def check_rights() -> None:
    """Check that this process may make boxes and machines.

    Raises:
        UsageError: it may not.
    """
    if os.geteuid() != 0:
        raise UsageError("machines need root, as their disks are made and copied here; run as root")


def home() -> Path:
    """Return Vagrant's folder of this project's boxes and machines. It is not that of the user's own machines."""
    return machines_folder() / "vagrant"


def environment() -> dict[str, str]:
    """Return Vagrant's environment: it asks nothing of the network and leaves the user's machines alone."""
    return {
        **os.environ,
        "VAGRANT_HOME": str(home()),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    }


def vagrant(**how: Any) -> Any:
    """Return python-vagrant's command object, made with the arguments *how* (root, env, out_cm, err_cm)."""
    # Imported late, when Vagrant is installed: the module looks for the program once, and warns if there is none.
    import vagrant as module

    return module.Vagrant(**how)


def _run(command: Sequence[str]) -> None:
    done = children.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        why = downloads.why(done.stderr, "E:", source="Debian's mirror")
        raise LabError(f"the box could not be made; {command[0]}: {why}")
