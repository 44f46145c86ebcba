"""The kinds of lab, and the labs on an outer engine, whatever their kind: attached to, described, removed.

A new kind of lab is a package beside `labs.containers`, and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swarmlab import ownership, parallel, signals
from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, alone, person
from swarmlab.labs import standing
from swarmlab.labs.base import Lab, LabKind, MadeKind
from swarmlab.labs.containers import neighbours, roots
from swarmlab.labs.containers.kind import CONTAINERS
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.labs.machines.kind import MACHINES
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.standing import Standing
from swarmlab.labs.state import NodeState
from swarmlab.nearest import hint
from swarmlab.paths import command

#: The kind that is used if none is named.
DEFAULT: MadeKind = CONTAINERS
#: Every kind by its word, the value of ``--lab``.
KINDS: Mapping[str, LabKind] = {kind.word: kind for kind in (CONTAINERS, MACHINES, EXISTING)}
#: The kinds whose labs are made on an outer engine.
MADE = {word: kind for word, kind in KINDS.items() if isinstance(kind, MadeKind)}


def kind_named(word: str) -> LabKind:
    """Return the kind of this word.

    Raises:
        UsageError: there is no such kind.
    """
    if word not in KINDS:
        near = hint(word, KINDS)
        raise UsageError(f"--lab {shown(word, 60)}: no such lab{near}; choose one of {', '.join(KINDS)}")
    return KINDS[word]


def kind_by_option() -> dict[str, str]:
    """Return the word of the kind by the name of each option that only this kind takes."""
    return {option.name: kind.word for kind in KINDS.values() for option in kind.options}


def refuse_foreign(kind: LabKind, value_of: Callable[[str], str | None]) -> None:
    """Refuse options of other kinds of lab, which have no effect on a lab of this one.

    Args:
        kind: the kind that was chosen.
        value_of: returns the value of an option, given its name with dashes; None if it was not given.

    Raises:
        UsageError: such an option was given.
    """
    for other in KINDS.values():
        for option in other.options:
            if option not in kind.options and value_of(option.name) is not None:
                raise UsageError(f"{option.name}: is an option of --lab {other.word}; give that too, or leave it out")


def attach(outer: OuterEngine, name: str, progress: Progress = lambda _: None) -> Lab:
    """Return the lab of this name as it stands.

    Raises:
        UsageError: there is no such lab.
    """
    return _kind(known(outer, name)).attach(outer, name, progress)


def describe(outer: OuterEngine, lab: Standing) -> list[NodeState]:
    """Return the state of each node of a lab, as far as it is known.

    Raises:
        SwarmlabError: nothing is known of its nodes.
    """
    return _kind(lab).describe(outer, lab.name)


def remove(outer: OuterEngine, name: str, progress: Progress) -> None:
    """Remove the lab of this name, also if only parts of it are left.

    Raises:
        UsageError: there is no such lab.
    """
    lab = known(outer, name)
    with signals.deferred(f"the removal of lab {name}"):
        standing.disown(outer, name)
        _kind(lab).remove(outer, name, progress)
        standing.remove(outer, name)
    neighbours.put_back(outer)


def remove_stale(outer: OuterEngine, progress: Progress) -> None:
    """Remove what killed runs of this user left: their labs, and their clusters in labs that stand."""
    with alone("stale"):  # so that two processes of one run do not remove the same lab
        makers = {}
        for lab in standing.labs(outer):
            if lab.alive is False and lab.foreign:
                down = command("swarmlab", "down", "--name", lab.name, "--yes")
                progress(f"lab {lab.name}, of a run of {lab.person}'s that was killed, stays; to remove it: {down}")
            elif lab.alive is False:
                progress(f"removing lab {lab.name} of a run that was killed")
                remove(outer, lab.name, progress)
                ownership.forget(lab.name)
            else:
                makers[lab.name] = lab.maker
        # A lab that is its user's has the mark of the process that made it, which has ended.
        left = [
            container
            for container in outer.containers(ownership.OWNER)
            if outer.alive(container.labels[ownership.OWNER]) is False
            and container.labels.get(ownership.PERSON, person()) == person()
            and container.labels[ownership.OWNER] != makers.get(container.labels.get(ownership.LABEL, ""))
        ]
        if left:
            progress(f"removing {len(left)} nodes of a run that was killed")
            parallel.parallel(standing.remove_node, left)
        standing.sweep_folders(outer)
        roots.sweep(outer)


def known(outer: OuterEngine, name: str) -> Standing:
    """Return the lab of this name as its labels describe it.

    Raises:
        UsageError: there is no such lab.
    """
    labs = {lab.name: lab for lab in standing.labs(outer)}
    if name not in labs:
        kind = next((kind for kind in MADE.values() if kind.default_name == name), DEFAULT)
        made = command("swarmlab", "up", *([] if kind is DEFAULT else ["--lab", kind.word]))
        listed = ", ".join(labs) or "none is up"
        raise UsageError(f"no lab {shown(repr(name), 60)}; labs: {listed}; make one with: {made}")
    return labs[name]


def _kind(lab: Standing) -> MadeKind:
    # Parts without the label of a kind are containers, which the labels of `standing` suffice to remove.
    return MADE.get(lab.kind, DEFAULT)
