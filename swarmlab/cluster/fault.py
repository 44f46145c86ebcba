"""Faults as data, and the one place that applies them, heals them and checks that they are healed.

Which node drops whose packets is plain data (`Drops`). Faults that are not healed yet are listed in `Swarm.damage`; a
cluster with damage is given to no other test.
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
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Host names of the nodes whose packets are dropped, by the host name of the node that drops them.
Drops = Mapping[str, frozenset[str]]


class Kind(Enum):
    """A fault of a whole node; its value is the name of the method of `Node`."""

    KILL = "kill"  #: its power is switched off
    STOP = "stop"  #: it is shut down in order
    FREEZE = "freeze"  #: its processes are halted
    REBOOT = "reboot"  #: its operating system is restarted, which needs no healing


@dataclass(frozen=True)
class Fault:
    """A fault of a cluster, as data.

    Attributes:
        summary: the fault in a few words.
        nodes: faults of whole nodes, by host name.
        drops: which node drops whose packets.
        ports: protocols and ports whose packets a node drops, incoming and outgoing, by host name.
    """

    summary: str
    nodes: Mapping[str, Kind] = field(default_factory=dict)
    drops: Drops = field(default_factory=dict)
    ports: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.summary

    @property
    def touches(self) -> list[str]:
        """Host names of the nodes that the fault changes."""
        return list(dict.fromkeys([*self.nodes, *self.drops, *self.ports]))


# Whole nodes


def kill(*nodes: Node) -> Fault:
    """Return the fault that switches the power of *nodes* off, all at the same time."""
    return _whole(Kind.KILL, nodes)


def stop(*nodes: Node) -> Fault:
    """Return the fault that shuts *nodes* down in order."""
    return _whole(Kind.STOP, nodes)


def freeze(*nodes: Node) -> Fault:
    """Return the fault that halts all processes of *nodes*."""
    return _whole(Kind.FREEZE, nodes)


def reboot(*nodes: Node) -> Fault:
    """Return the fault that restarts *nodes*."""
    return _whole(Kind.REBOOT, nodes)


def _whole(kind: Kind, nodes: Sequence[Node]) -> Fault:
    return Fault(f"{kind.value} {_names(nodes)}", nodes={node.name: kind for node in nodes})


# Networks


def split(*groups: Iterable[Node]) -> Fault:
    """Return the fault that splits the cluster into *groups* that do not reach each other.

    A node in several groups is a bridge: it reaches all of its groups, and they reach it. The groups still do not reach
    each other.

    Example:
        with applied(split([master, slave01], [slave02]), cluster):
            ...
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
    """Return the fault that cuts *node* off from *others*, in both directions."""
    return split([node], [other for other in others if other.name != node.name])


def deafen(node: Node, others: Iterable[Node]) -> Fault:
    """Return the fault by which *node* drops the packets of *others*, which still receive its own."""
    far = frozenset(other.name for other in others if other.name != node.name)
    return Fault(f"{node} drops the packets of {few(sorted(far))}", drops={node.name: far})


def close_port(port: int, *nodes: Node, protocols: Sequence[str] = ("tcp", "udp")) -> Fault:
    """Return the fault that closes a port of the swarm (2377, 7946, 4789) at *nodes*, incoming and outgoing."""
    closed = tuple((protocol, port) for protocol in protocols)
    return Fault(f"port {port} closed at {_names(nodes)}", ports={node.name: closed for node in nodes})


def _names(nodes: Iterable[Node]) -> str:
    return few(node.name for node in nodes)


# Applying


@contextlib.contextmanager
def applied(fault: Fault, swarm: Swarm) -> Iterator[None]:
    """Apply *fault* to *swarm*; when the context ends, heal it and check that it is healed.

    Raises:
        LabError: the fault could not be applied or healed.

    Example:
        with applied(kill(cluster.nodes[0]), cluster):
            eventually(lambda: another_leads(cluster), "another manager to lead")
    """
    apply(fault, swarm)
    try:
        yield
    except BaseException:
        with contextlib.suppress(LabError):  # an error of healing must not hide the first one
            heal(fault, swarm)
        raise
    heal(fault, swarm)


def apply(fault: Fault, swarm: Swarm) -> None:
    """Apply *fault* to all of its nodes at once. The swarm stays damaged until `heal`.

    Raises:
        LabError: the fault could not be applied.
    """
    swarm.damage.append(str(fault))  # first, as a fault that fails half-way is damage too
    record("suite", f"fault: {fault}", "applying it")
    parallel(lambda name: _hurt(fault, swarm.node(name), swarm), fault.touches)
    record("suite", f"fault: {fault}", "applied")


def heal(fault: Fault, swarm: Swarm) -> None:
    """Undo *fault* and check that it is undone.

    Raises:
        LabError: a node's engine does not answer again, or the node still drops packets.
    """
    record("suite", f"fault: {fault}", "healing it")
    parallel(lambda name: _mend(fault, swarm.node(name)), fault.touches)
    record("suite", f"fault: {fault}", "healed")
    with contextlib.suppress(ValueError):
        swarm.damage.remove(str(fault))


def _hurt(fault: Fault, node: Node, swarm: Swarm) -> None:
    if far := fault.drops.get(node.name):
        # One way: the fault lists separately what the other side drops.
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
