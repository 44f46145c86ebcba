"""Faults as data, and the one place that applies them, heals them and checks that they are healed.

Who cannot hear whom is plain data (`Drops`): by node, the nodes whose packets it drops. What a swarm suffers and has
not been healed of is listed in `Swarm.damage`; such a cluster is given to no other test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError
from swarmlab.evidence import record
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: By a node's host name, the host names of those whose packets it drops.
Drops = Mapping[str, frozenset[str]]


class Kind(Enum):
    """What is done to a node as a whole."""

    KILL = "kill"  #: its power is taken
    STOP = "stop"  #: it is shut down in order
    FREEZE = "freeze"  #: its processes are halted
    REBOOT = "reboot"  #: its operating system is restarted; that heals itself


@dataclass(frozen=True)
class Fault:
    """What is done to the nodes of a cluster.

    Attributes:
        what: the fault in words.
        nodes: what is done to whole nodes, by host name.
        drops: who does not hear whom.
        ports: protocol and port for which a node drops what comes in and what goes out, by host name.
    """

    what: str
    nodes: Mapping[str, Kind] = field(default_factory=dict)
    drops: Drops = field(default_factory=dict)
    ports: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what

    @property
    def touches(self) -> list[str]:
        """The host names of the nodes on which something is done."""
        return list(dict.fromkeys([*self.nodes, *self.drops, *self.ports]))


# Whole nodes


def kill(*nodes: Node) -> Fault:
    """The power of *nodes* is taken, of all at once."""
    return _whole(Kind.KILL, nodes)


def stop(*nodes: Node) -> Fault:
    """*nodes* are shut down in order."""
    return _whole(Kind.STOP, nodes)


def freeze(*nodes: Node) -> Fault:
    """*nodes* are halted: there, and doing nothing."""
    return _whole(Kind.FREEZE, nodes)


def reboot(*nodes: Node) -> Fault:
    """*nodes* are restarted."""
    return _whole(Kind.REBOOT, nodes)


def _whole(kind: Kind, nodes: Sequence[Node]) -> Fault:
    return Fault(f"{kind.value} {_names(nodes)}", nodes={node.name: kind for node in nodes})


# Networks


def split(*groups: Iterable[Node]) -> Fault:
    """The cluster falls into *groups* that do not hear one another; a node in several of them is a bridge.

    A bridge hears all of its groups and is heard by them. With one half and the other, and a node in both, each half
    takes itself for connected, and neither sees the other.
    """
    sides = [[node.name for node in group] for group in groups]
    everyone = list(dict.fromkeys(name for side in sides for name in side))
    drops = {}
    for name in everyone:
        near = {other for side in sides if name in side for other in side}
        if far := frozenset(everyone) - near:
            drops[name] = far
    return Fault(f"split into {' | '.join(' '.join(side) for side in sides)}", drops=drops)


def cut_off(node: Node, others: Iterable[Node]) -> Fault:
    """*node* and *others* do not hear each other."""
    return split([node], [other for other in others if other.name != node.name])


def deafen(node: Node, others: Iterable[Node]) -> Fault:
    """*node* does not hear *others*, which hear it."""
    far = frozenset(other.name for other in others if other.name != node.name)
    return Fault(f"{node} hears none of {', '.join(sorted(far))}", drops={node.name: far})


def close_port(port: int, *nodes: Node, protocols: Sequence[str] = ("tcp", "udp")) -> Fault:
    """One port of the swarm (2377, 7946, 4789) is closed at *nodes*, to what comes in and to what goes out."""
    closed = tuple((protocol, port) for protocol in protocols)
    return Fault(f"port {port} closed at {_names(nodes)}", ports={node.name: closed for node in nodes})


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.name for node in nodes)


# Applying


@contextlib.contextmanager
def applied(fault: Fault, swarm: Swarm) -> Iterator[None]:
    """Apply *fault* to *swarm*; when the context ends, heal it and check that it is healed.

    Raises:
        LabError: it could not be applied, or not be healed.
    """
    apply(fault, swarm)
    try:
        yield
    except BaseException:
        with contextlib.suppress(LabError):  # what was found with the fault is not to be hidden by what comes after it
            heal(fault, swarm)
        raise
    heal(fault, swarm)


def apply(fault: Fault, swarm: Swarm) -> None:
    """Do what *fault* says to *swarm*, to all of its nodes at once; it stays damaged until `heal`.

    Raises:
        LabError: it could not be done.
    """
    swarm.damage.append(str(fault))  # before: what failed half-way is damage too
    record("suite", f"fault: {fault}", "applying it")
    parallel(lambda name: _hurt(fault, swarm.node(name), swarm), fault.touches)
    record("suite", f"fault: {fault}", "applied")


def heal(fault: Fault, swarm: Swarm) -> None:
    """Undo *fault*, and check that it is undone.

    Raises:
        LabError: a node does not come back, or still drops packets.
    """
    record("suite", f"fault: {fault}", "healing it")
    parallel(lambda name: _mend(fault, swarm.node(name)), fault.touches)
    record("suite", f"fault: {fault}", "healed")
    with contextlib.suppress(ValueError):
        swarm.damage.remove(str(fault))


def _hurt(fault: Fault, node: Node, swarm: Swarm) -> None:
    if far := fault.drops.get(node.name):
        # One way: the other side drops for itself, where the fault says so.
        node.cut([swarm.node(name).address for name in sorted(far)], one_way=True)
    for protocol, port in fault.ports.get(node.name, ()):
        node.cut_port(protocol, port, outgoing=True)
    if kind := fault.nodes.get(node.name):
        getattr(node, kind.value)()


def _mend(fault: Fault, node: Node) -> None:
    kind = fault.nodes.get(node.name)
    if kind in (Kind.KILL, Kind.STOP):
        node.start()
    elif kind is Kind.FREEZE:
        node.thaw()
    if kind:
        wait(lambda: _answers(node), f"the engine of {node} to answer again", deadline=60, error=LabError)
    if node.name in fault.drops or node.name in fault.ports:
        node.heal()


def _answers(node: Node) -> State:
    try:
        node.greet()
    except LabError as silent:
        return State(False, str(silent))
    return State(True, "it answers")
