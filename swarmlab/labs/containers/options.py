"""The options of a node's container."""

from __future__ import annotations

from typing import Any

from swarmlab.images.plain import PLAIN


def node_options(binds: list[str], extra_hosts: dict[str, str], cgroups: int) -> dict[str, Any]:
    """Return the options (HostConfig) of a node's container.

    They are narrower than --privileged, which fails where the machine itself lacks CAP_SYS_RESOURCE. They set what an
    engine may have another default of: runtime, log driver, seccomp, rights of processes, namespace of control groups.

    Args:
        binds: volumes and folders, as the API's Binds has them.
        extra_hosts: addresses for /etc/hosts, by name.
        cgroups: version of the control groups of the engine's host.
    """
    return {
        "CapAdd": ["ALL"],
        "CapDrop": ["SYS_RESOURCE"],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable", "no-new-privileges=false"],
        **PLAIN,
        # With version 2 a node gives each controller to the groups in its own, which may not be the host's.
        "CgroupnsMode": "private" if cgroups == 2 else "",
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": ["a *:* rwm"],
        "Tmpfs": {"/run": "exec,mode=755", "/tmp": "exec,mode=1777"},
        "Binds": binds,
        "ExtraHosts": [f"{name}:{address}" for name, address in extra_hosts.items()],
    }
