"""The ways back from a step that failed, played beside the upgrade in a swarm of one manager."""

import threading
from contextlib import suppress

from swarmlab.cluster.swarm import Swarm, init
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.evidence import aside, part
from swarmlab.wait import State, eventually, wait

_STATE = "/var/lib/docker/swarm"
_IN_USE = "address already in use"


class Back(threading.Thread):
    """Upgrades a lone manager, gives it the old engine again, and brings the backup of its swarm back.

    Attributes:
        in_place: what went wrong with the old engine on what the new one left; None where nothing did.
        restored: what went wrong with the backup.
        journal: what was asked and told meanwhile.
    """

    def __init__(self, lab, plan):
        super().__init__(daemon=True)
        self._lab, self._old, self._new = lab, plan.path[0], plan.path[-1]
        self._node = None
        self.in_place = self.restored = LabError("it was not played to its end")
        self.journal = None
        self.start()

    def run(self):
        with aside() as self.journal, part("the way back"):
            try:
                self._prepare()
                self.in_place = self._outcome(self._go_back)
                self.restored = self._outcome(self._restore)
            except Exception as failed:
                self.in_place = self.restored = LabError(f"the way back could not be tried: {failed}")

    def end(self):
        """Wait until it is over, and throw its machine away."""
        self.join()
        if self._node:
            with suppress(SwarmlabError):
                self._lab.remove([self._node])
            self._node = None

    @staticmethod
    def _outcome(play):
        try:
            play()
        except (AssertionError, SwarmlabError) as wrong:
            return wrong
        return None

    def _prepare(self):
        [self._node] = self._lab.more(1)
        if not self._node.ask("GET", "/version")["Version"].startswith(self._old.version):
            self._lab.upgrade(self._node, self._old.suite)  # the swarm's nodes begin with several engines
        init(self._node)
        self._swarm = Swarm([self._node], image=self._lab.image)
        self._swarm.wait_ready()
        self._service = self._swarm.create_service("lone", "idle")
        self._service.wait_running(1)
        self._node.stop()  # a backup is made of an engine that is stopped
        self._backup = self._node.take(_STATE)
        self._before = None
        # The machine is off: it gets the new engine at once.
        self._lab.upgrade(self._node, self._new.suite)
        wait(self._runs, f"the swarm of one manager to run with engine {self._new}", deadline=120)
        self._before = self._tells()

    def _tells(self):
        """Cluster, services and node, by their ids."""
        services = self._node.ask("GET", "/services")
        return {
            "cluster": self._node.ask("GET", "/swarm")["ID"],
            "services": {one["ID"]: one["Spec"]["Name"] for one in services},
            "node": self._node.node_id(),
        }

    def _runs(self):
        """Whether the swarm is ready and its task runs."""
        return self._swarm.ready() and self._service.converged(1)

    def _go_back(self):
        try:
            self._lab.upgrade(self._node, self._old.suite)
        except LabError as failed:
            raise AssertionError(f"engine {self._old} does not start on what {self._new} left: {failed}") from failed
        eventually(
            self._runs, f"the swarm to run with engine {self._old} again, on what {self._new} left", deadline=120
        )
        told = self._tells()
        assert told == self._before, f"with engine {self._old} again the swarm is {told}, it was {self._before}"

    def _restore(self):
        # A machine that is set up anew with the old engine: what is left of the swarm is thrown away.
        left = self._node.docker("swarm leave --force")
        assert left.ok, left.said
        self._node.stop()
        self._node.put("/var/lib/docker", self._backup)
        self._node.start()
        eventually(lambda: begun_anew(self._node), f"engine {self._old} to begin anew from the backup", deadline=30)
        eventually(self._runs, "the swarm of the backup to run", deadline=120)
        eventually(
            lambda: State(self._tells() == self._before, f"it is {self._tells()}, and was {self._before}"),
            "the swarm to be that of the backup",
        )


def begun_anew(node):
    """Whether *node* began a cluster of its own from its manager's state; what else refuses it is raised.

    Now and then the engine asks for the managers' port before the manager that the command ends has let go of it. It
    has forgotten that manager then, keeps its state, and begins when it is asked again.
    """
    begun = node.docker(f"swarm init --force-new-cluster --advertise-addr {node.address}")
    assert begun.ok or _IN_USE in begun.said, f"{node} does not begin anew from its state: {begun.said}"
    return State(begun.ok, begun.said)
