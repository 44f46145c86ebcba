"""Recipes of images: root file systems made of Debian packages, and the workloads on them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab import children, downloads
from swarmlab.errors import LabError, UsageError
from swarmlab.files import read_yaml, shown
from swarmlab.host import Progress, alone, cache_folder, remove_as_root, scratch
from swarmlab.images import archives
from swarmlab.images.archives import Content
from swarmlab.images.engines import DEFAULT, UNRELEASED
from swarmlab.paths import IMAGES

#: The lab's registry, as nodes know it.
REGISTRY = "registry:5000"

#: The release of the workloads. Later releases call clone3 and faccessat2, which engines before 20.10.10 refuse their
#: containers in a way that programs do not expect (moby#42680): they start no thread, and find no file readable.
WORKLOADS = "bullseye"

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

#: The C library of the releases that engines from elsewhere are put on, the oldest first.
_LIBC = {"bookworm": (2, 36), "trixie": (2, 41), "forky": (2, 42)}

#: Where docker-compose looks for the Python packages that a recipe lists, in the recipe's folder.
_PYTHON_PACKAGES = "root/usr/local/lib/docker-compose"


@dataclass(frozen=True)
class Workload:
    """An image that nodes pull from the lab's registry.

    Attributes:
        reference: name and tag.
        of: name of the root file system below it.
        settings: Dockerfile instructions for the rest.
    """

    reference: str
    of: str
    settings: tuple[str, ...]


@functools.cache
def workloads() -> dict[str, Workload]:
    """Return the workload images by reference.

    Raises:
        UsageError: the list of them cannot be read, or is none.
    """
    file = IMAGES / "workloads.yaml"
    listed = read_yaml(file)
    given: dict[str, Any] = listed if isinstance(listed, dict) and listed else {"the file": None}
    for reference, what in given.items():
        whole = isinstance(what, dict) and set(what) == {"of", "settings"}
        lines = [what["of"], *what["settings"]] if whole and isinstance(what["settings"], list) else [None]
        if not all(isinstance(line, str) for line in lines):
            raise UsageError(f"{file}: {shown(reference, 60)}: has to be an image with the keys of and settings")
    return {reference: Workload(reference, what["of"], tuple(what["settings"])) for reference, what in listed.items()}


@dataclass(frozen=True)
class RootFs:
    """A root file system and its recipe.

    Attributes:
        name: the folder of the recipe below images/.
        suite: the Debian release.
        bare: without Debian's engine, as the base of engines from elsewhere.
    """

    name: str
    suite: str
    bare: bool = False

    def __str__(self) -> str:
        """Return name and release, such as "node from bookworm"."""
        return f"{self.name}{' without engine' if self.bare else ''} from {self.suite}"

    @property
    def folder(self) -> Path:
        """The folder of its packages, files, settings and setup script."""
        return IMAGES / self.name

    @property
    def has_apt(self) -> bool:
        """Whether it has apt with its lists. Nodes and machines have: tests ask them for versions of packages."""
        return self.name in ("node", "machine", "host")

    @property
    def packages(self) -> list[str]:
        """The packages in it. A line of a list may be for some releases only, such as "docker-cli @trixie"."""
        return [*self._listed("packages"), *([] if self.bare else self.engine)]

    @property
    def engine(self) -> list[str]:
        """The packages of Debian's engine; none where the recipe is of a workload."""
        return self._listed("engine")

    def _listed(self, name: str) -> list[str]:
        file = self.folder / name
        chosen = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            package, *suites = line.partition("#")[0].split() or [""]
            if package and (not suites or f"@{self.suite}" in suites):
                chosen.append(package)
        return chosen

    @property
    def settings(self) -> list[str]:
        """Dockerfile instructions for the image; none if only workloads are made of it."""
        file = self.folder / "settings"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    @property
    def content(self) -> str:
        """A hash of everything that it is made from, in 12 hexadecimal digits."""
        command = " ".join(self.mmdebstrap(Path(), Path()))
        digest = hashlib.sha256(f"{command}\n{self.dockerfile()}".encode())
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                digest.update(f"\n{file.relative_to(self.folder)} {_mode(file) & 0o111}\n".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()[:12]

    @property
    def reference(self) -> str:
        """The image's name on the outer engine."""
        return f"swarmlab/{self.name}{'-bare' if self.bare else ''}-{self.suite}:{self.content}"

    @property
    def base(self) -> str:
        """Debian's base image of the release."""
        return f"debian:{self.suite}-slim"

    def dockerfile(self) -> str:
        """Return the Dockerfile that makes it from Debian's base image."""
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
        """Yield a copy of its folder, with the Python packages that it lists. The copy goes when the context ends.

        Args:
            outside: prefix of commands that download (see `swarmlab.netns.outside`).

        Raises:
            LabError: the Python packages cannot be downloaded.
        """
        with scratch("image") as folder:
            copy = folder / self.name
            shutil.copytree(self.folder, copy)
            for path in (copy, *copy.rglob("*")):
                path.chmod(_mode(path))
            if (copy / "requirements").exists():
                options = ["--target", str(copy / _PYTHON_PACKAGES), "--requirement", str(copy / "requirements")]
                self._pip(outside, "install", *options)
            yield copy

    def _pip(self, outside: Sequence[str], *arguments: str) -> None:
        """Run a command of pip that downloads the Python packages of the image, without those that they need.

        Args:
            outside: see `staged`.
            arguments: the command of pip, and its options.

        Raises:
            LabError: the packages cannot be downloaded.
        """
        pip = [sys.executable, "-m", "pip", *arguments]
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--retries=2"]
        done = children.run([*outside, *pip, *options], capture_output=True, text=True)
        if done.returncode != 0:
            why = downloads.why(done.stderr, "ERROR:", source="the Python package index")
            raise LabError(f"the Python packages of image {self} cannot be downloaded: {why}")

    def mmdebstrap(self, target: Path, folder: Path) -> list[str]:
        """Return the command that makes it as a tar file at *target* from its `staged` *folder*."""
        # Workloads are small, as nodes pull them.
        variant = "minbase" if self.has_apt else "essential"
        command = ["mmdebstrap", "--quiet", f"--variant={variant}", f"--include={','.join(self.packages)}"]
        if self.has_apt:
            command += ["--skip=cleanup/apt/lists", '--aptopt=Acquire::GzipIndexes "true"']
        command += [f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED]
        if variant == "essential" and self.suite != WORKLOADS:
            # A release whose /usr is merged from the start does without the package that merges it, which needs perl.
            # An older release needs no merged /usr.
            command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
        if self.suite in UNRELEASED:
            command += ['--aptopt=Acquire::Check-Valid-Until "false"']
        if (self.folder / "root").is_dir():
            command += [f'--customize-hook=cp -r --preserve=mode {_quoted(folder / "root")}/. "$1"/']
        command += [
            f'--customize-hook=cp {_quoted(folder / "setup")} "$1"/tmp/setup',
            '--customize-hook=chroot "$1" sh /tmp/setup',
            '--customize-hook=rm -rf "$1"/tmp/setup "$1"/var/cache/apt/*.bin',
        ]
        return [*command, self.suite, str(target)]


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _mode(path: Path) -> int:
    """Return the mode that a file or folder of a recipe has in images, whatever the umask of who checked it out."""
    return 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644


@dataclass(frozen=True)
class EngineLayer:
    """An engine from an archive or from Docker's packages, as a layer on a node's root file system.

    Attributes:
        content: the archive or the packages.
    """

    content: Content

    @property
    def base(self) -> RootFs:
        """The root file system below it: of the oldest release that has the C library that the engine asks for."""
        suite = next((suite for suite, libc in _LIBC.items() if libc >= self.content.libc), None)
        if suite is None:
            raise UsageError(f"engine {self.content.place}: needs C library {'.'.join(map(str, self.content.libc))}")
        return RootFs("node", suite, bare=True)

    @property
    def reference(self) -> str:
        """The image's name on the outer engine."""
        digest = hashlib.sha256(f"{self.base.content}\n{self.dockerfile()}".encode()).hexdigest()
        return f"swarmlab/engine-{self.content.version}-{self.content.sha256[:12]}:{digest[:12]}"

    def dockerfile(self) -> str:
        """Return the Dockerfile that puts it on its base."""
        lines = [f"FROM {self.base.reference}"]
        if self.content.place.is_dir():
            # Without an init system no service may be started, as packages' scripts would.
            no_services = "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d"
            lines += [
                "COPY . /tmp/engine/",
                f"RUN {no_services} && dpkg --install /tmp/engine/*.deb && rm -r /tmp/engine /usr/sbin/policy-rc.d",
            ]
        else:
            lines += ["COPY . /usr/bin/"]
        return "\n".join(lines) + "\n"

    @contextlib.contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a folder of the files that the Dockerfile copies. The folder goes when the context ends."""
        with scratch("image") as folder:
            if self.content.place.is_dir():
                for package in self.content.files:
                    shutil.copy(package, folder)
            else:
                archives.unpack(self.content.place, folder)
            yield folder


def parts() -> list[RootFs]:
    """Return the root file systems of the registry that holds all workloads."""
    return [*of_workloads(), RootFs("registry", DEFAULT)]


def of_workloads() -> list[RootFs]:
    """Return the root file systems of the workloads."""
    return [RootFs(name, WORKLOADS) for name in sorted({work.of for work in workloads().values()})]


def registry_reference() -> str:
    """Return the name, on the outer engine, of the image of the registry that holds all workloads."""
    digest = hashlib.sha256((IMAGES / "workloads.yaml").read_bytes())
    for part in parts():
        digest.update(part.reference.encode())
    return f"swarmlab/lab-registry:{digest.hexdigest()[:12]}"


@contextlib.contextmanager
def making_images(progress: Progress = lambda _: None) -> Iterator[None]:
    """Let one process at a time make images, and remove what a killed process left of its work.

    Args:
        progress: called with a line before it waits for another process.
    """
    with alone("images", progress, folder=cache_folder()):
        for left in cache_folder().glob("image-*"):
            shutil.rmtree(left, ignore_errors=True)
            remove_as_root(left)
        yield
