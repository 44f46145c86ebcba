"""Makes the images of nodes and workloads, and keeps each under a hash of everything that it is made from.

mmdebstrap makes a root file system. For a run that is in a container of the engine, it does so in another container of
the same image, which may mount. Where there is no mmdebstrap, the engine makes it from Debian's base image. All use the
lists of packages, the files and the setup script below images/.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import docker
import requests
from docker import auth
from docker.models.containers import Container

from swarmlab import children, downloads, outputs
from swarmlab.cluster.marks import LABEL_IMAGE
from swarmlab.errors import LabError, SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, as_root, cache_folder, for_downloads, install, proxies, scratch, why_not_root
from swarmlab.images.engines import DEFAULT, EngineChoice, held, obtain
from swarmlab.images.locks import making_images_on
from swarmlab.images.own import make_file, own_container
from swarmlab.images.plain import PLAINLY
from swarmlab.images.recipes import (
    WORKLOADS,
    EngineLayer,
    RootFs,
    of_workloads,
    parts,
    registry_reference,
    workloads,
)
from swarmlab.ownership import LABEL, OWNER, USER, this_process
from swarmlab.wait import State, wait

#: Logins of docker-py that are none; it reads those of the user where there are no such.
_NO_LOGINS = auth.AuthConfig({"auths": {"swarmlab.invalid": {}}})
#: How an engine names the image that a step of a build has made.
_STEP = re.compile(r"---> ([0-9a-f]{12,64})\s")


class Workshop:
    """Makes images on the outer engine, each once."""

    def __init__(self, client: docker.DockerClient, progress: Progress, *, outside: Sequence[str] = ()) -> None:
        """Set a workshop up.

        Args:
            client: the outer engine.
            progress: called with a line for every image that is made.
            outside: prefix of commands that download (see `swarmlab.netns.outside`).
        """
        self._client = client
        self._progress = progress
        self._outside = list(outside)

    def prepare(self, choices: Sequence[EngineChoice]) -> tuple[list[str], str]:
        """Make the images that a lab of these engines lacks.

        Returns:
            The node image of each engine, and the image of the lab's registry, which holds all workloads.

        Raises:
            LabError: an image could not be made.
            UsageError: this machine has no means to make it.
        """
        obtain(choices, self._progress)
        nodes = [_node_image(choice) for choice in choices]
        layers = [image for image in nodes if isinstance(image, EngineLayer)]
        roots = [image.base if isinstance(image, EngineLayer) else image for image in nodes]
        registry = registry_reference()
        try:
            # Look for images under the lock only: before, another run may still remove older images.
            with making_images_on(self._client, self._progress):
                wanted = [*roots, *([] if self.has(registry) else parts())]
                missing = [root for root in dict.fromkeys(wanted) if not self.has(root.reference)]
                with ThreadPoolExecutor(max_workers=2) as pool:
                    list(pool.map(self._make, missing))
                for layer in dict.fromkeys(layers):
                    if not self.has(layer.reference):
                        self._lay(layer)
                if not self.has(registry):
                    self._fill_registry(registry)
        except docker.errors.APIError as refused:
            raise LabError(f"an image could not be made: {refused.explanation}") from refused
        return [image.reference for image in nodes], registry

    def make(self, root: RootFs) -> str:
        """Make one root file system, if the engine lacks it; return the image's name.

        Raises:
            LabError: it could not be made.
            UsageError: this machine has no means to make it.
        """
        with making_images_on(self._client, self._progress):
            if not self.has(root.reference):
                self._make(root)
        return root.reference

    def has(self, reference: str) -> bool:
        """Whether the engine has an image."""
        try:
            self._client.images.get(reference)
        except docker.errors.ImageNotFound:
            return False
        return True

    def _make(self, recipe: RootFs) -> None:
        """Make a root file system in the first way that works: by mmdebstrap, or by the engine from Debian's image.

        Raises:
            LabError: each way failed; the message says which were tried, and why each failed.
            UsageError: this machine has no means to make it.
        """
        self._progress(f"making image {recipe}'s packages")
        start = time.monotonic()
        failed: dict[str, str] = {}
        for way, make in self._ways(recipe).items():
            try:
                make()
                break
            except (SwarmlabError, OSError, docker.errors.DockerException) as why:
                failed[way] = str(why)
                self._progress(f"image {recipe}: {way} failed: {shown(why)}")
        else:
            tried = "; ".join(f"{way}: {why}" for way, why in failed.items())
            means = as_root() is not None
            if not means:
                tried += f"; mmdebstrap: not tried, as it takes root ({why_not_root()})"
            mend = f"run once as root, or give the engine an image {recipe.base} (docker load)"
            message = f"image {recipe} could not be made: {tried}"
            raise LabError(message) if means else UsageError(f"{message}; {mend}")
        self._progress(f"made image {recipe}'s packages in {time.monotonic() - start:.0f} s")
        self.forget_older(recipe.reference)

    def _ways(self, recipe: RootFs) -> dict[str, Callable[[], None]]:
        """Return the ways of making a root file system here, the first to be tried first."""
        root, own = as_root(), own_container(self._client)

        def bootstrap() -> None:
            assert root is not None
            if not shutil.which("mmdebstrap"):
                install(["images"], self._progress)
            if own:
                self._by_container(recipe, own)
            else:
                self._by_mmdebstrap(recipe, root)

        def build() -> None:
            with self._base(recipe.base), recipe.staged(self._outside) as context:
                self._build(recipe.reference, recipe.dockerfile(), context=context)

        ways = {f"build from {recipe.base}": build}
        if root is None:
            return ways
        installed = bool(shutil.which("mmdebstrap"))
        return {"mmdebstrap": bootstrap, **ways} if installed else {**ways, "mmdebstrap": bootstrap}

    def _lay(self, layer: EngineLayer) -> None:
        self._progress(f"making the image of engine {layer.content.version}")
        start = time.monotonic()
        with layer.staged() as context:
            self._build(layer.reference, layer.dockerfile(), context=context)
        self._progress(f"made the image of engine {layer.content.version} in {time.monotonic() - start:.0f} s")
        self.forget_older(layer.reference)

    def _by_mmdebstrap(self, recipe: RootFs, as_root: Sequence[str]) -> None:
        with scratch("image") as folder, recipe.staged(self._outside) as staged:
            tar = folder / "root.tar"
            # mmdebstrap works there too, so that the leavings of a killed build go with the folder.
            # Without --quiet it prints why apt failed. That word stays in the recipe, as its hash names the image.
            build = [word for word in recipe.mmdebstrap(tar, staged) if word != "--quiet"]
            command = [*self._outside, *as_root, *for_downloads(), f"TMPDIR={folder}", *build]
            made = children.run(command, capture_output=True, text=True)
            if made.returncode != 0:
                why = downloads.why(made.stderr, "E:", source="Debian's mirror")
                raise LabError(shown(why))
            self._import(recipe, tar)

    def _by_container(self, recipe: RootFs, own: Container) -> None:
        """Make it with mmdebstrap in a container of this one's image, as this one may not mount."""
        with scratch("image") as folder, recipe.staged(self._outside) as staged:
            tar = folder / "root.tar"
            build = recipe.mmdebstrap(Path("/root.tar"), Path("/", staged.name))
            printed = make_file(own, [word for word in build if word != "--quiet"], staged, "/root.tar", tar)
            if printed:
                raise LabError(shown(downloads.why(printed, "E:", source="Debian's mirror")))
            self._import(recipe, tar)

    def _import(self, recipe: RootFs, tar: Path) -> None:
        repository, _, tag = recipe.reference.partition(":")
        changes = [*recipe.settings, f"LABEL {LABEL_IMAGE}={repository}"]
        self._client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=changes)

    def pull(self, base: str) -> None:
        """Pull an image.

        Raises:
            LabError: it cannot be pulled; the message has the registry's words.
        """
        self._progress(f"pulling {base}")
        login: dict[str, str] = {}
        repository, _, tag = base.partition(":")
        try:
            with contextlib.suppress(LabError):  # without a login it may be pulled all the same
                login = _login(repository)
            said = list(self._client.api.pull(repository, tag, stream=True, decode=True, auth_config=login))
        except docker.errors.APIError as refused:
            said = [{"error": str(refused.explanation)}]
        if wrong := next((str(line["error"]) for line in said if "error" in line), ""):
            why = downloads.unreached(wrong, "Docker's registry") or shown(wrong)
            raise LabError(f"it cannot be pulled: {why}")

    @contextlib.contextmanager
    def _base(self, base: str) -> Iterator[None]:
        """Have the image that a build begins with. If it was pulled for a build that fails, it goes again."""
        pulled = not self.has(base)
        if pulled:
            self.pull(base)
        try:
            yield
        except BaseException:
            if pulled:
                _remove(self._client, [base])
            raise

    def _build(self, reference: str, dockerfile: str, context: Path | None = None) -> None:
        with scratch("image") as folder:
            file = folder / "Dockerfile"
            file.write_text(dockerfile, encoding="utf-8")
            build(self._client, reference, path=str(context or folder), dockerfile=str(file))

    def _fill_registry(self, reference: str) -> None:
        """Push every workload to a registry, and keep that registry, with what it holds, as an image."""
        self._progress("filling the lab's registry")
        start = time.monotonic()
        self._untag("127.0.0.1:")  # left by a run that was killed here
        container = self._client.containers.run(
            RootFs("registry", DEFAULT).reference,
            detach=True,
            use_config_proxy=False,  # the image has its environment
            **PLAINLY,
            ports={"5000/tcp": ("127.0.0.1", 0)},  # an engine trusts a registry on its own loopback
            labels={LABEL: "images", OWNER: this_process()},
        )
        try:
            wait(lambda: self._listens(container), "the registry to listen", error=LabError)
            container.reload()
            port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
            for work in workloads().values():
                here = f"127.0.0.1:{port}/{work.reference}"
                settings = "\n".join(work.settings)
                self._build(here, f"FROM {RootFs(work.of, WORKLOADS).reference}\n{settings}\n")
                for line in self._client.images.push(here, stream=True, decode=True, auth_config={}):
                    if "error" in line:
                        raise LabError(f"{work.reference} could not be pushed to the lab's registry: {line['error']}")
                self._client.images.remove(here)
            container.stop()
            repository, _, tag = reference.partition(":")
            # The image takes over the container's labels. With this owner no run removes a container of it as stale.
            container.commit(repository, tag, changes=f"LABEL {LABEL_IMAGE}={repository} {OWNER}={USER}")
        finally:
            container.remove(force=True, v=True)
        self._progress(f"filled the lab's registry in {time.monotonic() - start:.0f} s")
        self.forget_older(reference)

    def push(self, registry: str) -> list[str]:
        """Push every workload to a registry; return their references there.

        Args:
            registry: HOST[:PORT][/PATH]; the credentials are those of this user's docker login.

        Raises:
            LabError: an image could not be pushed, or the login cannot be read.
        """
        roots = of_workloads()
        # Of an image there: a registry without a path would be taken for a repository of Docker Hub's.
        pushed, login = [], _login(f"{registry}/{next(iter(workloads().values())).reference}")
        with making_images_on(self._client, self._progress):
            for root in roots:
                if not self.has(root.reference):
                    self._make(root)
            for work in workloads().values():
                there = f"{registry}/{work.reference}"
                settings = "\n".join(work.settings)
                self._build(there, f"FROM {RootFs(work.of, WORKLOADS).reference}\n{settings}\n")
                self._progress(f"pushing {there}")
                try:
                    for line in self._client.images.push(there, stream=True, decode=True, auth_config=login):
                        if "error" in line:
                            raise LabError(f"{there} could not be pushed: {line['error']}")
                except (docker.errors.APIError, requests.exceptions.RequestException) as failed:
                    raise LabError(f"{there} could not be pushed: {shown(failed)}") from failed
                finally:
                    self._client.images.remove(there)
                self._progress(f"pushed {there}")
                pushed.append(there)
        return pushed

    def _untag(self, prefix: str) -> None:
        for image in self._client.images.list(filters={"label": LABEL_IMAGE}):
            for tag in image.tags:
                if tag.startswith(prefix):
                    self._client.images.remove(tag)

    @staticmethod
    def _listens(container: Container) -> State:
        container.reload()
        listening = container.exec_run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000"])
        return State(listening.exit_code == 0, container.status, hopeless=container.status != "running")

    def forget_older(self, reference: str) -> None:
        """Remove the images of the same name with other content, unless a container uses them."""
        name = reference.partition(":")[0]
        for image in self._client.images.list(filters={"label": f"{LABEL_IMAGE}={name}"}):
            if reference not in image.tags:
                for tag in image.tags:
                    with contextlib.suppress(docker.errors.APIError):
                        self._client.images.remove(tag)


