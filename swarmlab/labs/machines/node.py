"""A node of a lab of machines."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from typing_extensions import override

from swarmlab.cluster.node import Node
from swarmlab.errors import LabError
from swarmlab.labs.answering import engine_at
from swarmlab.labs.machines.engines import Parcel
from swarmlab.labs.machines.places import Places
from swarmlab.labs.machines.spare import KEPT, WIPE
from swarmlab.labs.ssh import Ssh
from swarmlab.wait import State, wait

#: Options of tar for layers of images: owners by number, and the marks of the storage driver.
_WHOLE = "--numeric-owner --xattrs '--xattrs-include=*'"


class Switches(Protocol):
    """Switches machines on and off. The lab implements it."""

    def vagrant(self, verb: str, **how: object) -> None:
        """Run one of python-vagrant's verbs."""

    def cut_power(self, node: str) -> None:
        """Cut the power of a machine."""


class VagrantNode(Node):
    """A virtual machine as a node."""

    def __init__(self, name: str, address: str, places: Places, switches: Switches) -> None:
        """Describe a machine; it is not reached yet.

        Args:
            name: its host name.
            address: its address on the cluster network.
            places: where ssh's configuration file is, and where the engine's socket goes.
            switches: switches it on and off.
        """
        self._ssh = Ssh(places.ssh_config, name)
        super().__init__(name, address, self._ssh.testinfra(), f"unix://{places.engine_socket(name)}")
        self._switches = switches

    @override
    def stop(self) -> None:
        self.disconnect()
        self._switches.vagrant("halt", vm_name=self.name)

    @override
    def start(self) -> None:
        self._switches.vagrant("up", vm_name=self.name, provision=False)
        self.wait_up()

    @override
    def kill(self) -> None:
        self._switches.cut_power(self.name)
        self.disconnect()

    @override
    def freeze(self) -> None:
        self._switches.vagrant("suspend", vm_name=self.name)

    @override
    def thaw(self) -> None:
        self._switches.vagrant("resume", vm_name=self.name)

    @override
    def stop_engine(self) -> None:
        self.run("systemctl stop docker.socket docker.service")
        self.forget()

    @override
    def start_engine(self) -> None:
        self.run("systemctl start docker.service")
        self.wait_up()

    def empty(self) -> None:
        """Stop the engine, and remove all that it keeps.

        Raises:
            LabError: it cannot be removed.
        """
        self._end_engine()
        self.run(WIPE).expect(f"the removal of what the engine of {self} keeps")

    @override
    def take(self, folder: str) -> bytes:
        place = PurePosixPath(folder)
        return self._pack(str(place.parent), place.name, subprocess.PIPE).stdout

    @override
    def put(self, folder: str, archive: bytes) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(archive)
            file.seek(0)
            self._unpack(folder, file)

    def hand_over(self, anew: Callable[[], None], file: Path) -> None:
        """Set the machine up anew, and give it what its engine left. Its engine is stopped afterwards.

        Args:
            anew: sets the machine up anew.
            file: the file on this host in which that is meanwhile.

        Raises:
            LabError: it cannot be read or written.
        """
        self._end_engine()
        there = self.run(f"cd / && ls -d {' '.join(KEPT)}").out.split()  # not every engine has all of them
        try:
            with file.open("wb") as packed:
                self._pack("/", " ".join(there), packed)
            anew()
            self.empty()
            with file.open("rb") as packed:
                self._unpack("/", packed)
        finally:
            file.unlink(missing_ok=True)

    def _end_engine(self) -> None:
        self.stop_engine()
        self.run("systemctl stop containerd.service")  # an engine from an archive has none of systemd's

    def _pack(self, folder: str, names: str, target: IO[bytes] | int) -> subprocess.CompletedProcess[bytes]:
        command = self._ssh.command(f"tar -C {folder} {_WHOLE} --one-file-system -cf - {names}")
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=target, stderr=subprocess.PIPE)
        return self._packed(done, f"{names} in {folder} of {self} could not be read")

    def _unpack(self, folder: str, source: IO[bytes]) -> None:
        command = self._ssh.command(f"mkdir -p {folder} && tar -C {folder} {_WHOLE} -xf -")
        done = subprocess.run(command, check=False, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._packed(done, f"{folder} of {self} could not be written")

    @staticmethod
    def _packed(done: subprocess.CompletedProcess[bytes], wrong: str) -> subprocess.CompletedProcess[bytes]:
        if done.returncode != 0:
            raise LabError(f"{wrong}: {done.stderr.decode(errors='replace').strip()}")
        return done

    def reboot(self) -> None:
        """Restart the machine's operating system, and wait until it has booted. Its engine need not answer yet."""
        before = self._boot_id()
        self.run("systemctl reboot")
        self.disconnect()

        def again() -> State:
            with contextlib.suppress(LabError):
                self.connect()
                if self._boot_id() != before:
                    booted = self.run("systemctl is-system-running").out.strip()
                    return State(booted in ("running", "degraded"), f"booted, and {booted}")
                self.disconnect()
            return State(False, "not booted again")

        wait(again, f"{self.name} to boot again", deadline=60, every=1, error=LabError)

    def _boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id").out.strip()

    def wait_up(self) -> None:
        """Wait until the machine can be reached and its engine answers.

        Raises:
            LabError: it does not answer within 60 seconds.
        """

        def up() -> State:
            try:
                self.connect()
                engine_at(self._engine_url, timeout=60).close()
            except LabError as failed:
                self.disconnect()
                return State(False, str(failed))
            return State(True)

        wait(up, f"the engine of {self.name} to answer", deadline=60, error=LabError)

    def connect(self) -> None:
        """Open the connection to the machine's shell and its engine's socket, if it is not open.

        Raises:
            LabError: the machine cannot be reached.
        """
        if message := self._ssh.open():
            raise LabError(f"{self.name} cannot be reached over SSH: {message}")

    def disconnect(self) -> None:
        """Close the connection of `connect`. The next command opens another."""
        self._ssh.close()
        self._client = None  # its pooled connections went through the one that is closed

    def install(self, parcel: Parcel) -> None:
        """Send an engine to the machine, and install it there. The service is not started.

        Raises:
            LabError: the engine cannot be sent or installed.
        """
        if not parcel.files:
            return
        there = "/var/tmp/swarmlab-engine"
        unpack = self._ssh.command(f"rm -rf {there} && mkdir {there} && tar -C {there} -xf -")
        pack = ["tar", "--dereference", "--absolute-names", "--transform=s|.*/||", "-cf", "-", *map(str, parcel.files)]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            sent = subprocess.run(unpack, check=False, stdin=packing.stdout, capture_output=True, text=True)
        if sent.returncode != 0:
            raise LabError(f"an engine could not be sent to {self.name}: {sent.stderr.strip()}")
        done = self.run(f"cd {there} && {parcel.command}")
        self.run(f"rm -rf {there}")
        done.expect(f"the installation of an engine on {self.name}")

    def _log_command(self) -> str:
        return "journalctl --no-pager --unit docker --lines 2000"
