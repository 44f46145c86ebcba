"""What stands in the way of bringing a lab up on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from swarmlab.errors import SwarmlabError
from swarmlab.labs.base import Lab
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.parallel import parallel
from swarmlab.preflight.finding import Finding, Level

#: The names of what is looked at here.
NAMES = (
    "host-memory",
    "host-disk",
    "host-cgroups",
    "host-overlayfs",
    "host-image-builder",
    "host-engine",
    "lab-offers",
)
_MEMORY_PER_NODE = 0.2  # GiB; 100 MB measured idle, the rest for tasks
_DISK = 6  # GiB; images, and the nodes' copies of them


def machine() -> Iterator[Finding]:
    """What this machine has, as far as labs need it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    few = memory < 3 * _MEMORY_PER_NODE + 1
    yield _finding("host-memory", few, f"{memory:.1f} GiB", "three nodes and their tasks take 1.6 GiB")
    free = shutil.disk_usage("/").free / 2**30
    yield _finding("host-disk", free < _DISK, f"{free:.0f} GiB free", f"images take {_DISK} GiB")
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    yield Finding(Level.OK, f"version {version}", check="host-cgroups")
    lacking = "overlay" not in Path("/proc/filesystems").read_text()
    seen = "not known yet" if lacking else "known to the kernel"
    yield _finding("host-overlayfs", lacking, seen, "modprobe overlay, or nodes are slow")
    builder = shutil.which("mmdebstrap")
    seen = builder or "none; Debian's base image is pulled instead"
    yield Finding(Level.OK if builder else Level.INFO, seen, "apt-get install mmdebstrap", check="host-image-builder")


def _finding(check: str, trouble: bool, seen: str, risk: str) -> Finding:
    return Finding(Level.WARNING if trouble else Level.OK, seen, risk if trouble else "", check=check)


def engine(running: OuterEngine | None, failed: SwarmlabError | None) -> Finding:
    """The engine that holds labs: which it is, or how one is to be had."""
    check = "host-engine"
    if failed:
        return Finding(Level.ERROR, str(failed), check=check)
    if running:
        return Finding(Level.OK, f"{running.client.version()['Version']} at {running.url}", check=check)
    if os.environ.get("DOCKER_HOST"):
        url = os.environ["DOCKER_HOST"]
        return Finding(Level.ERROR, f"none answers at DOCKER_HOST={url}", "mend or unset DOCKER_HOST", check=check)
    how = "docker is installed and is started when needed" if shutil.which("dockerd") else "docker.io is installed"
    if os.geteuid() == 0:
        return Finding(Level.INFO, f"none runs; {how} by `up`", check=check)
    mend = "start one, join the group docker, or run as root"
    return Finding(Level.ERROR, "none that this user reaches", mend, check=check)


def offers(lab: Lab) -> list[Finding]:
    """What a lab does not offer, so that claims that need it are blocked."""
    features = ("ipvs", "encryption", "internet")
    lacking = parallel(lambda feature: "".join(lab.offers.missing([feature])), features)
    mend = "the claims that need it are blocked"
    found = [
        Finding(Level.INFO, f"{feature}: {missing}", mend, check="lab-offers")
        for feature, missing in zip(features, lacking, strict=True)
        if missing
    ]
    return found or [Finding(Level.OK, ", ".join(features), check="lab-offers")]
