"""Connects to engines by their address. All labs find out here whether an engine answers."""

from __future__ import annotations

import re
from typing import Any

import docker
import requests

from swarmlab.errors import NoAnswer
from swarmlab.labs.credentials import Credentials

# ValueError: an address that is none, such as unix:// alone, and an answer that is not of the API.
_FAILURES = (docker.errors.DockerException, requests.exceptions.RequestException, OSError, ValueError)


def engine_at(url: str, *, timeout: int, credentials: Credentials | None = None) -> docker.DockerClient:
    """Return a client of the engine at *url*, once the engine has answered.

    Args:
        url: the engine's address, as DOCKER_HOST takes it.
        timeout: seconds that each request of the client may take.
        credentials: what a connection over TLS takes; None for any other connection.

    Raises:
        NoAnswer: no engine answers there.
    """
    try:
        # With version="auto" the client at once asks the engine for the version of its API.
        tls = credentials.config() if credentials else False
        return docker.DockerClient(base_url=url, version="auto", timeout=timeout, tls=tls)
    except _FAILURES as failed:
        raise NoAnswer(f"no engine answers at {url}: {failed}") from failed


def refused_by_tls(failed: object) -> str:
    """Return what TLS said where it was TLS that failed, such as "certificate has expired"; else nothing."""
    found = re.search(r"\[SSL[^\]]*\] ([^(\"]+)", str(failed))
    if found:
        return f"TLS: {found[1].strip()}"
    return "it speaks TLS only: set DOCKER_TLS_VERIFY" if "HTTP request to an HTTPS server" in str(failed) else ""


def answers(url: str, *, timeout: int = 5) -> bool:
    """Whether an engine answers at *url* within *timeout* seconds."""
    try:
        engine_at(url, timeout=timeout).close()
    except NoAnswer:
        return False
    return True


def info_at(url: str, *, timeout: int = 5) -> dict[str, Any]:
    """Return the answer of the engine at *url* to ``GET /info``.

    Args:
        url: the engine's address, as DOCKER_HOST takes it.
        timeout: seconds that each request may take.

    Raises:
        NoAnswer: the engine does not answer, or stops answering after the first request.
    """
    client = engine_at(url, timeout=timeout)
    try:
        info: dict[str, Any] = client.info()
    except _FAILURES as failed:
        raise NoAnswer(f"the engine at {url} does not answer: {failed}") from failed
    finally:
        client.close()
    return info


def rootless(info: dict[str, Any]) -> bool:
    """Whether an engine runs without root, by its answer to ``GET /info``: its networks and limits are its user's own.

    Source: Docker's documentation, "Rootless mode"; Engine API, SecurityOptions of SystemInfo.
    """
    return any(str(option).startswith("name=rootless") for option in info.get("SecurityOptions") or [])
