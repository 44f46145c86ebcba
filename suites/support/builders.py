"""Building on a node, with each builder that its engine and command line have."""

from dataclasses import dataclass

from suites.support.commands import last
from swarmlab.cluster.node import Result
from swarmlab.cluster.workbench import Workbench, unique

#: What chooses a builder, by the builder's name.
_CHOICES = {"the classic builder": "DOCKER_BUILDKIT=0", "BuildKit": "DOCKER_BUILDKIT=1"}


@dataclass(frozen=True)
class Builder:
    """One builder on one node.

    Attributes:
        name: which.
        bench: where.
    """

    name: str
    bench: Workbench

    def __str__(self) -> str:
        return f"{self.name} on {self.bench.node}"

    def run(self, folder: str, words: str) -> Result:
        """``docker build WORDS`` in a folder of the node."""
        return self.bench.node.run(f"cd {folder} && {_CHOICES[self.name]} docker build {words}")

    def build(self, files: dict[str, str], options: str = "") -> str:
        """Build *files* (text by name); gives the image's name.

        Raises:
            AssertionError: the build failed.
        """
        name = unique("image")
        # Nothing may come from the cache of a build before: its steps would not be judged.
        words = f"--no-cache --label {self.bench.label} {options} -t {name} ."
        done = self.run(self.bench.folder(files), words)
        assert done.ok, f"{self} ended with {done.code}: {last(done)}"
        return name

    def image(self, name: str) -> dict:
        """What the engine knows of an image."""
        known: dict = self.bench.node.ask("GET", f"/images/{name}/json")
        return known

    def shows(self, image: str, command: str) -> str:
        """What a shell command prints in a new container of the image."""
        box = self.bench.start(image, "--entrypoint sleep", "600")
        done = self.bench.execute(box, command)
        self.bench.remove(box)
        assert done.ok, f"in what {self} built, {command} ended with {done.code}: {done.said}"
        return done.out.strip()


def builders(cluster, bench):
    """The builders that work on the bench's node, found by trying once; at least one has to."""

    def look():
        text = f"FROM {bench.image('client')}\nLABEL {bench.label}=\n"
        tried = {name: Builder(name, bench).run(bench.folder({"Dockerfile": text}), "--quiet .") for name in _CHOICES}
        return {name: done for name, done in tried.items() if done.ok}, tried

    working, tried = cluster.keep(("builders", bench.node.name), look)
    failed = "; ".join(f"{name}: {last(done)}" for name, done in tried.items())
    assert working, f"no builder works on {bench.node}: {failed}"
    return [Builder(name, bench) for name in working]
