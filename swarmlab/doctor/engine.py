"""What the settings of the outer engine, and of its host, mean for labs of containers on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swarmlab.cluster.leavings import REGISTRY_IMAGE
from swarmlab.labs.containers import fitness
from swarmlab.labs.outer import OuterEngine
from swarmlab.preflight.finding import Finding, Level

#: What an engine cannot limit where the control groups of its host lack a controller, by the name in its GET /info.
_LIMITS = {"MemoryLimit": "memory", "CpuCfsQuota": "processors", "PidsLimit": "processes"}
#: Storage drivers that copy an image for each container.
_COPYING = ("vfs",)
#: What confines containers, as GET /info names it, beside SELinux.
_CONFINING = ("apparmor", "seccomp", "no-new-privileges")
#: Threads of a node with tasks; an idle node has some 25.
_THREADS = 400
#: Where the kernel has its limit of threads and processes, of the whole host.
_PID_MAX = Path("/proc/sys/kernel/pid_max")


def settings(engine: OuterEngine | None) -> Iterator[Finding]:
    """Yield what an engine's settings keep from labs, and what is named because it was not tried."""
    if engine is None:
        return
    info: dict[str, Any] = engine.client.info()
    for why in fitness.refusals(info):
        said, _, mend = why.partition("; ")
        yield Finding(Level.ERROR, f"the engine {said}", "no lab can be brought up", mend=mend)
    if lacking := [what for name, what in _LIMITS.items() if info.get(name) is False]:
        yield Finding(
            Level.WARNING,
            f"the engine cannot limit {' and '.join(lacking)} (control groups, version {info.get('CgroupVersion', 1)})",
            "nodes cannot either, and claims about limits fail",
            mend="give the engine's control group all controllers: with systemd Delegate=yes; on the kernel's command "
            "line, no cgroup_disable",
        )
    if info.get("Driver") in _COPYING:
        yield Finding(
            Level.WARNING,
            f"the engine stores images with {info['Driver']}, which copies an image for each container",
            "a lab takes some 2 GiB of disk and minutes more",
            mend="let the engine's folder be on a disk with ext4 or xfs, where it uses overlay2",
        )
    if fitness.own_settings().get("iptables") is False:
        yield Finding(
            Level.WARNING,
            'the engine makes no rules of the firewall ("iptables": false)',
            "nodes have no way to the outside, and reach each other only if the host's firewall forwards their packets",
            mend='take "iptables": false out of /etc/docker/daemon.json, and systemctl restart docker',
        )
    confined = fitness.security(info)
    if "selinux" in confined:
        yield Finding(
            Level.INFO,
            "SELinux confines containers; nodes get label=disable, which was not tried with a policy that enforces",
            mend="if a lab does not come up: ausearch -m avc -ts recent",
        )
    named = ", ".join(name for name in _CONFINING if name in confined) or "nothing"
    control = f"control groups of version {info.get('CgroupVersion', 1)}"
    yield Finding(Level.OK, f"{info.get('Driver')}, {control}; containers are confined by {named}, nodes by nothing")


def room(engine: OuterEngine | None) -> Iterator[Finding]:
    """Yield whether the disk on which an engine keeps images and volumes lacks the room for labs."""
    if engine is None:
        return
    info = engine.client.info()
    free = fitness.free_disk(info)
    wanted = fitness.LAB if engine.client.images.list(name=REGISTRY_IMAGE) else fitness.LAB + fitness.IMAGES
    if free is not None and free < wanted:
        yield Finding(
            Level.WARNING,
            f"{info['DockerRootDir']}, where the engine keeps images and volumes, has {fitness.gib(free)} GiB free",
            f"labs and their images need {fitness.gib(wanted)} GiB",
            mend="make room: docker system prune",
        )


def limits() -> Iterator[Finding]:
    """Yield limits of the kernel that three nodes with tasks would meet.

    Nodes open no inotify instance of their own, and keys of root have a limit of a million.
    """
    most = int(_PID_MAX.read_text())
    if most < 3 * _THREADS + _THREADS:
        yield Finding(
            Level.WARNING,
            f"this machine has room for {most} threads",
            f"three nodes with tasks need {3 * _THREADS}",
            mend="sysctl -w kernel.pid_max=32768",
        )
