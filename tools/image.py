"""Make the image of this checkout on the engine of this machine: ``python -m tools.image [BASE]``.

It is named swarm-conformance, as ``docker build -t swarm-conformance .`` names it. Where no registry of images is
reached, its base image is made from Debian packages. BASE is a base image that the engine has.
"""

from __future__ import annotations

import sys

from swarmlab.cli.common import complain, say
from swarmlab.errors import SwarmlabError
from swarmlab.images.run_image import run_image
from swarmlab.labs import outer

NAME = "swarm-conformance"


def main(arguments: list[str]) -> int:
    """Make the image; return the exit status."""
    try:
        engine = outer.connect(say, networks=False)
        try:
            made = run_image(engine.client, say, given="".join(arguments[:1]))
            engine.client.images.get(made).tag(NAME)
            print(f"{NAME} ({made}) on the engine at {engine.url}")
        finally:
            engine.release()
    except SwarmlabError as failed:
        complain(str(failed))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
