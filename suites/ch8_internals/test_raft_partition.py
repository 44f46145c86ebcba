"""8.1.1: a manager that is cut off from the majority."""

from fixtures.claims import claim
from fixtures.cluster import Story
from suites.support.quorum import (
    expect_caught_up,
    expect_found,
    expect_none_acknowledged,
    expect_reads_and_writes,
    expect_work,
    leader_and_followers,
)
from swarmlab.cluster.fault import applied, close_port, cut_off, deafen, split
from swarmlab.wait import eventually
from swarmlab.watching.writer import Writer


@claim("8.1.1/minority-partition")
def test_a_manager_cut_off_takes_no_write_and_afterwards_the_majoritys_state(stories):
    stories(
        Story("the leader is cut off", apart("leader", cut_off)),
        Story("a follower is cut off", apart("follower", cut_off)),
        Story("a follower hears nobody", apart("follower", deafen)),
        Story("a follower's port of managers is closed", apart("follower", port_closed)),
        Story("two managers hear each other through the third only", bridged),
    )


def port_closed(alone, _):
    """Return a fault: the port of managers, for each other and for nodes, is closed at one manager."""
    return close_port(2377, alone, protocols=["tcp"])


def apart(word, how):
    """Return a story: a manager ("leader" or "follower") is cut off by the fault *how*."""

    def play(cluster):
        leader, followers = leader_and_followers(cluster)
        alone = leader if word == "leader" else followers[0]

        def refuses(writer):
            since = writer.now
            expect_work(cluster, writer, alone)
            eventually(
                lambda: writer.refused([alone], since), f"{alone}, which is cut off, to refuse a write", deadline=90
            )
            expect_none_acknowledged(writer, since, [alone])

        suffer(cluster, how(alone, cluster.nodes), alone, refuses)

    return play


def bridged(cluster):
    """A story: the bridge hears both others, which do not hear each other; one of them gets no majority with it."""
    leader, (bridge, other) = leader_and_followers(cluster)

    def one_half_refuses(writer):
        since = writer.now
        # In most runs that is the follower; on a busy machine the bridge may vote for the follower.
        eventually(
            lambda: writer.refused([leader], since) or writer.refused([other], since),
            f"{leader} or {other}, which has no majority, to refuse a write",
            deadline=90,
        )
        now = writer.now
        eventually(
            lambda: writer.served([bridge], now),
            f"writes through {bridge}, which is heard by all, to be acknowledged",
            deadline=90,
        )

    suffer(cluster, split([leader, bridge], [bridge, other]), other, one_half_refuses)


def suffer(cluster, fault, alone, meanwhile):
    """Apply a fault of the network while writing through all managers, and expect all to be well once it is healed.

    Args:
        cluster: the swarm.
        fault: the fault.
        alone: the manager that may have missed writes; in the end it is needed for a majority.
        meanwhile: judges the swarm with the fault; it is given the writer.
    """
    with Writer(cluster.nodes) as writer:
        eventually(lambda: writer.served(cluster.nodes, 0), "writes through every manager to be acknowledged")
        with applied(fault, cluster):
            writer.mark(f"{fault}")
            meanwhile(writer)
        healed = writer.now
        writer.mark("healed")
        expect_reads_and_writes(cluster.nodes, writer, healed, f"healed of: {fault}")
    expect_found(writer, cluster.nodes)
    cluster.expect_ready()
    expect_caught_up(cluster, alone, writer)
