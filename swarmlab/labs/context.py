"""The engine that a user names: by DOCKER_HOST, or by a Docker context, which counts where DOCKER_HOST is not set.

Source: docker's own order, in the reference of its command line, "Environment variables", and `docker context`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmlab.errors import UsageError
from swarmlab.files import exists, named, read_json, shown
from swarmlab.labs.credentials import Credentials

#: The schemes of addresses at which a lab's engine can be.
_SCHEMES = ("unix://", "tcp://", "http://", "https://", "ssh://")


@dataclass(frozen=True)
class Named:
    """An engine that the user has named.

    Attributes:
        url: its address.
        by: what names it, for messages.
        credentials: what a connection over TLS takes; None for any other connection.
    """

    url: str
    by: str
    credentials: Credentials | None = None


def named_engine() -> Named | None:
    """Return the engine that DOCKER_HOST or a Docker context names; None if neither is set.

    Raises:
        UsageError: there is no such context, its address is of no known kind, or its certificates cannot be used.
    """
    if url := os.environ.get("DOCKER_HOST"):
        return _fit(Named(url, f"DOCKER_HOST={shown(url)}", _of_environment(url)), "unset DOCKER_HOST")
    name, by = _context()
    if name in ("", "default"):
        return None
    about = f"the Docker context {shown(name)} ({by})"
    mend = "unset DOCKER_CONTEXT" if by == "DOCKER_CONTEXT" else "run: docker context use default"
    endpoint = endpoints().get(name)
    if endpoint is None:
        raise UsageError(f"{about}: there is no such context; {mend}")
    url = str(endpoint.get("Host") or "")
    if not url:
        raise UsageError(f"{about}: has no address of an engine; {mend}")
    return _fit(Named(url, f"{about}, {shown(url)}", _of_context(name, url, endpoint)), mend)


def is_elsewhere() -> bool:
    """Whether the engine that the user names is on another machine, by its address; then nodes have that one's kernel.

    Raises:
        UsageError: see `named_engine`.
    """
    engine = named_engine()
    if engine is None or engine.url.startswith("unix://"):
        return False
    try:
        host = urlsplit(engine.url).hostname or ""
    except ValueError:
        raise UsageError(f"{engine.by}: is no address of an engine; write tcp://HOST:PORT") from None
    return host not in ("localhost", "::1") and not host.startswith("127.")


def _fit(engine: Named, mend: str) -> Named:
    if not engine.url.startswith(_SCHEMES):
        known = "unix://PATH, ssh://USER@HOST or tcp://HOST:PORT"
        raise UsageError(f"{engine.by}: is no address of an engine for labs; write {known}, or {mend}")
    if engine.credentials:
        engine.credentials.check(engine.by)
    return engine


def _is_tcp(url: str) -> bool:
    return not url.startswith(("unix://", "ssh://"))


def _of_environment(url: str) -> Credentials | None:
    """Return what DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say, as docker itself reads them."""
    if not _is_tcp(url) or not os.environ.get("DOCKER_TLS_VERIFY"):
        return None
    place = os.environ.get("DOCKER_CERT_PATH")
    return Credentials(named(place, "DOCKER_CERT_PATH") if place else _folder())


def _of_context(name: str, url: str, endpoint: dict[str, Any]) -> Credentials | None:
    folder = _folder() / "contexts" / "tls" / hashlib.sha256(name.encode()).hexdigest() / "docker"
    if not _is_tcp(url) or not (exists(folder) or url.startswith("https://")):
        return None
    return Credentials(folder, verify=not endpoint.get("SkipTLSVerify"))


def _context() -> tuple[str, str]:
    """Return the name of the context that is in use, and where it is set."""
    if name := os.environ.get("DOCKER_CONTEXT"):
        return name, "DOCKER_CONTEXT"
    file = _folder() / "config.json"
    if not os.access(file, os.R_OK):  # as docker does, which only warns of one that it may not read
        return "", ""
    settings = _json(file)
    return str(settings.get("currentContext") or ""), str(file)


def endpoints() -> dict[str, dict[str, Any]]:
    """Return the endpoint of each context of this user, by the context's name."""
    found = {}
    for file in sorted((_folder() / "contexts" / "meta").glob("*/meta.json")):
        meta = _json(file)
        of_all = meta.get("Endpoints")
        endpoint = of_all.get("docker") if isinstance(of_all, dict) else None
        found[str(meta.get("Name"))] = endpoint if isinstance(endpoint, dict) else {}
    return found


def _folder() -> Path:
    return named(os.environ.get("DOCKER_CONFIG") or "~/.docker", "DOCKER_CONFIG")


def _json(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except UsageError as wrong:
        raise UsageError(f"{wrong}; mend it, or set DOCKER_HOST") from None
    if not isinstance(content, dict):
        raise UsageError(f"{file}: is no object of JSON; mend it, or set DOCKER_HOST")
    return content
