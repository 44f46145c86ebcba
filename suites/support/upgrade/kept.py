"""A cluster and what it must keep: whether its nodes and services are what they were."""

from __future__ import annotations

import re

from suites.support.upgrade.copied_services import STEADY
from suites.support.upgrade.estate import Estate
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import DeadlineExceeded
from swarmlab.wait import State, eventually, wait

#: Errors of an engine that a reason names.
_ERRORS = 3


class Kept:
    """A cluster that must be the same whatever is done to it.

    Attributes:
        cluster: the swarm.
        estate: what it must keep, made before anything is done to it.
    """

    def __init__(self, cluster: Swarm, estate: Estate) -> None:
        """Take the cluster, and its estate."""
        self.cluster, self.estate = cluster, estate

    def expect_same(self, node: Node, engine: str) -> bool:
        """`expect_same` of a node of this cluster."""
        return expect_same(self.cluster, node, self.estate.member(node.name)["id"], engine)

    def wait_sound(self) -> None:
        """Wait until it is as before, so that an earlier incident does not fail the next one."""
        wait(self.cluster.ready, "the swarm to be ready before the incident", deadline=60)
        wait(self.whole, "all services to be whole before the incident", deadline=60)

    def expect_whole(self, promise: str, deadline: float) -> None:
        """Expect every service to be whole for some seconds: a task that ends at once runs at some of the polls.

        Args:
            promise: what is expected, for the message.
            deadline: seconds at reference speed.
        """
        lacked: list[str] = []

        def steady() -> State:
            state = self.whole()
            if not state:
                lacked[:] = [state.summary]
            return State(bool(state), lacked[0] if lacked else state.summary)

        eventually(steady, promise, deadline=deadline, stable=STEADY, every=0.5)

    def whole(self) -> State:
        """Whether every service has all its tasks."""
        for service, count in self.estate.wanted():
            state = service.converged(count)
            if not state:
                return State(False, f"{service}: {state.summary}")
        detached = self.estate.copied.detached() if self.estate.copied else []
        return State(not detached, "; ".join(detached) or "all run")


def expect_same(cluster: Swarm, node: Node, identity: str, engine: str) -> bool:
    """Expect *node* to be the same member as before, and the swarm to be ready.

    Args:
        cluster: the swarm.
        node: a node of it that was started anew.
        identity: its id in the swarm.
        engine: the version of its engine.

    Returns:
        Whether its engine had to be started a second time.
    """

    def same() -> State:
        swarm = node.info()["Swarm"]
        state, known = swarm["LocalNodeState"], swarm["NodeID"]
        summary = f"{node} is {state} with id {known or 'none'} after it was given engine {engine}, it was {identity}"
        if swarm.get("Error"):
            summary += f": {swarm['Error']}"
        return State(state == "active" and known == identity, summary, hopeless=state in ("inactive", "error"))

    eventually(same, f"{node} to be the same member of the swarm", deadline=90)
    promise = f"the swarm to be ready with {node} on engine {engine}"
    try:
        wait(cluster.ready, promise, deadline=60)
    except DeadlineExceeded:
        if not kept_down(cluster, node):
            raise AssertionError(f"{promise}: {cluster.ready().summary}{last_errors(node.log())}") from None
        # Managers may take the end of a node's last session for the end of its new one. An operator starts the engine
        # once more; the rehearsal does the same, and reports it as a condition.
        node.stop()
        node.start()
        eventually(cluster.ready, f"{promise} that was started once more", deadline=120)
        return True
    return False


def last_errors(log: str) -> str:
    """Return the last three errors of an engine's log that differ, to be put after a reason; empty without any."""
    errors = [line.partition(" msg=")[2] for line in log.splitlines() if "level=error" in line]
    differing: dict[str, str] = {}
    for error in reversed(errors):
        differing.setdefault(re.sub(r"[0-9a-z]{12,}|\d+", "", error), error)
    told = list(differing.values())[:_ERRORS]
    return f"; the last errors of its engine: {'; '.join(error[-250:] for error in told)}" if told else ""


def kept_down(cluster: Swarm, node: Node) -> bool:
    """Whether managers list *node* as down though it has a session with one of them, and all else is well."""
    broken = [name for name, state in cluster.conditions().items() if not state]
    others = [member for member in cluster.members() if member["Status"]["State"] != "ready"]
    mine = [member for member in others if member["Description"]["Hostname"] == node.name]
    return broken == ["all nodes ready"] and len(others) == 1 and bool(mine) and node.swarm_state() == "active"
