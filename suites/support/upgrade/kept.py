"""A cluster and what it has to keep: whether its nodes and services are what they were."""

from suites.support.upgrade.copied import STEADY
from swarmlab.errors import DeadlineExceeded
from swarmlab.wait import State, eventually, wait


class Kept:
    """What has to be the same after whatever is done to a cluster.

    Attributes:
        cluster: the swarm.
        estate: what it has to keep; made before anything is done to it.
    """

    def __init__(self, cluster, estate):
        self.cluster, self.estate = cluster, estate

    def expect_same(self, node, engine):
        """`expect_same` of a node of this cluster."""
        return expect_same(self.cluster, node, self.estate.member(node.name)["id"], engine)

    def wait_sound(self):
        """Have it be as it was before more is done to it: what an earlier incident left says nothing of the next."""
        wait(self.cluster.ready, "the swarm to be ready before the incident", deadline=60)
        wait(self.whole, "all services to be whole before the incident", deadline=60)

    def expect_whole(self, promise, deadline):
        """Judge that every service has its tasks, and for some seconds on: one that ends at once runs now and then."""
        lacked = []

        def steady():
            state = self.whole()
            if not state:
                lacked[:] = [state.seen]
            return State(bool(state), lacked[0] if lacked else state.seen)

        eventually(steady, promise, deadline=deadline, stable=STEADY, every=0.5)

    def whole(self):
        """Whether every service has the tasks that it is to have."""
        for service, count in self.estate.wanted():
            state = service.converged(count)
            if not state:
                return State(False, f"{service}: {state.seen}")
        detached = self.estate.copied.detached() if self.estate.copied else []
        return State(not detached, "; ".join(detached) or "all run")


def expect_same(cluster, node, identity, engine):
    """Judge that *node* is the member that it was, and the swarm is ready.

    Args:
        cluster: the swarm.
        node: a node of it that was started anew.
        identity: its id in the swarm.
        engine: the version of its engine.

    Returns:
        Whether its engine had to be started twice.
    """

    def same():
        swarm = node.info()["Swarm"]
        state, known = swarm["LocalNodeState"], swarm["NodeID"]
        seen = f"{node} is {state} with id {known or 'none'} after it was given engine {engine}, it was {identity}"
        if swarm.get("Error"):
            seen += f": {swarm['Error']}"
        return State(state == "active" and known == identity, seen, hopeless=state in ("inactive", "error"))

    eventually(same, f"{node} to be the same member of the swarm", deadline=90)
    promise = f"the swarm to be ready with {node} on engine {engine}"
    try:
        wait(cluster.ready, promise, deadline=60)
    except DeadlineExceeded:
        if not kept_down(cluster, node):
            raise AssertionError(f"{promise}: {cluster.ready().seen}") from None
        # Managers may take the end of a node's last session for that of the one which it has just begun. An operator
        # starts its engine once more; that it took this is told as a condition.
        node.stop()
        node.start()
        eventually(cluster.ready, f"{promise} that was started once more", deadline=120)
        return True
    return False


def kept_down(cluster, node):
    """Whether managers have *node* down though it has a session with one, and all else is well."""
    broken = [name for name, state in cluster.conditions().items() if not state]
    others = [one for one in cluster.members() if one["Status"]["State"] != "ready"]
    mine = [one for one in others if one["Description"]["Hostname"] == node.name]
    return broken == ["all nodes ready"] and len(others) == 1 and bool(mine) and node.swarm_state() == "active"
