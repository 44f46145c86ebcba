"""What is asked of the managers of a cluster while some of them are lost, and what is to be found afterwards."""

from swarmlab.cluster.fault import apply, kill
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import EngineRefused, NoAnswer
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled
from swarmlab.watching.writer import Outcome, Writer, found

#: Seconds by the clock within which an engine gives up a call by itself.
GIVES_UP = 25


def soon():
    """Seconds for one call where none has to succeed yet.

    A call that is made while there is no leader hangs for 20 seconds; one that is made later is answered earlier.
    """
    return 2 + scaled(3)


def tried(predicate):
    """*predicate*, for which a call that is refused or not answered means that it does not hold yet.

    While a leader is elected calls are refused; on a busy machine that happens also where nothing was lost.
    """

    def holds():
        try:
            return predicate()
        except (EngineRefused, NoAnswer) as failed:
            return State(False, str(failed))

    return holds


def leader_of(cluster, asked):
    """The node that *asked*, a manager, names as leader."""
    named = []

    def one():
        named[:] = [
            member["Description"]["Hostname"]
            for member in asked.ask("GET", "/nodes", timeout=soon())
            if member.get("ManagerStatus", {}).get("Leader")
        ]
        return State(len(named) == 1, f"{asked} names {' and '.join(named) or 'nobody'}")

    eventually(tried(one), f"{asked} to name one leader", deadline=60)
    return cluster.node(named[0])


def leader_and_followers(cluster):
    """The leader, and the other managers."""
    leader = leader_of(cluster, cluster.nodes[0])
    return leader, [node for node in cluster.nodes if node is not leader]


def without(cluster, *lost):
    """The cluster as those see it who are left: whatever is asked of it is asked of them."""
    return Swarm([node for node in cluster.nodes if node not in lost], image=cluster.image)


def expect_work(cluster, writer, *lost):
    """Expect that the managers beside *lost* read, write and schedule, each of them, under one leader."""
    rest = without(cluster, *lost)
    expect_reads_and_writes(rest.nodes, writer, writer.now, f"without {names(lost)}")
    expect_task(rest, rest.nodes[-1], lost)
    expect_found(writer, rest.nodes)


def expect_reads_and_writes(managers, writer, since, when):
    """Expect *managers* to read under one leader, and each to write after *since*; *when* tells when that is."""
    who = names(managers)
    eventually(
        lambda: one_leader(managers, managers),
        f"{who} to read the cluster's state and to agree on a leader, {when}",
        deadline=90,
    )
    eventually(
        lambda: writer.served(managers, since), f"writes through each of {who} to be acknowledged, {when}", deadline=60
    )


def one_leader(asked, among):
    """Whether every manager of *asked* names the same leader, one of *among*."""

    def named(manager):
        try:
            listed = manager.ask("GET", "/nodes", timeout=soon())
        except (EngineRefused, NoAnswer) as failed:
            return str(failed)
        return sorted(one["Description"]["Hostname"] for one in listed if one.get("ManagerStatus", {}).get("Leader"))

    told = {manager.name: said for manager, said in zip(asked, parallel(named, asked), strict=True)}
    agreed = all(said in [[node.name] for node in among] for said in told.values())
    same = len({str(said) for said in told.values()}) == 1
    return State(agreed and same, f"leader by manager: {told}")


def expect_task(rest, manager, lost):
    """Expect that *manager* takes a global service, and that a task of it comes to run on every node that is left."""
    through = Swarm([manager, *(node for node in rest.nodes if node is not manager)], image=rest.image)
    # Kept off those that are lost: until they are known to be down they are given tasks as all are.
    away = [f"node.hostname!={node}" for node in lost]
    made = []

    def create():
        made.append(through.create_service("work", "idle", everywhere=True, constraints=away))
        return State(True, f"{made[0]}")

    eventually(tried(create), f"{manager} to take a service, without {names(lost)}", deadline=60)
    service = made[0]

    def runs():
        held = {
            node.name: len(node.containers(label=f"com.docker.swarm.service.id={service.id}")) for node in rest.nodes
        }
        state = service.converged(len(rest.nodes))
        return State(state.done and all(held.values()), f"{state.seen}; containers by node: {held}")

    eventually(
        tried(runs),
        f"a service created through {manager} to run on {names(rest.nodes)}, without {names(lost)}",
        deadline=90,
    )


def expect_refusal(cluster, writer, since, *lost):
    """Expect that the managers beside *lost*, too few, refuse reads and writes, and have acknowledged none *since*."""
    rest = without(cluster, *lost)
    left = names(rest.nodes)
    eventually(
        lambda: all_refuse(rest.nodes), f"{left} to refuse reading, with {names(lost)} lost", deadline=120, stable=3
    )
    eventually(
        lambda: writer.refused(rest.nodes, since), f"{left} to refuse writes, with {names(lost)} lost", deadline=60
    )
    expect_none_acknowledged(writer, since, rest.nodes)


def expect_none_acknowledged(writer, since, managers):
    """Expect that no write through one of *managers* was acknowledged *since* then."""
    sent = writer.since(since, *managers)
    taken = [write for write in sent if write.outcome is Outcome.ACKNOWLEDGED]
    assert not taken, f"without quorum since {since:.1f} s, and {len(taken)} writes were acknowledged: {taken[0]}"


def all_refuse(managers):
    """Whether every one of *managers* refuses to list the cluster's nodes, rather than doing so or saying nothing."""

    def answer(manager):
        try:
            listed = manager.ask("GET", "/nodes", timeout=soon())
        except EngineRefused:
            return "refuses"
        except NoAnswer as silent:
            return str(silent)
        return f"lists {len(listed)} nodes"

    told = {manager.name: said for manager, said in zip(managers, parallel(answer, managers), strict=True)}
    return State(set(told.values()) == {"refuses"}, f"{told}")


def expect_found(writer, managers):
    """Expect every acknowledged write on each of *managers*, whole, and all others there or not, on each alike."""
    known = writer.writes  # before they are read: what is acknowledged later need not be there

    def agree():
        held = {manager.name: manager.ask("GET", "/configs") for manager in managers}
        wrong = [f"{name}: {state.seen}" for name, configs in held.items() if not (state := found(known, configs))]
        there = {
            name: {config["Spec"]["Name"] for config in configs} & {write.name for write in known}
            for name, configs in held.items()
        }
        first = next(iter(there.values()))
        other = [f"{name} has {len(has ^ first)} otherwise" for name, has in there.items() if has != first]
        return State(not wrong and not other, "; ".join([*wrong, *other]) or "all there")

    # A write of unknown outcome may come about between two of the questions.
    eventually(tried(agree), f"what was written to be whole, and the same, on {names(managers)}", deadline=20)


def expect_caught_up(cluster, manager, before):
    """Expect *manager*, which was away, to hold the cluster's state itself, with all that the writer *before* wrote.

    What a manager is asked its leader answers, so reading through it tells nothing of its own copy. Another manager
    of the three is lost here, after which nothing can be written, or is remembered, without this one.
    """
    others = [node for node in cluster.nodes if node is not manager]
    lost = next(node for node in others if node is not leader_of(cluster, manager))
    rest = without(cluster, lost)
    with Writer(rest.nodes) as writer:
        apply(kill(lost), cluster)
        expect_work(cluster, writer, lost)
    for known in (before, writer):
        expect_found(known, rest.nodes)


def names(nodes):
    """Their host names, for messages."""
    return ", ".join(node.name for node in nodes) or "nobody"
