"""A second cluster beside the rehearsed one, which takes the incidents that hurt a node."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fixtures.cluster import of_story
from suites.support.upgrade.estate import Estate
from suites.support.upgrade.incidents import INCIDENTS
from suites.support.upgrade.kept import Kept, expect_same
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError
from swarmlab.evidence import Journal, aside, part, take_over
from swarmlab.labs.base import Lab
from swarmlab.rehearsal.plan import Plan
from swarmlab.signals import giving_up

_NAME = "a cluster beside the rehearsed one"

Play = Callable[[Kept], None]


class SecondCluster:
    """Gives a second cluster the engines of the path in turn, then services, and plays the incidents in their order.

    The incidents take minutes, most of it waiting, so they are played during the upgrade. Where the lab has no room for
    a second cluster, or the rehearsed one is like a real swarm, they are played in the rehearsed cluster by `judge`.
    """

    def __init__(self, lab: Lab, plan: Plan) -> None:
        """Start at once if the lab has room.

        Args:
            lab: the lab that gives the machines.
            plan: the plan of the rehearsal.
        """
        self._lab, self._plan = lab, plan
        self._managers, self._workers = min(plan.managers, 3), min(plan.workers, 1)
        self._nodes: list[Node] = []
        self._ended: dict[Play, tuple[Exception | None, Journal]] = {}
        self._unprepared: tuple[Exception, Journal] = LabError("it was not played"), Journal()
        self._thread: threading.Thread | None = None
        # The way back takes one machine more, and so does the rehearsed cluster where it is still to be made.
        further = self._managers + self._workers + 1 + (0 if lab.standing else plan.nodes)
        if lab.free >= further and lab.holds(further) and not plan.likeness:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def judge(self, play: Play, kept: Kept) -> None:
        """Raise what went wrong with an incident.

        Args:
            play: one of `suites.support.upgrade.incidents.INCIDENTS`.
            kept: the rehearsed cluster; the incident is played there if there is no second cluster.
        """
        if not self._thread:
            kept.wait_sound()
            play(kept)
            return
        self._thread.join()
        wrong, journal = self._ended.get(play, self._unprepared)
        take_over(journal)
        if wrong:
            raise of_story(_NAME, wrong)

    def end(self) -> None:
        """Stop playing, and remove the cluster."""
        if self._thread:
            with giving_up():
                self._thread.join()
        if self._nodes:
            self._lab.remove(self._nodes)

    def _run(self) -> None:
        with aside() as journal, part(_NAME):
            try:
                kept = self._upgraded()
            except Exception as failed:
                self._unprepared = LabError(f"it could not be upgraded: {failed}"), journal
                return
        for play in INCIDENTS:
            with aside() as journal, part(_NAME):
                self._ended[play] = _outcome(play, kept, journal), journal

    def _upgraded(self) -> Kept:
        self._nodes = self._lab.more(self._managers + self._workers)
        cluster = Swarm.form(self._nodes, managers=self._managers, image=self._lab.image)
        # It has no tasks yet, so that no node needs to be drained.
        for choice in self._plan.path[1:]:
            for node in self._nodes:
                identity = node.node_id()
                self._lab.upgrade(node, choice.name)
                expect_same(cluster, node, identity, choice.version)
        return Kept(cluster, Estate(cluster))


def _outcome(play: Play, kept: Kept, journal: Journal) -> Exception | None:
    try:
        kept.wait_sound()
        play(kept)
    except Exception as wrong:
        for name, text in kept.cluster.diagnosis().items():
            journal.attach(f"{_NAME}: {name}", text)
        return wrong
    return None
