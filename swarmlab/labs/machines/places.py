"""The names of the parts of a lab of machines, and the folders where it keeps its files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from swarmlab.host import machines_folder, run_folder
from swarmlab.labs.hosts import OCTETS, host_names

#: The word of the kind, and the name of the lab: there is one on a host.
WORD, NAME = "vagrant", "machines"
#: The last octet of each machine's addresses, by host name.
MACHINES = dict(zip(host_names(3), OCTETS, strict=False))
#: The same of the machine beside the cluster, which a rehearsal may have (see `swarmlab.labs.machines.spare`).
SPARE = {host_names(4)[3]: OCTETS[3]}
#: The same of every machine that a lab may have.
ALL = {**MACHINES, **SPARE}


def domains(names: Iterable[str] = tuple(ALL)) -> list[str]:
    """Return the names that machines have in libvirt."""
    return [f"{NAME}-{name}" for name in names]


def networks() -> list[str]:
    """Return the names that the machines' networks have in libvirt."""
    return [f"{NAME}-nat", f"{NAME}-cluster"]


@dataclass(frozen=True)
class Places:
    """The folders of a lab of machines.

    Attributes:
        home: the folder of what stays between runs: disks and snapshots.
        run: the folder of what does not survive a reboot of this host: sockets, and the state of running machines.
    """

    home: Path
    run: Path

    @classmethod
    def of_host(cls) -> Places:
        """Return the folders of the lab of this host."""
        return cls(machines_folder() / NAME, run_folder() / NAME)

    @property
    def pool(self) -> Path:
        """The disks of the machines: libvirt's storage pool."""
        return self.home / "pool"

    @property
    def dotfile(self) -> Path:
        """Vagrant's folder of the machines' state."""
        return self.home / "dot"

    @property
    def downloads(self) -> Path:
        """The packages that were downloaded for upgrades."""
        return self.home / "packages"

    @property
    def handed_over(self) -> Path:
        """What an engine left on a machine that is set up anew, meanwhile."""
        return self.home / "handed-over.tar"

    @property
    def log(self) -> Path:
        """The output of Vagrant."""
        return self.home / "vagrant.log"

    @property
    def engines(self) -> Path:
        """The engines and releases of the machines. The file exists once a machine has another engine than at first."""
        return self.run / "engines.json"

    @property
    def speed(self) -> Path:
        """How many times slower than container nodes the machines are, as it was measured last."""
        return self.run / "speed"

    @property
    def ssh_config(self) -> Path:
        """The configuration file for ssh."""
        return self.run / "ssh_config"

    def engine_socket(self, name: str) -> Path:
        """Return the local socket that leads to the engine of a machine."""
        return self.run / f"{name}.sock"
