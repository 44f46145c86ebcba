"""The kind of lab whose nodes are virtual machines that Vagrant makes."""

from __future__ import annotations

import platform
from typing import ClassVar

from typing_extensions import override

from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.host import Progress, check_cache
from swarmlab.labs.base import Lab, MadeKind, Option, Request
from swarmlab.labs.machines import lab as machines
from swarmlab.labs.machines import places
from swarmlab.labs.machines.lab import VagrantLab
from swarmlab.labs.machines.places import NAME, WORD
from swarmlab.labs.machines.providers import PROVIDERS
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.state import NodeState

_PROVIDER = Option("--provider", "PROVIDER", f"what makes machines: {', '.join(PROVIDERS)} (default: {PROVIDERS[0]})")


class MachineKind(MadeKind):
    """Labs of machines: one on a host, of three machines, which hold one cluster at a time.

    A rehearsal has one machine beside them where the host has memory for it.
    """

    word = WORD
    summary = "each a virtual machine"
    options = (_PROVIDER,)
    refuses: ClassVar = {"-n": f"there is one lab of machines on a host, so --lab {WORD} runs in one process"}
    default_name = NAME
    shape = (len(places.MACHINES), 0)
    reboots = True
    has_room = False
    limits = (
        "Nodes were virtual machines of Debian on one host. Packages, with what they need, or a static archive gave "
        "them another engine; the kernel, its control groups and the rest of the distribution stayed. Your machines' "
        "storage drivers, firewalls and hardware were not rehearsed."
    )

    @override
    def check(self, request: Request) -> None:
        if request.name not in ("", NAME):
            raise UsageError(f"the lab of machines has the name {NAME}, not {request.name}; leave the name out")
        if request.nodes not in (None, len(places.MACHINES)):
            raise UsageError(
                f"the lab of machines has {len(places.MACHINES)} nodes, not {request.nodes}; ask for as many"
            )
        if platform.machine() != "x86_64":
            raise UsageError(
                f"machines are made for x86-64, and this host is {platform.machine()}; use nodes that are containers: "
                "--lab dind"
            )
        check_cache()
        machines.check(request.engines, self._provider(request))

    @override
    def own_name(self, purpose: str) -> str:
        """Return the one name that the lab of machines has."""
        return NAME

    @override
    def make(self, outer: OuterEngine, request: Request, progress: Progress) -> Lab:
        provider = self._provider(request)
        return VagrantLab(outer, engines=request.engines, provider=provider, spare=request.spare, progress=progress)

    @override
    def attach(self, outer: OuterEngine, name: str, progress: Progress) -> Lab:
        return VagrantLab.attach(outer, progress)

    @override
    def describe(self, outer: OuterEngine, name: str) -> list[NodeState]:
        found = []
        lab = VagrantLab.attach(outer)
        for node in lab.machines:
            cluster = int(node in lab.beside)
            if cluster and not lab.is_on(node.name):
                found.append(NodeState.of(node.name, node.address, "off", {}, cluster))
                continue
            try:
                node.connect()
                found.append(NodeState.of(node.name, node.address, "running", node.info(), cluster))
            except SwarmlabError as failed:
                found.append(NodeState(node.name, node.address, "", note=str(failed)))
        return found

    @override
    def remove(self, outer: OuterEngine, name: str, progress: Progress) -> None:
        machines.remove(outer, progress)

    @staticmethod
    def _provider(request: Request) -> str:
        return request.option(_PROVIDER.name) or PROVIDERS[0]


MACHINES = MachineKind()
