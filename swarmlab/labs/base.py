"""What a lab is: how nodes come to be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swarmlab.cluster.node import Node
from swarmlab.images.engines import EngineChoice
from swarmlab.images.given import GivenImage
from swarmlab.needs import Offers


@dataclass(frozen=True)
class Declared:
    """What a lab says that one of its nodes is.

    Attributes:
        system: settings of its /etc/os-release; empty if nothing is declared.
        engine: the version of its engine, without what a distribution adds to it ("+dfsg1"); empty likewise.
        network: the first three octets of the cluster network; not the document's where the lab found that taken;
            empty likewise.
    """

    system: Mapping[str, str]
    engine: str
    network: str

    @classmethod
    def debian(cls, choice: EngineChoice, package: str, network: str) -> Declared:
        """A node of the release that was chosen, with the engine of its package.

        Args:
            choice: what was asked for.
            package: the version of the release's package that the node was made with, which may be newer than when
                the choice was written down; empty if that is not known.
            network: see `Declared`.
        """
        upstream = re.split("[+-]", package.rpartition(":")[2])[0]
        return cls({"ID": "debian", "VERSION_CODENAME": choice.suite}, upstream or choice.version, network)


class Lab(Protocol):
    """A place that has nodes: containers (`labs.containers`), machines (`labs.machines`), or a swarm that exists
    (`labs.existing`).

    Attributes:
        kind: the word by which ``--lab`` chooses it.
        name: which one, among labs of one kind.
        standing: the user brought it up; it is judged as it stands, and stays after the run.
        speed: how many times slower its nodes are than deadlines are written for, measured once it is up.
        ports: the published ports that the suites use.
    """

    kind: str
    name: str
    standing: bool
    speed: float

    @property
    def ports(self) -> range:
        """See above."""

    @property
    def offers(self) -> Offers:
        """What it offers, found by looking once it is up."""

    @property
    def free(self) -> int:
        """How many machines it can give at the moment, beside those it gave that were not removed."""

    def up(self) -> None:
        """Bring the nodes of the default cluster up; they are in no swarm yet unless the lab is an existing cluster."""

    def measure(self) -> None:
        """Measure the nodes' speed, and scale all deadlines by it."""

    def down(self) -> None:
        """Take everything away that `up` and `more` made."""

    def nodes(self) -> list[Node]:
        """The machines of the default cluster: master, slave01, slave02 first."""

    def more(self, count: int) -> list[Node]:
        """Make *count* machines for a further cluster, beside those that are there."""

    def remove(self, nodes: Sequence[Node]) -> None:
        """Throw machines away that `nodes` or `more` gave."""

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:
        """Give a node another engine, as a machine is given a newer package, or an older one.

        The machine is the same afterwards: its name, its address, the engine's state and settings. It is stopped for as
        long as that takes; whoever wants its tasks elsewhere drains it before.

        Args:
            node: one that `nodes` or `more` gave.
            engine: see `swarmlab.images.engines.engine_choice`.
            reboot: restart its operating system afterwards, where it has one of its own.

        Raises:
            UsageError: the lab cannot, or there is no such engine.
            LabError: the new engine does not answer.
        """

    def declared(self, node: str) -> Declared:
        """What the node of this host name is to be, by what was asked for and not by what runs there."""

    def facts(self) -> list[dict[str, str]]:
        """What the report says of each node of the default cluster."""

    def account(self) -> dict[str, Any]:
        """What the report says of the lab as a whole: speed, and what else of memory, seconds and provider it knows."""

    def give(self, images: Sequence[GivenImage]) -> None:
        """Offer images that the user gave; where the lab has one of that name, the given one takes its place.

        Raises:
            UsageError: no node can have one of them.
        """

    def image(self, name: str) -> str:
        """The reference by which nodes pull the workload image of this name, such as web:1."""
