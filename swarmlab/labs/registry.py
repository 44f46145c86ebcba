"""The labs on an outer engine, whatever their kind: found, attached to, and removed."""

from __future__ import annotations

from swarmlab import ownership, parallel
from swarmlab.cluster.node import Node
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.host import Progress, alone
from swarmlab.labs import standing as labels
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.containers.outer import OuterEngine
from swarmlab.labs.machines import lab as machines
from swarmlab.labs.machines.lab import VagrantLab

#: By the word that ``--lab`` takes: the name of the lab that is meant where none is named, and what it is made of.
DEFAULT_NAMES = {"dind": "swarmlab", "vagrant": machines.NAME}


def attach(outer: OuterEngine, name: str, progress: Progress = lambda _: None) -> DindLab | VagrantLab:
    """The lab of this name as it stands.

    Raises:
        UsageError: there is none.
    """
    if name == machines.NAME:
        return VagrantLab.attach(outer, progress)
    return DindLab.attach(outer, name, progress)


def describe(outer: OuterEngine, lab: labels.Standing) -> list[str]:
    """A line for each node of a lab: name, address, state, engine and role, as far as they can be told."""
    if lab.kind != VagrantLab.kind:
        return labels.describe(outer, lab.name)
    try:
        return [_described(node) for node in VagrantLab.attach(outer).nodes()]
    except SwarmlabError as failed:
        return [f"cannot be told: {failed}"]


def _described(node: Node) -> str:
    try:
        info = node.info()
    except SwarmlabError as failed:
        return f"{node.name:10} {node.address:16} {failed}"
    role = "manager" if info["Swarm"]["ControlAvailable"] else "worker"
    state = info["Swarm"]["LocalNodeState"]
    engine = f"engine {info['ServerVersion']}"
    return f"{node.name:10} {node.address:16} running   {engine:20} {role if state == 'active' else f'swarm: {state}'}"


def remove(outer: OuterEngine, name: str, progress: Progress) -> None:
    """Remove the lab of this name, whole or in what parts are left of it.

    Raises:
        UsageError: there is none.
    """
    known = {lab.name: lab for lab in labels.labs(outer)}
    if name not in known:
        raise UsageError(f"no lab {name!r}; labs: {', '.join(known) or 'none is up'}")
    if known[name].kind == VagrantLab.kind:
        machines.remove(outer, progress)
    labels.remove(outer, name)


def remove_stale(outer: OuterEngine, progress: Progress) -> None:
    """Remove what runs that were killed left: their labs, and their clusters in labs that stand."""
    with alone("stale"):  # what one process of a run removes, the next need not find
        for lab in labels.labs(outer):
            if lab.alive is False:
                progress(f"removing lab {lab.name}, whose run was killed")
                remove(outer, lab.name, progress)
        left = [
            container
            for container in outer.containers(ownership.OWNER)
            if ownership.alive(container.labels[ownership.OWNER]) is False
        ]
        if left:
            progress(f"removing {len(left)} nodes of a run that was killed")
            parallel.parallel(labels.remove_node, left)
