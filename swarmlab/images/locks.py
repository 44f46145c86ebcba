"""Locks on an engine: one process at a time does a work there, whether it runs on a host or in a container.

A lock is a volume that has no other use. The engine makes a volume of a name once: whoever asks for it again gets that
with the labels of the first. The labels say who holds it. A holder that was killed is known by its owner's mark.

Source: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Volume/operation/VolumeCreate; that labels stay,
moby, volume/service/store.go, create.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator, Mapping

import docker

from swarmlab.errors import LabError, UsageError
from swarmlab.host import Progress, signature_in, signed
from swarmlab.images.own import alive
from swarmlab.images.recipes import making_images
from swarmlab.ownership import OWNER, owner_of, this_process
from swarmlab.wait import wait

#: Label of a lock: who holds it (see `swarmlab.host.signed`).
_HOLDER = "swarmlab.holder"
#: Seconds that a process waits for another.
_MOST = 3600.0


class Lock:
    """A lock that this process holds, until it is closed or the process ends."""

    def __init__(self, client: docker.DockerClient, name: str, mark: str) -> None:
        self._client, self._name, self._mark = client, name, mark

    def close(self) -> None:
        """Give it back."""
        with contextlib.suppress(docker.errors.DockerException):
            volume = self._client.volumes.get(self._name)
            if volume.attrs["Labels"].get(OWNER) == self._mark:
                volume.remove(force=True)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Held(UsageError):
    """Another process holds a lock; the message says which, and since when."""


def take(client: docker.DockerClient, work: str, labels: Mapping[str, str]) -> Lock:
    """Take the lock of a work; one whose holder has ended is free.

    Args:
        client: the engine.
        work: the lock's name.
        labels: further labels of its volume.

    Raises:
        Held: another process, or this one, has it.
        LabError: the engine refuses.
    """
    name, mark = _name(work), f"{this_process()}/{secrets.token_hex(4)}"
    try:
        while True:
            volume = client.volumes.create(name, labels={**labels, OWNER: mark, _HOLDER: signed()})
            found = volume.attrs["Labels"]
            if found[OWNER] == mark:
                return Lock(client, name, mark)
            if alive(client, found[OWNER]) is not False:
                raise Held(_holder(found))
            _break(client, work, labels, found[OWNER])
    except docker.errors.APIError as refused:
        raise LabError(f"the engine has no place for a lock: {refused.explanation}") from refused


def _break(client: docker.DockerClient, work: str, labels: Mapping[str, str], mark: str) -> None:
    """Remove the lock of a holder that has ended, unless another process has done so.

    Of two that find it so, the slower must not remove what the faster has put in its place. So there is a lock on that.

    Raises:
        Held: another process is about to.
    """
    breaking = f"{work}-break-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
    with take(client, breaking, labels), contextlib.suppress(docker.errors.NotFound):
        volume = client.volumes.get(_name(work))
        if volume.attrs["Labels"].get(OWNER) == mark:
            volume.remove(force=True)


def _name(work: str) -> str:
    return f"swarmlab-{work}-lock"


@contextlib.contextmanager
def alone_on(client: docker.DockerClient, work: str, progress: Progress) -> Iterator[None]:
    """Let one process at a time do *work* on an engine; others wait, and say for which process.

    Args:
        client: the engine.
        work: the lock's name.
        progress: called with a line before it waits for another process.
    """
    taken: list[Lock] = []

    def try_it() -> bool:
        try:
            taken.append(take(client, work, {}))
        except Held as held:
            if not announced:
                progress(f"waiting for {held} to end its work on {work}")
                announced.append(True)
            return False
        return True

    announced: list[bool] = []
    mend = f"if none is at work: docker volume rm {_name(work)}"
    wait(try_it, f"another process to end its work on {work} ({mend})", deadline=_MOST, error=LabError)
    with taken[0]:
        yield


@contextlib.contextmanager
def making_images_on(client: docker.DockerClient, progress: Progress) -> Iterator[None]:
    """Let one process at a time make images on an engine; see `recipes.making_images`."""
    with making_images(progress), alone_on(client, "images", progress):
        yield


def _holder(labels: Mapping[str, str]) -> str:
    """Return in words which process holds a lock, its command, and since when."""
    its, by = owner_of(labels[OWNER]), signature_in(labels.get(_HOLDER, ""))
    return f"{its} ({by})" if by else str(its)
