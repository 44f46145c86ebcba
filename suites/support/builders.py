"""``docker build`` on a node, with each builder that its engine and command line have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suites.support.commands import last, succeeded
from swarmlab.cluster.marks import unique
from swarmlab.cluster.node import Result, look_for
from swarmlab.cluster.swarm import Swarm
from swarmlab.cluster.workbench import Workbench

CLASSIC, BUILDKIT = "the classic builder", "BuildKit"
#: The environment variable that chooses a builder, by the builder's name.
_CHOICES = {CLASSIC: "DOCKER_BUILDKIT=0", BUILDKIT: "DOCKER_BUILDKIT=1"}


def from_base(bench: Workbench) -> str:
    """Return the first line of a Dockerfile on the suite's client image."""
    return f"FROM {bench.image('client')}\n"


@dataclass(frozen=True)
class Builder:
    """One builder on one node.

    Attributes:
        name: `CLASSIC` or `BUILDKIT`.
        bench: the workbench of the node.
    """

    name: str
    bench: Workbench

    @property
    def setting(self) -> str:
        """The assignment before a command that has this builder build."""
        return _CHOICES[self.name]

    def __str__(self) -> str:
        """Name and node, for messages."""
        return f"{self.name} on {self.bench.node}"

    def run(self, folder: str, arguments: str) -> Result:
        """Run ``docker build ARGUMENTS`` in a folder of the node."""
        return self.bench.node.run(f"cd {folder} && {self.setting} docker build {arguments}")

    def build(self, files: Mapping[str, str], options: str = "") -> str:
        """Build an image of *files* (text by path) without the cache.

        Returns:
            The image's name.

        Raises:
            AssertionError: the build failed.
        """
        name = unique("image")
        # With the cache, steps of an earlier build would not be judged.
        arguments = f"--no-cache --label {self.bench.label} {options} -t {name} ."
        done = self.run(self.bench.folder(files), arguments)
        succeeded(done, f"{self}")
        return name

    def image(self, name: str) -> dict[str, Any]:
        """Return ``docker image inspect`` of an image."""
        inspected: dict[str, Any] = self.bench.node.ask("GET", f"/images/{name}/json")
        return inspected

    def shows(self, image: str, command: str) -> str:
        """Return the output of a shell command in a new container of *image*.

        Raises:
            AssertionError: the command failed.
        """
        box = self.bench.start(image, "--entrypoint sleep", "600")
        done = self.bench.execute(box, command)
        self.bench.remove(box)
        return done.expect(f"in what {self} built, {command}", error=AssertionError).strip()


def builders(cluster: Swarm, bench: Workbench) -> list[Builder]:
    """Return the builders that work on the node of *bench*, found by trying each once.

    A node without BuildKit ignores the choice of it and takes the classic builder, so BuildKit is looked for first.

    Raises:
        AssertionError: none works.
    """

    def look() -> tuple[dict[str, Result], dict[str, Result]]:
        text = f"{from_base(bench)}LABEL {bench.label}=\n"
        lacking = look_for(bench.node)["buildkit"]()
        names = [CLASSIC] if lacking else [CLASSIC, BUILDKIT]
        tried = {name: Builder(name, bench).run(bench.folder({"Dockerfile": text}), "--quiet .") for name in names}
        return {name: done for name, done in tried.items() if done.ok}, tried

    working, tried = cluster.keep(("builders", bench.node.name), look)
    failed = "; ".join(f"{name}: {last(done)}" for name, done in tried.items())
    assert working, f"no builder works on {bench.node}: {failed}"
    return [Builder(name, bench) for name in working]
