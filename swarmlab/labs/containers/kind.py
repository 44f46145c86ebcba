"""The kind of lab whose nodes are containers on the outer engine."""

from __future__ import annotations

from typing_extensions import override

from swarmlab.host import Progress, check_cache
from swarmlab.labs import standing
from swarmlab.labs.base import Lab, MadeKind, Request
from swarmlab.labs.containers.lab import DEFAULT, WORD, DindLab, check, check_memory
from swarmlab.labs.containers.node import LOG
from swarmlab.labs.context import is_elsewhere
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.state import NodeState
from swarmlab.ownership import own_suffix

_NODES = 3


class ContainerKind(MadeKind):
    """Labs of containers: any number of them on one engine, each with room for several clusters."""

    word = WORD
    summary = "each a container with an engine of its own"
    default_name = DEFAULT
    shape = (3, 1)
    reboots = False
    has_room = on_any_engine = True
    engine_log = LOG
    limits = (
        "Nodes were containers on one machine: they share its kernel, clock, memory and disk. The upgrade of a "
        "kernel or of a distribution beside the engine's, reboots, services of systemd, storage drivers and firewalls "
        "of your machines were not rehearsed."
    )

    @override
    def check(self, request: Request) -> None:
        check_cache()
        check(request.name or DEFAULT, request.engines, self._count(request))
        if request.nodes is not None and not is_elsewhere():  # else a run may use a lab that stands
            check_memory(request.nodes, int(request.spare is not None))

    @override
    def own_name(self, purpose: str) -> str:
        return f"{purpose}-{own_suffix()}"

    @override
    def make(self, outer: OuterEngine, request: Request, progress: Progress) -> Lab:
        return DindLab(
            outer,
            name=request.name or DEFAULT,
            engines=request.engines,
            nodes=self._count(request),
            aside=request.aside,
            spare=request.spare is not None,
            progress=progress,
        )

    @override
    def attach(self, outer: OuterEngine, name: str, progress: Progress) -> Lab:
        return DindLab.attach(outer, name, progress)

    @override
    def describe(self, outer: OuterEngine, name: str) -> list[NodeState]:
        return standing.describe(outer, name)

    @staticmethod
    def _count(request: Request) -> int:
        return _NODES if request.nodes is None else request.nodes


CONTAINERS = ContainerKind()
