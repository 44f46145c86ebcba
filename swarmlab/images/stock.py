"""The archives of engines on this machine: downloaded once, kept under their SHA-256, and held against engines.lock.

The lock is a text file as sha256sum writes it. Its names are paths on Docker's site, or URLs. A name gets its line when
its archive is first had; from then on the archive has to have that hash, wherever it comes from.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swarmlab import children, netns, outputs
from swarmlab.errors import LabError, UsageError
from swarmlab.evidence import redact
from swarmlab.files import kind_of, named, read_text
from swarmlab.host import Progress, alone, cache_folder, check_cache, scratch
from swarmlab.images import archives, download
from swarmlab.images.archives import Content
from swarmlab.paths import ROOT, command
from swarmlab.versions import parsed

#: Where Docker's static archives are.
SITE = "https://download.docker.com"

_WAYS = "set SWARMLAB_ENGINE_MIRROR or HTTPS_PROXY"
#: The first release whose version has no "-ce".
_PLAIN = (18, 9)
_HEADER = "# SHA-256 of engines' archives, each as it was first had. Commit this file to hold to them.\n"


def folder() -> Path:
    """Return the folder of the archives on this machine. An archive that a user puts there is taken from there.

    Raises:
        UsageError: it cannot be made.
    """
    made = cache_folder() / "engines"
    check_cache()
    try:
        made.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise UsageError(f"{made} cannot be made ({failed.strerror}); set SWARMLAB_CACHE to another folder") from None
    return made


def lock_file() -> Path:
    """Return the file of the archives' hashes."""
    return named(os.environ.get("SWARMLAB_ENGINES_LOCK") or ROOT / "engines.lock", "SWARMLAB_ENGINES_LOCK")


# Names


def official_version(name: str) -> str:
    """Return the version of Docker's that *name* stands for, as in the name of its archive.

    The beginning of a version stands for the newest release that has it: of those in the lock, else of those on this
    machine, else of those on Docker's site.

    Args:
        name: a version or its beginning, with or without "-ce".

    Raises:
        UsageError: no release begins with it, or the site cannot be reached.

    Example:
        official_version("18.03.1") == "18.03.1-ce"
    """
    plain = name.removesuffix("-ce")
    if plain.count(".") >= 2:
        return plain + ("-ce" if parsed(plain) < _PLAIN else "")
    here = [*locked(), *(about["place"] for about in _abouts())]
    if not (meant := _beginning(here, plain)):
        try:
            meant = _beginning(on_site(), plain)
        except UsageError as unreached:
            raise UsageError(f"no engine {name!r} on this machine, and {unreached}") from None
    if not meant:
        raise UsageError(f"no engine {name!r}: {redact(_url(_official_folder()))} has no release that begins with it")
    return max(meant, key=parsed)


def _beginning(places: Iterable[str], plain: str) -> set[str]:
    """Return the versions of those of Docker's archives that begin with *plain*."""
    versions = {archives.version_in(place) for place in places if place.startswith(_official_folder())}
    return {version for version in versions if f"{version.removesuffix('-ce')}.".startswith(f"{plain}.")}


def official_place(version: str) -> str:
    """Return the path of a release's archive on Docker's site."""
    return f"{_official_folder()}docker-{version}.tgz"


def _official_folder() -> str:
    return f"linux/static/stable/{archives.processor()[0]}/"


def _url(place: str) -> str:
    site = os.environ.get("SWARMLAB_ENGINE_MIRROR") or SITE
    return place if "://" in place else f"{site.rstrip('/')}/{place}"


def on_site() -> list[str]:
    """Return the paths of all archives that Docker's site has for this machine's processor.

    Raises:
        UsageError: the site cannot be reached.
    """
    url = _url(_official_folder())
    with scratch("engine") as made:
        file = made / "index"
        if why := _download(url, file):
            raise UsageError(f"{redact(url)} cannot be read ({why}); {_WAYS}, or write a whole version")
        listed = re.findall(r'href="(docker-\d+(?:\.\d+)+(?:-ce)?\.tgz)"', file.read_text(encoding="utf-8"))
    return [f"{_official_folder()}{name}" for name in listed]


# The lock


def locked() -> dict[str, str]:
    """Return the SHA-256 of each archive in the lock, by its path on Docker's site or its URL.

    Raises:
        UsageError: the lock file cannot be read, or has a line that is no hash and name.
    """
    file = lock_file()
    lines = read_text(file, "SWARMLAB_ENGINES_LOCK").splitlines() if kind_of(file) else []
    known = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([0-9a-f]{64})  (\S+)", line.rstrip())
        if not found:
            raise UsageError(f"{file}, line {number}: is not SHA-256, two spaces, and the path or URL of an archive")
        known[found[2]] = found[1]
    return known


def _note(place: str, digest: str) -> None:
    """Add an archive to the lock."""
    known = {**locked(), place: digest}
    file = lock_file()
    try:
        outputs.write(file, _HEADER + "".join(f"{known[place]}  {place}\n" for place in sorted(known)))
    except LabError as failed:
        raise UsageError(f"SWARMLAB_ENGINES_LOCK: {failed}") from None


# The archives


