"""What a lab is: how nodes come to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from swarmlab.node import Node
from swarmlab.offers import Offers


class Lab(Protocol):
    """A place that has nodes.

    Attributes:
        kind: the word by which ``--lab`` chooses it.
        name: which one, among labs of one kind.
        standing: the user brought it up; it is judged as it stands, and stays after the run.
        speed: how many times slower its nodes are than deadlines are written for, measured once it is up.
    """

    kind: str
    name: str
    standing: bool
    speed: float

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

    def facts(self) -> list[dict[str, str]]:
        """What the report says of each node of the default cluster."""

    def account(self) -> dict[str, Any]:
        """What the report says of the lab as a whole: speed, and what else of memory, seconds and provider it knows."""

    def image(self, name: str) -> str:
        """The reference by which nodes pull the workload image of this name, such as web:1."""
