"""Images of nodes and workloads, made from Debian packages and kept under a hash of all that goes into them.

A root file system is made by mmdebstrap, or, where that is not to be had, by the engine from Debian's base image; the
lists of packages, files and the setup script below images/ serve both.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import yaml
from docker.models.containers import Container

from swarmlab.errors import LabError, UsageError
from swarmlab.labels import OWNER, USER, this_process
from swarmlab.outer import LABEL, Progress, as_root, cache_folder, install
from swarmlab.versions import Version, parsed
from swarmlab.wait import State, wait

FOLDER = Path(__file__).parent.parent / "images"
#: The lab's registry, as nodes know it.
REGISTRY = "registry:5000"
#: The release whose engine is the default, and that workloads are made from.
DEFAULT = "bookworm"
#: Suites that are no releases yet: they have no updates of their own; their files may be past their date on a mirror.
UNRELEASED = ("forky", "sid")

_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
#: Label on every image that is made here; its value is the image's name without tag.
LABEL_IMAGE = "swarmlab.image"
#: Where in a recipe's folder the Python packages go that it lists: its docker-compose looks for them there.
_PYTHON_PACKAGES = "root/usr/local/lib/docker-compose"


@dataclass(frozen=True)
class EngineChoice:
    """An engine that nodes can have.

    Attributes:
        suite: the Debian release that it is a package of.
        version: the version that this release is known to give.
    """

    suite: str
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.suite})"

    @property
    def numbers(self) -> Version:
        """The version as what can be compared."""
        return parsed(self.version)


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
def engines() -> dict[str, EngineChoice]:
    """The engines that can be chosen, by Debian release."""
    known = yaml.safe_load((FOLDER / "engines.yaml").read_text(encoding="utf-8"))
    return {suite: EngineChoice(suite, str(version)) for suite, version in known.items()}


def engine_choice(name: str) -> EngineChoice:
    """The engine of this Debian release or version; a version may be cut short while it is clear, "" is the default.

    Raises:
        UsageError: no engine, or more than one, is meant.
    """
    known = engines()
    if (name or DEFAULT) in known:
        return known[name or DEFAULT]
    meant = [choice for choice in known.values() if f"{choice.version}.".startswith(f"{name}.")]
    if len(meant) == 1:
        return meant[0]
    clear = "more than one engine begins with" if meant else "no engine"
    raise UsageError(f"{clear} {name!r}; choose from {', '.join(map(str, known.values()))}")


@functools.cache
def workloads() -> dict[str, Workload]:
    """The workload images by reference."""
    listed = yaml.safe_load((FOLDER / "workloads.yaml").read_text(encoding="utf-8"))
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
        return FOLDER / self.name

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


class Workshop:
    """Makes images on an outer engine, each once."""

    def __init__(self, client: docker.DockerClient, progress: Progress, *, outside: Sequence[str] = ()) -> None:
        """Set a workshop up.

        Args:
            client: the outer engine.
            progress: called with a line for every image that is made.
            outside: words to put before a command that downloads (see `swarmlab.netns.outside`).
        """
        self._client = client
        self._progress = progress
        self._outside = list(outside)

    def prepare(self, choices: Sequence[EngineChoice]) -> tuple[list[str], str]:
        """Make what a lab of these engines needs and does not have yet.

        Returns:
            The node image of each choice, and the image of the lab's registry, which holds all workloads.

        Raises:
            LabError: an image could not be made.
            UsageError: there is nothing to make it with.
        """
        nodes = [RootFs("node", choice.suite) for choice in choices]
        parts = _parts()
        registry = _registry_reference(parts)
        try:
            with only_one(self._progress):  # looked at only now: another run may have removed older images meanwhile
                wanted = [*nodes, *([] if self._have(registry) else parts)]
                missing = [root for root in dict.fromkeys(wanted) if not self._have(root.reference)]
                with ThreadPoolExecutor(max_workers=2) as pool:
                    list(pool.map(self._make, missing))
                if not self._have(registry):
                    self._fill_registry(registry)
        except docker.errors.APIError as refused:
            raise LabError(f"an image could not be made: {refused.explanation}") from refused
        return [root.reference for root in nodes], registry

    def _have(self, reference: str) -> bool:
        try:
            self._client.images.get(reference)
        except docker.errors.ImageNotFound:
            return False
        return True

    def _make(self, recipe: RootFs) -> None:
        self._progress(f"making image {recipe}'s packages")
        start = time.monotonic()
        root = as_root()
        if shutil.which("mmdebstrap") and root is not None:
            self._by_mmdebstrap(recipe, root)
        elif self._have(recipe.base) or self._pull(recipe.base):
            with recipe.staged(self._outside) as context:
                self._build(recipe.reference, recipe.dockerfile(), context=context)
        elif root is not None:
            install(["mmdebstrap", "debian-archive-keyring"], self._progress)
            self._by_mmdebstrap(recipe, root)
        else:
            raise UsageError(
                f"images cannot be made here: {recipe.base} cannot be pulled, and mmdebstrap takes root's rights; "
                "run once as root, or load that image"
            )
        self._progress(f"made image {recipe}'s packages in {time.monotonic() - start:.0f} s")
        self._forget_older(recipe.reference)

    def _by_mmdebstrap(self, recipe: RootFs, as_root: Sequence[str]) -> None:
        work = tempfile.TemporaryDirectory(prefix="image-", dir=cache_folder())
        with work as folder, recipe.staged(self._outside) as staged:
            tar = Path(folder) / "root.tar"
            # Its work goes there too, so that what a killed build leaves is removed with the folder.
            command = [*self._outside, *as_root, "env", f"TMPDIR={folder}", *recipe.mmdebstrap(tar, staged)]
            made = subprocess.run(command, check=False, capture_output=True, text=True)
            if made.returncode != 0:
                words = [line for line in made.stderr.splitlines() if line.startswith("E:")] or [made.stderr[-300:]]
                raise LabError(f"mmdebstrap could not make image {recipe}: {words[0]}")
            repository, _, tag = recipe.reference.partition(":")
            changes = [*recipe.settings, f"LABEL {LABEL_IMAGE}={repository}"]
            self._client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=changes)

    def _pull(self, base: str) -> bool:
        self._progress(f"pulling {base}")
        try:
            self._client.images.pull(base)
        except docker.errors.APIError:
            return False
        return True

    def _build(self, reference: str, dockerfile: str, context: Path | None = None) -> None:
        labels = {LABEL_IMAGE: reference.partition(":")[0]}
        with tempfile.TemporaryDirectory(prefix="image-", dir=cache_folder()) as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(dockerfile, encoding="utf-8")
            try:
                self._client.images.build(
                    path=str(context or folder),
                    dockerfile=str(file),
                    tag=reference,
                    labels=labels,
                    rm=True,
                    forcerm=True,
                )
            except docker.errors.BuildError as failed:
                raise LabError(f"the engine could not build {reference}: {failed}") from failed

    def _fill_registry(self, reference: str) -> None:
        """Push every workload to a registry, and keep that registry, with what it holds, as an image."""
        self._progress("filling the lab's registry")
        start = time.monotonic()
        self._untag("127.0.0.1:")  # what a filling that was killed left
        container = self._client.containers.run(
            RootFs("registry", DEFAULT).reference,
            detach=True,
            ports={"5000/tcp": ("127.0.0.1", 0)},  # an engine trusts a registry on its own loopback
            labels={LABEL: "images", OWNER: this_process()},
        )
        try:
            wait(lambda: self._listens(container), "the registry to listen", error=LabError)
            container.reload()
            port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
            for work in workloads().values():
                here = f"127.0.0.1:{port}/{work.reference}"
                settings = "\n".join(work.settings)
                self._build(here, f"FROM {RootFs(work.of, DEFAULT).reference}\n{settings}\n")
                for line in self._client.images.push(here, stream=True, decode=True):
                    if "error" in line:
                        raise LabError(f"{work.reference} could not be pushed to the lab's registry: {line['error']}")
                self._client.images.remove(here)
            container.stop()
            repository, _, tag = reference.partition(":")
            # The container's labels go into the image; a container of it must not pass for one of a dead run.
            container.commit(repository, tag, changes=f"LABEL {LABEL_IMAGE}={repository} {OWNER}={USER}")
        finally:
            container.remove(force=True, v=True)
        self._progress(f"filled the lab's registry in {time.monotonic() - start:.0f} s")
        self._forget_older(reference)

    def push(self, registry: str) -> list[str]:
        """Push every workload to a registry that the outer engine may push to; gives their references.

        Args:
            registry: HOST[:PORT][/PATH]; what credentials it takes are those of this user's docker login.

        Raises:
            LabError: one could not be pushed.
        """
        roots = [RootFs(name, DEFAULT) for name in sorted({work.of for work in workloads().values()})]
        pushed = []
        with only_one(self._progress):
            for root in roots:
                if not self._have(root.reference):
                    self._make(root)
            for work in workloads().values():
                there = f"{registry}/{work.reference}"
                settings = "\n".join(work.settings)
                self._build(there, f"FROM {RootFs(work.of, DEFAULT).reference}\n{settings}\n")
                try:
                    for line in self._client.images.push(there, stream=True, decode=True):
                        if "error" in line:
                            raise LabError(f"{there} could not be pushed: {line['error']}")
                finally:
                    self._client.images.remove(there)
                self._progress(f"pushed {there}")
                pushed.append(there)
        return pushed

    def _untag(self, prefix: str) -> None:
        for image in self._client.images.list(filters={"label": LABEL_IMAGE}):
            for tag in image.tags:
                if tag.startswith(prefix):
                    self._client.images.remove(tag)

    @staticmethod
    def _listens(container: Container) -> State:
        container.reload()
        listening = container.exec_run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000"])
        return State(listening.exit_code == 0, container.status, hopeless=container.status != "running")

    def _forget_older(self, reference: str) -> None:
        """Remove the images of the same name that were made from other content, unless a container has them."""
        name = reference.partition(":")[0]
        for image in self._client.images.list(filters={"label": f"{LABEL_IMAGE}={name}"}):
            if reference not in image.tags:
                for tag in image.tags:
                    with contextlib.suppress(docker.errors.APIError):
                        self._client.images.remove(tag)


def registry_reference() -> str:
    """The image, on an outer engine, of a registry that holds all workloads."""
    return _registry_reference(_parts())


def _parts() -> list[RootFs]:
    return [RootFs(name, DEFAULT) for name in sorted({work.of for work in workloads().values()} | {"registry"})]


def archive(client: docker.DockerClient, name: str, progress: Progress) -> Path:
    """The registry that holds all workloads, as a file that any engine loads under *name*; kept for the next time.

    The engine has to have it (see `Workshop.prepare`).

    Raises:
        LabError: the engine does not give it.
    """
    file = archive_file(name)
    with only_one(progress):
        if file.exists():
            return file
        for older in cache_folder().glob(f"{file.name.partition(':')[0]}:*"):
            older.unlink()
        repository, _, tag = name.partition(":")
        with tempfile.NamedTemporaryFile(prefix="image-", dir=cache_folder(), delete=False) as made:
            try:
                client.images.get(registry_reference()).tag(repository, tag)
                for chunk in client.api.get_image(name):
                    made.write(chunk)
                client.images.remove(name, noprune=True)
            except docker.errors.APIError as refused:
                raise LabError(f"the suite's images cannot be saved: {refused.explanation}") from refused
        Path(made.name).rename(file)
    return file


def archive_file(name: str) -> Path:
    """Where `archive` keeps it."""
    return cache_folder() / f"{name}.tar"


def _registry_reference(parts: Sequence[RootFs]) -> str:
    told = hashlib.sha256((FOLDER / "workloads.yaml").read_bytes())
    for part in parts:
        told.update(part.reference.encode())
    return f"swarmlab/lab-registry:{told.hexdigest()[:12]}"


@contextlib.contextmanager
def only_one(progress: Progress = lambda _: None) -> Iterator[None]:
    """Let one process at a time make images, and remove what one that was killed left of its work.

    Args:
        progress: told when another process has to be waited for.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "images.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that makes images")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("image-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
