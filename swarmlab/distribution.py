"""Which packages this host gets, by its distribution: the lists of provision/hosts.yaml, chosen by /etc/os-release."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import read_yaml
from swarmlab.paths import PROVISION

#: The lists of packages.
FILE = PROVISION / "hosts.yaml"
#: Where a system says what it is. Source: os-release(5).
_PLACES = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


@dataclass(frozen=True)
class Distribution:
    """What a host runs, as it says itself.

    Attributes:
        name: its name for people, such as "Debian GNU/Linux 12 (bookworm)".
        ids: its own id, and those of the systems that it is built on, the nearest first.
        version: its release, such as "12"; empty if it has none, as Debian's testing.
        codenames: the code names of its release, and of the release that it is built on.
    """

    name: str
    ids: tuple[str, ...]
    version: str
    codenames: tuple[str, ...]


@functools.cache
def here() -> Distribution:
    """Return what this host runs."""
    for place in _PLACES:
        try:
            return read(place.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return Distribution("a system without /etc/os-release", (), "", ())


def read(text: str) -> Distribution:
    """Return what a host runs, from the text of its file os-release."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        key, given, value = line.strip().partition("=")
        if given and not key.startswith("#"):
            said[key] = " ".join(_words(value))
    named = ("UBUNTU_CODENAME", "DEBIAN_CODENAME", "VERSION_CODENAME")
    return Distribution(
        said.get("PRETTY_NAME") or said.get("NAME") or said.get("ID") or "an unnamed system",
        (said.get("ID", "linux"), *said.get("ID_LIKE", "").split()),
        said.get("VERSION_ID", ""),
        tuple(said[key] for key in named if said.get(key)),
    )


def _words(value: str) -> Sequence[str]:
    try:
        return shlex.split(value)
    except ValueError:  # quotes that do not end
        return [value]


def packages(purposes: Sequence[str], of: Distribution | None = None) -> list[str]:
    """Return the packages that a host needs. A name that ends with ? is for where apt has it only.

    Args:
        purposes: what they are for: keys of `purposes` in the file.
        of: what the host runs; by default what this host does.

    Raises:
        UsageError: the lists have none for it; the message names what to install by hand.
    """
    lists = read_yaml(FILE)
    host = of or here()
    wanted = "; ".join(lists["purposes"][purpose] for purpose in purposes)
    family = next((id for id in host.ids if id in lists["systems"]), "")
    if not family:
        raise UsageError(f"the packages of {host.name} are not known here; install by hand: {wanted}")
    release = _release(host, lists["systems"][family], own=family == host.ids[0])
    if release is None:
        oldest = lists["systems"][family][0]["version"]
        raise UsageError(f"{host.name} is older than release {oldest}; install by hand: {wanted}")
    chosen: list[str] = []
    for purpose in purposes:
        if isinstance(release[purpose], str):
            raise UsageError(f"{host.name} lacks packages that are needed: {release[purpose]}")
        chosen += release[purpose]
    return list(dict.fromkeys(chosen))


def _release(host: Distribution, known: Sequence[Mapping[str, Any]], *, own: bool) -> Mapping[str, Any] | None:
    """Return the entry of a host's release: its own, else the newest that is not newer; None if it is too old.

    Args:
        host: what the host runs.
        known: the releases of its system, the oldest first.
        own: it is that system, and its number is of that system's releases.
    """
    for release in known:
        if release["codename"] in host.codenames:
            return release
    if not (own and host.version):  # testing, or built on a release that is not named
        return known[-1]
    older = [release for release in known if _number(release["version"]) <= _number(host.version)]
    return older[-1] if older else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
