"""Known incidents that hurt a node: the actions on a cluster, and what must be true afterwards."""

from __future__ import annotations

import time
from collections.abc import Collection

from suites.support.commands import accepted
from suites.support.upgrade.estate import REPLICAS
from suites.support.upgrade.kept import Kept
from swarmlab.cluster.fault import applied, apply, cut_off, heal, kill
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually, wait
from swarmlab.watching.writer import Writer, found

#: Seconds for which a node is cut off, by the claim known/names-after-disconnect (moby#53141).
CUT = 20.0


def demoted_and_promoted(kept: Kept) -> None:
    """A leader that is demoted, and promoted at once, is a manager again."""
    cluster = kept.cluster
    leader = cluster.leader
    managers = cluster.managers
    others = [manager for manager in managers if manager is not leader]
    if not others:
        raise Blocked("the rehearsed swarm has one manager")
    accepted(others[0], f"node demote {leader}")
    # While the managers elect another leader they refuse.
    eventually(lambda: others[0].docker(f"node promote {leader}").ok, f"{leader} to be promoted again", deadline=30)

    def as_before() -> State:
        lacking = [str(manager) for manager in managers if not manager.serves_cluster()]
        return State(False, f"{', '.join(lacking)} is no manager") if lacking else cluster.ready()

    eventually(as_before, f"the swarm to be as before {leader} was demoted and promoted", deadline=120, stable=2)


def names_after_a_cut(kept: Kept) -> None:
    """Names resolve on every node after one was cut off for `CUT` seconds."""
    cluster = kept.cluster
    if len(cluster.nodes) == 1:
        raise Blocked("the rehearsed swarm has one node")
    cut = cluster.nodes[-1]
    others = [node for node in cluster.nodes if node is not cut]
    until = time.monotonic() + CUT
    with applied(cut_off(cut, others), cluster):
        _let_pass(until)
    eventually(cluster.ready, f"the swarm to be ready with {cut} back", deadline=90)
    eventually(kept.whole, f"all services to be whole with {cut} back", deadline=90)
    probes = [cluster.probe(task) for task in kept.estate.site.running()]
    eventually(
        lambda: kept.estate.names_resolve(probes),
        f"every name to resolve on every node after {cut} was cut off",
        deadline=60,
    )


def _let_pass(until: float) -> None:
    """Let time pass until this moment of the monotonic clock.

    The claim states a span, not an outcome: the incident comes from how long the others do without the node, so that
    there is no condition to wait for. It is a wait all the same, so that a run that is stopped does not sit it out.
    """
    wait(lambda: time.monotonic() > until, f"{CUT:.0f} s to pass", deadline=CUT * 3)


def manager_loses_power(kept: Kept) -> None:
    """A manager that lost its power while it took writes is the same member, and has all acknowledged writes."""
    cluster = kept.cluster
    manager = cluster.managers[-1]
    engine = manager.ask("GET", "/version")["Version"]
    with Writer(cluster.managers, pause=0.1) as writer:
        wait(lambda: writer.served(cluster.nodes[:1], since=0.0), "writes to be taken", deadline=30)
        apply(kill(manager), cluster)
    heal(kill(manager), cluster)
    kept.expect_same(manager, engine)
    for asked in cluster.managers:
        state = found(writer.writes, asked.ask("GET", "/configs"))
        assert state, f"{asked}: {state.summary}"


def node_loses_power(kept: Kept) -> None:
    """The replicas of a node that lost its power run elsewhere, and the node comes back."""
    cluster = kept.cluster
    lost = with_replica(kept, expendable(cluster))
    node = cluster.node(lost)
    with applied(kill(node), cluster):
        eventually(lambda: elsewhere(kept, lost), f"replicas to run elsewhere when {lost} lost its power", deadline=90)
    eventually(cluster.ready, f"the swarm to be ready with {node} back", deadline=90)


#: In the order in which they are played.
INCIDENTS = (demoted_and_promoted, names_after_a_cut, manager_loses_power, node_loses_power)


def expendable(cluster: Swarm) -> list[str]:
    """Return host names of the nodes that the swarm can lose: workers, and managers that are not needed for quorum.

    Raises:
        Blocked: there is none.
    """
    managers = cluster.managers
    spare = (
        [manager for manager in managers if manager not in (cluster.nodes[0], cluster.leader)]
        if len(managers) > 2
        else []
    )
    names = [node.name for node in cluster.nodes if node not in managers or node in spare]
    if not names:
        raise Blocked("the rehearsed swarm has no node that it can lose")
    return names


def with_replica(kept: Kept, names: Collection[str]) -> str:
    """Return the host name among *names* of a node with a replica; if none has one, the replicas are replaced first."""
    web = kept.estate.web
    if not any(task.node in names for task in web.running()):
        web.renew()
        wait(
            lambda: any(task.node in names for task in web.running()), f"a replica on {' or '.join(names)}", deadline=60
        )
        web.wait_running(REPLICAS)
    return next(task.node for task in web.running() if task.node in names)


def elsewhere(kept: Kept, lost: str) -> State:
    """Whether all replicas run on other nodes than *lost* (a host name)."""
    running = [task for task in kept.estate.web.running() if task.node != lost]
    return State(
        len(running) == REPLICAS, f"{len(running)} of {REPLICAS} run elsewhere: {'; '.join(map(str, running))}"
    )
