"""Packs Debian's engines as static archives are packed, in the layout of today and in that of before 18.09."""

import io
import tarfile
from pathlib import Path

from swarmlab.images.engines import engine_choice
from swarmlab.images.workshop import Workshop
from swarmlab.ownership import LABEL, OWNER, this_process

#: The programs of an archive since 18.09, and their names before.
LAYOUTS = {
    "new": {
        "docker": "docker",
        "dockerd": "dockerd",
        "containerd": "containerd",
        "containerd-shim": "containerd-shim",
        "containerd-shim-runc-v2": "containerd-shim-runc-v2",
        "ctr": "ctr",
        "docker-init": "docker-init",
        "docker-proxy": "docker-proxy",
        "runc": "runc",
    },
    "old": {
        "docker": "docker",
        "dockerd": "dockerd",
        "containerd": "docker-containerd",
        "containerd-shim": "docker-containerd-shim",
        "containerd-shim-runc-v2": "containerd-shim-runc-v2",
        "ctr": "docker-containerd-ctr",
        "docker-init": "docker-init",
        "docker-proxy": "docker-proxy",
        "runc": "docker-runc",
    },
}


def packed(client, release, layout, folder):
    """Pack the engine of a Debian release as docker-VERSION.tgz in a folder, and return the file."""
    choice = engine_choice(release)
    [image], _ = Workshop(client, print).prepare([choice])
    copies = "; ".join(
        f"program=$(command -v {name}) && cp -L $program /pack/docker/{packed}"
        for name, packed in LAYOUTS[layout].items()
    )
    command = f"mkdir -p /pack/docker; {copies}; tar -C /pack -czf /docker.tgz docker"
    container = client.containers.run(
        image,
        ["-c", command],
        entrypoint="sh",
        network_mode="none",
        detach=True,
        labels={LABEL: "packing", OWNER: this_process()},
    )
    try:
        assert container.wait(timeout=120)["StatusCode"] == 0, container.logs()
        chunks, _ = container.get_archive("/docker.tgz")
        return _unwrapped(b"".join(chunks), folder / f"docker-{choice.version}.tgz")
    finally:
        container.remove(force=True, v=True)


def _unwrapped(wrapped, file):
    with tarfile.open(fileobj=io.BytesIO(wrapped)) as outer:
        Path(file).write_bytes(outer.extractfile("docker.tgz").read())
    return file
