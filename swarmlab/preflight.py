"""What stands in the way of a lab on this machine, and what the lab that is up is like: found by looking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swarmlab import kinds, labels, outer
from swarmlab.clocks import BACKDATED, Clock, astray
from swarmlab.errors import SwarmlabError
from swarmlab.lab import Lab
from swarmlab.node import GOSSIP_PORT, MANAGEMENT_PORT
from swarmlab.swarm import Swarm

_MEMORY_PER_NODE = 0.2  # GiB; 100 MB measured idle, the rest for tasks
_DISK = 6  # GiB; images, and the nodes' copies of them


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        level: ok, info (a claim is blocked without it), warning (trouble is likely) or error (no lab).
        seen: what was found.
        mend: what it risks, and how to mend it.
    """

    name: str
    level: str
    seen: str
    mend: str = ""


def findings(lab: str) -> Iterator[Finding]:
    """Look at the machine, and at the lab of this name if it is up."""
    yield from _machine()
    try:
        engine = outer.running()
    except SwarmlabError as failed:
        yield Finding("engine", "error", str(failed))
        return
    if engine is None:
        yield _engine_to_be_had()
        return
    try:
        yield Finding("engine", "ok", f"{engine.client.version()['Version']} at {engine.url}")
        if lab in [standing.name for standing in labels.labs(engine)]:
            yield from _lab(kinds.attach(engine, lab))
        else:
            yield Finding("lab", "info", f"no lab {lab} is up", "bring it up to have it looked at: swarmlab up")
    finally:
        engine.release()


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    few = memory < 3 * _MEMORY_PER_NODE + 1
    yield Finding("memory", "warning" if few else "ok", f"{memory:.1f} GiB", "three nodes and their tasks take 1.6 GiB")
    disk = shutil.disk_usage("/").free / 2**30
    yield Finding("disk", "warning" if disk < _DISK else "ok", f"{disk:.0f} GiB free", f"images take {_DISK} GiB")
    version = 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1
    yield Finding("cgroups", "ok", f"version {version}")
    filesystems = Path("/proc/filesystems").read_text()
    if "overlay" in filesystems:
        yield Finding("overlay file system", "ok", "known to the kernel")
    else:
        yield Finding("overlay file system", "warning", "not known yet", "modprobe overlay, or nodes are slow")
    builder = shutil.which("mmdebstrap")
    seen = builder or "none; Debian's base image is pulled instead"
    yield Finding("image builder", "ok" if builder else "info", seen, "apt-get install mmdebstrap")


def _engine_to_be_had() -> Finding:
    if os.environ.get("DOCKER_HOST"):
        url = os.environ["DOCKER_HOST"]
        return Finding("engine", "error", f"none answers at DOCKER_HOST={url}", "mend or unset DOCKER_HOST")
    how = "docker is installed and is started when needed" if shutil.which("dockerd") else "docker.io is installed"
    if os.geteuid() == 0:
        return Finding("engine", "info", f"none runs; {how} by `up`")
    return Finding("engine", "error", "none that this user reaches", "start one, join the group docker, or run as root")


def _lab(lab: Lab) -> Iterator[Finding]:
    swarm = Swarm(lab.nodes())
    for name, state in swarm.conditions().items():
        yield Finding(name, "ok" if state else "error", state.seen or "yes", "" if state else "see: swarmlab logs DIR")
    yield agreement({node.name: node.clock() for node in swarm.nodes})
    for feature in ("ipvs", "encryption", "internet"):
        missing = "".join(lab.offers.missing([feature]))
        yield Finding(feature, "info" if missing else "ok", missing or "offered", "the claims that need it are blocked")
    for port, targets in ((MANAGEMENT_PORT, swarm.managers), (GOSSIP_PORT, swarm.nodes)):
        closed = [
            f"{source} -> {target}"
            for source in swarm.nodes
            for target in targets
            if source is not target and not source.run(f"nc -z -w 2 {target.address} {port}").ok
        ]
        mend = "a firewall between the nodes, or on one: every node has to let it in"
        yield Finding(f"port {port}/tcp", "error" if closed else "ok", ", ".join(closed) or "open between all", mend)


def agreement(read: Mapping[str, Clock]) -> Finding:
    """Whether the clocks of the nodes agree; if not, whose do not."""
    wrong = astray(read)
    if not wrong:
        return Finding("clocks", "ok", ", ".join(f"{name} {clock}" for name, clock in read.items()))
    late = any(abs(seconds) > BACKDATED for seconds in wrong.values())
    seen = ", ".join(
        f"{name} is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}" for name, seconds in wrong.items()
    )
    mend = "set the clock (ntpd, chronyd): times and ages of tasks are wrong, and a node far behind is not let in"
    return Finding("clocks", "error" if late else "warning", seen, mend)
