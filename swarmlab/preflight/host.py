"""Checks of this machine, whether a lab can be brought up on it, and of the features that a lab offers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import docker

from swarmlab.cluster import deadline
from swarmlab.cluster.discretion import be_discreet
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Forbidden, SwarmlabError
from swarmlab.host import as_root, cache_folder, why_not_root
from swarmlab.images.releases import has_overlay
from swarmlab.labs import outer
from swarmlab.labs.base import Lab
from swarmlab.labs.containers import fitness
from swarmlab.labs.outer import OuterEngine
from swarmlab.parallel import parallel
from swarmlab.paths import REPORTS, command
from swarmlab.preflight.checks import CHECKS, preflight
from swarmlab.preflight.finding import Finding, Level
from swarmlab.wait import scaled

#: The checks of this machine and of the lab's offers, each with what it looks at.
SUMMARIES = {
    "host-memory": "Whether this machine has memory for a lab",
    "host-disk": "Whether this machine has room for images and reports",
    "host-cgroups": "Which version of cgroups this machine has",
    "host-overlayfs": "Whether this machine's kernel knows overlayfs",
    "host-image-builder": "Whether images can be made here without one that is pulled",
    "host-engine": "Whether the engine whose containers are nodes answers",
    "lab-offers": "Which features the lab lacks that claims need",
}
#: All checks, each with what it looks at.
EVERY = SUMMARIES | {name: check.summary for name, check in CHECKS.items()}
_MEMORY_PER_NODE = 0.2  # GiB: an idle node uses 0.1, the rest is for tasks
#: Seconds at reference speed in which a node shows what it offers.
_OFFERED = 10.0
#: How a feature comes to be offered.
_OFFERS = {
    "ipvs": "load it in the kernel that the nodes run on: modprobe ip_vs",
    "encryption": "load it in the kernel that the nodes run on: modprobe -a esp4 xfrm_user",
    "internet": "let the nodes reach http://deb.debian.org/",
}


def machine() -> Iterator[Finding]:
    """Check what labs need of this machine: memory, disk, cgroups, overlayfs and the builder of images."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    few = memory < 3 * _MEMORY_PER_NODE + 1
    fewer = f"add memory, or bring up fewer nodes: {command('swarmlab', 'up')} --nodes 1"
    yield _finding("host-memory", few, f"{memory:.1f} GiB", "three nodes and their tasks need 1.6 GiB", fewer)
    yield from _disks()
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    yield Finding(Level.OK, f"version {version}", check="host-cgroups")
    if has_overlay():
        yield Finding(Level.OK, "the kernel has it", check="host-overlayfs")
    else:
        mend = "modprobe overlay; or take a kernel that has it (CONFIG_OVERLAY_FS)"
        risk = "no lab can be brought up"
        yield Finding(Level.ERROR, "the kernel has no overlayfs", risk, check="host-overlayfs", mend=mend)
    builder, root = shutil.which("mmdebstrap"), as_root() is not None
    if builder and root:
        yield Finding(Level.OK, builder, check="host-image-builder")
    else:
        lack = f"mmdebstrap takes root ({why_not_root()})" if builder else "mmdebstrap is missing"
        yield Finding(
            Level.INFO,
            f"{lack}, so Debian's base image is pulled",
            "the registry of images must be reached",
            check="host-image-builder",
            mend="run as root, with sudo" if builder else "apt-get install mmdebstrap",
        )


def _disks() -> Iterator[Finding]:
    room = "make room: docker system prune, apt-get clean; or set SWARMLAB_CACHE to a folder on another disk"
    lacking = False
    for what, folder, wanted in (("images", cache_folder(), fitness.CACHE), ("reports", REPORTS, fitness.REPORTS)):
        free = fitness.free_at(folder)
        if free is not None and free < wanted:
            summary = f"{folder}: {fitness.gib(free)} GiB free"
            yield _finding("host-disk", True, summary, f"{what} need {fitness.gib(wanted)} GiB", room)
            lacking = True
    if not lacking:
        yield Finding(Level.OK, "the cache and the reports have room", check="host-disk")


def _finding(check: str, trouble: bool, summary: str, risk: str, mend: str) -> Finding:
    if not trouble:
        return Finding(Level.OK, summary, check=check)
    return Finding(Level.WARNING, summary, risk, check=check, mend=mend)


def engine(running: OuterEngine | None, failed: SwarmlabError | None) -> Finding:
    """Check the outer engine, whose containers are nodes.

    Args:
        running: the engine, if one runs.
        failed: the error of connecting to it, if there was one.
    """
    check = "host-engine"
    risk = "no lab can be brought up"
    if isinstance(failed, Forbidden):
        return Finding(Level.ERROR, failed.what, risk, check=check, mend=failed.ways)
    if failed:
        mend = "systemctl start docker, or mend what the reason names; another engine: DOCKER_HOST=ADDRESS"
        return Finding(Level.ERROR, str(failed), risk, check=check, mend=mend)
    if running:
        return Finding(Level.OK, f"{running.client.version()['Version']} at {running.url}", check=check)
    said = outer.absence()
    if mend := outer.barred():
        return Finding(Level.ERROR, said, risk, check=check, mend=mend)
    mend = f"nothing needs to be done: {command('swarmlab', 'up')} starts one, and installs it where it is missing"
    return Finding(Level.INFO, said, check=check, mend=mend)


def offers(lab: Lab) -> list[Finding]:
    """Check which features a lab lacks. Claims that need them are blocked."""
    features = ("ipvs", "encryption", "internet")
    try:
        with deadline.within(scaled(_OFFERED)):
            lacking = parallel(lambda feature: "".join(lab.offers.missing([feature])), features)
    except (SwarmlabError, docker.errors.DockerException) as failed:
        mend = "on the node: systemctl restart docker, and look again"
        return [Finding(Level.UNKNOWN, f"could not be tried: {failed}", check="lab-offers", mend=mend)]
    found = [
        Finding(
            Level.INFO,
            f"{feature}: {missing}",
            "claims that need it are blocked",
            check="lab-offers",
            mend=_OFFERS.get(feature, ""),
        )
        for feature, missing in zip(features, lacking, strict=True)
        if missing
    ]
    return found or [Finding(Level.OK, ", ".join(features), check="lab-offers")]


def lab_facts(lab: Lab) -> dict[str, Any]:
    """Return the kind of a lab and the engine of each of its nodes; a node that does not answer soon has none."""

    def engine_of(node: Node) -> str:
        try:
            return str(node.ask("GET", "/version")["Version"])
        except (SwarmlabError, docker.errors.DockerException):
            return ""

    with deadline.within(scaled(_OFFERED)):
        return {"kind": lab.kind, "nodes": [{"engine": engine} for engine in parallel(engine_of, lab.nodes())]}


def lab_and_swarm(
    lab: Lab,
    skip: Mapping[str, str],
    *,
    progress: Callable[[str], None] = lambda _: None,
    unreached: Mapping[str, str] = MappingProxyType({}),
) -> list[Finding]:
    """Return the findings about a lab's offers, and about its swarm.

    Args:
        lab: a lab that is up.
        skip: reasons by name of the checks to leave out.
        progress: called with a line where nodes let others wait.
        unreached: the reasons by name of machines of the swarm that could not be reached.
    """
    nodes = lab.nodes()
    if not all(node.discretion for node in nodes):
        be_discreet(nodes, hurried=True)
    looks = [lambda: offers(lab), lambda: preflight(Swarm(nodes), skip, progress=progress, unreached=unreached)]
    return [finding for findings in parallel(lambda look: look(), looks) for finding in findings]
