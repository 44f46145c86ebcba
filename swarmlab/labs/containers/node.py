"""A node of a container lab."""

from __future__ import annotations

import contextlib
import io
import tarfile

import docker
from docker.models.containers import Container
from docker.models.volumes import VolumeCollection
from testinfra.host import Host
from typing_extensions import override

from swarmlab.cluster.node import Node
from swarmlab.errors import LabError
from swarmlab.labs.answering import answers
from swarmlab.labs.containers.shell import NodeBackend
from swarmlab.labs.relay import Relay
from swarmlab.labs.standing import NODE, off_mark, shared_socket, thaw_inside
from swarmlab.wait import State, wait

#: The file of the engine's log on a node.
LOG = "/var/log/dockerd.log"


class DindNode(Node):
    """A container as a node.

    Attributes:
        container: the container; an upgrade replaces it.
    """

    def __init__(self, container: Container, *, new: bool = False) -> None:
        """Describe the node by its container's labels (see `swarmlab.labs.standing`).

        Args:
            container: see above.
            new: it was started just now.
        """
        labels = container.labels
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAMConfig"]["IPv4Address"]
        self.container = container
        shells = NodeBackend(labels[NODE], lambda: self.container)
        self._relay: Relay | None = None
        url = shared_socket(container, new=new)
        if not url:
            self._relay = Relay(lambda: self.container)
            url = self._relay.url
        super().__init__(labels[NODE], address, Host(shells), url)

    def expect_off(self) -> None:
        """Note that the node's container is about to end on purpose."""
        self._volumes.create(off_mark(self.container), labels=self.container.labels)

    def _expect_on(self) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self._volumes.get(off_mark(self.container)).remove(force=True)

    @property
    def _volumes(self) -> VolumeCollection:
        assert self.container.client
        return self.container.client.volumes

    @property
    def is_off(self) -> bool:
        """Whether the node was switched off or frozen on purpose, and not switched on since."""
        try:
            self._volumes.get(off_mark(self.container))
        except docker.errors.NotFound:
            return False
        return True

    def restarted(self) -> bool:
        """Whether the container was started anew since this was asked or the node was started, by somebody else."""
        before = self.container.attrs["State"]["StartedAt"]
        self.container.reload()
        return bool(self.container.attrs["State"]["StartedAt"] != before)

    @override
    def stop(self) -> None:
        self.expect_off()
        self.container.stop(timeout=30)

    @override
    def start(self) -> None:
        self.container.start()
        self._expect_on()
        self.wait_up()

    @override
    def kill(self) -> None:
        self.expect_off()
        thaw_inside(self.container)
        self.container.kill()
        self.container.wait(timeout=30)

    @override
    def freeze(self) -> None:
        def halted() -> State:
            try:
                self.container.pause()
            except docker.errors.APIError as refused:
                # If a process starts meanwhile, cgroup v1 freezes only some of them. runc then thaws all, and its
                # caller must try again (opencontainers/runc#2774 and #4388).
                if "unable to freeze" not in str(refused):
                    raise
                return State(False, str(refused.explanation or refused))
            return State(True, "it is halted")

        self.expect_off()
        wait(halted, f"all processes of {self.name} to be halted", deadline=60, error=LabError)

    @override
    def thaw(self) -> None:
        self.container.unpause()
        self._expect_on()

    @override
    def take(self, folder: str) -> bytes:
        chunks, _ = self.container.get_archive(folder)
        return b"".join(chunks)

    @override
    def put(self, folder: str, archive: bytes) -> None:
        if not self.container.put_archive(folder, archive):
            raise LabError(f"{folder} of {self.name} could not be written")

    def become(self, container: Container) -> None:
        """Use another container from now on: the same node with another engine."""
        self.host.backend.close()
        self.forget()
        self.container = container
        self._expect_on()

    def let_go(self) -> None:
        """Close the connections to the node's shell and its engine."""
        self.host.backend.close()
        self.forget()
        if self._relay:
            self._relay.close()

    def wait_up(self) -> None:
        """Wait until the node's engine answers.

        Raises:
            LabError: it does not answer within 60 seconds, or the container ended.
        """

        def up() -> bool:
            self.container.reload()
            if self.container.status != "running":
                raise LabError(f"node {self.name} ended at once: {self._last_output()}")
            return answers(self._engine_url)

        wait(up, f"the engine of {self.name} to answer", deadline=60, error=LabError)

    def _last_output(self) -> str:
        # The engine logs to a file in the container. A file can be copied from a stopped container, too.
        try:
            chunks, _ = self.container.get_archive(LOG)
        except docker.errors.NotFound:
            text = self.container.logs(tail=3)
        else:
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.extractfile("dockerd.log")
                text = member.read() if member else b""
        return " / ".join(text.decode(errors="replace").strip().splitlines()[-3:]) or "no output"

    def _log_command(self) -> str:
        return f"tail -n 2000 {LOG}"
