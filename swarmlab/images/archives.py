"""What static archives of engines and folders of engine packages hold, and whether this machine can run it.

A static archive is Docker's docker-VERSION.tgz: one folder of programs. Up to 18.06 containerd and runc are in it as
docker-containerd and docker-runc, later under their own names.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.host import cache_folder, scratch
from swarmlab.versions import Version

#: Names of this machine's processor: in Docker's static archives, in Debian's packages, and its number in ELF headers.
_PROCESSORS = {
    "x86_64": ("x86_64", "amd64", 62),
    "aarch64": ("aarch64", "arm64", 183),
    "armv7l": ("armhf", "armhf", 40),
    "armv6l": ("armel", "armel", 40),
    "ppc64le": ("ppc64le", "ppc64el", 21),
    "s390x": ("s390x", "s390x", 22),
}
_ENGINE = "dockerd"
#: Packages that contain the engine's program.
_ENGINE_PACKAGES = ("docker-ce", "docker-engine", "docker.io")
#: Packages that a node has no use for, and that need further packages.
_UNUSED_PACKAGES = ("docker-ce-rootless-extras",)
_NAMED = re.compile(r"docker-(\d+(?:\.\d+)+(?:-ce)?)[^/]*\.(?:tgz|tar\.gz)")
#: The names of programs up to 18.06, and their names since.
_RENAMED = {
    "docker-containerd": "containerd",
    "docker-containerd-ctr": "ctr",
    "docker-containerd-shim": "containerd-shim",
    "docker-runc": "runc",
}
_INTERPRETER = 3  # PT_INTERP


@dataclass(frozen=True)
class Content:
    """The content of an archive or of a folder of packages.

    Attributes:
        place: the archive or the folder.
        files: the archive, or the packages to install.
        sha256: the archive's hash; of a folder, a hash of the packages' hashes.
        version: the engine's version, without what a distribution adds.
        libc: the newest version of the C library that a program asks for; () if all are linked statically.
    """

    place: Path
    files: tuple[Path, ...]
    sha256: str
    version: str
    libc: Version


def processor() -> tuple[str, str, int]:
    """Return the names of this machine's processor: in Docker's archives, in packages, and in ELF headers.

    Raises:
        UsageError: Docker has no engine for it.
    """
    machine = os.uname().machine
    if machine not in _PROCESSORS:
        raise UsageError(f"Docker has no static archives for this machine's processor, {machine}")
    return _PROCESSORS[machine]


def version_in(name: str) -> str:
    """Return the engine's version in an archive's name.

    Raises:
        UsageError: it has none.
    """
    found = _NAMED.fullmatch(name.rpartition("/")[2])
    if not found:
        raise UsageError(f"engine {name}: its name has no version; name the archive docker-VERSION.tgz")
    return found[1]


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def archive(file: Path, digest: str, name: str) -> Content:
    """Read a static archive to its end.

    Args:
        file: the archive.
        digest: its SHA-256.
        name: the name that its user knows it by, for messages, and for the version of an engine that does not start.

    Raises:
        UsageError: it is cut or damaged, holds no engine, or an engine for another processor.
    """
    with scratch("engine") as made:
        programs = unpack(file, made, name)
        engine = made / _ENGINE
        _check_processor(name, engine)
        try:
            libc = max((_libc(program) for program in programs), default=())
        except (struct.error, IndexError):
            raise UsageError(f"engine {name}: a program in it is cut or damaged; get it anew") from None
        return Content(file, (file,), digest, _version(name, engine), libc)


def unpack(file: Path, folder: Path, name: str = "") -> list[Path]:
    """Unpack the programs of a static archive into a folder, and return them.

    Programs that have their old names alone get their present names too, as links.

    Args:
        file: the archive.
        folder: where its programs are put.
        name: its name for messages, if not the file's.

    Raises:
        UsageError: see `archive`.
    """
    name = name or str(file)
    with _opened(file, name) as content:
        members = [member for member in content if member.isreg()]
        engines = [member for member in members if Path(member.name).name == _ENGINE]
        if len(engines) != 1:
            held = ", ".join(member.name for member in members[:5]) or "nothing"
            raise UsageError(f"engine {name}: is no static archive of an engine; it holds {held}, and not one dockerd")
        programs = []
        for member in members:
            if Path(member.name).parent != Path(engines[0].name).parent:
                continue
            program = folder / Path(member.name).name
            source = content.extractfile(member)
            assert source is not None
            with program.open("wb") as target:
                shutil.copyfileobj(source, target)
            program.chmod(0o755)
            programs.append(program)
    for old, name in _RENAMED.items():
        if (folder / old).exists() and not (folder / name).exists():
            (folder / name).symlink_to(old)
    return programs


@contextmanager
def _opened(file: Path, name: str) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file) as content:
            yield content
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as failed:
        if getattr(failed, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise UsageError(f"{cache_folder()}: {failed}; make room there, or set SWARMLAB_CACHE") from failed
        reason = getattr(failed, "strerror", None) or (str(failed) or type(failed).__name__).splitlines()[0]
        if reason.startswith("file could not be opened"):  # a list of all forms that it is none of follows
            reason = "it is none"
        raise UsageError(f"engine {name}: cannot be read as an archive ({reason}); get it anew") from failed


def _check_processor(name: str, program: Path) -> None:
    ours = processor()
    with program.open("rb") as opened:
        header = opened.read(20)
    if len(header) < 20 or header[:4] != b"\x7fELF":
        raise UsageError(f"engine {name}: its dockerd is no program of Linux")
    number = int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")
    if number != ours[2]:
        theirs = next((names[0] for names in _PROCESSORS.values() if names[2] == number), f"processor {number}")
        raise UsageError(f"engine {name}: is for {theirs}, and this machine is {ours[0]}; get the archive of {ours[0]}")


def _version(name: str, engine: Path) -> str:
    """Return what the engine says of itself, or what its archive's name says if the engine does not start here."""
    try:
        done = subprocess.run([engine, "--version"], check=False, capture_output=True, text=True, timeout=60)
        found = re.search(r"version (\d+(?:\.\d+)+(?:-ce)?)", done.stdout)
    except (OSError, subprocess.TimeoutExpired):
        found = None
    return found[1] if found else version_in(name)


