"""A node of a container lab."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import docker
from docker.models.containers import Container
from testinfra.host import Host
from typing_extensions import override

from swarmlab.cluster.node import Node
from swarmlab.errors import LabError
from swarmlab.host import make_folder
from swarmlab.labs.answering import answers
from swarmlab.labs.containers.shell import NodeBackend
from swarmlab.labs.standing import NODE, SOCKET, thaw_inside
from swarmlab.wait import State, wait

#: The file of the engine's log on a node.
LOG = "/var/log/dockerd.log"


class DindNode(Node):
    """A container as a node.

    Attributes:
        container: the container; an upgrade replaces it.
    """

    def __init__(self, container: Container) -> None:
        """Describe the node by its container's labels (see `swarmlab.labs.standing`)."""
        labels = container.labels
        networks = container.attrs["NetworkSettings"]["Networks"]
        address = next(iter(networks.values()))["IPAMConfig"]["IPv4Address"]
        self.container = container
        shells = NodeBackend(labels[NODE], lambda: self.container)
        super().__init__(labels[NODE], address, Host(shells), f"unix://{labels[SOCKET]}")
        #: Says that the node was switched off on purpose: a file beside its socket, so that other processes know, too.
        self._off = Path(labels[SOCKET]).with_name("off")

    def expect_off(self) -> None:
        """Note that the node's container is about to end on purpose."""
        make_folder(self._off.parent)
        self._off.touch()

    @property
    def is_off(self) -> bool:
        """Whether the node was switched off or frozen on purpose, and not switched on since."""
        return self._off.exists()

    @property
    def is_lost(self) -> bool:
        """Whether the container runs, and the engine's socket was removed from this machine, as cleaners of folders do.

        The container still has the folder that was removed. Only when it is started anew it gets one of that name.
        """
        return self.container.status == "running" and not self._off.with_name("docker.sock").exists()

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
        make_folder(self._off.parent)  # else the outer engine makes it, for everybody to enter
        if self.is_lost:
            self.container.restart(timeout=30)
        else:
            self.container.start()
        self._off.unlink(missing_ok=True)
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
        self._off.unlink(missing_ok=True)

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
        self.let_go()
        self.container = container
        self._off.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Close the connections to the node's shell and its engine."""
        self.host.backend.close()
        self.forget()

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
