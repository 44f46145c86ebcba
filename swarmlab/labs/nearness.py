"""Whether this process can send packets to an engine's networks, told without a packet and without making anything.

An engine on this machine keeps its networks as bridges in its own network namespace. Where that is this process's
namespace, the bridges are here. The engine may be elsewhere: on another machine, in a virtual machine as with Docker
Desktop and Colima, in another container, or in a namespace that this user may not enter.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker

from swarmlab import netns
from swarmlab.files import shown

#: The option of a network that has the name of its bridge.
_NAME = "com.docker.network.bridge.name"


def why_apart(client: docker.DockerClient, url: str) -> str:
    """Return why an engine's networks are out of this process's reach; empty if they are in reach.

    Args:
        client: a client of the engine.
        url: its address; of an engine behind ssh, the ssh:// one.
    """
    info: dict[str, Any] = client.info()
    if sys.platform != "linux":
        return "this system is not Linux, and the engine runs in a virtual machine"
    listener = listener_pid(url)
    bridges = _bridges(client.networks.list())
    own = [name for name, default in bridges.items() if not default]
    for name in own[:1] or list(bridges)[:1]:
        if netns.interface_exists(name):
            # The names of user-defined networks' bridges are the engine's alone. Its default bridge is docker0 with
            # each engine, so this may be another engine's.
            return "" if own else _other_machine(info)
        if listener and netns.may_enter(f"/proc/{listener}/ns/net", name):
            return ""
        return _other_machine(info) or "its networks are in a namespace that this user may not enter"
    return _other_machine(info)  # it has no bridge at all


def listener_pid(url: str) -> int | None:
    """Return the id of the process that listens on a unix socket; None if it is not known.

    Source: unix(7), SO_PEERCRED.
    """
    if not url.startswith("unix://") or not hasattr(socket, "SO_PEERCRED"):
        return None
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(url.removeprefix("unix://"))
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid or None


def _bridges(networks: list[Any]) -> dict[str, bool]:
    """Return the bridges of an engine by name, and whether each is that of the default network."""
    found = {}
    for network in networks:
        if network.attrs.get("Driver") == "bridge" and network.attrs.get("Scope", "local") == "local":
            options = network.attrs.get("Options") or {}
            default = network.attrs.get("Name") == "bridge"
            found[options.get(_NAME) or ("docker0" if default else f"br-{str(network.id)[:12]}")] = default
    return found


def _other_machine(info: Mapping[str, Any]) -> str:
    """Return in words that an engine runs on another machine than this process; empty if it may be this one."""
    name, kernel = str(info.get("Name") or ""), str(info.get("KernelVersion") or "")
    if kernel and kernel != os.uname().release:
        return f"it runs on another machine ({shown(name, 60)}, kernel {shown(kernel, 60)})"
    if name and name not in (socket.gethostname(), platform.node()):
        return f"it runs on another machine ({shown(name, 60)})"
    # A container has a host name of its own, which an engine on the same kernel does not know.
    return "" if Path("/proc").exists() else "it runs on another machine"
