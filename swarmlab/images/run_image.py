"""The project as an image: made by its Dockerfile, of the checkout as it is, on whichever engine is to run it.

Where the engine reaches no registry of images, the base image is made here from Debian packages, and holds the Python
packages as files, so that the same Dockerfile needs no network.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import platform
import re
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.utils.build import exclude_paths
from typing_extensions import override

from swarmlab import netns
from swarmlab.errors import LabError, SwarmlabError, UsageError
from swarmlab.host import Progress
from swarmlab.images.locks import making_images_on
from swarmlab.images.recipes import RootFs
from swarmlab.images.workshop import Workshop, build
from swarmlab.paths import ROOT

#: The name of the image on an engine, without tag.
NAME = "swarmlab/run"
#: Label of the image: a hash of all that its environment is made of.
ENVIRONMENT = "swarmlab.environment"
_DOCKERFILE, _IGNORED, _LOCKED = ROOT / "Dockerfile", ROOT / ".dockerignore", ROOT / "requirements.lock"
#: Where the base image made here has the Python packages.
_WHEELS = "var/lib/swarm-conformance/wheels"
#: The Python of the base image's release.
_PYTHON = "3.13"
#: The C libraries (2.x) that Python packages may be built for: the oldest that they name, and that of the release.
_LIBC = (5, 41)


@dataclass(frozen=True)
class RunBase(RootFs):
    """The base image as it is made here: Debian packages, and the locked Python packages as files."""

    @property
    @override
    def content(self) -> str:
        digest = hashlib.sha256(f"{super().content}\n{platform.machine()}\n".encode())
        digest.update(_LOCKED.read_bytes())
        return digest.hexdigest()[:12]

    @contextlib.contextmanager
    @override
    def staged(self, outside: Sequence[str] = ()) -> Iterator[Path]:
        with super().staged(outside) as folder:
            wheels = folder / "root" / _WHEELS
            wheels.mkdir(parents=True)
            options = ["--only-binary=:all:", f"--python-version={_PYTHON}", "--implementation=cp"]
            options += [f"--platform={name}" for name in _platforms()]
            self._pip(outside, "download", *options, f"--dest={wheels}", f"--requirement={_LOCKED}")
            settings = folder / "root" / "etc" / "pip.conf"
            settings.parent.mkdir(exist_ok=True)
            settings.write_text(f"[global]\nno-index = true\nfind-links = /{_WHEELS}\n", encoding="utf-8")
            yield folder


def _platforms() -> list[str]:
    """Return the names of the platforms whose packages run in the base image, in pip's words.

    Source: PEP 600.
    """
    machine = platform.machine()
    return ["any", f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in range(*_LIBC))]


def files() -> list[Path]:
    """Return the files of the checkout that the image is made of, as `docker build` chooses them by .dockerignore."""
    patterns = [line.strip() for line in _IGNORED.read_text(encoding="utf-8").splitlines()]
    patterns = [line for line in patterns if line and not line.startswith("#")]
    chosen = [ROOT / name for name in exclude_paths(str(ROOT), patterns, dockerfile=_DOCKERFILE.name)]
    return sorted(file for file in chosen if file.is_symlink() or file.is_file())


def base() -> str:
    """Return the base image that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)$", _DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def reference() -> str:
    """Return the image's name on an engine: with a hash of the checkout as it is."""
    digest = hashlib.sha256()
    for file in files():
        digest.update(f"\n{file.relative_to(ROOT)} {file.lstat().st_mode & 0o111}\n".encode())
        digest.update(str(file.readlink()).encode() if file.is_symlink() else file.read_bytes())
    return f"{NAME}:{digest.hexdigest()[:12]}"


def environment() -> str:
    """Return a hash of what the image's environment is made of, which is less than the checkout."""
    made_of = [_DOCKERFILE, _LOCKED, ROOT / "pyproject.toml", ROOT / "setup.sh"]
    made_of += sorted(file for file in (ROOT / "images" / "run").rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in made_of:
        digest.update(f"\n{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def environment_image(client: docker.DockerClient, progress: Progress, *, foreign: str = "") -> str:
    """Return the name of an image with this checkout's environment, whatever checkout it holds; make one if need be.

    Args:
        client: the engine.
        progress: called with a line for every step that takes time.
        foreign: in words that the engine has another processor than this machine, so that no base image for it can be
            made here; empty if it has not.

    Raises:
        LabError: it could not be made; the message says which ways were tried, and why each failed.
        UsageError: this machine has no means to make it.
    """
    for image in client.images.list(filters={"label": f"{ENVIRONMENT}={environment()}"}):
        if image.tags:
            return str(image.tags[0])
    if foreign:
        workshop = Workshop(client, progress)
        try:
            if not workshop.has(base()):
                workshop.pull(base())
        except LabError as refused:
            here = f"{foreign}: the project's image cannot be made here, and {base()}"
            raise UsageError(f"{here} cannot be had there: {refused}") from refused
    return run_image(client, progress)


def run_image(
    client: docker.DockerClient, progress: Progress, *, outside: Sequence[str] | None = None, given: str = ""
) -> str:
    """Return the name of the image of this checkout on an engine; make it if the engine lacks it.

    Args:
        client: the engine.
        progress: called with a line for every step that takes time.
        outside: prefix of commands that download (see `swarmlab.netns.outside`, which is the default).
        given: a base image that the engine has, in place of the Dockerfile's.

    Raises:
        LabError: it could not be made; the message says which ways were tried, and why each failed.
        UsageError: this machine has no means to make it.
    """
    wanted = reference()
    workshop = Workshop(client, progress, outside=netns.outside() if outside is None else outside)
    if workshop.has(wanted):
        return wanted
    suite = base().partition(":")[2].removesuffix("-slim")
    own = RunBase("run", suite)
    failed = ""
    if given or not workshop.has(own.reference):
        try:
            if not (given or workshop.has(base())):
                workshop.pull(base())
            _build(client, wanted, given or base(), progress)
            return wanted
        except LabError as refused:
            if given:
                raise
            failed = f"{base()}: {refused}"
        progress(f"{failed}; making the base image from Debian packages here")
    try:
        _build(client, wanted, workshop.make(own), progress)
    except SwarmlabError as refused:
        first = f"{failed}; and from Debian packages: " if failed else ""
        raise LabError(f"the image of this checkout could not be made: {first}{refused}") from refused
    return wanted


def _build(client: docker.DockerClient, wanted: str, base: str, progress: Progress) -> None:
    progress(f"making the image of this checkout on {base}")
    start = time.monotonic()
    with making_images_on(client, progress):
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for file in files():
                about = archive.gettarinfo(file, str(file.relative_to(ROOT)))
                about.uid = about.gid = 0
                about.uname = about.gname = ""
                if file.is_symlink():
                    archive.addfile(about)
                else:
                    with file.open("rb") as content:
                        archive.addfile(about, content)
        context.seek(0)
        how = {"fileobj": context, "custom_context": True, "dockerfile": _DOCKERFILE.name}
        try:
            build(client, wanted, {ENVIRONMENT: environment()}, buildargs={"BASE": base}, **how)
        except docker.errors.APIError as refused:
            raise LabError(f"the engine could not build it on {base}: {refused.explanation}") from refused
        Workshop(client, progress).forget_older(wanted)
    progress(f"made the image of this checkout in {time.monotonic() - start:.0f} s")
