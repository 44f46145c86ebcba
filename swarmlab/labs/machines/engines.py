"""The engines that machines can have: the choice of one, the control groups it needs, and what installs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmlab.cluster.node import Node
from swarmlab.errors import UsageError
from swarmlab.images import stock
from swarmlab.images.engines import EngineChoice, engine_choice, held
from swarmlab.images.releases import release_of
from swarmlab.labs.machines import packages
from swarmlab.paths import PROVISION
from swarmlab.versions import parsed

#: Docker's repository of packages for CentOS, which the document names.
_CENTOS = "https://download.docker.com/linux/centos"
#: The document's engine, and the first and the last that the suites can judge of that repository's for CentOS 7.
_DOCUMENT, _FIRST, _LAST = "18.03.1", (17, 6), (26, 1)


def on_centos(name: str) -> EngineChoice:
    """Return the engine of this name among Docker's packages for CentOS 7.

    Args:
        name: a whole version, with or without "-ce"; empty for the document's.

    Raises:
        UsageError: it is no version, or not one of those packages.

    Example:
        on_centos("").version == "18.03.1-ce"
    """
    plain = (name or _DOCUMENT).removesuffix("-ce")
    if not re.fullmatch(r"\d+\.\d+\.\d+", plain):
        raise UsageError(
            f"--engine {name}: the provider virtualbox takes whole versions of docker-ce, such as 18.06.3; leave it "
            f"out for the document's {_DOCUMENT}"
        )
    if not _FIRST <= parsed(plain)[:2] <= _LAST:
        raise UsageError(f"--engine {name}: docker-ce for CentOS 7 is judged from 17.06 on, and ends with 26.1")
    version = stock.official_version(plain)
    return EngineChoice(version, version, "packages", _CENTOS)


def choose(names: Sequence[str], provider: str) -> list[EngineChoice]:
    """Return the engines of these names for machines of a provider.

    Raises:
        UsageError: there is no such engine, or the provider does not have it.
    """
    return [on_centos(name) if provider == "virtualbox" else engine_choice(name) for name in names]


def control_groups(choice: EngineChoice) -> str:
    """Return the version of control groups for a machine that begins with this engine: v2 if the engine can use it.

    Later engines of an upgrade use either.
    """
    return "v1" if release_of(choice.version).needs_cgroup_v1 else "v2"


@dataclass(frozen=True)
class Parcel:
    """What is sent to a machine of Debian to give it an engine.

    Attributes:
        files: files on this host, without two of one name; none if the machine has the engine already.
        command: the shell command that installs it, run as root in a folder with these files.
    """

    files: tuple[Path, ...]
    command: str

    @property
    def has_release(self) -> bool:
        """Whether the machine is of another release afterwards, as its /etc/os-release has it."""
        return any(file.name.startswith("base-files_") for file in self.files)


def parcel(choice: EngineChoice, node: Node, folder: Path, outside: Sequence[str] = ()) -> Parcel:
    """Return what gives a machine an engine.

    Args:
        choice: the engine, whose archive or packages are on this host (see `swarmlab.images.engines.obtain`).
        node: the machine.
        folder: where downloads of Debian's packages are kept.
        outside: prefix of commands that download (see `swarmlab.netns.outside`).

    Raises:
        LabError: packages of Debian cannot be downloaded, or the machine cannot be reached.
        UsageError: the archive or the packages are not here.
    """
    if choice.source == "archive":
        archive = held(choice).place
        script, units = PROVISION / "archive.sh", (PROVISION / "docker.service", PROVISION / "docker.socket")
        return Parcel((archive, script, *units), f"sh -eu {script.name} {shlex.quote(archive.name)}")
    if choice.source == "packages":
        found = held(choice).files
    else:
        installed = node.run("cat /var/lib/dpkg/status").expect(f"the list of packages on {node}")
        found = tuple(sorted(packages.fetch(choice, installed, folder, outside).glob("*.deb")))
    script = PROVISION / "packages.sh"
    return Parcel((*found, script) if found else (), f"sh -eu {script.name}")