def kept(place: str) -> Content:
    """Return the archive of this path on Docker's site, or URL, which is on this machine.

    Raises:
        UsageError: it is not.
    """
    found = _kept(place)
    if found is None:
        asked = redact(place) if "://" in place else archives.version_in(place)
        fetch = command("swarmlab", "engines", "fetch", asked)
        raise UsageError(f"engine {asked}: is not on this machine; run: {fetch}")
    return found


def _kept(place: str) -> Content | None:
    expected = locked().get(place)
    for about in _abouts():
        file = _file(about["sha256"])
        if about["place"] == place and expected in (None, about["sha256"]) and file.exists():
            return _content(file, about)
    return None


def given(file: Path) -> Content:
    """Return the content of an archive that the user named as a file.

    Raises:
        UsageError: see `archives.archive`.
    """
    try:
        state = file.stat()
    except OSError as failed:
        raise UsageError(f"engine {file}: cannot be read ({failed.strerror})") from None
    if not file.is_file():
        raise UsageError(f"engine {file}: is no file; give a static archive")
    return _given(file.absolute(), state.st_size, state.st_mtime_ns)


@functools.cache
def _given(file: Path, size: int, changed: int) -> Content:  # noqa: ARG001 - a file that has changed is read again
    try:
        digest = archives.sha256(file)
    except OSError as failed:
        raise UsageError(f"engine {file}: cannot be read ({failed.strerror})") from None
    about = _about(digest)
    return _content(file, about) if about else _read(file, digest, str(file))


def obtain(place: str, progress: Progress) -> Content:
    """Return an archive, downloaded if this machine does not have it yet.

    Args:
        place: its path on Docker's site, or its URL.
        progress: called with a line every few seconds.

    Raises:
        UsageError: it cannot be had, has another hash than in the lock, or holds no engine for this machine.
    """
    with alone("engines", progress, folder=folder()):
        _sweep()
        found = _kept(place) or _fetched(place, progress)
        if place not in locked():
            _note(place, found.sha256)
        return found


def _fetched(place: str, progress: Progress) -> Content:
    name = Path(place).name
    brought = folder() / name
    if brought.exists():
        progress(f"taking {brought}")
        return _keep(brought, place, f"{brought}")
    url, partial = _url(place), folder() / f"{name}.part"
    progress(f"downloading {redact(url)}")
    try:
        if why := _download(url, partial, progress):
            known = f"see {command('swarmlab', 'engines', '--all')}" if why.startswith("HTTP 404") else _WAYS
            raise UsageError(f"{redact(url)} cannot be downloaded ({why}); {known}, or bring that file to {brought}")
        return _keep(partial, place, redact(url))
    finally:
        partial.unlink(missing_ok=True)


def _keep(file: Path, place: str, source: str) -> Content:
    """Check an archive, and move it to its place under its hash."""
    digest = archives.sha256(file)
    expected = locked().get(place, digest)
    if digest != expected:
        raise UsageError(
            f"{source} has SHA-256 {digest}, and {lock_file()} says {expected}; get the right file, or remove that "
            "line if the new file is the one to trust"
        )
    _read(file, digest, place)
    file.rename(_file(digest))
    return kept(place)


def _read(file: Path, digest: str, place: str) -> Content:
    """Read an archive to its end, and keep what it holds, as that takes a second."""
    content = archives.archive(file, digest, redact(place) if "://" in place else Path(place).name)
    about = {"place": place, "sha256": digest, "version": content.version, "libc": content.libc}
    with tempfile.NamedTemporaryFile("w", dir=folder(), prefix="about-", delete=False) as made:
        json.dump(about, made)
    Path(made.name).rename(folder() / f"{digest}.json")
    return content


def _content(file: Path, about: dict[str, Any]) -> Content:
    return Content(file, (file,), about["sha256"], about["version"], tuple(about["libc"]))


def _file(digest: str) -> Path:
    return folder() / f"{digest}.tgz"


def _about(digest: str) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads((folder() / f"{digest}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about


def _abouts() -> list[dict[str, Any]]:
    found = [_about(file.stem) for file in sorted(folder().glob("*.json"))]
    return [about for about in found if about]


def archives_here() -> dict[str, Path]:
    """Return the archives that are kept on this machine, by path on Docker's site or URL."""
    return {about["place"]: file for about in _abouts() if (file := _file(about["sha256"])).exists()}


def _sweep() -> None:
    """Remove what a killed process left. Only one process at a time fetches archives."""
    for pattern in ("*.part", "about-*"):
        for left in folder().glob(pattern):
            left.unlink(missing_ok=True)


def _download(url: str, file: Path, progress: Progress = lambda _: None) -> str:
    """Download a file from outside the lab's network namespace; return why it cannot be had, or nothing."""
    command = [*netns.outside(), sys.executable, "-m", download.__name__, url, str(file)]
    with children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout
        assert child.stderr
        try:
            for line in child.stdout:
                progress(f"downloading {file.name.removesuffix('.part')}: {line.strip()}")
            why = child.stderr.read().strip().splitlines()
        except BaseException:
            children.end(child, patience=5)
            raise
    children.ended(child)
    return "" if child.returncode == 0 else (why or ["no reason given"])[-1]
