"""What images are made of: root file systems from Debian packages, and the workloads on them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from swarmlab.errors import LabError
from swarmlab.host import cache_folder
from swarmlab.images.engines import DEFAULT, UNRELEASED
from swarmlab.paths import IMAGES

#: The lab's registry, as nodes know it.
REGISTRY = "registry:5000"

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

#: Label on every image that is made here; its value is the image's name without tag.
LABEL_IMAGE = "swarmlab.image"

#: Where in a recipe's folder the Python packages go that it lists: its docker-compose looks for them there.
_PYTHON_PACKAGES = "root/usr/local/lib/docker-compose"


@dataclass(frozen=True)
class Workload:
    """An image that nodes pull from the lab's registry.

    Attributes:
        reference: name and tag.
        of: the root file system that it is made of.
        settings: Dockerfile instructions that set it up.
    """

    reference: str
    of: str
    settings: tuple[str, ...]


@functools.cache
def workloads() -> dict[str, Workload]:
    """The workload images by reference."""
    listed = yaml.safe_load((IMAGES / "workloads.yaml").read_text(encoding="utf-8"))
    return {reference: Workload(reference, what["of"], tuple(what["settings"])) for reference, what in listed.items()}


@dataclass(frozen=True)
class RootFs:
    """What a root file system is made of.

    Attributes:
        name: the folder below images/.
        suite: the Debian release.
    """

    name: str
    suite: str

    def __str__(self) -> str:
        return f"{self.name} from {self.suite}"

    @property
    def folder(self) -> Path:
        """Where its packages, files, settings and setup script are."""
        return IMAGES / self.name

    @property
    def has_apt(self) -> bool:
        """Whether it has apt and its lists: nodes and machines have, to be asked which versions there are."""
        return self.name in ("node", "machine")

    @property
    def packages(self) -> list[str]:
        """The packages that it has; a line of the list may be for some releases only ("docker-cli @trixie")."""
        chosen = []
        for line in (self.folder / "packages").read_text(encoding="utf-8").splitlines():
            package, *suites = line.partition("#")[0].split() or [""]
            if package and (not suites or f"@{self.suite}" in suites):
                chosen.append(package)
        return chosen

    @property
    def settings(self) -> list[str]:
        """Dockerfile instructions that set the image up; none for one that only workloads are made of."""
        file = self.folder / "settings"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    @property
    def content(self) -> str:
        """A hash of all that it is made from, 12 hexadecimal digits."""
        command = " ".join(self.mmdebstrap(Path(), Path()))
        told = hashlib.sha256(f"{command}\n{self.dockerfile()}".encode())
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                told.update(f"\n{file.relative_to(self.folder)} {file.stat().st_mode & 0o111}\n".encode())
                told.update(file.read_bytes())
        return told.hexdigest()[:12]

    @property
    def reference(self) -> str:
        """The image's name on the outer engine."""
        return f"swarmlab/{self.name}-{self.suite}:{self.content}"

    @property
    def base(self) -> str:
        """Debian's base image of the release."""
        return f"debian:{self.suite}-slim"

    def dockerfile(self) -> str:
        """How an engine makes it from Debian's base image."""
        exclude = "\\n".join(f"path-exclude={path}" for path in _EXCLUDED)
        lines = [
            f"FROM {self.base}",
            "COPY . /tmp/recipe/",
            f"RUN printf '{exclude}\\n' > /etc/dpkg/dpkg.cfg.d/swarmlab"
            " && apt-get update"
            f" && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {' '.join(self.packages)}"
            f"{'' if self.has_apt else ' && rm -rf /var/lib/apt/lists/*'}"
            " && if [ -d /tmp/recipe/root ]; then cp -r --preserve=mode /tmp/recipe/root/. /; fi"
            " && sh /tmp/recipe/setup && rm -rf /tmp/recipe",
            *self.settings,
        ]
        return "\n".join(lines) + "\n"

    @contextlib.contextmanager
    def staged(self, outside: Sequence[str] = ()) -> Iterator[Path]:
        """A copy of its folder that has the Python packages which it lists too, for as long as it is being made.

        Args:
            outside: words to put before a command that downloads (see `swarmlab.netns.outside`).

        Raises:
            LabError: the packages cannot be had.
        """
        with tempfile.TemporaryDirectory(prefix="image-", dir=cache_folder()) as folder:
            copy = Path(folder) / self.name
            shutil.copytree(self.folder, copy)
            if (copy / "requirements").exists():
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
                words = ["--target", str(copy / _PYTHON_PACKAGES), "--requirement", str(copy / "requirements")]
                done = subprocess.run([*outside, *pip, *words], check=False, capture_output=True, text=True)
                if done.returncode != 0:
                    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["pip failed"]
                    raise LabError(f"the Python packages of image {self} cannot be had: {said[-1]}")
            yield copy

    def mmdebstrap(self, target: Path, folder: Path) -> list[str]:
        """The command that makes it as a tar file at *target* from its `staged` *folder*."""
        # What is left out of a workload is what nodes need not pull.
        variant = "minbase" if self.has_apt else "essential"
        command = ["mmdebstrap", "--quiet", f"--variant={variant}", f"--include={','.join(self.packages)}"]
        if self.has_apt:
            command += ["--skip=cleanup/apt/lists", '--aptopt=Acquire::GzipIndexes "true"']
        command += [f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED]
        if variant == "essential":
            # A release that is merged from the start needs no package that merges it, and none of the perl that brings.
            command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
        if self.suite in UNRELEASED:
            command += ['--aptopt=Acquire::Check-Valid-Until "false"']
        if (self.folder / "root").is_dir():
            command += [f'--customize-hook=cp -r --preserve=mode {folder / "root"}/. "$1"/']
        command += [
            f'--customize-hook=cp {folder / "setup"} "$1"/tmp/setup',
            '--customize-hook=chroot "$1" sh /tmp/setup',
            '--customize-hook=rm -rf "$1"/tmp/setup "$1"/var/cache/apt/*.bin',
        ]
        return [*command, self.suite, str(target)]


def parts() -> list[RootFs]:
    """The root file systems that the registry with all workloads is made from."""
    return [RootFs(name, DEFAULT) for name in sorted({work.of for work in workloads().values()} | {"registry"})]


def registry_reference() -> str:
    """The image, on an outer engine, of a registry that holds all workloads."""
    told = hashlib.sha256((IMAGES / "workloads.yaml").read_bytes())
    for part in parts():
        told.update(part.reference.encode())
    return f"swarmlab/lab-registry:{told.hexdigest()[:12]}"
