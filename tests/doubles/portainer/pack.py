"""Pack the double as a saved image: ``python -m tests.doubles.portainer.pack FILE [FAULT …]``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker

from swarmlab import host, netns
from swarmlab.images.engines import DEFAULT
from swarmlab.images.recipes import RootFs
from swarmlab.images.workshop import Workshop
from swarmlab.labs.containers import outer

DOUBLE = Path(__file__).parent / "double.py"
_TAG = "swarmlab/portainer-double"


def pack(file: Path, *, faults: Sequence[str] = (), version: str = "2") -> Path:
    """Write the image to *file*, made on the outer engine, which is left as it was.

    Args:
        file: where.
        faults: what the double is to do wrong (see `tests.doubles.portainer.double`).
        version: the release of Portainer whose ways it has: 1.24 or 2.
    """
    chosen = os.environ.get("DOCKER_HOST")
    engine = outer.connect(lambda line: print(line, file=sys.stderr))
    try:
        base = _base(engine.client)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(DOUBLE, folder)
            lines = [f"FROM {base}", "COPY double.py /", f"ENV VERSION={version} FAULTS='{' '.join(faults)}'"]
            lines += ["EXPOSE 9000", "VOLUME /data", 'ENTRYPOINT ["python3", "/double.py"]', "CMD []"]
            Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n")
            tag = f"{_TAG}:{os.getpid()}"
            image, _ = engine.client.images.build(path=folder, tag=tag, rm=True, forcerm=True)
        with file.open("wb") as saved:
            saved.writelines(image.save(named=True))
        engine.client.images.remove(tag)
    finally:
        engine.release()
        # What this process starts later finds its engine by itself.
        os.environ.pop("DOCKER_HOST", None)
        if chosen is not None:
            os.environ["DOCKER_HOST"] = chosen
    return file


def _base(client: docker.DockerClient) -> str:
    """The image with Python that labs are made from, made where it is missing."""
    root = RootFs("python", DEFAULT)
    try:
        client.images.get(root.reference)
    except docker.errors.ImageNotFound:
        workshop = Workshop(client, print, outside=netns.outside())
        with host.only_one():
            workshop._make(root)
    return root.reference


if __name__ == "__main__":
    print(pack(Path(sys.argv[1]), faults=sys.argv[2:]))
