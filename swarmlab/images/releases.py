"""What each release line of the engine speaks, and what it needs of the host."""

from __future__ import annotations

import functools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from swarmlab.errors import UsageError
from swarmlab.paths import IMAGES
from swarmlab.versions import Version, parsed

#: Where the kernel shows its control groups; with this file there, all of them are of version 2.
_CGROUP2 = Path("/sys/fs/cgroup/cgroup.controllers")
_FILESYSTEMS = Path("/proc/filesystems")


@dataclass(frozen=True)
class Release:
    """A release line of the engine.

    Attributes:
        line: its number, such as "18.03".
        api: the newest version of the API that it speaks.
        cgroups: the versions of control groups that it can use, in words.
        kernel: the oldest kernel that it runs on.
    """

    line: str
    api: str
    cgroups: str
    kernel: str


@functools.cache
def releases() -> tuple[Release, ...]:
    """Return the release lines, the oldest first."""
    listed = yaml.safe_load((IMAGES / "releases.yaml").read_text(encoding="utf-8"))
    return tuple(Release(line, **facts) for line, facts in listed.items())


def release_of(version: str) -> Release:
    """Return the release line of a version: the newest that is not newer than it, or else the oldest."""
    older = [release for release in releases() if parsed(release.line) <= parsed(version)]
    return (older or releases()[:1])[-1]


def check_host(version: str) -> None:
    """Check that an engine of this version can run in containers on this host, as far as that can be seen before.

    Raises:
        UsageError: it cannot; the message names what the host lacks.

    Example:
        check_host("18.03.1-ce")
    """
    release = release_of(version)
    if "v2" not in release.cgroups and _CGROUP2.exists():
        raise UsageError(
            f"engine {version} needs cgroup v1, and this host has cgroup v2 only; boot it with "
            "systemd.unified_cgroup_hierarchy=0, take machines (--lab vagrant), or an engine from 20.10 on"
        )
    kernel: Version = parsed(os.uname().release)
    if kernel < parsed(release.kernel):
        raise UsageError(
            f"engine {version} needs a kernel from {release.kernel} on, and this host has {os.uname().release}"
        )
    if not _has_overlay():
        raise UsageError(
            f"engine {version} has no storage driver on this host: its kernel has no overlay file system "
            "(CONFIG_OVERLAY_FS); load the module overlay, or take another kernel"
        )


def _has_overlay() -> bool:
    """Whether the kernel has the overlay file system, built in, loaded or as a module that can be loaded."""
    if "\toverlay\n" in _FILESYSTEMS.read_text(encoding="ascii"):
        return True
    try:
        return subprocess.run(["modprobe", "--dry-run", "overlay"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
