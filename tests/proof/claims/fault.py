"""A fault that makes claims fail, and what their reasons must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.proof.planting import Fault

#: The replacement for a match of a pattern: a text, or a function of the match.
Replacement = str | Callable[..., str]


@dataclass(frozen=True)
class ClaimFault(Fault):
    """One way to break a cluster.

    Without `formed` the script runs as soon as a node is up, before there is a swarm.

    Attributes:
        fails: By claim, a regular expression that the reason of its verdict must match.
        formed: The script runs when the swarm has been made, and not before.
        offers: Features that the lab claims to have, so that the test runs and finds them missing.
        lab: The kind of lab that the fault is planted in.
        engine: The engine of the lab, where the default one lacks what the claim needs; empty for the default one.
        run: Faults with the same value are planted together, which saves a lab each; empty: alone.
        portainer: What the double of Portainer does wrong (see `tests.doubles.portainer.double`).
        answers: By path of the API, a pattern and its replacement in the answers: the only way to have managers that
            lie.
    """

    fails: dict[str, str]
    formed: bool = False
    offers: tuple[str, ...] = ()
    lab: str = "dind"
    engine: str = ""
    run: str = ""
    portainer: tuple[str, ...] = ()
    answers: dict[str, tuple[str, Replacement]] = field(default_factory=dict)
