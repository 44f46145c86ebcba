"""The page of the packages that hosts get, by distribution."""

from __future__ import annotations

from typing import Any

from swarmlab.distribution import FILE
from swarmlab.files import read_yaml
from swarmlab.report.markdown import code, plain, table
from tools.documents.markdown import page

_NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}


def packages() -> str:
    """Return the page of the packages that hosts get."""
    lists = read_yaml(FILE)
    rows = (
        [
            f"{_NAMES[system]} {release['version']} ({release['codename']})",
            *map(_cell, map(release.get, lists["purposes"])),
        ]
        for system, releases in lists["systems"].items()
        for release in releases
    )
    return page(
        "Packages of hosts",
        "provision/hosts.yaml",
        "What a run installs on a host where it is missing, by what it is for. It installs only as root or with sudo "
        "that asks for no password; any other user is told the command.",
        table(["purpose", "packages"], ([code(name), plain(what)] for name, what in lists["purposes"].items())),
        table(["host", *map(code, lists["purposes"])], rows),
        "A newer release gets the list of the newest here, and a system that is built on one of these (`ID_LIKE`) that "
        "of the release whose code name it has. On any other system, one line names what to install. *Where there*: "
        "it is left out where apt does not have it.",
    )


def _cell(listed: Any) -> str:
    if isinstance(listed, str):
        return plain(listed)
    return ", ".join(code(name.rstrip("?")) + (" (where there)" if name.endswith("?") else "") for name in listed)