def build(
    client: docker.DockerClient, reference: str, labels: Mapping[str, str] = MappingProxyType({}), **how: Any
) -> None:
    """Build an image. One that fails, or is interrupted, leaves no container and no image of its steps.

    Args:
        client: the engine.
        reference: the image's name and tag.
        labels: labels of the image, beside the one that all have.
        how: further arguments of docker-py's `build`.

    Raises:
        LabError: a step failed; the message has its words.
    """
    labels = {LABEL_IMAGE: reference.partition(":")[0], **labels}
    # What it begins with is there. docker-py would ask for all logins of this user, and send them with each build.
    client.api._auth_configs = _NO_LOGINS  # type: ignore[attr-defined]
    before = {str(image["Id"]) for image in client.api.images(all=True)}
    said: list[dict[str, Any]] = []
    how["buildargs"] = {**proxies(elsewhere=True), **how.get("buildargs", {})}
    try:
        lines = client.api.build(tag=reference, labels=labels, rm=True, forcerm=True, decode=True, **how)
        for line in lines:
            said.append(line)
            if "error" in line:
                raise LabError(f"the engine could not build {reference}: {_reason(said)}")
    except BaseException:
        _remove(client, _steps(client, said, before))
        raise


def _login(place: str) -> dict[str, str]:
    """Return this user's login at the registry of a repository; empty if there is none.

    Raises:
        LabError: it cannot be read, as where the program that keeps it fails.
    """
    registry, _ = auth.resolve_repository_name(place)
    try:
        return auth.load_config().resolve_authconfig(registry) or {}
    except docker.errors.DockerException as failed:
        raise LabError(f"the login at {registry} cannot be read: {shown(failed)}") from failed


