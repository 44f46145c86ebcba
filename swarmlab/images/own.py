"""The container of the engine that this process runs in, if it runs in one; what it makes there, and who else runs."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.models.containers import Container

from swarmlab import ownership
from swarmlab.errors import LabError
from swarmlab.host import containers_here, start_in
from swarmlab.images.plain import PLAIN, PLAINLY
from swarmlab.ownership import OWNER, this_process

#: Settings of a way to the outside, in either spelling.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
#: What mmdebstrap needs beyond a container's usual rights: it mounts.
_RIGHTS = {"CapAdd": ["SYS_ADMIN"], "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"]}


def own_container(client: docker.DockerClient) -> Container | None:
    """Return the container of this engine that this process runs in; None if it runs in none of them."""
    for candidate in containers_here():
        with contextlib.suppress(docker.errors.NotFound):
            found = client.containers.get(candidate)
            if found.id == candidate and found.status == "running":
                return found
    return None


def alive(client: docker.DockerClient, owner: str) -> bool | None:
    """Whether an owner still exists; None for a process of which nothing can be known here.

    A process in a container of the engine is asked of the engine: whether the container runs, and whether it has that
    process. So is a process of the engine's host, where this process runs in a container.

    Args:
        client: the engine that has what is owned.
        owner: the mark, as `swarmlab.ownership.this_process` wrote it.
    """
    known = ownership.alive(owner)
    if known is not None:
        return known
    its = ownership.owner_of(owner)
    if not its.pid.isdigit():
        return None
    if its.container:
        return _runs_in_container(client, its)
    own = own_container(client)
    if own is None or client.info().get("Name") != its.home:
        return None
    return _runs_on_host(client, own, its)


def _runs_in_container(client: docker.DockerClient, its: ownership.Owner) -> bool:
    try:
        container = client.containers.get(its.container)
        if container.status not in ("running", "paused"):
            return False
        answer = container.exec_run(["cat", f"/proc/{its.pid}/stat"])
    except docker.errors.NotFound:
        return False
    except docker.errors.APIError:  # it is paused, or ends just now
        return True
    assert isinstance(answer.output, bytes)
    return _same(answer.exit_code or 0, answer.output, its)


def _runs_on_host(client: docker.DockerClient, own: Container, its: ownership.Owner) -> bool | None:
    """Look for a process on the engine's host, from a new container of the image that this process runs in."""
    try:
        looking = client.containers.create(
            own.attrs["Image"],
            [f"/proc/{its.pid}/stat"],
            entrypoint="cat",
            user="0",
            pid_mode="host",
            network_mode="none",
            **PLAINLY,  # what it prints is read from its log
            labels={OWNER: this_process()},
        )
    except docker.errors.APIError:
        return None
    try:
        looking.start()
        code = looking.wait(timeout=30)["StatusCode"]
        return _same(code, looking.logs(stdout=True, stderr=False), its)
    except (docker.errors.APIError, OSError):
        return None
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            looking.remove(force=True, v=True)


def _same(code: int, stat: bytes, its: ownership.Owner) -> bool:
    """Whether what was printed of /proc/PID/stat is of the owner; also if it cannot be told."""
    if code == 1:  # cat says so where there is no such process
        return False
    return code != 0 or start_in(stat.decode(errors="replace")) == its.started


def make_file(own: Container, command: Sequence[str], folder: Path, made: str, target: Path) -> str:
    """Run a command as root in a new container of this one's image, and fetch the file that it makes.

    Args:
        own: see `own_container`.
        command: program and arguments.
        folder: what the container has at its own name below /.
        made: the path of the file in the container.
        target: where the file is put.

    Returns:
        What the command printed, if it failed; empty if it succeeded.

    Raises:
        LabError: the engine refuses the container.
    """
    assert own.client
    api = own.client.api
    config = {
        "Image": own.attrs["Image"],
        "Entrypoint": [],
        "Cmd": list(command),
        "User": "0",
        "WorkingDir": "/",
        "Env": [f"{name}={value}" for name, value in os.environ.items() if name.upper() in _PROXIES],
        "Labels": {OWNER: this_process()},
        "HostConfig": PLAIN | _RIGHTS,
    }
    try:
        container = own.client.containers.get(api.create_container_from_config(config)["Id"])  # type: ignore[no-untyped-call]
    except docker.errors.APIError as refused:
        raise LabError(f"no container can be made of this one's image: {refused.explanation}") from refused
    try:
        files = io.BytesIO()
        with tarfile.open(fileobj=files, mode="w") as archive:
            archive.add(folder, folder.name)
        container.put_archive("/", files.getvalue())
        container.start()
        if container.wait(timeout=None)["StatusCode"]:
            return container.logs().decode(errors="replace") or "it printed nothing"
        chunks, _ = container.get_archive(made)
        whole = target.with_name(f"{target.name}.part")
        with whole.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        with tarfile.open(whole) as archive:
            content = archive.extractfile(Path(made).name)
            assert content
            with target.open("wb") as file:
                while block := content.read(2**20):
                    file.write(block)
        whole.unlink()
    except docker.errors.APIError as refused:
        raise LabError(f"a container of this one's image does not work: {refused.explanation}") from refused
    finally:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)
    return ""