def _libc(program: Path) -> Version:
    """Return the newest version of the C library that a program asks for; () if it is linked statically.

    Source: elf(5), program headers; the names of symbol versions, such as GLIBC_2.34.
    """
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02" or not _is_dynamic(data):
        return ()
    return max(((2, int(minor)) for minor in re.findall(rb"GLIBC_2\.(\d+)", data)), default=())


def _is_dynamic(data: bytes) -> bool:
    order = ">" if data[5] == 2 else "<"
    (start,) = struct.unpack_from(f"{order}Q", data, 32)
    size, count = struct.unpack_from(f"{order}HH", data, 54)
    kinds = [struct.unpack_from(f"{order}I", data, start + at * size)[0] for at in range(count)]
    return _INTERPRETER in kinds


# Packages


def packages(folder: Path) -> Content:
    """Read a folder of .deb packages.

    Raises:
        UsageError: it holds no engine, several, or one for another processor; or this machine has no dpkg-deb.
    """
    if not shutil.which("dpkg-deb"):
        raise UsageError(f"engine {folder}: this machine has no dpkg-deb to read packages with; give a static archive")
    states = [(file, file.stat()) for file in sorted(folder.glob("*.deb"))]
    return _packages(folder, tuple((file, state.st_size, state.st_mtime_ns) for file, state in states))


@functools.cache
def _packages(folder: Path, states: tuple[tuple[Path, int, int], ...]) -> Content:
    """Read these packages, with sizes and times: those of a folder that has changed are read again."""
    found = {file: _fields(file) for file, _, _ in states}
    found = {file: fields for file, fields in found.items() if fields["Package"] not in _UNUSED_PACKAGES}
    engines = [(file, fields) for file, fields in found.items() if fields["Package"] in _ENGINE_PACKAGES]
    if len(engines) != 1:
        names = ", ".join(file.name for file, _ in engines) or "none"
        raise UsageError(
            f"engine {folder}: is a folder of packages that has to hold one package docker-ce; it holds {names}"
        )
    ours = processor()[1]
    for file, fields in found.items():
        if fields["Architecture"] not in (ours, "all"):
            raise UsageError(f"engine {file}: is for {fields['Architecture']}, and this machine is {ours}")
    version = re.match(r"(?:\d+:)?(\d+(?:\.\d+)+)(~ce)?", engines[0][1]["Version"])
    if not version:
        raise UsageError(f"engine {engines[0][0]}: {engines[0][1]['Version']} is no version of an engine")
    digest = hashlib.sha256("".join(f"{sha256(file)}  {file.name}\n" for file in found).encode()).hexdigest()
    asked = [_asked_libc(fields["Depends"]) for fields in found.values()]
    named = f"{version[1]}{'-ce' if version[2] else ''}"
    return Content(folder, tuple(found), digest, named, max(asked))


def _fields(package: Path) -> dict[str, str]:
    names = ("Package", "Version", "Architecture", "Depends")
    command = ["dpkg-deb", "--show", "--showformat=" + "".join(f"${{{name}}}\\n" for name in names), str(package)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"engine {package}: cannot be read as a package ({reason})")
    return dict(zip(names, done.stdout.split("\n"), strict=False))


def _asked_libc(depends: str) -> Version:
    found = re.findall(r"libc6 \(>= (\d+)\.(\d+)", depends)
    return max(((int(major), int(minor)) for major, minor in found), default=())