def _steps(client: docker.DockerClient, said: Sequence[Mapping[str, Any]], before: Collection[str]) -> list[str]:
    """Return the images that the steps of a build have made, the last first.

    Args:
        client: the engine.
        said: what the engine said of the build.
        before: ids of the images that were there before it.
    """
    short = [made[1] for line in said for made in _STEP.finditer(str(line.get("stream", "")))]
    there = [str(image["Id"]) for image in client.api.images(all=True)]
    ids = [next((id for id in there if id.startswith(f"sha256:{step}")), "") for step in short]
    return [id for id in reversed(list(dict.fromkeys(ids))) if id and id not in before]


def _remove(client: docker.DockerClient, images: Sequence[str]) -> None:
    """Remove images as far as nothing uses them."""
    for image in images:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(image)


def _reason(build: Sequence[Mapping[str, Any]]) -> str:
    """Return what the failed step of a build said, or else how it ended."""
    said = "".join(str(entry.get("stream", "")) for entry in build).splitlines()
    if not_reached := downloads.unreached("\n".join(said), "a source of packages"):
        return not_reached
    lines = [line.strip() for line in said]
    wrong = [line for line in lines if line.startswith(("E: ", "ERROR:", "setup: "))]  # of apt, pip and setup.sh
    wrong += [line for line in lines if re.search(r"depends on|error|cannot|failed|not found", line, re.IGNORECASE)]
    return shown(wrong[0] if wrong else build[-1]["error"])


