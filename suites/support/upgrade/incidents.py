"""Known incidents that take a node that is hurt: what is done to a cluster, and what has to be so afterwards."""

import time

from suites.support.commands import accepted
from suites.support.upgrade.estate import REPLICAS
from suites.support.upgrade.names import names_lead
from swarmlab.cluster.fault import applied, apply, cut_off, heal, kill
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually, wait
from swarmlab.watching.writer import Writer, found

#: How long a node is cut off (moby#53141), in seconds: longer than gossip takes to give it up, and not much longer.
CUT = 20.0


def demoted_and_promoted(kept):
    """A leader that is demoted, and promoted at once, is a manager again."""
    cluster = kept.cluster
    leader = leading(cluster)
    managers = cluster.managers
    others = [manager for manager in managers if manager is not leader]
    if not others:
        raise Blocked("the rehearsed swarm has one manager")
    accepted(others[0], f"node demote {leader}")
    # It may be too early for the managers to say yes, which is no harm.
    eventually(lambda: others[0].docker(f"node promote {leader}").ok, f"{leader} to be promoted again", deadline=30)

    def as_before():
        lacking = [str(manager) for manager in managers if not manager.serves_cluster()]
        return State(False, f"{', '.join(lacking)} is no manager") if lacking else cluster.ready()

    eventually(as_before, f"the swarm to be as before {leader} was demoted and promoted", deadline=120, stable=2)


def names_after_a_cut(kept):
    """Names resolve on every node after one was cut off for a while."""
    cluster = kept.cluster
    if len(cluster.nodes) == 1:
        raise Blocked("the rehearsed swarm has one node")
    cut = cluster.nodes[-1]
    others = [node for node in cluster.nodes if node is not cut]
    until = time.monotonic() + CUT
    with applied(cut_off(cut, others), cluster):
        wait(lambda: time.monotonic() > until, f"{CUT:.0f} s to pass", deadline=CUT * 3)
    eventually(cluster.ready, f"the swarm to be ready with {cut} back", deadline=90)
    eventually(kept.whole, f"all services to be whole with {cut} back", deadline=90)
    probes = [cluster.probe(task) for task in kept.estate.site.running()]
    eventually(
        lambda: names_lead(kept.estate, probes),
        f"every name to resolve on every node after {cut} was cut off",
        deadline=60,
    )


def manager_loses_power(kept):
    """A manager that lost its power while writes were taken is the same member, and has them all."""
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
        assert state, f"{asked}: {state.seen}"


def node_loses_power(kept):
    """The replicas of a node that lost its power run elsewhere, and it comes back."""
    cluster = kept.cluster
    lost = with_replica(kept, to_lose(cluster))
    node = cluster.node(lost)
    with applied(kill(node), cluster):
        eventually(lambda: elsewhere(kept, lost), f"replicas to run elsewhere when {lost} lost its power", deadline=90)
    eventually(cluster.ready, f"the swarm to be ready with {node} back", deadline=90)


def leading(cluster):
    """The node whose manager leads."""
    [member] = [one for one in cluster.members() if (one.get("ManagerStatus") or {}).get("Leader")]
    return cluster.node(member["Description"]["Hostname"])


def to_lose(cluster):
    """Names of the nodes without which the swarm answers as before: workers, and managers that others make up for."""
    managers = cluster.managers
    spare = [one for one in managers if one not in (cluster.nodes[0], leading(cluster))] if len(managers) > 2 else []
    names = [node.name for node in cluster.nodes if node not in managers or node in spare]
    if not names:
        raise Blocked("the rehearsed swarm has no node that it can lose")
    return names


def with_replica(kept, names):
    """The one of *names* that has a replica; they are spread first where none has."""
    web = kept.estate.web
    if not any(task.node in names for task in web.running()):
        web.update(lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
        wait(
            lambda: any(task.node in names for task in web.running()), f"a replica on {' or '.join(names)}", deadline=60
        )
        web.wait_running(REPLICAS)
    return next(task.node for task in web.running() if task.node in names)


def elsewhere(kept, lost):
    """Whether enough replicas run on other nodes than *lost*."""
    running = [task for task in kept.estate.web.running() if task.node != lost]
    return State(
        len(running) == REPLICAS, f"{len(running)} of {REPLICAS} run elsewhere: {'; '.join(map(str, running))}"
    )
