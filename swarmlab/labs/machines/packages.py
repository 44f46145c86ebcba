"""Packages of another Debian release, for a machine without a way to the outside.

This host's apt is given the machine's list of packages. It finds what the machine lacks for the other release's engine
and downloads that; the machine's own apt installs it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swarmlab import children, downloads
from swarmlab.errors import LabError
from swarmlab.images.engines import UNRELEASED, EngineChoice
from swarmlab.images.recipes import RootFs

_MIRROR = "http://deb.debian.org/debian"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def of_engine(choice: EngineChoice) -> list[str]:
    """Return the names of the packages that an engine of this release consists of."""
    listed = RootFs("machine", choice.place).packages
    return ["containerd", "runc", *(name for name in listed if name.startswith("docker") or name == "iptables")]


def fetch(choice: EngineChoice, installed: str, folder: Path, outside: Sequence[str] = ()) -> Path:
    """Download the packages that a machine lacks for an engine, unless that was done before.

    Args:
        choice: the engine.
        installed: the machine's list of packages (/var/lib/dpkg/status).
        folder: where downloads are kept.
        outside: prefix of commands that download (see `swarmlab.netns.outside`).

    Returns:
        A folder of packages, empty if the machine lacks none.

    Raises:
        LabError: the packages cannot be downloaded, or the machine cannot install them.
    """
    known = hashlib.sha256(installed.encode()).hexdigest()[:12]
    kept = folder / f"{choice.place}-{known}"
    if kept.exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt-", dir=folder) as made:
        root = Path(made)
        for part in ("etc/apt", "lists/partial", "archives/partial"):
            (root / part).mkdir(parents=True)
        (root / "status").write_text(installed, encoding="utf-8")
        (root / "etc/apt/sources.list").write_text(_sources(choice.place), encoding="utf-8")
        settings = {
            "Dir::Etc": root / "etc/apt",
            "Dir::State::Lists": root / "lists",
            "Dir::State::status": root / "status",
            "Dir::Cache": root,
            "Dir::Cache::Archives": root / "archives",
            "Dir::Etc::Parts": "/dev/null",  # this host's settings of apt are not the machine's
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            **({"Acquire::Check-Valid-Until": "false"} if choice.place in UNRELEASED else {}),
        }
        apt = [*outside, "apt-get", "-qq", "-y", *(f"--option={name}={value}" for name, value in settings.items())]
        said = ""
        for verb in (["update"], ["install", "--download-only", *of_engine(choice)]):
            done = children.run([*apt, *verb], capture_output=True, text=True)
            said += done.stderr  # an update that does not reach its mirror ends well, and with a warning
            if done.returncode != 0:
                why = downloads.why(said, "E:", source="Debian's mirror")
                raise LabError(f"the packages of engine {choice} cannot be downloaded: {why}")
        shutil.rmtree(root / "archives" / "partial")
        (root / "archives" / "lock").unlink(missing_ok=True)
        (root / "archives").rename(kept)
    return kept


def _sources(suite: str) -> str:
    places = [f"{_MIRROR} {suite}"]
    if suite not in UNRELEASED:
        places += [f"{_MIRROR} {suite}-updates", f"{_MIRROR}-security {suite}-security"]
    return "".join(f"deb [signed-by={_KEYS}] {place} main\n" for place in places)
