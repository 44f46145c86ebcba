"""One command in a container of an engine: made, watched, its files brought back, and removed."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import requests
from docker.models.containers import Container

from swarmlab import ownership, signals
from swarmlab.courier import stream
from swarmlab.courier.parcel import Parcel, pack, unpack
from swarmlab.errors import LabError, UsageError
from swarmlab.files import exists, reason, shown
from swarmlab.host import Progress, user_name
from swarmlab.images import stock
from swarmlab.images.plain import PLAINLY
from swarmlab.images.run_image import environment_image
from swarmlab.labs import rights
from swarmlab.labs.containers import fitness
from swarmlab.labs.outer import OuterEngine
from swarmlab.paths import ROOT
from swarmlab.verdicts import folders

#: Label of the container: the process that made it. It is no owner as of labs, whose machine is taken for the engine's.
_SENDER = "swarmlab.sender"
#: Processors that have two names.
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
#: Where an engine has its socket, and where the container has it.
_SOCKET = "/var/run/docker.sock"
#: The cache there, as the Dockerfile sets it.
_CACHE = "/cache"
#: Environment variables that mean the same in the container: their names, and how they begin.
_PASSED = frozenset(
    (
        *("COLORTERM", "COLUMNS", "FORCE_COLOR", "LANG", "LINES", "NO_COLOR", "PYTEST_ADDOPTS", "PY_COLORS", "TERM"),
        *("CI", "CI_JOB_NAME", "CI_JOB_URL", "CI_PIPELINE_IID", "GITLAB_CI", "GITLAB_USER_LOGIN"),
        *("GITHUB_ACTIONS", "GITHUB_ACTOR", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER"),
        *("GITHUB_SERVER_URL", "GITHUB_WORKFLOW"),
        *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    )
)
_PASSED_TOO = ("SWARMLAB_", "LC_")
#: Those that are about this machine.
_KEPT_BACK = ("SWARMLAB_CACHE", "SWARMLAB_PRIVATE", "SWARMLAB_ENGINE_SOCKET", "SWARMLAB_COURIER")
_FAILURES = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)


class _Chunks(io.RawIOBase):
    """Blocks of bytes as a stream that is read once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            try:
                self._rest = next(self._blocks)
            except StopIteration:
                return 0
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


