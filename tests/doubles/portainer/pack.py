"""Pack the double as a saved image: ``python -m tests.doubles.portainer.pack FILE [FAULT …]``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker

from swarmlab import netns
from swarmlab.images.recipes import WORKLOADS, RootFs
from swarmlab.images.workshop import Workshop
from swarmlab.labs import outer

DOUBLE = Path(__file__).parent / "double.py"
_TAG = "swarmlab/portainer-double"


def pack(file: Path, *, faults: Sequence[str] = (), version: str = "2") -> Path:
    """Make the image on the outer engine, write it to *file*, and leave the engine as it was.

    Args:
        file: The file to write.
        faults: What the double does wrong (see `tests.doubles.portainer.double`).
        version: The release of Portainer that it behaves like: 1.24 or 2.

    Returns:
        The file.
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
        # What this process starts later must find the engine by itself.
        os.environ.pop("DOCKER_HOST", None)
        if chosen is not None:
            os.environ["DOCKER_HOST"] = chosen
    return file


def _base(client: docker.DockerClient) -> str:
    """Return the Python image that labs are made from; make it if it is missing."""
    return Workshop(client, print, outside=netns.outside()).make(RootFs("python", WORKLOADS))


if __name__ == "__main__":
    print(pack(Path(sys.argv[1]), faults=sys.argv[2:]))
