"""The ways back from a failed step, tried beside the upgrade in a swarm of one manager."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service
from swarmlab.cluster.swarm import Swarm, init
from swarmlab.errors import LabError, NotSetUp, SwarmlabError
from swarmlab.evidence import Journal, aside, part
from swarmlab.labs.base import Lab
from swarmlab.rehearsal.plan import Plan
from swarmlab.signals import giving_up
from swarmlab.versions import parsed
from swarmlab.wait import State, eventually, wait

_STATE = "/var/lib/docker/swarm"
_IN_USE = "address already in use"


class WayBack(threading.Thread):
    """Upgrades a lone manager, gives it the old engine again, and restores the backup of its swarm.

    Attributes:
        in_place: what went wrong with the old engine on the state that the new one left; None if nothing did.
        restored: what went wrong with the backup; None if nothing did.
        journal: the evidence; None before the thread runs.
    """

    def __init__(self, lab: Lab, plan: Plan) -> None:
        """Start at once.

        Args:
            lab: the lab that gives the machine.
            plan: the plan of the rehearsal, whose first and last engines are tried.
        """
        super().__init__(daemon=True)
        self._lab, self._old, self._new = lab, plan.path[0], plan.path[-1]
        self._node: Node | None = None
        self.in_place: Exception | None = LabError("it was not played to its end")
        self.restored: Exception | None = self.in_place
        self.journal: Journal | None = None
        self.start()

    def run(self) -> None:
        """Try both ways; the thread calls it."""
        with aside() as self.journal, part("the way back"):
            try:
                self._node = self._lab.spare_node()
                lone = _Lone(self._lab, self._node)
                if parsed(self._node.ask("GET", "/version")["Version"]) != self._old.numbers:
                    self._lab.upgrade(self._node, self._old.name)  # the swarm's nodes begin with several engines
                backup = lone.make_swarm()
                self._lab.upgrade(self._node, self._new.name)
                wait(lone.runs, f"the swarm of one manager to run with engine {self._new}", deadline=120)
                before = lone.identities()
                self.in_place = _outcome(lambda: self._go_back(lone, before))
                self.restored = _outcome(lambda: self._restore(lone, before, backup))
            except Exception as failed:
                self.in_place = self.restored = LabError(f"the way back could not be tried: {failed}")

    def end(self) -> None:
        """Stop trying, and remove the machine."""
        with giving_up():
            self.join()
        if self._node:
            with suppress(SwarmlabError):
                self._lab.remove([self._node])
            self._node = None

    def _go_back(self, lone: _Lone, before: dict[str, Any]) -> None:
        try:
            self._lab.upgrade(lone.node, self._old.name)
        except NotSetUp:
            raise
        except LabError as failed:
            raise AssertionError(
                f"engine {self._old} does not start on what {self._new} left on {lone.node}: {failed}"
            ) from failed
        back = f"with engine {self._old} again, on what {self._new} left"
        eventually(lone.runs, f"the swarm of {lone.node} to run {back}", deadline=120)
        now = lone.identities()
        assert now == before, f"{back}, the swarm of {lone.node} is {now}, it was {before}"

    def _restore(self, lone: _Lone, before: dict[str, Any], backup: bytes) -> None:
        # As on a machine that is set up anew with the old engine: nothing else of the swarm is left.
        node = lone.node
        self._lab.wipe(node)
        node.put("/var/lib/docker", backup)
        node.start_engine()
        eventually(lambda: begun_anew(node), f"engine {self._old} on {node} to begin anew from the backup", deadline=30)
        eventually(lone.runs, f"the swarm of the backup to run on {node}", deadline=120)

        def same() -> State:
            now = lone.identities()
            return State(now == before, f"it is {now}, and was {before}")

        eventually(same, f"the swarm of {node} to be that of the backup")


class _Lone:
    """A swarm of one manager with one service."""

    def __init__(self, lab: Lab, node: Node) -> None:
        self.node = node
        self._swarm = Swarm([node], image=lab.image)
        self._service: Service | None = None

    def make_swarm(self) -> bytes:
        """Make the swarm and its service; stop the engine, and back up its state as an archive."""
        init(self.node)
        self._swarm.wait_ready()
        self._service = self._swarm.create_service("lone", "idle")
        self._service.wait_running(1)
        self.node.stop_engine()  # a backup is made while the engine is stopped
        return self.node.take(_STATE)

    def identities(self) -> dict[str, Any]:
        """Return the ids of cluster, services and node."""
        services = self.node.ask("GET", "/services")
        return {
            "cluster": self.node.ask("GET", "/swarm")["ID"],
            "services": {service["ID"]: service["Spec"]["Name"] for service in services},
            "node": self.node.node_id(),
        }

    def runs(self) -> State:
        """Whether the swarm is ready and its task runs."""
        ready = self._swarm.ready()
        return self._service.converged(1) if ready and self._service else ready


def _outcome(play: Callable[[], None]) -> Exception | None:
    try:
        play()
    except (AssertionError, SwarmlabError) as wrong:
        return wrong
    return None


def begun_anew(node: Node) -> State:
    """Whether *node* began a new cluster from its manager's state; false while the managers' port is in use.

    Now and then the engine opens the port before the manager that the command ends has closed it. The engine then keeps
    its state without a manager, and begins when the command is run again.

    Raises:
        AssertionError: the command failed for another reason.
    """
    begun = node.docker(f"swarm init --force-new-cluster --advertise-addr {node.address}")
    assert begun.ok or _IN_USE in begun.output, f"{node} does not begin anew from its state: {begun.output}"
    return State(begun.ok, begun.output)
