"""Patience with an engine that does not answer: a sign of life while it is waited for, and an end."""

from __future__ import annotations

import re
import threading
from typing import Any

import docker
import requests

from swarmlab.errors import NoAnswer
from swarmlab.files import shown
from swarmlab.host import Progress
from swarmlab.timing import timed

#: Seconds until a line says that an answer is waited for, and until a question that changes nothing is given up.
SOON, MOST = 5.0, 25.0
#: What a request is about, in its path: containers, volumes, images.
_SUBJECT = re.compile(r"(?:/v[0-9.]+)?/([a-z]+)")


class EngineSilent(NoAnswer, requests.exceptions.ConnectionError):
    """An engine does not answer a request, though it has answered before."""


def watch(client: docker.DockerClient, url: str, progress: Progress) -> docker.DockerClient:
    """Have a line say when a request keeps this process waiting, and give up questions after `MOST` seconds.

    What changes something, and what is read as it comes, such as the archive of an image, keep the client's timeout.

    Args:
        client: a client of an engine.
        url: the engine's address, as DOCKER_HOST takes it.
        progress: called with the line.

    Requests raise `EngineSilent` in place of the errors of a connection.
    """
    send = client.api.send
    told: set[str] = set()

    def watched(request: requests.PreparedRequest, **how: Any) -> requests.Response:
        what = f"{request.method} {str(request.path_url).partition('?')[0]}"
        if request.method == "GET" and not how.get("stream") and how.get("timeout"):
            how["timeout"] = min(how["timeout"], MOST)
        most = f" (at most {how['timeout']:.0f} s)" if how.get("timeout") else ""
        line = f"waiting for the engine at {shown(url)} to answer {what}{most}"
        subject = _SUBJECT.match(str(request.path_url))
        kind = f"{request.method} {subject[1] if subject else what}"

        def tell() -> None:
            if kind not in told:  # when many nodes start or go at once, a line for one of them is enough
                told.add(kind)
                progress(line)

        timer = threading.Timer(SOON, tell)
        timer.daemon = True
        timer.start()
        try:
            answer: requests.Response = send(request, **how)
        except requests.exceptions.Timeout as failed:
            raise EngineSilent(f"the engine at {shown(url)} does not answer {what}; restart it") from failed
        except requests.exceptions.ConnectionError as failed:
            raise EngineSilent(f"the engine at {shown(url)} ended while it was asked {what}: {failed}") from failed
        finally:
            timer.cancel()
            told.discard(kind)
        return answer

    client.api.send = timed("outer", watched)  # type: ignore[method-assign]
    return client
