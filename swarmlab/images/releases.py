"""What each release line of the engine speaks, and what it needs of the host."""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.files import read_yaml, shown
from swarmlab.paths import IMAGES
from swarmlab.versions import Version, parsed

#: Where the kernel shows its control groups; with this file there, all of them are of version 2.
_CGROUP2 = Path("/sys/fs/cgroup/cgroup.controllers")
_FILESYSTEMS = Path("/proc/filesystems")
#: Numbers of netlink(7): its protocol for netfilter, a request for all tables of nf_tables, and an answer of an error.
_NETLINK_NETFILTER, _NFTABLES, _GET_TABLE, _REQUEST, _DUMP, _ERROR = 12, 10, 1, 0x1, 0x300, 2


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

    @property
    def needs_cgroup_v1(self) -> bool:
        """Whether it cannot use control groups of version 2."""
        return "v2" not in self.cgroups


@functools.cache
def releases() -> tuple[Release, ...]:
    """Return the release lines, the oldest first.

    Raises:
        UsageError: the list of them cannot be read, or is none.
    """
    file = IMAGES / "releases.yaml"
    listed = read_yaml(file)
    if not isinstance(listed, dict) or not listed:
        raise UsageError(f"{file}: is no list of release lines: write lines LINE: {{api, cgroups, kernel}}")
    for line, facts in listed.items():
        whole = isinstance(facts, dict) and set(facts) == {"api", "cgroups", "kernel"}
        if not isinstance(line, str) or not whole or not all(isinstance(fact, str) for fact in facts.values()):
            raise UsageError(f"{file}: {shown(line, 60)}: needs api, cgroups and kernel, and each as text in quotes")
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
    if release.needs_cgroup_v1 and _CGROUP2.exists():
        raise UsageError(
            f"engine {version} needs cgroup v1, and this host has cgroup v2 only; boot it with "
            "systemd.unified_cgroup_hierarchy=0, take machines (--lab vagrant), or an engine from 20.10 on"
        )
    kernel: Version = parsed(os.uname().release)
    if kernel < parsed(release.kernel):
        raise UsageError(
            f"engine {version} needs a kernel from {release.kernel} on; this host has {os.uname().release}"
        )
    if not has_overlay():
        raise UsageError(
            f"engine {version} has no storage driver on this host: its kernel has no overlay file system "
            "(CONFIG_OVERLAY_FS); load the module overlay, or take another kernel"
        )
    if not _has_nf_tables():
        raise UsageError(
            f"engine {version} cannot set up networks on this host: its kernel has no nf_tables "
            "(CONFIG_NF_TABLES), which iptables of its nodes uses; load that module, or take another kernel"
        )


def _has_nf_tables() -> bool:
    """Whether the kernel answers for nf_tables; True as well where this process may not ask.

    Source: nfnetlink in the kernel, which answers EINVAL for a subsystem that it lacks and cannot load.
    """
    length, kind, flags, sequence = 20, _NFTABLES << 8 | _GET_TABLE, _REQUEST | _DUMP, 1
    question = struct.pack("=IHHII", length, kind, flags, sequence, 0) + struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asked:
            asked.send(question)
            answer = asked.recv(4096)
    except OSError as failed:
        return failed.errno not in (errno.EPROTONOSUPPORT, errno.ECONNREFUSED)
    if struct.unpack_from("=H", answer, 4)[0] != _ERROR:
        return True
    return -int(struct.unpack_from("=i", answer, 16)[0]) != errno.EINVAL


def has_overlay() -> bool:
    """Whether the kernel has the overlay file system, built in, loaded or as a module that can be loaded."""
    if "\toverlay\n" in _FILESYSTEMS.read_text(encoding="ascii"):
        return True
    try:
        return subprocess.run(["modprobe", "--dry-run", "overlay"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
