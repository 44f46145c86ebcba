"""The kind of lab that is a swarm which exists."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from swarmlab.errors import UsageError
from swarmlab.host import Progress
from swarmlab.labs.base import FoundKind, Option, Request
from swarmlab.labs.existing import inventory
from swarmlab.labs.existing.ansible import GROUP
from swarmlab.labs.existing.inventory import DEFAULT_PORTS, Inventory
from swarmlab.labs.existing.lab import WORD, InventoryLab

_INVENTORY = Option("--inventory", "FILE|ssh://USER@MANAGER", "the machines of a swarm that exists")
_PORTS = Option(
    "--ports",
    "FIRST-LAST",
    f"published ports that the suites may use there (default: {DEFAULT_PORTS.start}-{DEFAULT_PORTS.stop - 1})",
)
_GROUP = Option("--group", "NAME[,NAME…]", f"the group of an inventory of Ansible that is the swarm (default: {GROUP})")
_MAY_DISRUPT = Option("--may-disrupt", "CLUSTER-ID", "the id (docker info) of the swarm, if tests may disrupt it")
_AS_IT_IS = "a swarm that exists is taken as it is; leave it out"


class ExistingKind(FoundKind):
    """Swarms that exist, reached over SSH."""

    word = WORD
    summary = "each a machine of a swarm that exists"
    options = (_INVENTORY, _GROUP, _PORTS, _MAY_DISRUPT)
    refuses: ClassVar = {
        "--engine": _AS_IT_IS,
        "--lab-name": _AS_IT_IS,
        "--image": _AS_IT_IS,
        "-n": f"all tests share the one swarm, so --lab {WORD} runs in one process; leave it out",
    }

    @override
    def check(self, request: Request) -> None:
        self._read(request)

    def disruptable(self, request: Request) -> bool:
        """Whether tests may disrupt such a swarm: only if its owner names it with ``--may-disrupt``."""
        return bool(request.option(_MAY_DISRUPT.name))

    @override
    def reach(
        self,
        request: Request,
        progress: Progress,
        *,
        to_judge: bool = True,
        partly: bool = False,
        patiently: bool = False,
        wrong: list[str] | None = None,
    ) -> InventoryLab:
        lab = InventoryLab(self._read(request), may_disrupt=request.option(_MAY_DISRUPT.name), progress=progress)
        lab.connect(to_judge=to_judge, partly=partly, patiently=patiently, wrong=wrong)
        if to_judge and wrong is None and not self.disruptable(request):
            progress(f"tests that disrupt are not run; to allow them: {_MAY_DISRUPT.name} {lab.cluster}")
        return lab

    def enter(self, request: Request, node: str, progress: Progress) -> InventoryLab:
        """Reach one machine of such a lab for a shell on it, whether or not its engine answers.

        Args:
            request: which lab.
            node: the machine: its host name, or its address.
            progress: called with a line for every step that takes time.

        Returns:
            The lab, with the one node if the inventory names it, and else with all that can be reached; its `down`
            closes what was opened.

        Raises:
            UsageError: the machine cannot be reached.
        """
        lab = InventoryLab(self._read(request), progress=progress)
        lab.enter(node)
        return lab

    @staticmethod
    def _read(request: Request) -> Inventory:
        source = request.option(_INVENTORY.name)
        if not source:
            raise UsageError(f"--lab {WORD}: needs --inventory FILE, or --inventory ssh://USER@MANAGER")
        try:
            return _read(source, request.option(_PORTS.name), request.option(_GROUP.name), Path.cwd())
        except UsageError as wrong:
            of_another = str(wrong).startswith((_PORTS.name, _GROUP.name))
            raise UsageError(f"{'' if of_another else f'{_INVENTORY.name}: '}{wrong}") from None


@functools.lru_cache(maxsize=1)
def _read(source: str, ports: str, group: str, _here: Path) -> Inventory:
    """Read an inventory once: a program may make it, and Ansible takes seconds."""
    return inventory.read(source, ports=ports, group=group)


EXISTING = ExistingKind()
