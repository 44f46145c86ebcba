"""Links in a report: issues, pull requests, commits and advisories that a text names, and addresses of pages."""

from __future__ import annotations

import html
import re

from markupsafe import Markup

_GITHUB = "https://github.com"
#: The repositories that are named without their owner.
_REPOSITORIES = {
    "moby": "moby/moby",
    "swarmkit": "moby/swarmkit",
    "libnetwork": "moby/libnetwork",
    "buildkit": "moby/buildkit",
    "docs": "docker/docs",
    "cli": "docker/cli",
    "compose": "docker/compose",
    "for-linux": "docker/for-linux",
    "containerd": "containerd/containerd",
    "runc": "opencontainers/runc",
    "traefik": "traefik/traefik",
    "portainer": "portainer/portainer",
}
_OWNERS = ("moby", "docker", "containerd", "opencontainers", "traefik", "portainer")
_NAMED = re.compile(
    r"(?P<url>https?://[^\s<>\"'()]+[^\s<>\"'().,;:!?])"
    r"|(?<![\w/.-])(?P<repository>(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*)"
    r"(?:#(?P<issue>\d+)| PR #?(?P<request>\d+)| (?:commit )?(?P<commit>[0-9a-f]{10,40})\b)"
    r"|\b(?P<cve>CVE-\d{4}-\d{4,})\b"
    r"|\b(?P<advisory>GHSA(?:-[23456789cfghjmpqrvwx]{4}){3})\b"
)


def linked(text: object) -> Markup:
    """Return a text as HTML in which issues, pull requests, commits, advisories and addresses are links.

    Nothing is loaded from there when the page is opened. What looks like an issue of an unknown repository stays text.

    Example:
        >>> linked("moby#41775, CVE-2024-21626")
    """
    plain, parts, done = str(text), [], 0
    for found in _NAMED.finditer(plain):
        if address := _address(found):
            parts.append(html.escape(plain[done : found.start()]))
            parts.append(f'<a href="{html.escape(address)}" rel="noreferrer">{html.escape(found[0])}</a>')
            done = found.end()
    return Markup("".join([*parts, html.escape(plain[done:])]))


def _address(found: re.Match[str]) -> str:
    """Return where a link leads; empty if the repository is not known."""
    if found["url"]:
        return found["url"]
    if found["cve"]:
        return f"https://www.cve.org/CVERecord?id={found['cve']}"
    if found["advisory"]:
        return f"{_GITHUB}/advisories/{found['advisory']}"
    name = found["repository"].lower()
    repository = name if name.partition("/")[0] in _OWNERS and "/" in name else _REPOSITORIES.get(name, "")
    if not repository:
        return ""
    # GitHub leads from an issue's address to a pull request of that number.
    if number := found["issue"]:
        return f"{_GITHUB}/{repository}/issues/{number}"
    if number := found["request"]:
        return f"{_GITHUB}/{repository}/pull/{number}"
    return f"{_GITHUB}/{repository}/commit/{found['commit']}"