def _node_image(choice: EngineChoice) -> RootFs | EngineLayer:
    """Return the image of nodes that have this engine."""
    return RootFs("node", choice.place) if choice.source == "debian" else EngineLayer(held(choice))


def archive(client: docker.DockerClient, name: str, progress: Progress) -> Path:
    """Save the image of the registry that holds all workloads, as *name*; return the file, which stays in the cache.

    Call `Workshop.prepare` first, so that the engine has the image.

    Raises:
        LabError: the engine does not save it, or the cache has no room for it.
    """
    file = archive_file(name)
    with making_images_on(client, progress):
        if file.exists():
            return file
        for older in cache_folder().glob(f"{file.name.partition(':')[0]}:*"):
            older.unlink()
        repository, _, tag = name.partition(":")
        partial = file.with_name(
            f"{file.name}.part"
        )  # of one process at a time; one that a killed run left is replaced
        try:
            client.images.get(registry_reference()).tag(repository, tag)
            with partial.open("wb") as made:
                for chunk in client.api.get_image(name):
                    made.write(chunk)
            client.images.remove(name, noprune=True)
            partial.rename(file)
        except docker.errors.APIError as refused:
            raise LabError(f"the suite's images cannot be saved: {refused.explanation}") from refused
        except requests.exceptions.RequestException as failed:
            raise LabError(f"the suite's images cannot be saved: {failed}") from failed
        except OSError as failed:
            raise LabError(outputs.unwritable(file, failed)) from failed
        finally:
            partial.unlink(missing_ok=True)
    return file


def archive_file(name: str) -> Path:
    """Return the file in which `archive` keeps the image *name*."""
    return cache_folder() / f"{name}.tar"
