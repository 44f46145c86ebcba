"""The container that this process runs in, if it is one of the engine that it uses; what such a process makes there."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import docker
from docker.models.containers import Container

from swarmlab.errors import LabError
from swarmlab.host import containers_here
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
        "HostConfig": _RIGHTS,
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
