"""Managers that lose others: what is asked of the rest meanwhile, and what is found on them afterwards.

An `expect_…` raises AssertionError where the cluster does not come to do what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from suites.support.placement import count_by_node
from swarmlab.cluster.fault import apply, kill
from swarmlab.cluster.node import Node
from swarmlab.cluster.service import Service
from swarmlab.cluster.swarm import Swarm, leaders
from swarmlab.errors import EngineRefused, NoAnswer
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled
from swarmlab.watching.writer import Outcome, Writer, found

#: Seconds by the clock within which an engine gives up a call by itself.
GIVES_UP = 25


def soon() -> float:
    """Return seconds to wait for one call of a poll that may fail.

    A call that is made while there is no leader hangs for 20 seconds; one that is made later is answered earlier.
    """
    return 2 + scaled(3)


def tried(predicate: Callable[[], State]) -> Callable[[], State]:
    """*predicate*, false while a call in it is refused or not answered.

    Calls are refused while a leader is elected. On a busy machine that happens even if no manager was lost.
    """

    def holds() -> State:
        try:
            return predicate()
        except (EngineRefused, NoAnswer) as failed:
            return State(False, str(failed))

    return holds


def leader_of(cluster: Swarm, asked: Node) -> Node:
    """Return the leader that the manager *asked* names; waits up to 60 seconds until it names one."""
    named: list[str] = []

    def names_one() -> State:
        named[:] = leaders(asked.ask("GET", "/nodes", timeout=soon()))
        return State(len(named) == 1, f"{asked} names {' and '.join(named) or 'nobody'}")

    eventually(tried(names_one), f"{asked} to name one leader", deadline=60)
    return cluster.node(named[0])


def leader_and_followers(cluster: Swarm) -> tuple[Node, list[Node]]:
    """Return the leader, and the other managers, of a cluster of managers."""
    leader = leader_of(cluster, cluster.nodes[0])
    return leader, [node for node in cluster.nodes if node is not leader]


def without(cluster: Swarm, *lost: Node) -> Swarm:
    """Return the cluster without the nodes *lost*, so that only the rest is asked."""
    return Swarm([node for node in cluster.nodes if node not in lost], image=cluster.image)


def expect_work(cluster: Swarm, writer: Writer, *lost: Node) -> None:
    """Expect that each manager but *lost* reads, writes and schedules, under one leader."""
    rest = without(cluster, *lost)
    expect_reads_and_writes(rest.nodes, writer, writer.now, f"without {names(lost)}")
    expect_task(rest, rest.nodes[-1], lost)
    expect_found(writer, rest.nodes)


def expect_reads_and_writes(managers: Sequence[Node], writer: Writer, since: float, when: str) -> None:
    """Expect that *managers* read under one leader, and that each takes a write.

    Args:
        managers: the managers.
        writer: the writer that writes through all of them.
        since: when the writes must begin, in seconds of the writer.
        when: a phrase for that moment, for the message.
    """
    who = names(managers)
    eventually(
        lambda: one_leader(managers, managers),
        f"{who} to read the cluster's state and to agree on a leader, {when}",
        deadline=90,
    )
    eventually(
        lambda: writer.served(managers, since), f"writes through each of {who} to be acknowledged, {when}", deadline=60
    )


def one_leader(asked: Sequence[Node], among: Iterable[Node]) -> State:
    """Whether every manager of *asked* names the same leader, one of *among*."""

    def named(manager: Node) -> list[str] | str:
        try:
            return leaders(manager.ask("GET", "/nodes", timeout=soon()))
        except NoAnswer as failed:
            return str(failed)
        except EngineRefused as failed:
            why = manager.swarm_error()
            return f"{failed}; {manager} says of the swarm: {why}" if why and why not in str(failed) else str(failed)

    answers = {manager.name: answer for manager, answer in zip(asked, parallel(named, asked), strict=True)}
    agreed = all(answer in [[node.name] for node in among] for answer in answers.values())
    same = len({str(answer) for answer in answers.values()}) == 1
    return State(agreed and same, f"leader by manager: {answers}")


def expect_task(rest: Swarm, manager: Node, lost: Sequence[Node]) -> None:
    """Expect that *manager* takes a global service, and that a task of it comes to run on every node of *rest*."""
    through = Swarm([manager, *(node for node in rest.nodes if node is not manager)], image=rest.image)
    # Until lost nodes are known to be down, they are assigned tasks like all others.
    away = [f"node.hostname!={node}" for node in lost]
    made: list[Service] = []

    def create() -> State:
        made.append(through.create_service("work", "idle", everywhere=True, constraints=away))
        return State(True, f"{made[0]}")

    eventually(tried(create), f"{manager} to take a service, without {names(lost)}", deadline=60)
    service = made[0]

    def runs() -> State:
        held = count_by_node(service, rest.nodes)
        state = service.converged(len(rest.nodes))
        return State(state.done and all(held.values()), f"{state.summary}; containers by node: {held}")

    eventually(
        tried(runs),
        f"a service created through {manager} to run on {names(rest.nodes)}, without {names(lost)}",
        deadline=90,
    )


def expect_refusal(cluster: Swarm, writer: Writer, since: float, *lost: Node) -> None:
    """Expect that the managers but *lost*, too few for quorum, refuse reads and writes.

    Args:
        cluster: the swarm.
        writer: the writer that writes through all managers.
        since: when quorum was lost, in seconds of the writer; no write that began later may be acknowledged.
        lost: the managers that are lost.
    """
    rest = without(cluster, *lost)
    left = names(rest.nodes)
    eventually(
        lambda: all_refuse(rest.nodes), f"{left} to refuse reading, with {names(lost)} lost", deadline=120, stable=3
    )
    eventually(
        lambda: writer.refused(rest.nodes, since), f"{left} to refuse writes, with {names(lost)} lost", deadline=60
    )
    expect_none_acknowledged(writer, since, rest.nodes)


def expect_none_acknowledged(writer: Writer, since: float, managers: Sequence[Node]) -> None:
    """Expect that no write through *managers* that began after *since* (seconds of the writer) was acknowledged."""
    sent = writer.since(since, *managers)
    taken = [write for write in sent if write.outcome is Outcome.ACKNOWLEDGED]
    assert not taken, f"without quorum since {since:.1f} s, and {len(taken)} writes were acknowledged: {taken[0]}"


def all_refuse(managers: Sequence[Node]) -> State:
    """Whether each of *managers* refuses to list the nodes; one that lists them or does not answer does not refuse."""

    def answer(manager: Node) -> str:
        try:
            listed = manager.ask("GET", "/nodes", timeout=soon())
        except EngineRefused:
            return "refuses"
        except NoAnswer as silent:
            return str(silent)
        return f"lists {len(listed)} nodes"

    answers = {manager.name: reply for manager, reply in zip(managers, parallel(answer, managers), strict=True)}
    return State(set(answers.values()) == {"refuses"}, f"{answers}")


def expect_found(writer: Writer, managers: Sequence[Node]) -> None:
    """Expect every acknowledged write on each of *managers*, whole; and every other write on all of them or on none."""
    known = writer.writes  # before they are read: what is acknowledged later need not be there

    def agree() -> State:
        held = {manager.name: manager.ask("GET", "/configs") for manager in managers}
        wrong = [f"{name}: {state.summary}" for name, configs in held.items() if not (state := found(known, configs))]
        there = {
            name: {config["Spec"]["Name"] for config in configs} & {write.name for write in known}
            for name, configs in held.items()
        }
        first = next(iter(there.values()))
        other = [f"{name} has {len(has ^ first)} otherwise" for name, has in there.items() if has != first]
        return State(not wrong and not other, few([*wrong, *other], "; ") or "all there")

    # A write of unknown outcome may take effect between two of the questions.
    eventually(tried(agree), f"what was written to be whole, and the same, on {names(managers)}", deadline=20)


def expect_caught_up(cluster: Swarm, manager: Node, before: Writer) -> None:
    """Expect that *manager*, which was away, holds the cluster's state itself, with all writes of *before*.

    A read through a manager is answered by its leader, so it shows nothing of the manager's own copy. Therefore another
    manager of the three is lost here: after that nothing can be written or read without *manager*.
    """
    others = [node for node in cluster.nodes if node is not manager]
    lost = next(node for node in others if node is not leader_of(cluster, manager))
    rest = without(cluster, lost)
    with Writer(rest.nodes) as writer:
        apply(kill(lost), cluster)
        expect_work(cluster, writer, lost)
    for known in (before, writer):
        expect_found(known, rest.nodes)


def names(nodes: Iterable[Node]) -> str:
    """Return the nodes' host names, for messages."""
    return ", ".join(node.name for node in nodes) or "nobody"