class Courier:
    """Carries one command to an engine."""

    def __init__(self, engine: OuterEngine, program: str, words: Sequence[str], progress: Progress) -> None:
        """Describe the work; nothing is made before `carry`.

        Args:
            engine: the engine whose networks are out of reach.
            program: the module that is run, ``pytest`` or ``swarmlab``.
            words: its words.
            progress: called with a line for every step that takes time.
        """
        self._engine, self._client = engine, engine.client
        self._program, self._words = program, list(words)
        self._progress = progress
        self._parcel = Parcel.of(program, words, Path.cwd())
        # A shell reads what is typed; the docker command has the manners for that.
        self._typed = program == "swarmlab" and self._words[:1] == ["shell"]
        self._terminal = stream.is_terminal() and (not self._typed or os.isatty(0))

    def check(self) -> None:
        """Check that labs can be made on the engine, before anything is made there.

        Raises:
            UsageError: they cannot.
        """
        for why in fitness.refusals(self._client.info()):
            raise UsageError(f"{self._by} {why}")

    def carry(self) -> int:
        """Do the command's work, and return its exit status.

        Raises:
            UsageError: the engine's socket is not found, or a file cannot be read.
            LabError: the engine refuses the container, or is lost.
        """
        try:
            image = self._image()
            self._sweep()
            container = self._create(image)
            ownership.note("the container of this command", "is left; the next command there removes it")
            try:
                sent = self._send(container)
                status = self._run(container)
                with signals.deferred("the copying of the reports"):
                    self._fetch(container, sent)
                return status
            finally:
                self._remove(container)
                ownership.note("the container of this command", "")
        except _FAILURES as failed:
            raise LabError(f"the engine at {shown(self._engine.url)} failed: {shown(failed, 300)}") from failed

    # There

    @property
    def _by(self) -> str:
        """The engine, for messages."""
        named = self._engine.named
        return f"the engine of {named.by}" if named else f"the engine at {shown(self._engine.url)}"

    def _image(self) -> str:
        """Return an image with the environment of this checkout.

        Raises:
            UsageError: the engine's processor is another, and it has no such image and gets none of Debian's.
            SwarmlabError: it could not be made.
        """
        own, its = platform.machine(), str(self._client.info().get("Architecture"))
        alike = _MACHINES.get(own, own) == _MACHINES.get(its, its)
        return environment_image(
            self._client, self._progress, foreign="" if alike else f"{self._by} is {its}, this machine {own}"
        )

    def _sweep(self) -> None:
        """Remove containers of commands of this machine that were killed."""
        for left in self._engine.containers(_SENDER):
            if ownership.alive(left.labels[_SENDER]) is False:
                self._progress("removing the container of a command that was killed")
                self._remove(left)

    def _create(self, image: str) -> Container:
        """Create the container with the engine's socket in it.

        Raises:
            UsageError: the socket is in none of the places where it may be.
        """
        tried = list(self._sockets())
        for place in tried:
            mounts = [docker.types.Mount(_SOCKET, place, type="bind")]
            try:
                made = self._client.api.create_container(
                    image,
                    ["python", "-m", self._program, *self._words],
                    entrypoint=["tini", "-g", "--"],
                    environment=self._environment(),
                    working_dir=str(self._parcel.folder),
                    tty=self._terminal,
                    stdin_open=self._typed,
                    labels={_SENDER: ownership.this_process()},
                    host_config=self._client.api.create_host_config(mounts=mounts, **PLAINLY),
                )
            except docker.errors.APIError as refused:
                if "does not exist" in str(refused.explanation) and place in str(refused.explanation):
                    continue
                raise
            return self._client.containers.get(made["Id"])
        raise UsageError(
            f"the engine at {shown(self._engine.url)} has no socket at {' or '.join(tried)} on its machine; "
            "set SWARMLAB_ENGINE_SOCKET to its path there"
        )

    def _sockets(self) -> Iterator[str]:
        """Return where the engine's socket may be on the engine's own machine, the likeliest first."""
        if own := os.environ.get("SWARMLAB_ENGINE_SOCKET"):
            yield own
            return
        url = rights.behind(self._engine.url)
        path = url.removeprefix("unix://")
        if url.startswith("unix://") and self._client.info().get("KernelVersion") == os.uname().release:
            yield path
        if path != _SOCKET:
            yield _SOCKET

    def _environment(self) -> dict[str, str]:
        passed = {
            name: value
            for name, value in os.environ.items()
            if (name in _PASSED or name.startswith(_PASSED_TOO)) and name not in _KEPT_BACK
        }
        own = {"DOCKER_HOST": f"unix://{_SOCKET}", "SWARMLAB_ENGINES_LOCK": str(stock.lock_file())}
        own |= {
            "SWARMLAB_COURIER": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": "/tmp/python",
            "TZ": _zone(),
            "SUDO_USER": user_name().partition(",")[0],
        }
        return passed | own

    def _send(self, container: Container) -> set[str]:
        """Put the working tree and the named files in the container; return the paths of what is in it now."""
        with tempfile.TemporaryFile() as made:
            sent = pack(self._parcel.files(), made)
            made.seek(0)
            container.put_archive("/", made)
        if archives := self._parcel.archives():
            with tempfile.TemporaryFile() as made:
                pack(archives, made, to_folder=f"{_CACHE}/engines")
                made.seek(0)
                container.put_archive("/", made)
        return sent

    # While it runs

    def _run(self, container: Container) -> int:
        id = str(container.id)
        forwarder = stream.Forwarder(self._client, id, self._progress)
        try:
            if self._typed:
                self._engine.speak()
                command = ["docker", "start", "--attach", "--interactive", id]
                return subprocess.run(command, check=False, start_new_session=not self._terminal).returncode
            output = stream.attach(self._client, id, terminal=self._terminal)
            container.start()
            line = stream.lifeline(self._client, id)
            if self._terminal:
                stream.follow_size(self._client, id)
            while output.is_alive():
                output.join(0.5)
            status = int(container.wait(timeout=60)["StatusCode"])
            del line
            return status
        finally:
            forwarder.stop()

    # Back

    def _fetch(self, container: Container, sent: set[str]) -> None:
        """Write what the command has made to the same paths here."""
        for path in self._parcel.places():
            try:
                blocks, _ = self._client.api.get_archive(str(container.id), str(path))
            except docker.errors.NotFound:
                continue
            try:
                archive = io.BufferedReader(_Chunks(blocks))
                unpack(archive, path.parent, lambda file: self._parcel.is_made(file, sent))
            except OSError as failed:
                raise LabError(f"{shown(path)}: cannot be written: {reason(failed)}") from None
        if exists(self._parcel.reports / folders.RUNS):
            folders.prune(self._parcel.reports, self._parcel.keep)

    def _remove(self, container: Container) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)


def _zone() -> str:
    """Return this machine's time zone without its rules, as a system without time zones takes it (tzset(3))."""
    minutes = -time.localtime().tm_gmtoff // 60
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    return f"<{time.strftime('%Z')}>{sign}{hours}:{rest:02}"
