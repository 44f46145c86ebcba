"""Which engines container labs cannot work on, and which claims an engine's settings keep from being judged.

Source: dockerd's reference for the settings; the API's GET /info for what an engine tells of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.labs.outer import OuterEngine

#: Bytes of a gibibyte.
_GIB = 2**30
#: Bytes on the engine's disk that images take, and that a lab takes besides; in the cache; and in the reports of a run.
IMAGES, LAB, CACHE, REPORTS = 6 * _GIB, 1 * _GIB, 1 * _GIB, _GIB // 4
#: Where an engine of Debian's or Docker's packages has its settings.
_SETTINGS = Path("/etc/docker/daemon.json")


def check(outer: OuterEngine) -> None:
    """Check that labs can be made on an engine, before anything is made.

    Raises:
        UsageError: they cannot.
    """
    info = outer.client.info()
    for why in refusals(info):
        raise UsageError(f"the engine at {outer.url} {why}")
    free = free_disk(info)
    if free is not None and free < LAB:
        raise UsageError(
            f"{info['DockerRootDir']}, where the engine at {outer.url} keeps volumes, has {gib(free)} GiB free, and a "
            f"lab needs {gib(LAB)}; make room: docker system prune"
        )


def refusals(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield why labs cannot be made on an engine, and how that is mended.

    Args:
        info: what the engine answers to ``GET /info``.
    """
    if info.get("OSType", "linux") != "linux":
        yield f"runs containers of {info['OSType']}; switch it to containers of Linux"
    if "rootless" in security(info):
        yield (
            "is rootless, and nodes need control groups and a /sys that they may write to, which it cannot give them; "
            "name an engine that runs as root (DOCKER_HOST, or a Docker context)"
        )
    if "userns" in security(info):
        yield (
            "maps the users of containers (userns-remap), so that nodes are not root on their files; take that out "
            "of its daemon.json, or as root let SWARMLAB_PRIVATE=1 start another engine"
        )


def security(info: Mapping[str, Any]) -> dict[str, str]:
    """Return what an engine confines containers by: each name, such as "apparmor", with its profile if one is told."""
    found = {}
    for option in info.get("SecurityOptions") or []:
        parts = dict(part.partition("=")[::2] for part in option.split(","))
        found[parts.get("name", option)] = parts.get("profile", "")
    return found


def free_disk(info: Mapping[str, Any]) -> int | None:
    """Return the bytes that are free where an engine keeps images and volumes; None where that cannot be looked at."""
    folder = Path(info.get("DockerRootDir") or "/nowhere")
    # A container, and an ordinary user, may be kept out of it.
    return free_at(folder) if os.access(folder.parent, os.F_OK) else None


def free_at(folder: Path) -> int | None:
    """Return the bytes that are free on the disk of a folder, which need not exist yet; None if nothing tells."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def gib(size: int) -> str:
    """Return a number of bytes in GiB, for a message."""
    return f"{size / _GIB:.1f}"


def own_settings() -> dict[str, Any]:
    """Return the file of settings of this machine's engine; empty if there is none, or it cannot be read."""
    try:
        found = json.loads(_SETTINGS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
