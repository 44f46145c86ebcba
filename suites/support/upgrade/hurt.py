"""Where the incidents that take a node that is hurt are played: in a cluster of their own, beside the upgrade."""

import threading

from fixtures.cluster import of_story
from suites.support.upgrade.estate import Estate
from suites.support.upgrade.incidents import (
    demoted_and_promoted,
    manager_loses_power,
    names_after_a_cut,
    node_loses_power,
)
from suites.support.upgrade.kept import Kept, expect_same
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError
from swarmlab.evidence import Journal, aside, part, take_over
from swarmlab.wait import giving_up

_NAME = "a cluster beside the rehearsed one"
_PLAYS = (demoted_and_promoted, names_after_a_cut, manager_loses_power, node_loses_power)


class Hurt:
    """Gives a second cluster the engines of the path in turn, then services, and plays the incidents in their order.

    They take minutes, most of which is waiting. Where the lab has no room, and where the rehearsed cluster is like one
    that exists, they are played in the rehearsed one when they are asked for.
    """

    def __init__(self, lab, plan):
        self._lab, self._plan = lab, plan
        self._managers, self._workers = min(plan.managers, 3), min(plan.workers, 1)
        self._nodes = []
        self._ended = {}
        self._unprepared = LabError("it was not played"), Journal()
        self._thread = None
        # One machine more is for the way back.
        if lab.free > self._managers + self._workers and not plan.likeness:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def judge(self, play, kept):
        """Raise what went wrong with an incident; *kept* is the rehearsed cluster."""
        if not self._thread:
            kept.wait_sound()
            play(kept)
            return
        self._thread.join()
        wrong, journal = self._ended.get(play, self._unprepared)
        take_over(journal)
        if wrong:
            raise of_story(_NAME, wrong)

    def end(self):
        """Throw its cluster away; what is not played by then is asked for by nobody."""
        if self._thread:
            with giving_up():
                self._thread.join()
        if self._nodes:
            self._lab.remove(self._nodes)

    def _run(self):
        with aside() as journal, part(_NAME):
            try:
                kept = self._upgraded()
            except Exception as failed:
                self._unprepared = LabError(f"it could not be upgraded: {failed}"), journal
                return
        for play in _PLAYS:
            with aside() as journal, part(_NAME):
                self._ended[play] = self._play(play, kept, journal), journal

    def _upgraded(self):
        self._nodes = self._lab.more(self._managers + self._workers)
        cluster = Swarm.form(self._nodes, managers=self._managers, image=self._lab.image)
        # Without tasks, so that no node needs to be drained.
        for choice in self._plan.path[1:]:
            for node in self._nodes:
                identity = node.node_id()
                self._lab.upgrade(node, choice.suite)
                expect_same(cluster, node, identity, choice.version)
        return Kept(cluster, Estate(cluster))

    @staticmethod
    def _play(play, kept, journal):
        """What went wrong with a play; None where nothing did."""
        try:
            kept.wait_sound()
            play(kept)
        except Exception as wrong:
            for name, text in kept.cluster.diagnosis().items():
                journal.attach(f"{_NAME}: {name}", text)
            return wrong
        return None
