"""8.1.1: a manager that the majority does not hear."""

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
    """The port by which managers speak to each other, and to those that ask them, is closed at one."""
    return close_port(2377, alone, protocols=["tcp"])


def apart(word, how):
    """A story: one manager is cut off as *how* does it."""

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
    """A story: each half of the managers takes itself for a majority with the bridge, and only one of them is."""
    leader, (bridge, other) = leader_and_followers(cluster)

    def one_half_refuses(writer):
        since = writer.now
        # Mostly that is the follower; on a busy machine the bridge may come to vote for it.
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
    """Have a fault of the network while there is writing through all managers, and expect all to be well afterwards.

    *meanwhile* expects what has to be so with the fault, and is given the writer; *alone* is the manager that may have
    missed something, and is needed for a majority in the end.
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
